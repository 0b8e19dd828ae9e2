//! The feed of revocations over gRPC.

use crate::app::identity::revocations::{Follower, Word};
use keywright_proto::identity as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

/// Between two words.
const BEAT: Duration = Duration::from_secs(1);

/// A follower that proved himself so long ago proves himself again.
const LONGEST: Duration = Duration::from_secs(600);

pub struct RevocationFeed {
    pub db: Db,
    pub stop: CancellationToken,
}

type Answer = Result<proto::WatchRevocationsResponse, Status>;

#[tonic::async_trait]
impl proto::revocation_feed_service_server::RevocationFeedService for RevocationFeed {
    type WatchRevocationsStream = ReceiverStream<Answer>;

    async fn watch_revocations(
        &self,
        _: Request<proto::WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let (words, stream) = mpsc::channel(1);
        let (follower, stop) = (Follower::new(self.db.clone()), self.stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                _longest = tokio::time::timeout(LONGEST, tell(follower, words)) => {}
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// A word each second, for as long as somebody listens and the database answers.
async fn tell(mut follower: Follower, words: mpsc::Sender<Answer>) {
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beat.tick().await;
        let word = follower.next().await;
        let ends = word.is_err();
        if words.send(word.map(encode).map_err(Failure::into)).await.is_err() || ends {
            return;
        }
    }
}

fn encode(word: Word) -> proto::WatchRevocationsResponse {
    proto::WatchRevocationsResponse {
        token_ids: word.tokens.into_iter().map(String::from).collect(),
        as_of: Some(timestamp(word.as_of)),
    }
}
