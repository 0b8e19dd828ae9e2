//! `keywright audit keys`

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use crate::app::App;
use crate::error::Result;
use crate::fields::text;
use crate::files;
use crate::output::view::audit as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright audit keys
  keywright audit keys --out log.pub

Whoever verifies takes the keys once, from somebody he trusts: `keywright audit verify --key log.pub`. A file that exists is
not replaced.")]
pub struct Keys {
    /// Keep them, one a line, in a new file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Keys {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let answer = app.client.get(&["api", "audit", "log", "keys"]).await?;
        if let Some(out) = &self.out {
            let items = answer
                .value
                .pointer("/items")
                .and_then(Value::as_array)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let lines: String = items.iter().map(line).collect();
            files::create_new(out, lines.as_bytes())?;
        }
        app.out.answer(&answer, view::keys(&answer.value));
        if let Some(out) = &self.out {
            app.out.news(&format!("Written to {}.", out.display()));
        }
        Ok(())
    }
}

fn line(key: &Value) -> String {
    format!("{}\n", text(key, "/verifierKey"))
}
