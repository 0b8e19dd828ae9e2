//! Tables of requests and answers against the contract's own messages.

use super::*;
use crate::errors;
use crate::routes::{Found, Table};
use http::{HeaderMap, HeaderValue, Method};
use keywright_proto::pool;
use prost_reflect::DynamicMessage;
use serde_json::{Value as Json, json};

const JSON: &str = "application/json; charset=utf-8";

/// What the request becomes, written back as plain proto JSON; or the violations as `field: description`.
fn request(method: &str, target: &str, body: &str) -> Result<Json, Vec<String>> {
    let message = read(method, target, body, JSON)?;
    Ok(serde_json::to_value(&message).unwrap())
}

fn read(
    method: &str,
    target: &str,
    body: &str,
    content_type: &'static str,
) -> Result<DynamicMessage, Vec<String>> {
    let table = Table::new(pool()).unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Found::Route(route, values) = table.find(&Method::from_bytes(method.as_bytes()).unwrap(), path)
    else {
        panic!("{method} {path} is no route")
    };
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static(content_type));
    super::message(route, values, query, &headers, body.as_bytes())
        .map_err(|refusal| violations(&refusal.status_json()))
}

fn violations(status: &Json) -> Vec<String> {
    let details = status["details"].as_array().unwrap();
    let listed = details.iter().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
    let text = |v: &Json, name: &str| v[name].as_str().unwrap_or_default().to_owned();
    let listed: Vec<String> =
        listed.map(|v| format!("{}: {}", text(v, "field"), text(v, "description"))).collect();
    if listed.is_empty() { vec![status["message"].as_str().unwrap().to_owned()] } else { listed }
}

#[test]
fn path_query_and_body_become_one_message() {
    let rotate = "/api/credentials/ssh/sshcred_1/rotate";
    for (method, target, body, expected) in [
        ("POST", "/api/tenants", "", json!({})),
        (
            "POST",
            "/api/tenants",
            r#"{"name":"a","external_id":"b"}"#,
            json!({"name": "a", "externalId": "b"}),
        ),
        (
            "GET",
            "/api/tenants?pageSize=2&search=a+b%26c&pageToken=",
            "",
            json!({"pageSize": 2, "search": "a b&c"}),
        ),
        ("GET", "/api/tenants/ten_1", "{}", json!({"tenantId": "ten_1"})),
        (
            "GET",
            "/api/credentials/ssh/sshcred_1?includeUsage=true",
            "",
            json!({"credentialId": "sshcred_1", "includeUsage": true}),
        ),
        (
            "DELETE",
            "/api/credentials/ssh/sshcred_1",
            r#"{"confirmation":{"credentialId":"sshcred_1"}}"#,
            json!({"credentialId": "sshcred_1", "confirmation": {"credentialId": "sshcred_1"}}),
        ),
        (
            "DELETE",
            "/api/credentials/ssh/sshcred_1?confirmation.credentialId=sshcred_1&idempotencyKey=k",
            "",
            json!({"credentialId": "sshcred_1", "confirmation": {"credentialId": "sshcred_1"}, "idempotencyKey": "k"}),
        ),
        ("POST", rotate, r#"{"username":null}"#, json!({"credentialId": "sshcred_1", "clearUsername": true})),
        (
            "POST",
            rotate,
            r#"{"clearUsername":true,"publicKey":null,"credentialId":null}"#,
            json!({"credentialId": "sshcred_1", "clearUsername": true}),
        ),
        (
            "POST",
            rotate,
            r#"{"username":"","credentialId":"sshcred_1"}"#,
            json!({"credentialId": "sshcred_1", "username": ""}),
        ),
        (
            "POST",
            "/api/tenants/ten_1/ssh-access/acc_1/rotate",
            r#"{"gracePeriod":"86400s"}"#,
            json!({"tenantId": "ten_1", "accessId": "acc_1", "gracePeriod": "86400s"}),
        ),
        (
            "POST",
            "/api/servers",
            r#"{"labels":{"a":"b"},"hostKeys":["x","y"],"port":"22"}"#,
            json!({"labels": {"a": "b"}, "hostKeys": ["x", "y"], "port": 22}),
        ),
        (
            "GET",
            "/api/audit/events?outcome=denied&from=2030-01-01T00:00:00%2B01:00",
            "",
            json!({"outcome": "AUDIT_OUTCOME_DENIED", "from": "2029-12-31T23:00:00Z"}),
        ),
        (
            "GET",
            "/api/audit/events?outcome=AUDIT_OUTCOME_DENIED",
            "",
            json!({"outcome": "AUDIT_OUTCOME_DENIED"}),
        ),
        (
            "POST",
            "/api/servers/srv_1/host-keys",
            r#"{"action":"REPIN","fingerprints":[]}"#,
            json!({"serverId": "srv_1", "action": "HOST_KEY_ACTION_REPIN"}),
        ),
    ] {
        assert_eq!(request(method, target, body), Ok(expected), "{method} {target} {body}");
    }
}

#[test]
fn what_is_unknown_or_wrong_is_named_with_its_path() {
    let rotate = "/api/credentials/ssh/sshcred_1/rotate";
    for (method, target, body, expected) in [
        ("POST", "/api/tenants", r#"{"nmae":"a"}"#, "nmae: is not a field of this request"),
        ("POST", rotate, r#"{"confirmation":{"id":"x"}}"#, "confirmation.id: is not a field of this request"),
        ("POST", rotate, r#"{"confirmation":"x"}"#, "confirmation: must be an object"),
        (
            "POST",
            rotate,
            r#"{"confirmation":{"credentialId":7}}"#,
            "confirmation.credentialId: must be a string",
        ),
        ("POST", rotate, r#"{"credentialId":"sshcred_2"}"#, "credentialId: is not what the path says"),
        ("POST", rotate, r#"{"credentialId":""}"#, "credentialId: is not what the path says"),
        ("POST", rotate, r#"{"clear_username":true,"clearUsername":true}"#, "clearUsername: is given twice"),
        ("POST", rotate, "[]", ": must be an object"),
        ("POST", rotate, "null", ": must be an object"),
        ("POST", rotate, "{", ": The body is not well-formed JSON: line 1, column 1"),
        ("POST", "/api/servers", r#"{"hostKeys":["x",1]}"#, "hostKeys[1]: must be a string"),
        ("POST", "/api/servers", r#"{"hostKeys":[null]}"#, "hostKeys[0]: must be a string"),
        ("POST", "/api/servers", r#"{"hostKeys":"x"}"#, "hostKeys: must be an array"),
        ("POST", "/api/servers", r#"{"labels":{"a":1}}"#, r#"labels["a"]: must be a string"#),
        ("POST", "/api/servers", r#"{"acceptNew":"true"}"#, "acceptNew: must be true or false"),
        (
            "POST",
            "/api/servers",
            r#"{"port":99999999999}"#,
            "port: must be a whole number from -2147483648 to 2147483647",
        ),
        (
            "POST",
            "/api/servers/srv_1/host-keys",
            r#"{"action":"pin"}"#,
            "action: must be one of approve, repin, remove",
        ),
        (
            "POST",
            "/api/tenants/t/ssh-access/a/rotate",
            r#"{"gracePeriod":86400}"#,
            "gracePeriod: must be a duration in seconds such as 86400s",
        ),
        ("POST", "/api/tenants?name=x", "", ": This request takes no query parameters"),
        ("GET", "/api/tenants?limit=5", "", "limit: is not a parameter of this request"),
        (
            "GET",
            "/api/tenants?pageSize=x",
            "",
            "pageSize: must be a whole number from -2147483648 to 2147483647",
        ),
        ("GET", "/api/tenants?pageSize=1&pageSize=2", "", "pageSize: is given twice"),
        ("GET", "/api/tenants?search=%ff", "", ": A query parameter is not UTF-8"),
        ("GET", "/api/tenants?search.x=1", "", "search.x: is not a parameter of this request"),
        ("GET", "/api/tenants/ten_1?tenantId=ten_2", "", "tenantId: is not what the path says"),
        ("GET", "/api/tenants", r#"{"pageSize":1}"#, ": This request takes no body"),
        (
            "GET",
            "/api/audit/events?from=yesterday",
            "",
            "from: must be an RFC 3339 instant such as 2030-01-31T23:59:59Z",
        ),
        (
            "DELETE",
            "/api/credentials/ssh/x?confirmation=x",
            "",
            "confirmation: must name one of its fields, as in a.b=value",
        ),
        (
            "DELETE",
            "/api/credentials/ssh/x?confirmation.credentialId=x",
            r#"{"confirmation":{"credentialId":"y"}}"#,
            "confirmation.credentialId: is given twice",
        ),
    ] {
        let got = request(method, target, body).expect_err(target);
        assert!(got.iter().any(|v| v.starts_with(expected)), "{method} {target} {body}: {got:?}");
    }
}

#[test]
fn violations_are_bounded_and_repeat_no_value() {
    let many: String = (0..200).map(|i| format!(r#""x{i}":"hunter2","#)).collect();
    let got = request("POST", "/api/tenants", &format!(r#"{{{many}"timeZone":["hunter2"]}}"#)).unwrap_err();
    assert_eq!(got.len(), 20);
    let got =
        request("POST", "/api/credentials/ssh", r#"{"privateKey":{"hunter2":1},"passphrase":["hunter2"]}"#)
            .unwrap_err();
    assert!(!got.concat().contains("hunter2"), "{got:?}");
}

#[test]
fn a_body_must_say_that_it_is_json() {
    for kind in ["text/plain", "", "application/x-www-form-urlencoded"] {
        let got = read("POST", "/api/tenants", r#"{"name":"a"}"#, kind).unwrap_err();
        assert!(got.concat().contains("application/json"), "{got:?}");
    }
    assert!(read("POST", "/api/tenants", "", "").is_ok());
}

fn written(full_name: &str, proto_json: Json, field: Option<&str>) -> Content {
    let descriptor = pool().get_message_by_name(full_name).unwrap();
    let message = DynamicMessage::deserialize(descriptor.clone(), proto_json).unwrap();
    content(field.map(|name| descriptor.get_field_by_name(name).unwrap()).as_ref(), &message)
}

#[test]
fn answers_hold_zero_values_and_lower_case_states() {
    let Content::Json(usage) = written("keywright.credential.v1.CredentialUsage", json!({}), None) else {
        panic!()
    };
    assert_eq!(
        usage,
        json!({
            "totalServers": 0, "activeServers": 0, "inactiveServers": 0, "servers": [],
            "totalReferences": 0, "references": [], "revision": "",
        })
    );
    let rotation = json!({ "rotation": { "state": "ROTATION_STATE_CONVERGING", "startedAt": "2030-01-31T12:00:00.5Z" } });
    let Content::Json(rotation) =
        written("keywright.lifecycle.v1.GetRotationResponse", rotation, Some("rotation"))
    else {
        panic!()
    };
    assert_eq!(rotation["state"], "converging");
    assert_eq!(rotation["kind"], "unspecified");
    assert_eq!(rotation["startedAt"], "2030-01-31T12:00:00.500Z");
    assert_eq!(rotation["oldVersion"], 0);
    assert!(rotation.get("promotedAt").is_none(), "what never happened is left out");
    let Content::Json(empty) = written("keywright.credential.v1.DeleteServerResponse", json!({}), None)
    else {
        panic!()
    };
    assert_eq!(empty, json!({}));
}

#[test]
fn a_file_is_bytes_and_its_other_fields_are_headers() {
    let response =
        json!({ "file": { "contentType": "application/x-pem-file", "data": "a2V5" }, "claimId": "clm_1" });
    let Content::Bytes(file) =
        written("keywright.lifecycle.v1.DownloadSshKeyResponse", response, Some("file"))
    else {
        panic!()
    };
    assert_eq!(
        (file.content_type.as_str(), file.data.as_ref()),
        ("application/x-pem-file", b"key".as_slice())
    );
    assert_eq!(file.headers, [("keywright-claim-id".to_owned(), "clm_1".to_owned())]);
    assert!(!format!("{file:?}").contains("key"));
}

#[test]
fn what_is_written_can_be_read_again() {
    let descriptor = pool().get_message_by_name("keywright.credential.v1.RegisterServerRequest").unwrap();
    let proto = json!({"name": "a", "port": 22, "labels": {"x": "y"}, "hostKeys": ["k"], "acceptNew": true});
    let message = DynamicMessage::deserialize(descriptor.clone(), proto).unwrap();
    let mut reader = read::Reader::default();
    let again = reader.message(&descriptor, write::message(&message), "");
    assert_eq!(reader.finish(), []);
    assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&message).unwrap());
}

#[test]
fn a_wiped_message_holds_nothing() {
    let mut message =
        read("POST", "/api/credentials/ssh", r#"{"name":"n","privateKey":"hunter2"}"#, JSON).unwrap();
    wipe::fields(&mut message);
    assert!(!format!("{message:?}").contains("hunter2"));
}

#[test]
fn every_violation_answers_400() {
    let failure = errors::invalid(vec![]);
    assert_eq!(errors::http_status(&failure.to_status()), 400);
}
