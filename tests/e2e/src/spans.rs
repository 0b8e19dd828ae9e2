//! An OTLP collector that keeps every byte it receives.

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use std::sync::{Arc, Mutex};
use tonic::transport::server::TcpIncoming;

/// What was sent so far, as protobuf. It listens to the end of the test process.
#[derive(Clone, Default)]
pub struct Spans(Arc<Mutex<Vec<u8>>>);

impl Spans {
    /// The collector, and the endpoint to name to a server.
    pub async fn start() -> (Self, String) {
        let spans = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = TraceServiceServer::new(spans.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(collector)
                .serve_with_incoming(TcpIncoming::from(listener)),
        );
        (spans, endpoint)
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        self.0.lock().unwrap().extend(request.into_inner().encode_to_vec());
        Ok(tonic::Response::new(ExportTraceServiceResponse { partial_success: None }))
    }
}
