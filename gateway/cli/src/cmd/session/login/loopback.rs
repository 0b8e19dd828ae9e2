//! Login in the browser of this machine (RFC 8252): the provider sends it back to a port of ours on 127.0.0.1.
//!
//! Invariants: the port listens on loopback alone and for one login; only the request with this login's state is
//! taken, once; the code is worth nothing without the verifier (PKCE, S256), which never leaves this process.

use std::collections::HashMap;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use data_encoding::BASE64URL_NOPAD;
use reqwest::Url;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::provider::{Endpoints, Provider, Reply};
use super::single_sign_on::Proof;
use crate::app::App;
use crate::browser;
use crate::error::{CliError, Result};
use crate::fields;

/// How long a person may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// How long a connection may take to say what it wants; browsers open some that say nothing.
const REQUEST: Duration = Duration::from_secs(20);
const MAX_REQUEST: usize = 16 * 1024;
const MAX_CONNECTIONS: usize = 32;
const PATH: &str = "/callback";

pub async fn prove(app: &App<'_>, provider: &Provider, endpoints: &Endpoints) -> Result<(Proof, Page)> {
    let authorization = endpoints.authorization.as_ref().ok_or_else(|| {
        CliError::Usage(format!("{} has no login in a browser here; try --device", provider.name))
    })?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(no_port)?;
    let redirect = format!("http://127.0.0.1:{}{PATH}", listener.local_addr().map_err(no_port)?.port());
    let (state, nonce, verifier) = (random()?, random()?, Zeroizing::new(random()?));
    let challenge = BASE64URL_NOPAD.encode(digest(&SHA256, verifier.as_bytes()).as_ref());
    let mut url = authorization.clone();
    url.query_pairs_mut().extend_pairs([
        ("response_type", "code"),
        ("client_id", &provider.client_id),
        ("redirect_uri", &redirect),
        ("scope", &provider.scope),
        ("state", &state),
        ("nonce", &nonce),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ]);
    let opened = browser::open(&url);
    app.out.note(&format!(
        "{} to log in through {}:\n  {url}",
        if opened {
            "Your browser should open; if not, open this"
        } else {
            "Open this in a browser of this machine (or use --device)"
        },
        provider.name
    ));
    let (page, answer) = tokio::time::timeout(PATIENCE, wait(listener, &state)).await.map_err(|_| {
        CliError::Refused("nobody logged in within ten minutes. Run the login again".into())
    })??;
    match redeem(provider, endpoints, &answer, &redirect, &verifier).await {
        Ok(id_token) => Ok((Proof { id_token, nonce }, page)),
        Err(error) => {
            page.show(false).await;
            Err(error)
        }
    }
}

/// The code of the answer for an ID token.
async fn redeem(
    provider: &Provider,
    endpoints: &Endpoints,
    answer: &HashMap<String, String>,
    redirect: &str,
    verifier: &str,
) -> Result<Zeroizing<String>> {
    let text = |name: &str| answer.get(name).map(String::as_str).unwrap_or_default();
    if !text("error").is_empty() {
        return Err(provider.refused(text("error"), text("error_description")));
    }
    // RFC 9207: an answer of another provider is not taken for this one's.
    if answer.get("iss").is_some_and(|issuer| *issuer != provider.issuer) {
        return Err(provider.wrong("the answer came from another provider"));
    }
    let form = [
        ("grant_type", "authorization_code"),
        ("code", text("code")),
        ("redirect_uri", redirect),
        ("client_id", provider.client_id.as_str()),
        ("code_verifier", verifier),
    ];
    let tokens = match provider.post(&endpoints.token, &form).await? {
        Reply::Good(tokens) => tokens,
        Reply::Error { code, description } => return Err(provider.refused(&code, &description)),
    };
    let id_token = Zeroizing::new(fields::text(&tokens, "/id_token").to_owned());
    if id_token.is_empty() {
        return Err(provider.wrong("it gave no ID token; its scopes must have \"openid\""));
    }
    Ok(id_token)
}

/// 256 random bits as text.
fn random() -> Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| CliError::Refused("the operating system gave no random bytes".into()))?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

fn no_port(source: std::io::Error) -> CliError {
    CliError::File { doing: "no port of 127.0.0.1 can be listened on".into(), source }
}

/// Waits for the one request that is this login's answer; every other one is told off.
async fn wait(listener: TcpListener, state: &str) -> Result<(Page, HashMap<String, String>)> {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            arrived = listener.accept() => {
                let (stream, _) = arrived.map_err(no_port)?;
                if open.len() < MAX_CONNECTIONS {
                    open.spawn(tokio::time::timeout(REQUEST, read(stream)));
                }
            }
            Some(request) = open.join_next(), if !open.is_empty() => {
                let Ok(Ok(Some((page, target)))) = request else { continue };
                match answer_of(&target, state) {
                    Some(answer) => return Ok((page, answer)),
                    None => page.write("404 Not Found", "This is no answer to a login that is under way.").await,
                }
            }
        }
    }
}

/// The parameters of a request that answers the login with this state.
fn answer_of(target: &str, state: &str) -> Option<HashMap<String, String>> {
    let url = Url::parse("http://127.0.0.1").ok()?.join(target).ok().filter(|url| url.path() == PATH)?;
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    let answer: HashMap<String, String> = pairs.iter().cloned().collect();
    // A parameter that stands twice could mean two things.
    let single = answer.len() == pairs.len();
    let right = answer.get("state").is_some_and(|given| given == state);
    let whole = answer.contains_key("code") || answer.contains_key("error");
    (single && right && whole).then_some(answer)
}

/// The target of a GET request, and the connection to answer on.
async fn read(mut stream: TcpStream) -> Option<(Page, String)> {
    let mut head = Vec::new();
    let mut buffer = [0; 2048];
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await.ok().filter(|count| *count > 0)?;
        head.extend_from_slice(buffer.get(..count)?);
        if head.len() > MAX_REQUEST {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    // The listener is reached by address; a name in between is somebody's trick.
    let host =
        head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("host:").map(str::to_owned));
    let direct = host.is_some_and(|host| host.trim().starts_with("127.0.0.1:"));
    (method == "GET" && target.starts_with('/') && direct).then(|| (Page(stream), target.to_owned()))
}

/// The browser that waits for an answer.
pub struct Page(TcpStream);

impl Page {
    /// Says how the login ended.
    pub async fn show(self, good: bool) {
        let text = match good {
            true => "You are logged in to Keywright. You can close this window.",
            false => "The login failed; the terminal says why. You can close this window.",
        };
        self.write("200 OK", text).await;
    }

    async fn write(mut self, status: &str, text: &str) {
        let body = format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Keywright</title><p>{text}</p></html>\n"
        );
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\n\
             cache-control: no-store\r\nreferrer-policy: no-referrer\r\ncontent-security-policy: default-src 'none'\r\n\
             x-content-type-options: nosniff\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        // The person may have closed the window: the terminal tells all.
        let _ = tokio::time::timeout(REQUEST, async {
            self.0.write_all(answer.as_bytes()).await?;
            self.0.shutdown().await
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_with_the_right_state_is_taken() {
        assert!(answer_of("/callback?code=c&state=s", "s").is_some());
        assert!(answer_of("/callback?error=access_denied&state=s", "s").is_some());
        for wrong in [
            "/callback?code=c",
            "/callback?code=c&state=S",
            "/callback?state=s",
            "/callback?code=c&state=s&state=s",
            "/callback?code=c&code=d&state=s",
            "/other?code=c&state=s",
            "//evil.example/callback",
            "/",
        ] {
            assert!(answer_of(wrong, "s").is_none(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn strangers_are_told_off_and_the_answer_still_arrives() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let ask = async |target: &str, host: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let silent = TcpStream::connect(address).await.unwrap();
        let here = address.to_string();
        let login = async {
            let (page, answer) = wait(listener, "s").await.unwrap();
            page.show(true).await;
            answer
        };
        let person = async {
            assert!(ask("/favicon.ico", &here).await.starts_with("HTTP/1.1 404"));
            assert!(ask("/callback?code=evil&state=guess", &here).await.starts_with("HTTP/1.1 404"));
            assert_eq!(ask("/callback?code=c&state=s", "rebound.example").await, "");
            ask("/callback?code=c&state=s", &here).await
        };
        let (answer, shown) = tokio::join!(login, person);
        assert_eq!(answer["code"], "c");
        assert!(shown.contains("You can close this window") && shown.contains("no-store"));
        drop(silent);
    }
}
