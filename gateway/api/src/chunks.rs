//! A server stream of `google.api.HttpBody` as one file: its chunks in a row, under the type of the first.
//!
//! A failure before the first chunk is an error answer; one after it breaks the connection off, so that no client takes
//! part of a file for the whole.

use crate::{
    body::Body,
    transcode::{Attachment, Content, content},
};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use http_body::Frame;
use http_body_util::StreamBody;
use prost_reflect::{DynamicMessage, FieldDescriptor};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

/// The file was not sent to its end.
#[derive(Debug, thiserror::Error)]
#[error("the file broke off")]
struct BrokeOff;

struct Chunks {
    messages: Streaming<DynamicMessage>,
    field: Option<FieldDescriptor>,
    closing: CancellationToken,
    next: Option<Result<Bytes, BrokeOff>>,
}

/// Waits for the first chunk.
pub async fn response(
    mut messages: Streaming<DynamicMessage>,
    field: Option<FieldDescriptor>,
    closing: CancellationToken,
) -> Result<Response<Body>, Status> {
    let first = messages.message().await?;
    let first = first.and_then(|message| chunk(field.as_ref(), &message));
    let Some(Attachment { content_type, data, .. }) = first else {
        return Err(Status::internal(""));
    };
    let chunks = Chunks { messages, field, closing, next: Some(Ok(data)) };
    let frames = stream::unfold(chunks, |mut chunks| async move {
        let next = chunks.next.take()?;
        if next.is_ok() {
            chunks.next = chunks.read().await;
        }
        Some((next.map(Frame::data), chunks))
    });
    let mut response = Response::new(Body::new(StreamBody::new(frames)));
    let content_type = HeaderValue::from_str(&content_type)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

impl Chunks {
    async fn read(&mut self) -> Option<Result<Bytes, BrokeOff>> {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Some(Err(BrokeOff)),
            message = self.messages.message() => match message {
                Ok(Some(message)) => {
                    Some(chunk(self.field.as_ref(), &message).map(|it| it.data).ok_or(BrokeOff))
                }
                Ok(None) => None,
                Err(_) => Some(Err(BrokeOff)),
            },
        }
    }
}

fn chunk(field: Option<&FieldDescriptor>, message: &DynamicMessage) -> Option<Attachment> {
    match content(field, message) {
        Content::Bytes(attachment) => Some(attachment),
        Content::Json(_) => None,
    }
}
