//! A TCP proxy before a server: passes everything on, until it is told to hurt one connection.
//!
//! Invariant: a fault hurts the connection that it was meant for, at the byte that it was meant for, once; what comes
//! before and after passes unharmed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::error::{During, KitError};

/// What happens to a connection after so many bytes from the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Both ends see it closed.
    Cut,
    /// Nothing passes any more, in either direction; nobody is told.
    Stall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Connections that pass unharmed before.
    pub after_connections: usize,
    /// Bytes of the server that pass before.
    pub after_bytes: usize,
    pub harm: Harm,
}

#[derive(Debug, Default)]
struct Plan {
    fault: Option<Fault>,
    /// Whether it has hurt a connection.
    met: bool,
}

/// Running until dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Before what listens on this port of 127.0.0.1.
    pub async fn before(port: u16) -> Result<Self, KitError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.during("listening for a proxy")?;
        let address = listener.local_addr().during("listening for a proxy")?;
        let plan: Arc<Mutex<Plan>> = Arc::default();
        let shared = Arc::clone(&plan);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = next(&shared);
                tokio::spawn(pass(client, port, fault, Arc::clone(&shared)));
            }
        });
        Ok(Self { address, plan, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections are counted from now on.
    pub fn hurts(&self, fault: Fault) {
        *lock(&self.plan) = Plan { fault: Some(fault), met: false };
    }

    /// Everything passes again; whether the fault has hurt a connection.
    pub fn heals(&self) -> bool {
        std::mem::take(&mut *lock(&self.plan)).met
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(plan: &Mutex<Plan>) -> std::sync::MutexGuard<'_, Plan> {
    plan.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The fault of the connection that has just come.
fn next(plan: &Mutex<Plan>) -> Option<Fault> {
    let mut plan = lock(plan);
    let fault = plan.fault.as_mut()?;
    match fault.after_connections.checked_sub(1) {
        Some(left) => {
            fault.after_connections = left;
            None
        }
        None => plan.fault.take(),
    }
}

async fn pass(mut client: TcpStream, port: u16, fault: Option<Fault>, plan: Arc<Mutex<Plan>>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let Some(fault) = fault else {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let limit = u64::try_from(fault.after_bytes).unwrap_or(u64::MAX);
    let mut allowed = from_server.take(limit);
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => return,
        _ = tokio::io::copy(&mut allowed, &mut to_client) => {}
    }
    if allowed.limit() > 0 {
        return;
    }
    lock(&plan).met = true;
    if fault.harm == Harm::Stall {
        std::future::pending::<()>().await;
    }
}
