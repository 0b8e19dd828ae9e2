//! The log as a tree, and its segments.

use crate::app::prove::{Prove, Which};
use crate::app::read_tree::ReadTree;
use crate::app::segments::{Retention, Segments};
use crate::store::segment::{LEAVES, Segment};
use keywright_log::Hash;
use keywright_proto::audit as proto;
use keywright_proto::google::api::HttpBody;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::failure::Failure;
use tonic::{Request, Response, Status};

pub struct Log {
    pub read: ReadTree,
    pub prove: Prove,
    pub segments: Segments,
}

#[tonic::async_trait]
impl proto::audit_log_service_server::AuditLogService for Log {
    async fn get_checkpoint(
        &self,
        request: Request<proto::GetCheckpointRequest>,
    ) -> Result<Response<proto::GetCheckpointResponse>, Status> {
        let signed = self.read.checkpoint(&caller(&request)?).await?;
        let note = Some(file("text/plain; charset=utf-8", signed.note.into_bytes()));
        Ok(Response::new(proto::GetCheckpointResponse { note }))
    }

    async fn get_tile(
        &self,
        request: Request<proto::GetTileRequest>,
    ) -> Result<Response<proto::GetTileResponse>, Status> {
        let tile = self.read.tile(&caller(&request)?, &request.get_ref().path).await?;
        Ok(Response::new(proto::GetTileResponse { tile: Some(file("application/octet-stream", tile)) }))
    }

    async fn get_inclusion_proof(
        &self,
        request: Request<proto::GetInclusionProofRequest>,
    ) -> Result<Response<proto::GetInclusionProofResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let which = match (asked.index, asked.event_id.as_str()) {
            (Some(index), "") => Which::Index(index),
            (None, id) if !id.is_empty() => Which::Event(asked.event_id),
            _ => return Err(Failure::violation("index", "or eventId must be given, and not both").into()),
        };
        let proof = self.prove.inclusion(&caller, which, asked.size).await?;
        Ok(Response::new(proto::GetInclusionProofResponse {
            index: signed(proof.index),
            size: signed(proof.size),
            leaf_hash: proof.leaf.hex(),
            hashes: proof.hashes.iter().map(Hash::hex).collect(),
            root: proof.root.hex(),
            checkpoint: proof.checkpoint,
        }))
    }

    async fn get_consistency_proof(
        &self,
        request: Request<proto::GetConsistencyProofRequest>,
    ) -> Result<Response<proto::GetConsistencyProofResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let proof = self.prove.consistency(&caller, asked.from, asked.size).await?;
        Ok(Response::new(proto::GetConsistencyProofResponse {
            from: signed(proof.from),
            size: signed(proof.size),
            hashes: proof.hashes.iter().map(Hash::hex).collect(),
            from_root: proof.from_root.hex(),
            root: proof.root.hex(),
            checkpoint: proof.checkpoint,
        }))
    }

    async fn list_checkpoint_keys(
        &self,
        request: Request<proto::ListCheckpointKeysRequest>,
    ) -> Result<Response<proto::ListCheckpointKeysResponse>, Status> {
        let keys = self.read.keys(&caller(&request)?).await?;
        let items = keys.into_iter().map(|key| proto::CheckpointKey {
            verifier_key: key.verifier,
            origin: key.origin,
            from_size: signed(key.from_size),
            since: Some(timestamp(key.since)),
            active: key.active,
        });
        Ok(Response::new(proto::ListCheckpointKeysResponse { items: items.collect() }))
    }

    async fn list_audit_segments(
        &self,
        request: Request<proto::ListAuditSegmentsRequest>,
    ) -> Result<Response<proto::ListAuditSegmentsResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let (segments, next_page_token) =
            self.segments.list(&caller, asked.page_size, &asked.page_token).await?;
        let items = segments.iter().map(|segment| encode(segment, self.segments.retention)).collect();
        Ok(Response::new(proto::ListAuditSegmentsResponse { items, next_page_token }))
    }

    async fn retire_audit_segment(
        &self,
        request: Request<proto::RetireAuditSegmentRequest>,
    ) -> Result<Response<proto::RetireAuditSegmentResponse>, Status> {
        let (caller, asked) = (caller(&request)?, request.into_inner());
        let confirmed = asked.confirmation.map(|it| it.segment_id).unwrap_or_default();
        let segment = self.segments.retire(&caller, &asked.segment_id, &confirmed).await?;
        let segment = Some(encode(&segment, self.segments.retention));
        Ok(Response::new(proto::RetireAuditSegmentResponse { segment }))
    }
}

fn encode(segment: &Segment, retention: Retention) -> proto::AuditSegment {
    let state = match (segment.retired_at, segment.exported_at) {
        (Some(_), _) => proto::AuditSegmentState::Retired,
        (None, Some(_)) => proto::AuditSegmentState::Exported,
        (None, None) => proto::AuditSegmentState::Sealed,
    };
    proto::AuditSegment {
        id: segment.number.to_string(),
        from: segment.from(),
        size: LEAVES,
        root: segment.root.hex(),
        state: state.into(),
        ended_at: Some(timestamp(segment.ended_at)),
        exported_at: segment.exported_at.map(timestamp),
        retired_at: segment.retired_at.map(timestamp),
        retirable_at: retention.ends(segment).map(timestamp),
    }
}

pub fn file(content_type: &str, data: Vec<u8>) -> HttpBody {
    HttpBody { content_type: content_type.to_owned(), data, extensions: Vec::new() }
}

/// No log has more entries than such a number counts.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
