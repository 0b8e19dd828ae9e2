//! Requests that no client of ours would send.

use keywright_kit::Keywright;
use reqwest::Client;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::LIMIT;

/// Posts these bytes as JSON with this token; the status and the body, null if it is not JSON.
pub async fn post_bytes(keywright: &Keywright, token: &str, path: &str, body: Vec<u8>) -> (u16, Value) {
    let client = Client::builder().no_proxy().build().unwrap();
    let request = client
        .post(format!("{}{path}", keywright.url()))
        .bearer_auth(token)
        .header("content-type", "application/json")
        .body(body);
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, serde_json::from_slice(&response.bytes().await.unwrap()).unwrap_or(Value::Null))
}

/// Announces a body of this length and sends none of it; what is answered to that.
pub async fn announce(keywright: &Keywright, token: &str, path: &str, length: usize) -> String {
    let address = keywright.url().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read =
        tokio::time::timeout(LIMIT, stream.read(&mut answer)).await.expect("it waits for the body").unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

/// The reason of an error's JSON.
pub fn reason(error: &Value) -> String {
    let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    details.iter().find_map(|detail| detail["reason"].as_str()).unwrap_or_default().to_owned()
}

/// The fields that an error names.
pub fn violated_fields(error: &Value) -> Vec<String> {
    let details = error["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    let violations = details.iter().filter_map(|detail| detail["fieldViolations"].as_array()).flatten();
    violations.filter_map(|violation| violation["field"].as_str()).map(str::to_owned).collect()
}
