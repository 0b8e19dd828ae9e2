//! The one request whose answer is a private key. A cut connection loses nothing: the claim is named again.

use std::time::Duration;

use reqwest::Method;
use serde::Serialize;
use tokio::time::sleep;
use zeroize::Zeroizing;

use super::{Client, header, with_body};
use crate::error::{CliError, Result};

/// Names the claim in the answer.
const CLAIM_ID: &str = "keywright-claim-id";
const TRIES: u32 = 6;

/// What to send.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DownloadRequest<'a> {
    pub confirmation: AccessConfirmation<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_id: Option<String>,
}

/// The id of the access, exactly.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessConfirmation<'a> {
    pub access_id: &'a str,
}

/// The key and the claim that it was given under.
pub struct Download {
    pub claim_id: String,
    pub bytes: Zeroizing<Vec<u8>>,
}

impl Client {
    /// Claims and fetches the key. `claimed` is told the claim as soon as it is known.
    pub async fn download(
        &self,
        path: &[&str],
        mut request: DownloadRequest<'_>,
        mut claimed: impl FnMut(&str),
    ) -> Result<Download> {
        let mut pause = Duration::from_millis(200);
        let mut tries = 1;
        loop {
            match self.try_download(path, &mut request, &mut claimed).await {
                // Only a cut connection is tried again: a refusal is an answer.
                Err(CliError::Unreachable { .. }) if tries < TRIES => tries += 1,
                result => return result,
            }
            sleep(pause).await;
            pause *= 2;
        }
    }

    async fn try_download(
        &self,
        path: &[&str],
        request: &mut DownloadRequest<'_>,
        claimed: &mut impl FnMut(&str),
    ) -> Result<Download> {
        let sent = with_body(self.request(Method::POST, path, &[])?, request)?;
        let response = self.accepted(sent.timeout(super::ANSWER)).await?;
        let claim_id = header(&response, CLAIM_ID)
            .ok_or_else(|| CliError::Protocol(format!("the header {CLAIM_ID} is missing")))?;
        claimed(&claim_id);
        request.claim_id = Some(claim_id.clone());
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if body.is_empty() {
            return Err(CliError::Protocol("the key is empty".into()));
        }
        Ok(Download { claim_id, bytes: Zeroizing::new(body.to_vec()) })
    }
}
