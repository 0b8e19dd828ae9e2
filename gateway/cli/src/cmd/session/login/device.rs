//! Login by a code that the person enters in a browser anywhere (RFC 8628).

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::provider::{Endpoints, Provider, Reply};
use super::single_sign_on::Proof;
use crate::app::App;
use crate::error::{CliError, Result};
use crate::fields;

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// What a provider that says nothing means.
const INTERVAL: Duration = Duration::from_secs(5);
/// By how much `slow_down` means.
const SLOWER: Duration = Duration::from_secs(5);
/// Nobody waits longer, whatever the provider says.
const LONGEST: Duration = Duration::from_secs(1800);

pub async fn prove(app: &App<'_>, provider: &Provider, endpoints: &Endpoints) -> Result<Proof> {
    let endpoint = endpoints.device_authorization.as_ref().ok_or_else(|| {
        CliError::Usage(format!("{} has no login by device code; leave --device out", provider.name))
    })?;
    let form = [("client_id", provider.client_id.as_str()), ("scope", &provider.scope)];
    let answer = match provider.post(endpoint, &form).await? {
        Reply::Good(answer) => answer,
        Reply::Error { code, description } => return Err(provider.refused(&code, &description)),
    };
    let code = Zeroizing::new(fields::text(&answer, "/device_code").to_owned());
    let (user_code, page) = (fields::text(&answer, "/user_code"), fields::text(&answer, "/verification_uri"));
    if code.is_empty() || user_code.is_empty() || page.is_empty() {
        return Err(provider.wrong("its device authorization is not whole"));
    }
    app.out.note(&format!(
        "To log in through {}, open on any machine:\n  {page}\nand enter the code:\n  {user_code}",
        provider.name
    ));
    let complete = fields::text(&answer, "/verification_uri_complete");
    if !complete.is_empty() {
        app.out.note(&format!("or open, with the code in it:\n  {complete}"));
    }
    poll(provider, endpoints, &code, &answer).await
}

async fn poll(provider: &Provider, endpoints: &Endpoints, code: &str, answer: &Value) -> Result<Proof> {
    let seconds = |pointer| u64::try_from(fields::number(answer, pointer)).ok().filter(|s| *s > 0);
    let ends = seconds("/expires_in").map_or(LONGEST, Duration::from_secs).min(LONGEST);
    let deadline = Instant::now() + ends;
    let mut pause = seconds("/interval").map_or(INTERVAL, Duration::from_secs).min(LONGEST);
    let form = [("grant_type", GRANT), ("device_code", code), ("client_id", provider.client_id.as_str())];
    loop {
        let next = Instant::now() + pause;
        if next >= deadline {
            return Err(CliError::Refused("nobody entered the code in time. Run the login again".into()));
        }
        tokio::time::sleep_until(next).await;
        match step(provider.post(&endpoints.token, &form).await, pause) {
            Step::Wait(longer) => pause = longer,
            Step::Done(answer) => {
                let id_token = Zeroizing::new(fields::text(&answer, "/id_token").to_owned());
                if id_token.is_empty() {
                    return Err(provider.wrong("it gave no ID token; its scopes must have \"openid\""));
                }
                return Ok(Proof { id_token, nonce: String::new() });
            }
            Step::Refused { code, description } => return Err(provider.refused(&code, &description)),
            Step::Failed(error) => return Err(error),
        }
    }
}

/// What to do after an answer.
enum Step {
    /// Ask again after this pause.
    Wait(Duration),
    Done(Value),
    Refused {
        code: String,
        description: String,
    },
    Failed(CliError),
}

fn step(answer: Result<Reply>, pause: Duration) -> Step {
    match answer {
        Ok(Reply::Good(answer)) => Step::Done(answer),
        Ok(Reply::Error { code, .. }) if code == "authorization_pending" => Step::Wait(pause),
        Ok(Reply::Error { code, .. }) if code == "slow_down" => Step::Wait(pause + SLOWER),
        Ok(Reply::Error { code, description }) => Step::Refused { code, description },
        // RFC 8628, 3.5: back off where the connection fails.
        Err(CliError::Unreachable { .. }) => Step::Wait((pause * 2).min(LONGEST)),
        Err(error) => Step::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(code: &str) -> Step {
        step(Ok(Reply::Error { code: code.into(), description: String::new() }), INTERVAL)
    }

    #[test]
    fn a_slow_down_slows_down_for_good_and_a_refusal_ends_it() {
        assert!(matches!(after("authorization_pending"), Step::Wait(pause) if pause == INTERVAL));
        assert!(matches!(after("slow_down"), Step::Wait(pause) if pause == INTERVAL + SLOWER));
        for end in ["access_denied", "expired_token", "invalid_grant"] {
            assert!(matches!(after(end), Step::Refused { code, .. } if code == end));
        }
        let cut = CliError::Unreachable { url: String::new(), cause: String::new() };
        assert!(matches!(step(Err(cut), INTERVAL), Step::Wait(pause) if pause == INTERVAL * 2));
        let odd = CliError::Refused("not JSON".into());
        assert!(matches!(step(Err(odd), INTERVAL), Step::Failed(_)));
    }
}
