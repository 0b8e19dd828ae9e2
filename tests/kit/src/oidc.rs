//! An OpenID Connect provider: the certified `oidc-provider` of npm, run by node, with a few people and two clients.
//!
//! Invariant: a person signs in through the provider's own pages, form by form, as a browser would; only what takes a
//! provider years (new keys, shorter tokens) or what an attacker does goes through its back door.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use reqwest::{Client, Method, Url};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::daemon::Daemon;
use crate::error::{During, KitError};
use crate::port::{Port, free_port};
use crate::process::{eventually, http_client, program, run_ok};
use crate::tools::tools;

const SCRIPT: &str = include_str!("../oidc-provider/provider.mjs");
const REMEDY: &str = "run tests/run once: it installs the provider into the tools folder";
const LIMIT: Duration = Duration::from_secs(60);
/// Pages between a login's begin and its end.
const PAGES: usize = 20;
/// The pair of RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const SCOPES: &str = "openid profile email groups org";
const REDIRECT: &str = "http://127.0.0.1:9/callback";

/// A running provider. Its people are ada (group `acme-admins`, org `acme`), bob (org `acme`), olga (group
/// `platform-ops`) and eve; its clients `keywright` and `another`.
#[derive(Debug)]
pub struct OidcProvider {
    daemon: Option<Daemon>,
    folder: TempDir,
    port: Port,
    tls: bool,
}

impl OidcProvider {
    pub async fn start() -> Result<Self, KitError> {
        Self::with(false).await
    }

    /// Over https, under an authority of its own.
    pub async fn start_tls() -> Result<Self, KitError> {
        Self::with(true).await
    }

    async fn with(tls: bool) -> Result<Self, KitError> {
        let folder = tempfile::Builder::new()
            .prefix("keywright-oidc-")
            .tempdir()
            .during("making a folder for OIDC")?;
        std::fs::write(folder.path().join("provider.mjs"), SCRIPT).during("writing the provider's script")?;
        let mut provider = Self { daemon: None, folder, port: free_port()?, tls };
        if tls {
            provider.certify().await?;
        }
        provider.start_again().await?;
        Ok(provider)
    }

    /// Starts it on the same address, with new keys.
    pub async fn start_again(&mut self) -> Result<(), KitError> {
        let modules = modules()?;
        let node = program("node", &[], "apt-get install nodejs (20 or newer)")?;
        let script = self.folder.path().join("provider.mjs");
        let (node, script, modules) =
            (node.to_string_lossy(), script.to_string_lossy(), modules.to_string_lossy());
        let port = self.port.number().to_string();
        let (certificate, key) = (self.file("leaf.pem"), self.file("leaf.key"));
        let mut argv = vec![&*node, &*script, &*modules, &port];
        if self.tls {
            argv.extend([certificate.as_str(), key.as_str()]);
        }
        let log = self.folder.path().join("provider.log");
        self.daemon = Some(Daemon::start(&argv, &log, "KILL", None)?);
        let (client, url) = (self.client(), self.url("/jwks"));
        if eventually(LIMIT, async || client.get(&url).send().await.is_ok_and(|r| r.status().is_success()))
            .await
        {
            return Ok(());
        }
        let detail = std::fs::read_to_string(log).unwrap_or_default();
        Err(KitError::Timeout { what: "the OIDC provider", detail })
    }

    /// Stops the process: connections are refused until [`start_again`](Self::start_again).
    pub fn stop(&mut self) {
        self.daemon = None;
    }

    pub fn issuer(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port.number())
    }

    /// The certificate of its authority (PEM), for a provider over https.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    /// An authority, and a certificate of it for 127.0.0.1.
    async fn certify(&self) -> Result<(), KitError> {
        let extensions = "basicConstraints=CA:FALSE\nsubjectAltName=IP:127.0.0.1\n";
        std::fs::write(self.file("leaf.ext"), extensions).during("writing the provider's certificate")?;
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes";
        for command in [
            format!("req -x509 {key} -days 2 -subj /CN=authority -keyout ca.key -out ca.pem"),
            format!("req -new {key} -subj /CN=provider -keyout leaf.key -out leaf.csr"),
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -days 2 -extfile leaf.ext -out leaf.pem"
                .to_owned(),
        ] {
            let mut openssl = Command::new("openssl");
            openssl.args(command.split(' ')).current_dir(self.folder.path());
            run_ok("openssl", &mut openssl).await?;
        }
        Ok(())
    }

    /// A client that trusts it.
    fn client(&self) -> Client {
        if !self.tls {
            return http_client().unwrap();
        }
        let authority = std::fs::read(self.authority()).unwrap();
        let authority = reqwest::Certificate::from_pem(&authority).unwrap();
        let builder = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        builder.tls_certs_only([authority]).build().unwrap()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer())
    }

    /// New keys for `alg` (the old ones are published no more) and the lifetime of ID tokens.
    pub async fn set_up(&self, alg: &str, id_token_seconds: u32) {
        self.back_door("set-up", json!({"alg": alg, "idTokenSeconds": id_token_seconds})).await;
    }

    /// A token that the provider did not sign: `none`, or HS256 under the text of its public key.
    pub async fn forge(&self, alg: &str, claims: Value) -> String {
        let answer = self.back_door("forge", json!({"alg": alg, "claims": claims})).await;
        answer["token"].as_str().unwrap().to_owned()
    }

    /// How often its keys were asked for.
    pub async fn key_sets(&self) -> u64 {
        self.back_door("key-sets", json!({})).await["count"].as_u64().unwrap()
    }

    async fn back_door(&self, name: &str, body: Value) -> Value {
        let url = self.url(&format!("/test/{name}"));
        self.client().post(url).json(&body).send().await.unwrap().json().await.unwrap()
    }

    /// Opens a page of the provider as `person`, signs in and consents. Answers where the client is to be called, or,
    /// where the provider's pages end without that, the last page.
    pub async fn sign_in(&self, url: &str, person: &str) -> String {
        let client = self.client();
        let mut cookies = BTreeMap::<String, String>::new();
        let (mut method, mut url, mut body) = (Method::GET, Url::parse(url).unwrap(), String::new());
        for _ in 0..PAGES {
            let jar: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let request = client.request(method.clone(), url.clone()).header(COOKIE, jar.join("; "));
            let request = match method {
                Method::POST => {
                    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(body.clone())
                }
                _ => request,
            };
            let response = request.send().await.unwrap();
            for cookie in response.headers().get_all(SET_COOKIE) {
                let (name, value) =
                    cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
                match value {
                    "" => cookies.remove(name),
                    value => cookies.insert(name.to_owned(), value.to_owned()),
                };
            }
            if let Some(location) = response.headers().get(LOCATION) {
                let next = url.join(location.to_str().unwrap()).unwrap();
                if !next.as_str().starts_with(&self.url("/")) {
                    return next.into();
                }
                (method, url) = (Method::GET, next);
                continue;
            }
            let (status, page) = (response.status(), response.text().await.unwrap());
            let Some(form) = Form::first(&page).filter(|_| status.is_success()) else { return page };
            url = url.join(&form.action).unwrap();
            (method, body) = (Method::POST, form.filled(person));
        }
        panic!("{person} was not signed in after {PAGES} pages; the last was {url}");
    }

    /// An ID token that the provider really issued, to a client that has nothing to do with Keywright's own.
    pub async fn id_token(&self, person: &str, client: &str, nonce: &str) -> String {
        let mut url = Url::parse(&self.url("/auth")).unwrap();
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", REDIRECT),
            ("scope", SCOPES),
            ("state", "of a test"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ]);
        if !nonce.is_empty() {
            url.query_pairs_mut().append_pair("nonce", nonce);
        }
        let called = self.sign_in(url.as_str(), person).await;
        let called = Url::parse(&called).unwrap_or_else(|_| panic!("no redirect but a page: {called}"));
        let code = called.query_pairs().find(|(name, _)| name == "code");
        let (_, code) = code.unwrap_or_else(|| panic!("no code in {called}"));
        let form = encode(&[
            ("grant_type", "authorization_code"),
            ("code", &code),
            ("redirect_uri", REDIRECT),
            ("client_id", client),
            ("code_verifier", VERIFIER),
        ]);
        let request = self.client().post(self.url("/token"));
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["id_token"].as_str().unwrap_or_else(|| panic!("no ID token in {answer}")).to_owned()
    }
}

/// A form of a page.
struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

impl Form {
    fn first(page: &str) -> Option<Self> {
        let start = page.find("<form")?;
        let form = page[start..].split("</form>").next()?;
        let action = attribute(form.split('>').next()?, "action")?;
        let inputs = form.split("<input").skip(1).filter_map(|input| {
            let tag = input.split('>').next()?;
            Some((attribute(tag, "name")?, attribute(tag, "value").unwrap_or_default()))
        });
        Some(Self { action, fields: inputs.collect() })
    }

    fn filled(&self, person: &str) -> String {
        let value = |name: &str, value: &str| match name {
            "login" => person.to_owned(),
            "password" => "anything".to_owned(),
            _ => value.to_owned(),
        };
        let filled: Vec<(&str, String)> =
            self.fields.iter().map(|(name, given)| (name.as_str(), value(name, given))).collect();
        encode(&filled.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let value = tag.split(&format!(" {name}=\"")).nth(1)?.split('"').next()?;
    Some(value.replace("&amp;", "&"))
}

fn encode(form: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://localhost/").unwrap();
    url.query_pairs_mut().extend_pairs(form);
    url.query().unwrap_or_default().to_owned()
}

fn modules() -> Result<PathBuf, KitError> {
    let folder = tools().join("node-oidc-provider");
    match folder.join(".complete").is_file() {
        true => Ok(folder.join("node_modules")),
        false => Err(KitError::Missing { program: "oidc-provider".into(), remedy: REMEDY }),
    }
}

#[cfg(test)]
mod tests {
    use super::OidcProvider;

    #[tokio::test]
    async fn people_sign_in_through_its_pages() {
        let provider = OidcProvider::start().await.unwrap();
        let token = provider.id_token("ada", "keywright", "n").await;
        assert_eq!(token.split('.').count(), 3);
        provider.set_up("ES256", 300).await;
        assert_ne!(provider.id_token("ada", "keywright", "n").await, token);
        assert!(provider.key_sets().await > 0);
    }
}
