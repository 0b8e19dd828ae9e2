//! Asks a name server for the SSHFP records of a host's name, and validates the answer by DNSSEC here.
//!
//! Invariants: no other address than the configured name server's is contacted; a name is asked for as it stands, without
//! search domains; a lookup ends within its limit and is never an error. Only an answer that is signed up to a trust anchor
//! counts as verified: what the name server claims of it (the AD bit) does not matter.

use crate::sshfp::{Dnssec, Hint, Record};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tracing::instrument;

/// All queries of one lookup together.
const LIMIT: Duration = Duration::from_secs(2);
/// Of one query, before it is sent once more.
const PATIENCE: Duration = Duration::from_millis(900);
/// Answers are remembered, and the system's configuration is read again, after that.
const SHORTLY: Duration = Duration::from_secs(60);
/// CNAMEs that are followed.
const MOST_HOPS: usize = 8;

const TURNED_OFF: &str = "SSHFP records are not looked up here (--sshfp-resolver off).";
const ADDRESS: &str = "The host is an address; SSHFP records belong to names.";
const NO_RESOLVER: &str =
    "No name server is known: /etc/resolv.conf names none. Name one with --sshfp-resolver.";
const SILENT: &str = "The name server did not answer within 2 s.";
const FAILED: &str =
    "The name server had no usable answer; one that validates by itself says so of a forged one.";

/// Which name server is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SshfpResolver {
    /// None: nothing is looked up.
    Off,
    /// The first ones of `/etc/resolv.conf`.
    System,
    At(SocketAddr),
}

/// The text holds something else than DNSKEY records.
#[derive(Debug, thiserror::Error)]
#[error("not a list of DNSKEY records, as `dig DNSKEY` prints them")]
pub struct BadTrustAnchors;

/// Looks up SSHFP records. Cheap to clone.
#[derive(Clone)]
pub struct Sshfp {
    resolver: SshfpResolver,
    anchors: Arc<TrustAnchors>,
    current: Arc<Mutex<Option<Pair>>>,
}

/// To the same name server, made together.
#[derive(Clone)]
struct Pair {
    made: Instant,
    validating: TokioResolver,
    /// For a name server that hands out no signatures.
    plain: TokioResolver,
}

impl Sshfp {
    /// The root's keys are trusted, and those of `anchors`: DNSKEY records, as in a zone's file.
    pub fn new(resolver: SshfpResolver, anchors: &str) -> Result<Self, BadTrustAnchors> {
        // Without the line's end the parser would pass over the beginning of a record at the text's end.
        let mut trusted = TrustAnchors::from_str(&format!("{anchors}\n")).map_err(|_| BadTrustAnchors)?;
        let root = TrustAnchors::default();
        for key in (0..root.len()).filter_map(|at| root.get(at)) {
            trusted.insert(key);
        }
        let sshfp = Self { resolver, anchors: Arc::new(trusted), current: Arc::default() };
        if resolver == SshfpResolver::System && sshfp.config().is_none() {
            tracing::warn!(
                "no name server for SSHFP records: /etc/resolv.conf names none; they stay unknown"
            );
        }
        Ok(sshfp)
    }

    /// `work`, and beside it the lookup. If `work` fails, the lookup is given up.
    pub async fn beside<T, E>(
        &self,
        host: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<(T, Hint), E> {
        tokio::try_join!(work, async { Ok(self.ask(host).await) })
    }

    /// What the records of the name say; an address has none.
    #[instrument(skip_all)]
    pub async fn ask(&self, host: &str) -> Hint {
        if self.resolver == SshfpResolver::Off {
            return Hint::unknown(TURNED_OFF);
        }
        let name = match Name::from_ascii(host) {
            Ok(mut name) if host.parse::<IpAddr>().is_err() => {
                name.set_fqdn(true);
                name
            }
            _ => return Hint::unknown(ADDRESS),
        };
        let Some(pair) = self.pair() else { return Hint::unknown(NO_RESOLVER) };
        timeout(LIMIT, pair.ask(name)).await.unwrap_or(Hint::unknown(SILENT))
    }

    fn pair(&self) -> Option<Pair> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(pair) = current.as_ref().filter(|pair| now.duration_since(pair.made) < SHORTLY) {
            return Some(pair.clone());
        }
        let config = self.config()?;
        let made = |anchors: Option<Arc<TrustAnchors>>| {
            let provider = TokioRuntimeProvider::default();
            let builder = TokioResolver::builder_with_config(config.clone(), provider)
                .with_options(options(anchors.is_some()));
            match anchors {
                Some(anchors) => builder.with_trust_anchor(anchors).build(),
                None => builder.build(),
            }
        };
        let pair =
            Pair { made: now, validating: made(Some(self.anchors.clone())).ok()?, plain: made(None).ok()? };
        *current = Some(pair.clone());
        Some(pair)
    }

    /// None: no name server is known.
    fn config(&self) -> Option<ResolverConfig> {
        let servers = match self.resolver {
            SshfpResolver::Off => return None,
            SshfpResolver::System => read_system_conf().ok()?.0.name_servers().to_vec(),
            SshfpResolver::At(address) => vec![name_server(address)],
        };
        (!servers.is_empty()).then(|| ResolverConfig::from_name_servers(servers))
    }
}

impl Pair {
    async fn ask(&self, name: Name) -> Hint {
        match answer(&self.validating, &name).await {
            Ok(hint) => hint,
            Err(NetError::Timeout) => Hint::unknown(SILENT),
            Err(failed) if self.hands_out_signatures(&name).await => match failed {
                NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. }) => Hint::forged(),
                _ => Hint::unknown(FAILED),
            },
            // Nothing can be validated with this name server, so nothing of it is verified.
            Err(_) => match answer(&self.plain, &name).await {
                Ok(hint) => hint,
                Err(NetError::Timeout) => Hint::unknown(SILENT),
                Err(_) => Hint::unknown(FAILED),
            },
        }
    }

    /// Whether the keys of a zone above the name, or of its own, come signed up to a trust anchor. Of a name server that
    /// leaves signatures out, every answer about a signed zone looks like a forged one.
    async fn hands_out_signatures(&self, name: &Name) -> bool {
        let mut zone = name.clone();
        loop {
            if let Ok(keys) = self.validating.lookup(zone.clone(), RecordType::DNSKEY).await {
                let mut keys = keys.answers().iter().filter(|key| key.record_type() == RecordType::DNSKEY);
                if keys.any(|key| key.proof == Proof::Secure) {
                    return true;
                }
            }
            if zone.is_root() {
                return false;
            }
            zone = zone.base_name();
        }
    }
}

/// The records of the name, or of what it is an alias of. That there are none is never told as verified: the library
/// does not say whether the absence is proven.
async fn answer(resolver: &TokioResolver, name: &Name) -> Result<Hint, NetError> {
    let found = match resolver.lookup(name.clone(), RecordType::SSHFP).await {
        Ok(found) => found,
        Err(NetError::Dns(DnsError::NoRecordsFound(none)))
            if matches!(none.response_code, ResponseCode::NoError | ResponseCode::NXDomain) =>
        {
            return Ok(Hint::answered(Vec::new(), Dnssec::Unverified));
        }
        Err(error) => return Err(error),
    };
    let (mut owner, mut verified) = (name, true);
    for _ in 0..MOST_HOPS {
        let alias = found.answers().iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == *owner => Some((&target.0, record.proof)),
            _ => None,
        });
        let Some((target, proof)) = alias else { break };
        (owner, verified) = (target, verified && proof == Proof::Secure);
    }
    let mut records = Vec::new();
    for record in found.answers().iter().filter(|record| record.name == *owner) {
        if let RData::SSHFP(sshfp) = &record.data {
            verified &= record.proof == Proof::Secure;
            records.push(Record {
                algorithm: sshfp.algorithm.into(),
                kind: sshfp.fingerprint_type.into(),
                fingerprint: sshfp.fingerprint.clone(),
            });
        }
    }
    let dnssec = if verified && !records.is_empty() { Dnssec::Verified } else { Dnssec::Unverified };
    Ok(Hint::answered(records, dnssec))
}

fn name_server(address: SocketAddr) -> NameServerConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    server
}

fn options(validate: bool) -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.validate = validate;
    options.edns0 = validate;
    options.timeout = PATIENCE;
    options.attempts = 1;
    options.use_hosts_file = ResolveHosts::Never;
    options.preserve_intermediates = true;
    options.cache_size = 256;
    options.positive_max_ttl = Some(SHORTLY);
    options.negative_max_ttl = Some(SHORTLY);
    options
}

#[cfg(test)]
mod tests;
