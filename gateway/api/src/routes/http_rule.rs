//! Reads the `google.api.http` option of an RPC.

use super::{BodyRule, RouteError, Template};
use http::Method;
use prost_reflect::{DynamicMessage, FieldDescriptor, MessageDescriptor, MethodDescriptor};

/// One way to call an RPC by HTTP.
pub struct Binding {
    pub method: Method,
    pub template: Template,
    pub body: BodyRule,
    pub response_body: Option<FieldDescriptor>,
}

/// The bindings of an RPC: the option itself, then its `additional_bindings`. None without the option.
pub fn bindings(method: &MethodDescriptor) -> Result<Vec<Binding>, RouteError> {
    let Some(extension) = method.parent_pool().get_extension_by_name("google.api.http") else {
        return Ok(Vec::new());
    };
    let options = method.options();
    if !options.has_extension(&extension) {
        return Ok(Vec::new());
    }
    let value = options.get_extension(&extension);
    let Some(rule) = value.as_message() else { return Ok(Vec::new()) };
    let mut bindings = vec![binding(method, rule)?];
    if let Some(more) = rule.get_field_by_name("additional_bindings") {
        for rule in more.as_list().unwrap_or_default().iter().filter_map(|value| value.as_message()) {
            bindings.push(binding(method, rule)?);
        }
    }
    Ok(bindings)
}

fn binding(rpc: &MethodDescriptor, rule: &DynamicMessage) -> Result<Binding, RouteError> {
    let fault = |what: String| RouteError::Option { rpc: rpc.full_name().to_owned(), what };
    let verbs = [
        ("get", Method::GET),
        ("put", Method::PUT),
        ("post", Method::POST),
        ("delete", Method::DELETE),
        ("patch", Method::PATCH),
    ];
    let (method, path) = verbs
        .into_iter()
        .find_map(|(name, method)| Some((method, text(rule, name)?)))
        .ok_or_else(|| fault("no method and path".to_owned()))?;
    let template = Template::parse(&path, &rpc.input()).map_err(&fault)?;
    let body = match text(rule, "body").as_deref() {
        None => BodyRule::None,
        Some("*") => BodyRule::Whole,
        Some(name) => BodyRule::Field(field(&rpc.input(), name).map_err(&fault)?),
    };
    let response_body =
        text(rule, "response_body").map(|name| field(&rpc.output(), &name)).transpose().map_err(&fault)?;
    Ok(Binding { method, template, body, response_body })
}

fn field(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    message.get_field_by_name(name).ok_or_else(|| format!("{} has no field {name}", message.name()))
}

/// A string field that is set and not empty.
fn text(rule: &DynamicMessage, name: &str) -> Option<String> {
    let text = rule.get_field_by_name(name)?.as_str()?.to_owned();
    if text.is_empty() { None } else { Some(text) }
}
