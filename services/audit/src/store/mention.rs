//! Mentions: who acted and what it was done to, by event. The index of the clear values of intents, erased with them.
//!
//! Invariant: an intent whose actor or target stands in clear has a row for it and, of the target, for each of its ids.

use super::log::array;
use keywright_storage::{Dialect, Error, Tx};
use serde_json::json;
use std::collections::BTreeSet;

/// The longest id that is indexed, in bytes. An index of PostgreSQL takes no key of any length.
pub const LONGEST: usize = 200;

/// What a mention says of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Actor,
    Target,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Actor => "actor",
            Self::Target => "target",
        }
    }
}

/// Who acted on what in the event whose intent stands at a position.
pub struct Mentioned<'a> {
    pub position: i64,
    pub actor: &'a str,
    pub target: &'a str,
}

/// The ids of a target, each once: they stand between spaces or commas. Words in parentheses say why there is none.
pub fn ids(target: &str) -> BTreeSet<&str> {
    if target.starts_with('(') {
        return BTreeSet::new();
    }
    target.split([' ', ',']).filter(|id| (1..=LONGEST).contains(&id.len())).collect()
}

pub async fn insert(tx: &mut Tx, dialect: Dialect, mentioned: &[Mentioned<'_>]) -> Result<(), Error> {
    let mut rows = Vec::new();
    for it in mentioned {
        if (1..=LONGEST).contains(&it.actor.len()) {
            rows.push(json!([it.actor, it.position, Kind::Actor.as_str()]));
        }
        rows.extend(ids(it.target).into_iter().map(|id| json!([id, it.position, Kind::Target.as_str()])));
    }
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(match dialect {
        Dialect::Sqlite => {
            "INSERT INTO mention (subject, seq, kind) SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1)"
        }
        Dialect::Postgres => {
            "INSERT INTO mention (subject, seq, kind)
             SELECT value ->> 0, CAST(value ->> 1 AS BIGINT), value ->> 2
               FROM jsonb_array_elements(CAST($1 AS jsonb))"
        }
    })
    .bind(array(rows.into_iter()))
    .execute(tx.conn())
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_one_id_or_several_or_none() {
        let of = |target| ids(target).into_iter().collect::<Vec<_>>().join("|");
        assert_eq!(of("srv_1"), "srv_1");
        assert_eq!(of("srv_2, srv_1 srv_2,"), "srv_1|srv_2");
        assert_eq!(of(""), "");
        assert_eq!(of(keywright_domain::ids::shown("Not An Id")), "");
        assert_eq!(of(&"x".repeat(LONGEST + 1)), "");
    }
}
