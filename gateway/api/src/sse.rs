//! A server stream as server-sent events: each message is a `snapshot`, the last word of a failure an `error`.

use crate::{
    body::Body,
    errors,
    transcode::{Content, content},
};
use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use prost_reflect::{DynamicMessage, FieldDescriptor};
use std::{convert::Infallible, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// The events of one watch.
pub struct Events {
    pub messages: Streaming<DynamicMessage>,
    /// The field of each message that is the snapshot.
    pub field: Option<FieldDescriptor>,
    /// After so long without an event a comment shows that the connection lives.
    pub keep_alive: Duration,
    /// The gateway stops: the stream ends, and the client asks again elsewhere.
    pub closing: CancellationToken,
}

struct State {
    events: Events,
    id: u64,
    over: bool,
}

impl Events {
    pub fn into_body(self) -> Body {
        let state = State { events: self, id: 0, over: false };
        let frames = stream::unfold(state, |mut state| async move {
            let text = state.next().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), state))
        });
        Body::new(StreamBody::new(frames))
    }
}

impl State {
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        let Events { messages, field, keep_alive, closing } = &mut self.events;
        tokio::select! {
            biased;
            () = closing.cancelled() => None,
            message = messages.message() => match message {
                Ok(Some(message)) => {
                    self.id = self.id.saturating_add(1);
                    Some(snapshot(self.id, field.as_ref(), &message))
                }
                Ok(None) => None,
                Err(status) => {
                    self.over = true;
                    Some(error(status))
                }
            },
            () = tokio::time::sleep(*keep_alive) => Some(": keep-alive\n\n".to_owned()),
        }
    }
}

/// JSON has no line breaks outside its strings and escapes those inside: one `data` line.
fn snapshot(id: u64, field: Option<&FieldDescriptor>, message: &DynamicMessage) -> String {
    match content(field, message) {
        Content::Json(json) => format!("id: {id}\nevent: snapshot\ndata: {json}\n\n"),
        Content::Bytes(_) => error(Status::internal("")),
    }
}

fn error(status: Status) -> String {
    format!("event: error\ndata: {}\n\n", errors::json(&errors::ours(status)))
}
