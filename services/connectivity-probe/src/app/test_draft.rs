//! Tests a server that is not registered, with a one-time key or one that stays with the caller. Nothing is stored; the use
//! of the key is audited.

use crate::adapters::journey::{Journey, Seen};
use crate::adapters::known_keys::KnownKeys;
use crate::adapters::route::Routes;
use crate::app::test_server::{OneTime, checked_one_time, outcome};
use crate::dialogue::CallersKey;
use crate::login::LoginName;
use crate::one_time::{GivenKey, Intake};
use crate::report::{ConnectivityTest, Progress};
use crate::tester::CALLERS_AGENT;
use keywright_domain::caller::Caller;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::host::{HostName, Port};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
use keywright_ssh::Target;
use keywright_storage::{Db, Intent};
use tracing::instrument;

const ACTION: &str = "connectivity_test.draft";

/// More fingerprints than a server has keys are a mistake.
const MAX_EXPECTED: usize = 16;

#[derive(Clone)]
pub struct TestDraft {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub intake: Intake,
    pub journey: Journey,
    pub routes: Routes,
}

/// What the caller asks for, as it came.
pub struct Wanted {
    pub host: String,
    /// 0: the default.
    pub port: i32,
    pub key: WantedKey,
    pub expected_host_keys: Vec<String>,
    /// Empty: it is reached directly.
    pub jump_host: String,
}

pub enum WantedKey {
    OneTime(Option<OneTime>),
    Callers(Result<CallersKey, Failure>),
}

enum Key {
    OneTime(GivenKey),
    Callers(Box<CallersKey>),
}

struct Draft {
    host: HostName,
    port: Port,
    key: Key,
    username: LoginName,
    expected: Vec<Fingerprint>,
    jump_host: String,
}

/// A test whose intent is in the log.
pub struct Begun {
    draft: Draft,
    intent: Intent,
}

impl TestDraft {
    pub async fn run(&self, caller: &Caller, wanted: Wanted) -> Result<ConnectivityTest, Failure> {
        let begun = self.begin(caller, wanted).await?;
        self.finish(caller, begun).await
    }

    #[instrument(skip_all)]
    pub async fn begin(&self, caller: &Caller, wanted: Wanted) -> Result<Begun, Failure> {
        let tenant = caller.principal.tenant.as_ref();
        self.guard.allow(caller, ACTION, tenant, "", Reason::ServerNotFound).await?;
        let draft = parse(wanted)?;
        let target = format!("{}:{}", draft.host, draft.port);
        let entry = Entry::new(ACTION)
            .tenant(tenant)
            .target(&target)
            .detail("credential", draft.key.said())
            .detail("username", draft.username.as_str());
        let entry = match &draft.key {
            Key::Callers(key) => entry.detail("fingerprint", key.public_key.fingerprint().as_str()),
            Key::OneTime(_) => entry,
        };
        let entry = match draft.jump_host.as_str() {
            "" => entry,
            jump_host => entry.detail("jumpHost", jump_host),
        };
        let intent = self.audit.intend(caller, entry).await?;
        Ok(Begun { draft, intent })
    }

    #[instrument(skip_all)]
    pub async fn finish(&self, caller: &Caller, begun: Begun) -> Result<ConnectivityTest, Failure> {
        let Begun { draft, intent } = begun;
        let result = self.perform(caller, &intent, draft).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn perform(
        &self,
        caller: &Caller,
        intent: &Intent,
        draft: Draft,
    ) -> Result<ConnectivityTest, Failure> {
        let checked_at = self.db.now().await?;
        let mut progress = Progress::default();
        let target = Target::new(draft.host.as_str(), draft.port.get());
        let identity = match draft.key {
            Key::OneTime(key) => self.intake.open(&mut progress, key, &draft.username).await,
            Key::Callers(key) => Some(key.identity(caller, (&draft.host, draft.port), &mut progress)),
        };
        let seen = match identity {
            None => Seen { progress, server_version: String::new() },
            Some(identity) => {
                let known = KnownKeys::Expected(draft.expected);
                let way = self.routes.to_target(caller, target, &draft.jump_host).await?;
                self.journey.travel(progress, &way, &known, &identity).await?
            }
        };
        let test = ConnectivityTest {
            id: None,
            server: None,
            credential: None,
            host: draft.host,
            port: draft.port,
            username: draft.username,
            checked_at,
            report: seen.progress.finish(),
        };
        self.audit.settle(&self.db, intent, outcome(&test)).await?;
        Ok(test)
    }
}

impl Key {
    /// For the audit log.
    const fn said(&self) -> &'static str {
        match self {
            Self::OneTime(_) => "one-time",
            Self::Callers(_) => CALLERS_AGENT,
        }
    }
}

fn parse(wanted: Wanted) -> Result<Draft, Failure> {
    let host = HostName::parse(&wanted.host).map_err(|bad| Failure::violation("host", bad.to_string()))?;
    let port = match wanted.port {
        0 => Port::SSH,
        port => Port::try_from(i64::from(port)).map_err(|bad| Failure::violation("port", bad.to_string()))?,
    };
    if wanted.expected_host_keys.len() > MAX_EXPECTED {
        return Err(Failure::violation("expectedHostKeys", format!("must be at most {MAX_EXPECTED}")));
    }
    let expected = wanted.expected_host_keys.iter().map(|text| Fingerprint::parse(text));
    let expected = expected
        .collect::<Result<Vec<_>, _>>()
        .map_err(|bad| Failure::violation("expectedHostKeys", bad.to_string()))?;
    let (key, username) = match wanted.key {
        WantedKey::OneTime(one_time) => {
            let one_time = one_time.ok_or_else(|| Failure::violation("oneTime", "is missing"))?;
            let (key, username) = checked_one_time(one_time)?;
            (Key::OneTime(key), username)
        }
        WantedKey::Callers(key) => {
            let key = key?;
            let username = key.username.clone();
            (Key::Callers(Box::new(key)), username)
        }
    };
    Ok(Draft { host, port, key, username, expected, jump_host: wanted.jump_host })
}
