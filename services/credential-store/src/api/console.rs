//! Console codes and sessions over gRPC.

use crate::api::token::text;
use crate::app::identity::console::Console;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::secret::Secret;
use keywright_proto::identity as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

pub struct Consoles {
    pub console: Console,
}

#[tonic::async_trait]
impl proto::console_service_server::ConsoleService for Consoles {
    async fn create_console_code(
        &self,
        request: Request<proto::CreateConsoleCodeRequest>,
    ) -> Result<Response<proto::CreateConsoleCodeResponse>, Status> {
        let (code, expires) = self.console.create_code(&caller(&request)?).await?;
        Ok(Response::new(proto::CreateConsoleCodeResponse {
            code: text(&code),
            expires_at: Some(timestamp(expires)),
        }))
    }

    async fn open_console_session(
        &self,
        request: Request<proto::OpenConsoleSessionRequest>,
    ) -> Result<Response<proto::OpenConsoleSessionResponse>, Status> {
        let arrival =
            caller(&request).unwrap_or_else(|_| Caller::background(ServiceName::CredentialStore, ""));
        let code = Secret::from_text(request.into_inner().code);
        let opened = self.console.open(&arrival, &code).await?;
        Ok(Response::new(proto::OpenConsoleSessionResponse {
            session: text(&opened.secret),
            csrf_token: opened.csrf,
            expires_at: Some(timestamp(opened.expires_at)),
        }))
    }

    async fn close_console_session(
        &self,
        request: Request<proto::CloseConsoleSessionRequest>,
    ) -> Result<Response<proto::CloseConsoleSessionResponse>, Status> {
        self.console.close(&caller(&request)?).await?;
        Ok(Response::new(proto::CloseConsoleSessionResponse {}))
    }
}
