//! `keywright server algorithms`: what a server offers, and how good it is.

use clap::{Args, ValueEnum};

use crate::app::App;
use crate::args::id;
use crate::client::Body;
use crate::error::{CliError, Result};
use crate::fields;
use crate::output::view::algorithms as view;

#[derive(Args)]
#[command(after_help = "Examples:
  keywright server algorithms srv_…
  keywright server algorithms srv_… --all
  keywright server algorithms srv_… --at-least B

A: nothing weak, and a post-quantum key exchange. B: nothing weak, but no such exchange. C: something weak. F: something
broken. One bad algorithm counts, however many good ones stand beside it: an attacker chooses. Notes do not count.
Nothing is logged in to, and nothing is kept. Exit code 9 if the grade is worse than --at-least, otherwise 0.")]
pub struct Algorithms {
    /// `srv_…`
    #[arg(value_name = "SERVER_ID", value_parser = id)]
    server: String,
    /// Also everything that the server offers
    #[arg(long)]
    all: bool,
    /// Exit with code 9 if the grade is worse
    #[arg(long, value_enum, value_name = "GRADE", ignore_case = true)]
    at_least: Option<Grade>,
}

/// The best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Grade {
    /// Nothing weak, and a post-quantum key exchange
    #[value(name = "A")]
    A,
    /// Nothing weak
    #[value(name = "B")]
    B,
    /// Nothing broken
    #[value(name = "C")]
    C,
}

impl Algorithms {
    pub async fn run(self, app: &App<'_>) -> Result<()> {
        let route = ["api", "servers", &self.server, "algorithms", "assess"];
        let answer = app.client.post(&route, &Body::new()).await?;
        app.out.answer(&answer, view::assessment(&answer.value, self.all));
        verdict(fields::text(&answer.value, "/grade"), self.at_least)
    }
}

/// # Errors
/// `Unproven` if the grade is worse than wanted, or none that we know.
fn verdict(grade: &str, wanted: Option<Grade>) -> Result<()> {
    let Some(wanted) = wanted else { return Ok(()) };
    let found = Grade::from_str(grade, false).ok();
    if found.is_some_and(|found| found <= wanted) {
        return Ok(());
    }
    Err(CliError::Unproven(format!(
        "the server's algorithms are graded {grade}, which is worse than {wanted:?}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worse_grade_than_wanted_is_unproven() {
        let cases = [
            ("A", Some(Grade::A), true),
            ("A", Some(Grade::C), true),
            ("B", Some(Grade::A), false),
            ("C", Some(Grade::C), true),
            ("F", Some(Grade::C), false),
            ("", Some(Grade::C), false),
            ("F", None, true),
        ];
        for (grade, wanted, good) in cases {
            let result = verdict(grade, wanted);
            assert_eq!(result.is_ok(), good, "{grade} {wanted:?}");
            assert!(result.err().is_none_or(|error| error.exit() == crate::exit::Exit::Unproven));
        }
    }
}
