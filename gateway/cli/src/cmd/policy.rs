//! `keywright policy`: what holds for keys, level by level.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::args::{TenantArg, duration, id};
use crate::client::{Answer, Body};
use crate::error::Result;
use crate::fields;
use crate::output::view::policy as view;

#[derive(Subcommand)]
pub enum Command {
    /// Show what holds, and where each setting comes from
    #[command(after_help = "Examples:
  keywright policy show --platform
  keywright policy show --tenant ten_…
  keywright policy show --tenant ten_… --access acc_…")]
    Show(Subject),
    /// Set settings of one level; the others stay as they are
    #[command(after_help = SETTINGS)]
    Set(Set),
    /// Take settings of one level back: the level above holds again
    #[command(after_help = "Example:\n  keywright policy unset --tenant ten_… maximum-age grace-period")]
    Unset(Unset),
}

const SETTINGS: &str = "Settings:
  key-algorithm=NAME             of keys that Keywright makes: ssh-ed25519, ecdsa-sha2-nistp256, … or ssh-rsa
  maximum-age=30d..365d          how old a key may get
  grace-period=0..7d             how long a replaced key stays valid
  automatic-rotation=on|off      whether keys are rotated before they get too old
  rotation-window=WINDOW         when that may begin, in the tenant's time zone: \"02:00 2h\", \"sat,sun 22:30 4h\" or any
  line-options=LIST              options of the lines on hosts: 'restrict,from=\"192.0.2.0/24\"' or none
  downloads-per-version=0..10    how often the private half may be downloaded
  forget-after-download=on|off   destroy it here after the last download
  passphrase-required=on|off     a download must be encrypted
  client-made-required=on|off    only keys that their holder makes
  promote-with-outstanding=on|off  use a new key though hosts are down, which catch up
  drift-action=observe|repair    what is done about changed lines

Example:
  keywright policy set --tenant ten_… maximum-age=60d grace-period=12h rotation-window='sun 03:00 2h'";

/// Whose policy; by default that of the tenant your token is bound to.
#[derive(Args)]
pub struct Subject {
    /// The platform's
    #[arg(long, conflicts_with_all = ["access"])]
    platform: bool,
    #[command(flatten)]
    tenant: TenantArg,
    /// That of one access of the tenant, `acc_…`
    #[arg(long, value_name = "ID", value_parser = id)]
    access: Option<String>,
}

#[derive(Args)]
pub struct Set {
    #[command(flatten)]
    subject: Subject,
    /// `name=value`, one or more
    #[arg(required = true, value_name = "NAME=VALUE", value_parser = setting)]
    settings: Vec<(&'static str, Value)>,
}

#[derive(Args)]
pub struct Unset {
    #[command(flatten)]
    subject: Subject,
    /// The names, one or more
    #[arg(required = true, value_name = "NAME", value_parser = name)]
    names: Vec<&'static str>,
}

/// As they are typed, and as the contract calls them.
pub const NAMES: [(&str, &str); 12] = [
    ("key-algorithm", "keyAlgorithm"),
    ("maximum-age", "maximumAge"),
    ("grace-period", "gracePeriod"),
    ("automatic-rotation", "automaticRotation"),
    ("rotation-window", "rotationWindow"),
    ("line-options", "lineOptions"),
    ("downloads-per-version", "downloadsPerVersion"),
    ("forget-after-download", "forgetAfterDownload"),
    ("passphrase-required", "passphraseRequired"),
    ("client-made-required", "clientMadeRequired"),
    ("promote-with-outstanding", "promoteWithOutstanding"),
    ("drift-action", "driftAction"),
];

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::Show(subject) => {
            let answer = app.client.get(&parts(&subject.route(app).await?)).await?;
            app.out.answer(&answer, view::one(&answer.value));
            Ok(())
        }
        Command::Set(set) => {
            let change = |own: &mut Map<String, Value>| {
                own.extend(set.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            };
            change_own(app, set.subject, change).await
        }
        Command::Unset(unset) => {
            let change =
                |own: &mut Map<String, Value>| own.retain(|name, _| !unset.names.contains(&name.as_str()));
            change_own(app, unset.subject, change).await
        }
    }
}

/// What was read, changed, under the revision that was read.
async fn change_own(app: &App<'_>, subject: Subject, change: impl Fn(&mut Map<String, Value>)) -> Result<()> {
    let route = subject.route(app).await?;
    let read: Answer = app.client.get(&parts(&route)).await?;
    let mut own = read.value.pointer("/own").and_then(Value::as_object).cloned().unwrap_or_default();
    change(&mut own);
    let body =
        Body::new().put("policy", Value::Object(own)).put("revision", fields::text(&read.value, "/revision"));
    let answer = app.client.put(&parts(&route), &body).await?;
    app.out.answer(&answer, view::one(&answer.value));
    Ok(())
}

fn parts(route: &[String]) -> Vec<&str> {
    route.iter().map(String::as_str).collect()
}

impl Subject {
    async fn route(&self, app: &App<'_>) -> Result<Vec<String>> {
        let mut route = vec!["api".to_owned(), "policies".to_owned()];
        if self.platform {
            route.push("platform".to_owned());
            return Ok(route);
        }
        route.extend(["tenants".to_owned(), app.tenant(&self.tenant).await?]);
        if let Some(access) = &self.access {
            route.extend(["ssh-access".to_owned(), access.clone()]);
        }
        Ok(route)
    }
}

fn name(raw: &str) -> Result<&'static str, String> {
    let found = NAMES.iter().find(|(typed, _)| *typed == raw.trim()).map(|(_, name)| *name);
    found.ok_or_else(|| format!("there is no setting {raw:?}; see keywright policy set --help"))
}

fn setting(raw: &str) -> Result<(&'static str, Value), String> {
    let (typed, value) = raw.split_once('=').ok_or("write name=value")?;
    let (name, value) = (name(typed)?, value.trim());
    let value = match name {
        "maximumAge" | "gracePeriod" => json!(duration(value)?),
        "rotationWindow" => window(value)?,
        "lineOptions" => json!({ "options": options(value)? }),
        "downloadsPerVersion" => json!(value.parse::<u8>().map_err(|_| "write a number from 0 to 10")?),
        "keyAlgorithm" | "driftAction" => json!(value),
        _ => json!(on_off(value)?),
    };
    Ok((name, value))
}

fn on_off(value: &str) -> Result<bool, String> {
    match value {
        "on" | "yes" | "true" => Ok(true),
        "off" | "no" | "false" => Ok(false),
        _ => Err("write on or off".to_owned()),
    }
}

/// `any`, `HH:MM LENGTH` or `DAYS HH:MM LENGTH`.
fn window(value: &str) -> Result<Value, String> {
    if value == "any" {
        return Ok(json!({}));
    }
    let words: Vec<&str> = value.split_whitespace().collect();
    let (days, start, length) = match words.as_slice() {
        [start, length] => (Vec::new(), start, length),
        [days, start, length] => (days.split(',').collect(), start, length),
        _ => return Err("write any, \"02:00 2h\" or \"sat,sun 22:30 4h\"".to_owned()),
    };
    Ok(json!({ "weekdays": days, "start": start, "length": duration(length)? }))
}

/// Split at commas outside of quotes.
fn options(value: &str) -> Result<Vec<String>, String> {
    if value == "none" {
        return Ok(Vec::new());
    }
    let (mut all, mut one, mut quoted, mut before) = (Vec::new(), String::new(), false, ' ');
    for letter in value.chars() {
        quoted ^= letter == '"' && before != '\\';
        before = letter;
        if letter == ',' && !quoted {
            all.push(std::mem::take(&mut one));
        } else {
            one.push(letter);
        }
    }
    all.push(one);
    if quoted || all.iter().any(String::is_empty) {
        return Err("write options as in authorized_keys, with a comma between them, or none".to_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_as_people_write_them() {
        assert_eq!(setting("maximum-age=60d"), Ok(("maximumAge", json!("5184000s"))));
        assert_eq!(setting("passphrase-required=on"), Ok(("passphraseRequired", json!(true))));
        assert_eq!(setting("rotation-window=any"), Ok(("rotationWindow", json!({}))));
        let window = json!({ "weekdays": ["sat", "sun"], "start": "22:30", "length": "14400s" });
        assert_eq!(setting("rotation-window=sat,sun 22:30 4h"), Ok(("rotationWindow", window)));
        let options =
            json!({ "options": ["restrict", "from=\"10.0.0.0/8,192.0.2.1\"", "command=\"a \\\"b, c\\\"\""] });
        let typed = "line-options=restrict,from=\"10.0.0.0/8,192.0.2.1\",command=\"a \\\"b, c\\\"\"";
        assert_eq!(setting(typed), Ok(("lineOptions", options)));
        for wrong in
            ["maximum-age", "maximum-age=60", "nothing=1", "line-options=a,,b", "automatic-rotation=maybe"]
        {
            assert!(setting(wrong).is_err(), "{wrong}");
        }
    }
}
