//! Host keys and algorithms as servers show them.

use crate::app::assess_server::AssessServer;
use crate::app::scan_server::ScanServer;
use crate::sshfp::{Dnssec, Hint, Verdict};
use keywright_domain::key::PublicKey;
use keywright_proto::probe as proto;
use keywright_runtime::caller;
use keywright_ssh::{Finding, Severity};
use tonic::{Request, Response, Status};

pub struct HostKeyScans {
    pub scan: ScanServer,
    pub assess: AssessServer,
}

#[tonic::async_trait]
impl proto::host_key_scan_service_server::HostKeyScanService for HostKeyScans {
    async fn scan_host_keys(
        &self,
        request: Request<proto::ScanHostKeysRequest>,
    ) -> Result<Response<proto::ScanHostKeysResponse>, Status> {
        let caller = caller(&request)?;
        let scan = self.scan.run(&caller, &request.into_inner().server_id).await?;
        let item = |key| encode(key, scan.pinned.contains(key), &scan.hint);
        Ok(Response::new(proto::ScanHostKeysResponse {
            items: scan.keys.iter().map(item).collect(),
            dnssec: dnssec(&scan.hint).into(),
            sshfp_note: scan.hint.note(&scan.keys).to_owned(),
        }))
    }

    async fn assess_algorithms(
        &self,
        request: Request<proto::AssessAlgorithmsRequest>,
    ) -> Result<Response<proto::AssessAlgorithmsResponse>, Status> {
        let caller = caller(&request)?;
        let (seen, assessment) = self.assess.run(&caller, &request.into_inner().server_id).await?;
        Ok(Response::new(proto::AssessAlgorithmsResponse {
            grade: assessment.grade.to_string(),
            post_quantum: assessment.post_quantum,
            strict_key_exchange: assessment.strict_kex,
            findings: assessment.findings.into_iter().map(finding).collect(),
            server_version: seen.server_version,
            key_exchanges: seen.offer.kex,
            host_keys: seen.offer.host_keys,
            ciphers: seen.offer.ciphers,
            macs: seen.offer.macs,
        }))
    }
}

fn finding(found: Finding) -> proto::AlgorithmFinding {
    let severity = match found.severity {
        Severity::Note => proto::FindingSeverity::Note,
        Severity::Weak => proto::FindingSeverity::Weak,
        Severity::Broken => proto::FindingSeverity::Broken,
    };
    proto::AlgorithmFinding {
        kind: found.kind.as_str().to_owned(),
        name: found.name,
        severity: severity.into(),
        reason: found.reason.to_owned(),
        remedy: found.remedy.to_owned(),
    }
}

pub fn encode(key: &PublicKey, pinned: bool, hint: &Hint) -> proto::ScannedHostKey {
    let sshfp = match hint.verdict(key) {
        Verdict::Matches => proto::SshfpVerdict::Matches,
        Verdict::Differs => proto::SshfpVerdict::Differs,
        Verdict::Absent => proto::SshfpVerdict::Absent,
        Verdict::Unknown => proto::SshfpVerdict::Unknown,
    };
    proto::ScannedHostKey {
        algorithm: key.algorithm().to_string(),
        fingerprint: key.fingerprint().to_string(),
        public_key: key.openssh(),
        pinned,
        sshfp: sshfp.into(),
    }
}

pub const fn dnssec(hint: &Hint) -> proto::SshfpDnssec {
    match hint.dnssec() {
        Dnssec::Verified => proto::SshfpDnssec::Verified,
        Dnssec::Unverified => proto::SshfpDnssec::Unverified,
        Dnssec::Bogus => proto::SshfpDnssec::Bogus,
    }
}
