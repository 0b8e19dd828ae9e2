//! The sessions of revoked keys end, whatever became of the file, and once more when no key opens any further one.

use super::world::{World, answer};
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::RevocationState;

async fn revoke(world: &World, access: &str) -> String {
    let begun = world.accesses(&world.owner).revoke_ssh_access(world.revoke(access)).await;
    answer(begun).unwrap().revocation.unwrap().id
}

fn opens(world: &World, server: &str, sessions: u32) {
    world.range.state.lock().unwrap().sessions.insert(server.to_owned(), sessions);
}

#[tokio::test]
async fn they_end_though_the_file_cannot_be_edited_and_are_counted_over_all_tries() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.fail("converge", 2, Reason::HostFileReadOnly);
    opens(&world, &server, 2);
    let revocation = revoke(&world, &access.id).await;
    world.settle().await;
    let now = world.revocation(&revocation).await;
    assert_eq!(
        (now.state(), now.hosts[0].reason.as_str()),
        (RevocationState::Running, "HOST_FILE_READ_ONLY")
    );
    assert_eq!(now.hosts[0].sessions_ended, "2");
    assert_eq!(world.range.done("offer"), 0, "the line stands: nothing is proven");

    // The key still opens the host.
    opens(&world, &server, 3);
    world.settle_for(4).await;

    let ended = world.revocation(&revocation).await;
    assert_eq!((ended.state(), ended.hosts[0].sessions_ended.as_str()), (RevocationState::Succeeded, "5"));
}

#[tokio::test]
async fn they_end_once_more_after_the_proof() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let before = world.range.state.lock().unwrap().done.len();
    let revocation = revoke(&world, &access.id).await;
    world.settle().await;
    let done: Vec<String> = world.range.state.lock().unwrap().done[before..].to_vec();
    let order: Vec<&str> = done.iter().filter_map(|done| done.split(' ').next()).collect();
    assert_eq!(order, ["converge", "end_sessions", "offer", "end_sessions"]);
    assert_eq!(world.revocation(&revocation).await.hosts[0].sessions_ended, "1");
}

#[tokio::test]
async fn a_host_on_which_the_second_look_fails_is_not_done_with() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.meanwhile_offered.set({
        let range = world.range.clone();
        async move { range.fail("end_sessions", 1, Reason::HostUnreachable) }
    });
    let revocation = revoke(&world, &access.id).await;
    world.settle().await;
    assert_eq!(world.revocation(&revocation).await.state(), RevocationState::Running);
    opens(&world, &server, 4);
    world.settle_for(2).await;
    let ended = world.revocation(&revocation).await;
    assert_eq!((ended.state(), ended.hosts[0].sessions_ended.as_str()), (RevocationState::Succeeded, "5"));
    assert_eq!(world.range.done("offer"), 1, "what was proven is not asked again");
}

#[tokio::test]
async fn sessions_end_as_asked() {
    for (compromised, all, keep, expected) in [
        (false, false, false, (2, 0)),
        (true, false, false, (0, 2)),
        (false, true, false, (0, 2)),
        (true, false, true, (0, 0)),
    ] {
        let world = World::new().await;
        let access = world.access(&[world.server()]).await;
        let asked = proto::RevokeSshAccessRequest {
            compromised,
            end_all_sessions: all,
            keep_sessions: keep,
            ..world.revoke(&access.id)
        };
        answer(world.accesses(&world.owner).revoke_ssh_access(asked).await).unwrap();
        world.settle().await;
        assert_eq!((world.range.done("end_sessions"), world.range.done("end_all_sessions")), expected);
        let marked =
            world.vault.state.lock().unwrap().versions.values().any(|(_, version)| version.compromised);
        assert_eq!(marked, compromised);
    }
}
