//! TLS on the listeners, and tokens that hold over one client certificate alone.

use std::process::Stdio;

use keywright_e2e::certificates::{Authority, Issued};
use keywright_e2e::exchanged::bearer;
use keywright_e2e::supervised::{Supervised, binaries, clean_command};
use keywright_e2e::{LIMIT, text};
use keywright_kit::{Port, eventually, free_port};
use keywright_proto::identity::WhoAmIRequest;
use keywright_proto::identity::session_service_client::SessionServiceClient;
use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::{ClientTlsConfig, Endpoint};

/// A server with TLS on both its ports.
struct Tls {
    authority: Authority,
    folder: TempDir,
    public: Port,
    inside: Port,
    _server: Supervised,
}

impl Tls {
    async fn start() -> Self {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let (public, inside) = (free_port().unwrap(), free_port().unwrap());
        let own = authority.issue("server");
        // Every address: what is refused without TLS.
        let arguments = [
            "--data-dir".to_owned(),
            folder.path().join("data").display().to_string(),
            "--listen".to_owned(),
            format!("0.0.0.0:{}", public.number()),
            "--internal-listen".to_owned(),
            format!("127.0.0.1:{}", inside.number()),
            "--tls-cert".to_owned(),
            own.certificate.display().to_string(),
            "--tls-key".to_owned(),
            own.key.display().to_string(),
            "--client-ca".to_owned(),
            authority.certificate().display().to_string(),
        ];
        let log = folder.path().join("log");
        let program = binaries().join("keywright-server");
        let server = Supervised::start(folder.path(), &log, "KILL", &program, &arguments);
        let tls = Self { authority, folder, public, inside, _server: server };
        let ready = eventually(LIMIT, async || {
            let answer = tls.client(None).get(tls.url("/readyz")).send().await;
            answer.is_ok_and(|answer| answer.status() == 200)
        });
        assert!(ready.await, "{}", std::fs::read_to_string(log).unwrap_or_default());
        tls
    }

    fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.public.number())
    }

    fn operator(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("data/operator.token")).unwrap().trim().to_owned()
    }

    fn ca(&self) -> Vec<u8> {
        std::fs::read(self.authority.certificate()).unwrap()
    }

    fn client(&self, certificate: Option<&Issued>) -> Client {
        let builder =
            Client::builder().no_proxy().tls_certs_only([Certificate::from_pem(&self.ca()).unwrap()]);
        match certificate {
            Some(issued) => builder.identity(Identity::from_pem(issued.pem().as_bytes()).unwrap()),
            None => builder,
        }
        .build()
        .unwrap()
    }

    async fn whoami(&self, certificate: Option<&Issued>, token: &str) -> Result<u16, reqwest::Error> {
        let client = self.client(certificate);
        Ok(client.get(self.url("/api/whoami")).bearer_auth(token).send().await?.status().as_u16())
    }

    async fn create(&self, certificate: Option<&Issued>, body: &Value) -> Value {
        let client = self.client(certificate);
        let request = client.post(self.url("/api/tokens")).bearer_auth(self.operator()).json(body);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json().await.unwrap()
    }

    /// What `keywright whoami` prints.
    fn command(&self, certificate: Option<&Issued>, token: &str) -> String {
        let mut command = clean_command(self.folder.path(), &binaries().join("keywright").to_string_lossy());
        command
            .args(["whoami", "-o", "json"])
            .env("KEYWRIGHT_URL", self.url(""))
            .env("KEYWRIGHT_TOKEN", token);
        command.env("SSL_CERT_FILE", self.authority.certificate());
        if let Some(issued) = certificate {
            command
                .env("KEYWRIGHT_CLIENT_CERT", &issued.certificate)
                .env("KEYWRIGHT_CLIENT_KEY", &issued.key);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    /// The same question on the internal port, over gRPC.
    async fn whoami_inside(&self, certificate: Option<&Issued>, token: &str) -> Result<String, Code> {
        let mut tls =
            ClientTlsConfig::new().ca_certificate(tonic::transport::Certificate::from_pem(self.ca()));
        if let Some(issued) = certificate {
            let (certificate, key) = (&issued.certificate, &issued.key);
            let [certificate, key] = [certificate, key].map(|path| std::fs::read(path).unwrap());
            tls = tls.identity(tonic::transport::Identity::from_pem(certificate, key));
        }
        let url = format!("https://127.0.0.1:{}", self.inside.number());
        let channel = Endpoint::from_shared(url).unwrap().tls_config(tls).unwrap().connect_lazy();
        let answer = SessionServiceClient::new(channel).who_am_i(bearer(token, WhoAmIRequest {})).await;
        answer.map_err(|status| status.code()).map(|it| it.into_inner().principal.unwrap().token_id)
    }
}

#[tokio::test]
async fn a_bound_token_holds_over_its_certificate_alone() {
    let tls = Tls::start().await;
    let (mine, theirs) = (tls.authority.issue("mine"), tls.authority.issue("theirs"));
    let plain = mine.fingerprint().replace(':', "").to_lowercase();
    let service = json!({"role": "internal_service", "permissions": ["access.provision"]});

    let bound = tls.create(Some(&mine), &service).await;
    assert_eq!(bound["metadata"]["clientCertificate"], plain);
    let free = tls.create(None, &service).await;
    assert_eq!(free["metadata"]["clientCertificate"].as_str().unwrap_or_default(), "");
    let asked = json!({"role": "auditor", "clientCertificate": mine.fingerprint()});
    let auditor = tls.create(None, &asked).await;
    assert_eq!(auditor["metadata"]["clientCertificate"], plain, "as OpenSSL prints it");

    for token in [text(&bound, "/token"), text(&auditor, "/token")] {
        assert_eq!(tls.whoami(Some(&mine), &token).await.unwrap(), 200);
        assert_eq!(tls.whoami(None, &token).await.unwrap(), 401);
        assert_eq!(tls.whoami(Some(&theirs), &token).await.unwrap(), 401);
    }
    assert_eq!(tls.whoami(None, &text(&free, "/token")).await.unwrap(), 200);
    let token = text(&bound, "/token");
    assert!(tls.command(Some(&mine), &token).contains(&text(&bound, "/id")));
    assert!(tls.command(None, &token).contains("UNAUTHENTICATED"));
    assert_eq!(tls.whoami_inside(Some(&mine), &token).await, Ok(text(&bound, "/id")));
    assert_eq!(tls.whoami_inside(None, &token).await, Err(Code::Unauthenticated));
    assert_eq!(tls.whoami_inside(Some(&theirs), &token).await, Err(Code::Unauthenticated));
}

#[tokio::test]
async fn who_shows_a_strange_certificate_or_none_of_tls_gets_no_answer() {
    let tls = Tls::start().await;
    let elsewhere = Authority::new();
    let stranger = elsewhere.issue("stranger");
    assert!(tls.whoami(Some(&stranger), &tls.operator()).await.is_err(), "another authority's certificate");
    assert_eq!(tls.whoami(None, &tls.operator()).await.unwrap(), 200);
    let plain = format!("http://127.0.0.1:{}/readyz", tls.public.number());
    let answered = Client::builder().no_proxy().build().unwrap().get(plain).send().await;
    assert!(answered.is_err(), "without TLS");
    let code = tls.client(None).post(tls.url("/api/auth/console-codes")).bearer_auth(tls.operator());
    let code: Value = code.json(&json!({})).send().await.unwrap().json().await.unwrap();
    let opened = tls.client(None).post(tls.url("/api/auth/session")).json(&json!({"code": code["code"]}));
    let opened = opened.send().await.unwrap();
    let cookie = opened.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.ends_with("HttpOnly; SameSite=Strict; Path=/; Secure"), "{cookie}");
}

#[test]
fn certificates_that_cannot_be_used_are_refused_at_the_start() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    let (one, other) = (authority.issue("one"), authority.issue("other"));
    let start = |arguments: &[&std::ffi::OsStr]| {
        let mut command =
            clean_command(folder.path(), &binaries().join("keywright-server").to_string_lossy());
        let data = folder.path().join("data");
        let output = command
            .args(["--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(!output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let (cert, key) = ("--tls-cert".as_ref(), "--tls-key".as_ref());
    let said = start(&[cert, one.certificate.as_os_str(), key, other.key.as_os_str()]);
    assert!(said.contains("cannot be used together"), "{said}");
    let said = start(&[cert, one.key.as_os_str(), key, one.key.as_os_str()]);
    assert!(said.contains("does not hold a certificate"), "{said}");
    let said = start(&[cert, one.certificate.as_os_str()]);
    assert!(said.contains("--tls-key"), "{said}");
    let said = start(&["--client-ca".as_ref(), one.certificate.as_os_str()]);
    assert!(said.contains("--tls-cert"), "{said}");
}

#[tokio::test]
async fn the_client_crate_shows_its_certificate() {
    let tls = Tls::start().await;
    let own = tls.authority.issue("worker");
    let body = json!({"role": "internal_service", "permissions": ["reference.write"],
        "clientCertificate": own.fingerprint()});
    let token = text(&tls.create(None, &body).await, "/token");
    let url = format!("https://127.0.0.1:{}", tls.inside.number());
    let builder = || keywright_client::Client::builder(&url, token.clone()).deadline(LIMIT);
    let (certificate, key) = (std::fs::read(&own.certificate).unwrap(), std::fs::read(&own.key).unwrap());
    let shown = builder().ca(&tls.ca()).certificate(&certificate, &key).build().unwrap();
    let bare = builder().ca(&tls.ca()).build().unwrap();
    let elsewhere = builder().ca(&std::fs::read(Authority::new().certificate()).unwrap()).build().unwrap();
    let nothing = keywright_client::Subject::Credential("sshcred_aaaaaaaaaaaaaaaaaaaaaaaaaa");

    let told = async |client: keywright_client::Client| {
        client.add_reference(nothing, "worker", "a test").await.unwrap_err().name
    };

    assert_eq!(told(shown).await, "CREDENTIAL_NOT_FOUND");
    assert_eq!(told(bare).await, "UNAUTHENTICATED");
    assert_eq!(told(elsewhere).await, "Unavailable", "another authority's server is not spoken to");
}
