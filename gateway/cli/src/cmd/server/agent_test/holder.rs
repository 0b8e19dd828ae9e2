//! The user's own SSH agent, which `SSH_AUTH_SOCK` names, as its client. The path of its socket goes nowhere.

use std::path::{Path, PathBuf};
use std::time::Duration;

use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::key::{KeyError, PublicKey, SignatureAlgorithm, UserauthRequest};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::cmd::agent::wire::{Answer, Bind, RSA_SHA2_256, RSA_SHA2_512, Request, Sign, ask, receive};
use crate::error::{CliError, Result};
use crate::files;

/// For a list of keys; a signature may wait for a person.
const PROMPT: Duration = Duration::from_secs(10);

pub struct Holder(PathBuf);

/// A key that the agent holds.
pub struct Held {
    pub public: std::result::Result<PublicKey, KeyError>,
    fingerprint: Fingerprint,
    comment: String,
}

impl Holder {
    /// # Errors
    /// `Usage` where no agent is named.
    pub fn of_environment() -> Result<Self> {
        let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty());
        socket.map(|path| Self(path.into())).ok_or_else(|| {
            CliError::Usage(
                "SSH_AUTH_SOCK is not set, so there is no SSH agent to ask. Start one and add the key: eval \"$(ssh-agent)\"; ssh-add"
                    .into(),
            )
        })
    }

    /// The one that `identity` names, or the only one.
    pub async fn key(&self, identity: Option<&str>) -> Result<PublicKey> {
        let held = self.keys().await?;
        chosen(&held, identity)
    }

    async fn keys(&self) -> Result<Vec<Held>> {
        let mut stream = self.connect().await?;
        match exchange(&mut stream, &Request::Identities, PROMPT).await? {
            Answer::Identities(keys) => {
                Ok(keys.into_iter().map(|(blob, comment)| held(&blob, &comment)).collect())
            }
            _ => Err(CliError::Refused(
                "the SSH agent does not list its keys; is it locked (ssh-add -X)?".into(),
            )),
        }
    }

    /// The agent's signature of the login, in the session that `bind` names; none where it refuses.
    pub async fn sign(&self, bind: Bind, login: &UserauthRequest, wait: Duration) -> Result<Option<Vec<u8>>> {
        // A connection of its own: one that is bound to two sessions counts as forwarded.
        let mut stream = self.connect().await?;
        // An agent that does not know the extension refuses it and has no keys that need it.
        exchange(&mut stream, &Request::Bind(bind), PROMPT).await?;
        let flags = match login.algorithm() {
            SignatureAlgorithm::RsaSha256 => RSA_SHA2_256,
            SignatureAlgorithm::RsaSha512 => RSA_SHA2_512,
            _ => 0,
        };
        let sign = Sign { key: login.public_key().blob().to_vec(), data: login.signed_bytes(), flags };
        match exchange(&mut stream, &Request::Sign(sign), wait).await? {
            Answer::Signature(signature) => Ok(Some(signature)),
            _ => Ok(None),
        }
    }

    async fn connect(&self) -> Result<UnixStream> {
        UnixStream::connect(&self.0).await.map_err(|source| CliError::File {
            doing: "the SSH agent that SSH_AUTH_SOCK names cannot be reached; is it still running?".into(),
            source,
        })
    }
}

async fn exchange(stream: &mut UnixStream, request: &Request, wait: Duration) -> Result<Answer> {
    let lost = || CliError::Refused("the SSH agent hung up or does not speak its protocol".into());
    let asked = async {
        ask(stream, request).await.map_err(|_| lost())?;
        let message = receive(stream).await.ok_or_else(lost)?;
        Answer::parse(&message).map_err(|_| lost())
    };
    timeout(wait, asked).await.unwrap_or_else(|_| {
        Err(CliError::Refused("the SSH agent did not answer in time; nothing was signed".into()))
    })
}

fn held(blob: &[u8], comment: &str) -> Held {
    Held {
        public: PublicKey::from_blob(blob),
        fingerprint: Fingerprint::of_blob(blob),
        comment: comment.chars().filter(|c| !c.is_control()).collect(),
    }
}

fn chosen(held: &[Held], identity: Option<&str>) -> Result<PublicKey> {
    if held.is_empty() {
        return Err(CliError::Usage("your SSH agent holds no key; add one: ssh-add".into()));
    }
    let named: Vec<&Held> = match identity {
        None => held.iter().filter(|key| key.public.is_ok()).collect(),
        Some(identity) => {
            let wanted = wanted(identity)?;
            held.iter().filter(|key| wanted.is(key)).collect()
        }
    };
    match (named.as_slice(), identity) {
        ([one], _) => one.public.clone().map_err(|error| {
            CliError::Usage(format!("the key {} ({}) cannot be used: {error}", one.fingerprint, one.comment))
        }),
        ([], Some(identity)) => {
            Err(CliError::Usage(format!("your SSH agent holds no key {identity}. {}", listed(held))))
        }
        ([], None) => Err(CliError::Usage(format!(
            "no key of your SSH agent is of a kind that can be used. {}",
            listed(held)
        ))),
        (_, _) => Err(CliError::Usage(format!("name one key with --identity. {}", listed(held)))),
    }
}

fn listed(held: &[Held]) -> String {
    let line = |key: &Held| {
        let unusable = if key.public.is_err() { " (of a kind that cannot be used)" } else { "" };
        format!("\n  {} {}{unusable}", key.fingerprint, key.comment)
    };
    format!("It holds:{}", held.iter().map(line).collect::<String>())
}

/// What `--identity` names.
enum Wanted<'a> {
    Key(PublicKey),
    Fingerprint(Fingerprint),
    Comment(&'a str),
}

impl Wanted<'_> {
    fn is(&self, held: &Held) -> bool {
        match self {
            Self::Key(key) => held.public.as_ref().is_ok_and(|public| public == key),
            Self::Fingerprint(fingerprint) => held.fingerprint == *fingerprint,
            Self::Comment(comment) => held.comment == *comment,
        }
    }
}

fn wanted(identity: &str) -> Result<Wanted<'_>> {
    if identity.starts_with("SHA256:") {
        let fingerprint = Fingerprint::parse(identity);
        let bad = |error| CliError::Usage(format!("--identity {identity}: {error}"));
        return fingerprint.map(Wanted::Fingerprint).map_err(bad);
    }
    let file = Path::new(identity);
    if !file.is_file() {
        return Ok(Wanted::Comment(identity));
    }
    let text = files::read_text(file, "public key file")?;
    let key = PublicKey::parse_openssh(&text);
    key.map(Wanted::Key).map_err(|error| CliError::Usage(format!("--identity {identity}: {error}")))
}

#[cfg(test)]
mod tests {
    use keywright_domain::key::{GenerateSpec, PrivateKey};

    use super::*;

    fn key(comment: &str) -> Held {
        let key = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
        held(key.public().blob(), comment)
    }

    fn said(held: &[Held], identity: Option<&str>) -> String {
        chosen(held, identity).unwrap_err().to_string()
    }

    #[test]
    fn the_only_key_needs_no_name_and_of_several_one_is_named() {
        let (one, two) = (key("me@laptop"), key("work\u{1b}[31m"));
        let (first, second) = (one.public.clone().unwrap(), two.public.clone().unwrap());
        let keys = [one];
        assert_eq!(chosen(&keys, None).unwrap(), first);
        let [one] = keys;
        let keys = [one, two];
        let several = said(&keys, None);
        for told in ["--identity", keys[0].fingerprint.as_str(), "me@laptop", "work[31m"] {
            assert!(several.contains(told), "{several}");
        }
        assert_eq!(chosen(&keys, Some("me@laptop")).unwrap(), first);
        assert_eq!(chosen(&keys, Some(second.fingerprint().as_str())).unwrap(), second);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("work.pub");
        std::fs::write(&file, format!("{} work\n", second.openssh())).unwrap();
        assert_eq!(chosen(&keys, file.to_str()).unwrap(), second);
        assert!(said(&keys, Some("nobody")).contains("holds no key nobody"));
        assert!(said(&keys, Some("SHA256:short")).contains("43 characters"));
        assert!(said(&[], None).contains("ssh-add"));
    }

    #[test]
    fn a_key_of_a_kind_that_cannot_be_used_is_said_to_be_one() {
        let name = b"sk-ssh-ed25519@openssh.com";
        let mut blob = u32::try_from(name.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(name);
        let (token, plain) = (held(&blob, "token"), key("plain"));
        let public = plain.public.clone().unwrap();
        let keys = [token, plain];
        assert_eq!(chosen(&keys, None).unwrap(), public, "the only one that can be used");
        assert!(said(&keys, Some("token")).contains("not supported"), "{}", said(&keys, Some("token")));
        assert!(said(&keys[..1], None).contains("of a kind that cannot be used"));
    }
}
