//! Spans, metrics and structured logs. Fields are ids, never content. Spans and metrics leave the process by OTLP where an
//! endpoint is given; without one, spans still give every request its trace id, and measurements go nowhere.

use keywright_domain::caller::ServiceName;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::io::IsTerminal;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Drivers that log the bodies and paths of a secret store's answers themselves, as errors: never, whatever the filter
/// says. Our own adapter says what failed.
const SILENT: &[&str] = &["vaultrs=off", "rustify=off"];

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("the OTLP endpoint cannot be used")]
    Exporter,
    #[error("the log filter cannot be read: {0}")]
    Filter(String),
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Flushes what was not sent yet.
pub struct Telemetry {
    provider: SdkTracerProvider,
    meters: SdkMeterProvider,
}

impl Telemetry {
    /// `filter` in the form of `RUST_LOG`; `endpoint` for example `http://127.0.0.1:4317`.
    pub fn start(filter: &str, format: LogFormat, endpoint: Option<&str>) -> Result<Self, TelemetryError> {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let resource = Resource::builder()
            .with_service_name("keywright")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let mut meters = SdkMeterProvider::builder().with_resource(resource.clone());
        let mut builder = SdkTracerProvider::builder().with_resource(resource);
        if let Some(endpoint) = endpoint {
            let exporter = opentelemetry_otlp::SpanExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .build()
                .map_err(|_| TelemetryError::Exporter)?;
            builder = builder.with_batch_exporter(exporter);
            let exporter = opentelemetry_otlp::MetricExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .build()
                .map_err(|_| TelemetryError::Exporter)?;
            meters = meters.with_periodic_exporter(exporter);
        }
        let (provider, meters) = (builder.build(), meters.build());
        global::set_meter_provider(meters.clone());
        let mut filter =
            EnvFilter::try_new(filter).map_err(|error| TelemetryError::Filter(error.to_string()))?;
        for silent in SILENT {
            let off = silent.parse().map_err(|_| TelemetryError::Filter((*silent).to_owned()))?;
            filter = filter.add_directive(off);
        }
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal());
        let lines = match format {
            LogFormat::Text => lines.with_target(false).boxed(),
            LogFormat::Json => lines.json().boxed(),
        };
        tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("keywright")))
            .init();
        Ok(Self { provider, meters })
    }

    pub fn stop(self) {
        let _sent = self.provider.shutdown();
        let _sent = self.meters.shutdown();
    }
}

/// The span of one request at one service, below the caller's.
pub(crate) fn server_span(own: ServiceName, path: &str, headers: &http::HeaderMap) -> Span {
    let span = tracing::info_span!(
        "rpc",
        service = own.as_str(),
        rpc = path.trim_start_matches('/'),
        otel.kind = "server"
    );
    let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    let _unset = span.set_parent(parent);
    span
}

/// The id of the current trace, 32 hexadecimal digits; empty without one.
pub fn current_trace_id() -> String {
    let context = Span::current().context();
    let id = context.span().span_context().trace_id();
    if id == opentelemetry::trace::TraceId::INVALID { String::new() } else { id.to_string() }
}

pub(crate) fn inject(metadata: &mut tonic::metadata::MetadataMap) {
    let mut headers = http::HeaderMap::new();
    inject_headers(&mut headers);
    for (name, value) in &headers {
        if let (Ok(key), Ok(value)) = (
            tonic::metadata::MetadataKey::from_bytes(name.as_str().as_bytes()),
            tonic::metadata::MetadataValue::try_from(value.as_bytes()),
        ) {
            metadata.insert(key, value);
        }
    }
}

/// Puts the current trace's context into headers.
pub fn inject_headers(headers: &mut http::HeaderMap) {
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeadersMut(headers))
    });
}

struct Headers<'a>(&'a http::HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut http::HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (http::HeaderName::try_from(key), http::HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
