//! A key that its holder makes: the public half is sent with the proof that he has the private one, which stays where
//! it is.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use clap::Args;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::app::App;
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::{fields, files};

#[derive(Args)]
pub struct ClientKey {
    /// Use a key of your own: the file of its public half (`.pub`); the private half never leaves you
    #[arg(long, value_name = "FILE")]
    public_key_file: Option<PathBuf>,
    /// The file of its private half, or of the public one if it is in your SSH agent: `ssh-keygen` signs with it
    #[arg(long, value_name = "KEYFILE", requires = "public_key_file")]
    sign_with: Option<PathBuf>,
}

impl ClientKey {
    pub const fn is_given(&self) -> bool {
        self.public_key_file.is_some()
    }

    /// Adds the key and its proof to a request; a request without a key stays as it is.
    pub async fn join(&self, app: &App<'_>, tenant: &str, body: Body) -> Result<Body> {
        let Some(file) = &self.public_key_file else { return Ok(body) };
        let public = files::read_text(file, "public key file")?;
        if public.contains("PRIVATE KEY") {
            let what = format!("{} is a private key: give the file of the public half", file.display());
            return Err(CliError::Usage(what));
        }
        let made = app
            .client
            .post(&["api", "tenants", tenant, "ssh-access", "key-challenges"], &Body::new())
            .await?;
        let text = |name: &str| fields::text(&made.value, name).to_owned();
        let (nonce, namespace) = (text("/nonce"), text("/namespace"));
        let signature = match &self.sign_with {
            Some(key) => sign(key, &namespace, &nonce).await?,
            None => {
                app.out.note(&format!(
                    "Sign with the private half, within 15 minutes:\n\n  {}\n",
                    text("/command")
                ));
                let typed = "the file that holds the signature";
                let file = app.prompt.text(None, typed, "--sign-with").await?;
                files::read_text(&files::typed(&file), "signature file")?.to_string()
            }
        };
        Ok(body.put("publicKey", public.trim()).put("challengeId", text("/id")).put("signature", signature))
    }
}

async fn sign(key: &Path, namespace: &str, nonce: &str) -> Result<String> {
    let failed =
        |why: String| CliError::Usage(format!("ssh-keygen could not sign with {}: {why}", key.display()));
    let mut child = Command::new("ssh-keygen")
        .args(["-Y", "sign", "-q", "-n", namespace, "-f"])
        .arg(key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        input.write_all(nonce.as_bytes()).await.map_err(|error| failed(error.to_string()))?;
    }
    let done = child.wait_with_output().await.map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8(done.stdout).unwrap_or_default();
    if done.status.success() && text.contains("SSH SIGNATURE") {
        Ok(text)
    } else {
        Err(failed("see above".to_owned()))
    }
}
