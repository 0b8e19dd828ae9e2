//! Which targets are begun now: a pure function of what runs and what waits.

use super::Plan;
use std::collections::HashMap;

/// A target as far as its place among the others goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub position: i64,
    pub host: String,
    /// Empty: not known, and shared with nobody.
    pub network: String,
}

/// The positions to begin, in the order of `waiting`: at most `room`, and with what `runs` within the plan. A target whose
/// host or network is full does not hold up those behind it.
pub fn choose(plan: Plan, runs: &[Place], waiting: &[Place], room: usize) -> Vec<i64> {
    let mut hosts: HashMap<&str, u32> = HashMap::new();
    let mut networks: HashMap<&str, u32> = HashMap::new();
    for place in runs {
        *hosts.entry(&place.host).or_default() += 1;
        *networks.entry(&place.network).or_default() += 1;
    }
    let parallel = usize::try_from(plan.max_parallel).unwrap_or(usize::MAX);
    let room = room.min(parallel.saturating_sub(runs.len()));
    let mut chosen = Vec::new();
    for place in waiting {
        if chosen.len() >= room {
            break;
        }
        let host = hosts.entry(&place.host).or_default();
        let network = networks.entry(&place.network).or_default();
        let is_full = !place.network.is_empty() && *network >= plan.max_per_network;
        if *host >= plan.max_per_host || is_full {
            continue;
        }
        *host += 1;
        *network += 1;
        chosen.push(place.position);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(rows: &[(i64, &str, &str)]) -> Vec<Place> {
        let place = |(position, host, network): &(i64, &str, &str)| Place {
            position: *position,
            host: (*host).to_owned(),
            network: (*network).to_owned(),
        };
        rows.iter().map(place).collect()
    }

    #[test]
    fn what_waits_is_taken_in_its_order_as_far_as_the_plan_allows() {
        let plan = Plan { max_parallel: 4, max_per_host: 1, max_per_network: 2 };
        let runs = places(&[(1, "a", "net1")]);
        let waiting =
            places(&[(2, "a", "net1"), (3, "b", "net1"), (4, "c", "net1"), (5, "d", "net2"), (6, "e", "")]);
        assert_eq!(choose(plan, &runs, &waiting, 10), [3, 5, 6]);
        assert_eq!(choose(plan, &runs, &waiting, 1), [3]);
        assert_eq!(choose(plan, &waiting, &waiting, 10), Vec::<i64>::new(), "more run than may");
    }

    #[test]
    fn unknown_networks_are_no_network() {
        let plan = Plan { max_parallel: 9, max_per_host: 1, max_per_network: 1 };
        let waiting = places(&[(1, "a", ""), (2, "b", ""), (3, "c", "")]);
        assert_eq!(choose(plan, &[], &waiting, 9), [1, 2, 3]);
    }
}
