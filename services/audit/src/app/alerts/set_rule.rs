//! Makes a rule, or changes one.
//!
//! Invariant: of a rule that Keywright brings, threshold, window and whether it is on are all that changes.

use crate::alerting::built_in;
use crate::alerting::hours::Hours;
use crate::alerting::rule::{
    Actors, DEFAULT_WINDOW, Ending, LONGEST_WINDOW, MOST_ACTIONS, MOST_RULES, MOST_TIMES, Rule, Subject,
    is_id, is_pattern, is_reason,
};
use crate::store::{alert_rule, watch};
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::time::Duration;
use tracing::instrument;

const ACTION: &str = "audit.alert_rule";
const LONGEST_DESCRIPTION: usize = 200;

pub struct SetRule {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

/// As it came; what is empty or 0 is the default.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub description: String,
    pub actions: Vec<String>,
    pub ending: Option<Ending>,
    pub reason: String,
    pub subject: Option<Subject>,
    pub threshold: i32,
    pub window_seconds: i32,
    pub hours: String,
    pub disabled: bool,
}

impl SetRule {
    /// The rule as it is then.
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, id: &str, wanted: Wanted) -> Result<Rule, Failure> {
        self.guard.allow(caller, ACTION, None, id, Reason::AlertRuleNotFound).await?;
        let rule = match built_in::find(id) {
            Some(known) => changed(known, &wanted)?,
            None => made(id, wanted)?,
        };
        let entry = Entry::new(ACTION)
            .target(id)
            .detail("step", "set")
            .detail("threshold", rule.threshold.to_string())
            .detail("windowSeconds", rule.window.as_secs().to_string())
            .detail("disabled", rule.disabled.to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let done = self.db.serialized(|| self.put(&rule, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &done).await;
        done.map(|()| rule)
    }

    async fn put(&self, rule: &Rule, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        let before = alert_rule::all(tx.conn()).await?.into_iter().find(|known| known.id == rule.id);
        match before {
            // What was counted for other events is not counted for these.
            Some(before) if !before.counts_as(rule) => watch::forget(&mut tx, &rule.id).await?,
            Some(_) => {}
            None if alert_rule::count_own(&mut tx).await? >= MOST_RULES => {
                return Err(
                    Failure::violation("ruleId", "is one too many: delete one of the 100 rules").into()
                );
            }
            None => {}
        }
        alert_rule::put(&mut tx, rule).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        Ok(tx.commit().await?)
    }
}

/// A rule that Keywright brings. What is fixed may be sent as the list shows it.
fn changed(known: Rule, wanted: &Wanted) -> Result<Rule, Failure> {
    let fixed = |field: &str, same: bool| {
        if same {
            Ok(())
        } else {
            Err(Failure::violation(field, "is fixed for a rule that Keywright brings"))
        }
    };
    let hours = known.hours.map(|hours| hours.to_string()).unwrap_or_default();
    let is = |given: &str, own: &str| given.is_empty() || given == own;
    fixed("rule.description", is(&wanted.description, &known.description))?;
    fixed("rule.actions", wanted.actions.is_empty() || wanted.actions == known.actions)?;
    fixed("rule.outcome", wanted.ending.is_none_or(|ending| known.endings == [ending]))?;
    fixed("rule.reason", wanted.reason.is_empty() || known.reasons == [wanted.reason.as_str()])?;
    fixed("rule.subject", wanted.subject.is_none_or(|subject| known.subject == subject))?;
    fixed("rule.hours", is(&wanted.hours, &hours))?;
    Ok(Rule {
        threshold: threshold(wanted.threshold, known.threshold)?,
        window: window(wanted.window_seconds, known.window)?,
        disabled: wanted.disabled,
        ..known
    })
}

/// An operator's own.
fn made(id: &str, wanted: Wanted) -> Result<Rule, Failure> {
    if !is_id(id) {
        let what = "must have 1 to 64 lower-case letters, digits and hyphens";
        return Err(Failure::violation("ruleId", what));
    }
    let description = wanted.description.trim();
    if description.chars().count() > LONGEST_DESCRIPTION || description.chars().any(char::is_control) {
        return Err(Failure::violation("rule.description", "must be text of at most 200 characters"));
    }
    if !(1..=MOST_ACTIONS).contains(&wanted.actions.len()) {
        return Err(Failure::violation("rule.actions", "must be 1 to 20"));
    }
    if !wanted.actions.iter().all(|pattern| is_pattern(pattern)) {
        let what = "must be names of actions (access.download), beginnings (session.*) or *";
        return Err(Failure::violation("rule.actions", what));
    }
    if !is_reason(&wanted.reason) {
        return Err(Failure::violation("rule.reason", "must be the name of a reason, as KEY_COMPROMISED"));
    }
    let hours = match wanted.hours.as_str() {
        "" => None,
        text => Some(Hours::parse(text).ok_or_else(|| {
            Failure::violation("rule.hours", "must be two different times of the day, as in 02:00-06:00")
        })?),
    };
    let description = match description {
        "" => format!("The rule {id}"),
        text => text.to_owned(),
    };
    Ok(Rule {
        id: id.to_owned(),
        description,
        actions: wanted.actions,
        endings: wanted.ending.into_iter().collect(),
        reasons: Some(wanted.reason).filter(|reason| !reason.is_empty()).into_iter().collect(),
        subject: wanted.subject.unwrap_or(Subject::Actor),
        actors: Actors::All,
        threshold: threshold(wanted.threshold, 1)?,
        window: window(wanted.window_seconds, DEFAULT_WINDOW)?,
        hours,
        disabled: wanted.disabled,
        built_in: false,
    })
}

fn threshold(given: i32, default: i64) -> Result<i64, Failure> {
    match i64::from(given) {
        0 => Ok(default),
        times if (1..=MOST_TIMES).contains(&times) => Ok(times),
        _ => Err(Failure::violation("rule.threshold", "must be from 1 to 10,000")),
    }
}

fn window(given: i32, default: Duration) -> Result<Duration, Failure> {
    let span = u64::try_from(given).map(Duration::from_secs);
    match span {
        Ok(Duration::ZERO) => Ok(default),
        Ok(span) if span <= LONGEST_WINDOW => Ok(span),
        _ => Err(Failure::violation("rule.windowSeconds", "must be from 1 to 604,800")),
    }
}
