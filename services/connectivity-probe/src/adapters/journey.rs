//! The seven checks that need the network, in order, over one connection.
//!
//! Invariants: the verdict on the host key stands before any authentication; the journey ends at the first failure
//! and at its deadline; a signature that could not be made is an error and not a finding about the server.

use crate::adapters::known_keys::{KnownKeys, fingerprints};
use crate::adapters::route::Way;
use crate::adapters::runtime::{self, Observed};
use crate::adapters::shell::{Question, patiently};
use crate::adapters::sshfp::Sshfp;
use crate::one_time::key_facts;
use crate::report::{CheckName, Facts, Fault, Progress};
use crate::sshfp::Hint;
use keywright_domain::clock::Clock;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::key::PublicKey;
use keywright_runtime::failure::Failure;
use keywright_ssh::{
    Dialed, Dialer, FailureCode, Greeted, Handshaken, Identity, KeyExchange, LoginError, Resolved, Session,
    Stage, Staged, Target, TargetRules, Timeouts,
};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tracing::instrument;

/// How long a whole test takes at most, without the time that a person takes to sign.
const LIMIT: Duration = Duration::from_secs(30);

/// Of its parts; what they leave belongs to the facts.
const STAGES: Timeouts = Timeouts {
    dns: Duration::from_secs(5),
    tcp: Duration::from_secs(8),
    handshake: Duration::from_secs(8),
    authentication: Duration::from_secs(10),
    session: Duration::from_secs(5),
};

/// How long a busy server is left alone before it is asked again: what MaxStartups drops is often let in a moment later,
/// and a penalty does not grow by it.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];

/// What one stage says when it failed.
type Trouble = keywright_ssh::Failure;

#[derive(Clone)]
pub struct Journey {
    dialer: Dialer,
    clock: Clock,
    sshfp: Sshfp,
    limit: Duration,
}

/// What was found on the way.
pub struct Seen {
    pub progress: Progress,
    /// The server's identification line; empty if it was not reached.
    pub server_version: String,
}

struct Trip<'a> {
    target: &'a Target,
    known: &'a KnownKeys,
    identity: &'a Identity,
    deadline: Instant,
    seen: Seen,
}

/// Why a journey ended before its end.
enum Stop {
    /// A check failed; it stands in the report.
    Found,
    /// The test itself could not be made.
    Refused(Failure),
}

impl Journey {
    pub fn new(rules: Arc<TargetRules>, clock: Clock, sshfp: Sshfp) -> Self {
        Self { dialer: Dialer::new(rules, STAGES).with_clock(clock.clone()), clock, sshfp, limit: LIMIT }
    }

    /// The first address of the target, if all of its may be dialled.
    pub async fn address(&self, target: &Target) -> Option<IpAddr> {
        let resolved = self.dialer.resolve(target).await.ok()?;
        resolved.value.addresses().first().map(SocketAddr::ip)
    }

    /// Adds the checks from `dns` on to `progress`, as far as it gets.
    #[instrument(skip_all)]
    pub async fn travel(
        &self,
        progress: Progress,
        way: &Way,
        known: &KnownKeys,
        identity: &Identity,
    ) -> Result<Seen, Failure> {
        let question = Question::random()?;
        let deadline = Instant::now() + self.limit + identity.port.patience();
        let seen = Seen { progress, server_version: String::new() };
        let mut trip = Trip { target: &way.target, known, identity, deadline, seen };
        let routed = Self { dialer: self.dialer.through(&way.route), ..self.clone() };
        match routed.stages(&mut trip, &question).await {
            Ok(()) | Err(Stop::Found) => Ok(trip.seen),
            Err(Stop::Refused(failure)) => Err(failure),
        }
    }

    async fn stages(&self, trip: &mut Trip<'_>, question: &Question) -> Result<(), Stop> {
        let resolved = self.resolve(trip).await?;
        let greeted = self.greet(trip, &resolved).await?;
        let server = self.recognize(trip, &resolved, greeted).await?;
        let session = log_in(trip, server).await?;
        let shell = ask_for_shell(trip, &session, question).await;
        if shell.is_ok() {
            self.read_facts(trip, &session).await;
        }
        session.close().await;
        shell
    }

    async fn resolve(&self, trip: &mut Trip<'_>) -> Result<Resolved, Stop> {
        let found = trip.within(Stage::Dns, self.dialer.resolve(trip.target)).await;
        let found = found.map_err(|trouble| trip.fail(CheckName::Dns, trouble))?;
        let addresses: Vec<String> = found.value.addresses().iter().map(|a| a.ip().to_string()).collect();
        let facts = vec![("addresses", addresses.join(", "))];
        trip.pass(CheckName::Dns, "The host has an address that may be dialled.", found.took, facts);
        Ok(found.value)
    }

    async fn greet(&self, trip: &mut Trip<'_>, resolved: &Resolved) -> Result<Greeted, Stop> {
        let dialed = trip.within(Stage::Tcp, self.dialer.dial(resolved)).await;
        let dialed = dialed.map_err(|error| trip.stop(CheckName::Tcp, error))?;
        let mut facts = vec![("address", dialed.value.address().to_string())];
        // Behind jump hosts only the last of them knows the port.
        match self.dialer.route() {
            [] => facts.push(("sourcePort", dialed.value.local().port().to_string())),
            route => {
                let names: Vec<&str> = route.iter().map(|jump_host| jump_host.name.as_str()).collect();
                facts.push(("jumpHosts", names.join(", ")));
            }
        }
        trip.pass(CheckName::Tcp, "The port accepts connections.", dialed.took, facts);
        const SPEAKS: &str = "The server speaks SSH with algorithms that Keywright accepts.";
        let (greeted, attempts) = self.knock(trip, resolved, dialed.value).await;
        match greeted {
            Ok(greeted) => {
                trip.seen.server_version = greeted.value.server_version().to_owned();
                let mut facts = vec![("serverVersion", trip.seen.server_version.clone())];
                if attempts > 1 {
                    facts.push(("attempts", attempts.to_string()));
                }
                trip.pass(CheckName::Handshake, SPEAKS, greeted.took, facts);
                Ok(greeted.value)
            }
            // A server that did not prove that it holds its host key shows during the exchange.
            Err(trouble) if trouble.stage == Stage::HostKey => {
                trip.pass(CheckName::Handshake, SPEAKS, trouble.took, Vec::new());
                Err(trip.fail(CheckName::HostKey, trouble))
            }
            Err(trouble) if attempts > 1 => {
                Err(trip.fail(CheckName::Handshake, trouble.with("attempts", attempts.to_string())))
            }
            Err(trouble) => Err(trip.fail(CheckName::Handshake, trouble)),
        }
    }

    /// The handshake, and how often it was begun: a server that says it is busy is asked again after a while.
    async fn knock(
        &self,
        trip: &Trip<'_>,
        resolved: &Resolved,
        mut dialed: Dialed,
    ) -> (Result<Staged<Greeted>, Trouble>, usize) {
        let (mut pauses, mut attempts) = (PAUSES.into_iter(), 1);
        loop {
            let greeted = self.dialer.handshake(dialed, trip.known.pins());
            let greeted = trip.within(Stage::Handshake, greeted).await;
            let busy = matches!(&greeted, Err(trouble) if trouble.code == FailureCode::ServerBusy);
            let Some(pause) = pauses.next().filter(|_| busy) else { return (greeted, attempts) };
            tokio::time::sleep_until(trip.deadline.min(Instant::now() + pause)).await;
            match trip.within(Stage::Tcp, self.dialer.dial(resolved)).await {
                Ok(again) => dialed = again.value,
                Err(_) => return (greeted, attempts),
            }
            attempts += 1;
        }
    }

    async fn recognize(
        &self,
        trip: &mut Trip<'_>,
        resolved: &Resolved,
        greeted: Greeted,
    ) -> Result<Handshaken, Stop> {
        let presented = greeted.host_key().clone();
        let verified = match trip.known {
            KnownKeys::Expected(expected) if !expected.is_empty() => {
                trip.within(Stage::HostKey, self.return_with_keys(resolved, &presented, expected)).await
            }
            _ => greeted.verify().map_err(LoginError::from),
        };
        match verified {
            Ok(server) => {
                let facts = vec![
                    ("fingerprint", server.value.host_key().fingerprint().to_string()),
                    ("algorithm", server.value.host_key().algorithm().to_string()),
                ];
                trip.seen.progress.add(CheckName::Handshake, exchange_facts(server.value.key_exchange()));
                trip.pass(CheckName::HostKey, "The host key is an approved one.", server.took, facts);
                Ok(server.value)
            }
            Err(LoginError::Server(trouble)) if trouble.code == FailureCode::HostKeyUnknown => {
                let host = trip.target.host.as_str();
                let (all, hint) = tokio::join!(self.shown(trip, resolved, presented), self.sshfp.ask(host));
                let trouble = trouble.with("fingerprints", fingerprints(&all));
                Err(trip.fail(CheckName::HostKey, hinted(trouble, &hint, &all)))
            }
            Err(LoginError::Server(trouble)) if trouble.code == FailureCode::HostKeyMismatch => {
                let hint = self.sshfp.ask(&trip.target.host).await;
                Err(trip.fail(CheckName::HostKey, hinted(trouble, &hint, &[presented])))
            }
            Err(error) => Err(trip.stop(CheckName::HostKey, error)),
        }
    }

    /// Fingerprints can be compared only with keys that were seen: the server is visited once more with those that
    /// match.
    async fn return_with_keys(
        &self,
        resolved: &Resolved,
        presented: &PublicKey,
        expected: &[Fingerprint],
    ) -> Result<Staged<Handshaken>, LoginError> {
        let started = Instant::now();
        let is_expected = |key: &PublicKey| expected.contains(&key.fingerprint());
        let mut keys = vec![presented.clone()];
        if !is_expected(presented) {
            keys = self.dialer.scan_resolved(resolved).await?;
            keys.retain(is_expected);
        }
        if keys.is_empty() {
            let pinned = expected.iter().map(Fingerprint::as_str).collect::<Vec<_>>().join(", ");
            return Err(Trouble::new(Stage::HostKey, FailureCode::HostKeyMismatch)
                .with("presented", presented.fingerprint().as_str())
                .with("pinned", pinned)
                .after(started.elapsed())
                .into());
        }
        let dialed = self.dialer.dial(resolved).await?;
        let server = self.dialer.handshake(dialed.value, &keys).await?.value.verify()?;
        Ok(Staged { value: server.value, took: started.elapsed() })
    }

    /// All host keys of an unknown server, so that somebody can approve them; at least the one it presented.
    async fn shown(&self, trip: &Trip<'_>, resolved: &Resolved, presented: PublicKey) -> Vec<PublicKey> {
        match trip.within(Stage::HostKey, self.dialer.scan_resolved(resolved)).await {
            Ok(keys) if !keys.is_empty() => keys,
            _ => vec![presented],
        }
    }

    async fn read_facts(&self, trip: &mut Trip<'_>, session: &Session) {
        let started = Instant::now();
        let before = self.clock.now();
        let script = || session.exec(runtime::COMMAND, runtime::SCRIPT, runtime::LIMITS);
        let output = trip.within(Stage::Runtime, patiently(script)).await;
        let observed = Observed { before, after: self.clock.now(), server_version: session.server_version() };
        let stdout = output.as_ref().map(|output| output.stdout.as_slice()).unwrap_or_default();
        let read = runtime::read(stdout, &observed);
        let took = started.elapsed();
        if read.missing.is_empty() {
            trip.pass(CheckName::Runtime, "Facts about the system can be read.", took, read.facts);
            return;
        }
        let trouble = Trouble::new(Stage::Runtime, FailureCode::RuntimeUnreadable).after(took);
        let mut fault = fault_of(&trouble);
        fault.facts = read.facts;
        fault.facts.push(("missing", read.missing.join(", ")));
        trip.seen.progress.failed(CheckName::Runtime, fault, took);
    }
}

async fn log_in(trip: &mut Trip<'_>, server: Handshaken) -> Result<Session, Stop> {
    let login = timeout_at(trip.deadline, server.authenticate(trip.identity)).await;
    match login {
        Err(_) => Err(trip.fail(CheckName::Authentication, late(Stage::Authentication))),
        Ok(Err(error)) => Err(trip.stop(CheckName::Authentication, error)),
        Ok(Ok(session)) => {
            let mut facts = key_facts(&trip.identity.public_key);
            facts.push(("username", trip.identity.user.clone()));
            trip.pass(CheckName::Authentication, "The server accepted the key.", session.took, facts);
            Ok(session.value)
        }
    }
}

async fn ask_for_shell(trip: &mut Trip<'_>, session: &Session, question: &Question) -> Result<(), Stop> {
    let started = Instant::now();
    match trip.within(Stage::Session, question.ask(session, STAGES.session)).await {
        Ok(()) => {
            trip.pass(CheckName::Session, "The account runs commands.", started.elapsed(), Vec::new());
            Ok(())
        }
        Err(trouble) => Err(trip.fail(CheckName::Session, trouble.after(started.elapsed()))),
    }
}

impl Trip<'_> {
    async fn within<T, E: From<Trouble>>(
        &self,
        stage: Stage,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        timeout_at(self.deadline, work).await.unwrap_or_else(|_| Err(late(stage).into()))
    }

    /// A signature that could not be made is not the server's doing.
    fn stop(&mut self, name: CheckName, error: LoginError) -> Stop {
        match error {
            LoginError::Server(trouble) => self.fail(name, trouble),
            LoginError::Signing(refused) => Stop::Refused(Failure::new(refused.reason, refused.message)),
        }
    }

    fn pass(&mut self, name: CheckName, message: &str, took: Duration, facts: Facts) {
        self.seen.progress.passed(name, message, took, facts);
    }

    fn fail(&mut self, name: CheckName, trouble: Trouble) -> Stop {
        self.seen.progress.failed(name, fault_of(&trouble), trouble.took);
        Stop::Found
    }
}

fn fault_of(trouble: &Trouble) -> Fault {
    Fault {
        code: trouble.code.as_str(),
        message: trouble.message.to_string(),
        remedy: trouble.remedy.to_string(),
        facts: trouble.facts.clone(),
    }
}

/// A host key that is not approved, with what DNS says of it.
fn hinted(mut trouble: Trouble, hint: &Hint, keys: &[PublicKey]) -> Trouble {
    let advice = hint.advice(keys);
    if !advice.is_empty() {
        trouble.remedy = format!("{} {advice}", trouble.remedy).into();
    }
    trouble.with("sshfp", hint.said_of(keys)).with("sshfpDnssec", hint.dnssec().as_str())
}

/// The whole test took too long while this stage was under way.
fn late(stage: Stage) -> Trouble {
    let code = match stage {
        Stage::Dns => FailureCode::HostResolutionFailed,
        Stage::Tcp => FailureCode::ConnectTimeout,
        Stage::Handshake | Stage::HostKey | Stage::Authentication => FailureCode::HandshakeTimeout,
        Stage::Session => FailureCode::SessionRefused,
        Stage::Runtime => FailureCode::RuntimeUnreadable,
    };
    Trouble::new(stage, code).saying("The server did not answer within the time of the test.")
}

fn exchange_facts(exchange: &KeyExchange) -> Facts {
    vec![
        ("keyExchange", exchange.kex.clone()),
        ("hostKeyAlgorithm", exchange.host_key_algorithm.clone()),
        ("cipher", exchange.cipher.clone()),
        ("strictKeyExchange", exchange.strict_kex.to_string()),
        ("postQuantum", exchange.post_quantum.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::sshfp::SshfpResolver;
    use keywright_domain::host::KnownHost;
    use keywright_domain::key::PrivateKey;
    use keywright_domain::secret::Secret;
    use keywright_kit::{KeyType, keygen};
    use tokio::net::TcpListener;

    /// A listener that says nothing holds a test no longer than its limit.
    #[tokio::test]
    async fn a_silent_server_ends_the_test_at_its_limit() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
        let key = keygen(KeyType::Ed25519, "").await.unwrap();
        let key = PrivateKey::from_stored(&Secret::from_text(key.private_text())).unwrap();
        let rules = Arc::new(TargetRules { allow_loopback: true, ..TargetRules::default() });
        let sshfp = Sshfp::new(SshfpResolver::Off, "").unwrap();
        let journey =
            Journey { limit: Duration::from_millis(200), ..Journey::new(rules, Clock::System, sshfp) };
        let known = KnownKeys::Pinned(KnownHost::default());
        let identity = Identity::one_time("root", key);
        let way = Way { target, route: Vec::new() };
        let travel = journey.travel(Progress::default(), &way, &known, &identity);
        let seen = tokio::time::timeout(Duration::from_secs(5), travel).await.unwrap().unwrap();
        let report = seen.progress.finish();
        let failed = report.failed().unwrap();
        assert_eq!((failed.name, failed.code.as_str()), (CheckName::Handshake, "HANDSHAKE_TIMEOUT"));
    }
}
