//! Which way in `keywright login` takes, and what it says where there is none.

use crate::gateway::{Gateway, Reply};

fn gateway(methods: &'static str) -> Gateway {
    Gateway::start(move |request| match request.line().as_str() {
        "GET /api/auth/methods" if methods.is_empty() => Reply::error(404, 5, "ROUTE_NOT_FOUND"),
        "GET /api/auth/methods" => Reply::json(200, methods),
        other => panic!("{other}"),
    })
}

fn says(methods: &'static str, arguments: &[&str]) -> (i32, String) {
    let gateway = gateway(methods);
    let run = gateway.run_with(arguments, &[("KEYWRIGHT_URL", &gateway.url)]);
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    (run.code, run.stderr)
}

const NONE: &str = r#"{"providers":[],"invitations":true}"#;
const TWO: &str = r#"{"invitations":true,"providers":[
    {"name":"acme","issuer":"https://login.invalid","clientId":"keywright","scopes":["openid"]},
    {"name":"other","issuer":"http://login.invalid","clientId":"keywright","scopes":["openid"]}]}"#;

#[test]
fn without_single_sign_on_an_invitation_is_asked_for() {
    for methods in [NONE, ""] {
        let (code, stderr) = says(methods, &["login"]);
        assert!(code == 2 && stderr.contains("--invitation is required"), "{stderr}");
    }
    let (code, stderr) = says(NONE, &["login", "--device"]);
    assert!(code == 2 && stderr.contains("no single sign-on"), "{stderr}");
    let (code, _) = says("", &["login", "--device"]);
    assert_eq!(code, 5);
}

#[test]
fn of_several_providers_one_is_named() {
    let (code, stderr) = says(TWO, &["login"]);
    assert!(code == 2 && stderr.contains("--provider is required"), "{stderr}");
    let (code, stderr) = says(TWO, &["login", "--provider", "nobody"]);
    assert!(code == 2 && stderr.contains("it has: acme, other"), "{stderr}");
}

#[test]
fn a_provider_without_https_is_not_asked() {
    let (code, stderr) = says(TWO, &["login", "--provider", "other"]);
    assert!(code == 6 && stderr.contains("without https"), "{stderr}");
}

#[test]
fn the_ways_in_exclude_each_other() {
    for wrong in
        [["--device", "--invitation=x"], ["--provider=x", "--token-file=y"], ["--device", "--name=x"]]
    {
        let (code, stderr) = says(TWO, &[&["login"], &wrong[..]].concat());
        assert!(code == 2 && stderr.contains("cannot be used with"), "{stderr}");
    }
}
