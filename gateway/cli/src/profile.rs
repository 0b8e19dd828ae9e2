//! Profiles: where a gateway is and the token for it, in one file that only its owner can read.
//!
//! Invariants: the file is 0600 in a 0700 directory and replaced as a whole; a profile's token is sent to the
//! profile's own gateway only.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{CliError, Result};

pub const DEFAULT_URL: &str = "http://127.0.0.1:8480";
const DEFAULT_NAME: &str = "default";

/// The file's content. No `Debug`: it holds tokens.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profiles {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub url: String,
    pub token: String,
    /// Whether the token was made for this profile by a single sign-on, so that a log-out ends it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub session: bool,
}

/// What the process was started with.
#[derive(Default)]
pub struct Environment {
    pub url: Option<String>,
    pub token: Option<String>,
    pub profile: Option<String>,
    pub config_home: Option<PathBuf>,
}

impl Environment {
    pub fn of_process() -> Self {
        let text =
            |name| std::env::var(name).ok().map(|v: String| v.trim().to_owned()).filter(|v| !v.is_empty());
        let directory = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        Self {
            url: text("KEYWRIGHT_URL"),
            token: text("KEYWRIGHT_TOKEN"),
            profile: text("KEYWRIGHT_PROFILE"),
            config_home: directory("XDG_CONFIG_HOME")
                .or_else(|| directory("HOME").map(|home| home.join(".config"))),
        }
    }
}

/// Which gateway, and as whom.
pub struct Session {
    pub profile: String,
    pub url: Url,
    pub token: Option<Zeroizing<String>>,
}

impl Profiles {
    /// The session for a command: `--profile` on the command line wins over the environment, and that over the
    /// current profile.
    ///
    /// # Errors
    /// `Usage` if a named profile does not exist, if the address is none, or if the only token is another gateway's.
    pub fn session(&self, url: Option<&str>, profile: Option<&str>, env: &Environment) -> Result<Session> {
        let name = self.name(profile, env);
        let stored = self.profiles.get(&name);
        if stored.is_none() && (profile.is_some() || env.profile.is_some()) {
            return Err(CliError::Usage(format!(
                "there is no profile {name:?}. `keywright --profile {name} login` makes it"
            )));
        }
        let of_flag = stored.filter(|_| profile.is_some());
        let address = url
            .or(of_flag.map(|profile| profile.url.as_str()))
            .or(env.url.as_deref())
            .or(stored.map(|profile| profile.url.as_str()))
            .unwrap_or(DEFAULT_URL);
        let address = parse_url(address)?;
        let given = env.token.as_ref().filter(|_| of_flag.is_none());
        let token = match (given, stored) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(stored)) if parse_url(&stored.url)? == address => Some(stored.token.clone()),
            (None, Some(stored)) => {
                return Err(CliError::Usage(format!(
                    "the token of profile {name:?} is for {} and is not sent to {address}. Set KEYWRIGHT_TOKEN, or \
                     log in there with another --profile",
                    stored.url
                )));
            }
            (None, None) => None,
        };
        Ok(Session { profile: name, url: address, token: token.map(Zeroizing::new) })
    }

    /// The session for a login: no token, and a profile that need not exist yet. Its old address counts last.
    pub fn login_session(
        &self,
        url: Option<&str>,
        profile: Option<&str>,
        env: &Environment,
    ) -> Result<Session> {
        let name = self.name(profile, env);
        let address = url
            .or(env.url.as_deref())
            .or(self.profiles.get(&name).map(|profile| profile.url.as_str()))
            .unwrap_or(DEFAULT_URL);
        Ok(Session { url: parse_url(address)?, profile: name, token: None })
    }

    fn name(&self, profile: Option<&str>, env: &Environment) -> String {
        profile.or(env.profile.as_deref()).or(self.current.as_deref()).unwrap_or(DEFAULT_NAME).to_owned()
    }
}

/// The address of a gateway: http or https, with nothing but host, port and path.
pub fn parse_url(raw: &str) -> Result<Url> {
    let wrong = |why: &str| CliError::Usage(format!("{raw:?} is not the address of a gateway: {why}"));
    let url = Url::parse(raw.trim().trim_end_matches('/')).map_err(|error| wrong(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("it begins with http:// or https://"));
    }
    if !url.username().is_empty()
        || url.password().is_some()
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err(wrong("it has a host, a port and perhaps a path, nothing else"));
    }
    Ok(url)
}

/// The file.
pub struct Store {
    path: PathBuf,
    /// Without a home there are no profiles; KEYWRIGHT_TOKEN still works.
    homeless: bool,
}

impl Store {
    pub fn new(env: &Environment) -> Self {
        let home = env.config_home.clone().unwrap_or_default();
        Self { path: home.join("keywright").join("config.toml"), homeless: env.config_home.is_none() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The profiles; none if there is no file.
    pub fn load(&self) -> Result<Profiles> {
        if self.homeless {
            return Ok(Profiles::default());
        }
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Profiles::default()),
            Err(error) => return Err(self.failed("cannot be read", error)),
        };
        // The parser's own message would show the line, which may hold a token.
        toml::from_str(&text).map_err(|_| {
            CliError::Profile(format!(
                "{} is not a profiles file. Move it away and log in again",
                self.path.display()
            ))
        })
    }

    /// Whether others may read the file.
    pub fn is_exposed(&self) -> bool {
        !self.homeless
            && std::fs::metadata(&self.path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }

    /// Begins a change. The new file is there and locked before anything irrevocable is done, so that a full disk or
    /// a wrong mode shows up before a one-use code is spent.
    ///
    /// # Errors
    /// `Profile` if there is no home directory to keep it in; `File` if it cannot be written.
    pub fn begin(&self) -> Result<Change> {
        if self.homeless {
            return Err(CliError::Profile(
                "no place for profiles: neither HOME nor XDG_CONFIG_HOME is set".into(),
            ));
        }
        let directory = self.path.parent().unwrap_or(Path::new("."));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|error| self.failed("its directory cannot be made", error))?;
        let lock = open(&directory.join("config.lock"), OpenOptions::new().create(true).truncate(false))
            .map_err(|error| self.failed("cannot be locked", error))?;
        lock.lock().map_err(|error| self.failed("cannot be locked", error))?;
        let temporary = self.path.with_extension("toml.new");
        // Under the lock nobody else writes it: a left-over is of a process that was killed.
        let _ = std::fs::remove_file(&temporary);
        let file = open(&temporary, OpenOptions::new().create_new(true))
            .map_err(|error| self.failed("cannot be written", error))?;
        Ok(Change { profiles: self.load()?, file, temporary, path: self.path.clone(), _lock: lock })
    }

    fn failed(&self, what: &str, source: std::io::Error) -> CliError {
        CliError::File { doing: format!("{} {what}", self.path.display()), source }
    }
}

fn open(path: &Path, options: &mut OpenOptions) -> std::io::Result<File> {
    options.write(true).mode(0o600).open(path)
}

/// A change of the file under its lock. Dropped, it changes nothing.
pub struct Change {
    pub profiles: Profiles,
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    _lock: File,
}

impl Change {
    pub fn commit(mut self) -> Result<()> {
        let text = Zeroizing::new(
            toml::to_string(&self.profiles)
                .map_err(|_| CliError::Profile("the profiles cannot be written as TOML".into()))?,
        );
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all())
            .and_then(|()| std::fs::rename(&self.temporary, &self.path))
            .and_then(|()| File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all())
            .map_err(|source| CliError::File {
                doing: format!("{} cannot be written", self.path.display()),
                source,
            })
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        // After a commit it is not there any more.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(home: &Path) -> (Store, Environment) {
        let env = Environment { config_home: Some(home.to_path_buf()), ..Environment::default() };
        (Store::new(&env), env)
    }

    fn profiles() -> Profiles {
        let mut profiles = Profiles { current: Some("ops".into()), ..Profiles::default() };
        for (name, url) in [("ops", "http://a:1"), ("owner", "https://b")] {
            let profile = Profile { url: url.into(), token: format!("token-of-{name}"), session: false };
            profiles.profiles.insert(name.into(), profile);
        }
        profiles
    }

    fn token(session: &Session) -> &str {
        session.token.as_ref().map_or("", |token| token.as_str())
    }

    #[test]
    fn the_file_is_for_its_owner_only() {
        let home = tempfile::tempdir().unwrap();
        let (store, _) = store(home.path());
        let mut change = store.begin().unwrap();
        change.profiles = profiles();
        change.commit().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(store.path()), 0o600);
        assert_eq!(mode(store.path().parent().unwrap()), 0o700);
        assert!(!store.is_exposed());
        assert_eq!(store.load().unwrap().profiles["owner"].token, "token-of-owner");
        drop(store.begin().unwrap());
        assert_eq!(store.load().unwrap().profiles.len(), 2, "a dropped change changes nothing");
    }

    #[test]
    fn a_broken_file_does_not_show_its_content() {
        let home = tempfile::tempdir().unwrap();
        let (store, _) = store(home.path());
        std::fs::create_dir_all(store.path().parent().unwrap()).unwrap();
        std::fs::write(store.path(), "token = \"kwt_secret\" = 5").unwrap();
        let error = store.load().err().unwrap();
        assert!(!error.full_message().contains("kwt_secret"));
    }

    #[test]
    fn flag_over_environment_over_current() {
        let profiles = profiles();
        let mut env = Environment::default();
        assert_eq!(token(&profiles.session(None, None, &env).unwrap()), "token-of-ops");
        env.token = Some("from-env".into());
        assert_eq!(token(&profiles.session(None, None, &env).unwrap()), "from-env");
        env.url = Some("http://c".into());
        let session = profiles.session(None, Some("owner"), &env).unwrap();
        assert_eq!((token(&session), session.url.as_str()), ("token-of-owner", "https://b/"));
    }

    #[test]
    fn a_token_goes_to_its_own_gateway_only() {
        let profiles = profiles();
        let env = Environment { url: Some("http://elsewhere".into()), ..Environment::default() };
        assert!(matches!(profiles.session(None, None, &env), Err(CliError::Usage(_))));
        let same = Environment { url: Some("http://a:1/".into()), ..Environment::default() };
        assert_eq!(token(&profiles.session(None, None, &same).unwrap()), "token-of-ops");
    }

    #[test]
    fn a_missing_profile_is_named() {
        let env = Environment::default();
        assert!(profiles().session(None, Some("nobody"), &env).is_err());
        assert_eq!(
            profiles().login_session(None, Some("nobody"), &env).unwrap().url.as_str(),
            "http://127.0.0.1:8480/"
        );
    }

    #[test]
    fn addresses() {
        assert!(parse_url("https://keys.example/base/").is_ok());
        for wrong in ["keys.example", "ftp://a", "http://user:pw@a", "http://a?x=1"] {
            assert!(parse_url(wrong).is_err(), "{wrong}");
        }
    }
}
