//! The way to a server: directly, or through jump hosts that credential-store names, each logged in to with what is bound
//! to it.

use super::custody::Custody;
use super::directory::{Directory, OnTheWay, Server};
use keywright_domain::caller::Caller;
use keywright_domain::ids::ServerId;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_ssh::{Identity, JumpHost, Target};
use std::sync::Arc;

/// Where to, and through which servers.
pub struct Way {
    pub target: Target,
    pub route: Vec<JumpHost>,
}

#[derive(Clone)]
pub struct Routes {
    pub directory: Directory,
    pub outbound: Outbound,
}

impl Routes {
    /// To a registered server.
    pub async fn to(&self, caller: &Caller, server: &Server) -> Result<Way, Failure> {
        let route = match &server.jump_host {
            None => Vec::new(),
            Some(jump_host) => self.by(caller, jump_host, Some(&server.id)).await?,
        };
        Ok(Way { target: server.target(), route })
    }

    /// To a server that is not registered, through one that is; directly where none is named.
    pub async fn to_target(&self, caller: &Caller, target: Target, jump_host: &str) -> Result<Way, Failure> {
        let route = match jump_host {
            "" => Vec::new(),
            id => {
                let jump_host = ServerId::parse(id)
                    .map_err(|_| Failure::violation("jumpHostId", "is not the id of a server"))?;
                self.by(caller, &jump_host, None).await?
            }
        };
        Ok(Way { target, route })
    }

    async fn by(
        &self,
        caller: &Caller,
        jump_host: &ServerId,
        towards: Option<&ServerId>,
    ) -> Result<Vec<JumpHost>, Failure> {
        let route = self.directory.route(caller, jump_host).await?;
        Ok(route.into_iter().map(|on| self.jump_host(caller, on, towards)).collect())
    }

    fn jump_host(&self, caller: &Caller, on: OnTheWay, towards: Option<&ServerId>) -> JumpHost {
        let OnTheWay { server, credential } = on;
        let custody = Custody {
            outbound: self.outbound.clone(),
            caller: caller.clone(),
            server: server.id.clone(),
            credential: credential.id,
            version: None,
            towards: towards.cloned(),
        };
        let target = server.target();
        JumpHost {
            target,
            name: server.name,
            known: server.known,
            identity: Identity {
                user: server.binding.map(|binding| binding.username).unwrap_or_default(),
                public_key: credential.public_key,
                certificate: credential.certificate,
                port: Arc::new(custody),
            },
        }
    }
}
