//! Loopback ports chosen at run time.
//!
//! Invariant: two tests never hold the same port, not even in different processes, and not even while the
//! server behind it is down: a port is held by a lock on a file, and lies below the range from which the kernel
//! takes the ports of outgoing connections.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::error::{During, KitError};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A port on 127.0.0.1, ours until dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// Reserves a port on which nothing listens.
pub fn free_port() -> Result<Port, KitError> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let folder = std::env::temp_dir().join("keywright-test-ports");
    std::fs::create_dir_all(&folder).during("creating the folder of port locks")?;
    // Processes start at different places, so that they seldom try the same port.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let offset = start.wrapping_mul(7).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let number = FIRST + offset;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(number.to_string()))
            .during("opening a port lock")?;
        if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
            return Ok(Port { number, _lock: lock });
        }
    }
    Err(KitError::Start { what: "a loopback port", detail: format!("none free from {FIRST} on") })
}

/// Whether somebody listens there, without connecting to it. Of loopback addresses only.
pub(crate) fn listening(address: SocketAddr) -> bool {
    let (table, ip) = match address {
        SocketAddr::V4(_) => ("/proc/net/tcp", "0100007F"),
        SocketAddr::V6(_) => ("/proc/net/tcp6", "00000000000000000000000001000000"),
    };
    let wanted = format!("{ip}:{:04X}", address.port());
    std::fs::read_to_string(table).is_ok_and(|table| {
        table.lines().any(|line| {
            let mut columns = line.split_whitespace().skip(1);
            columns.next() == Some(&wanted) && columns.nth(1) == Some("0A")
        })
    })
}
