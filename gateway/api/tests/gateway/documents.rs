//! What answers without a token: health, and the document of the API, which must be true.

use crate::port::{refusal, start};
use reqwest::Method;
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

#[tokio::test]
async fn health_and_readiness_answer_anybody() {
    let port = start().await;
    let health = port.http.get(port.url("/healthz")).send().await.unwrap();
    assert_eq!(
        (health.status().as_u16(), health.json::<Json>().await.unwrap()),
        (200, json!({"status": "ok"}))
    );
    let ready = port.http.get(port.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 503);
    let ready: Json = ready.json().await.unwrap();
    assert_eq!(ready["status"], "unavailable");
    assert_eq!(ready["services"][0], json!({"name": "credential-store", "ready": true}));
    assert_eq!(ready["services"][1]["message"], "the secret store is sealed");
}

async fn document() -> (crate::port::Port, Json) {
    let port = start().await;
    let response = port.http.get(port.url("/api/openapi.json")).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), response.headers()["content-type"].to_str().unwrap()),
        (200, "application/json")
    );
    let document = response.json().await.unwrap();
    (port, document)
}

/// Every operation: path, method, and what is said about it.
fn operations(document: &Json) -> Vec<(String, Method, &Json)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().iter().map(move |(method, operation)| {
                (path.clone(), Method::from_bytes(method.to_uppercase().as_bytes()).unwrap(), operation)
            })
        })
        .collect()
}

#[tokio::test]
async fn every_operation_of_the_document_is_answered() {
    let (port, document) = document().await;
    for (path, method, operation) in operations(&document) {
        let target =
            path.split('/').map(|s| if s.starts_with('{') { "x" } else { s }).collect::<Vec<_>>().join("/");
        // Without a token: a route that exists asks for one, or is open to all.
        let response = port.http.request(method.clone(), port.url(&target)).send().await.unwrap();
        let open = operation["security"] == json!([]);
        if open {
            assert!(![404, 405, 401].contains(&response.status().as_u16()), "{method} {path}");
        } else {
            let (status, reason, _) = refusal(response).await;
            assert_eq!((status, reason.as_str()), (401, "UNAUTHENTICATED"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_public_rpc_is_in_the_document() {
    let (_port, document) = document().await;
    let http = keywright_proto::pool().get_extension_by_name("google.api.http").unwrap();
    let mut routes = BTreeSet::new();
    for service in keywright_proto::pool().services() {
        for method in service.methods().filter(|method| method.options().has_extension(&http)) {
            let options = method.options();
            let rule = options.get_extension(&http).into_owned();
            let rule = rule.as_message().unwrap();
            for verb in ["get", "put", "post", "delete", "patch"] {
                if let Some(path) = rule
                    .get_field_by_name(verb)
                    .and_then(|v| v.as_str().map(str::to_owned))
                    .filter(|p| !p.is_empty())
                {
                    let name = method.name();
                    routes.insert((
                        verb.to_owned(),
                        path,
                        format!("{}{}", name[..1].to_lowercase(), &name[1..]),
                    ));
                }
            }
        }
    }
    assert!(routes.len() > 35);
    for (verb, path, id) in routes {
        let camel: String = path.split('/').map(camel).collect::<Vec<_>>().join("/");
        assert_eq!(document["paths"][&camel][&verb]["operationId"], id, "{verb} {camel}");
    }
}

/// `{tenant_id}` → `{tenantId}`, and `{path=**}`, which takes the rest of the path, is `{path}`.
fn camel(segment: &str) -> String {
    let segment = &segment.replace("=**", "");
    if !segment.starts_with('{') {
        return segment.to_owned();
    }
    let mut upper = false;
    segment
        .chars()
        .filter_map(|c| {
            let was = std::mem::replace(&mut upper, c == '_');
            if c == '_' { None } else { Some(if was { c.to_ascii_uppercase() } else { c }) }
        })
        .collect()
}

#[tokio::test]
async fn the_document_holds_together() {
    let (_port, document) = document().await;
    assert_eq!((&document["openapi"], &document["info"]["title"]), (&json!("3.1.0"), &json!("Keywright")));
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{operation}");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{method} {path}");
        let declared: BTreeSet<&str> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|p| p["in"] == "path")
            .map(|p| p["name"].as_str().unwrap())
            .collect();
        let used: BTreeSet<&str> =
            path.split('/').filter_map(|s| s.strip_prefix('{')?.strip_suffix('}')).collect();
        assert_eq!(declared, used, "{path}");
    }
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas[name].is_object(), "{name}");
    }
    let schema = |name: &str| &schemas[name];
    assert_eq!(schema("CreateTenantRequestBody")["required"], json!(["name"]));
    assert_eq!(schema("CreateTenantRequestBody")["additionalProperties"], false);
    assert!(schema("RotateSshCredentialRequestBody")["properties"].get("credentialId").is_none());
    assert_eq!(schema("RotateSshCredentialRequestBody")["properties"]["privateKey"]["writeOnly"], true);
    assert_eq!(
        schema("RotateSshCredentialRequestBody")["properties"]["username"]["type"],
        json!(["string", "null"])
    );
    assert_eq!(schema("TenantState")["enum"], json!(["unspecified", "active", "suspended", "deleted"]));
    assert!(schema("ProbeCheckStatus").is_object() && schema("CredentialCheckStatus").is_object());
    let rotate = &document["paths"]["/api/credentials/ssh/{credentialId}/rotate"]["post"];
    assert!(
        rotate["responses"]["409"]["description"]
            .as_str()
            .unwrap()
            .contains("USAGE_ACKNOWLEDGEMENT_REQUIRED")
    );
    assert!(rotate["description"].as_str().unwrap().contains("Callers:"));
    let delete = &document["paths"]["/api/credentials/ssh/{credentialId}"]["delete"];
    assert!(
        delete["parameters"].as_array().unwrap().iter().any(|p| p["name"] == "confirmation.credentialId")
    );
}

fn collect<'a>(value: &'a Json, references: &mut BTreeSet<&'a str>) {
    match value {
        Json::Object(object) => {
            references.extend(object.get("$ref").and_then(Json::as_str));
            object.values().for_each(|value| collect(value, references));
        }
        Json::Array(items) => items.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
