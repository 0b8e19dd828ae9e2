//! Watches as server-sent events, and the download.

use crate::port::{Port, assert_common_headers, refusal, start};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value as Json, json};

#[tokio::test]
async fn a_watch_is_a_stream_of_snapshots() {
    let port = start().await;
    let response = port.get("/api/rotations/rot_done/watch").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_common_headers(&response);
    let text = response.text().await.unwrap();
    let events: Vec<&str> = text.split_terminator("\n\n").filter(|event| !event.starts_with(':')).collect();
    assert_eq!(events.len(), 2, "{text}");
    for (event, (id, state)) in events.iter().zip([("1", "running"), ("2", "succeeded")]) {
        let (head, data) = event.split_once("\ndata: ").unwrap();
        assert_eq!(head, format!("id: {id}\nevent: snapshot"));
        let data: Json = serde_json::from_str(data).unwrap();
        assert_eq!(
            (&data["id"], &data["state"], &data["oldVersion"]),
            (&json!("rot_done"), &json!(state), &json!(0))
        );
    }
}

#[tokio::test]
async fn a_watch_that_breaks_says_why_and_one_that_cannot_begin_is_an_ordinary_refusal() {
    let port = start().await;
    let text = port.get("/api/rotations/rot_breaks/watch").await.text().await.unwrap();
    let (_, error) = text.split_once("event: error\ndata: ").unwrap();
    let error: Json = serde_json::from_str(error.trim()).unwrap();
    assert_eq!(error["details"][0]["reason"], "STORAGE_UNAVAILABLE");
    let (status, reason, _) = refusal(port.get("/api/rotations/rot_x/watch").await).await;
    assert_eq!((status, reason.as_str()), (404, "ROTATION_NOT_FOUND"));
}

#[tokio::test]
async fn a_quiet_watch_shows_that_it_lives_and_ends_when_the_gateway_stops() {
    let port = start().await;
    let mut chunks = port.get("/api/rotations/rot_quiet/watch").await.bytes_stream();
    let mut seen = String::new();
    while !seen.contains(": keep-alive\n\n") {
        seen.push_str(std::str::from_utf8(&chunks.next().await.unwrap().unwrap()).unwrap());
    }
    assert!(seen.starts_with("id: 1\nevent: snapshot\n"));
    let rest = tokio::spawn(async move { chunks.try_collect::<Vec<_>>().await });
    port.stop().await;
    assert!(rest.await.unwrap().is_ok(), "the stream ends cleanly");
}

async fn download(port: &Port, body: Json) -> reqwest::Response {
    port.post("/api/tenants/ten_1/ssh-access/acc_1/download", body).await
}

#[tokio::test]
async fn a_download_is_an_attachment_that_nobody_keeps() {
    let port = start().await;
    let response = download(&port, json!({"confirmation": {"accessId": "acc_1"}})).await;
    assert_common_headers(&response);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-disposition"), "attachment; filename=\"tenant-ssh-key.pem\"");
    assert_eq!(header("content-type"), "application/x-pem-file");
    assert_eq!(header("keywright-claim-id"), "clm_1");
    assert_eq!(response.text().await.unwrap(), "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let ppk = download(&port, json!({"format": "ppk"})).await;
    assert_eq!(ppk.headers()["content-disposition"], "attachment; filename=\"tenant-ssh-key.ppk\"");
}
