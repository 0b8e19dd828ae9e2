//! What an operator looks at first, by the command line and by REST: tenants, exposed keys, the secret store.

use keywright_e2e::measured::Measured;
use keywright_e2e::{LIMIT, Sshd, World, text};
use keywright_kit::{Answer, KeywrightOptions, bao_sealed, eventually};
use serde_json::{Value, json};

async fn admin(world: &World, arguments: &[&str]) -> Value {
    let all: Vec<&str> = ["-o", "json", "admin"].iter().chain(arguments).copied().collect();
    let output = world.keywright.cli(&all).await;
    assert!(output.ok(), "{arguments:?}: {output:?}");
    serde_json::from_str(&output.stdout).unwrap()
}

#[tokio::test]
async fn tenants_are_found_and_an_exposed_key_is_seen_until_it_is_proven_refused() {
    let (measured, endpoint) = Measured::start().await;
    let options = KeywrightOptions::default().arg("--otlp-endpoint").arg(endpoint);
    let options = options.env("OTEL_METRIC_EXPORT_INTERVAL", "500");
    let world = World::with(options, None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let reaches = async |name: &str, value: u64| {
        let seen = eventually(LIMIT, async || measured.last(name) == Some(value)).await;
        assert!(seen, "{name} is {:?}", measured.last(name));
    };
    reaches("keywright_exposed_keys.compromised", 0).await;
    reaches("keywright_rotations.succeeded", 1).await;
    let body = json!({"name": "Beta", "externalId": "crm-77"});
    let other = text(&world.keywright.post("/api/tenants", body).await.success(), "/id");
    for search in ["acme", world.tenant.as_str()] {
        let found = admin(&world, &["tenants", "--search", search]).await;
        assert_eq!(
            (&found["items"][0]["tenantId"], found["items"].as_array().unwrap().len()),
            (&json!(world.tenant), 1)
        );
    }
    let found = admin(&world, &["tenants", "--search", "CRM-77"]).await;
    let beta = &found["items"][0];
    assert_eq!(
        (&beta["tenantId"], &beta["accessCount"], &beta["status"]),
        (&json!(other), &json!(0), &json!("unspecified"))
    );
    let active = admin(&world, &["tenants", "--status", "active"]).await;
    assert_eq!(active["items"].as_array().unwrap().len(), 1, "{active}");
    assert_eq!(admin(&world, &["exposures"]).await["items"], json!([]));

    world.host.stop_server().await;
    let body = json!({"confirmation": {"accessId": access.id}, "compromised": true});
    world.owner().post(&access.path("/revoke"), body).await.success();
    let tried = |it: &Value| it["items"][0]["attempts"].as_i64().unwrap_or_default() > 0;
    let exposed = world.keywright.wait_for("/api/admin/exposures", LIMIT, tried).await;
    reaches("keywright_exposed_keys.compromised", 1).await;
    reaches("keywright_exposed_keys.revoked", 0).await;
    let longest = "keywright_exposure_seconds_max.compromised";
    assert!(eventually(LIMIT, async || measured.last(longest) > Some(0)).await);
    assert_eq!(measured.last("keywright_revocation_seconds_count"), None);
    let exposure = &exposed["items"][0];
    assert_eq!(
        (&exposure["kind"], &exposure["accessId"]),
        (&json!("compromised"), &json!(access.id)),
        "{exposed}"
    );
    assert_eq!((&exposure["serverName"], &exposure["reason"]), (&json!("web-1"), &json!("HOST_UNREACHABLE")));
    let shown = world.keywright.cli(&["admin", "tenant", &world.tenant]).await;
    assert!(shown.stdout.contains("COMPROMISED") && shown.stdout.contains("REVOKED"), "{shown:?}");

    world.host.start_server().await;
    world.keywright.wait_for("/api/admin/exposures", LIMIT, |it| it["items"] == json!([])).await;
    reaches("keywright_exposed_keys.compromised", 0).await;
    reaches("keywright_revocation_seconds_count", 1).await;
    let refused: Answer = world.owner().get("/api/admin/exposures").await;
    assert_eq!(refused.status, 403, "{}", refused.json);
    let hidden = world.owner().get(&format!("/api/admin/secrets/tenants/{}", world.tenant)).await;
    assert_eq!(hidden.status, 403, "{}", hidden.json);
}

#[tokio::test]
async fn the_health_of_a_sealed_and_of_a_stopped_store_is_an_answer() {
    let mut bao = bao_sealed().await.unwrap();
    let world = World::with(KeywrightOptions::default().vault(&bao.mount), None, Sshd::OpenSsh).await;
    let ask = async || world.keywright.get("/api/admin/secrets/health").await.success();
    let well = ask().await;
    assert_eq!(
        (&well["backend"], &well["reachable"], &well["sealed"]),
        (&json!("vault"), &json!(true), &json!(false))
    );
    assert_eq!((&well["role"], &well["message"]), (&json!("active"), &json!("")), "{well}");
    bao.seal().await.unwrap();
    let sealed = ask().await;
    assert_eq!((&sealed["reachable"], &sealed["sealed"]), (&json!(true), &json!(true)), "{sealed}");
    let told = world.keywright.cli(&["admin", "health"]).await;
    assert!(told.code == 9 && told.stderr.contains("unseal"), "{told:?}");
    bao.stop();
    assert_eq!(ask().await["reachable"], false);
    bao.start().await.unwrap();
    bao.unseal().await.unwrap();
    assert!(world.keywright.cli(&["admin", "health"]).await.ok());
}
