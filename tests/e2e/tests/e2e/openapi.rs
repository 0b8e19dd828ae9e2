//! The OpenAPI document describes the routes that answer.

use std::collections::BTreeSet;

use keywright_e2e::document::{fetch, operations};
use keywright_kit::{Keywright, KeywrightOptions};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn every_operation_answers_and_only_the_public_ones_without_a_token() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let operations = operations(&fetch(&keywright).await);
    assert!(operations.len() >= 45, "only {} operations", operations.len());

    for operation in operations {
        let path = operation.template.replace('{', "x_").replace('}', "");
        let body = (operation.method == Method::POST).then(|| json!({}));
        let answer = keywright.anonymous().send(operation.method.clone(), &path, body, &[]).await;
        let public = operation.description["security"] == json!([]);
        assert_ne!(answer.reason(), "ROUTE_NOT_FOUND", "{} {path}", operation.method);
        assert_eq!(answer.status == 401, !public, "{} {path}: {}", operation.method, answer.status);
    }
}

#[tokio::test]
async fn the_document_is_whole() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let document = fetch(&keywright).await;

    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let mut ids = BTreeSet::new();
    for operation in operations(&document) {
        let id = operation.description["operationId"].as_str().unwrap_or_else(|| panic!("{operation:?}"));
        assert!(ids.insert(id.to_owned()), "{id} stands there twice");
        let described = operation.description["parameters"].as_array().cloned().unwrap_or_default();
        let in_path: Vec<&str> = described
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .filter_map(|parameter| parameter["name"].as_str())
            .collect();
        assert_eq!(in_path, operation.variables(), "{id}");
        assert!(
            operation.description["responses"].as_object().is_some_and(|all| all.contains_key("200")),
            "{id}"
        );
    }
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

fn collect_references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("$ref").and_then(Value::as_str).map(str::to_owned));
            object.values().for_each(|inner| collect_references(inner, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect_references(inner, found)),
        _ => {}
    }
}

#[tokio::test]
async fn health_and_readiness_need_no_token() {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    for path in ["/healthz", "/readyz", "/api/openapi.json"] {
        assert_eq!(keywright.anonymous().get(path).await.status, 200, "{path}");
    }
    let doctor = keywright.cli(&["doctor"]).await;
    assert!(doctor.ok(), "{doctor:?}");
}
