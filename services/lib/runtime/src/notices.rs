//! What a tenant's people, or the platform's, are to be told, for key-lifecycle, which tells them.

use crate::clients::Outbound;
use crate::failure::Failure;
use keywright_domain::caller::ServiceName;
use keywright_domain::ids::TenantId;
use keywright_proto::lifecycle::NotifyRequest;
use keywright_proto::lifecycle::notification_intake_service_client::NotificationIntakeServiceClient;
use std::collections::BTreeMap;

#[derive(Clone)]
pub struct Notices {
    outbound: Outbound,
}

/// What happened.
#[derive(Debug)]
pub struct News<'a> {
    pub event: &'static str,
    /// None: the platform's people.
    pub tenant: Option<&'a TenantId>,
    /// The id it is about.
    pub subject: &'a str,
    /// What has the same is told once.
    pub dedup: &'a str,
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
            tenant_id: news.tenant.map(ToString::to_string).unwrap_or_default(),
            subject: news.subject.to_owned(),
            dedup_id: news.dedup.to_owned(),
            details: news.details,
        };
        let request = self.outbound.own_request(ServiceName::KeyLifecycle, None, message)?;
        let mut client = NotificationIntakeServiceClient::new(self.outbound.peer(ServiceName::KeyLifecycle));
        client.notify(request).await?;
        Ok(())
    }
}
