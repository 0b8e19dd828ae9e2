//! Bodies: one type for all, read with a limit.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};

/// The body of every request and answer here.
pub type Body = tonic::body::Body;

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    TooLarge,
    /// The client went away or broke the protocol.
    Broken,
}

/// The whole body, if it is at most `limit` bytes, whatever its length header says.
///
/// Of a larger one a little more is read and dropped: a client that is still sending sees the answer instead of a
/// reset connection.
pub async fn read(mut body: Body, limit: usize) -> Result<Bytes, Unread> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    let mut too_large = announced > limit;
    let mut read = 0usize;
    // In one piece: what is wiped later was not copied on the way.
    let mut kept = BytesMut::with_capacity(if too_large { 0 } else { announced });
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| if too_large { Unread::TooLarge } else { Unread::Broken })?;
        let Ok(data) = frame.into_data() else { continue };
        read = read.saturating_add(data.len());
        too_large = too_large || read > limit;
        if too_large {
            kept = BytesMut::new();
            if read > limit.saturating_mul(8) {
                break;
            }
        } else {
            kept.extend_from_slice(&data);
        }
    }
    if too_large { Err(Unread::TooLarge) } else { Ok(kept.freeze()) }
}

/// A body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Body::new(Full::new(bytes.into()))
}

/// A JSON answer.
pub fn json(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(full(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;
    use std::convert::Infallible;

    /// Without a length header, as a chunked request comes.
    fn chunked(chunks: usize, size: usize) -> Body {
        let frames =
            (0..chunks).map(move |_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; size]))));
        Body::new(StreamBody::new(stream::iter(frames)))
    }

    #[tokio::test]
    async fn the_limit_holds_with_and_without_a_length() {
        assert_eq!(read(full(vec![0u8; 100]), 100).await.unwrap().len(), 100);
        assert_eq!(read(full(vec![0u8; 101]), 100).await, Err(Unread::TooLarge));
        assert_eq!(read(chunked(10, 10), 100).await.unwrap().len(), 100);
        assert_eq!(read(chunked(11, 10), 100).await, Err(Unread::TooLarge));
        assert_eq!(read(chunked(100_000, 10), 100).await, Err(Unread::TooLarge));
        assert!(read(Body::empty(), 0).await.unwrap().is_empty());
    }
}
