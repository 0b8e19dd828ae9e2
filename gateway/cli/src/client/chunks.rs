//! A file that is too large to hold: its bytes as they arrive.

use std::time::Duration;

use reqwest::{Method, Response};

use super::Client;
use crate::error::{CliError, Result};

/// So long a gateway may take for the next bytes.
const SILENCE: Duration = Duration::from_secs(90);

pub struct Chunks<'a> {
    client: &'a Client,
    response: Response,
}

impl Client {
    /// Begins to read the file at `path`.
    pub async fn chunks(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Chunks<'_>> {
        let answer = self.accepted(self.request(Method::GET, path, query)?);
        let response = tokio::time::timeout(SILENCE, answer).await.map_err(|_| self.silent())??;
        Ok(Chunks { client: self, response })
    }

    fn silent(&self) -> CliError {
        CliError::Unreachable { url: self.base.to_string(), cause: "it took too long".into() }
    }
}

impl Chunks<'_> {
    /// The next bytes; `None` after the last. A file that breaks off is `Unreachable`.
    pub async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>> {
        let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
        chunk.map_err(|_| self.client.silent())?.map_err(|error| self.client.unreachable(&error))
    }
}
