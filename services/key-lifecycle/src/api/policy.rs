//! Policies.

use super::optional;
use crate::app::policy::{AskedSettings, AskedWindow, PolicyView, ReadPolicy, Subject, UpdatePolicy};
use crate::model::{DriftAction, OwnSettings, WEEKDAYS, Window};
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::policy_service_server::PolicyService;
use keywright_runtime::caller;
use std::time::Duration;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Policies {
    pub read: ReadPolicy,
    pub update: UpdatePolicy,
}

#[tonic::async_trait]
impl PolicyService for Policies {
    async fn get_platform_policy(
        &self,
        request: Request<proto::GetPlatformPolicyRequest>,
    ) -> Result<Response<proto::GetPlatformPolicyResponse>, Status> {
        let view = self.read.run(&caller(&request)?, &Subject::Platform).await?;
        Ok(Response::new(proto::GetPlatformPolicyResponse { policy: Some(policy(view)) }))
    }

    async fn update_platform_policy(
        &self,
        request: Request<proto::UpdatePlatformPolicyRequest>,
    ) -> Result<Response<proto::UpdatePlatformPolicyResponse>, Status> {
        let caller = caller(&request)?;
        let sent = request.into_inner();
        let view =
            self.update.run(&caller, &Subject::Platform, sent.policy.map(asked), &sent.revision).await?;
        Ok(Response::new(proto::UpdatePlatformPolicyResponse { policy: Some(policy(view)) }))
    }

    async fn get_tenant_policy(
        &self,
        request: Request<proto::GetTenantPolicyRequest>,
    ) -> Result<Response<proto::GetTenantPolicyResponse>, Status> {
        let caller = caller(&request)?;
        let subject = Subject::tenant_of(&request.get_ref().tenant_id)?;
        let view = self.read.run(&caller, &subject).await?;
        Ok(Response::new(proto::GetTenantPolicyResponse { policy: Some(policy(view)) }))
    }

    async fn update_tenant_policy(
        &self,
        request: Request<proto::UpdateTenantPolicyRequest>,
    ) -> Result<Response<proto::UpdateTenantPolicyResponse>, Status> {
        let caller = caller(&request)?;
        let sent = request.into_inner();
        let subject = Subject::tenant_of(&sent.tenant_id)?;
        let view = self.update.run(&caller, &subject, sent.policy.map(asked), &sent.revision).await?;
        Ok(Response::new(proto::UpdateTenantPolicyResponse { policy: Some(policy(view)) }))
    }

    async fn get_access_policy(
        &self,
        request: Request<proto::GetAccessPolicyRequest>,
    ) -> Result<Response<proto::GetAccessPolicyResponse>, Status> {
        let caller = caller(&request)?;
        let sent = request.get_ref();
        let subject = Subject::access_of(&sent.tenant_id, &sent.access_id)?;
        let view = self.read.run(&caller, &subject).await?;
        Ok(Response::new(proto::GetAccessPolicyResponse { policy: Some(policy(view)) }))
    }

    async fn update_access_policy(
        &self,
        request: Request<proto::UpdateAccessPolicyRequest>,
    ) -> Result<Response<proto::UpdateAccessPolicyResponse>, Status> {
        let caller = caller(&request)?;
        let sent = request.into_inner();
        let subject = Subject::access_of(&sent.tenant_id, &sent.access_id)?;
        let view = self.update.run(&caller, &subject, sent.policy.map(asked), &sent.revision).await?;
        Ok(Response::new(proto::UpdateAccessPolicyResponse { policy: Some(policy(view)) }))
    }
}

fn span(sent: prost_types::Duration) -> Result<Duration, ()> {
    Duration::try_from(sent).map_err(|_| ())
}

fn asked(sent: proto::Policy) -> AskedSettings {
    let drift = |word: i32| match proto::DriftAction::try_from(word) {
        Ok(proto::DriftAction::Observe) => Some(DriftAction::Observe),
        Ok(proto::DriftAction::Repair) => Some(DriftAction::Repair),
        Ok(proto::DriftAction::Unspecified) | Err(_) => None,
    };
    AskedSettings {
        key_algorithm: sent.key_algorithm,
        maximum_age: sent.maximum_age.map(span),
        grace_period: sent.grace_period.map(span),
        automatic_rotation: sent.automatic_rotation,
        rotation_window: sent.rotation_window.map(|window| AskedWindow {
            weekdays: window.weekdays,
            start: window.start,
            length: window.length.map(span),
        }),
        line_options: sent.line_options.map(|options| options.options),
        downloads_per_version: sent.downloads_per_version,
        forget_after_download: sent.forget_after_download,
        passphrase_required: sent.passphrase_required,
        client_made_required: sent.client_made_required,
        promote_with_outstanding: sent.promote_with_outstanding,
        drift_action: sent.drift_action.map(drift),
    }
}

fn policy(view: PolicyView) -> proto::EffectivePolicy {
    let origins = view.effective.origins.iter();
    let origins = origins.map(|(name, level)| ((*name).to_owned(), level.as_str().to_owned())).collect();
    proto::EffectivePolicy {
        revision: view.revision(),
        updated_at: optional(view.policy.as_ref().map(|policy| policy.updated_at)),
        updated_by: view.policy.as_ref().map(|policy| policy.updated_by.clone()).unwrap_or_default(),
        own: Some(settings(view.policy.map(|policy| policy.own).unwrap_or_default())),
        effective: Some(settings(OwnSettings::of(view.effective.settings))),
        origins,
    }
}

fn settings(own: OwnSettings) -> proto::Policy {
    let drift = |action| match action {
        DriftAction::Observe => proto::DriftAction::Observe.into(),
        DriftAction::Repair => proto::DriftAction::Repair.into(),
    };
    proto::Policy {
        key_algorithm: own.key_algorithm.map(|algorithm| algorithm.as_str().to_owned()),
        maximum_age: own.maximum_age.map(duration),
        grace_period: own.grace_period.map(duration),
        automatic_rotation: own.automatic_rotation,
        rotation_window: own.rotation_window.map(|window| window.map(opening).unwrap_or_default()),
        line_options: own.line_options.map(|options| proto::LineOptions {
            options: options.iter().map(|option| option.as_str().to_owned()).collect(),
        }),
        downloads_per_version: own
            .downloads_per_version
            .map(|count| i32::try_from(count).unwrap_or(i32::MAX)),
        forget_after_download: own.forget_after_download,
        passphrase_required: own.passphrase_required,
        client_made_required: own.client_made_required,
        promote_with_outstanding: own.promote_with_outstanding,
        drift_action: own.drift_action.map(drift),
    }
}

fn opening(window: Window) -> proto::RotationWindow {
    let name = |day: &u8| WEEKDAYS.get(usize::from(*day)).map(|name| (*name).to_owned());
    proto::RotationWindow {
        weekdays: window.weekdays.iter().filter_map(name).collect(),
        start: format!("{:02}:{:02}", window.start_minute / 60, window.start_minute % 60),
        length: Some(duration(window.length)),
    }
}

fn duration(span: Duration) -> prost_types::Duration {
    prost_types::Duration { seconds: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), nanos: 0 }
}
