//! A TCP proxy before an SSH server: passes everything on, until it is told to hurt one connection.
//!
//! Invariant: a fault hurts the connection that it was meant for, at the stage that it was meant for, once; what comes
//! before and after passes unharmed. The proxy reads along as far as the protocol is in the clear, and from there on
//! counts the server's answers: it says that a stage was met only where the connection came to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::error::{During, KitError};

/// What happens to a connection at its stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Both ends see it closed.
    Cut,
    /// Nothing passes any more, in either direction, and nobody is told; once it heals, both ends see it closed. Otherwise
    /// a server that allows few who are not logged in (Dropbear: five from one address) would soon take nobody.
    Stall,
}

/// How far the server has come in one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing of it passes.
    Connected,
    /// In the middle of its identification.
    Banner,
    /// In the middle of the key exchange.
    KeyExchange,
    /// It has its keys.
    Keys,
    /// It has answered the first that was asked of it in secret: nobody is logged in yet.
    Login,
    /// It has answered so often that a command is at work.
    Session,
}

impl Stage {
    pub const ALL: [Self; 6] =
        [Self::Connected, Self::Banner, Self::KeyExchange, Self::Keys, Self::Login, Self::Session];

    /// Answers after the keys: the service, the key, the login, the channel, the command.
    const fn answers(self) -> usize {
        match self {
            Self::Login => 1,
            Self::Session => 5,
            _ => 0,
        }
    }

    /// How much of what the server said in the clear passes; none if it has not come so far.
    fn clear_bytes(self, said: &[u8]) -> Option<usize> {
        /// SSH_MSG_NEWKEYS
        const NEW_KEYS: u8 = 21;
        let banner = said.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let within = |bytes: usize| (said.len() > bytes).then_some(bytes);
        match self {
            Self::Connected => Some(0),
            Self::Banner => within(10),
            Self::KeyExchange => within(banner? + 100),
            Self::Keys | Self::Login | Self::Session => {
                let mut at = banner?;
                loop {
                    let length = said.get(at..at + 4)?.try_into().map(u32::from_be_bytes).ok()?;
                    let end = at + 4 + usize::try_from(length).ok()?;
                    let packet = said.get(at..end)?;
                    if packet.get(5) == Some(&NEW_KEYS) {
                        return Some(end);
                    }
                    at = end;
                }
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Connections that pass unharmed before.
    pub after_connections: usize,
    pub stage: Stage,
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
    healed: Arc<Notify>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Before what listens on this port of 127.0.0.1.
    pub async fn before(port: u16) -> Result<Self, KitError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.during("listening for a proxy")?;
        let address = listener.local_addr().during("listening for a proxy")?;
        let (plan, healed): (Arc<Mutex<Plan>>, Arc<Notify>) = Default::default();
        let (shared, ends_stalls) = (Arc::clone(&plan), Arc::clone(&healed));
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let fault = next(&shared);
                tokio::spawn(pass(client, port, fault, Arc::clone(&shared), Arc::clone(&ends_stalls)));
            }
        });
        Ok(Self { address, plan, healed, accepting })
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Connections are counted from now on.
    pub fn hurts(&self, fault: Fault) {
        *lock(&self.plan) = Plan { fault: Some(fault), met: false };
    }

    /// Whether the fault has hurt a connection, at its stage.
    pub fn is_met(&self) -> bool {
        lock(&self.plan).met
    }

    /// Everything passes again; whether the fault has hurt a connection, at its stage.
    pub fn heals(&self) -> bool {
        self.healed.notify_waiters();
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

async fn pass(
    mut client: TcpStream,
    port: u16,
    fault: Option<Fault>,
    plan: Arc<Mutex<Plan>>,
    healed: Arc<Notify>,
) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    if client.set_nodelay(true).is_err() || server.set_nodelay(true).is_err() {
        return;
    }
    let Some(fault) = fault else {
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
        return;
    };
    if !comes_to(fault.stage, &mut client, &mut server).await {
        return;
    }
    lock(&plan).met = true;
    if fault.harm == Harm::Stall {
        healed.notified().await;
    }
}

/// Passes everything on until the server is at the stage; false if the connection ends before.
async fn comes_to(stage: Stage, client: &mut TcpStream, server: &mut TcpStream) -> bool {
    if stage == Stage::Connected {
        return true;
    }
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut asked, mut answer) = ([0; 16 * 1024], [0; 16 * 1024]);
    // What was said in the clear, how much of it has passed, and whether it is over.
    let (mut said, mut passed, mut secret) = (Vec::new(), 0, false);
    let (mut answers, mut is_asked) = (0, false);
    loop {
        tokio::select! {
            read = from_client.read(&mut asked) => match read {
                Ok(length) if length > 0 && to_server.write_all(&asked[..length]).await.is_ok() => is_asked = true,
                _ => return false,
            },
            read = from_server.read(&mut answer) => {
                let Ok(length @ 1..) = read else { return false };
                if secret {
                    answers += usize::from(std::mem::take(&mut is_asked));
                    if to_client.write_all(&answer[..length]).await.is_err() {
                        return false;
                    }
                } else {
                    said.extend_from_slice(&answer[..length]);
                    let clear = stage.clear_bytes(&said);
                    let ends_there = clear.filter(|_| stage.answers() == 0);
                    let until = ends_there.unwrap_or(said.len());
                    if to_client.write_all(&said[passed..until]).await.is_err() {
                        return false;
                    }
                    if ends_there.is_some() {
                        return true;
                    }
                    (passed, secret, is_asked) = (until, clear.is_some(), false);
                }
                if secret && answers >= stage.answers() {
                    return true;
                }
            }
        }
    }
}
