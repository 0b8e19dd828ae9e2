//! How a registered server is tested: with which login, and what is found. What becomes of the result is for whoever
//! asks: a person (`app::test_server`), a fleet test (`fleet::drive`).

use crate::adapters::custody::Custody;
use crate::adapters::directory::{self, BoundServer, Credential, Directory, MOST_AT_ONCE, Server};
use crate::adapters::journey::{Journey, Seen};
use crate::adapters::known_keys::KnownKeys;
use crate::adapters::route::Routes;
use crate::dialogue::CallersKey;
use crate::login::{BadLoginName, LoginName};
use crate::one_time::{GivenKey, Intake, key_facts};
use crate::report::{CheckName, ConnectivityTest, Progress};
use keywright_domain::caller::Caller;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::ids::{CredentialId, ServerId, TenantId, TestId};
use keywright_domain::reason::Reason;
use keywright_proto::credential::DirectoryTestResult;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_ssh::Identity;
use keywright_storage::Db;
use std::sync::Arc;
use std::time::Duration;

#[derive(Clone)]
pub struct Tester {
    pub db: Db,
    pub directory: Directory,
    pub outbound: Outbound,
    pub intake: Intake,
    pub journey: Journey,
    pub routes: Routes,
}

/// With what a test logs in.
pub struct Login {
    key: Key,
    username: LoginName,
}

enum Key {
    Saved(Box<Credential>),
    OneTime(GivenKey),
    Callers(Box<CallersKey>),
}

impl Login {
    pub fn once(key: GivenKey, username: LoginName) -> Self {
        Self { key: Key::OneTime(key), username }
    }

    pub fn by_caller(key: CallersKey) -> Self {
        let username = key.username.clone();
        Self { key: Key::Callers(Box::new(key)), username }
    }

    /// For the audit log: the credential, or where the key is.
    pub fn said(&self) -> &str {
        match &self.key {
            Key::Saved(credential) => credential.id.as_str(),
            Key::OneTime(_) => "one-time",
            Key::Callers(_) => CALLERS_AGENT,
        }
    }

    /// Of a key that stays with the caller.
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        match &self.key {
            Key::Callers(key) => Some(key.public_key.fingerprint()),
            Key::Saved(_) | Key::OneTime(_) => None,
        }
    }

    pub fn username(&self) -> &LoginName {
        &self.username
    }

    /// None: a key for this once.
    pub fn credential(&self) -> Option<&CredentialId> {
        match &self.key {
            Key::Saved(credential) => Some(&credential.id),
            Key::OneTime(_) | Key::Callers(_) => None,
        }
    }
}

/// What the audit log calls a key that stays with the caller.
pub const CALLERS_AGENT: &str = "caller's agent";

/// What a test found, and what is told to credential-store beside it.
pub struct Tested {
    pub test: ConnectivityTest,
    pub server: ServerId,
    pub tenant: TenantId,
    /// The server's.
    pub name: String,
    /// The credential that was used, where it is the bound one.
    bound: Option<CredentialId>,
    server_version: String,
}

impl Tested {
    /// With the bound credential.
    pub fn is_bound(&self) -> bool {
        self.bound.is_some()
    }

    fn told(&self) -> Option<DirectoryTestResult> {
        directory::told(&self.test, self.bound.as_ref(), &self.server_version)
    }
}

impl Tester {
    /// A saved credential and a user: what is named, else what is bound.
    pub async fn saved_login(
        &self,
        caller: &Caller,
        server: &Server,
        credential: &str,
        username: &str,
    ) -> Result<Login, Failure> {
        let chosen = match (credential, &server.binding) {
            ("", None) => return Err(nothing_bound(server)),
            ("", Some(binding)) => binding.credential.as_str(),
            (named, _) => named,
        };
        let credential = self.directory.credential(caller, chosen).await?;
        login_with(server, credential, username)
    }

    /// The nine checks. A failed one is a result; an error says that the test itself could not be made.
    pub async fn measure(
        &self,
        caller: &Caller,
        id: TestId,
        server: &Server,
        login: Login,
    ) -> Result<Tested, Failure> {
        let checked_at = self.db.now().await?;
        let mut progress = Progress::default();
        let credential = login.credential().cloned();
        let is_bound = |id: &CredentialId| server.binding.as_ref().is_some_and(|b| b.credential == *id);
        let bound = credential.clone().filter(is_bound);
        let identity = match login.key {
            Key::Saved(credential) => {
                Some(self.saved_identity(caller, server, *credential, &login.username, &mut progress))
            }
            Key::OneTime(given) => {
                refuse_mismatched(server)?;
                self.intake.open(&mut progress, given, &login.username).await
            }
            Key::Callers(key) => {
                refuse_mismatched(server)?;
                Some(key.identity(caller, (&server.host, server.port), &mut progress))
            }
        };
        let seen = match identity {
            None => Seen { progress, server_version: String::new() },
            Some(identity) => {
                let known = KnownKeys::Pinned(server.known.clone());
                let way = self.routes.to(caller, server).await?;
                self.journey.travel(progress, &way, &known, &identity).await?
            }
        };
        let test = ConnectivityTest {
            id: Some(id),
            server: Some(server.id.clone()),
            credential,
            host: server.host.clone(),
            port: server.port,
            username: login.username,
            checked_at,
            report: seen.progress.finish(),
        };
        Ok(Tested {
            test,
            server: server.id.clone(),
            tenant: server.tenant.clone(),
            name: server.name.clone(),
            bound,
            server_version: seen.server_version,
        })
    }

    /// Tells credential-store, where the result shows with the server. What it does not hear is not lost: the result is
    /// kept here.
    pub async fn tell(&self, caller: &Caller, tested: &Tested) {
        self.directory.note_mismatch_in(caller, &tested.test).await;
        let Some(told) = tested.told() else { return };
        if let Err(failure) = self.directory.record(caller, told).await {
            tracing::warn!(
                reason = failure.reason.as_str(),
                server = %tested.server,
                "a test result was not recorded with its server"
            );
        }
    }

    /// The same of many.
    pub async fn tell_all(&self, caller: &Caller, all: &[&Tested]) {
        for tested in all {
            self.directory.note_mismatch_in(caller, &tested.test).await;
        }
        for some in all.chunks(MOST_AT_ONCE) {
            let told = some.iter().filter_map(|tested| tested.told()).collect();
            if let Err(failure) = self.directory.record_all(caller, told).await {
                let reason = failure.reason.as_str();
                tracing::warn!(
                    reason,
                    results = some.len(),
                    "test results were not recorded with their servers"
                );
            }
        }
    }

    /// A stored key was read and decrypted when it was taken in; credential-store signs with it.
    fn saved_identity(
        &self,
        caller: &Caller,
        server: &Server,
        credential: Credential,
        username: &LoginName,
        progress: &mut Progress,
    ) -> Identity {
        let facts = key_facts(&credential.public_key);
        progress.passed(
            CheckName::Key,
            "The saved key was read when it was taken in.",
            Duration::ZERO,
            facts,
        );
        let said = if credential.encrypted_at_intake {
            "The key was decrypted when it was taken in."
        } else {
            "The key needs no passphrase."
        };
        progress.passed(CheckName::Passphrase, said, Duration::ZERO, Vec::new());
        let custody = Custody {
            outbound: self.outbound.clone(),
            caller: caller.clone(),
            server: server.id.clone(),
            credential: credential.id,
            version: None,
            towards: None,
        };
        Identity {
            user: username.as_str().to_owned(),
            public_key: credential.public_key,
            certificate: credential.certificate,
            port: Arc::new(custody),
        }
    }
}

/// What is bound to the server, read together with it.
pub fn bound_login(bound: BoundServer) -> Result<(Server, Login), Failure> {
    let BoundServer { server, credential } = bound;
    let Some(binding) = &server.binding else { return Err(nothing_bound(&server)) };
    let missing = || Failure::not_found(Reason::CredentialNotFound, binding.credential.as_str());
    let login = login_with(&server, credential.ok_or_else(missing)?, "")?;
    Ok((server, login))
}

fn nothing_bound(server: &Server) -> Failure {
    let message = "The server has no credential bound; bind one, or name one for this test.";
    Failure::new(Reason::BindingNotFound, message).with("id", server.id.as_str())
}

/// As the named user, else the binding's, else the credential's.
fn login_with(server: &Server, credential: Credential, username: &str) -> Result<Login, Failure> {
    let chosen = credential.id.as_str();
    if credential.tenant.as_ref() != Some(&server.tenant) {
        return Err(Failure::not_found(Reason::CredentialNotFound, chosen));
    }
    if credential.managed {
        let message = "The credential belongs to an SSH access and cannot be tested by itself.";
        return Err(Failure::new(Reason::CredentialIsManaged, message).with("credentialId", chosen));
    }
    let of_binding = server.binding.as_ref().map_or("", |binding| &binding.username);
    let names = [username, of_binding, &credential.username];
    let name = names.into_iter().find(|name| !name.is_empty()).ok_or_else(|| {
        Failure::violation("username", "is missing, and neither the binding nor the credential has one")
    })?;
    let username = login_name("username", name)?;
    Ok(Login { key: Key::Saved(Box::new(credential)), username })
}

pub fn login_name(field: &str, text: &str) -> Result<LoginName, Failure> {
    LoginName::try_from(text.to_owned()).map_err(|_| Failure::violation(field, BadLoginName::DESCRIPTION))
}

/// With a stored key credential-store refuses by itself.
fn refuse_mismatched(server: &Server) -> Result<(), Failure> {
    if !server.mismatched {
        return Ok(());
    }
    let message = "The server has shown another host key than a pinned one; scan it, and approve its keys again or re-pin them.";
    Err(Failure::new(Reason::HostKeyMismatch, message).with("serverId", server.id.as_str()))
}

/// The server takes no new work.
pub fn refuse_inactive(server: &Server) -> Result<(), Failure> {
    if server.active {
        return Ok(());
    }
    let message = "The server is deactivated and takes no new work.";
    Err(Failure::new(Reason::ServerInactive, message).with("serverId", server.id.as_str()))
}
