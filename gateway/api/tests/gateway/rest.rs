//! JSON in, JSON out; and every way to be refused.

use crate::port::{assert_common_headers, limits, refusal, start, start_with};
use reqwest::{Body, Method};
use serde_json::{Value as Json, json};
use std::time::Duration;

#[tokio::test]
async fn a_resource_is_created_read_and_listed() {
    let port = start().await;
    let response = port.post("/api/tenants", json!({"name": "Acme"})).await;
    assert_eq!(response.status(), 200);
    assert_common_headers(&response);
    let created: Json = response.json().await.unwrap();
    assert_eq!(
        created,
        json!({"id": "ten_new", "externalId": "", "name": "Acme", "timeZone": "", "state": "active",
            "contacts": [], "labels": {}, "revision": ""})
    );

    let read: Json = port.get("/api/tenants/ten_%61").await.json().await.unwrap();
    assert_eq!(read["id"], "ten_a");
    let listed: Json = port.get("/api/tenants?pageSize=2&search=x+y").await.json().await.unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!((&listed["items"][1]["name"], &listed["nextPageToken"]), (&json!("x y"), &json!("")));
    let usage: Json = port.get("/api/credentials/ssh/sshcred_1/usage").await.json().await.unwrap();
    assert_eq!((&usage["totalServers"], &usage["servers"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn a_null_clears_and_durations_are_durations() {
    let port = start().await;
    let (status, reason, body) =
        refusal(port.post("/api/credentials/ssh/sshcred_1/rotate", json!({"username": null})).await).await;
    assert_eq!((status, reason.as_str()), (409, "USAGE_ACKNOWLEDGEMENT_REQUIRED"));
    assert_eq!(body["details"][0]["metadata"]["clearUsername"], "true");
    assert_eq!(body["details"][0]["metadata"]["username"], "None");
    let rotate =
        port.post("/api/tenants/ten_1/ssh-access/acc_1/rotate", json!({"gracePeriod": "86400s"})).await;
    let (status, _, body) = refusal(rotate).await;
    assert_eq!((status, &body["details"][0]["metadata"]["asked"]), (409, &json!("86400")));
}

#[tokio::test]
async fn a_delete_takes_its_confirmation_from_body_or_query() {
    let port = start().await;
    let path = "/api/credentials/ssh/sshcred_1";
    let by_query = port
        .ask(Method::DELETE, &format!("{path}?confirmation.credentialId=sshcred_1"))
        .send()
        .await
        .unwrap();
    assert_eq!((by_query.status().as_u16(), by_query.json::<Json>().await.unwrap()), (200, json!({})));
    let body = json!({"confirmation": {"credentialId": "sshcred_1"}});
    let by_body = port.ask(Method::DELETE, path).json(&body).send().await.unwrap();
    assert_eq!(by_body.status(), 200);
    let (status, reason, _) = refusal(port.ask(Method::DELETE, path).send().await.unwrap()).await;
    assert_eq!((status, reason.as_str()), (400, "CONFIRMATION_MISMATCH"));
}

#[tokio::test]
async fn who_is_not_known_or_not_allowed_learns_nothing_more() {
    let port = start().await;
    // The body is neither JSON nor small: nobody looks at it.
    let body = "x".repeat(100_000);
    let anonymous = port.http.post(port.url("/api/tenants")).body(body.clone()).send().await.unwrap();
    assert_eq!(anonymous.headers()["www-authenticate"], "Bearer");
    let (status, reason, _) = refusal(anonymous).await;
    assert_eq!((status, reason.as_str()), (401, "UNAUTHENTICATED"));
    let member = port.http.post(port.url("/api/tenants")).header("authorization", "Bearer member").body(body);
    let (status, reason, _) = refusal(member.send().await.unwrap()).await;
    assert_eq!((status, reason.as_str()), (403, "PERMISSION_DENIED"));
}

#[tokio::test]
async fn what_is_not_there_is_404_and_a_wrong_method_405() {
    let port = start().await;
    for path in [
        "/api/tenant",
        "/api/tenants/",
        "/api/",
        "/",
        "/nothing",
        "/keywright.credential.v1.TenantService/GetTenant",
        "/keywright.credential.v1.ReleaseService/ReleaseVersion",
        "/api/../healthz/x",
    ] {
        let (status, reason, _) = refusal(port.http.get(port.url(path)).send().await.unwrap()).await;
        assert_eq!((status, reason.as_str()), (404, "ROUTE_NOT_FOUND"), "{path}");
    }
    for (method, path, allow) in [
        (Method::PUT, "/api/tenants", "GET, POST"),
        (Method::POST, "/api/tenants/ten_1", "DELETE, GET, PATCH"),
        (Method::GET, "/api/credentials/ssh/sshcred_1/rotate", "POST"),
        (Method::POST, "/healthz", "GET"),
        (Method::DELETE, "/readyz", "GET"),
        (Method::POST, "/api/openapi.json", "GET"),
    ] {
        let response = port.ask(method, path).send().await.unwrap();
        assert_eq!(response.headers()["allow"], allow, "{path}");
        assert_eq!(refusal(response).await.0, 405, "{path}");
    }
}

#[tokio::test]
async fn a_large_body_is_refused_with_and_without_a_length() {
    let port = start().await;
    let fits = json!({"name": "x".repeat(60_000)});
    assert_eq!(port.post("/api/tenants", fits).await.status(), 200);
    let large = json!({"name": "x".repeat(70_000)});
    let (status, reason, _) = refusal(port.post("/api/tenants", large.clone()).await).await;
    assert_eq!((status, reason.as_str()), (413, "PAYLOAD_TOO_LARGE"));
    let text = large.to_string();
    let chunks: Vec<Result<String, std::io::Error>> =
        vec![Ok(text[..40_000].to_owned()), Ok(text[40_000..].to_owned())];
    let body = Body::wrap_stream(futures_util::stream::iter(chunks));
    let chunked =
        port.ask(Method::POST, "/api/tenants").header("content-type", "application/json").body(body);
    let (status, reason, _) = refusal(chunked.send().await.unwrap()).await;
    assert_eq!((status, reason.as_str()), (413, "PAYLOAD_TOO_LARGE"));
}

#[tokio::test]
async fn what_is_not_well_formed_is_named() {
    let port = start().await;
    let (status, reason, body) =
        refusal(port.post("/api/tenants", json!({"nmae": "x", "timeZone": 1})).await).await;
    assert_eq!((status, reason.as_str()), (400, "VALIDATION_FAILED"));
    let violations = &body["details"]
        .as_array()
        .unwrap()
        .iter()
        .find(|d| d["fieldViolations"].is_array())
        .unwrap()["fieldViolations"];
    let mut fields: Vec<_> =
        violations.as_array().unwrap().iter().map(|v| v["field"].as_str().unwrap()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["nmae", "timeZone"]);
    let form = port.ask(Method::POST, "/api/tenants").header("content-type", "text/plain").body("name=x");
    let (status, reason, _) = refusal(form.send().await.unwrap()).await;
    assert_eq!((status, reason.as_str()), (415, "VALIDATION_FAILED"));
    let (status, _, _) = refusal(port.get("/api/tenants?limit=1").await).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn a_services_own_words_are_passed_on_and_foreign_ones_are_not() {
    let port = start().await;
    let (status, reason, body) = refusal(port.get("/api/tenants/x").await).await;
    assert_eq!((status, reason.as_str()), (404, "TENANT_NOT_FOUND"));
    assert_eq!(body["code"], 5);
    let away = port.get("/api/tenants/ten_away").await;
    assert_eq!(away.headers()["retry-after"], "1");
    assert_eq!(refusal(away).await.1, "STORAGE_UNAVAILABLE");
    let (status, reason, body) = refusal(port.get("/api/tenants/ten_broken").await).await;
    assert_eq!((status, reason.as_str()), (500, "INTERNAL"));
    assert!(!body.to_string().contains("10.0.0.7"));
    let (status, reason, body) = refusal(port.get("/api/audit/events").await).await;
    assert_eq!((status, reason.as_str()), (503, "SERVICE_UNAVAILABLE"));
    assert!(!body.to_string().contains("10.0.0.7"));
    let (status, reason, _) = refusal(port.get("/api/rotations/rot_1").await).await;
    assert_eq!((status, reason.as_str()), (404, "ROUTE_NOT_FOUND"));
}

#[tokio::test]
async fn a_slow_service_ends_with_the_deadline() {
    let port =
        start_with(keywright_gateway::Limits { deadline: Duration::from_millis(50), ..limits() }).await;
    let (status, reason, _) = refusal(port.get("/api/tenants/ten_slow").await).await;
    assert_eq!((status, reason.as_str()), (504, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn the_callers_request_id_is_given_back_if_it_is_one() {
    let port = start().await;
    let ask = |id: &'static str| port.ask(Method::GET, "/api/tenants").header("x-request-id", id).send();
    let response = ask("build-7.3").await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "build-7.3");
    assert_common_headers(&response);
    assert!(!ask("<script>").await.unwrap().headers().contains_key("x-request-id"));
}
