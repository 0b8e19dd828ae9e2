//! `grpc.health.v1.Health` over the same report, and the services that the gateway answers itself.

use super::{Ready, reflection};
use crate::body::Body;
use futures_util::{Stream, stream};
use http::{Request, Response};
use keywright_proto::pool;
use std::{convert::Infallible, pin::Pin, time::Duration};
use tokio_util::sync::CancellationToken;
use tonic::{Status, service::Routes};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use tower::ServiceExt;

const WATCH_EVERY: Duration = Duration::from_secs(5);
/// A question about health or reflection is a name.
const MAX_QUESTION: usize = 4 * 1024;

/// Health and reflection: what no service behind the gateway answers.
#[derive(Clone)]
pub struct Builtin(Routes);

impl Builtin {
    pub fn new(ready: Ready, closing: CancellationToken) -> Result<Self, tonic_reflection::server::Error> {
        let health = HealthServer::new(Report { ready, closing }).max_decoding_message_size(MAX_QUESTION);
        let routes = Routes::new(health)
            .add_service(reflection::reflect_v1()?.max_decoding_message_size(MAX_QUESTION))
            .add_service(reflection::reflect_v1alpha()?.max_decoding_message_size(MAX_QUESTION));
        Ok(Self(routes.prepare()))
    }

    pub fn takes(&self, path: &str) -> bool {
        path.starts_with("/grpc.health.v1.Health/") || path.starts_with("/grpc.reflection.v1")
    }

    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let answered: Result<_, Infallible> = self.0.clone().oneshot(request).await;
        match answered {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }
}

struct Report {
    ready: Ready,
    closing: CancellationToken,
}

/// The status of a gRPC service by its full name, of all of Keywright for the empty name. None if there is no such.
async fn status_of(ready: &Ready, service: &str) -> Option<ServingStatus> {
    let owner = match service {
        "" => None,
        name => Some(crate::ports::service_of(pool().get_service_by_name(name)?.package_name())?),
    };
    let report = ready.report().await;
    let concerned = |name: &str| owner.is_none_or(|owner| owner.as_str() == name || name == "gateway");
    let serving = report.iter().filter(|(name, _)| concerned(name)).all(|(_, state)| state.is_ok());
    Some(if serving { ServingStatus::Serving } else { ServingStatus::NotServing })
}

#[tonic::async_trait]
impl Health for Report {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        let status = status_of(&self.ready, &request.get_ref().service).await;
        let status = status.ok_or_else(|| Status::not_found("unknown service"))?;
        Ok(tonic::Response::new(HealthCheckResponse { status: status.into() }))
    }

    async fn watch(
        &self,
        request: tonic::Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let (ready, closing) = (self.ready.clone(), self.closing.clone());
        let changes =
            stream::unfold((ready, closing, service, None), |(ready, closing, service, said)| async move {
                loop {
                    let now = status_of(&ready, &service).await.unwrap_or(ServingStatus::ServiceUnknown);
                    if said != Some(now) {
                        let response = HealthCheckResponse { status: now.into() };
                        return Some((Ok(response), (ready, closing, service, Some(now))));
                    }
                    tokio::select! {
                        () = closing.cancelled() => return None,
                        () = tokio::time::sleep(WATCH_EVERY) => {}
                    }
                }
            });
        Ok(tonic::Response::new(Box::pin(changes)))
    }
}
