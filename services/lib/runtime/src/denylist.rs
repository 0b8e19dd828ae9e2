//! Which tokens ended lately, in this process: what was exchanged for them ends with them, wherever it is.
//!
//! Invariant: without word from the feed for [`PATIENCE`] nothing is taken on trust: users' tokens are refused and
//! open streams end; only exchanged tokens, which live 60 seconds, are good until they run out.

use crate::audit::instant;
use crate::auth::unauthenticated;
use crate::clients::Outbound;
use crate::failure::Failure;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant as When;
use keywright_domain::ids::TokenId;
use keywright_domain::reason::Reason;
use keywright_proto::identity::revocation_feed_service_client::RevocationFeedServiceClient;
use keywright_proto::identity::{WatchRevocationsRequest, WatchRevocationsResponse};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long a process trusts what it last heard.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// How long a token stays on the list: longer than anything that was exchanged for it.
const KEPT: Duration = Duration::from_secs(90);

/// The feed has a heartbeat each second; after so long without one it is asked for anew.
const SILENCE: Duration = Duration::from_secs(3);

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often an open stream asks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shared by all that one process serves. Cheap to clone.
#[derive(Clone)]
pub struct Denylist(Arc<Inner>);

struct Inner {
    ended: Mutex<HashMap<TokenId, Ended>>,
    heard: Mutex<Instant>,
    changed: watch::Sender<()>,
}

/// A token that ended, as far as one word of the feed told.
struct Ended {
    heard: Instant,
    /// Whatever the identity service vouched for until then holds no more. A token that holds again (its tenant was
    /// suspended and resumed) is vouched for later.
    as_of: When,
}

impl Default for Denylist {
    fn default() -> Self {
        Self::new()
    }
}

impl Denylist {
    /// An empty list. It counts as just heard of: a process that starts has [`PATIENCE`] to reach the feed.
    pub fn new() -> Self {
        Self::heard_of(Instant::now())
    }

    fn heard_of(at: Instant) -> Self {
        let (ended, heard) = (Mutex::default(), Mutex::new(at));
        Self(Arc::new(Inner { ended, heard, changed: watch::Sender::new(()) }))
    }

    fn has_ended(&self, caller: &Caller) -> bool {
        let Some(token) = &caller.principal.token else { return false };
        locked(&self.0.ended).get(token).is_some_and(|ended| caller.vouched_at <= ended.as_of)
    }

    /// Refuses what only somebody who hears of revocations may accept.
    pub fn in_contact(&self) -> Result<(), Failure> {
        self.in_contact_at(Instant::now())
    }

    fn in_contact_at(&self, now: Instant) -> Result<(), Failure> {
        if now.duration_since(*locked(&self.0.heard)) < PATIENCE {
            return Ok(());
        }
        Err(Failure::new(
            Reason::ServiceUnavailable,
            "It is not known which tokens were revoked lately, so none is accepted.",
        ))
    }

    /// Refuses what was exchanged for a token that ended.
    pub fn check(&self, caller: &Caller) -> Result<(), Failure> {
        if self.has_ended(caller) { Err(unauthenticated()) } else { Ok(()) }
    }

    /// Why a stream that the caller opened must end, once it must.
    pub async fn over(&self, caller: &Caller) -> Failure {
        let mut changed = self.0.changed.subscribe();
        loop {
            if let Err(failure) = self.check(caller).and_then(|()| self.in_contact()) {
                return failure;
            }
            let _either = timeout(LOOK_EVERY, changed.changed()).await;
        }
    }

    /// Takes word from the feed.
    fn hear(&self, word: &WatchRevocationsResponse, now: Instant) {
        *locked(&self.0.heard) = now;
        let mut ended = locked(&self.0.ended);
        ended.retain(|_, it| now.duration_since(it.heard) < KEPT);
        let as_of = word.as_of.map_or(When::from_micros(i64::MAX), instant);
        for token in word.token_ids.iter().filter_map(|id| TokenId::parse(id).ok()) {
            ended.insert(token, Ended { heard: now, as_of });
        }
        drop(ended);
        if !word.token_ids.is_empty() {
            self.0.changed.send_replace(());
        }
    }

    /// Follows the feed until `stop`.
    pub async fn follow(self, outbound: Outbound, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let before = *locked(&self.0.heard);
            tokio::select! {
                () = stop.cancelled() => return,
                ended = self.listen(&outbound) => if let Err(failure) = ended {
                    tracing::debug!(reason = failure.reason.as_str(), "the feed of revocations ended");
                },
            }
            pause = if *locked(&self.0.heard) > before { FIRST_PAUSE } else { pause.saturating_mul(2) };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(pause.min(LONGEST_PAUSE)) => {}
            }
        }
    }

    async fn listen(&self, outbound: &Outbound) -> Result<(), Failure> {
        let request = outbound.own_request(ServiceName::CredentialStore, None, WatchRevocationsRequest {})?;
        let mut client = RevocationFeedServiceClient::new(outbound.peer(ServiceName::CredentialStore));
        let mut words =
            timeout(SILENCE, client.watch_revocations(request)).await.map_err(|_| silent())??.into_inner();
        while let Some(word) = timeout(SILENCE, words.message()).await.map_err(|_| silent())?? {
            self.hear(&word, Instant::now());
        }
        Ok(())
    }
}

fn silent() -> Failure {
    Failure::new(Reason::DeadlineExceeded, "The feed of revocations is silent.")
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::timestamp;

    fn word(ids: &[&Caller], as_of: i64) -> WatchRevocationsResponse {
        let token_ids = ids.iter().map(|it| it.principal.token.as_ref().unwrap().to_string()).collect();
        WatchRevocationsResponse { token_ids, as_of: Some(timestamp(When::from_secs(as_of))) }
    }

    /// Somebody whose token was seen to hold at that second.
    fn vouched(at: i64) -> Caller {
        let mut caller = Caller::background(ServiceName::Gateway, "");
        caller.principal.token = Some(TokenId::random().unwrap());
        caller.vouched_at = When::from_secs(at);
        caller
    }

    #[test]
    fn a_token_is_kept_for_as_long_as_its_exchanged_ones_live() {
        let (list, ended, other) = (Denylist::new(), vouched(100), vouched(100));
        let start = Instant::now();
        list.hear(&word(&[&ended], 101), start);
        assert_eq!(list.check(&ended).unwrap_err().reason, Reason::Unauthenticated);
        assert!(list.check(&other).is_ok());
        assert!(list.check(&Caller::background(ServiceName::Gateway, "")).is_ok());
        list.hear(&word(&[], 180), start + KEPT - Duration::from_secs(1));
        assert!(list.check(&ended).is_err());
        list.hear(&word(&[], 191), start + KEPT);
        assert!(list.check(&ended).is_ok(), "forgotten: it has run out by itself");
    }

    #[test]
    fn a_token_that_holds_again_is_accepted_when_it_was_vouched_for_anew() {
        let (list, before) = (Denylist::new(), vouched(100));
        list.hear(&word(&[&before], 101), Instant::now());
        let after = Caller { vouched_at: When::from_secs(102), ..before.clone() };
        assert!(list.check(&before).is_err() && list.check(&after).is_ok());
        list.hear(&word(&[&before], 103), Instant::now());
        assert!(list.check(&after).is_err(), "it ended a second time");
    }

    #[test]
    fn out_of_contact_nothing_is_taken_on_trust() {
        let start = Instant::now();
        let list = Denylist::heard_of(start);
        let nearly = start + PATIENCE - Duration::from_millis(1);
        assert!(list.in_contact_at(nearly).is_ok(), "a process that starts has time to reach the feed");
        assert_eq!(list.in_contact_at(start + PATIENCE).unwrap_err().reason, Reason::ServiceUnavailable);
        list.hear(&word(&[], 1), start + PATIENCE);
        assert!(list.in_contact_at(start + PATIENCE).is_ok(), "a heartbeat is contact");
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_token() {
        let (list, caller) = (Denylist::new(), vouched(100));
        let (watched, whose) = (list.clone(), caller.clone());
        let open = tokio::spawn(async move { watched.over(&whose).await });
        list.hear(&word(&[&caller], 100), Instant::now());
        assert_eq!(open.await.unwrap().reason, Reason::Unauthenticated);
    }

    #[tokio::test]
    async fn a_stream_ends_with_the_contact() {
        let long_ago = Instant::now().checked_sub(PATIENCE).unwrap();
        let ended = Denylist::heard_of(long_ago).over(&vouched(100)).await;
        assert_eq!(ended.reason, Reason::ServiceUnavailable);
    }
}
