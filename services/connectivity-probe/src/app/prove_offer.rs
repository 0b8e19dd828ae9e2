//! Proves by an unsigned offer that a public key is accepted or refused: needs no private key, opens no session.

use crate::adapters::directory::{Directory, Server};
use crate::adapters::prober::{Prober, Shown};
use crate::adapters::route::Routes;
use crate::app::Receipt;
use crate::app::prove_login::public_key;
use crate::tester::login_name;
use keywright_domain::caller::{Caller, PrincipalKind};
use keywright_domain::host::KnownHost;
use keywright_domain::ids::RevocationId;
use keywright_domain::key::PublicKey;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use tracing::instrument;

const ACTION: &str = "proof.offer";

pub struct ProveOffer {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub directory: Directory,
    pub routes: Routes,
    pub prober: Prober,
}

/// What is to be proven, as it came.
pub struct Claim {
    pub server: String,
    pub public_key: String,
    pub username: String,
}

impl ProveOffer {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, claim: Claim) -> Result<Receipt, Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, &claim.server).await?;
        let (tenant, target) = (Some(&server.tenant), server.id.as_str());
        let key = public_key(&claim.public_key)?;
        let username = login_name("username", &claim.username)?;
        let pins = server.require_pins()?;
        let entry = Entry::new(ACTION)
            .tenant(tenant)
            .target(target)
            .detail("fingerprint", key.fingerprint().as_str())
            .detail("username", username.as_str());
        // A log that does not answer holds no revocation back: its intent is kept with the receipt.
        let intent = if is_revocation(caller) {
            self.audit.intend_or_spool(caller, entry, self.db.now().await?).await?
        } else {
            self.audit.intend(caller, entry).await?
        };
        let result = match self.offer(caller, &server, pins, username.as_str(), &key).await {
            Ok(shown) => Receipt::record(&self.db, &intent, shown).await,
            Err(failure) => {
                self.directory.note_mismatch(caller, &server.id, &failure).await;
                Err(failure)
            }
        };
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn offer(
        &self,
        caller: &Caller,
        server: &Server,
        known: &KnownHost,
        user: &str,
        key: &PublicKey,
    ) -> Result<Shown, Failure> {
        let way = self.routes.to(caller, server).await?;
        self.prober.offer(&way, known, user, key).await
    }
}

fn is_revocation(caller: &Caller) -> bool {
    let work = caller.principal.work.as_deref().filter(|_| caller.principal.kind == PrincipalKind::System);
    work.is_some_and(|work| RevocationId::parse(work).is_ok())
}
