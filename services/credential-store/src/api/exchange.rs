//! The exchange of tokens over gRPC.

use crate::api::token::text;
use crate::app::identity::exchange::{Asked, Exchange};
use keywright_domain::secret::Secret;
use keywright_proto::identity as proto;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Exchanges {
    pub exchange: Exchange,
}

#[tonic::async_trait]
impl proto::exchange_service_server::ExchangeService for Exchanges {
    async fn exchange(
        &self,
        request: Request<proto::ExchangeRequest>,
    ) -> Result<Response<proto::ExchangeResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked = Asked {
            subject: Secret::from_text(request.subject_token),
            audience: request.audience,
            request_id: request.request_id,
            source_ip: request.source_ip,
            user_agent: request.user_agent,
            client_certificate: request.client_certificate,
        };
        let token = self.exchange.run(&caller, asked).await?;
        Ok(Response::new(proto::ExchangeResponse { token: text(&token) }))
    }
}
