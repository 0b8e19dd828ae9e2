//! Proves that a version of a credential logs in, signed by credential-store. A refused login is a receipt too.

use crate::adapters::custody::Custody;
use crate::adapters::directory::{Directory, Server};
use crate::adapters::prober::Prober;
use crate::adapters::route::Routes;
use crate::app::Receipt;
use crate::login::LoginName;
use crate::tester::login_name;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{CredentialId, VersionId};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_ssh::Identity;
use keywright_storage::{Db, Intent};
use std::sync::Arc;
use tracing::instrument;

const ACTION: &str = "proof.login";

pub struct ProveLogin {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub directory: Directory,
    pub outbound: Outbound,
    pub routes: Routes,
    pub prober: Prober,
}

/// What is to be proven, as it came.
pub struct Claim {
    pub server: String,
    pub credential: String,
    pub version: String,
    pub public_key: String,
    pub username: String,
}

struct Login {
    credential: CredentialId,
    version: VersionId,
    public_key: PublicKey,
    username: LoginName,
}

impl ProveLogin {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, claim: Claim) -> Result<Receipt, Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, &claim.server).await?;
        let (tenant, target) = (Some(&server.tenant), server.id.as_str());
        let login = parse(&claim)?;
        server.require_pins()?;
        let entry = Entry::new(ACTION)
            .tenant(tenant)
            .target(target)
            .detail("credentialId", login.credential.as_str())
            .detail("versionId", login.version.as_str())
            .detail("fingerprint", login.public_key.fingerprint().as_str())
            .detail("username", login.username.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.perform(caller, &intent, &server, login).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn perform(
        &self,
        caller: &Caller,
        intent: &Intent,
        server: &Server,
        login: Login,
    ) -> Result<Receipt, Failure> {
        let custody = Custody {
            outbound: self.outbound.clone(),
            caller: caller.clone(),
            server: server.id.clone(),
            credential: login.credential,
            version: Some(login.version),
            towards: None,
        };
        let identity = Identity {
            user: login.username.as_str().to_owned(),
            public_key: login.public_key,
            certificate: None,
            port: Arc::new(custody),
        };
        let way = self.routes.to(caller, server).await?;
        match self.prober.login(&way, &server.known, &identity).await {
            Ok(shown) => Receipt::record(&self.db, intent, shown).await,
            Err(failure) => {
                self.directory.note_mismatch(caller, &server.id, &failure).await;
                Err(failure)
            }
        }
    }
}

fn parse(claim: &Claim) -> Result<Login, Failure> {
    Ok(Login {
        credential: CredentialId::parse(&claim.credential)
            .map_err(|_| Failure::not_found(Reason::CredentialNotFound, &claim.credential))?,
        version: VersionId::parse(&claim.version)
            .map_err(|_| Failure::not_found(Reason::VersionNotFound, &claim.version))?,
        public_key: public_key(&claim.public_key)?,
        username: login_name("username", &claim.username)?,
    })
}

pub fn public_key(text: &str) -> Result<PublicKey, Failure> {
    PublicKey::parse_openssh(text).map_err(|bad| Failure::violation("publicKey", bad.to_string()))
}
