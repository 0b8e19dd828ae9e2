//! Records the last connectivity test of a binding, and what was seen of the server.

use crate::app::find;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::ids::{CredentialId, TestId};
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Outcome};
use tracing::instrument;

const ACTION: &str = "directory.record";
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
        let test = TestId::parse(&seen.test_id)
            .map_err(|_| Failure::violation("testId", "must be an id of a test"))?;
        if !STATUSES.contains(&seen.status.as_str()) {
            return Err(Failure::violation("status", "must be HEALTHY, DEGRADED or UNREACHABLE"));
        }
        let credential = match seen.credential_id.as_str() {
            "" => None,
            id => Some(CredentialId::parse(id).map_err(|_| find::no_credential(id))?),
        };
        let version = version_line(&seen.server_version);
        let entry = Entry::new(ACTION)
            .tenant(Some(&server.tenant))
            .target(server.id.as_str())
            .detail("test", test.as_str())
            .detail("status", seen.status.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let recorded: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                find::server_in(&mut tx, &server.id).await?;
                if let Some(credential) = &credential {
                    store::server::record_test(&mut tx, &server.id, credential, test.as_str(), &seen.status)
                        .await?;
                }
                if !version.is_empty() {
                    store::server::record_seen(&mut tx, &server.id, &version).await?;
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

/// What a stranger's server sent, as far as it is printable ASCII.
fn version_line(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(MAX_VERSION_LINE).collect()
}
