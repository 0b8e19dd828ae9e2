//! The paths that no RPC stands behind.

use crate::front::OPENAPI_PATH;
use serde_json::{Map, Value, json};

pub fn paths() -> Map<String, Value> {
    let mut paths = Map::new();
    let answer = |description: &str| json!({ "description": description, "content": { "application/json": { "schema": { "type": "object" } } } });
    paths.insert(
        "/healthz".to_owned(),
        json!({ "get": {
            "operationId": "getHealth",
            "tags": ["Health"],
            "summary": "Says that the process answers",
            "security": [],
            "responses": { "200": answer("It does.") },
        }}),
    );
    paths.insert(
        "/readyz".to_owned(),
        json!({ "get": {
            "operationId": "getReadiness",
            "tags": ["Health"],
            "summary": "Asks every service whether it can work",
            "security": [],
            "responses": { "200": answer("All can."), "503": answer("At least one cannot; it is named.") },
        }}),
    );
    paths.insert(
        OPENAPI_PATH.to_owned(),
        json!({ "get": {
            "operationId": "getOpenApi",
            "tags": ["Health"],
            "summary": "This document",
            "security": [],
            "responses": { "200": answer("OpenAPI 3.1.") },
        }}),
    );
    paths
}
