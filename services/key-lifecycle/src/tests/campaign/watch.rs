//! Whoever watches a campaign sees each state that lasts, and its end.

use super::super::world::{World, answer, operator};
use super::{counted, ended};
use keywright_proto::lifecycle as proto;
use proto::CampaignState::{Cancelled, Paused, Running, Succeeded};
use std::time::Duration;
use tonic::Streaming;

const LIMIT: Duration = Duration::from_secs(20);

type Watch = Streaming<proto::WatchCampaignResponse>;

impl World {
    async fn watch_campaign(&self, id: &str) -> Watch {
        let asked = proto::WatchCampaignRequest { campaign_id: id.to_owned() };
        answer(self.campaigns(&operator()).watch_campaign(asked).await).unwrap()
    }
}

/// The next snapshot; None at the end.
async fn next(watch: &mut Watch) -> Option<proto::Campaign> {
    let shown = tokio::time::timeout(LIMIT, watch.message()).await.unwrap().unwrap();
    shown.map(|shown| shown.campaign.unwrap())
}

/// Everything up to a snapshot like this.
async fn until(watch: &mut Watch, holds: impl Fn(&proto::Campaign) -> bool) -> proto::Campaign {
    loop {
        let shown = next(watch).await.unwrap();
        if holds(&shown) {
            return shown;
        }
    }
}

#[tokio::test]
async fn a_watch_shows_each_change_and_ends_with_the_campaign() {
    let world = World::new().await;
    world.fleet(3).await;
    let begun = world.create(counted(3)).await;
    let mut watch = world.watch_campaign(&begun.id).await;
    let first = next(&mut watch).await.unwrap();
    assert_eq!((first.state(), first.pending), (Running, 3), "at once how it stands");
    world.until(&begun.id, |it| it.succeeded == 1).await;
    until(&mut watch, |it| it.succeeded == 1).await;
    world.pause(&begun.id).await;
    assert_eq!(until(&mut watch, |it| it.state() == Paused).await.pause_reason, "OPERATOR");
    // The connection breaks; a new one goes on from what is so.
    drop(watch);
    let mut watch = world.watch_campaign(&begun.id).await;
    assert_eq!(next(&mut watch).await.unwrap().state(), Paused);
    world.resume(&begun.id).await;
    until(&mut watch, |it| it.state() == Running).await;
    let done = world.until(&begun.id, ended).await;
    assert_eq!(until(&mut watch, |it| it.state() == Succeeded).await, done);
    assert_eq!(next(&mut watch).await, None, "it ends with the campaign");
    let mut late = world.watch_campaign(&begun.id).await;
    assert_eq!((next(&mut late).await, next(&mut late).await), (Some(done), None));
}

#[tokio::test]
async fn a_watch_ends_when_the_campaign_is_cancelled() {
    let world = World::new().await;
    world.fleet(2).await;
    let begun = world.create(counted(2)).await;
    let mut watch = world.watch_campaign(&begun.id).await;
    world.cancel(&begun.id).await;
    until(&mut watch, |it| it.state() == Cancelled).await;
    assert_eq!(next(&mut watch).await, None);
}
