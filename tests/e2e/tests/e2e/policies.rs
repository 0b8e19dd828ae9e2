//! An operator's own policies: read and checked by the command, refused when faulty, in force after a start; and what the
//! log says of those whom they stop.

use std::path::Path;
use std::process::{Command, Output};

use keywright_e2e::supervised::{binaries, clean_command};
use keywright_e2e::world::{create_tenant, owner, wait_for};
use keywright_kit::{Keywright, KeywrightOptions};
use serde_json::{Value, json};

const OWN: &str = r#"// Ours.
@id("tenants-come-from-the-crm")
forbid (principal, action == Keywright::Action::"tenant.create", resource)
when { principal.role == "operator" && principal.kind == "user" };

@id("members-run-tests")
permit (principal, action == Keywright::Action::"connectivity_test.draft", resource)
when { principal.role == "tenant_member" };
"#;

const FAULTY: &str = r#"// Ours.
@id("emergency")
permit (principal, action == Keywright::Action::"access.download", resource)
when { principal.role == "operator" };
"#;

fn server(folder: &Path, arguments: &[&str]) -> Output {
    let program = binaries().join("keywright-server");
    let mut command: Command = clean_command(folder, &program.to_string_lossy());
    command.args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn policies_are_read_and_checked_without_a_start() {
    let folder = tempfile::tempdir().unwrap();
    let printed = server(folder.path(), &["policy", "print"]);
    assert!(printed.status.success());
    let printed = text(&printed.stdout);
    for part in ["namespace Keywright", "@id(\"operators-operate\")", "@id(\"limit-download\")"] {
        assert!(printed.contains(part), "{part}");
    }

    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("own.cedar"), OWN).unwrap();
    let checked = server(folder.path(), &["policy", "check", "policies"]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(
        text(&checked.stdout)
            .contains("2 of your policies are valid: tenants-come-from-the-crm, members-run-tests")
    );

    std::fs::write(policies.join("bad.cedar"), FAULTY).unwrap();
    for arguments in [
        &["policy", "check", "policies"][..],
        &["--data-dir", "data", "--listen", "127.0.0.1:0", "--policy-dir", "policies"],
    ] {
        let refused = server(folder.path(), arguments);
        assert!(!refused.status.success());
        let said = text(&refused.stderr);
        assert!(said.contains("bad.cedar:2: it would permit access.download to operator"), "{said}");
    }
    let listed = std::fs::read_dir(folder.path()).unwrap().count();
    assert!(listed <= 2, "a check leaves nothing but the data folder of the start");
}

#[tokio::test]
async fn a_denial_says_why_in_the_log_alone_and_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let plain = Keywright::start(KeywrightOptions::default().data_dir(&folder.path().join("data"))).await;
    let mut keywright = plain.unwrap();
    let tenant = create_tenant(&keywright, "Acme").await;
    let (_, owner) = owner(&keywright, &tenant).await;
    assert_eq!(keywright.terminate().await, 0);
    drop(keywright);

    let policies = folder.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("own.cedar"), OWN).unwrap();
    let options = KeywrightOptions::default().data_dir(&folder.path().join("data"));
    let options = options.arg("--policy-dir").arg(policies.to_string_lossy());
    let mut keywright = Keywright::start(options).await.unwrap();

    for _ in 0..3 {
        let refused = keywright.post("/api/tenants", json!({"name": "Other"})).await;
        assert_eq!((refused.status, refused.reason()), (403, "PERMISSION_DENIED"));
        assert!(!refused.json.to_string().contains("crm"), "the answer says why: {}", refused.json);
    }
    let entry = denied(&keywright, "tenant.create").await;
    assert_eq!(entry["details"]["deniedBy"], "tenants-come-from-the-crm", "{entry}");
    assert_eq!(entry["reason"], "PERMISSION_DENIED");

    let nobodys = format!("/api/tenants/ten_{}", "a".repeat(26));
    for _ in 0..4 {
        let hidden = keywright.caller(&owner).get(&nobodys).await;
        assert_eq!((hidden.status, hidden.reason()), (404, "TENANT_NOT_FOUND"));
    }
    let entry = denied(&keywright, "tenant.read").await;
    assert_eq!(entry["details"]["deniedBy"], "another tenant's", "{entry}");
    assert_eq!(events(&keywright, "tenant.read").await.len(), 1, "the same denial again is counted");
    let download = format!("/api/tenants/{tenant}/ssh-access/acc_{}/download", "a".repeat(26));
    assert_eq!(keywright.post(&download, json!({})).await.status, 403);
    let entry = denied(&keywright, "access.download").await;
    assert_eq!(entry["details"]["deniedBy"], "limit-download", "{entry}");

    // What was counted is told at the end of the minute, or at the end of the process: by the service and the gateway.
    keywright.restart().await.unwrap();
    for (action, count) in [("tenant.read", "3"), ("tenant.create", "2")] {
        let entries = events(&keywright, action).await;
        let repeated: Vec<&Value> = entries.iter().map(|entry| &entry["details"]["repeated"]).collect();
        assert_eq!(repeated, [&json!(count), &Value::Null], "{entries:?}");
    }
}

async fn denied(keywright: &Keywright, action: &str) -> Value {
    let path = format!("/api/audit/events?action={action}&outcome=denied");
    wait_for(keywright, &path, |log| !log["items"].as_array().unwrap().is_empty()).await["items"][0].clone()
}

async fn events(keywright: &Keywright, action: &str) -> Vec<Value> {
    let path = format!("/api/audit/events?action={action}&outcome=denied");
    keywright.get(&path).await.success()["items"].as_array().unwrap().clone()
}
