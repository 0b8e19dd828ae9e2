//! Profiles: made by a login, private, used afterwards, forgotten by a log-out.

use crate::gateway::{Gateway, Reply, mode};

fn gateway() -> Gateway {
    Gateway::start(|request| match request.line().as_str() {
        "POST /api/auth/invitations/redeem" if request.body["code"] == "good" => Reply::json(
            200,
            r#"{"id":"tok_1","token":"kwt_new","metadata":{"id":"tok_1","principalId":"prn_1","role":"tenant_owner"}}"#,
        ),
        "POST /api/auth/invitations/redeem" => Reply::error(404, 5, "INVITATION_NOT_FOUND"),
        "GET /api/whoami" => Reply::json(200, r#"{"id":"prn_1","role":"tenant_owner","tokenId":"tok_1"}"#),
        "DELETE /api/tokens/tok_1?keepCreated=true" => Reply::json(200, r#"{"id":"tok_1"}"#),
        other => panic!("{other}"),
    })
}

const LOGIN: [&str; 7] = ["--profile", "owner", "login", "--invitation", "good", "--name", "Ada"];

#[test]
fn an_invitation_becomes_a_private_profile() {
    let gateway = gateway();
    let url = [("KEYWRIGHT_URL", gateway.url.as_str())];
    let run = gateway.run_with(&[&LOGIN[..], &["-o", "json"]].concat(), &url);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(!format!("{}{}", run.stdout, run.stderr).contains("kwt_new"), "the token is shown");
    let file = gateway.path(".config/keywright/config.toml");
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o700);

    let run = gateway.run_with(&["whoami"], &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let last = gateway.requests().pop().unwrap();
    assert_eq!(last.token.as_deref(), Some("Bearer kwt_new"));
}

#[test]
fn the_profile_wins_over_the_environment_when_it_is_named() {
    let gateway = gateway();
    gateway.run_with(&LOGIN, &[("KEYWRIGHT_URL", &gateway.url)]);
    let run = gateway.run(&["--profile", "owner", "whoami"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.requests().pop().unwrap().token.as_deref(), Some("Bearer kwt_new"));
    gateway.run(&["whoami"]);
    assert_eq!(gateway.requests().pop().unwrap().token.as_deref(), Some("Bearer kwt_secret"));
}

#[test]
fn a_profiles_token_is_not_sent_elsewhere() {
    let (gateway, other) = (gateway(), Gateway::start(|_| Reply::json(200, "{}")));
    gateway.run_with(&LOGIN, &[("KEYWRIGHT_URL", &gateway.url)]);
    let run = gateway.run_with(&["whoami", "--url", &other.url], &[]);
    assert_eq!(run.code, 2, "{}", run.stderr);
    assert!(other.requests().is_empty());
}

#[test]
fn a_refused_invitation_changes_nothing() {
    let gateway = gateway();
    let url = [("KEYWRIGHT_URL", gateway.url.as_str())];
    let run = gateway.run_with(&["login", "--invitation", "bad", "--name", "Eve"], &url);
    assert_eq!(run.code, 5, "{}", run.stderr);
    let directory = gateway.path(".config/keywright");
    let left: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["config.lock"]);
}

#[test]
fn without_a_place_for_the_profile_the_code_is_not_spent() {
    let gateway = gateway();
    gateway.write(".config", "in the way");
    let run = gateway.run_with(&LOGIN, &[("KEYWRIGHT_URL", &gateway.url)]);
    assert_eq!(run.code, 1, "{}", run.stderr);
    assert!(gateway.requests().is_empty());
}

#[test]
fn a_token_file_is_tried_before_it_is_kept() {
    let gateway = gateway();
    let file = gateway.write("operator.token", "kwt_operator\n");
    let run = gateway.run_with(&["login", "--token-file", &file, "--url", &gateway.url], &[]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert_eq!(gateway.requests()[0].token.as_deref(), Some("Bearer kwt_operator"));
}

#[test]
fn a_log_out_forgets_and_revokes() {
    let gateway = gateway();
    gateway.run_with(&LOGIN, &[("KEYWRIGHT_URL", &gateway.url)]);
    let run = gateway.run(&["--profile", "owner", "logout", "--revoke"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let last = gateway.requests().pop().unwrap();
    assert_eq!(
        (last.line().as_str(), last.token.as_deref()),
        ("DELETE /api/tokens/tok_1?keepCreated=true", Some("Bearer kwt_new"))
    );
    let text = std::fs::read_to_string(gateway.path(".config/keywright/config.toml")).unwrap();
    assert!(!text.contains("kwt_new"), "{text}");
}
