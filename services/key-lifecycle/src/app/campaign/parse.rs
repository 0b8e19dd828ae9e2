//! What may be asked of a campaign: each refusal names the field.

use crate::app::gates;
use crate::model::{CampaignPlan, Selector, Which};
use keywright_domain::ids::AccessId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use std::collections::BTreeMap;
use std::time::Duration;

const MOST_NAMED: usize = 1_000;
const MOST_LABELS: usize = 32;
const MOST_CANARIES: i32 = 10_000;
const MOST_GROWTH: i32 = 10;
const MOST_PARALLEL: i32 = 50;
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
const DEFAULT_SOAK: Duration = Duration::from_secs(600);
const DEFAULT_CATCH_UP: Duration = Duration::from_secs(24 * 3600);
const DEFAULT_BUDGET: i32 = 5;

/// As it came.
#[derive(Debug, Default)]
pub struct AskedSelector {
    pub all: bool,
    pub overdue: bool,
    pub due_soon: bool,
    pub access_ids: Vec<String>,
    pub labels: BTreeMap<String, String>,
    pub tenant_id: String,
}

/// As it came; zero and None are the defaults, but a failure budget of zero is one.
#[derive(Debug)]
pub struct AskedPlan {
    pub canary: i32,
    pub soak: Result<Option<Duration>, Failure>,
    pub growth: i32,
    pub max_parallel: i32,
    pub failure_budget_percent: Option<i32>,
    pub catch_up: Result<Option<Duration>, Failure>,
}

pub fn selector(asked: AskedSelector) -> Result<Selector, Failure> {
    let named = !asked.access_ids.is_empty();
    let which = match (asked.all, asked.overdue, asked.due_soon, named) {
        (true, false, false, false) => Which::All,
        (false, true, false, false) => Which::Overdue,
        (false, false, true, false) => Which::DueSoon,
        (false, false, false, true) => Which::Named(named_accesses(asked.access_ids)?),
        _ => {
            let what = "must say exactly one of all, overdue, dueSoon and accessIds";
            return Err(Failure::violation("selector", what));
        }
    };
    if asked.labels.len() > MOST_LABELS {
        return Err(Failure::violation("selector.labels", format!("must be at most {MOST_LABELS}")));
    }
    let tenant = match asked.tenant_id.as_str() {
        "" => None,
        id => Some(gates::tenant(id)?.to_string()),
    };
    Ok(Selector { which, labels: asked.labels, tenant })
}

fn named_accesses(ids: Vec<String>) -> Result<Vec<String>, Failure> {
    if ids.len() > MOST_NAMED {
        return Err(Failure::violation("selector.accessIds", format!("must be at most {MOST_NAMED}")));
    }
    for id in &ids {
        AccessId::parse(id).map_err(|_| Failure::not_found(Reason::AccessNotFound, id))?;
    }
    Ok(ids)
}

pub fn plan(asked: AskedPlan) -> Result<CampaignPlan, Failure> {
    Ok(CampaignPlan {
        canary: within("plan.canary", asked.canary, MOST_CANARIES, 1)?,
        soak: span("plan.soak", asked.soak?, DEFAULT_SOAK)?,
        growth: within("plan.growth", asked.growth, MOST_GROWTH, 4)?,
        max_parallel: within("plan.maxParallel", asked.max_parallel, MOST_PARALLEL, 5)?,
        failure_budget: match u32::try_from(asked.failure_budget_percent.unwrap_or(DEFAULT_BUDGET)) {
            Ok(percent) if percent <= 100 => percent,
            _ => return Err(Failure::violation("plan.failureBudgetPercent", "must be from 0 to 100")),
        },
        catch_up: span("plan.catchUp", asked.catch_up?, DEFAULT_CATCH_UP)?,
    })
}

fn within(field: &str, asked: i32, most: i32, default: u32) -> Result<u32, Failure> {
    match u32::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(number) if asked <= most => Ok(number),
        _ => Err(Failure::violation(field, format!("must be from 1 to {most}"))),
    }
}

fn span(field: &str, asked: Option<Duration>, default: Duration) -> Result<Duration, Failure> {
    match asked.unwrap_or(default) {
        span if span <= WEEK => Ok(span),
        _ => Err(Failure::violation(field, "must be from 0 to 7 days")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> AskedPlan {
        AskedPlan {
            canary: 0,
            soak: Ok(None),
            growth: 0,
            max_parallel: 0,
            failure_budget_percent: None,
            catch_up: Ok(None),
        }
    }

    #[test]
    fn a_plan_has_defaults_and_limits() {
        let plain = plan(asked()).unwrap();
        let numbers = (plain.canary, plain.growth, plain.max_parallel, plain.failure_budget);
        assert_eq!(numbers, (1, 4, 5, 5));
        assert_eq!((plain.soak, plain.catch_up), (DEFAULT_SOAK, DEFAULT_CATCH_UP));
        let field = |asked| plan(asked).unwrap_err().violations[0].field.clone();
        assert_eq!(field(AskedPlan { canary: -1, ..asked() }), "plan.canary");
        assert_eq!(field(AskedPlan { growth: 11, ..asked() }), "plan.growth");
        assert_eq!(field(AskedPlan { max_parallel: 51, ..asked() }), "plan.maxParallel");
        let budget = |percent| AskedPlan { failure_budget_percent: Some(percent), ..asked() };
        assert_eq!(plan(budget(0)).unwrap().failure_budget, 0);
        assert_eq!(field(budget(101)), "plan.failureBudgetPercent");
        assert_eq!(field(budget(-1)), "plan.failureBudgetPercent");
        let long = WEEK.saturating_add(Duration::from_secs(1));
        assert_eq!(field(AskedPlan { soak: Ok(Some(long)), ..asked() }), "plan.soak");
        assert_eq!(field(AskedPlan { catch_up: Ok(Some(long)), ..asked() }), "plan.catchUp");
    }

    #[test]
    fn exactly_one_selection_is_said() {
        assert!(selector(AskedSelector::default()).is_err());
        assert!(selector(AskedSelector { all: true, overdue: true, ..Default::default() }).is_err());
        let named = |count| AskedSelector {
            access_ids: (0..count).map(|_| AccessId::random().unwrap().to_string()).collect(),
            ..Default::default()
        };
        assert!(selector(named(1_000)).is_ok());
        assert!(selector(named(1_001)).is_err());
        let strange = AskedSelector { access_ids: vec!["acc_1".to_owned()], ..Default::default() };
        assert_eq!(selector(strange).unwrap_err().reason, Reason::AccessNotFound);
        let narrowed = AskedSelector { all: true, tenant_id: "ten_1".to_owned(), ..Default::default() };
        assert_eq!(selector(narrowed).unwrap_err().reason, Reason::TenantNotFound);
    }
}
