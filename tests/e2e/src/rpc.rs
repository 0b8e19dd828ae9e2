//! Any RPC by anybody: gRPC with messages that are known by their descriptors only.

use keywright_proto::{Rule, pool, rule_of};
use prost::bytes::Buf;
use prost_reflect::MethodDescriptor;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::LIMIT;

/// One RPC of the contract.
#[derive(Debug, Clone)]
pub struct Rpc {
    pub method: MethodDescriptor,
    pub rule: Rule,
}

impl Rpc {
    /// Every RPC, in the order of the contract's packages.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for service in pool().services().filter(|service| service.full_name().starts_with("keywright.")) {
            for method in service.methods() {
                all.push(Self { rule: rule_of(&method).unwrap(), method });
            }
        }
        all.sort_by_key(|rpc| rpc.method.parent_service().full_name().to_owned());
        all
    }

    /// `TenantService.GetTenant`
    pub fn name(&self) -> String {
        format!("{}.{}", self.method.parent_service().name(), self.method.name())
    }

    fn path(&self) -> PathAndQuery {
        let path = format!("/{}/{}", self.method.parent_service().full_name(), self.method.name());
        path.parse().unwrap()
    }
}

/// A connection to a listener.
#[derive(Debug, Clone)]
pub struct Wire(Channel);

impl Wire {
    pub async fn connect(url: &str) -> Self {
        Self(Endpoint::from_shared(url.to_owned()).unwrap().timeout(LIMIT).connect().await.unwrap())
    }

    /// Sends a message; of a stream only its beginning is waited for.
    pub async fn call(&self, rpc: &Rpc, token: Option<&str>, message: Vec<u8>) -> Result<(), Status> {
        let mut request = Request::new(message);
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        if rpc.method.is_server_streaming() {
            grpc.server_streaming(request, rpc.path(), Bytes).await.map(|_| ())
        } else {
            grpc.unary(request, rpc.path(), Bytes).await.map(|_| ())
        }
    }
}

/// Encoded messages out; what comes in is not looked at.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(buffer, &message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}
