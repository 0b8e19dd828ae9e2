//! Two servers on one PostgreSQL: one rotation runs, a revocation wins over whatever runs beside it, and the work of a dead
//! one is taken over.

use keywright_e2e::access::has_ended;
use keywright_e2e::authorized_keys::foreign_on;
use keywright_e2e::world::{manage, options, register, start_host};
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World, text};
use keywright_kit::{Answer, Keywright, TestHost, ssh};
use serde_json::{Value, json};

pub async fn two() -> (World, Keywright, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (options, database) = options(Stores::External).await;
    let options = options.data_dir(&data);
    let world = World::with(options.clone(), database, Sshd::OpenSsh).await;
    let other = Keywright::start(options).await.unwrap();
    (world, other, folder)
}

#[tokio::test]
async fn of_two_requests_to_rotate_one_wins() {
    let (world, other, _folder) = two().await;
    let access = world.provision().await;
    let mut old = access.download().await;
    let body = json!({"confirmation": {"accessId": access.id}, "gracePeriod": "3600s", "dropGraceKey": true});
    let there = other.caller(&world.owner_token);

    for version in 2..5 {
        let (here, path) = (world.owner(), access.path("/rotate"));
        let answers = tokio::join!(here.post(&path, body.clone()), there.post(&path, body.clone()));

        let (won, lost) = if answers.0.status == 200 { answers } else { (answers.1, answers.0) };
        assert_eq!((won.status, lost.status), (200, 409), "{} {}", won.json, lost.json);
        assert_eq!(lost.reason(), "ROTATION_IN_PROGRESS", "{}", lost.json);
        let ended = access.finished(won.json["id"].as_str().unwrap()).await;
        assert_eq!(ended["newVersion"], version);
        let new = access.download().await;
        assert!(access.opens(&old).await && access.opens(&new).await);
        old = new;
    }
    assert_eq!(rotations_of_kind(&access.show().await, "rotate"), 3);
}

fn rotations_of_kind(access: &Value, kind: &str) -> usize {
    access["recentRotations"].as_array().unwrap().iter().filter(|rotation| rotation["kind"] == kind).count()
}

#[tokio::test]
async fn a_replica_takes_over_what_a_killed_one_began() {
    let (mut world, other, _folder) = two().await;
    let provisioned = world.provision().await.show().await;
    let old = Access::new(&world, &provisioned).download().await;
    let rotation = Access::new(&world, &provisioned).start_rotation(json!({"gracePeriod": "3600s"})).await;

    world.keywright.kill9().await;

    let path = format!("/api/rotations/{rotation}");
    let ended = other.wait_for(&path, LIMIT, has_ended).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    let access = Access::new(&world, &provisioned);
    assert!(access.opens(&old).await);
    world.keywright.restart().await.unwrap();
    let access = Access::new(&world, &provisioned);
    assert!(access.opens(&access.download().await).await);
}

#[tokio::test]
async fn of_two_downloads_one_gets_the_key() {
    let (world, other, _folder) = two().await;
    let access = world.provision().await;
    let admin = json!({"role": "tenant_admin", "email": "bea@example.com"});
    let path = format!("/api/tenants/{}/invitations", world.tenant);
    let invitation = world.owner().post(&path, admin).await.success();
    let redeem = json!({"code": invitation["code"], "name": "Bea"});
    let admin = other.anonymous().post("/api/auth/invitations/redeem", redeem).await.success();
    let admin = other.caller(admin["token"].as_str().unwrap());
    let body = json!({"confirmation": {"accessId": access.id}});

    let (here, path) = (world.owner(), access.path("/download"));
    let answers = tokio::join!(here.post(&path, body.clone()), admin.post(&path, body.clone()));

    let (won, lost) = if answers.0.status == 200 { answers } else { (answers.1, answers.0) };
    assert_eq!((won.status, lost.status), (200, 409), "{}", lost.json);
    assert_eq!(lost.reason(), "KEY_ALREADY_DOWNLOADED");
    assert!(access.opens(&KeyFile::new(&won.bytes)).await);
}

/// For `tests/run --full` alone.
mod whole_matrix {
    #[tokio::test]
    async fn a_revocation_wins_over_what_the_other_replica_does() {
        super::races(60).await;
    }
}

/// What one replica is asked for in the same moment as the other.
const PAIRS: [[&str; 2]; 5] = [
    ["/revoke", "/rotate"],
    ["/hosts", "/revoke"],
    ["/rotate", "/hosts"],
    ["/revoke", "/revoke"],
    ["/hosts", "/hosts"],
];

struct Race {
    world: World,
    other: Keywright,
    further: TestHost,
    /// The further host: `srv_…`
    server: String,
    access: Value,
}

async fn races(rounds: usize) {
    let (world, other, _folder) = two().await;
    let further = start_host(world.sshd).await;
    further.write_authorized_keys("root", format!("{}\n", world.bootstrap.public_line()));
    let server = register(&world.keywright, &world.tenant, &further, "web-2").await;
    manage(&world.keywright, &server, &world.bootstrap).await;
    for host in [&world.host, &further] {
        host.add_user("deploy");
        host.write_authorized_keys("deploy", THEIRS);
    }
    let path = format!("/api/tenants/{}/ssh-access", world.tenant);
    let body = json!({"serverIds": [world.server], "account": "deploy"});
    let access = world.keywright.post(&path, body).await.success();
    Access::new(&world, &access).finished(&text(&access, "/recentRotations/0/id")).await;
    let race = Race { world, other, further, server, access };
    for round in 0..rounds {
        race.run(PAIRS[round % PAIRS.len()], round).await;
    }
}

const THEIRS: &str = "# their own\n";

impl Race {
    fn access(&self) -> Access<'_> {
        Access::new(&self.world, &self.access)
    }

    /// What a request for this says in its body.
    fn body(&self, of: &str) -> Value {
        let confirmation = json!({"accessId": self.access().id});
        match of {
            "/rotate" => {
                json!({"confirmation": confirmation, "gracePeriod": "3600s", "dropGraceKey": true})
            }
            "/hosts" => json!({"serverId": self.server}),
            _ => json!({"confirmation": confirmation}),
        }
    }

    async fn run(&self, [here, there]: [&str; 2], round: usize) {
        let key = self.access().download().await;
        let (one, two) = (self.world.keywright.operator(), self.other.operator());
        let (path_here, path_there) = (self.access().path(here), self.access().path(there));
        let (one, two) =
            tokio::join!(one.post(&path_here, self.body(here)), two.post(&path_there, self.body(there)));

        let said = format!("round {round}: {here} {} {there} {}", one.json, two.json);
        let mut revocation = None;
        for (of, answer) in [(here, &one), (there, &two)] {
            if of == "/revoke" {
                assert_eq!(answer.status, 200, "{said}");
                revocation = Some(text(&answer.json, "/id"));
            } else {
                assert!(is_fair(answer), "{said}");
            }
        }
        match revocation {
            Some(revocation) => self.is_revoked(&revocation, &key, &said).await,
            None => self.goes_on(&[&one, &two], &key, &said).await,
        }
        self.one_host_again().await;
    }

    async fn is_revoked(&self, revocation: &str, key: &KeyFile, said: &str) {
        let path = format!("/api/revocations/{revocation}");
        let ended = self.other.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
        let show = self.other.wait_for(&self.access().path(""), LIMIT, |it| it["activity"] == "none").await;
        assert_eq!(show["status"], "revoked", "{said}: {show}");
        for host in [&self.world.host, &self.further] {
            assert!(!ssh(host, "deploy", &key.path(), "true").await.ok(), "{said}: {ended}");
            let file = String::from_utf8(host.read_authorized_keys("deploy").unwrap()).unwrap();
            let ours = file.lines().find(|line| line.contains("keywright:acc_") && !line.starts_with('#'));
            assert_eq!(ours, None, "{said}: {ended}");
            assert_eq!(foreign_on(host, "deploy"), THEIRS, "{said}");
        }
        self.access().regenerate().await;
    }

    /// One of the two began; it ends, and the old key lives on.
    async fn goes_on(&self, answers: &[&Answer], key: &KeyFile, said: &str) {
        let begun: Vec<String> =
            answers.iter().filter(|it| it.status == 200).map(|it| text(&it.json, "/id")).collect();
        assert!(!begun.is_empty(), "{said}");
        for rotation in begun {
            let path = format!("/api/rotations/{rotation}");
            let ended = self.other.wait_for(&path, LIMIT, has_ended).await;
            assert_eq!(ended["state"], "succeeded", "{said}: {ended}");
        }
        assert!(self.access().opens(key).await, "{said}");
        // A key that nobody has downloaded yet.
        let asked = json!({"gracePeriod": "3600s", "dropGraceKey": true});
        self.access().finished(&self.access().start_rotation(asked).await).await;
    }

    /// The access as it was for the next round.
    async fn one_host_again(&self) {
        let show = self.access().show().await;
        if show["hosts"].as_array().unwrap().iter().any(|host| host["serverId"] == self.server.as_str()) {
            let path = self.access().path(&format!("/hosts/{}", self.server));
            let body = json!({"confirmation": {"accessId": self.access().id}});
            let started = self.world.keywright.delete(&path, body).await.success();
            self.access().finished(&text(&started, "/id")).await;
        }
    }
}

/// It began, or was told why not in a reason of the contract.
fn is_fair(answer: &Answer) -> bool {
    answer.status == 200
        || [(409, "ROTATION_IN_PROGRESS"), (409, "ACCESS_REVOKED"), (409, "ALREADY_EXISTS")]
            .contains(&(answer.status, answer.reason()))
}
