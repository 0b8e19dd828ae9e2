//! The gateway as the agent uses it. The profile is read anew for each connection of a client: a new login is taken up
//! without a new start.

use std::time::Duration;

use data_encoding::BASE64;
use keywright_domain::key::UserauthRequest;

use super::keys::{Key, Place};
use super::session::Bound;
use crate::app::Setup;
use crate::args::PageArgs;
use crate::client::{Body, Client};
use crate::error::{CliError, Result};
use crate::fields;

/// An SSH server does not wait much longer for a login.
const LIMIT: Duration = Duration::from_secs(30);
const SHORTEST: Duration = Duration::from_millis(100);

pub struct Gateway {
    client: Client,
}

impl Gateway {
    pub fn open(setup: &Setup) -> Result<Self> {
        let session = setup.store.load()?.session(
            setup.global.url.as_deref(),
            setup.global.profile.as_deref(),
            &setup.env,
        )?;
        Ok(Self { client: Client::new(session.url, session.token)? })
    }

    /// All keys that sign for the user.
    pub async fn keys(&self) -> Result<Vec<Key>> {
        let all = PageArgs { limit: 1, all: true, page_token: None };
        let page = patiently(|| self.client.list(&["api", "signing-keys"], &[], &all)).await?;
        Ok(page.items().iter().filter_map(Key::read).collect())
    }

    /// The signature of a login, in wire form.
    pub async fn sign(
        &self,
        key: &Key,
        place: &Place,
        request: &UserauthRequest,
        bound: &Bound,
    ) -> Result<Vec<u8>> {
        let body = Body::new()
            .put("serverId", place.server.as_str())
            .put("sessionId", BASE64.encode(request.session_id()))
            .put("username", request.user())
            .put("algorithm", request.algorithm().as_str())
            .put("hostKey", BASE64.encode(bound.host_key.blob()))
            .put("hostSignature", BASE64.encode(&bound.signature))
            .flag("hostBound", request.host_key().is_some());
        let path = ["api", "credentials", "ssh", key.credential.as_str(), "sign"];
        let answer = patiently(|| self.client.post(&path, &body)).await?;
        let signature = BASE64
            .decode(fields::text(&answer.value, "/signature").as_bytes())
            .map_err(|_| CliError::Protocol("a signature that is not base64".into()))?;
        // The server signs with the key of now; the client asked with the one that it was offered.
        request.public_key().verify(&request.signed_bytes(), &signature).map_err(|_| {
            CliError::Refused("the key was rotated since it was offered; connect again".into())
        })?;
        Ok(signature)
    }
}

/// Within the limit, and again where the gateway says that it was too often: a login that waits a second is better than
/// one that fails.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let trying = async {
        loop {
            match call().await {
                Err(error) => match pause(&error) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
                answered => return answered,
            }
        }
    };
    tokio::time::timeout(LIMIT, trying).await.unwrap_or_else(|_| {
        Err(CliError::Unreachable { url: "the gateway".into(), cause: "it took too long".into() })
    })
}

/// How long to wait after a refusal that says so (`0.5s`).
fn pause(error: &CliError) -> Option<Duration> {
    let CliError::Api(error) = error else { return None };
    let seconds: f64 = error.retry_after.strip_suffix('s')?.parse().ok()?;
    let pause = Duration::try_from_secs_f64(seconds).ok()?;
    (error.reason == "RATE_LIMITED").then_some(pause.max(SHORTEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ApiError;

    fn told(reason: &str, delay: &str) -> Option<Duration> {
        let body = format!(
            r#"{{"code":8,"message":"No.","details":[
            {{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"{reason}"}},
            {{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{delay}"}}]}}"#
        );
        pause(&CliError::Api(Box::new(ApiError::parse(429, None, &body, true))))
    }

    #[test]
    fn only_what_was_too_often_is_tried_again() {
        assert_eq!(told("RATE_LIMITED", "1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(told("RATE_LIMITED", "0s"), Some(SHORTEST));
        assert_eq!(told("AUDIT_UNAVAILABLE", "1s"), None);
        for broken in ["", "s", "-1s", "1", "NaNs", "1e300s"] {
            assert_eq!(told("RATE_LIMITED", broken), None, "{broken}");
        }
    }
}
