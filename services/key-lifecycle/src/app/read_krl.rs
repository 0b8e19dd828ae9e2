//! Reads revocation lists: of all, or of a tenant's own servers for its people.

use crate::krl::{Groups, List, current, list};
use crate::model::{Group, Scope};
use crate::store;
use keywright_domain::caller::{Caller, Role};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;
use tracing::instrument;

/// What a program's token must name, with the group after it.
const PERMISSION: &str = "krl.read:";
const LONGEST_GROUP: usize = 100;

#[derive(Clone)]
pub struct ReadKrl {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub groups: Groups,
}

/// A list, unless the caller has this one.
#[derive(Debug)]
pub struct Answer {
    pub etag: String,
    pub list: Option<List>,
}

impl ReadKrl {
    /// One page and where the next begins, by name.
    #[instrument(skip_all)]
    pub async fn list(
        &self,
        caller: &Caller,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Group>, String), Failure> {
        let tenant = caller.principal.tenant.as_ref();
        self.guard.allow(caller, "krl.list", tenant, "", Reason::GroupNotFound).await?;
        let page = Page::parse(size, token, "groups")?;
        // Not for every page of it.
        if token.is_empty()
            && let Err(failure) = self.groups.look_up_all().await
        {
            tracing::info!(reason = failure.reason.as_str(), "groups as they are remembered");
        }
        let after = data_encoding::HEXLOWER.decode(page.key().1.as_bytes()).unwrap_or_default();
        let after = String::from_utf8_lossy(&after).into_owned();
        let mut reader = store::reader(&self.db).await?;
        let rows = store::krl::groups(&mut reader, tenant, &after, page.size.saturating_add(1)).await?;
        // Pages are by name alone: the time says nothing.
        let place = |name: &str| {
            (
                keywright_domain::clock::Instant::from_micros(0),
                data_encoding::HEXLOWER.encode(name.as_bytes()),
            )
        };
        let (rows, next) = page.cut(rows, |(name, _)| place(name));
        let mut found = Vec::with_capacity(rows.len());
        for (name, servers) in rows {
            let scope = Scope { group: name, tenant: tenant.cloned() };
            let list = current(&mut reader, &scope).await?;
            found.push(Group { servers, list, etag: list.etag(&scope), name: scope.group });
        }
        Ok((found, next))
    }

    /// `known`: the ETags that the caller has, or `*`.
    #[instrument(skip_all)]
    pub async fn get(&self, caller: &Caller, group: &str, known: &str) -> Result<Answer, Failure> {
        let tenant = caller.principal.tenant.clone();
        self.guard.allow(caller, "krl.read", tenant.as_ref(), group, Reason::GroupNotFound).await?;
        let scope = self.scope(caller, group).await?;
        let mut reader = store::reader(&self.db).await?;
        if !store::krl::is_group(&mut reader, &scope).await? {
            drop(reader);
            self.groups.look_up(&scope).await?;
            reader = store::reader(&self.db).await?;
            if !store::krl::is_group(&mut reader, &scope).await? {
                return Err(Failure::not_found(Reason::GroupNotFound, group));
            }
        }
        let etag = current(&mut reader, &scope).await?.etag(&scope);
        if known.split(',').map(str::trim).any(|known| known == etag || known == "*") {
            return Ok(Answer { etag, list: None });
        }
        let list = list(&mut reader, &scope).await?;
        Ok(Answer { etag: list.etag(), list: Some(list) })
    }

    /// A program reads the groups that its token names; another one does not exist for it.
    async fn scope(&self, caller: &Caller, group: &str) -> Result<Scope, Failure> {
        let named = |permission: &String| permission.strip_prefix(PERMISSION) == Some(group);
        let may =
            caller.principal.role != Role::InternalService || caller.principal.permissions.iter().any(named);
        if may && group.len() <= LONGEST_GROUP * 4 {
            return Ok(Scope { group: group.to_owned(), tenant: caller.principal.tenant.clone() });
        }
        let entry = Entry::new("krl.read").tenant(caller.principal.tenant.as_ref());
        let entry = entry.detail("group", group.chars().take(LONGEST_GROUP).collect::<String>());
        self.audit.denied(caller, entry, Reason::GroupNotFound).await;
        Err(Failure::not_found(Reason::GroupNotFound, group))
    }
}
