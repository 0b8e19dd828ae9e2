//! Following a rotation, revocation or campaign to its end: by server-sent events, and by asking again where these do not come
//! through or break off. A gateway that restarts meanwhile is waited for.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::sse::SseParser;
use super::{Client, header};
use crate::error::{CliError, Result};

/// Without a sign of life for so long a stream counts as broken.
const SILENCE: Duration = Duration::from_secs(20);
const POLL_FIRST: Duration = Duration::from_millis(200);
const POLL_LAST: Duration = Duration::from_secs(2);
/// So long a gateway may be away before we give up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How the following ended.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Followed {
    /// `done` held.
    Done,
    /// The time was up first.
    TimedOut,
}

/// Calls `seen` with each snapshot of what is at `path` until it answers true or the time is up.
pub async fn follow<const N: usize>(
    client: &Client,
    path: [&str; N],
    deadline: Instant,
    mut seen: impl FnMut(&Value) -> bool,
) -> Result<Followed> {
    let work = async {
        if stream(client, &path, &mut seen).await? {
            return Ok(());
        }
        poll(client, &path, &mut seen).await
    };
    match timeout_at(deadline, work).await {
        Ok(result) => result.map(|()| Followed::Done),
        Err(_) => Ok(Followed::TimedOut),
    }
}

/// True if the end was seen; false if asking must take over.
async fn stream(client: &Client, path: &[&str], seen: &mut impl FnMut(&Value) -> bool) -> Result<bool> {
    let request =
        client.request(Method::GET, &[path, &["watch"]].concat(), &[])?.header(ACCEPT, "text/event-stream");
    let mut response = match client.accepted(request).await {
        Ok(response) => response,
        Err(error) if falls_back(&error) => return Ok(false),
        Err(error) => return Err(error),
    };
    let kind = header(&response, CONTENT_TYPE.as_str()).unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return Ok(false);
    }
    let mut parser = SseParser::default();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(SILENCE, response.chunk()).await {
        let Some(events) = parser.push(&chunk) else { return Ok(false) };
        for event in events {
            // An error event is not the end: what is true, the next question shows.
            if !matches!(event.kind.as_str(), "" | "message" | "snapshot") {
                return Ok(false);
            }
            let Ok(snapshot) = serde_json::from_str::<Value>(&event.data) else { return Ok(false) };
            if seen(&snapshot) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether the stream alone is missing: too old a gateway, one that is away, or a proxy in between.
fn falls_back(error: &CliError) -> bool {
    match error {
        CliError::Api(api) => api.reason == "ROUTE_NOT_FOUND" || !matches!(api.http, 400 | 401 | 403 | 404),
        error => error.is_transient(),
    }
}

async fn poll(client: &Client, path: &[&str], seen: &mut impl FnMut(&Value) -> bool) -> Result<()> {
    let mut pause = POLL_FIRST;
    let mut last_answer = Instant::now();
    loop {
        match client.get(path).await {
            Ok(answer) => {
                last_answer = Instant::now();
                if seen(&answer.value) {
                    return Ok(());
                }
            }
            Err(error) if error.is_transient() && last_answer.elapsed() < PATIENCE => {}
            Err(error) => return Err(error),
        }
        sleep(pause).await;
        pause = (pause * 2).min(POLL_LAST);
    }
}
