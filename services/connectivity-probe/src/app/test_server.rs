//! Tests a registered server with its bound credential, another saved one, or a one-time key. The result is kept.

use crate::adapters::custody::Custody;
use crate::adapters::directory::{Credential, Directory, Server};
use crate::adapters::journey::{Journey, Seen};
use crate::adapters::known_keys::KnownKeys;
use crate::login::{BadLoginName, LoginName};
use crate::one_time::{GivenKey, Intake, key_facts};
use crate::report::{CheckName, ConnectivityTest, Progress};
use crate::store::connectivity_test;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{CredentialId, TestId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::{Error, Failure};
use keywright_ssh::Identity;
use keywright_storage::{Db, Intent, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tracing::instrument;

const ACTION: &str = "connectivity_test.create";

pub struct TestServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub directory: Directory,
    pub outbound: Outbound,
    pub intake: Intake,
    pub journey: Journey,
}

/// What the caller asks for, as it came; empty where nothing was said.
pub struct Wanted {
    pub server: String,
    pub credential: String,
    pub username: String,
    pub one_time: Option<OneTime>,
}

/// A key for this test alone.
pub struct OneTime {
    pub key: GivenKey,
    pub username: String,
}

/// With what the test logs in.
struct Login {
    key: Key,
    username: LoginName,
}

enum Key {
    Saved(Box<Credential>),
    OneTime(GivenKey),
}

impl Login {
    fn credential(&self) -> Option<&CredentialId> {
        match &self.key {
            Key::Saved(credential) => Some(&credential.id),
            Key::OneTime(_) => None,
        }
    }
}

impl TestServer {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, wanted: Wanted) -> Result<ConnectivityTest, Failure> {
        let server = self.directory.server(caller, &wanted.server).await?;
        let (tenant, target) = (&server.tenant, server.id.as_str());
        self.guard.allow(caller, ACTION, Some(tenant), target, Reason::ServerNotFound).await?;
        let login = self.login(caller, &server, wanted).await?;
        if !server.active {
            let message = "The server is deactivated and takes no new work.";
            return Err(Failure::new(Reason::ServerInactive, message).with("serverId", target));
        }
        let id = TestId::random()?;
        let bound = login
            .credential()
            .cloned()
            .filter(|id| server.binding.as_ref().is_some_and(|b| b.credential == *id));
        let entry = Entry::new(ACTION)
            .tenant(Some(tenant))
            .target(target)
            .detail("testId", id.as_str())
            .detail("credential", login.credential().map_or("one-time", CredentialId::as_str))
            .detail("username", login.username.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.perform(caller, &intent, id, &server, login).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        let (test, server_version) = result?;
        if let Err(failure) = self.directory.record(caller, &test, bound.as_ref(), &server_version).await {
            tracing::warn!(reason = failure.reason.as_str(), server = %server.id, "a test result was not recorded with its server");
        }
        Ok(test)
    }

    /// Which key and which user: what was asked for, else what is bound.
    async fn login(&self, caller: &Caller, server: &Server, wanted: Wanted) -> Result<Login, Failure> {
        if let Some(one_time) = wanted.one_time {
            return one_time_login(one_time, &wanted.credential, &wanted.username);
        }
        let binding = server.binding.as_ref();
        let chosen = match (wanted.credential.as_str(), binding) {
            ("", None) => {
                let message = "The server has no credential bound; bind one, or name one for this test.";
                return Err(Failure::new(Reason::BindingNotFound, message).with("id", server.id.as_str()));
            }
            ("", Some(binding)) => binding.credential.as_str(),
            (named, _) => named,
        };
        let credential = self.directory.credential(caller, chosen).await?;
        if credential.tenant.as_ref() != Some(&server.tenant) {
            return Err(Failure::not_found(Reason::CredentialNotFound, chosen));
        }
        if credential.managed {
            let message = "The credential belongs to an SSH access and cannot be tested by itself.";
            return Err(Failure::new(Reason::CredentialIsManaged, message).with("credentialId", chosen));
        }
        let of_binding = binding.map_or("", |binding| &binding.username);
        let names = [wanted.username.as_str(), of_binding, &credential.username];
        let name = names.into_iter().find(|name| !name.is_empty()).ok_or_else(|| {
            Failure::violation("username", "is missing, and neither the binding nor the credential has one")
        })?;
        let username = login_name("username", name)?;
        Ok(Login { key: Key::Saved(Box::new(credential)), username })
    }

    async fn perform(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: TestId,
        server: &Server,
        login: Login,
    ) -> Result<(ConnectivityTest, String), Failure> {
        let checked_at = self.db.now().await?;
        let mut progress = Progress::default();
        let credential = login.credential().cloned();
        let identity = match login.key {
            Key::Saved(credential) => Some(saved_identity(
                self.outbound.clone(),
                caller,
                server,
                *credential,
                &login.username,
                &mut progress,
            )),
            Key::OneTime(given) => self.intake.open(&mut progress, given, &login.username).await,
        };
        let seen = match identity {
            None => Seen { progress, server_version: String::new() },
            Some(identity) => {
                let known = KnownKeys::Pinned(server.pins.clone());
                self.journey.travel(progress, &server.target(), &known, &identity).await?
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
        self.keep(intent, &test).await?;
        Ok((test, seen.server_version))
    }

    async fn keep(&self, intent: &Intent, test: &ConnectivityTest) -> Result<(), Failure> {
        let kept: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                connectivity_test::insert(&mut tx, test).await?;
                intent.done(&mut tx, outcome(test)).await?;
                Ok(tx.commit().await?)
            })
            .await;
        Ok(kept?)
    }
}

/// A stored key was read and decrypted when it was taken in; credential-store signs with it.
fn saved_identity(
    outbound: Outbound,
    caller: &Caller,
    server: &Server,
    credential: Credential,
    username: &LoginName,
    progress: &mut Progress,
) -> Identity {
    let facts = key_facts(&credential.public_key);
    progress.passed(CheckName::Key, "The saved key was read when it was taken in.", Duration::ZERO, facts);
    let said = if credential.encrypted_at_intake {
        "The key was decrypted when it was taken in."
    } else {
        "The key needs no passphrase."
    };
    progress.passed(CheckName::Passphrase, said, Duration::ZERO, Vec::new());
    let custody = Custody {
        outbound,
        caller: caller.clone(),
        server: server.id.clone(),
        credential: credential.id,
        version: None,
    };
    Identity {
        user: username.as_str().to_owned(),
        public_key: credential.public_key,
        port: Arc::new(custody),
    }
}

fn one_time_login(one_time: OneTime, credential: &str, username: &str) -> Result<Login, Failure> {
    if !credential.is_empty() {
        return Err(Failure::violation("credentialId", "cannot be given together with a one-time key"));
    }
    if !username.is_empty() {
        return Err(Failure::violation("username", "belongs into oneTime where a one-time key is given"));
    }
    let (given, username) = checked_one_time(one_time)?;
    Ok(Login { key: Key::OneTime(given), username })
}

/// What a one-time key needs before anything is done with it.
pub fn checked_one_time(one_time: OneTime) -> Result<(GivenKey, LoginName), Failure> {
    if one_time.key.private_key.is_empty() {
        return Err(Failure::violation("oneTime.privateKey", "is missing"));
    }
    let username = login_name("oneTime.username", &one_time.username)?;
    Ok((one_time.key, username))
}

pub fn login_name(field: &str, text: &str) -> Result<LoginName, Failure> {
    LoginName::try_from(text.to_owned()).map_err(|_| Failure::violation(field, BadLoginName::DESCRIPTION))
}

/// A failed test is a result: the operation succeeded.
pub fn outcome(test: &ConnectivityTest) -> Outcome {
    let outcome = Outcome::succeeded().with("status", test.report.status().as_str());
    match test.report.failed() {
        Some(check) => outcome.with("check", check.name.as_str()).with("checkCode", check.code.as_str()),
        None => outcome,
    }
}
