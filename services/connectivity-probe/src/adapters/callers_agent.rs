//! Signing by the caller's own agent: he is asked over the stream that he began the test with, and answers at any replica.
//!
//! Invariant: the row of a question lives no longer than the question; whoever waits for an answer ends at his time, when the
//! caller goes, or when this process stops.

use crate::dialogue::{Answer, Asking, Question, Word};
use crate::store::{self, signature_request};
use async_trait::async_trait;
use keywright_domain::clock::Instant;
use keywright_domain::host::{HostName, Port};
use keywright_domain::ids::SignatureRequestId;
use keywright_domain::key::UserauthRequest;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_ssh::{HostProof, PortFailure, SigningPort};
use std::time::Duration;
use tokio::time::Instant as Moment;

/// How soon an answer is looked for, at first and in the end.
const LOOK_FIRST: Duration = Duration::from_millis(50);
const LOOK_LAST: Duration = Duration::from_millis(250);

pub struct CallersAgent {
    /// Who began the test.
    pub principal: String,
    pub host: HostName,
    pub port: Port,
    pub asking: Asking,
}

#[async_trait]
impl SigningPort for CallersAgent {
    async fn sign(&self, login: UserauthRequest, proof: &HostProof) -> Result<Vec<u8>, PortFailure> {
        self.ask(login, proof).await.map_err(|failure| PortFailure::new(failure.reason, failure.message))
    }

    fn patience(&self) -> Duration {
        self.asking.patience
    }
}

impl CallersAgent {
    async fn ask(&self, login: UserauthRequest, proof: &HostProof) -> Result<Vec<u8>, Failure> {
        let until = Moment::now() + self.asking.patience;
        let (id, expires_at) = self.open(&login).await?;
        let question = Question {
            id: id.clone(),
            login,
            host: self.host.clone(),
            port: self.port,
            proof: proof.clone(),
            expires_at,
        };
        let waited = match self.asking.words.send(Ok(Word::Wanted(Box::new(question)))).await {
            Ok(()) => self.wait(&id, until).await,
            Err(_) => Err(gone()),
        };
        match (self.close(&id).await?, waited) {
            (Some(Answer::Signature(signature)), _) => Ok(signature),
            (Some(Answer::Refused(refusal)), _) => Err(unsigned(refusal.message())),
            (None, Ok(())) => Err(unsigned("Nobody signed the login in time.")),
            (None, Err(failure)) => Err(failure),
        }
    }

    async fn open(&self, login: &UserauthRequest) -> Result<(SignatureRequestId, Instant), Failure> {
        let id = SignatureRequestId::random()?;
        let opened: Result<Instant, Error> = self
            .asking
            .db
            .serialized(|| async {
                let mut tx = self.asking.db.begin_internal("a signature is waited for").await?;
                let expires_at = tx.now().plus(self.asking.patience);
                signature_request::insert(&mut tx, &id, &self.principal, login, expires_at).await?;
                tx.commit().await?;
                Ok(expires_at)
            })
            .await;
        Ok((id, opened?))
    }

    /// Until there is an answer, or the time is up.
    async fn wait(&self, id: &SignatureRequestId, until: Moment) -> Result<(), Failure> {
        let mut pause = LOOK_FIRST;
        loop {
            tokio::select! {
                () = self.asking.words.closed() => return Err(gone()),
                () = self.asking.stop.cancelled() => return Err(stopping()),
                () = tokio::time::sleep_until(until.min(Moment::now() + pause)) => {}
            }
            let mut reader = store::reader(&self.asking.db).await?;
            if signature_request::answer_of(&mut reader, id).await?.is_some() || Moment::now() >= until {
                return Ok(());
            }
            pause = pause.saturating_mul(2).min(LOOK_LAST);
        }
    }

    async fn close(&self, id: &SignatureRequestId) -> Result<Option<Answer>, Failure> {
        let taken: Result<Option<Answer>, Error> = self
            .asking
            .db
            .serialized(|| async {
                let mut tx = self.asking.db.begin_internal("a signature is waited for no more").await?;
                let answer = signature_request::take(&mut tx, id).await?;
                tx.commit().await?;
                Ok(answer)
            })
            .await;
        Ok(taken?)
    }
}

fn unsigned(message: &str) -> Failure {
    Failure::new(Reason::SignatureNotSupplied, message)
}

fn gone() -> Failure {
    unsigned("The caller went away before he signed the login.")
}

fn stopping() -> Failure {
    Failure::new(Reason::ServiceUnavailable, "The service stops, and the login was not signed yet.")
}
