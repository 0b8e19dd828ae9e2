//! `keywright access rotate`

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::client_key::ClientKey;
use super::{AccessPath, AccessRef};
use crate::app::{App, hosts};
use crate::args::{ConfirmArg, IdempotencyArg, duration};
use crate::client::Body;
use crate::cmd::rotation::{WaitArgs, verdict, wait};
use crate::error::Result;
use crate::fields;
use crate::output::view::rotation as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright access rotate acc_…
  keywright access rotate acc_… --confirm acc_… --reason \"laptop replaced\"
  keywright access rotate acc_… --confirm acc_… --grace 2h --no-wait -o json
  keywright access rotate acc_… --public-key-file ~/.ssh/id_ed25519.pub --sign-with ~/.ssh/id_ed25519

The new key is installed and proven on every host before it comes into use. The old key stays valid for the grace
period: 0 to 7 days, by default what the policy says (24 hours, unless it was changed: keywright policy show). Then
download the new key: keywright access download acc_…

During a grace period a further rotation is refused (GRACE_IN_PROGRESS) without --drop-grace-key. With it, if the key in
use was downloaded, it gets the grace and the older key ends; if nobody has it, it ends itself and the older key keeps
its time.")]
pub struct Rotate {
    #[command(flatten)]
    access: AccessRef,
    /// How long the old key stays valid, as in 2h or 7d; default: as the policy says
    #[arg(long, value_name = "TIME", value_parser = duration)]
    grace: Option<String>,
    /// During a grace period: end the key that is worth less, see below
    #[arg(long)]
    drop_grace_key: bool,
    /// Why, for the log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    client_key: ClientKey,
    #[command(flatten)]
    confirm: ConfirmArg,
    #[command(flatten)]
    idempotency: IdempotencyArg,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Rotate {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        app.need_confirm(self.confirm.confirm.as_ref(), self.access.named())?;
        let path = self.access.resolve(app).await?;
        let access = app.client.get(&path.route(&[])).await?;
        let grace = match &self.grace {
            Some(grace) => grace.clone(),
            None => policys_grace(app, &path).await?,
        };
        let dropping = self.drop_grace_key && !fields::text(&access.value, "/graceEndsAt").is_empty();
        let old = match dropping {
            true => fate_of_both(&access.value, &grace),
            false => fate_of_old(&grace),
        };
        let notice = notice(&old, hosts(&access.value).len());
        let question =
            format!("Rotate the key of {} ({})?", fields::text(&access.value, "/account"), path.id);
        let confirmed = app.agree(self.confirm.confirm, &path.id, &notice, &question).await?;

        let body = Body::new()
            .put("confirmation", serde_json::json!({"accessId": confirmed}))
            .text("gracePeriod", self.grace.as_deref())
            .flag("dropGraceKey", self.drop_grace_key)
            .text("reason", self.reason.as_deref())
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        let body = self.client_key.join(app, &path.tenant, body).await?;
        let started = app.client.post(&path.route(&["rotate"]), &body).await?;
        let rotation = fields::text(&started.value, "/id");
        if self.wait.no_wait {
            app.out.answer(&started, view::one(&started.value));
            app.out.news(&format!("Follow it with: keywright rotation watch {rotation}"));
            return Ok(());
        }
        let ended = wait(app, rotation, hosts(&access.value), self.wait.wait_timeout).await?;
        app.out.answer(&ended, view::one(&ended.value));
        verdict(&ended.value)?;
        if let Some(news) = end_of_old(&ended.value) {
            app.out.news(&news);
        }
        if !self.client_key.is_given() {
            app.out.news(&format!(
                "Download the new key and give it to your SSH clients: keywright access download {}",
                path.id
            ));
        }
        Ok(())
    }
}

/// `7200s` as people say it: in the largest unit that leaves no rest.
fn spoken(grace: &str) -> String {
    let Some(seconds) = grace.strip_suffix('s').and_then(|number| number.parse::<u64>().ok()) else {
        return grace.to_owned();
    };
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let (count, unit) = units
        .into_iter()
        .find(|(size, _)| seconds % size == 0)
        .map_or((seconds, "second"), |(size, unit)| (seconds / size, unit));
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// What holds where no grace is given.
async fn policys_grace(app: &App<'_>, path: &AccessPath) -> Result<String> {
    let route = ["api", "policies", "tenants", &path.tenant, "ssh-access", &path.id];
    let policy = app.client.get(&route).await?;
    Ok(fields::text(&policy.value, "/effective/gracePeriod").to_owned())
}

/// What has become of the old key.
fn end_of_old(rotation: &Value) -> Option<String> {
    let instant = |at| fields::text(rotation, at).parse::<Timestamp>().ok();
    let ends = instant("/graceEndsAt")?;
    if instant("/promotedAt").is_some_and(|promoted| ends <= promoted) {
        return Some("The old key has ended; it is taken off the hosts now.".to_owned());
    }
    Some(format!("The old key stays valid until {}.", fields::time(rotation, "/graceEndsAt")))
}

/// What happens to the old key, before the question.
fn fate_of_old(grace: &str) -> String {
    match grace {
        "0s" => "Without a grace period the old key ends as soon as the new one is in use.".to_owned(),
        grace => format!("The old key stays valid for {} from then on, then it ends.", spoken(grace)),
    }
}

/// The same during a grace period, when one of two keys has to go.
fn fate_of_both(access: &Value, grace: &str) -> String {
    let held = matches!(fields::text(access, "/download"), "downloaded" | "claimed");
    if held || fields::flag(access, "/clientMade") {
        return format!("The older key, which is in its grace period, ends then. {}", fate_of_old(grace));
    }
    format!(
        "Nobody has downloaded the key in use: it ends then, and the older key stays valid until {}.",
        fields::time(access, "/graceEndsAt")
    )
}

fn notice(old: &str, hosts: usize) -> String {
    let hosts = if hosts == 1 { "1 host".into() } else { format!("{hosts} hosts") };
    format!("A new key is generated, installed on {hosts} and proven there before it comes into use. {old}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_grace_is_said_as_people_say_it() {
        assert_eq!(spoken("7200s"), "2 hours");
        assert_eq!(spoken("86400s"), "1 day");
        assert_eq!(spoken("90s"), "90 seconds");
        assert_eq!(spoken("1.5s"), "1.5s");
    }

    #[test]
    fn of_two_keys_the_one_that_nobody_has_goes() {
        let access = |download: &str| json!({"download": download, "graceEndsAt": "2026-03-02T12:00:00Z"});
        let held = fate_of_both(&access("downloaded"), "3600s");
        assert!(held.starts_with("The older key") && held.contains("stays valid for 1 hour"), "{held}");
        let lost = fate_of_both(&access("available"), "3600s");
        assert!(lost.ends_with("the older key stays valid until 2026-03-02 12:00:00 UTC."), "{lost}");
    }

    #[test]
    fn an_old_key_that_has_ended_is_not_called_valid() {
        let end = |promoted: &str, ends: &str| {
            end_of_old(&json!({"promotedAt": promoted, "graceEndsAt": ends})).unwrap()
        };
        let at = "2026-03-01T12:00:00.250Z";
        assert_eq!(end(at, at), "The old key has ended; it is taken off the hosts now.");
        let later = end(at, "2026-03-02T12:00:01Z");
        assert_eq!(later, "The old key stays valid until 2026-03-02 12:00:01 UTC.");
        assert_eq!(end_of_old(&json!({"graceEndsAt": null})), None);
    }
}
