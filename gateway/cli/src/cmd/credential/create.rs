//! `keywright server credential-create`

use clap::Args;

use super::ROUTE;
use crate::app::App;
use crate::args::{IdempotencyArg, id};
use crate::client::Body;
use crate::cmd::key::KeyArgs;
use crate::error::Result;
use crate::fields;
use crate::output::view::credential as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server credential-create --name deploy --private-key-file ~/.ssh/deploy --username deploy --tenant ten_…
  keywright server credential-create --name ops --private-key-file ops --certificate-file ops-cert.pub --username root

The key file is read here and sent; the passphrase is dropped after the key is opened. Nothing shows the key again.")]
pub struct Create {
    /// Its name; asked for on a terminal
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// The default user to log in as
    #[arg(long)]
    username: Option<String>,
    /// A public key file that must belong to the private key
    #[arg(long, value_name = "FILE")]
    public_key_file: Option<std::path::PathBuf>,
    /// A certificate of the key (`…-cert.pub`), which logins present in place of the public key
    #[arg(long, value_name = "FILE")]
    certificate_file: Option<std::path::PathBuf>,
    /// The tenant; required for operators
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// Let internal services with the permission credential.resolve be given the key
    #[arg(long)]
    allow_resolve: bool,
    #[command(flatten)]
    idempotency: IdempotencyArg,
}

impl Create {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let name = app.prompt.text(self.name, "Name of the credential", "--name").await?;
        let mut key = self.key.read(app).await?;
        let public_key = super::rotate::public_key(self.public_key_file.as_deref())?;
        let certificate = super::rotate::certificate(self.certificate_file.as_deref())?;
        let body = Body::new()
            .put("name", name)
            .text("username", self.username.as_deref())
            .text("publicKey", public_key.as_deref())
            .text("certificate", certificate.as_deref())
            .text("tenantId", self.tenant.as_deref())
            .flag("allowResolve", self.allow_resolve)
            .text("idempotencyKey", self.idempotency.idempotency_key.as_deref());
        let answer = key.post(app, &ROUTE, &body).await?;
        app.out.answer(&answer, view::one(&answer.value));
        let id = fields::text(&answer.value, "/id");
        app.out.news(&format!(
            "Saving a key does not prove that it works: bind it and test it with keywright server credential bind SERVER_ID {id}"
        ));
        Ok(())
    }
}
