//! The API as OpenAPI 3.1, from the same descriptor pool as the routes; comments of the contract are its text.

mod comments;
mod errors;
mod fixed;
mod operation;
mod schema;

use crate::routes::Table;
use schema::Schemas;
use serde_json::{Map, Value, json};

/// The document. Every route of `table` is in it.
pub fn document(table: &Table) -> Value {
    let mut schemas = Schemas::default();
    let mut paths = fixed::paths();
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for route in table.routes() {
        let times = seen.entry(route.rpc.method.full_name().to_owned()).or_default();
        *times += 1;
        let operation = operation::operation(route, *times, &mut schemas);
        let path = paths.entry(route.template.to_string()).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(methods) = path {
            methods.insert(route.method.as_str().to_ascii_lowercase(), operation);
        }
    }
    let mut components = schemas.finish();
    components.insert("Status".to_owned(), errors::schema());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Keywright",
            "version": "1",
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "A token of Keywright (keywright token create) or of a configured OIDC issuer." },
            },
        },
    })
}

const DESCRIPTION: &str = "A control plane for SSH credentials. The same contract is served by gRPC and grpc-web on this port. \
JSON is the protobuf JSON mapping with three fixed differences: an enum value is its lower-case name without the type's prefix; \
zero values are always written; a JSON null where a clear… field exists means that field. \
Unknown body fields and query parameters are refused. A path variable that also stands in the body must be equal.";
