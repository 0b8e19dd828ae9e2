//! Mentions: who acted and what it was done to, by event. The index of the clear values of intents, erased with them.
//!
//! Invariant: an intent whose actor or target stands in clear has a row for it and, of the target, for each of its ids.

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

/// The ids of a target, each once: they stand between spaces or commas. Words in parentheses say why there is none.
pub fn ids(target: &str) -> BTreeSet<&str> {
    if target.starts_with('(') {
        return BTreeSet::new();
    }
    target.split([' ', ',']).filter(|id| (1..=LONGEST).contains(&id.len())).collect()
}

/// What an event that this actor did to this target mentions.
pub fn of<'a>(actor: &'a str, target: &'a str) -> Vec<(Kind, &'a str)> {
    let actor = Some(actor).filter(|actor| (1..=LONGEST).contains(&actor.len()));
    let targets = ids(target).into_iter().map(|id| (Kind::Target, id));
    actor.map(|actor| (Kind::Actor, actor)).into_iter().chain(targets).collect()
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
