//! One call to a service, with messages that are known only by their descriptors.

use crate::{errors, ports::Peer, routes::Rpc, transcode::wipe};
use http::HeaderMap;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use std::{fmt::Display, time::Duration};
use tokio::time::{Instant, timeout_at};
use tonic::{
    Code, Extensions, Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};

/// How to call: over which peer, with which headers, how long, and how much may come back.
pub struct Call<'a> {
    pub peer: Peer,
    pub rpc: &'a Rpc,
    pub headers: HeaderMap,
    pub until: Instant,
    pub max_answer: usize,
}

impl Call<'_> {
    /// One message in, one out.
    pub async fn unary(self, message: DynamicMessage) -> Result<DynamicMessage, Status> {
        let (codec, path, until) = (self.codec(), self.rpc.path.clone(), self.until);
        let mut request = request(self.headers, message);
        request.set_timeout(left(until));
        let mut grpc = Grpc::new(self.peer).max_decoding_message_size(self.max_answer);
        let call = async move {
            grpc.ready().await.map_err(unready)?;
            Ok(grpc.unary(request, path, codec).await?.into_inner())
        };
        timeout_at(until, call).await.unwrap_or_else(|_| Err(errors::too_late().to_status()))
    }

    /// One message in, a stream out. The deadline is for its beginning: a watch goes on as long as there is news.
    pub async fn stream(self, message: DynamicMessage) -> Result<Streaming<DynamicMessage>, Status> {
        let (codec, path, until) = (self.codec(), self.rpc.path.clone(), self.until);
        let request = request(self.headers, message);
        let mut grpc = Grpc::new(self.peer).max_decoding_message_size(self.max_answer);
        let call = async move {
            grpc.ready().await.map_err(unready)?;
            Ok(grpc.server_streaming(request, path, codec).await?.into_inner())
        };
        timeout_at(until, call).await.unwrap_or_else(|_| Err(errors::too_late().to_status()))
    }

    fn codec(&self) -> Dynamic {
        Dynamic { output: self.rpc.method.output() }
    }
}

fn request(headers: HeaderMap, message: DynamicMessage) -> Request<DynamicMessage> {
    Request::from_parts(MetadataMap::from_headers(headers), Extensions::default(), message)
}

fn unready(_: impl Display) -> Status {
    Status::new(Code::Unavailable, "")
}

/// What is left until `until`.
pub fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}

/// Encodes any message, decodes messages of one type.
struct Dynamic {
    output: MessageDescriptor,
}

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Write;
    type Decoder = Read;

    fn encoder(&mut self) -> Write {
        Write
    }

    fn decoder(&mut self) -> Read {
        Read { output: self.output.clone() }
    }
}

struct Write;

impl Encoder for Write {
    type Item = DynamicMessage;
    type Error = Status;

    fn encode(&mut self, message: DynamicMessage, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let encoded = message.encode(buffer);
        wipe(message);
        encoded.map_err(|_| Status::new(Code::Internal, ""))
    }
}

struct Read {
    output: MessageDescriptor,
}

impl Decoder for Read {
    type Item = DynamicMessage;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        DynamicMessage::decode(self.output.clone(), buffer)
            .map(Some)
            .map_err(|_| Status::new(Code::Internal, ""))
    }
}
