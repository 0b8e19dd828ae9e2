//! The events of one call, in which every one matters: what breaks off is an error, not a reason to ask again.

use std::collections::VecDeque;

use keywright_domain::reason::Reason;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde_json::Value;

use super::sse::{Event, SseParser};
use super::{ApiError, Client, REQUEST_ID, header, with_body};
use crate::error::{CliError, Result};

/// Without a sign of life for so long a stream counts as broken.
const SILENCE: std::time::Duration = std::time::Duration::from_secs(20);

pub struct Events {
    response: Response,
    parser: SseParser,
    arrived: VecDeque<Event>,
    request_id: Option<String>,
}

impl Client {
    pub async fn events(&self, path: &[&str], body: &impl Serialize) -> Result<Events> {
        self.stream(with_body(self.request(Method::POST, path, &[])?, body)?).await
    }

    /// What is at `path`, as it changes: its `snapshot` events.
    pub async fn watch(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Events> {
        self.stream(self.request(Method::GET, path, query)?).await
    }

    async fn stream(&self, request: RequestBuilder) -> Result<Events> {
        let response = self.accepted(request.header(ACCEPT, "text/event-stream")).await?;
        let kind = header(&response, CONTENT_TYPE.as_str()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            return Err(CliError::Protocol(format!("a stream of events was expected, not {kind}")));
        }
        let request_id = header(&response, REQUEST_ID);
        Ok(Events { response, parser: SseParser::default(), arrived: VecDeque::new(), request_id })
    }
}

impl Events {
    /// The next one; an `error` event is the error.
    pub async fn next(&mut self) -> Result<Value> {
        loop {
            if let Some(event) = self.arrived.pop_front() {
                return self.read(&event);
            }
            let broken =
                |cause: &str| CliError::Unreachable { url: "the gateway".into(), cause: cause.into() };
            let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
            let chunk = chunk.ok().and_then(std::result::Result::ok).flatten();
            let chunk = chunk.ok_or_else(|| broken("the stream broke off"))?;
            let events =
                self.parser.push(&chunk).ok_or_else(|| CliError::Protocol("an endless event".into()))?;
            self.arrived.extend(events);
        }
    }

    fn read(&self, event: &Event) -> Result<Value> {
        if event.kind != "error" {
            return serde_json::from_str(&event.data)
                .map_err(|error| CliError::Protocol(format!("not JSON ({error})")));
        }
        let mut error = ApiError::parse(500, self.request_id.clone(), &event.data, true);
        // The stream began with 200; the reason knows what its end would have been called.
        error.http = Reason::parse(&error.reason).map_or(500, Reason::http_status);
        Err(CliError::Api(Box::new(error)))
    }
}
