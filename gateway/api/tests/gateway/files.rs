//! Files with an entity tag: fetched whole once, and answered with 304 as long as they are the same.

use crate::backend::{Answer, admitted};
use crate::port::{assert_common_headers, refusal, start};
use keywright_domain::reason::Reason;
use keywright_proto::google::api::HttpBody;
use keywright_proto::lifecycle::{self as proto, krl_service_server::KrlService};
use keywright_runtime::failure::Failure;
use serde_json::Value as Json;
use tonic::{Request, Response};

/// Knows the group `web`, whose list is named by what it holds.
pub struct Lists;

const TAG: &str = "5eed";

#[tonic::async_trait]
impl KrlService for Lists {
    async fn list_krls(&self, request: Request<proto::ListKrlsRequest>) -> Answer<proto::ListKrlsResponse> {
        admitted(request)?;
        let web = proto::Krl { group: "web".to_owned(), etag: TAG.to_owned(), ..Default::default() };
        Ok(Response::new(proto::ListKrlsResponse { items: vec![web], ..Default::default() }))
    }

    async fn get_krl(&self, request: Request<proto::GetKrlRequest>) -> Answer<proto::GetKrlResponse> {
        let asked = admitted(request)?;
        if asked.group != "web" {
            return Err(Failure::not_found(Reason::GroupNotFound, &asked.group).into());
        }
        let not_modified = asked.if_none_match.split(',').any(|known| known == TAG);
        let content_type = "application/octet-stream".to_owned();
        let file = HttpBody { content_type, data: b"SSHKRL\n\0".to_vec(), extensions: Vec::new() };
        let file = (!not_modified).then_some(file);
        Ok(Response::new(proto::GetKrlResponse { file, etag: TAG.to_owned(), not_modified }))
    }

    async fn get_krl_text(
        &self,
        request: Request<proto::GetKrlTextRequest>,
    ) -> Answer<proto::GetKrlTextResponse> {
        let known = admitted(request)?.if_none_match;
        let content_type = "text/plain; charset=utf-8".to_owned();
        let file = HttpBody { content_type, data: known.into_bytes(), extensions: Vec::new() };
        Ok(Response::new(proto::GetKrlTextResponse { file: Some(file), ..Default::default() }))
    }
}

#[tokio::test]
async fn a_file_has_its_tag_and_may_be_kept_by_its_client_alone() {
    let port = start().await;
    let response = port.get("/api/krl/web").await;
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((response.status().as_u16(), header("etag").as_str()), (200, "\"5eed\""));
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(header("cache-control"), "private, no-cache");
    assert_eq!(header("vary"), "authorization, cookie");
    assert!(response.headers().get("keywright-etag").is_none());
    assert_eq!(response.bytes().await.unwrap().as_ref(), b"SSHKRL\n\0");
}

#[tokio::test]
async fn a_file_that_the_client_has_is_not_sent_again() {
    let port = start().await;
    for (known, expected) in [
        ("\"5eed\"", 304),
        ("W/\"5eed\"", 304),
        ("\"other\", \"5eed\"", 304),
        ("\"other\"", 200),
        ("5ee", 200),
        ("", 200),
    ] {
        let asked = port.ask(reqwest::Method::GET, "/api/krl/web").header("if-none-match", known);
        let response = asked.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{known}");
        assert_eq!(response.headers()["etag"], "\"5eed\"", "{known}");
        if expected == 304 {
            assert_eq!(response.headers()["cache-control"], "private, no-cache");
            assert!(response.headers().get("content-type").is_none());
            assert!(response.bytes().await.unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn errors_and_other_answers_are_never_kept() {
    let port = start().await;
    let response = port.get("/api/krl/unknown").await;
    assert_common_headers(&response);
    let (status, reason, _) = refusal(response).await;
    assert_eq!((status, reason.as_str()), (404, "GROUP_NOT_FOUND"));
    let listed = port.get("/api/krl").await;
    assert_common_headers(&listed);
    let listed: Json = listed.json().await.unwrap();
    assert_eq!((&listed["items"][0]["group"], &listed["items"][0]["etag"]), (&"web".into(), &TAG.into()));
}

#[tokio::test]
async fn the_document_names_the_header_and_the_answer() {
    let port = start().await;
    let document: Json =
        port.http.get(port.url("/api/openapi.json")).send().await.unwrap().json().await.unwrap();
    let operation = &document["paths"]["/api/krl/{group}"]["get"];
    let parameters: Vec<(&Json, &Json)> =
        operation["parameters"].as_array().unwrap().iter().map(|it| (&it["in"], &it["name"])).collect();
    assert_eq!(parameters, [(&"path".into(), &"group".into()), (&"header".into(), &"If-None-Match".into())]);
    assert!(operation["responses"]["304"].is_object());
    assert!(operation["responses"]["200"]["headers"]["etag"].is_object(), "{operation}");
}
