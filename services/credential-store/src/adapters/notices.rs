//! key-lifecycle: what a tenant's people are to be told.

use keywright_domain::caller::ServiceName;
use keywright_domain::ids::TenantId;
use keywright_proto::lifecycle::NotifyRequest;
use keywright_proto::lifecycle::notification_intake_service_client::NotificationIntakeServiceClient;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use std::collections::BTreeMap;

#[derive(Clone)]
pub struct Notices {
    outbound: Outbound,
}

/// What happened.
#[derive(Debug)]
pub struct News<'a> {
    pub event: &'static str,
    pub tenant: &'a TenantId,
    /// The id it is about; told once.
    pub subject: &'a str,
    pub details: BTreeMap<String, String>,
}

impl Notices {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    /// Durable when it returns. POLICY_FORBIDS where nobody would hear of what somebody has to hear of.
    pub async fn tell(&self, news: News<'_>) -> Result<(), Failure> {
        let message = NotifyRequest {
            event: news.event.to_owned(),
            tenant_id: news.tenant.to_string(),
            subject: news.subject.to_owned(),
            dedup_id: news.subject.to_owned(),
            details: news.details,
        };
        let request = self.outbound.own_request(ServiceName::KeyLifecycle, None, message)?;
        let mut client = NotificationIntakeServiceClient::new(self.outbound.peer(ServiceName::KeyLifecycle));
        client.notify(request).await?;
        Ok(())
    }
}
