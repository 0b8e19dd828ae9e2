//! Pins, re-pins and removes host keys, and trusts authorities for host certificates.
//!
//! Invariants: a key is pinned only if a fresh scan shows it, and only then a server is unblocked that showed a wrong one;
//! the pins of a managed server are changed by operators alone, by whichever action.

use crate::adapters::probe::Probe;
use crate::app::find;
use crate::domain::host_key_notice::HostKeyNotice;
use crate::domain::server::{HostKey, Server};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::ids::ServerId;
use keywright_domain::ids::shown;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "server.host_key";
const MANAGED: &str = "server.repin_managed";

pub struct UpdateHostKeys {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub probe: Probe,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The first keys of an unpinned server.
    Approve,
    /// Others in place of the pinned ones.
    Repin,
    Remove,
    /// Nothing of the host is looked at: whoever may pin its keys says that the authority may certify them.
    TrustAuthority,
}

impl Change {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Repin => "repin",
            Self::Remove => "remove",
            Self::TrustAuthority => "trust_authority",
        }
    }
}

/// What is to be changed, as it came.
#[derive(Clone, Copy)]
pub struct Named<'a> {
    pub fingerprints: &'a [String],
    /// Public keys.
    pub authorities: &'a [String],
}

impl UpdateHostKeys {
    /// The pinned keys afterwards.
    #[instrument(skip_all, fields(server = shown(id)))]
    pub async fn run(
        &self,
        caller: &Caller,
        id: &str,
        change: Option<Change>,
        named: Named<'_>,
    ) -> Result<Vec<HostKey>, Failure> {
        let server = find::server(&self.db, &self.guard, caller, ACTION, id).await?;
        self.allow_managed(caller, &server).await?;
        let wanted = "must be approve, repin, remove or trust_authority";
        let change = change.ok_or_else(|| Failure::violation("action", wanted))?;
        let authorities = authorities(change, named.authorities)?;
        let named = match change {
            Change::TrustAuthority => authorities.iter().map(PublicKey::fingerprint).collect(),
            _ => parse(named.fingerprints)?,
        };
        let list = named.iter().map(Fingerprint::as_str).collect::<Vec<_>>().join(" ");
        let entry = Entry::new(ACTION)
            .tenant(Some(&server.tenant))
            .target(id)
            .detail("change", change.as_str())
            .detail("fingerprints", list);
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.change(caller, &server, change, &named, &authorities, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn allow_managed(&self, caller: &Caller, server: &Server) -> Result<(), Failure> {
        if server.management.is_none() {
            return Ok(());
        }
        self.guard
            .allow(caller, MANAGED, Some(&server.tenant), server.id.as_str(), Reason::ServerNotFound)
            .await
    }

    async fn change(
        &self,
        caller: &Caller,
        server: &Server,
        change: Change,
        named: &[Fingerprint],
        authorities: &[PublicKey],
        intent: &Intent,
    ) -> Result<Vec<HostKey>, Failure> {
        // The scan stands before the transaction: no peer is awaited inside of one.
        let (approved, outcome) = match change {
            Change::Remove | Change::TrustAuthority => (Vec::new(), Outcome::succeeded()),
            Change::Approve | Change::Repin => {
                let way = server.jump_host.as_ref();
                let scan = self.probe.scan(caller, &server.host, server.port, way).await?;
                (select(&scan.keys, named)?, Outcome::succeeded().with("sshfp", scan.sshfp))
            }
        };
        let changed: Result<Vec<HostKey>, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                let now = find::server_in(&mut tx, &server.id).await?;
                if now.management != server.management {
                    return Err(Failure::new(
                        Reason::RevisionMismatch,
                        "The server's management has just changed.",
                    )
                    .into());
                }
                let address = |server: &Server| (server.host.clone(), server.port, server.jump_host.clone());
                if address(&now) != address(server) {
                    return Err(Failure::new(
                        Reason::RevisionMismatch,
                        "The server's address has just changed.",
                    )
                    .into());
                }
                match change {
                    Change::Remove => remove(&mut tx, &now, named).await?,
                    Change::Approve if !is_same(&now.host_keys, named) && has_keys(&now) => {
                        return Err(already_pinned(&now).into());
                    }
                    Change::Approve => pin(&mut tx, &server.id, &approved, false, caller).await?,
                    Change::Repin => {
                        store::server::unpin_keys(&mut tx, &server.id).await?;
                        pin(&mut tx, &server.id, &approved, false, caller).await?;
                    }
                    Change::TrustAuthority => trust(&mut tx, &now, authorities, caller).await?,
                }
                if matches!(change, Change::Approve | Change::Repin) {
                    store::server::clear_mismatch(&mut tx, &server.id).await?;
                }
                store::server::touch(&mut tx, &server.id).await?;
                let after = find::server_in(&mut tx, &server.id).await?;
                if let (Some(seen), None) = (&now.mismatch, &after.mismatch) {
                    let (id, how) = (intent.event(), change.as_str());
                    let notice = HostKeyNotice::resolved(id, &after, seen, how, tx.now(), caller);
                    store::host_key_notice::insert(&mut tx, &notice).await?;
                }
                intent.done(&mut tx, outcome.clone()).await?;
                tx.commit().await?;
                Ok(after.host_keys)
            })
            .await;
        Ok(changed?)
    }
}

/// Host keys of one server.
const MOST_KEYS: usize = 16;

fn parse(named: &[String]) -> Result<Vec<Fingerprint>, Failure> {
    if named.is_empty() || named.len() > MOST_KEYS {
        return Err(Failure::violation("fingerprints", format!("must name from 1 to {MOST_KEYS} keys")));
    }
    let parsed = named.iter().map(|text| Fingerprint::parse(text));
    parsed.collect::<Result<_, _>>().map_err(|error| Failure::violation("fingerprints", error.to_string()))
}

/// The named keys among those shown; all of them must be there.
fn select(shown: &[PublicKey], named: &[Fingerprint]) -> Result<Vec<PublicKey>, Failure> {
    let found = named.iter().map(|wanted| shown.iter().find(|key| key.fingerprint() == *wanted).cloned());
    found.collect::<Option<Vec<_>>>().ok_or_else(|| {
        let join = |all: Vec<String>| all.join(" ");
        Failure::new(Reason::HostKeyMismatch, "The server does not show these host keys now.")
            .with("named", join(named.iter().map(ToString::to_string).collect()))
            .with("shown", join(shown.iter().map(|key| key.fingerprint().to_string()).collect()))
    })
}

fn has_keys(server: &Server) -> bool {
    server.host_keys.iter().any(|pin| !pin.authority)
}

fn is_same(pinned: &[HostKey], named: &[Fingerprint]) -> bool {
    pinned.iter().filter(|pin| !pin.authority).all(|pin| named.contains(&pin.key.fingerprint()))
        && named.iter().all(|wanted| pinned.iter().any(|pin| pin.key.fingerprint() == *wanted))
}

fn already_pinned(server: &Server) -> Failure {
    let pinned =
        server.host_keys.iter().map(|pin| pin.key.fingerprint().to_string()).collect::<Vec<_>>().join(" ");
    Failure::new(
        Reason::HostKeyMismatch,
        "The server has other pinned host keys already; replace them by a re-pin.",
    )
    .with("pinned", pinned)
}

/// The keys of authorities, as they came. Only for the action that is about them.
fn authorities(change: Change, given: &[String]) -> Result<Vec<PublicKey>, Failure> {
    const FIELD: &str = "authorities";
    if change != Change::TrustAuthority {
        return match given {
            [] => Ok(Vec::new()),
            _ => Err(Failure::violation(FIELD, "are for the action trust_authority alone")),
        };
    }
    if given.is_empty() || given.len() > MOST_KEYS {
        return Err(Failure::violation(FIELD, format!("must be from 1 to {MOST_KEYS} public keys")));
    }
    let keys = given.iter().map(|text| PublicKey::parse_openssh(text));
    keys.collect::<Result<_, _>>().map_err(|error| Failure::violation(FIELD, error.to_string()))
}

async fn trust(tx: &mut Tx, server: &Server, keys: &[PublicKey], caller: &Caller) -> Result<(), Error> {
    let own = |key: &PublicKey| server.host_keys.iter().any(|pin| !pin.authority && pin.key == *key);
    if keys.iter().any(own) {
        return Err(Failure::violation("authorities", "hold a key of the host itself").into());
    }
    pin(tx, &server.id, keys, true, caller).await
}

async fn pin(
    tx: &mut Tx,
    server: &ServerId,
    keys: &[PublicKey],
    authority: bool,
    caller: &Caller,
) -> Result<(), Error> {
    for key in keys {
        let pin = HostKey {
            key: key.clone(),
            authority,
            approved_at: tx.now(),
            approved_by: caller.principal.id.clone(),
        };
        store::server::pin(tx, server, &pin).await?;
    }
    Ok(())
}

async fn remove(tx: &mut Tx, server: &Server, named: &[Fingerprint]) -> Result<(), Error> {
    for fingerprint in named {
        if !server.host_keys.iter().any(|pin| pin.key.fingerprint() == *fingerprint) {
            return Err(Failure::violation("fingerprints", format!("{fingerprint} is not pinned")).into());
        }
        store::server::unpin(tx, &server.id, fingerprint).await?;
    }
    Ok(())
}
