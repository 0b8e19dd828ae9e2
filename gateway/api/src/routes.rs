//! The route table: from the `google.api.http` options of every RPC whose rule says PUBLIC.
//!
//! Invariant: an RPC that is not PUBLIC is not in the table, so no path and no gRPC name leads to it.

mod http_rule;
mod template;

use crate::ports::service_of;
use http::{Method, uri::PathAndQuery};
use http_rule::Binding;
use keywright_domain::caller::ServiceName;
use keywright_proto::{Exposure, Rule, RuleError, rule_of};
use prost_reflect::{DescriptorPool, FieldDescriptor, MethodDescriptor};
use std::{collections::HashMap, sync::Arc};
pub use template::{Template, Variable, percent_decode};

/// Why no table can be made: the contract asks for something that the gateway does not do. A server does not start.
#[derive(Debug, thiserror::Error)]
pub enum RouteError {
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error("{0}: no service answers for its package")]
    Package(String),
    #[error("{0}: client streams are not carried")]
    ClientStream(String),
    #[error("{rpc}: {what}")]
    Option { rpc: String, what: String },
    #[error("{rpc}: another route takes {method} {path} too")]
    Ambiguous { rpc: String, method: Method, path: String },
}

/// An RPC that can be called from outside.
#[derive(Debug)]
pub struct Rpc {
    pub method: MethodDescriptor,
    pub rule: Rule,
    pub service: ServiceName,
    /// `/package.Service/Method`.
    pub path: PathAndQuery,
}

/// Which part of the request message the HTTP body holds.
#[derive(Debug, Clone, PartialEq)]
pub enum BodyRule {
    None,
    Whole,
    Field(FieldDescriptor),
}

/// One REST route.
#[derive(Debug)]
pub struct Route {
    pub rpc: Arc<Rpc>,
    pub method: Method,
    pub template: Template,
    pub body: BodyRule,
    /// The field of the response message that is the answer; all of it if none.
    pub response_body: Option<FieldDescriptor>,
}

/// What a path and a method lead to.
#[derive(Debug)]
pub enum Found<'a> {
    /// The route, and the value of each of its variables.
    Route(&'a Route, Vec<String>),
    /// The path is known; these are its methods.
    OtherMethods(String),
    Nothing,
}

/// All that can be reached from outside.
#[derive(Debug, Default)]
pub struct Table {
    routes: Vec<Route>,
    rpcs: HashMap<String, Arc<Rpc>>,
}

impl Table {
    pub fn new(pool: &DescriptorPool) -> Result<Self, RouteError> {
        let mut table = Self::default();
        for service in pool.services().filter(|service| service.full_name().starts_with("keywright.")) {
            for method in service.methods() {
                let rule = rule_of(&method)?;
                if rule.exposure == Exposure::Public {
                    table.add(method, rule)?;
                }
            }
        }
        // The more literal a path, the sooner it is tried: `/validate` before `/{credential_id}`.
        table.routes.sort_by_key(|route| route.template.openness());
        Ok(table)
    }

    fn add(&mut self, method: MethodDescriptor, rule: Rule) -> Result<(), RouteError> {
        let name = method.full_name().to_owned();
        if method.is_client_streaming() {
            return Err(RouteError::ClientStream(name));
        }
        let service = service_of(method.parent_service().package_name())
            .ok_or_else(|| RouteError::Package(name.clone()))?;
        let text = format!("/{}/{}", method.parent_service().full_name(), method.name());
        let path = PathAndQuery::try_from(&text)
            .map_err(|error| RouteError::Option { rpc: name.clone(), what: error.to_string() })?;
        let rpc = Arc::new(Rpc { method, rule, service, path });
        for binding in http_rule::bindings(&rpc.method)? {
            self.bind(&rpc, binding)?;
        }
        self.rpcs.insert(text, rpc);
        Ok(())
    }

    fn bind(&mut self, rpc: &Arc<Rpc>, binding: Binding) -> Result<(), RouteError> {
        let Binding { method, template, body, response_body } = binding;
        if self.routes.iter().any(|route| route.method == method && route.template.same_paths(&template)) {
            let (rpc, path) = (rpc.method.full_name().to_owned(), template.to_string());
            return Err(RouteError::Ambiguous { rpc, method, path });
        }
        self.routes.push(Route { rpc: rpc.clone(), method, template, body, response_body });
        Ok(())
    }

    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The RPC at a gRPC path.
    pub fn rpc(&self, path: &str) -> Option<&Arc<Rpc>> {
        self.rpcs.get(path)
    }

    /// The route of a REST request, by its raw path.
    pub fn find(&self, method: &Method, path: &str) -> Found<'_> {
        let mut others: Vec<&str> = Vec::new();
        for route in &self.routes {
            let Some(values) = route.template.matches(path) else { continue };
            if route.method == *method {
                return Found::Route(route, values);
            }
            others.push(route.method.as_str());
        }
        if others.is_empty() {
            return Found::Nothing;
        }
        others.sort_unstable();
        others.dedup();
        Found::OtherMethods(others.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_proto::pool;

    fn rpc_of(table: &Table, method: Method, path: &str) -> String {
        match table.find(&method, path) {
            Found::Route(route, values) => format!("{}{values:?}", route.rpc.method.name()),
            Found::OtherMethods(methods) => methods,
            Found::Nothing => "-".to_owned(),
        }
    }

    #[test]
    fn paths_lead_to_rpcs() {
        let table = Table::new(pool()).unwrap();
        for (method, path, expected) in [
            (Method::GET, "/api/tenants", "ListTenants[]"),
            (Method::POST, "/api/tenants", "CreateTenant[]"),
            (Method::GET, "/api/tenants/ten_a%2Fb", r#"GetTenant["ten_a/b"]"#),
            (Method::POST, "/api/credentials/ssh/validate", "ValidateSshCredential[]"),
            (Method::DELETE, "/api/credentials/ssh/x", r#"DeleteSshCredential["x"]"#),
            (Method::GET, "/api/rotations/rot_1/watch", r#"WatchRotation["rot_1"]"#),
            (Method::PUT, "/api/tenants", "GET, POST"),
            (Method::GET, "/api/audit/log/tile/0/x001/067.p%2F3", r#"GetTile["0/x001/067.p/3"]"#),
            (Method::GET, "/api/audit/log/tile/", "-"),
            (Method::GET, "/api/audit/log/tile/0//1", "-"),
            (Method::GET, "/api/audit/log/tile", "-"),
            (Method::GET, "/api/tenants/", "-"),
            (Method::GET, "/api/tenants//x", "-"),
            (Method::GET, "/api/tenants/%ff", "-"),
            (Method::GET, "/api", "-"),
            (Method::GET, "/", "-"),
        ] {
            assert_eq!(rpc_of(&table, method.clone(), path), expected, "{method} {path}");
        }
    }

    #[test]
    fn internal_rpcs_have_no_way_in() {
        let table = Table::new(pool()).unwrap();
        let mut internal = 0;
        for service in pool().services().filter(|s| s.full_name().starts_with("keywright.")) {
            for method in service.methods() {
                let path = format!("/{}/{}", service.full_name(), method.name());
                let public = rule_of(&method).unwrap().exposure == Exposure::Public;
                internal += usize::from(!public);
                assert_eq!(table.rpc(&path).is_some(), public, "{path}");
                assert_eq!(table.routes().iter().any(|r| r.rpc.method == method), public, "{path}");
            }
        }
        assert!(internal > 10);
    }
}
