//! Which tokens ended lately: what every process of the installation follows.

use crate::store::token;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TokenId;
use keywright_runtime::failure::Failure;
use keywright_storage::Db;
use std::collections::HashSet;
use std::time::Duration;

/// Told to whoever begins to follow: longer than anything that was exchanged for a token lives. A transaction that
/// revokes commits well within it, so that none is missed for having begun before one looked.
const LOOK_BACK: Duration = Duration::from_secs(90);

/// One follower's place in the feed.
pub struct Follower {
    db: Db,
    told: HashSet<(TokenId, Instant)>,
}

/// What ended since the last word.
#[derive(Debug)]
pub struct Word {
    pub tokens: Vec<TokenId>,
    pub as_of: Instant,
}

impl Follower {
    pub fn new(db: Db) -> Self {
        Self { db, told: HashSet::new() }
    }

    /// Asks the database, so that it does not matter which process revoked.
    pub async fn next(&mut self) -> Result<Word, Failure> {
        let since = self.db.now().await?.minus(LOOK_BACK);
        let ended: HashSet<_> = token::ended_since(&self.db, since).await?.into_iter().collect();
        // After the look: whoever was vouched for before the end was committed was so before this.
        let as_of = self.db.now().await?;
        let tokens = ended.difference(&self.told).map(|(token, _)| token.clone()).collect();
        self.told = ended;
        Ok(Word { tokens, as_of })
    }
}
