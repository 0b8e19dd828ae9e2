//! Lets a server leave the product, while the caller waits.

use super::gates;
use crate::adapters::credential_store::CredentialStore;
use crate::held;
use crate::model::Release;
use crate::recovery;
use crate::release::{Line, Releaser};
use keywright_domain::caller::Caller;
use keywright_domain::ids::{ServerId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use tracing::instrument;

#[derive(Clone)]
pub struct ReleaseServer {
    pub db: Db,
    pub guard: Guard,
    pub store: CredentialStore,
    pub releaser: Releaser,
    /// Who holds the leases of this process.
    pub owner: String,
}

/// As it was asked for.
pub struct Asked {
    pub server: String,
    pub confirmation: Option<String>,
    pub leave_management_key: bool,
    pub comment: String,
}

impl ReleaseServer {
    #[instrument(skip_all, fields(server = shown(&asked.server)))]
    pub async fn run(&self, caller: &Caller, asked: Asked) -> Result<Release, Failure> {
        let missing = || Failure::not_found(Reason::ServerNotFound, &asked.server);
        let id = ServerId::parse(&asked.server).map_err(|_| missing())?;
        let server = self.store.server(&id).await?;
        let (tenant, target) = (Some(&server.tenant), id.as_str());
        self.guard.allow(caller, "server.release", tenant, target, Reason::ServerNotFound).await?;
        gates::comment(&asked.comment)?;
        gates::confirmed_server(asked.confirmation.as_deref(), &id)?;
        recovery::refuse_while_active(&self.db).await?;
        let line = if asked.leave_management_key { Line::IsLeft } else { Line::MustGo };
        let doing = self.releaser.run(caller, &server, line, &asked.comment);
        let done = held::held(&self.db, &lease(&id), &self.owner, held::SHORT, doing).await?;
        done.ok_or_else(|| Failure::new(Reason::RequestInProgress, "The server is being released."))
    }
}

/// One release of a server at a time.
fn lease(server: &ServerId) -> String {
    format!("release/{server}")
}
