//! OTLP logs over gRPC.

use super::destination::Why;
use crate::store::record::Record;
use data_encoding::HEXLOWER;
use hyper_util::rt::TokioIo;
use keywright_domain::clock::Instant;
use keywright_egress::{Lines, Target};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_client::LogsServiceClient;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tonic::transport::{Channel, Endpoint, Uri};

pub struct Otlp {
    lines: Lines,
    encrypted: bool,
    target: Target,
}

impl Otlp {
    pub fn new(lines: Lines, encrypted: bool, target: Target) -> Self {
        Self { lines, encrypted, target }
    }

    pub async fn send(&self, records: &[Record], now: Instant) -> Result<(), Why> {
        let log_records = records.iter().map(|record| log_record(record, now)).collect();
        let scope = InstrumentationScope { name: "keywright.audit".to_owned(), ..Default::default() };
        let version = env!("CARGO_PKG_VERSION");
        let resource = Resource {
            attributes: vec![text("service.name", "keywright"), text("service.version", version)],
            ..Default::default()
        };
        let resource_logs = vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs { scope: Some(scope), log_records, ..Default::default() }],
            ..Default::default()
        }];
        let mut client = LogsServiceClient::new(self.connect().await?);
        let answer = client.export(ExportLogsServiceRequest { resource_logs }).await;
        let answer = answer.map_err(|status| format!("the collector answered {:?}", status.code()))?;
        // What a collector rejects it rejects for good: the protocol forbids to send it again.
        let rejected = answer.into_inner().partial_success.map_or(0, |partial| partial.rejected_log_records);
        if rejected > 0 {
            tracing::warn!(rejected, "the collector rejected records of the audit log");
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Channel, Why> {
        let scheme = if self.encrypted { "https" } else { "http" };
        let host = &self.target.host;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let origin = |scheme| format!("{scheme}://{host}:{}", self.target.port).parse::<Uri>();
        let unusable = |_| "its name is no host name";
        // The connection brings its own TLS, so tonic is told of none.
        let endpoint =
            Endpoint::from(origin("http").map_err(unusable)?).origin(origin(scheme).map_err(unusable)?);
        let line = match self.encrypted {
            true => self.lines.encrypted(&self.target, &[b"h2"]).await?,
            false => self.lines.plain(&self.target).await?,
        };
        let mut line = Some(TokioIo::new(line));
        let connector = tower::service_fn(move |_: Uri| {
            let line = line.take().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected));
            std::future::ready(line)
        });
        endpoint.connect_with_connector(connector).await.map_err(|_| "no connection of HTTP/2".into())
    }
}

fn log_record(record: &Record, now: Instant) -> LogRecord {
    let severity = match record.outcome.as_str() {
        "SUCCEEDED" => SeverityNumber::Info,
        // Between informational and warning, as the notice of syslog.
        "PENDING" => SeverityNumber::Info2,
        _ => SeverityNumber::Warn,
    };
    let values = [
        ("sequence", &record.sequence),
        ("eventId", &record.event_id),
        ("kind", &record.kind),
        ("action", &record.action),
        ("actor", &record.actor),
        ("actorKind", &record.actor_kind),
        ("tenantId", &record.tenant_id),
        ("target", &record.target),
        ("outcome", &record.outcome),
        ("reason", &record.reason),
        ("sourceIp", &record.source_ip),
        ("userAgent", &record.user_agent),
        ("comment", &record.comment),
        ("requestId", &record.request_id),
        ("leafHash", &record.leaf_hash),
    ];
    let values = values.into_iter().filter(|(_, value)| !value.is_empty());
    let mut attributes: Vec<KeyValue> = values.map(|(name, value)| text(name, value)).collect();
    if !record.details.is_empty() {
        let values = record.details.iter().map(|(name, value)| text(name, value)).collect();
        attributes.push(attribute("details", Value::KvlistValue(KeyValueList { values })));
    }
    LogRecord {
        time_unix_nano: nanos(record.at),
        observed_time_unix_nano: nanos(now),
        severity_number: severity.into(),
        severity_text: record.outcome.clone(),
        body: Some(AnyValue { value: Some(Value::StringValue(record.action.clone())) }),
        attributes,
        trace_id: HEXLOWER.decode(record.trace_id.as_bytes()).unwrap_or_default(),
        event_name: record.action.clone(),
        ..Default::default()
    }
}

fn nanos(at: Instant) -> u64 {
    u64::try_from(at.micros()).unwrap_or_default().saturating_mul(1_000)
}

fn text(name: &str, value: &str) -> KeyValue {
    attribute(name, Value::StringValue(value.to_owned()))
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: name.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
