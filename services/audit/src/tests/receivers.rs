//! Receivers on loopback, each as strict as its RFC: syslog over TCP, TLS and UDP, OTLP logs, webhooks.

use data_encoding::BASE64;
use keywright_domain::clock::Instant;
use keywright_domain::secret::Secret;
use keywright_egress::signature::sign;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_rustls::TlsAcceptor;

pub type Fields = BTreeMap<String, String>;

/// What a receiver does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Takes,
    /// Reads nothing and closes nothing.
    Hangs,
    /// Reads a part, then the connection is reset.
    Dies,
    /// Takes it all and says that it failed: what is sent again was there already.
    Fails,
}

/// What came, in the order in which it came, by fields of a record.
#[derive(Clone, Default)]
pub struct Got {
    records: Arc<Mutex<Vec<Fields>>>,
    manners: Arc<Mutex<Vec<Manner>>>,
    connections: Arc<AtomicUsize>,
    /// Of a webhook: the largest body that it takes, in lines; 0 for any.
    pub most: Arc<AtomicUsize>,
}

impl Got {
    pub fn records(&self) -> Vec<Fields> {
        self.records.lock().unwrap().clone()
    }

    pub fn sequences(&self) -> Vec<i64> {
        self.records().iter().map(|record| record["sequence"].parse().unwrap()).collect()
    }

    /// Of the next connections; those after them are taken.
    pub fn then(&self, manners: &[Manner]) {
        *self.manners.lock().unwrap() = manners.iter().rev().copied().collect();
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn manner(&self) -> Manner {
        self.connections.fetch_add(1, Ordering::SeqCst);
        self.manners.lock().unwrap().pop().unwrap_or(Manner::Takes)
    }

    fn push(&self, records: impl IntoIterator<Item = Fields>) {
        self.records.lock().unwrap().extend(records);
    }
}

/// Answers its URL.
pub async fn syslog_tcp(got: &Got) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("syslog+tcp://{}", listener.local_addr().unwrap());
    let got = got.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(syslog_connection(stream, got.clone()));
        }
    });
    url
}

/// With a certificate of an authority that it leaves in the folder as `ca.pem`.
pub async fn syslog_tls(got: &Got, folder: &Path) -> String {
    let config =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    certify(folder);
    let certificate = CertificateDer::from_pem_file(folder.join("leaf.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("leaf.key")).unwrap();
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate], key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("syslog+tls://{}", listener.local_addr().unwrap());
    let got = got.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, got) = (acceptor.clone(), got.clone());
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    syslog_connection(stream, got).await;
                }
            });
        }
    });
    url
}

fn certify(folder: &Path) {
    std::fs::write(folder.join("leaf.ext"), "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n")
        .unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
    for command in [
        format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
        format!("req -new {key} -subj /CN=siem -keyout leaf.key -out leaf.csr"),
        "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -days 2 -extfile leaf.ext -out leaf.pem".to_owned(),
    ] {
        let done = Command::new("openssl").args(command.split(' ')).current_dir(folder).output();
        let done = done.expect("openssl: apt-get install openssl");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

async fn syslog_connection(mut stream: impl AsyncRead + AsyncWrite + Unpin, got: Got) {
    match got.manner() {
        Manner::Takes => {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            got.push(frames(&bytes).into_iter().map(|message| rfc5424(message).fields));
            stream.shutdown().await.unwrap();
        }
        Manner::Fails => {
            let mut bytes = Vec::new();
            stream.read_to_end(&mut bytes).await.unwrap();
            got.push(frames(&bytes).into_iter().map(|message| rfc5424(message).fields));
            // Neither closed nor reset as long as the test runs: nobody can know that it took them.
            std::future::pending::<()>().await;
        }
        Manner::Hangs => std::future::pending().await,
        Manner::Dies => {
            let mut some = [0u8; 100];
            let _ = stream.read(&mut some).await;
        }
    }
}

/// RFC 6587, section 3.4.1: MSG-LEN SP SYSLOG-MSG, and nothing else.
fn frames(mut bytes: &[u8]) -> Vec<&str> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ').expect("a length");
        let length = std::str::from_utf8(&bytes[..space]).unwrap();
        assert!(length.starts_with(|c: char| ('1'..='9').contains(&c)), "{length:?}");
        let length: usize = length.parse().unwrap();
        frames.push(std::str::from_utf8(&bytes[space + 1..space + 1 + length]).unwrap());
        bytes = &bytes[space + 1 + length..];
    }
    frames
}

pub struct Message {
    pub priority: u8,
    pub msgid: String,
    pub fields: Fields,
    pub text: String,
}

/// The ABNF of RFC 5424, section 6, and nothing beside it.
pub fn rfc5424(message: &str) -> Message {
    let printable = |text: &str, longest: usize| {
        assert!(
            (1..=longest).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic()),
            "{text:?}"
        );
    };
    let (priority, rest) = message.strip_prefix('<').unwrap().split_once('>').unwrap();
    let mut head = rest.splitn(7, ' ');
    assert_eq!(head.next(), Some("1"));
    let timestamp = head.next().unwrap();
    assert!(
        timestamp.len() == 27 && timestamp.ends_with('Z') && timestamp.as_bytes()[10] == b'T',
        "{timestamp}"
    );
    printable(head.next().unwrap(), 255);
    assert_eq!((head.next(), head.next()), (Some("keywright"), Some("-")));
    let msgid = head.next().unwrap();
    printable(msgid, 32);
    let mut rest = head.next().unwrap().strip_prefix("[keywright@32473").unwrap();
    let mut fields = Fields::new();
    while let Some(param) = rest.strip_prefix(' ') {
        let (name, value) = param.split_once("=\"").unwrap();
        assert!(name.len() <= 32 && name.chars().all(|c| c.is_ascii_alphanumeric()), "{name:?}");
        let mut clear = String::new();
        let mut chars = value.char_indices();
        let end = loop {
            match chars.next().unwrap() {
                (at, '"') => break at,
                (_, ']') => panic!("a bracket that is not escaped"),
                (_, '\\') => match chars.next().unwrap().1 {
                    c @ ('"' | '\\' | ']') => clear.push(c),
                    other => panic!("{other:?} is escaped"),
                },
                (_, c) => clear.push(c),
            }
        };
        assert!(!clear.chars().any(char::is_control));
        assert_eq!(fields.insert(name.to_owned(), clear), None, "{name} twice");
        rest = &value[end + 1..];
    }
    let text = rest.strip_prefix("] \u{feff}").unwrap().to_owned();
    assert!(!text.is_empty() && !text.chars().any(|c| c.is_control() || c == '\u{2028}'), "{text:?}");
    Message { priority: priority.parse().unwrap(), msgid: msgid.to_owned(), fields, text }
}

pub async fn syslog_udp(got: &Got) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let url = format!("syslog+udp://{}", socket.local_addr().unwrap());
    let got = got.clone();
    tokio::spawn(async move {
        let mut datagram = vec![0u8; 65_536];
        loop {
            let length = socket.recv(&mut datagram).await.unwrap();
            got.push([rfc5424(std::str::from_utf8(&datagram[..length]).unwrap()).fields]);
        }
    });
    url
}

#[derive(Clone)]
struct Collector(Got);

#[tonic::async_trait]
impl LogsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, tonic::Status> {
        let resources = request.into_inner().resource_logs;
        let records = resources.into_iter().flat_map(|it| it.scope_logs).flat_map(|it| it.log_records);
        let fields = |record: opentelemetry_proto::tonic::logs::v1::LogRecord| {
            assert!(record.time_unix_nano > 0 && record.severity_number > 0 && !record.event_name.is_empty());
            let text = |value: Value| match value {
                Value::StringValue(text) => text,
                other => format!("{other:?}"),
            };
            let attributes = record.attributes.into_iter();
            attributes.map(|it| (it.key, text(it.value.unwrap().value.unwrap()))).collect::<Fields>()
        };
        let records: Vec<Fields> = records.map(fields).collect();
        match self.0.manner() {
            Manner::Takes => self.0.push(records),
            Manner::Dies => return Err(tonic::Status::unavailable("")),
            Manner::Hangs => std::future::pending().await,
            Manner::Fails => {
                self.0.push(records);
                return Err(tonic::Status::unavailable(""));
            }
        }
        Ok(tonic::Response::new(ExportLogsServiceResponse { partial_success: None }))
    }
}

pub async fn otlp(got: &Got) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("otlp://{}", listener.local_addr().unwrap());
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let server =
        tonic::transport::Server::builder().add_service(LogsServiceServer::new(Collector(got.clone())));
    tokio::spawn(server.serve_with_incoming(incoming));
    url
}

/// The secret that webhooks are signed with.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=";

pub async fn webhook(got: &Got) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/in?token=hush", listener.local_addr().unwrap());
    let got = got.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(request(stream, got.clone()));
        }
    });
    url
}

async fn request(mut stream: tokio::net::TcpStream, got: Got) {
    let manner = got.manner();
    if manner == Manner::Hangs {
        std::future::pending::<()>().await;
    }
    let mut bytes = Vec::new();
    let head = loop {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let header = |name: &str| {
        let found = text
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(it, _)| it.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    assert!(text.starts_with("POST /in?token=hush HTTP/1.1\r\n"), "{text}");
    let length: usize = header("content-length").parse().unwrap();
    while bytes.len() < head + length {
        assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
    }
    let body = &bytes[head..];
    let secret = Secret::new(BASE64.decode(SECRET.strip_prefix("whsec_").unwrap().as_bytes()).unwrap());
    let at = Instant::from_secs(header("webhook-timestamp").parse().unwrap());
    assert_eq!(header("webhook-signature"), sign(&secret, &header("webhook-id"), at, body));
    let most = got.most.load(Ordering::SeqCst);
    let is_too_large = most > 0 && body.iter().filter(|byte| **byte == b'\n').count() > most;
    let answer = match manner {
        _ if is_too_large => "413 Content Too Large",
        Manner::Takes => "204 No Content",
        _ => "500 Internal Server Error",
    };
    if manner != Manner::Dies && !is_too_large {
        let body = std::str::from_utf8(body).unwrap();
        match header("content-type").as_str() {
            "application/x-ndjson" => got.push(body.lines().map(json_fields)),
            "text/plain; charset=utf-8" => got.push([Fields::from([("note".to_owned(), body.to_owned())])]),
            other => panic!("{other}"),
        }
    }
    stream.write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await.unwrap();
}

fn json_fields(line: &str) -> Fields {
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    object.into_iter().map(|(name, value)| (name, text(value))).collect()
}
