//! `keywright access rotate`

use clap::Args;

use super::AccessRef;
use super::client_key::ClientKey;
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
period: 24 hours by default, 0 to 7 days. Then download the new key: keywright access download acc_…")]
pub struct Rotate {
    #[command(flatten)]
    access: AccessRef,
    /// How long the old key stays valid, as in 2h or 7d; default 24h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    grace: Option<String>,
    /// During a grace period: end the older key now
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
        let notice = notice(self.grace.as_deref(), hosts(&access.value).len());
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
        let until = fields::time(&ended.value, "/graceEndsAt");
        if !until.is_empty() {
            app.out.news(&format!("The old key stays valid until {until}."));
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

/// What happens to the old key, before the question.
fn notice(grace: Option<&str>, hosts: usize) -> String {
    let old = match grace {
        None => "The old key stays valid for 24 hours by default from then on, then it ends.".to_owned(),
        Some("0s") => "Without a grace period the old key ends as soon as the new one is in use.".to_owned(),
        Some(grace) => format!("The old key stays valid for {} from then on, then it ends.", spoken(grace)),
    };
    let hosts = if hosts == 1 { "1 host".into() } else { format!("{hosts} hosts") };
    format!("A new key is generated, installed on {hosts} and proven there before it comes into use. {old}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grace_is_said_as_people_say_it() {
        assert_eq!(spoken("7200s"), "2 hours");
        assert_eq!(spoken("86400s"), "1 day");
        assert_eq!(spoken("90s"), "90 seconds");
        assert_eq!(spoken("1.5s"), "1.5s");
    }
}
