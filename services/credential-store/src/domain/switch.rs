//! A switch of servers to another credential: what became of each of them.

use keywright_domain::ids::ServerId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepOutcome {
    /// It was not come to; the same request goes on here.
    Pending,
    Switched,
    TestFailed,
    ChangedMeanwhile,
    Refused,
}

impl StepOutcome {
    const ALL: [Self; 5] =
        [Self::Pending, Self::Switched, Self::TestFailed, Self::ChangedMeanwhile, Self::Refused];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Switched => "switched",
            Self::TestFailed => "test_failed",
            Self::ChangedMeanwhile => "changed_meanwhile",
            Self::Refused => "refused",
        }
    }
}

impl TryFrom<String> for StepOutcome {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|outcome| outcome.as_str() == text).ok_or(())
    }
}

/// One server of a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub server: ServerId,
    pub name: String,
    pub ending: Ending,
}

/// What became of it, and why it was not switched; in plain words too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    pub outcome: StepOutcome,
    /// A reason or a check's code; empty where it was switched.
    pub reason: String,
    pub message: String,
    /// Empty: no test was run.
    pub test: String,
}

impl Ending {
    pub fn new(outcome: StepOutcome, reason: &str, message: impl Into<String>) -> Self {
        Self { outcome, reason: reason.to_owned(), message: message.into(), test: String::new() }
    }

    /// Not come to before the end of the request.
    pub fn pending() -> Self {
        Self::new(
            StepOutcome::Pending,
            Reason::DeadlineExceeded.as_str(),
            "It was not come to in the time of the request and keeps the old credential. Send the same request again to go on.",
        )
    }

    pub fn switched() -> Self {
        Self::new(StepOutcome::Switched, "", "It uses the new credential.")
    }

    pub fn changed(reason: Reason, message: &str) -> Self {
        Self::new(StepOutcome::ChangedMeanwhile, reason.as_str(), message)
    }

    pub fn refused(failure: &Failure) -> Self {
        Self::new(StepOutcome::Refused, failure.reason.as_str(), failure.message.as_str())
    }

    #[must_use]
    pub fn with_test(mut self, test: &str) -> Self {
        test.clone_into(&mut self.test);
        self
    }
}
