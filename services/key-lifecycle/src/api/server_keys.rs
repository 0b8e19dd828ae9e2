//! Who can get into a server.

use super::{number, optional};
use crate::app::server_keys::{self, Named};
use crate::model::{KeyClass, KeyFlag, ServerAccount, ServerKey, ServerScan};
use keywright_domain::clock::Instant;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::server_keys_service_server::ServerKeysService;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use tonic::{Request, Response, Status};

#[derive(Clone)]
pub struct ServerKeys {
    pub keys: server_keys::ServerKeys,
}

#[tonic::async_trait]
impl ServerKeysService for ServerKeys {
    async fn get_server_keys(
        &self,
        request: Request<proto::GetServerKeysRequest>,
    ) -> Result<Response<proto::GetServerKeysResponse>, Status> {
        let found = self.keys.read(&caller(&request)?, &request.get_ref().server_id).await?;
        Ok(Response::new(proto::GetServerKeysResponse { keys: Some(scan(&found)) }))
    }

    async fn scan_server_keys(
        &self,
        request: Request<proto::ScanServerKeysRequest>,
    ) -> Result<Response<proto::ScanServerKeysResponse>, Status> {
        let found = self.keys.scan(&caller(&request)?, &request.get_ref().server_id).await?;
        Ok(Response::new(proto::ScanServerKeysResponse { keys: Some(scan(&found)) }))
    }

    async fn adopt_server_key(
        &self,
        request: Request<proto::AdoptServerKeyRequest>,
    ) -> Result<Response<proto::AdoptServerKeyResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let named = Named { server: asked.server_id, account: asked.account, fingerprint: asked.fingerprint };
        let adopted = self.keys.adopt(&caller, named, &asked.owner, &asked.note).await?;
        Ok(Response::new(proto::AdoptServerKeyResponse { key: Some(key(&adopted)) }))
    }

    async fn forget_server_key(
        &self,
        request: Request<proto::ForgetServerKeyRequest>,
    ) -> Result<Response<proto::ForgetServerKeyResponse>, Status> {
        let caller = caller(&request)?;
        let asked = request.into_inner();
        let named = Named { server: asked.server_id, account: asked.account, fingerprint: asked.fingerprint };
        self.keys.forget(&caller, named).await?;
        Ok(Response::new(proto::ForgetServerKeyResponse {}))
    }
}

fn scan(scan: &ServerScan) -> proto::ServerKeys {
    proto::ServerKeys {
        server_id: scan.server.to_string(),
        scanned_at: optional(scan.scanned_at),
        accounts: scan.accounts.iter().map(account).collect(),
        keys: scan.keys.iter().map(key).collect(),
        other_ways: scan.other_ways.clone(),
        settings_read: scan.settings_read,
        drift: number(scan.drift),
        truncated: scan.truncated,
    }
}

fn account(account: &ServerAccount) -> proto::ServerAccount {
    proto::ServerAccount {
        account: account.name.clone(),
        root: account.root,
        keys: number(account.keys),
        unreadable_files: account.unreadable.clone(),
    }
}

fn key(key: &ServerKey) -> proto::ServerKey {
    proto::ServerKey {
        account: key.account.clone(),
        file: key.file.clone(),
        line: number(key.line),
        class: class(key.class).into(),
        flags: key.flags.iter().copied().map(KeyFlag::as_str).map(str::to_owned).collect(),
        algorithm: key.algorithm.clone(),
        bits: number(key.bits),
        fingerprint: key.fingerprint.clone(),
        comment: key.comment.clone(),
        options: key.options.clone(),
        access_id: key.access.clone(),
        version: number(key.version),
        owner: key.answered_by.clone(),
        note: key.note.clone(),
        first_seen_at: Some(timestamp(Instant::from_micros(key.first_seen_micros))),
    }
}

const fn class(class: KeyClass) -> proto::ServerKeyClass {
    match class {
        KeyClass::Managed => proto::ServerKeyClass::Managed,
        KeyClass::Management => proto::ServerKeyClass::Management,
        KeyClass::Foreign => proto::ServerKeyClass::Foreign,
        KeyClass::Tracked => proto::ServerKeyClass::Tracked,
        KeyClass::Orphan => proto::ServerKeyClass::Orphan,
        KeyClass::Missing => proto::ServerKeyClass::Missing,
    }
}
