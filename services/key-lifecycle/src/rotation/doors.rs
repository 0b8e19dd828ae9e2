//! The doors that one run of a rotation has opened: its steps on a host follow one another within a second, and share a
//! login.

use super::Converger;
use crate::adapters::door::Door;
use keywright_domain::ids::ServerId;
use keywright_runtime::failure::Failure;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Doors(Mutex<HashMap<ServerId, Door>>);

impl Doors {
    pub(super) async fn to(
        &self,
        converger: &Converger,
        server: &ServerId,
        work: &str,
    ) -> Result<Door, Failure> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(server);
        let door = match known {
            Some(door) if door.is_fresh() => door,
            old => {
                if let Some(old) = old {
                    old.close().await;
                }
                converger.door(server, work).await?.kept_open()
            }
        };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(server.clone(), door.clone());
        Ok(door)
    }

    pub(super) async fn close(&self) {
        let doors = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        futures_util::future::join_all(doors.values().map(Door::close)).await;
    }
}
