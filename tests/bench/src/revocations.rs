//! Revocations, from the request to the proof that the host refuses the key.

use std::time::SystemTime;

use keywright_e2e::text;
use serde_json::json;

use crate::figures::Series;
use crate::fixture::Fixture;
use crate::rotations::since;

pub async fn one_by_one(fixture: &Fixture, count: usize, series: &mut Series) {
    for number in 0..count {
        let access = &fixture.accesses[number % fixture.accesses.len()];
        let body = json!({"confirmation": {"accessId": access}});
        let begun = SystemTime::now();
        let started = fixture.owner().post(&fixture.path(access, "/revoke"), body.clone()).await.success();
        let path = format!("/api/revocations/{}", text(&started, "/id"));
        let ended = fixture.wait_for(&path, |it| it["state"] == "succeeded").await;
        series.add(since(begun, &ended, "/hosts/0/provenAt"));
        let again = fixture.owner().post(&fixture.path(access, "/regenerate"), body).await.success();
        fixture.ended(&text(&again, "/id")).await;
    }
}
