//! The doors that one run of a rotation has opened: its steps on a host follow one another within a second, and share a
//! login. The first of them is opened ahead, while the key is made: by the request that makes it, for the run that follows.

use super::Converger;
use crate::adapters::door::{Door, LASTS};
use crate::model::Access;
use keywright_domain::ids::{RotationId, ServerId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::task::AbortOnDropHandle;

/// What a first step opened, until the run that follows takes it or nobody does.
#[derive(Debug, Clone, Default)]
pub struct Ahead(Arc<Mutex<HashMap<RotationId, Arc<Doors>>>>);

impl Ahead {
    pub(super) fn leave(&self, id: &RotationId, doors: Arc<Doors>) {
        if doors.is_empty() {
            return;
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.clone(), doors);
        let (ahead, id) = (self.clone(), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(LASTS).await;
            ahead.take(&id).close().await;
        });
    }

    pub(super) fn take(&self, id: &RotationId) -> Arc<Doors> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(id).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<HashMap<ServerId, Opened>>);

#[derive(Debug)]
enum Opened {
    Door(Box<Door>),
    /// On its way; given up where nobody needs it any more.
    Ahead(AbortOnDropHandle<Result<Door, Failure>>),
}

impl Doors {
    /// Logs in, and sees what an edit begins with. Whoever comes to the door waits for it, and fails as it does.
    pub(super) fn open_ahead(&self, converger: &Converger, server: &ServerId, access: &Access, work: &str) {
        let (converger, to, work) = (converger.clone(), server.clone(), work.to_owned());
        let account = access.account.clone();
        let opening = tokio::spawn(async move {
            let door = converger.door(&to, &work).await?.kept_open();
            converger.hosts.look_ahead(&door, &account).await?;
            Ok(door)
        });
        self.keep(server, Opened::Ahead(AbortOnDropHandle::new(opening)));
    }

    pub(super) async fn to(
        &self,
        converger: &Converger,
        server: &ServerId,
        work: &str,
    ) -> Result<Door, Failure> {
        let known = match self.take(server) {
            Some(Opened::Door(door)) => Some(*door),
            Some(Opened::Ahead(opening)) => {
                let lost = |_| Err(Failure::new(Reason::Internal, "A login that was begun was lost."));
                Some(opening.await.unwrap_or_else(lost)?)
            }
            None => None,
        };
        let door = match known {
            Some(door) if door.is_fresh() => door,
            old => {
                if let Some(old) = old {
                    old.close().await;
                }
                converger.door(server, work).await?.kept_open()
            }
        };
        self.keep(server, Opened::Door(Box::new(door.clone())));
        Ok(door)
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn take(&self, server: &ServerId) -> Option<Opened> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(server)
    }

    fn keep(&self, server: &ServerId, opened: Opened) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server.clone(), opened);
    }

    pub(super) async fn close(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let doors = all.values().filter_map(|opened| match opened {
            Opened::Door(door) => Some(door.close()),
            Opened::Ahead(_) => None,
        });
        futures_util::future::join_all(doors).await;
    }
}
