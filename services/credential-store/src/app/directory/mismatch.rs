//! Records that a server showed another host key than a pinned one. From then on nothing is signed for it.
//!
//! Invariant: people are told once of each mismatch: the notice is written with the flag, which later ones find.

use crate::app::find;
use crate::domain::host_key_notice::{Around, HostKeyNotice};
use crate::domain::server::{Mismatch, Server};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::ids::shown;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "directory.record";
/// What it is called in the log.
const EVENT: &str = "server.host_key_mismatch";

pub struct ReportMismatch {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl ReportMismatch {
    #[instrument(skip_all, fields(server = shown(server)))]
    pub async fn run(&self, caller: &Caller, server: &str, presented: &str) -> Result<(), Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, server).await?;
        let presented = Fingerprint::parse(presented)
            .map_err(|error| Failure::violation("fingerprint", error.to_string()))?;
        let is_pinned =
            |server: &Server| server.host_keys.iter().any(|pin| pin.key.fingerprint() == presented);
        // Said before, or re-pinned since it was seen.
        if server.mismatch.is_some() || is_pinned(&server) {
            return Ok(());
        }
        let pinned: Vec<String> =
            server.host_keys.iter().map(|pin| pin.key.fingerprint().to_string()).collect();
        let entry = Entry::new(EVENT)
            .tenant(Some(&server.tenant))
            .target(server.id.as_str())
            .detail("presented", presented.as_str())
            .detail("pinned", pinned.join(" "));
        let intent = self.audit.intend(caller, entry).await?;
        let recorded: Result<(), Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(&intent).await?;
                let now = find::server_in(&mut tx, &server.id).await?;
                if now.mismatch.is_none() && !is_pinned(&now) {
                    let seen = Mismatch { presented: presented.clone(), seen_at: tx.now() };
                    store::server::record_mismatch(&mut tx, &server.id, &seen).await?;
                    tell(&mut tx, &now, &seen, caller, &intent).await?;
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

async fn tell(
    tx: &mut Tx,
    server: &Server,
    seen: &Mismatch,
    caller: &Caller,
    intent: &Intent,
) -> Result<(), Error> {
    let jump_host = match &server.jump_host {
        Some(id) => store::server::find_in(tx, id).await?,
        None => None,
    };
    let behind = store::server::led_to_in(tx, &server.id).await?;
    let around = Around { jump_host: jump_host.as_ref().map(|server| server.name.as_str()), behind: &behind };
    let notice = HostKeyNotice::mismatch(intent.event(), server, seen, caller, around);
    store::host_key_notice::insert(tx, &notice).await?;
    Ok(())
}
