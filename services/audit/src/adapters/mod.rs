//! Other services, and where the log is handed on to: collectors by syslog and OTLP, webhooks, a file. No decisions.

pub mod checkpoint_file;
pub mod destination;
pub mod otlp;
pub mod syslog;
pub mod syslog_message;
pub mod webhook;
pub mod zones;
