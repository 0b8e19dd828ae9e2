//! Single sign-on against a real OpenID Connect provider: by browser, by device code, and everything that an ID token
//! must not be.

use data_encoding::BASE64URL_NOPAD;
use keywright_e2e::{LIMIT, text};
use keywright_kit::{
    Answer, Caller, Keywright, KeywrightOptions, OidcProvider, eventually, postgres_database,
};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// A server that trusts the provider, and the tenant of its people.
struct World {
    keywright: Keywright,
    provider: OidcProvider,
    tenant: String,
    folder: TempDir,
}

/// `more` are settings of the provider.
fn config(provider: &OidcProvider, folder: &TempDir, more: &str) -> KeywrightOptions {
    let file = folder.path().join("oidc.toml");
    let text = format!(
        r#"
        [[provider]]
        name = "acme-sso"
        issuer = "{}"
        client_id = "keywright"
        scopes = ["openid", "profile", "email", "groups", "org"]
        {more}

        [[provider.role]]
        claim = "groups"
        value = "platform-ops"
        role = "operator"

        [[provider.role]]
        claim = "groups"
        value = "acme-admins"
        role = "tenant_owner"
        tenant_claim = "org"

        [[provider.role]]
        claim = "groups"
        value = "staff"
        role = "tenant_member"
        tenant = "acme"
        "#,
        provider.issuer()
    );
    std::fs::write(&file, text).unwrap();
    KeywrightOptions::default().arg("--oidc-config").arg(file.to_str().unwrap())
}

impl World {
    async fn new(more: &str) -> Self {
        let (provider, folder) = (OidcProvider::start().await.unwrap(), tempfile::tempdir().unwrap());
        let keywright = Keywright::start(config(&provider, &folder, more)).await.unwrap();
        let tenant = acme(&keywright).await;
        Self { keywright, provider, tenant, folder }
    }

    /// With a nonce of its own: two tokens of one second would be the same one.
    async fn token(&self, person: &str) -> String {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let nonce = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
        self.provider.id_token(person, "keywright", &nonce).await
    }

    async fn log_in(&self, id_token: &str) -> Answer {
        log_in(&self.keywright.anonymous(), id_token, &nonce_of(id_token)).await
    }
}

async fn acme(keywright: &Keywright) -> String {
    let body = json!({"name": "Acme", "externalId": "acme"});
    text(&keywright.post("/api/tenants", body).await.success(), "/id")
}

async fn log_in(stranger: &Caller, id_token: &str, nonce: &str) -> Answer {
    stranger.post("/api/auth/oidc", json!({"idToken": id_token, "nonce": nonce})).await
}

fn nonce_of(id_token: &str) -> String {
    let payload = BASE64URL_NOPAD.decode(id_token.split('.').nth(1).unwrap().as_bytes()).unwrap();
    text(&serde_json::from_slice(&payload).unwrap(), "/nonce")
}

#[track_caller]
fn assert_refused(answer: &Answer, why: &str) {
    assert_eq!((answer.status, answer.reason()), (401, "UNAUTHENTICATED"), "{why}: {}", answer.json);
    assert!(text(&answer.json, "/message").contains(why), "{why}: {}", answer.json);
}

/// Lets time pass on the provider's and the server's clocks.
async fn pass(span: Duration) {
    let start = Instant::now();
    assert!(eventually(LIMIT, async || start.elapsed() > span).await);
}

#[tokio::test]
async fn a_browser_login_becomes_a_profile_and_a_log_out_ends_it() {
    let world = World::new("").await;
    let mut cli = world.keywright.cli_running(&["login"], &[]);
    let url = cli.line(|line| line.trim().starts_with("http")).await;
    let back = world.provision_url(url.trim()).await;
    // Somebody else's answer, and one without a state, are not taken.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (here, query) = back.split_once('?').unwrap();
    let state = query.split('&').find(|pair| pair.starts_with("state=")).unwrap();
    for wrong in [format!("{here}?code=evil&state=guessed"), back.replace(state, "x=y")] {
        assert_eq!(http.get(wrong).send().await.unwrap().status(), 404);
    }

    let page = http.get(&back).send().await.unwrap().text().await.unwrap();
    let done = cli.finish().await;

    assert!(page.contains("You are logged in to Keywright. You can close this window."), "{page}");
    let shown = done.success();
    assert!(shown.contains("TENANT_OWNER") && shown.contains(&world.tenant), "{shown}");
    assert!(http.get(&back).send().await.is_err(), "the port is open for one login");
    let profiles = world.keywright.home().join(".config/keywright/config.toml");
    let profile = std::fs::read_to_string(&profiles).unwrap();
    let token =
        profile.lines().find_map(|line| line.strip_prefix("token = ")).unwrap().trim_matches('"').to_owned();
    let me = world.keywright.caller(&token).get("/api/whoami").await.success();
    assert_eq!(
        (&me["role"], &me["kind"], &me["tenantId"]),
        (&json!("tenant_owner"), &json!("user"), &json!(world.tenant))
    );
    let again = world.log_in(&world.token("ada").await).await.success();
    assert_eq!(again["metadata"]["principalId"], me["id"], "the same person is the same principal");
    let event = world.login_event(|event| event["outcome"] == "succeeded").await;
    assert_eq!(event["details"]["name"], "Ada Lovelace", "{event}");

    let out = world.keywright.cli_as(None, &["logout"], b"").await;

    assert!(out.ok() && out.stderr.contains("its token is revoked"), "{out:?}");
    assert_eq!(world.keywright.caller(&token).get("/api/whoami").await.status, 401);
    assert!(!std::fs::read_to_string(&profiles).unwrap().contains(&token));
}

impl World {
    /// Where the browser is sent after ada signed in.
    async fn provision_url(&self, url: &str) -> String {
        let back = self.provider.sign_in(url, "ada").await;
        assert!(back.starts_with("http://127.0.0.1:"), "{back}");
        back
    }

    async fn login_event(&self, holds: impl Fn(&Value) -> bool) -> Value {
        let of_logins = |event: &&Value| event["action"] == "session.login" && holds(event);
        let log = self
            .keywright
            .wait_for("/api/audit/events?pageSize=500", LIMIT, |log| {
                log["items"].as_array().is_some_and(|items| items.iter().any(|event| of_logins(&event)))
            })
            .await;
        log["items"].as_array().unwrap().iter().find(of_logins).unwrap().clone()
    }
}

#[tokio::test]
async fn a_device_login_waits_for_the_code_to_be_entered() {
    let world = World::new("").await;
    let mut cli =
        world.keywright.cli_running(&["login", "--device", "--provider", "acme-sso", "-o", "json"], &[]);
    let page = cli.line(|line| line.trim().starts_with("http") && line.contains("user_code=")).await;
    let ended = world.provider.sign_in(page.trim(), "bob").await;
    assert!(ended.contains("Success"), "{ended}");

    let token: Value = serde_json::from_str(&cli.finish().await.success()).unwrap();

    assert_eq!((&token["role"], &token["tenantId"]), (&json!("tenant_member"), &json!(world.tenant)));
    let me = world.keywright.cli_as(None, &["whoami", "-o", "json"], b"").await.success();
    assert_eq!(serde_json::from_str::<Value>(&me).unwrap()["id"], token["principalId"]);
}

#[tokio::test]
async fn who_is_not_a_provider_or_a_person_of_it_is_told_so() {
    let world = World::new("").await;
    let methods = world.keywright.anonymous().get("/api/auth/methods").await.success();
    assert_eq!(methods["providers"][0]["issuer"], world.provider.issuer());
    assert_eq!(
        (&methods["providers"][0]["clientId"], &methods["invitations"]),
        (&json!("keywright"), &json!(true))
    );
    let out = world.keywright.cli_as(None, &["login", "--provider", "other"], b"").await;
    assert!(out.code == 2 && out.stderr.contains("it has: acme-sso"), "{out:?}");

    let eve = world.log_in(&world.token("eve").await).await;
    assert_eq!((eve.status, eve.reason()), (403, "PERMISSION_DENIED"), "{}", eve.json);
    assert!(text(&eve.json, "/message").contains("No role is mapped to you"), "{}", eve.json);
    let event = world.login_event(|event| event["outcome"] == "denied").await;
    assert_eq!(event["details"]["subject"], "eve", "{event}");
    let olga = world.log_in(&world.token("olga").await).await.success();
    assert_eq!((&olga["metadata"]["role"], &olga["metadata"]["tenantId"]), (&json!("operator"), &json!("")));
}

#[tokio::test]
async fn a_token_that_is_not_for_this_login_is_refused() {
    let world = World::new("clock_skew_seconds = 0").await;
    let stranger = world.keywright.anonymous();
    let good = world.token("ada").await;
    let forged = json!({"sub": "ada", "nonce": "n", "groups": ["acme-admins"], "org": "acme"});

    let another = world.provider.id_token("ada", "another", "n").await;
    assert_refused(&world.log_in(&another).await, "another audience");
    assert_refused(&log_in(&stranger, &good, "m").await, "nonce");
    assert_refused(&log_in(&stranger, &good, "").await, "nonce");
    assert_refused(&world.log_in(&world.provider.forge("none", forged.clone()).await).await, "no signed JWT");
    assert_refused(&world.log_in(&world.provider.forge("HS256", forged).await).await, "asymmetric");
    let (signed, _) = good.rsplit_once('.').unwrap();
    let other = world.token("bob").await;
    let (_, signature) = other.rsplit_once('.').unwrap();
    assert_refused(&world.log_in(&format!("{signed}.{signature}")).await, "signature is wrong");
    world.log_in(&good).await.success();
    assert_refused(&world.log_in(&good).await, "used already");

    // Three more make ten in a minute: then it is silence, even for who could come in.
    for _ in 0..3 {
        log_in(&stranger, "x.y.z", "").await;
    }
    let silenced = world.log_in(&other).await;
    assert_eq!((silenced.status, silenced.reason()), (429, "RATE_LIMITED"), "{}", silenced.json);
    let logs = world.keywright.logs();
    assert!(!logs.contains(signature) && !logs.contains(&good), "an ID token stands in the log");
}

#[tokio::test]
async fn an_expired_token_is_good_for_the_clock_skew_and_no_longer() {
    let strict = World::new("clock_skew_seconds = 0").await;
    let patient = Keywright::start(config(&strict.provider, &strict.folder, "")).await.unwrap();
    acme(&patient).await;
    strict.provider.set_up("RS256", 1).await;
    let token = strict.token("ada").await;
    pass(Duration::from_secs(2)).await;

    assert_refused(&strict.log_in(&token).await, "it has expired");
    log_in(&patient.anonymous(), &token, &nonce_of(&token)).await.success();
}

#[tokio::test]
async fn new_keys_are_picked_up_and_old_ones_stop() {
    let world = World::new("key_refetch_seconds = 1").await;
    for alg in ["PS256", "ES256", "EdDSA", "RS256"] {
        let last = world.token("ada").await;
        world.log_in(&world.token("bob").await).await.success();
        world.provider.set_up(alg, 300).await;
        // The keys that are known now are not asked for again before a second has passed.
        pass(Duration::from_secs(1)).await;
        world.log_in(&world.token("ada").await).await.success();
        assert_refused(&world.log_in(&last).await, "not signed by a key that its issuer publishes");
    }
}

#[tokio::test]
async fn without_the_provider_known_keys_go_on_and_unknown_ones_wait() {
    let mut world = World::new("key_refetch_seconds = 1").await;
    let (first, second) = (world.token("ada").await, world.token("bob").await);
    world.log_in(&first).await.success();
    world.provider.stop();

    world.log_in(&second).await.success();

    world.provider.start_again().await.unwrap();
    let third = world.token("ada").await;
    world.provider.stop();
    pass(Duration::from_secs(1)).await;
    let waits = world.log_in(&third).await;
    assert_eq!((waits.status, waits.reason()), (503, "SERVICE_UNAVAILABLE"), "{}", waits.json);
    let retry =
        waits.json["details"].as_array().unwrap().iter().any(|detail| detail["retryDelay"].is_string());
    assert!(retry, "{}", waits.json);
    let out = world.keywright.cli_as(None, &["login"], b"").await;
    assert_eq!(out.code, 8, "{out:?}");
    // A server that is started meanwhile starts.
    world.keywright.restart().await.unwrap();
    assert_eq!(world.keywright.anonymous().get("/api/auth/methods").await.status, 200);
}

#[tokio::test]
async fn whoever_was_removed_comes_back_by_a_new_invitation_only() {
    let world = World::new("").await;
    let owner = world.log_in(&world.token("ada").await).await.success();
    let owner = world.keywright.caller(&text(&owner, "/token"));
    let bob = world.log_in(&world.token("bob").await).await.success();
    let members = format!("/api/tenants/{}/members", world.tenant);

    let removed =
        owner.delete(&format!("{members}/{}", text(&bob, "/metadata/principalId")), Value::Null).await;
    removed.success();

    let gone = world.keywright.caller(&text(&bob, "/token")).get("/api/whoami").await;
    assert_eq!(gone.status, 401);
    let back = world.log_in(&world.token("bob").await).await;
    assert_eq!((back.status, back.reason()), (403, "PERMISSION_DENIED"), "{}", back.json);
    let invitations = format!("/api/tenants/{}/invitations", world.tenant);
    let body = json!({"role": "tenant_member", "email": "bob@acme.example"});
    owner.post(&invitations, body).await.success();
    world.log_in(&world.token("bob").await).await.success();
    // The owner's session may be over: the tenant has an owner all the same, and the operator cannot invite himself.
    let sessions = owner.get("/api/whoami").await.success();
    owner.delete(&format!("/api/tokens/{}", text(&sessions, "/tokenId")), Value::Null).await.success();
    let body = json!({"role": "tenant_owner", "email": "operator@ops.example"});
    let himself = world.keywright.post(&invitations, body).await;
    assert_eq!((himself.status, himself.reason()), (409, "POLICY_FORBIDS"), "{}", himself.json);
}

#[tokio::test]
async fn of_one_token_at_two_replicas_one_session_comes() {
    let (provider, folder) = (OidcProvider::start().await.unwrap(), tempfile::tempdir().unwrap());
    let database = postgres_database().await.unwrap();
    let options =
        config(&provider, &folder, "").database_url(&database).data_dir(&folder.path().join("data"));
    let one = Keywright::start(options.clone()).await.unwrap();
    let other = Keywright::start(options).await.unwrap();
    acme(&one).await;

    // One token at both at once: the first login of somebody, then of somebody known.
    for nonce in ["1", "2", "3", "4", "5"] {
        let token = provider.id_token("ada", "keywright", nonce).await;
        let (here, there) = (one.anonymous(), other.anonymous());
        let (here, there) = tokio::join!(log_in(&here, &token, nonce), log_in(&there, &token, nonce));
        let mut statuses = [here.status, there.status];
        statuses.sort_unstable();
        assert!(matches!(statuses, [200, 401 | 503]), "{} {}", here.json, there.json);
    }
    // Two tokens of somebody new at both at once: one principal.
    let token = |nonce| provider.id_token("olga", "keywright", nonce);
    let (first, second) = tokio::join!(token("1"), token("2"));
    let (here, there) = (one.anonymous(), other.anonymous());
    let (here, there) = tokio::join!(log_in(&here, &first, "1"), log_in(&there, &second, "2"));
    let principals: Vec<&Value> = [&here, &there]
        .into_iter()
        .filter(|answer| answer.status == 200)
        .map(|answer| &answer.json["metadata"]["principalId"])
        .collect();
    assert!(
        !principals.is_empty() && principals.iter().all(|id| *id == principals[0]),
        "{} {}",
        here.json,
        there.json
    );
}

#[tokio::test]
async fn a_provider_over_https_is_trusted_by_its_authority_alone() {
    let (provider, folder) = (OidcProvider::start_tls().await.unwrap(), tempfile::tempdir().unwrap());
    let authority = provider.authority().to_string_lossy().into_owned();
    let trusting = config(&provider, &folder, &format!("ca_file = {authority:?}"));
    let keywright = Keywright::start(trusting).await.unwrap();
    acme(&keywright).await;
    let distrusting = tempfile::tempdir().unwrap();
    let other = Keywright::start(config(&provider, &distrusting, "")).await.unwrap();

    let mut cli = keywright.cli_running(&["login"], &[("SSL_CERT_FILE", &authority)]);
    let url = cli.line(|line| line.trim().starts_with("https")).await;
    let back = provider.sign_in(url.trim(), "bob").await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    http.get(&back).send().await.unwrap();

    assert!(cli.finish().await.success().contains("TENANT_MEMBER"));
    let token = provider.id_token("ada", "keywright", "n").await;
    let unknown = log_in(&other.anonymous(), &token, "n").await;
    assert_eq!((unknown.status, unknown.reason()), (503, "SERVICE_UNAVAILABLE"), "{}", unknown.json);
    log_in(&keywright.anonymous(), &token, "n").await.success();
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_provider_once() {
    let world = World::new("key_refetch_seconds = 600").await;
    let unknown = world.token("ada").await;
    world.provider.set_up("RS256", 300).await;
    let before = world.provider.key_sets().await;
    let login = || world.log_in(&unknown);

    let (a, b, c, d) = tokio::join!(login(), login(), login(), login());

    for answer in [a, b, c, d, login().await, login().await] {
        assert_refused(&answer, "not signed by a key");
    }
    assert_eq!(world.provider.key_sets().await, before + 1);
}

#[tokio::test]
async fn a_configuration_that_cannot_hold_stops_the_start() {
    let (provider, folder) = (OidcProvider::start().await.unwrap(), tempfile::tempdir().unwrap());
    let options = config(&provider, &folder, "clock_skew_seconds = 9999");
    let refused = Keywright::start(options).await.unwrap_err().to_string();
    assert!(refused.contains("provider \"acme-sso\": clock_skew_seconds must be from 0 to 300"), "{refused}");
}
