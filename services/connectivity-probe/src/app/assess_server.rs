//! Reads which algorithms a registered server offers, and grades them. Nothing is authenticated, nothing is kept.

use crate::adapters::directory::{Directory, Server};
use crate::adapters::prober::Prober;
use crate::adapters::route::Routes;
use keywright_domain::caller::Caller;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
use keywright_ssh::{Assessment, ServerOffer, assess};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "server.assess";

pub struct AssessServer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub directory: Directory,
    pub routes: Routes,
    pub prober: Prober,
}

impl AssessServer {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, server: &str) -> Result<(ServerOffer, Assessment), Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, server).await?;
        let (tenant, target) = (Some(&server.tenant), server.id.as_str());
        let intent = self.audit.intend(caller, Entry::new(ACTION).tenant(tenant).target(target)).await?;
        let result = self.look(caller, &server, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn look(
        &self,
        caller: &Caller,
        server: &Server,
        intent: &Intent,
    ) -> Result<(ServerOffer, Assessment), Failure> {
        let offered = self.prober.offered(&self.routes.to(caller, server).await?).await?;
        let assessment = assess(&offered.offer);
        let outcome = Outcome::succeeded().with("grade", assessment.grade.as_str());
        self.audit.settle(&self.db, intent, outcome).await?;
        Ok((offered, assessment))
    }
}
