//! What is kept of a tenant: one JSON document without key material, of a bounded size.
//!
//! Invariant: what does not fit is counted, never silently left out; accesses come before what the log says of them.

use super::Offboarder;
use crate::model::{Management, Receipt, Release};
use crate::store::{self, Connection};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{AccessId, TenantId};
use keywright_runtime::failure::{Error, Failure};
use serde_json::{Value, json};

/// The whole document, in bytes: it is downloaded in one answer.
const MOST: usize = 3 * 1024 * 1024;
/// A row of the table holds at most so much.
const PIECE: usize = 256 * 1024;
/// Rotations and revocations of an access.
const HISTORY: i64 = 200;

/// A document that stops growing where it would be too large.
struct Document {
    text: String,
    omitted: usize,
}

impl Document {
    fn section(&mut self, name: &str) {
        self.text.push_str(&format!(",\n\"{name}\": ["));
        self.omitted = 0;
    }

    fn item(&mut self, item: &Value) {
        let text = item.to_string();
        if self.text.len().saturating_add(text.len()) > MOST {
            self.omitted = self.omitted.saturating_add(1);
            return;
        }
        let first = self.text.ends_with('[');
        self.text.push_str(if first { "\n" } else { ",\n" });
        self.text.push_str(&text);
    }

    fn end(&mut self, name: &str) {
        self.text.push_str(&format!("],\n\"{name}Omitted\": {}", self.omitted));
    }
}

impl Offboarder {
    pub(super) async fn export(&self, tenant: &TenantId) -> Result<(), Failure> {
        let known = self.store.tenants_named(std::slice::from_ref(tenant)).await?;
        let about = known.first().map_or(Value::Null, |known| {
            json!({
                "id": known.id.as_str(), "externalId": known.external_id, "name": known.name,
                "timeZone": known.time_zone, "labels": known.labels, "contacts": known.contacts,
            })
        });
        let at = self.db.now().await?.rfc3339();
        let head = format!(
            "{{\"format\": \"keywright-offboarding-1\",\n\"exportedAt\": \"{at}\",\n\"tenant\": {about}"
        );
        let mut document = Document { text: head, omitted: 0 };
        let mut reader = store::reader(&self.db).await?;
        document.section("accesses");
        for id in store::offboarding::accesses(&mut reader, tenant, false).await? {
            document.item(&access(&mut reader, &id).await?);
        }
        document.end("accesses");
        document.section("releasedServers");
        for release in store::release::of_tenant(&mut reader, tenant).await? {
            let keys = store::management::of(&mut reader, &release.server).await?;
            document.item(&released(&release, &keys));
        }
        document.end("releasedServers");
        drop(reader);
        document.section("auditEvents");
        let mut token = String::new();
        loop {
            let (events, next) = self.log.page(tenant, &token).await?;
            events.iter().for_each(|event| document.item(event));
            if next.is_empty() || document.omitted > 0 {
                break;
            }
            token = next;
        }
        // How many more there are is not counted: the log itself is kept.
        let cut = document.omitted > 0;
        document.text.push_str(&format!("],\n\"auditEventsCut\": {cut}\n}}\n"));
        let pieces = pieces(&document.text);
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("what is kept of a tenant").await?;
            store::offboarding::export(&mut tx, tenant, &pieces).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}

fn pieces(text: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for character in text.chars() {
        if pieces.last().is_some_and(|piece| piece.len() >= PIECE) {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(character);
        }
    }
    pieces
}

async fn access(conn: &mut Connection, id: &AccessId) -> Result<Value, Error> {
    let Some(access) = store::access::find(conn, id).await? else { return Ok(Value::Null) };
    let versions = store::version::of(conn, id).await?;
    let lines = store::line::of(conn, id).await?;
    let number = |version: &keywright_domain::ids::VersionId| {
        versions.iter().find(|known| known.id == *version).map_or(0, |known| known.number)
    };
    let mut rotations = Vec::new();
    for rotation in store::rotation::of(conn, id, HISTORY).await? {
        rotations.push(json!({
            "id": rotation.id.as_str(), "kind": rotation.kind.as_str(), "state": rotation.state.as_str(),
            "createdAt": rotation.created_at.rfc3339(), "promotedAt": at(rotation.promoted_at),
            "finishedAt": at(rotation.finished_at), "reason": rotation.reason, "comment": rotation.comment,
        }));
    }
    let revocation = store::revocation::last(conn, id).await?;
    let hosts = match &revocation {
        Some(revocation) => store::revocation::hosts(conn, &revocation.id).await?,
        None => Vec::new(),
    };
    let revoked: Vec<Value> = hosts
        .iter()
        .map(|host| {
            json!({
                "serverId": host.server.as_str(), "serverName": host.server_name,
                "refusedAt": at(host.proven_at), "sessionsEnded": host.sessions_ended,
                "residualAccess": host.residual,
            })
        })
        .collect();
    let versions_told: Vec<Value> = versions
        .iter()
        .map(|version| {
            json!({
                "number": version.number, "state": version.state.as_str(),
                "fingerprint": version.public_key.as_ref().map(|key| key.fingerprint().to_string()),
                "createdAt": version.created_at.rfc3339(), "compromisedAt": at(version.compromised_at),
                "destroyedAt": at(version.destroyed_at),
            })
        })
        .collect();
    let lines_told: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "serverId": line.server.as_str(), "version": number(&line.version),
                "state": line.state.as_str(), "receipt": line.receipt.as_ref().map(receipt),
            })
        })
        .collect();
    Ok(json!({
        "id": access.id.as_str(), "account": access.account.as_str(), "createdAt": access.created_at.rfc3339(),
        "revokedAt": at(access.revoked_at), "versions": versions_told, "lines": lines_told,
        "rotations": rotations, "revocation": revocation.map(|revocation| json!({
            "id": revocation.id.as_str(), "requestedAt": revocation.requested_at.rfc3339(),
            "finishedAt": at(revocation.finished_at), "hosts": revoked,
        })),
    }))
}

fn released(release: &Release, keys: &[Management]) -> Value {
    let fingerprint = |key: &Management| key.public_key.as_ref().map(|key| key.fingerprint().to_string());
    let own = keys.iter().find(|key| key.id == release.id).and_then(fingerprint);
    json!({
        "serverId": release.server.as_str(), "releasedAt": at(release.finished_at),
        "managementKey": own, "managementKeyRemoved": release.refused.is_some(),
        "otherPath": release.other_path.as_ref().map(receipt), "refused": release.refused.as_ref().map(receipt),
        "staying": release.staying,
    })
}

fn receipt(receipt: &Receipt) -> Value {
    json!({
        "method": receipt.method, "accepted": receipt.accepted, "provenAt": receipt.proven_at().rfc3339(),
        "hostKey": receipt.host_key, "sourcePort": receipt.source_port, "serverVersion": receipt.server_version,
    })
}

fn at(at: Option<Instant>) -> Option<String> {
    at.map(Instant::rfc3339)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted_and_the_pieces_make_the_whole() {
        let mut document = Document { text: "{\"a\": 1".to_owned(), omitted: 0 };
        document.section("things");
        let large = json!({ "text": "é".repeat(400_000) });
        for _ in 0..6 {
            document.item(&large);
        }
        document.end("things");
        document.text.push('}');
        let whole = pieces(&document.text).concat();
        assert_eq!(whole, document.text);
        assert!(pieces(&whole).iter().all(|piece| piece.len() < PIECE + 8));
        let read: Value = serde_json::from_str(&whole).unwrap();
        assert_eq!(read["things"].as_array().unwrap().len(), 3);
        assert_eq!(read["thingsOmitted"], 3);
    }
}
