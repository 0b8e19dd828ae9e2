//! What is shown: answers on standard output, everything else on standard error. The only place that prints.
//!
//! Invariant: text from servers and gateways reaches the terminal without control characters.

mod block;
mod progress;
pub mod view;

use std::io::{IsTerminal, Write};
use std::os::fd::AsFd;

use clap::ValueEnum;
use tokio::io::Interest;
use tokio::net::unix::pipe;

pub use block::{Block, facts, grid};
pub use progress::{Count, Progress, Work};

use crate::client::{Answer, Page};
use crate::error::CliError;

/// How answers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables, for people
    Table,
    /// The REST answer, unchanged, for programs
    Json,
}

#[derive(Clone, Copy)]
pub struct Output {
    format: Format,
}

impl Output {
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// An answer: as it came, or as blocks.
    pub fn answer(self, answer: &Answer, blocks: Vec<Block>) {
        match self.format {
            Format::Json => stdout(answer.text.trim_end()),
            Format::Table => self.blocks(blocks),
        }
    }

    /// A list: as it came, or as a table.
    pub fn page(self, page: &Page, table: Block) {
        if self.is_json() || !page.items().is_empty() {
            self.answer(&page.answer, vec![table]);
        } else {
            self.note("Nothing found.");
        }
        if page.has_more() && !self.is_json() {
            self.note("There are more: use --all, or a larger --limit.");
        }
    }

    /// A line of many, as they happen; false if nobody reads them any more.
    pub fn line(self, text: &str) -> bool {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).is_ok()
    }

    /// Blocks for people; nothing with JSON.
    pub fn blocks(self, blocks: Vec<Block>) {
        if !self.is_json() {
            let texts: Vec<String> =
                blocks.iter().map(Block::render).filter(|text| !text.is_empty()).collect();
            if !texts.is_empty() {
                stdout(&texts.join("\n\n"));
            }
        }
    }

    /// Something a person should know, whatever the format.
    pub fn note(self, text: &str) {
        stderr(&clean(text));
    }

    /// Something a person at a table wants to see as it happens.
    pub fn news(self, text: &str) {
        if !self.is_json() {
            self.note(text);
        }
    }

    /// Blocks on standard error, before a question.
    pub fn aside(self, blocks: &[Block]) {
        for block in blocks {
            stderr(&block.render());
        }
    }

    /// Whether a bar can be drawn.
    pub fn draws(self) -> bool {
        !self.is_json() && std::io::stderr().is_terminal()
    }

    /// A file as it came, whatever the format.
    pub fn bytes(self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _ = out.write_all(bytes).and_then(|()| out.flush());
    }

    /// An error: for people with reason and request id; for programs the Status, on one line.
    pub fn error(self, error: &CliError) {
        if matches!(error, CliError::Unchanged) {
            return;
        }
        if self.is_json() {
            stderr(&error.status().to_string());
            return;
        }
        stderr(&clean(&format!("error: {}", error.full_message())));
        if let CliError::Api(api) = error {
            for (field, description) in &api.violations {
                stderr(&clean(&format!("  {field}: {description}")));
            }
            for (name, value) in &api.facts {
                stderr(&clean(&format!("  {name}: {value}")));
            }
            if !api.retry_after.is_empty() {
                stderr(&clean(&format!("try again in {}", api.retry_after)));
            }
            if !api.reason.is_empty() {
                stderr(&clean(&format!("reason: {}", api.reason)));
            }
            if let Some(id) = &api.request_id {
                stderr(&clean(&format!("request id: {id}")));
            }
        }
    }
}

/// Without control characters but line ends: a banner or a name must not move the cursor.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// A reader that went away (`| head`) is no error.
fn stdout(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Waits until what reads a pipe at the standard output is gone; for ever where there is no pipe.
/// The pipe is only watched: it stays a blocking one, so that no line is lost when it is full.
pub async fn reader_gone() {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned();
    let pipe = stdout.and_then(pipe::Sender::from_owned_fd_unchecked);
    if let Ok(pipe) = pipe {
        while let Ok(ready) = pipe.ready(Interest::ERROR).await {
            if ready.is_error() || ready.is_write_closed() {
                return;
            }
        }
    }
    std::future::pending().await
}

fn stderr(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{text}").and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\r\nc\u{9b}d"), "a\u{fffd}[2Jb\u{fffd}\nc\u{fffd}d");
    }
}
