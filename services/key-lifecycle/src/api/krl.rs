//! Revocation lists.

use super::optional;
use crate::app::read_krl::{Answer, ReadKrl};
use crate::krl::List;
use crate::model::Group;
use keywright_domain::clock::Instant;
use keywright_proto::google::api::HttpBody;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::krl_service_server::KrlService;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct Krls {
    pub read: ReadKrl,
}

#[tonic::async_trait]
impl KrlService for Krls {
    async fn list_krls(
        &self,
        request: Request<proto::ListKrlsRequest>,
    ) -> Result<Response<proto::ListKrlsResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let (groups, next_page_token) = self.read.list(&caller, asked.page_size, &asked.page_token).await?;
        let items = groups.iter().map(krl).collect();
        Ok(Response::new(proto::ListKrlsResponse { items, next_page_token }))
    }

    async fn get_krl(
        &self,
        request: Request<proto::GetKrlRequest>,
    ) -> Result<Response<proto::GetKrlResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let answer = self.read.get(&caller, &asked.group, &asked.if_none_match).await?;
        let file = file(&answer, "application/octet-stream", List::binary);
        let not_modified = answer.list.is_none();
        Ok(Response::new(proto::GetKrlResponse { file, etag: answer.etag, not_modified }))
    }

    async fn get_krl_text(
        &self,
        request: Request<proto::GetKrlTextRequest>,
    ) -> Result<Response<proto::GetKrlTextResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.get_ref();
        let answer = self.read.get(&caller, &asked.group, &asked.if_none_match).await?;
        let file = file(&answer, "text/plain; charset=utf-8", |list| list.text().into_bytes());
        let not_modified = answer.list.is_none();
        Ok(Response::new(proto::GetKrlTextResponse { file, etag: answer.etag, not_modified }))
    }
}

fn file(answer: &Answer, content_type: &str, bytes: impl Fn(&List) -> Vec<u8>) -> Option<HttpBody> {
    let content_type = content_type.to_owned();
    let body = |list| HttpBody { content_type, data: bytes(list), ..Default::default() };
    answer.list.as_ref().map(body)
}

fn krl(group: &Group) -> proto::Krl {
    let count = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
    let changed = Some(group.list.changed_at).filter(|at| *at != Instant::from_micros(0));
    proto::Krl {
        group: group.name.clone(),
        version: group.list.keys.to_string(),
        revoked_keys: count(group.list.keys),
        servers: count(group.servers),
        changed_at: optional(changed),
        etag: group.etag.clone(),
    }
}
