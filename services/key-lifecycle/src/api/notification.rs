//! Who is told of what, and notices of other services.

use super::{number, optional};
use crate::app::notify::accept_notice::{AcceptNotice, Said};
use crate::app::notify::create_target::{Asked, CreateTarget};
use crate::app::notify::delete_target::DeleteTarget;
use crate::app::notify::read_targets::ReadTargets;
use crate::app::notify::rotate_secret::RotateSecret;
use crate::app::notify::test_target::TestTarget;
use crate::model::{Delivery, DeliveryState, NotificationKind, Target};
use keywright_domain::ids::TenantId;
use keywright_domain::secret::Secret;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::notification_intake_service_server::NotificationIntakeService;
use keywright_proto::lifecycle::notification_service_server::NotificationService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Notifications {
    pub create: CreateTarget,
    pub read: ReadTargets,
    pub delete: DeleteTarget,
    pub rotate: RotateSecret,
    pub test: TestTarget,
}

#[derive(Clone)]
pub struct NotificationIntake {
    pub accept: AcceptNotice,
}

#[tonic::async_trait]
impl NotificationService for Notifications {
    async fn create_notification_target(
        &self,
        request: Request<proto::CreateNotificationTargetRequest>,
    ) -> Result<Response<proto::CreateNotificationTargetResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let kind = match asked.kind() {
            proto::NotificationKind::Unspecified => None,
            proto::NotificationKind::Webhook => Some(NotificationKind::Webhook),
            proto::NotificationKind::Email => Some(NotificationKind::Email),
        };
        let asked = Asked { tenant: asked.tenant_id, kind, address: asked.address, events: asked.events };
        let (created, secret) = self.create.run(&caller, asked).await?;
        Ok(Response::new(proto::CreateNotificationTargetResponse {
            target: Some(target(&created)),
            secret: secret.as_ref().and_then(Secret::expose_text).unwrap_or_default().to_owned(),
        }))
    }

    async fn list_notification_targets(
        &self,
        request: Request<proto::ListNotificationTargetsRequest>,
    ) -> Result<Response<proto::ListNotificationTargetsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let (rows, next_page_token) =
            self.read.list(&caller, &asked.tenant_id, asked.page_size, &asked.page_token).await?;
        let items = rows.iter().map(target).collect();
        Ok(Response::new(proto::ListNotificationTargetsResponse { items, next_page_token }))
    }

    async fn delete_notification_target(
        &self,
        request: Request<proto::DeleteNotificationTargetRequest>,
    ) -> Result<Response<proto::DeleteNotificationTargetResponse>, Status> {
        let caller = caller(&request)?;
        self.delete.run(&caller, &request.get_ref().target_id).await?;
        Ok(Response::new(proto::DeleteNotificationTargetResponse {}))
    }

    async fn rotate_notification_secret(
        &self,
        request: Request<proto::RotateNotificationSecretRequest>,
    ) -> Result<Response<proto::RotateNotificationSecretResponse>, Status> {
        let caller = caller(&request)?;
        let (secret, until) = self.rotate.run(&caller, &request.get_ref().target_id).await?;
        Ok(Response::new(proto::RotateNotificationSecretResponse {
            secret: secret.expose_text().unwrap_or_default().to_owned(),
            previous_until: optional(until),
        }))
    }

    async fn test_notification_target(
        &self,
        request: Request<proto::TestNotificationTargetRequest>,
    ) -> Result<Response<proto::TestNotificationTargetResponse>, Status> {
        let caller = caller(&request)?;
        let sent = self.test.run(&caller, &request.get_ref().target_id).await?;
        Ok(Response::new(proto::TestNotificationTargetResponse { delivery: Some(delivery(&sent)) }))
    }

    async fn list_notification_deliveries(
        &self,
        request: Request<proto::ListNotificationDeliveriesRequest>,
    ) -> Result<Response<proto::ListNotificationDeliveriesResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let (rows, next_page_token) =
            self.read.deliveries(&caller, &asked.target_id, asked.page_size, &asked.page_token).await?;
        let items = rows.iter().map(delivery).collect();
        Ok(Response::new(proto::ListNotificationDeliveriesResponse { items, next_page_token }))
    }
}

#[tonic::async_trait]
impl NotificationIntakeService for NotificationIntake {
    async fn notify(
        &self,
        request: Request<proto::NotifyRequest>,
    ) -> Result<Response<proto::NotifyResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let said = Said {
            event: asked.event,
            tenant: asked.tenant_id,
            subject: asked.subject,
            dedup: asked.dedup_id,
            details: asked.details,
        };
        self.accept.run(&caller, said).await?;
        Ok(Response::new(proto::NotifyResponse {}))
    }
}

fn target(target: &Target) -> proto::NotificationTarget {
    proto::NotificationTarget {
        id: target.id.to_string(),
        tenant_id: target.tenant.as_ref().map(TenantId::to_string).unwrap_or_default(),
        kind: match target.kind {
            NotificationKind::Webhook => proto::NotificationKind::Webhook,
            NotificationKind::Email => proto::NotificationKind::Email,
        }
        .into(),
        address: target.address.clone(),
        events: target.events.clone(),
        created_at: Some(timestamp(target.created_at)),
        created_by: target.created_by.clone(),
        last_delivered_at: optional(target.last_delivered_at),
        failing_since: optional(target.failing_since),
        last_error: target.last_error.clone(),
    }
}

fn delivery(delivery: &Delivery) -> proto::NotificationDelivery {
    proto::NotificationDelivery {
        id: delivery.id.to_string(),
        event: delivery.event.clone(),
        state: match delivery.state {
            DeliveryState::Pending => proto::DeliveryState::Pending,
            DeliveryState::Delivered => proto::DeliveryState::Delivered,
            DeliveryState::Failed => proto::DeliveryState::Failed,
        }
        .into(),
        attempts: number(delivery.attempts),
        created_at: Some(timestamp(delivery.created_at)),
        delivered_at: optional(delivery.delivered_at),
        next_attempt_at: optional(delivery.next_at),
        error: delivery.error.clone(),
    }
}
