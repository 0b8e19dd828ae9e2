//! An OTLP collector that keeps the last value of each metric.

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{Metric, number_data_point};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tonic::transport::server::TcpIncoming;

/// What was measured last: a gauge by its name and attribute, a histogram by its name and `_count`. It listens to the
/// end of the test process.
#[derive(Clone, Default)]
pub struct Measured(Arc<Mutex<BTreeMap<String, u64>>>);

impl Measured {
    /// The collector, and the endpoint to name to a server.
    pub async fn start() -> (Self, String) {
        let measured = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = MetricsServiceServer::new(measured.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(collector)
                .serve_with_incoming(TcpIncoming::from(listener)),
        );
        (measured, endpoint)
    }

    pub fn last(&self, name: &str) -> Option<u64> {
        self.0.lock().unwrap().get(name).copied()
    }

    fn keep(&self, metric: Metric) {
        let mut all = self.0.lock().unwrap();
        match metric.data {
            Some(Data::Gauge(gauge)) => {
                for point in gauge.data_points {
                    let value = match point.value {
                        Some(number_data_point::Value::AsInt(value)) => u64::try_from(value).unwrap(),
                        other => panic!("{}: {other:?}", metric.name),
                    };
                    let attributes =
                        point.attributes.iter().map(|it| format!("{:?}", it.value)).collect::<String>();
                    let word = attributes.split('"').nth(1).map(|word| format!(".{word}"));
                    all.insert(format!("{}{}", metric.name, word.unwrap_or_default()), value);
                }
            }
            Some(Data::Histogram(histogram)) => {
                let count = histogram.data_points.iter().map(|point| point.count).sum();
                all.insert(format!("{}_count", metric.name), count);
            }
            _ => {}
        }
    }
}

#[tonic::async_trait]
impl MetricsService for Measured {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            self.keep(metric);
        }
        Ok(tonic::Response::new(ExportMetricsServiceResponse { partial_success: None }))
    }
}
