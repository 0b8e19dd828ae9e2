//! Schemathesis against the served OpenAPI document: whatever is sent, no answer is a 5xx or breaks its own schema.

use keywright_e2e::world::{create_tenant, owner};
use keywright_kit::{HostOptions, KeyType, Keywright, KeywrightOptions, TestHost, keygen, python};
use serde_json::json;
use std::process::Stdio;
use std::time::Duration;

/// What is asked of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance";

/// Streams do not end by themselves; who deletes the tenant or seals the store tests nothing after it.
const LEFT_OUT: &str = "/watch$|/suspend$|/secrets/|/recovery/";

const LIMIT: Duration = Duration::from_secs(1500);

/// Cases for each operation.
fn examples() -> u32 {
    if std::env::var_os("KEYWRIGHT_TEST_FULL").is_some() { 300 } else { 12 }
}

/// A tenant with a server and a credential, so that what is made up meets something that exists.
async fn world(keywright: &Keywright, host: &TestHost) -> (String, String) {
    let tenant = create_tenant(keywright, "Acme").await;
    let (_, token) = owner(keywright, &tenant).await;
    let server = json!({"tenantId": tenant, "name": "one", "host": host.address(), "port": host.port(),
        "knownHosts": host.known_hosts()});
    let server = keywright.post("/api/servers", server).await.success();
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let credential =
        json!({"tenantId": tenant, "name": "two", "privateKey": key.private_text(), "username": "deploy"});
    let credential = keywright.post("/api/credentials/ssh", credential).await.success();
    let parameters = format!(
        "[parameters]\n\"path.tenantId\" = {}\n\"path.serverId\" = {}\n\"path.credentialId\" = {}\n",
        json!(tenant),
        server["id"],
        credential["id"],
    );
    (token, parameters)
}

async fn fuzz(keywright: &Keywright, who: &str, token: &str, parameters: &str, examples: u32) {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("schemathesis.toml");
    std::fs::write(&config, parameters).unwrap();
    let mut command = python("python-schemathesis").unwrap();
    command
        .args(["-m", "schemathesis.cli", "--config-file"])
        .arg(&config)
        .args(["run", &format!("{}/api/openapi.json", keywright.url()), "--url", &keywright.url()])
        .args(["--header", &format!("Authorization: Bearer {token}"), "--checks", CHECKS])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", &examples.to_string()])
        .args(["--exclude-path-regex", LEFT_OUT, "--exclude-operation-id", "TenantService_DeleteTenant"])
        .args(["--exclude-operation-id", "SessionService_CloseConsoleSession"])
        .args(["--continue-on-failure", "--warnings", "off", "--request-timeout", "90"])
        .current_dir(folder.path())
        .env("NO_COLOR", "1")
        .env("COLUMNS", "160")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(LIMIT, command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{who}: {said}{}", String::from_utf8_lossy(&output.stderr));
    let cases = said.lines().find(|line| line.contains("generated")).unwrap_or_default().trim().to_owned();
    assert!(!cases.is_empty(), "{who}: {said}");
    println!("{who}: {cases}");
}

#[tokio::test]
async fn nothing_that_is_sent_is_answered_by_5xx_or_against_the_schema() {
    let host = TestHost::openssh(HostOptions::default()).await.unwrap();
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let (owner, parameters) = world(&keywright, &host).await;
    fuzz(&keywright, "owner", &owner, &parameters, examples()).await;
    fuzz(&keywright, "operator", &keywright.operator_token(), &parameters, examples()).await;
    fuzz(&keywright, "stranger", "nonsense", &parameters, 2).await;
    assert_eq!(keywright.get("/readyz").await.status, 200);
}
