//! Tests a registered server with its bound credential, another saved one, a one-time key, or one that stays with the caller.
//! The result is kept.

use crate::adapters::directory::Server;
use crate::dialogue::CallersKey;
use crate::fleet::Origin;
use crate::heartbeat::keep;
use crate::login::LoginName;
use crate::one_time::GivenKey;
use crate::report::ConnectivityTest;
use crate::tester::{Login, Tested, Tester, login_name, refuse_inactive};
use keywright_domain::caller::Caller;
use keywright_domain::ids::TestId;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "connectivity_test.create";

#[derive(Clone)]
pub struct TestServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub tester: Tester,
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

/// A test whose intent is in the log.
pub struct Begun {
    id: TestId,
    server: Server,
    login: Login,
    intent: Intent,
}

impl TestServer {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, wanted: Wanted) -> Result<ConnectivityTest, Failure> {
        let server = self.server(caller, &wanted.server).await?;
        let login = self.login(caller, &server, wanted).await?;
        let begun = self.begin(caller, server, login).await?;
        self.finish(caller, begun).await
    }

    /// With a key that stays with the caller; `key` is looked at only for who may test this server.
    #[instrument(skip_all)]
    pub async fn begin_by_caller(
        &self,
        caller: &Caller,
        server: &str,
        key: impl FnOnce() -> Result<CallersKey, Failure>,
    ) -> Result<Begun, Failure> {
        let server = self.server(caller, server).await?;
        self.begin(caller, server, Login::by_caller(key()?)).await
    }

    async fn server(&self, caller: &Caller, id: &str) -> Result<Server, Failure> {
        super::server(&self.tester.directory, &self.guard, caller, ACTION, id).await
    }

    async fn begin(&self, caller: &Caller, server: Server, login: Login) -> Result<Begun, Failure> {
        refuse_inactive(&server)?;
        let id = TestId::random()?;
        let entry = Entry::new(ACTION)
            .tenant(Some(&server.tenant))
            .target(server.id.as_str())
            .detail("testId", id.as_str())
            .detail("credential", login.said())
            .detail("username", login.username().as_str());
        let entry = match login.fingerprint() {
            Some(fingerprint) => entry.detail("fingerprint", fingerprint.as_str()),
            None => entry,
        };
        let intent = self.audit.intend(caller, entry).await?;
        Ok(Begun { id, server, login, intent })
    }

    #[instrument(skip_all)]
    pub async fn finish(&self, caller: &Caller, begun: Begun) -> Result<ConnectivityTest, Failure> {
        let Begun { id, server, login, intent } = begun;
        let result = self.perform(caller, &intent, id, &server, login).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        let tested = result?;
        self.tester.tell(caller, &tested).await;
        Ok(tested.test)
    }

    /// Which key and which user: what was asked for, else what is bound.
    async fn login(&self, caller: &Caller, server: &Server, wanted: Wanted) -> Result<Login, Failure> {
        match wanted.one_time {
            Some(one_time) => one_time_login(one_time, &wanted.credential, &wanted.username),
            None => self.tester.saved_login(caller, server, &wanted.credential, &wanted.username).await,
        }
    }

    async fn perform(
        &self,
        caller: &Caller,
        intent: &Intent,
        id: TestId,
        server: &Server,
        login: Login,
    ) -> Result<Tested, Failure> {
        let tested = self.tester.measure(caller, id, server, login).await?;
        self.keep(intent, &tested).await?;
        Ok(tested)
    }

    async fn keep(&self, intent: &Intent, tested: &Tested) -> Result<(), Failure> {
        let kept: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                keep(&mut tx, tested, Origin::Request).await?;
                intent.done(&mut tx, outcome(&tested.test)).await?;
                Ok(tx.commit().await?)
            })
            .await;
        Ok(kept?)
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
    Ok(Login::once(given, username))
}

/// What a one-time key needs before anything is done with it.
pub fn checked_one_time(one_time: OneTime) -> Result<(GivenKey, LoginName), Failure> {
    if one_time.key.private_key.is_empty() {
        return Err(Failure::violation("oneTime.privateKey", "is missing"));
    }
    let username = login_name("oneTime.username", &one_time.username)?;
    Ok((one_time.key, username))
}

/// A failed test is a result: the operation succeeded.
pub fn outcome(test: &ConnectivityTest) -> Outcome {
    let outcome = Outcome::succeeded().with("status", test.report.status().as_str());
    match test.report.failed() {
        Some(check) => outcome.with("check", check.name.as_str()).with("checkCode", check.code.as_str()),
        None => outcome,
    }
}
