//! Certificates made by ssh-keygen: of hosts under an authority, and of the key that logs in.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use keywright_domain::clock::{Clock, Instant};
use keywright_domain::host::KnownHost;
use keywright_domain::key::{Certificate, CertificateKind, PrivateKey, PublicKey};
use keywright_domain::secret::Secret;
use keywright_ssh::{FailureCode, Identity, Target};
use tempfile::TempDir;

use crate::hosts::{Host, dialer, key, openssh, openssh_with_keys, run};

struct Authority {
    dir: TempDir,
    public: PublicKey,
}

impl Authority {
    fn new(kind: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca");
        run(Command::new("ssh-keygen").args(["-q", "-N", "", "-C", "", "-t", kind, "-f"]).arg(&file));
        let public = PublicKey::parse_openssh(&std::fs::read_to_string(file.with_extension("pub")).unwrap());
        Self { public: public.unwrap(), dir }
    }

    /// The certificate's one line; `flags` say for whom and how long.
    fn certify(&self, key: &PublicKey, flags: &[&str]) -> String {
        let file = self.dir.path().join("subject.pub");
        std::fs::write(&file, key.openssh()).unwrap();
        run(Command::new("ssh-keygen")
            .args(["-q", "-s"])
            .arg(self.dir.path().join("ca"))
            .args(["-I", "test-id", "-z", "7"])
            .args(flags)
            .arg(&file));
        std::fs::read_to_string(self.dir.path().join("subject-cert.pub")).unwrap()
    }
}

/// With the host whose key it has: sshd reads its files at each connection.
struct Certified(Host, #[expect(dead_code, reason = "keeps the files")] (Host, TempDir));

impl std::ops::Deref for Certified {
    type Target = Host;
    fn deref(&self) -> &Host {
        &self.0
    }
}

/// An sshd with a host key of one kind and a certificate for it.
fn certified_host(kind: &str, authorized: &PublicKey, certify: impl Fn(&PublicKey) -> String) -> Certified {
    let place = tempfile::tempdir().unwrap();
    let certificate = place.path().join("host-cert.pub");
    let bits = if kind == "rsa" { "2048" } else { "256" };
    let config = format!("HostCertificate {}", certificate.display());
    let first = openssh_with_keys(&[("", authorized)], "", &[(kind, bits)]);
    let file = first.path(&format!("host_{kind}"));
    std::fs::write(&certificate, certify(&first.host_keys[0])).unwrap();
    let config = format!("{config}\nHostKey {}", file.display());
    let mut host = openssh_with_keys(&[("", authorized)], &config, &[]);
    host.host_keys = first.host_keys.clone();
    Certified(host, (first, place))
}

fn trusting(authority: &Authority) -> KnownHost {
    KnownHost { keys: Vec::new(), authorities: vec![authority.public.clone()] }
}

#[tokio::test]
async fn a_host_is_known_by_a_certificate_of_a_trusted_authority() {
    for (authority, kind) in [("ed25519", "ed25519"), ("ecdsa", "rsa"), ("rsa", "ecdsa")] {
        let authority = Authority::new(authority);
        let own = key("ed25519");
        let public = own.public().clone();
        let host =
            certified_host(kind, &public, |key| authority.certify(key, &["-h", "-n", "elsewhere,127.0.0.1"]));
        let identity = Identity::one_time("root", own);
        let connected = dialer().connect(&host.target(), trusting(&authority), &identity).await;
        let connected = connected.unwrap_or_else(|error| panic!("{kind}: {error:?}"));
        assert_eq!(connected.session.host_key(), &host.host_keys[0], "the key in the certificate");
        connected.session.check().await.unwrap();
        connected.session.close().await;
    }
}

#[tokio::test]
async fn a_certificate_that_proves_nothing_is_a_mismatch_with_its_reason() {
    let (trusted, other) = (Authority::new("ed25519"), Authority::new("ed25519"));
    let own = key("ed25519");
    let public = own.public().clone();
    let identity = Identity::one_time("root", own);
    for (signer, flags, why) in [
        (&other, &["-h", "-n", "127.0.0.1"][..], "not trusted"),
        (&trusted, &["-h", "-n", "other.example.org"], "other hosts"),
        (&trusted, &["-h"], "other hosts"),
        (&trusted, &["-h", "-n", "127.0.0.1", "-V", "20200101:20200102"], "expired"),
    ] {
        let host = certified_host("ed25519", &public, |key| signer.certify(key, flags));
        let error = dialer().connect(&host.target(), trusting(&trusted), &identity).await.err().unwrap();
        let failure = error.failure().unwrap();
        assert_eq!(failure.code, FailureCode::HostKeyMismatch, "{flags:?}");
        assert!(failure.message.contains(why), "{flags:?}: {}", failure.message);
        assert!(!host.log().contains("for root"), "{}", host.log());
        // The key itself is pinned: the certificate does not matter.
        let pinned = KnownHost { keys: host.host_keys.clone(), ..trusting(&trusted) };
        dialer().connect(&host.target(), pinned, &identity).await.unwrap().session.close().await;
    }
}

#[tokio::test]
async fn a_certificate_holds_by_the_clock_and_for_the_name_that_was_asked_for() {
    let authority = Authority::new("ed25519");
    let own = key("ed25519");
    let public = own.public().clone();
    let host = certified_host("ed25519", &public, |key| {
        authority.certify(key, &["-h", "-n", "localhost", "-V", "20200101:20200102"])
    });
    let identity = Identity::one_time("root", own);
    let then = Clock::Manual(Arc::new(AtomicI64::new(Instant::from_secs(1_577_880_000).micros())));
    let past = dialer().with_clock(then);
    let named = Target::new("localhost", host.port);
    past.connect(&named, trusting(&authority), &identity).await.unwrap().session.close().await;
    assert!(past.connect(&host.target(), trusting(&authority), &identity).await.is_err(), "another name");
    assert!(dialer().connect(&named, trusting(&authority), &identity).await.is_err(), "another time");
}

fn certified(authority: &Authority, key: PrivateKey, flags: &[&str]) -> Identity {
    let certificate = Certificate::parse_openssh(&authority.certify(key.public(), flags)).unwrap();
    assert_eq!((certificate.kind(), certificate.key_id()), (CertificateKind::User, "test-id"));
    Identity { certificate: Some(certificate), ..Identity::one_time("root", key) }
}

#[tokio::test]
async fn a_certified_key_of_every_kind_logs_in_where_its_authority_is_trusted() {
    let authority = Authority::new("ed25519");
    let file = authority.dir.path().join("ca.pub");
    let host = openssh(&[], &format!("TrustedUserCAKeys {}", file.display()));
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let own = key(kind);
        let plain = Identity::one_time("root", clone(&own));
        assert!(dialer().connect(&host.target(), &host.host_keys, &plain).await.is_err(), "{kind} alone");
        let identity = certified(&authority, own, &["-n", "root"]);
        let session = dialer().connect(&host.target(), &host.host_keys, &identity).await.unwrap().session;
        session.check().await.unwrap();
        session.close().await;
    }
    let other = certified(&authority, key("ed25519"), &["-n", "nobody"]);
    let error = dialer().connect(&host.target(), &host.host_keys, &other).await.err().unwrap();
    assert_eq!(error.failure().unwrap().code, FailureCode::AuthenticationRejected);
    let log = host.log_with("CA ED25519").await;
    assert!(log.contains("ID test-id (serial 7)"), "{log}");
}

fn clone(key: &PrivateKey) -> PrivateKey {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, key.to_openssh().unwrap().expose()).unwrap();
    PrivateKey::from_stored(&Secret::new(std::fs::read(file).unwrap())).unwrap()
}
