//! The first login to a server: with a saved credential (credential-store signs, for the caller) or with a key that the
//! caller lends for this one operation (it stays in this process's memory and is wiped).

use super::credential_store::{CredentialStore, Server};
use super::host::{DesiredKey, DesiredKeys, Drop, Host};
use super::hosts::failure;
use super::login::Login;
use crate::model::{Management, Receipt};
use keywright_domain::account::AccountName;
use keywright_domain::authorized_keys::Owner;
use keywright_domain::caller::Caller;
use keywright_domain::clock::{Clock, Instant};
use keywright_domain::ids::CredentialId;
use keywright_domain::key::{KdfCaps, KeyError, PrivateKey, PublicKey, intake};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::Failure;
use keywright_ssh::{Identity, Session};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Key derivations at once.
const DERIVATIONS: usize = 2;

/// As it was asked for.
pub struct Bootstrap {
    pub credential: String,
    pub private_key: Secret,
    pub passphrase: Secret,
    pub username: String,
}

#[derive(Clone)]
pub struct Bootstrapper {
    login: Login,
    store: CredentialStore,
    clock: Clock,
    derivations: Arc<Semaphore>,
}

/// Who logs in.
pub struct Entrance {
    identity: Identity,
    account: AccountName,
    /// Who asked.
    caller: Caller,
}

/// Logged in, as root or with sudo.
pub struct Entered {
    session: Session,
    clock: Clock,
}

impl Entrance {
    pub fn username(&self) -> &str {
        self.account.as_str()
    }
}

impl Bootstrapper {
    pub fn new(login: Login, store: CredentialStore, clock: Clock) -> Self {
        Self { login, store, clock, derivations: Arc::new(Semaphore::new(DERIVATIONS)) }
    }

    pub async fn parse(
        &self,
        caller: &Caller,
        server: &Server,
        asked: Bootstrap,
    ) -> Result<Entrance, Failure> {
        match (asked.credential.is_empty(), asked.private_key.is_empty()) {
            (false, true) => self.saved(caller, server, &asked).await,
            (true, false) => self.one_time(caller, asked).await,
            _ => Err(Failure::violation("bootstrapCredential", "needs either credentialId or privateKey")),
        }
    }

    async fn saved(&self, caller: &Caller, server: &Server, asked: &Bootstrap) -> Result<Entrance, Failure> {
        let missing = || Failure::not_found(Reason::CredentialNotFound, &asked.credential);
        let id = CredentialId::parse(&asked.credential).map_err(|_| missing())?;
        let saved = self.store.saved(&id).await?;
        if saved.tenant.as_ref().is_some_and(|tenant| *tenant != server.tenant) {
            return Err(missing());
        }
        let username = if asked.username.is_empty() { &saved.username } else { &asked.username };
        let account = account(username)?;
        let (user, key) = (account.as_str(), saved.public_key);
        let identity = self.login.identity(caller.clone(), server, &id, user, key);
        let identity = Identity { certificate: saved.certificate, ..identity };
        Ok(Entrance { identity, account, caller: caller.clone() })
    }

    async fn one_time(&self, caller: &Caller, asked: Bootstrap) -> Result<Entrance, Failure> {
        let account = account(&asked.username)?;
        let closed = |_| Failure::new(Reason::Internal, "The service is ending.");
        let place = self.derivations.clone().acquire_owned().await.map_err(closed)?;
        let read = tokio::task::spawn_blocking(move || {
            let _place = place;
            read(&asked.private_key, &asked.passphrase)
        });
        let key = read.await.map_err(|_| Failure::new(Reason::Internal, "The key could not be read."))?;
        let key = key.map_err(|error| Failure::new(error.reason(), format!("The private key: {error}.")))?;
        let identity = Identity::one_time(account.as_str(), key);
        Ok(Entrance { identity, account, caller: caller.clone() })
    }

    /// SUDO_UNAVAILABLE unless the account is root or may become it.
    pub async fn enter(&self, server: &Server, entrance: &Entrance) -> Result<Entered, Failure> {
        self.enter_for(server, entrance, &entrance.account).await
    }

    /// The same for whoever must act as root itself, and not only in the account's own name.
    pub async fn enter_as_root(&self, server: &Server, entrance: &Entrance) -> Result<Entered, Failure> {
        self.enter_for(server, entrance, &account("root")?).await
    }

    async fn enter_for(
        &self,
        server: &Server,
        entrance: &Entrance,
        whom: &AccountName,
    ) -> Result<Entered, Failure> {
        let session = self.login.open(&entrance.caller, server, &entrance.identity).await?;
        let entered = Entered { session, clock: self.clock.clone() };
        let facts = Host::new(&entered.session, &self.clock).inspect(whom).await;
        let usable = facts.map_err(failure).and_then(|facts| match (facts.account, facts.drop) {
            (None, _) => {
                Err(Failure::new(Reason::AccountNotFound, "The account does not exist on the server."))
            }
            (Some(_), Drop::None) => Err(Failure::new(
                Reason::SudoUnavailable,
                "There is no way to act as the account on the server.",
            )),
            (Some(_), _) => Ok(()),
        });
        match usable {
            Ok(()) => Ok(entered),
            Err(failure) => {
                entered.leave().await;
                Err(failure)
            }
        }
    }
}

impl Entered {
    /// The management key's line, in the file of the account we are logged in to.
    pub async fn add(&self, management: &Management, key: &PublicKey) -> Result<(), Failure> {
        let line = DesiredKey { public_key: key.clone(), version: 1, until: None, options: Vec::new() };
        self.edit(management, 1, vec![line], Some(key)).await
    }

    /// Takes it out again; `revision` must be higher than before.
    pub async fn remove(&self, management: &Management, revision: u64) -> Result<(), Failure> {
        self.edit(management, revision, Vec::new(), management.public_key.as_ref()).await
    }

    /// That this login was accepted.
    pub fn receipt(&self, now: Instant) -> Receipt {
        Receipt {
            method: "LOGIN".to_owned(),
            accepted: true,
            proven_at_micros: now.micros(),
            host_key: self.session.host_key().fingerprint().to_string(),
            source_port: i32::from(self.session.local().port()),
            server_version: self.session.server_version().to_owned(),
        }
    }

    async fn edit(
        &self,
        management: &Management,
        revision: u64,
        keys: Vec<DesiredKey>,
        ours: Option<&PublicKey>,
    ) -> Result<(), Failure> {
        let owner = Owner::parse(management.id.as_str())
            .map_err(|_| Failure::new(Reason::Internal, "The id cannot stand in a file."))?;
        let all_blobs = ours.map(|key| key.blob().to_vec()).into_iter().collect();
        let wanted = DesiredKeys { owner, revision, keys, all_blobs, overruled: None };
        let account = account(&management.username)?;
        let done = Host::new(&self.session, &self.clock).converge(&account, &wanted).await;
        done.map(drop).map_err(failure)
    }

    pub async fn leave(self) {
        self.session.close().await;
    }
}

fn account(username: &str) -> Result<AccountName, Failure> {
    AccountName::parse(username)
        .map_err(|error| Failure::violation("bootstrapCredential.username", error.to_string()))
}

fn read(text: &Secret, passphrase: &Secret) -> Result<PrivateKey, KeyError> {
    let passphrase = (!passphrase.is_empty()).then_some(passphrase);
    Ok(intake(text, passphrase, &KdfCaps::default())?.key)
}
