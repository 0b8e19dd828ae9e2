//! Revocation lists: the file is replaced only by a list, and only when it differs.

use crate::gateway::{Gateway, Reply, mode};

const LIST: &[u8] = b"SSHKRL\n\0\0\0\0\x01rest";

fn gateway() -> Gateway {
    Gateway::start(|request| match request.target.as_str() {
        "/api/krl/web" => Reply::of(200, "application/octet-stream", LIST).with("etag", "\"5eed\""),
        "/api/krl/web/text" => Reply::of(200, "text/plain", b"# keywright:web version 0\n"),
        "/api/krl/page" => Reply::of(200, "text/html", b"<html>a login page</html>"),
        "/api/krl?pageSize=100" => Reply::json(
            200,
            r#"{"items":[{"group":"web","version":"2","revokedKeys":2,"servers":7,"changedAt":"2026-03-01T12:00:00Z","etag":"5eed"}],"nextPageToken":""}"#,
        ),
        _ => Reply::error(404, 5, "GROUP_NOT_FOUND"),
    })
}

#[test]
fn a_list_goes_into_its_file_and_is_left_there_while_it_is_the_same() {
    let gateway = gateway();
    let run = gateway.run(&["krl", "get", "web", "--out", "revoked_keys", "--output", "json"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let answer: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!((&answer["changed"], &answer["etag"]), (&true.into(), &"5eed".into()));
    let file = gateway.path("revoked_keys");
    assert_eq!((std::fs::read(&file).unwrap().as_slice(), mode(&file)), (LIST, 0o644));

    let again = gateway.run(&["krl", "get", "web", "--out", "revoked_keys", "--if-changed"]);
    assert_eq!((again.code, again.stdout.as_str(), again.stderr.as_str()), (11, "", ""));
    let calm = gateway.run(&["krl", "get", "web", "--out", "revoked_keys"]);
    assert!(calm.code == 0 && calm.stdout.contains("holds this list already"), "{}", calm.stdout);
}

#[test]
fn what_is_no_list_replaces_nothing() {
    let gateway = gateway();
    let file = gateway.write("revoked_keys", "precious");
    for (group, code) in [("page", 1), ("unknown", 5)] {
        let run = gateway.run(&["krl", "get", group, "--out", "revoked_keys"]);
        assert_eq!(run.code, code, "{group}: {}", run.stderr);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    }
}

#[test]
fn lists_are_shown() {
    let gateway = gateway();
    let run = gateway.run(&["krl", "get", "web", "--text"]);
    assert_eq!((run.code, run.stdout.as_str()), (0, "# keywright:web version 0\n"), "{}", run.stderr);
    let run = gateway.run(&["krl", "list"]);
    let row: Vec<&str> = run.stdout.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..4], ["web", "7", "2", "2"], "{}", run.stdout);
}
