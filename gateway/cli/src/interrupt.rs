//! Ctrl-C: leaves the terminal as it was, lets a begun download finish, and says what goes on without us.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Result};
use crate::output::Output;

/// What an interrupt must respect.
pub struct Interrupts {
    held: AtomicUsize,
    ignored: AtomicBool,
    hint: Mutex<String>,
    terminal: Option<Termios>,
}

/// While it lives the first Ctrl-C is put off.
pub struct Hold<'a>(&'a Interrupts);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.held.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Interrupts {
    /// Remembers how the terminal is set before any prompt changes it.
    pub fn new() -> Self {
        Self {
            held: AtomicUsize::new(0),
            ignored: AtomicBool::new(false),
            hint: Mutex::default(),
            terminal: tcgetattr(std::io::stdin()).ok(),
        }
    }

    /// Puts off the first Ctrl-C: for the moments between taking a key and having it on disk.
    pub fn hold(&self) -> Hold<'_> {
        self.held.fetch_add(1, Ordering::SeqCst);
        Hold(self)
    }

    /// Ctrl-C is for a program that we started, and which has the terminal from here on.
    pub fn ignore(&self) {
        self.ignored.store(true, Ordering::SeqCst);
    }

    /// Ctrl-C is for the caller from here on: it comes out of what is answered, even if it was pressed before that is asked.
    ///
    /// # Errors
    /// `File` if the signal cannot be had.
    pub fn take(&self) -> Result<Signal> {
        let taken = signal(SignalKind::interrupt());
        self.ignore();
        taken.map_err(|source| CliError::File { doing: "Ctrl-C cannot be heard".into(), source })
    }

    /// What to say if the user interrupts from here on.
    pub fn hint(&self, text: &str) {
        text.clone_into(&mut self.hint.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Runs the work; ends it at Ctrl-C. Dropping the work runs its clean-up.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T>>, out: &Output) -> Result<T> {
        let mut warned = false;
        let mut work = Some(Box::pin(work));
        loop {
            let Some(running) = work.as_mut() else { return Err(self.interrupted()) };
            let mut pressed = pin!(tokio::signal::ctrl_c());
            tokio::select! {
                result = running => return result,
                Ok(()) = &mut pressed => {}
            }
            if self.ignored.load(Ordering::SeqCst) {
                continue;
            }
            if self.held.load(Ordering::SeqCst) > 0 && !warned {
                warned = true;
                out.note("The key is on its way: finishing first. Press Ctrl-C again to stop at once.");
            } else {
                work = None;
                self.restore_terminal();
            }
        }
    }

    fn interrupted(&self) -> CliError {
        CliError::Interrupted { hint: self.hint.lock().unwrap_or_else(PoisonError::into_inner).clone() }
    }

    /// A prompt may have switched off the echo or the cursor.
    fn restore_terminal(&self) {
        if let Some(saved) = &self.terminal
            && tcsetattr(std::io::stdin(), OptionalActions::Now, saved).is_ok()
        {
            // Nothing can be done about a terminal that does not take it.
            let _ = std::io::stderr().write_all(b"\x1b[?25h\n");
        }
    }
}
