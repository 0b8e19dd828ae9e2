//! A test with a key that stays with the caller: it runs beside the request that began it, asks for one signature on the
//! way, and ends with its result.
//!
//! Invariant: what is asked are the fields of one login and the proof of its host; a test whose caller has gone asks
//! nothing and ends.

use crate::adapters::callers_agent::CallersAgent;
use crate::login::LoginName;
use crate::one_time::key_facts;
use crate::report::{CheckName, ConnectivityTest, Progress};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::host::{HostName, Port};
use keywright_domain::ids::SignatureRequestId;
use keywright_domain::key::{PublicKey, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use keywright_ssh::{HostProof, Identity};
use keywright_storage::Db;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

/// Tests of this kind that one process runs at once: each holds a connection while a person looks for his security key.
const AT_ONCE: usize = 64;

/// A signature that is wanted, and for what.
pub struct Question {
    pub id: SignatureRequestId,
    pub login: UserauthRequest,
    pub host: HostName,
    pub port: Port,
    pub proof: HostProof,
    pub expires_at: Instant,
}

/// What the caller hears.
pub enum Word {
    Wanted(Box<Question>),
    /// The last one.
    Ended(Box<ConnectivityTest>),
}

pub type Words = mpsc::Receiver<Result<Word, Failure>>;

/// What the caller answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// In SSH wire form.
    Signature(Vec<u8>),
    Refused(Refusal),
}

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Declined,
    Unexpected,
    /// Keywright's own verdict on what was sent.
    Wrong,
}

impl Refusal {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Declined => "DECLINED",
            Self::Unexpected => "UNEXPECTED",
            Self::Wrong => "WRONG",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Declined, Self::Unexpected, Self::Wrong].into_iter().find(|it| it.as_str() == text)
    }

    pub const fn message(self) -> &'static str {
        match self {
            Self::Declined => "The agent did not sign the login.",
            Self::Unexpected => "The caller refused to sign: the login was not the one that he expected.",
            Self::Wrong => "Too many wrong signatures were sent for the login.",
        }
    }
}

/// A key whose holder is asked over a running dialogue.
pub struct CallersKey {
    pub public_key: PublicKey,
    pub username: LoginName,
    pub asking: Asking,
}

impl CallersKey {
    /// The checks `key` and `passphrase`, which such a key cannot fail, and who logs in.
    pub fn identity(self, caller: &Caller, at: (&HostName, Port), progress: &mut Progress) -> Identity {
        let facts = key_facts(&self.public_key);
        progress.passed(CheckName::Key, "The key stays in the caller's agent.", Duration::ZERO, facts);
        let said = "The agent asks for a passphrase itself, where the key has one.";
        progress.passed(CheckName::Passphrase, said, Duration::ZERO, Vec::new());
        let agent = CallersAgent {
            principal: caller.principal.id.clone(),
            host: at.0.clone(),
            port: at.1,
            asking: self.asking,
        };
        Identity {
            user: self.username.as_str().to_owned(),
            public_key: self.public_key,
            certificate: None,
            port: Arc::new(agent),
        }
    }
}

/// How a test asks its caller.
#[derive(Clone)]
pub struct Asking {
    pub db: Db,
    pub words: mpsc::Sender<Result<Word, Failure>>,
    pub patience: Duration,
    pub stop: CancellationToken,
}

/// All such tests of this process.
#[derive(Clone)]
pub struct Dialogues {
    pub db: Db,
    /// How long a signature is waited for.
    pub patience: Duration,
    pub stop: CancellationToken,
    places: Arc<Semaphore>,
    running: TaskTracker,
}

/// One that is about to begin.
pub struct Opened {
    pub asking: Asking,
    words: Words,
    place: OwnedSemaphorePermit,
}

impl Dialogues {
    pub fn new(db: Db, patience: Duration, stop: CancellationToken) -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE));
        Self { db, patience, stop, places, running: TaskTracker::new() }
    }

    pub fn open(&self) -> Result<Opened, Failure> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            let what = format!("{AT_ONCE} tests wait for their callers' agents already.");
            Failure::new(Reason::RateLimited, what)
        })?;
        let (sender, words) = mpsc::channel(1);
        let (db, patience, stop) = (self.db.clone(), self.patience, self.stop.clone());
        Ok(Opened { asking: Asking { db, words: sender, patience, stop }, words, place })
    }

    /// Runs a test to its end; its words come out.
    pub fn run<T>(&self, opened: Opened, test: T) -> Words
    where
        T: Future<Output = Result<ConnectivityTest, Failure>> + Send + 'static,
    {
        let Opened { asking, words, place } = opened;
        let work = async move {
            let ended = test.await.map(|test| Word::Ended(Box::new(test)));
            // Whoever has gone does not hear it.
            let _ = asking.words.send(ended).await;
            drop(place);
        };
        self.running.spawn(work.in_current_span());
        words
    }

    /// Until all have ended, after the stop.
    pub async fn drained(self) {
        self.stop.cancelled().await;
        self.running.close();
        self.running.wait().await;
    }
}
