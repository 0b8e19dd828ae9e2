//! Servers of another tool's file: shown first, counted, registered once, and one that is refused holds up no other.

use serde_json::Value;

use crate::gateway::{Gateway, Reply};

const THERE: &str = r#"{"items":[{"id":"srv_old","name":"old","host":"192.0.2.1","port":22,"hostKeys":[]}],"nextPageToken":""}"#;
const FILE: &str = "name,host,port\nold-by-another-name,192.0.2.1,\nweb-1,192.0.2.2,2222\nweb-2,bad.example.com,\nagain,192.0.2.2,2222\nold,192.0.2.9,\n";

fn gateway() -> Gateway {
    Gateway::start(|request| match (request.method.as_str(), request.target.as_str()) {
        ("GET", _) => Reply::json(200, THERE),
        _ if request.body["host"] == "bad.example.com" => Reply::error(409, 9, "TARGET_NOT_ALLOWED"),
        _ => Reply::json(200, r#"{"id":"srv_new"}"#),
    })
}

fn results(stdout: &str) -> Vec<(String, String)> {
    let told: Value = serde_json::from_str(stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    told["items"].as_array().unwrap().iter().map(|it| (text(&it["name"]), text(&it["result"]))).collect()
}

fn import(gateway: &Gateway, file: &str, rest: &[&str]) -> crate::gateway::Run {
    let mut words = vec!["server", "import", file, "--format", "csv", "--tenant", "ten_1"];
    words.extend(rest);
    gateway.run(&words)
}

#[test]
fn a_dry_run_registers_nothing_and_says_all() {
    let gateway = gateway();
    let file = gateway.write("hosts.csv", FILE);
    let run = import(&gateway, &file, &["--dry-run"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    for told in ["web-1", "there already", "srv_old", "the same as web-1", "another server has this name"] {
        assert!(run.stdout.contains(told), "{told}: {}", run.stdout);
    }
    assert!(run.stderr.contains("--confirm 2"), "{}", run.stderr);
    let json = import(&gateway, &file, &["--dry-run", "-o", "json"]);
    let of = |name: &str, result: &str| (name.to_owned(), result.to_owned());
    assert_eq!(
        results(&json.stdout),
        [of("old-by-another-name", "there already"), of("web-1", "new"), of("web-2", "new")]
    );
    assert!(gateway.lines().iter().all(|line| line.starts_with("GET /api/servers?tenantId=ten_1")));
}

#[test]
fn the_count_confirms_and_one_refusal_holds_up_no_other() {
    let gateway = gateway();
    let file = gateway.write("hosts.csv", FILE);
    for (confirm, told) in [(&[][..], "--confirm 2 is required"), (&["--confirm", "5"][..], "which is 2")] {
        let run = import(&gateway, &file, confirm);
        assert!(run.code == 2 && run.stderr.contains(told), "{}", run.stderr);
    }
    assert!(gateway.requests().iter().all(|request| request.method == "GET"));

    let run =
        import(&gateway, &file, &["--confirm", "2", "--label", "from=csv", "--group", "web", "-o", "json"]);
    assert_eq!(run.code, 10, "{}", run.stderr);
    let of = |name: &str, result: &str| (name.to_owned(), result.to_owned());
    assert_eq!(
        results(&run.stdout),
        [of("old-by-another-name", "there already"), of("web-1", "registered"), of("web-2", "failed")]
    );
    assert!(run.stdout.contains("TARGET_NOT_ALLOWED"), "{}", run.stdout);
    let posts: Vec<_> = gateway.requests().into_iter().filter(|request| request.method == "POST").collect();
    assert_eq!(posts.len(), 2);
    let body = &posts[0].body;
    assert_eq!(
        (&body["name"], &body["port"], &body["group"]),
        (&"web-1".into(), &2222.into(), &"web".into())
    );
    assert_eq!((&body["tenantId"], &body["labels"]["from"]), (&"ten_1".into(), &"csv".into()));
    // The same servers of the same tenant again are the same requests.
    let again = import(&gateway, &file, &["--confirm", "2", "-o", "json"]);
    assert_eq!(again.code, 10);
    let keys: Vec<Value> = gateway
        .requests()
        .into_iter()
        .filter(|request| request.method == "POST")
        .map(|request| request.body["idempotencyKey"].clone())
        .collect();
    assert_eq!((&keys[..2], keys[0] == keys[1]), (&keys[2..], false));
}

#[test]
fn what_was_registered_before_the_gateway_went_away_is_told() {
    let gateway = Gateway::start(|request| match request.method.as_str() {
        "GET" => Reply::json(200, THERE),
        _ if request.body["name"] == "web-1" => Reply::json(200, r#"{"id":"srv_new"}"#),
        _ => Reply::error(403, 7, "PERMISSION_DENIED"),
    });
    let file = gateway.write("hosts.csv", FILE);
    let run = import(&gateway, &file, &["--confirm", "2", "-o", "json"]);
    assert_eq!(run.code, 4, "{}", run.stderr);
    let told: Vec<String> = results(&run.stdout).into_iter().map(|(_, result)| result).collect();
    assert_eq!(told, ["there already", "registered", "new"]);
}

#[test]
fn host_keys_come_from_a_second_file() {
    let gateway = gateway();
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    let config =
        gateway.write("config", "Host web\n  HostName 192.0.2.5\n  Port 2200\nHost far\n  ProxyCommand nc\n");
    let known = gateway.write("known_hosts", &format!("[192.0.2.5]:2200 {key}\n"));
    let words = ["server", "import", &config, "--format", "ssh-config", "--tenant", "ten_1"];
    let run = gateway.run(&[&words[..], &["--known-hosts-file", &known, "--confirm", "1"]].concat());
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(
        run.stdout.contains("1 pinned") && run.stdout.contains("only ProxyJump is known"),
        "{}",
        run.stdout
    );
    let requests = gateway.requests();
    assert_eq!(requests.last().unwrap().body["hostKeys"][0], key);
}

#[test]
fn what_lies_behind_a_jump_host_is_registered_after_it_and_through_it() {
    let gateway = Gateway::start(|request| match request.method.as_str() {
        "GET" => Reply::json(200, THERE),
        _ if request.body["name"] == "shut" => Reply::error(409, 9, "TARGET_NOT_ALLOWED"),
        _ => Reply::json(200, &format!(r#"{{"id":"srv_{}"}}"#, request.body["name"].as_str().unwrap())),
    });
    let config = gateway.write(
        "config",
        "Host inner\n  ProxyJump middle\nHost middle\n  ProxyJump old\nHost dark\n  ProxyJump shut\n\
         Host shut\nHost lost\n  ProxyJump nowhere\nHost plain\n",
    );
    let words = ["server", "import", &config, "--format", "ssh-config", "--tenant", "ten_1"];
    let dry = gateway.run(&[&words[..], &["--dry-run"]].concat());
    assert_eq!(dry.code, 0, "{}", dry.stderr);
    for told in ["VIA", "middle", "neither in the file nor registered"] {
        assert!(dry.stdout.contains(told), "{told}: {}", dry.stdout);
    }
    let run = gateway.run(&[&words[..], &["--confirm", "5", "-o", "json"]].concat());
    assert_eq!(run.code, 10, "{}", run.stderr);
    let of = |name: &str, result: &str| (name.to_owned(), result.to_owned());
    assert_eq!(
        results(&run.stdout),
        [
            of("inner", "registered"),
            of("middle", "registered"),
            of("dark", "failed"),
            of("shut", "failed"),
            of("plain", "registered"),
        ]
    );
    assert!(run.stdout.contains("JUMP_HOST_NOT_REGISTERED"), "{}", run.stdout);
    let posts: Vec<_> = gateway.requests().into_iter().filter(|request| request.method == "POST").collect();
    let ways: Vec<(&str, Option<&str>)> = posts
        .iter()
        .map(|post| (post.body["name"].as_str().unwrap(), post.body["jumpHostId"].as_str()))
        .collect();
    assert_eq!(
        ways,
        [("middle", Some("srv_old")), ("shut", None), ("plain", None), ("inner", Some("srv_middle"))],
        "what lies behind `shut` is not tried"
    );
}

#[test]
fn another_kind_of_file_is_refused_before_anything_is_asked() {
    let gateway = gateway();
    let file = gateway.write("hosts.csv", "user,password\na,b\n");
    let run = import(&gateway, &file, &["--dry-run"]);
    assert!(run.code == 2 && run.stderr.contains("has the column"), "{}", run.stderr);
    assert!(gateway.requests().is_empty());
}
