//! A stream that ends with the token that opened it.

use crate::denylist::Denylist;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use keywright_domain::caller::Caller;
use tonic::body::Body;

/// The body until the caller's token ends, or until nobody knows whether it did; then the reason, as its last word.
pub(crate) fn with_token(body: Body, caller: Caller, denylist: Denylist) -> Body {
    let frames = stream::unfold(Some((body, caller, denylist)), |state| async move {
        let (mut body, caller, denylist) = state?;
        tokio::select! {
            biased;
            failure = denylist.over(&caller) => {
                tracing::info!(reason = failure.reason.as_str(), "a stream was ended");
                let mut trailers = http::HeaderMap::new();
                failure.to_status().add_header(&mut trailers).ok()?;
                Some((Ok(Frame::trailers(trailers)), None))
            }
            frame = body.frame() => Some((frame?, Some((body, caller, denylist)))),
        }
    });
    Body::new(StreamBody::new(frames))
}
