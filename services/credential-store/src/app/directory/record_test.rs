//! Records the last connectivity tests of bindings, and what was seen of the servers: one, or those of a fleet.

use crate::app::find;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, ServerId, TestId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "directory.record";
/// Of one call.
const MOST: usize = 100;
const STATUSES: &[&str] = &["HEALTHY", "DEGRADED", "UNREACHABLE"];

/// The longest version line that SSH allows (RFC 4253, section 4.2).
const MAX_VERSION_LINE: usize = 255;

pub struct RecordTestResult {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

/// As it came.
pub struct TestResult {
    pub server_id: String,
    /// Empty: not a saved credential.
    pub credential_id: String,
    pub test_id: String,
    pub status: String,
    pub server_version: String,
}

impl RecordTestResult {
    #[instrument(skip_all, fields(server = shown(&seen.server_id), test = shown(&seen.test_id)))]
    pub async fn run(&self, caller: &Caller, seen: TestResult) -> Result<(), Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, &seen.server_id).await?;
        let seen = parse(&seen)?;
        let entry = Entry::new(ACTION)
            .tenant(Some(&server.tenant))
            .target(server.id.as_str())
            .detail("test", seen.test.as_str())
            .detail("status", seen.status);
        self.keep(caller, entry, &[seen], Gone::Fails).await
    }

    /// Those of a fleet test. Servers that are gone are left out.
    #[instrument(skip_all, fields(results = seen.len()))]
    pub async fn run_all(&self, caller: &Caller, seen: Vec<TestResult>) -> Result<(), Failure> {
        let work = caller.principal.work.as_deref().unwrap_or_default();
        self.guard.allow(caller, ACTION, None, work, Reason::ServerNotFound).await?;
        if seen.len() > MOST {
            return Err(Failure::violation("results", format!("must be at most {MOST}")));
        }
        let seen = seen.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        let entry = Entry::new(ACTION).target(work).detail("tests", seen.len().to_string());
        self.keep(caller, entry, &seen, Gone::IsLeftOut).await
    }

    async fn keep(
        &self,
        caller: &Caller,
        entry: Entry<'_>,
        all: &[Seen<'_>],
        gone: Gone,
    ) -> Result<(), Failure> {
        let intent = self.audit.intend(caller, entry).await?;
        let recorded: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                for seen in all {
                    if !record(&mut tx, seen).await? && gone == Gone::Fails {
                        return Err(find::no_server(seen.server.as_str()).into());
                    }
                }
                intent.done(&mut tx, Outcome::succeeded()).await?;
                Ok(tx.commit().await?)
            })
            .await;
        let result = recorded.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }
}

/// What a server means that is gone by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gone {
    Fails,
    IsLeftOut,
}

/// A result that can be recorded.
struct Seen<'a> {
    server: ServerId,
    credential: Option<CredentialId>,
    test: TestId,
    status: &'a str,
    version: String,
}

fn parse(seen: &TestResult) -> Result<Seen<'_>, Failure> {
    let server = ServerId::parse(&seen.server_id).map_err(|_| find::no_server(&seen.server_id))?;
    let test =
        TestId::parse(&seen.test_id).map_err(|_| Failure::violation("testId", "must be an id of a test"))?;
    let status = seen.status.as_str();
    if !STATUSES.contains(&status) {
        return Err(Failure::violation("status", "must be HEALTHY, DEGRADED or UNREACHABLE"));
    }
    let credential = match seen.credential_id.as_str() {
        "" => None,
        id => Some(CredentialId::parse(id).map_err(|_| find::no_credential(id))?),
    };
    Ok(Seen { server, credential, test, status, version: version_line(&seen.server_version) })
}

/// Whether the server is there.
async fn record(tx: &mut Tx, seen: &Seen<'_>) -> Result<bool, Error> {
    let Seen { server, credential, test, status, version } = seen;
    Ok(store::server::record_result(tx, server, credential.as_ref(), test.as_str(), status, version).await?)
}

/// What a stranger's server sent, as far as it is printable ASCII.
fn version_line(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_VERSION_LINE).collect()
}
