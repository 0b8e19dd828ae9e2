//! Which events: what a list and a tail have in common.

use clap::{Args, ValueEnum};

use crate::args::id;

#[derive(Args)]
pub struct Filter {
    /// Only this tenant's
    #[arg(long, value_name = "ID", value_parser = id)]
    tenant: Option<String>,
    /// Only by this principal
    #[arg(long, value_name = "ID")]
    actor: Option<String>,
    /// Only this action, as in `access.rotate`
    #[arg(long, value_name = "NAME")]
    action: Option<String>,
    /// Only about this id
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// Only with this outcome
    #[arg(long, value_enum)]
    outcome: Option<Outcome>,
    /// Only with this text in the action, target, comment, reason or a detail; case does not matter
    #[arg(long)]
    text: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Outcome {
    Pending,
    Succeeded,
    Failed,
    Denied,
    Interrupted,
}

impl Outcome {
    pub const fn wire(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Denied => "denied",
            Self::Interrupted => "interrupted",
        }
    }
}

impl Filter {
    pub fn query(&self) -> [(&'static str, Option<&str>); 6] {
        [
            ("tenantId", self.tenant.as_deref()),
            ("actor", self.actor.as_deref()),
            ("action", self.action.as_deref()),
            ("target", self.target.as_deref()),
            ("outcome", self.outcome.map(Outcome::wire)),
            ("text", self.text.as_deref()),
        ]
    }

    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    pub const fn has_text(&self) -> bool {
        self.text.is_some()
    }
}
