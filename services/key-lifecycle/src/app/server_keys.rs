//! Who can get into a server: as last seen, or as it is now; and who answers for a foreign key.

use crate::adapters::credential_store::{CredentialStore, Server};
use crate::adapters::door::Door;
use crate::drift::{Scanner, WHILE_ASKED};
use crate::model::{Adoption, KeyClass, KeyFlag, ServerKey, ServerScan};
use crate::recovery;
use crate::store::{self, Connection};
use keywright_domain::caller::Caller;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::ids::{AccessId, ServerId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::collections::HashMap;
use tracing::instrument;

const LONGEST_OWNER: usize = 200;
const LONGEST_NOTE: usize = 500;
const LONGEST_ACCOUNT: usize = 64;

#[derive(Clone)]
pub struct ServerKeys {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    pub scanner: Scanner,
}

/// A foreign key, as it is named.
#[derive(Debug, Clone, Default)]
pub struct Named {
    pub server: String,
    pub account: String,
    pub fingerprint: String,
}

impl ServerKeys {
    #[instrument(skip_all, fields(server = shown(server)))]
    pub async fn read(&self, caller: &Caller, server: &str) -> Result<ServerScan, Failure> {
        let server = self.authorized(caller, "server.keys", server).await?;
        let mut reader = store::reader(&self.db).await?;
        let scan = store::server_scan::find(&mut reader, &server.id).await?;
        let mut scan = scan.unwrap_or_else(|| ServerScan::never(&server.id));
        let adopted = store::server_scan::adopted(&mut reader, &server.id).await?;
        hide_others(&mut reader, caller, &server, &mut scan).await?;
        track(&mut scan.keys, &adopted);
        Ok(scan)
    }

    #[instrument(skip_all, fields(server = shown(server)))]
    pub async fn scan(&self, caller: &Caller, server: &str) -> Result<ServerScan, Failure> {
        let server = self.authorized(caller, "server.keys_scan", server).await?;
        recovery::refuse_while_active(&self.db).await?;
        if server.management.is_none() {
            let failure = Failure::new(Reason::ServerNotManaged, "The server has no management key.");
            return Err(failure.with("serverId", server.id.as_str()));
        }
        let entry = Entry::new("server.keys_scan").tenant(Some(&server.tenant)).target(server.id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.look(server.clone(), &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        let mut scan = result?;
        let mut reader = store::reader(&self.db).await?;
        let adopted = store::server_scan::adopted(&mut reader, &server.id).await?;
        hide_others(&mut reader, caller, &server, &mut scan).await?;
        track(&mut scan.keys, &adopted);
        Ok(scan)
    }

    async fn look(&self, server: Server, intent: &Intent) -> Result<ServerScan, Failure> {
        let scan = |door: Door| async move { self.scanner.scan(&door, WHILE_ASKED, Some(intent)).await };
        self.scanner.look(server, scan).await
    }

    /// As the key is shown from now on.
    #[instrument(skip_all, fields(server = shown(&named.server)))]
    pub async fn adopt(
        &self,
        caller: &Caller,
        named: Named,
        owner: &str,
        note: &str,
    ) -> Result<ServerKey, Failure> {
        let server = self.authorized(caller, "server.keys_adopt", &named.server).await?;
        let fingerprint = parse(&named)?;
        let adoption = Adoption {
            account: named.account,
            fingerprint,
            answered_by: text("owner", owner, 1, LONGEST_OWNER)?,
            note: text("note", note, 0, LONGEST_NOTE)?,
        };
        let entry = Entry::new("server.keys_adopt").tenant(Some(&server.tenant)).target(server.id.as_str());
        let entry = entry.detail("fingerprint", adoption.fingerprint.as_str());
        let intent = self.audit.intend(caller, entry.detail("owner", &adoption.answered_by)).await?;
        let kept = self.db.serialized(|| self.keep(&server, &adoption, &intent)).await;
        let kept = kept.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &kept).await;
        kept
    }

    async fn keep(&self, server: &Server, adoption: &Adoption, intent: &Intent) -> Result<ServerKey, Error> {
        let mut tx = self.db.begin(intent).await?;
        let scan = store::server_scan::find(tx.conn(), &server.id).await?;
        let mut keys = scan.map(|scan| scan.keys).unwrap_or_default();
        keys.retain(|key| {
            key.class == KeyClass::Foreign
                && key.account == adoption.account
                && key.fingerprint == adoption.fingerprint.as_str()
        });
        track(&mut keys, std::slice::from_ref(adoption));
        let Some(key) = keys.into_iter().next() else {
            let what = "The last scan of the server saw no such foreign key of this account.";
            return Err(Failure::new(Reason::KeyNotFound, what).into());
        };
        store::server_scan::adopt(&mut tx, &server.id, adoption).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(key)
    }

    #[instrument(skip_all, fields(server = shown(&named.server)))]
    pub async fn forget(&self, caller: &Caller, named: Named) -> Result<(), Failure> {
        let server = self.authorized(caller, "server.keys_adopt", &named.server).await?;
        let fingerprint = parse(&named)?;
        let entry = Entry::new("server.keys_forget").tenant(Some(&server.tenant)).target(server.id.as_str());
        let intent = self.audit.intend(caller, entry.detail("fingerprint", fingerprint.as_str())).await?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin(&intent).await?;
            store::server_scan::disown(&mut tx, &server.id, &named.account, fingerprint.as_str()).await?;
            intent.done(&mut tx, Outcome::succeeded()).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        let done = done.await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &done).await;
        done
    }

    async fn authorized(&self, caller: &Caller, action: &str, server: &str) -> Result<Server, Failure> {
        let missing = || Failure::not_found(Reason::ServerNotFound, server);
        let id = ServerId::parse(server).map_err(|_| missing())?;
        let server = self.store.server(&id).await?;
        self.guard.allow(caller, action, Some(&server.tenant), id.as_str(), Reason::ServerNotFound).await?;
        Ok(server)
    }
}

/// For a tenant's people a key of another tenant's access is a foreign key like any other: whose it is does not exist for
/// them.
async fn hide_others(
    conn: &mut Connection,
    caller: &Caller,
    server: &Server,
    scan: &mut ServerScan,
) -> Result<(), Failure> {
    if !caller.principal.is_tenant_bound() {
        return Ok(());
    }
    let mut own: HashMap<String, bool> = HashMap::new();
    for key in scan.keys.iter_mut().filter(|key| !key.access.is_empty()) {
        if !own.contains_key(&key.access) {
            let known = match AccessId::parse(&key.access) {
                Ok(id) => store::access::find(conn, &id).await?,
                Err(_) => None,
            };
            own.insert(key.access.clone(), known.is_some_and(|access| access.tenant == server.tenant));
        }
        if !own.get(&key.access).copied().unwrap_or_default() {
            key.class = KeyClass::Foreign;
            key.flags.retain(|flag| *flag != KeyFlag::Compromised);
            // The comment names the access, too.
            (key.access, key.version, key.comment) = (String::new(), 0, String::new());
        }
    }
    let drift = scan.keys.iter().filter(|key| key.is_drift()).count();
    scan.drift = u32::try_from(drift).unwrap_or(u32::MAX);
    Ok(())
}

/// Foreign keys for which somebody answers.
fn track(keys: &mut [ServerKey], adopted: &[Adoption]) {
    let adopted: HashMap<(&str, &str), &Adoption> =
        adopted.iter().map(|one| ((one.account.as_str(), one.fingerprint.as_str()), one)).collect();
    for key in keys.iter_mut().filter(|key| key.class == KeyClass::Foreign) {
        if let Some(adoption) = adopted.get(&(key.account.as_str(), key.fingerprint.as_str())) {
            key.class = KeyClass::Tracked;
            key.answered_by.clone_from(&adoption.answered_by);
            key.note.clone_from(&adoption.note);
        }
    }
}

fn parse(named: &Named) -> Result<Fingerprint, Failure> {
    if named.account.is_empty() || named.account.len() > LONGEST_ACCOUNT {
        return Err(Failure::violation("account", "is the name of an account of the server"));
    }
    Fingerprint::parse(&named.fingerprint)
        .map_err(|_| Failure::violation("fingerprint", "is SHA256: and 43 characters of base64"))
}

fn text(field: &str, text: &str, least: usize, most: usize) -> Result<String, Failure> {
    let text = text.trim();
    let length = text.chars().count();
    if !(least..=most).contains(&length) || text.chars().any(char::is_control) {
        return Err(Failure::violation(field, format!("must be text of {least} to {most} characters")));
    }
    if text.contains("PRIVATE KEY") {
        return Err(Failure::violation(field, "is no place for a private key"));
    }
    Ok(text.to_owned())
}
