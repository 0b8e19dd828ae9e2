//! A name server that answers every name as the test says, and changes its mind when told.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const HEADER: usize = 12;
const TYPE_A: [u8; 2] = [0, 1];

/// Answers A queries with no time to live, each time with the next of its lists of addresses.
pub struct Names {
    folder: TempDir,
    answers: Arc<Mutex<Vec<Vec<Ipv4Addr>>>>,
    asked: Arc<AtomicUsize>,
}

impl Names {
    /// Answers with one of `addresses` after the other.
    pub fn start(addresses: &[Ipv4Addr]) -> Self {
        // Port 53 on an address that no other test of this machine has.
        let [.., a, b] = std::process::id().to_be_bytes();
        let socket = (1..=250)
            .find_map(|c| UdpSocket::bind((Ipv4Addr::new(127, 128 | a & 63, b, c), 53)).ok())
            .expect("port 53 of a loopback address (root is needed)");
        let folder = tempfile::tempdir().unwrap();
        let server = socket.local_addr().unwrap().ip();
        std::fs::write(
            folder.path().join("resolv.conf"),
            format!("nameserver {server}\noptions timeout:5 attempts:2\n"),
        )
        .unwrap();
        let names =
            Self { folder, answers: Arc::new(Mutex::new(Vec::new())), asked: Arc::new(AtomicUsize::new(0)) };
        names.answer_in_turn(addresses);
        let (answers, asked) = (names.answers.clone(), names.asked.clone());
        std::thread::spawn(move || serve(&socket, &answers, &asked));
        names
    }

    pub fn answer_in_turn(&self, addresses: &[Ipv4Addr]) {
        *self.answers.lock().unwrap() = addresses.iter().map(|address| vec![*address]).collect();
    }

    pub fn answer_together(&self, addresses: &[Ipv4Addr]) {
        *self.answers.lock().unwrap() = vec![addresses.to_vec()];
    }

    /// For the process that is to ask here.
    pub fn resolv_conf(&self) -> PathBuf {
        self.folder.path().join("resolv.conf")
    }

    /// How many addresses were asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// To the end of the test process.
fn serve(socket: &UdpSocket, answers: &Mutex<Vec<Vec<Ipv4Addr>>>, asked: &AtomicUsize) {
    let mut query = [0; 512];
    while let Ok((length, client)) = socket.recv_from(&mut query) {
        if let Some(reply) = reply(&query[..length], answers, asked) {
            // A client that is gone asks no more.
            let _: Result<usize, _> = socket.send_to(&reply, client);
        }
    }
}

/// RFC 1035, section 4: one question, answers that point at its name. Other types than A have no records.
fn reply(query: &[u8], answers: &Mutex<Vec<Vec<Ipv4Addr>>>, asked: &AtomicUsize) -> Option<Vec<u8>> {
    let mut end = HEADER;
    while *query.get(end)? != 0 {
        end += usize::from(query[end]) + 1;
    }
    let question = query.get(HEADER..end + 5)?;
    let addresses = if question[question.len() - 4..question.len() - 2] == TYPE_A {
        let turn = asked.fetch_add(1, Ordering::SeqCst);
        let answers = answers.lock().unwrap();
        answers[turn % answers.len()].clone()
    } else {
        Vec::new()
    };
    let count = u16::try_from(addresses.len()).ok()?.to_be_bytes();
    let mut reply = query[..2].to_vec();
    reply.extend([0x81, 0x80, 0, 1, count[0], count[1], 0, 0, 0, 0]);
    reply.extend(question);
    for address in addresses {
        reply.extend([0xc0, HEADER as u8, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
