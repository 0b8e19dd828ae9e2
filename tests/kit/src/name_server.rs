//! A DNS server with a root zone of the test's own: unsigned, signed, or signed and then changed by somebody else.
//!
//! It answers over UDP and TCP, on loopback. A name that the zone does not have does not exist.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server;
use hickory_server::dnssec::NxProofKind;
use hickory_server::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_server::proto::dnssec::rdata::DNSKEY;
use hickory_server::proto::dnssec::{DnssecSigner, SigningKey};
use hickory_server::proto::rr::{LowerName, Name, RecordSet};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tempfile::TempDir;
use tokio::net::{TcpListener, UdpSocket};

use crate::error::{During, KitError};
use crate::port::{Port, free_port};

/// Beside the records that a test names.
const APEX: &str = "$TTL 60
. IN SOA ns. nobody. 1 3600 600 86400 60
. IN NS ns.
ns. IN A 127.0.0.1
";
const DAY: Duration = Duration::from_secs(86_400);
/// Bytes of an answer over TCP.
const BUFFER: usize = 65_535;

/// A running name server.
pub struct NameServer {
    address: SocketAddr,
    anchor: String,
    folder: TempDir,
    _server: Server<Catalog>,
    _port: Option<Port>,
}

impl NameServer {
    /// Serves these records (lines of a zone file, with the root as origin) without signatures.
    pub async fn plain(records: &str) -> Result<Self, KitError> {
        Self::on_a_port(zone(records), String::new()).await
    }

    /// The same with every record signed.
    pub async fn signed(records: &str) -> Result<Self, KitError> {
        let (zone, anchor) = sign(zone(records));
        Self::on_a_port(zone, anchor).await
    }

    /// Signs `records` and then serves `instead` in their place under the signatures of `records`.
    pub async fn forged(records: &str, instead: &str) -> Result<Self, KitError> {
        let (mut handler, anchor) = sign(zone(records));
        for (key, changed) in parse(&format!("$TTL 60\n{instead}")) {
            let set = handler.records_get_mut().get_mut(&key).expect("a record to be changed");
            let mut forged = RecordSet::clone(set);
            forged.set_records(changed.records_without_rrsigs().cloned().collect());
            forged.set_rrsigs(set.rrsigs().to_vec());
            *set = Arc::new(forged);
        }
        Self::on_a_port(handler, anchor).await
    }

    /// Unsigned, on port 53 of an address that nobody else on this machine has, for a `resolv.conf`.
    pub async fn for_resolv_conf(records: &str) -> Result<Self, KitError> {
        let [.., a, b] = std::process::id().to_be_bytes();
        for c in 1..=250 {
            let address = SocketAddr::from((Ipv4Addr::new(127, 64 | a & 63, b, c), 53));
            if let Ok(socket) = UdpSocket::bind(address).await {
                return Self::serve(zone(records), String::new(), socket, None).await;
            }
        }
        Err(KitError::Start {
            what: "a name server",
            detail: "port 53 of a loopback address: root is needed".into(),
        })
    }

    async fn on_a_port(zone: InMemoryZoneHandler, anchor: String) -> Result<Self, KitError> {
        let port = free_port()?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port.number())).await.during("a name server")?;
        Self::serve(zone, anchor, socket, Some(port)).await
    }

    async fn serve(
        zone: InMemoryZoneHandler,
        anchor: String,
        socket: UdpSocket,
        port: Option<Port>,
    ) -> Result<Self, KitError> {
        let address = socket.local_addr().during("a name server")?;
        let listener = TcpListener::bind(address).await.during("a name server")?;
        let folder = tempfile::tempdir().during("a name server's folder")?;
        std::fs::write(folder.path().join("resolv.conf"), format!("nameserver {}\n", address.ip()))
            .during("writing resolv.conf")?;
        let mut catalog = Catalog::new();
        catalog.upsert(LowerName::from(Name::root()), vec![Arc::new(zone)]);
        let mut server = Server::new(catalog);
        server.register_socket(socket);
        server.register_listener(listener, Duration::from_secs(5), BUFFER);
        Ok(Self { address, anchor, folder, _server: server, _port: port })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    pub const fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// The zone's key as a trust anchor: a DNSKEY record. Empty where nothing is signed.
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// A `resolv.conf` that names this server.
    pub fn resolv_conf(&self) -> PathBuf {
        self.folder.path().join("resolv.conf")
    }
}

fn zone(records: &str) -> InMemoryZoneHandler {
    let sets = parse(&format!("{APEX}{records}"));
    let kind = Some(NxProofKind::Nsec);
    InMemoryZoneHandler::new(Name::root(), sets, ZoneType::Primary, AxfrPolicy::Deny, kind)
        .unwrap_or_else(|error| panic!("a zone: {error}"))
}

fn parse(text: &str) -> std::collections::BTreeMap<hickory_server::proto::rr::RrKey, RecordSet> {
    Parser::new(text, None, Some(Name::root())).parse().unwrap_or_else(|error| panic!("{text}: {error}")).1
}

fn sign(mut zone: InMemoryZoneHandler) -> (InMemoryZoneHandler, String) {
    let made = Ed25519SigningKey::generate_pkcs8().expect("a key");
    let key = Ed25519SigningKey::from_pkcs8(&made).expect("a key");
    let dnskey = DNSKEY::from_key(&key.to_public_key().expect("a public key"));
    let anchor = format!(". 60 IN DNSKEY {dnskey}\n");
    zone.add_zone_signing_key_mut(DnssecSigner::new(dnskey, Box::new(key), Name::root(), DAY))
        .expect("a signer");
    zone.secure_zone_mut().expect("a signed zone");
    (zone, anchor)
}
