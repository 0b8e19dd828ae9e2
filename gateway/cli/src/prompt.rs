//! Questions to a person at a terminal. Without a terminal each is a usage error that names the flag instead.

use std::io::IsTerminal;

use dialoguer::theme::SimpleTheme;
use dialoguer::{Confirm, Input, Password, Select};
use zeroize::Zeroizing;

use crate::error::{CliError, Result};

/// Whether and how to ask. Questions go to standard error.
#[derive(Clone, Copy)]
pub struct Prompt {
    terminal: bool,
}

impl Prompt {
    pub fn new() -> Self {
        Self { terminal: std::io::stdin().is_terminal() && std::io::stderr().is_terminal() }
    }

    /// Whether somebody is there to answer.
    pub fn is_terminal(self) -> bool {
        self.terminal
    }

    /// A text that was not given as `flag`.
    pub async fn text(self, given: Option<String>, question: &str, flag: &str) -> Result<String> {
        if let Some(given) = given {
            return Ok(given);
        }
        self.need(flag)?;
        let question = question.to_owned();
        let answer =
            blocking(move || Input::<String>::with_theme(&SimpleTheme).with_prompt(question).interact_text())
                .await?;
        Ok(answer.trim().to_owned())
    }

    /// A secret, without echo; empty is allowed.
    pub async fn secret(self, question: &str, twice: bool, flag: &str) -> Result<Zeroizing<String>> {
        self.need(flag)?;
        let question = question.to_owned();
        let answer = blocking(move || {
            let mut ask = Password::with_theme(&SimpleTheme)
                .with_prompt(question)
                .allow_empty_password(true)
                .report(false);
            if twice {
                ask = ask.with_confirmation("Once more", "They differ. Again");
            }
            ask.interact()
        })
        .await?;
        Ok(Zeroizing::new(answer))
    }

    /// One of several; answers its position.
    pub async fn choose(self, question: &str, items: Vec<String>, flag: &str) -> Result<usize> {
        self.need(flag)?;
        let question = question.to_owned();
        blocking(move || {
            Select::with_theme(&SimpleTheme).with_prompt(question).items(&items).default(0).interact_opt()
        })
        .await?
        .ok_or(CliError::Declined)
    }

    /// Yes or no; no is the default and an error.
    pub async fn agree(self, question: &str, flag: &str) -> Result<()> {
        if self.yes(question, flag).await? { Ok(()) } else { Err(CliError::Declined) }
    }

    /// Yes or no; no is the default.
    pub async fn yes(self, question: &str, flag: &str) -> Result<bool> {
        self.need(flag)?;
        let question = question.to_owned();
        let answer = blocking(move || {
            Confirm::with_theme(&SimpleTheme).with_prompt(question).default(false).interact_opt()
        })
        .await?;
        Ok(answer.unwrap_or(false))
    }

    /// The exact id, typed.
    pub async fn type_id(self, id: &str, flag: &str) -> Result<String> {
        self.need(flag)?;
        let (expected, question) = (id.to_owned(), format!("Type {id} to confirm"));
        let answer = blocking(move || {
            Input::<String>::with_theme(&SimpleTheme)
                .with_prompt(question)
                .validate_with(|typed: &String| match typed.trim() == expected {
                    true => Ok(()),
                    false => Err("not exactly the id (Ctrl-C to leave)"),
                })
                .interact_text()
        })
        .await?;
        Ok(answer.trim().to_owned())
    }

    /// The exact number, typed.
    pub async fn type_count(self, count: u64, flag: &str) -> Result<u64> {
        self.need(flag)?;
        let answer = blocking(move || {
            Input::<String>::with_theme(&SimpleTheme)
                .with_prompt(format!("Type {count} to confirm"))
                .validate_with(|typed: &String| match typed.trim().parse() == Ok(count) {
                    true => Ok(()),
                    false => Err("not exactly the number (Ctrl-C to leave)"),
                })
                .interact_text()
        })
        .await?;
        Ok(answer.trim().parse().unwrap_or(count))
    }

    fn need(self, flag: &str) -> Result<()> {
        if self.terminal {
            return Ok(());
        }
        Err(CliError::Usage(format!("{flag} is required: there is no terminal to ask at")))
    }
}

/// Waits for a person off the async threads, so that Ctrl-C is heard meanwhile.
async fn blocking<T: Send + 'static>(
    ask: impl FnOnce() -> Result<T, dialoguer::Error> + Send + 'static,
) -> Result<T> {
    let failed = |source| CliError::File { doing: "the terminal cannot be asked".into(), source };
    match tokio::task::spawn_blocking(ask).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(dialoguer::Error::IO(source))) => Err(failed(source)),
        Err(joining) => Err(failed(std::io::Error::other(joining))),
    }
}
