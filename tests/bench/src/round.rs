//! One round of many operations at once: what they took.

use std::time::Duration;

use crate::figures::spread;

pub struct Round {
    pub count: usize,
    pub wall: Duration,
    /// Of the host's sshd and what it runs.
    pub host: Duration,
    /// Of Keywright, or of whatever else is the client and the programs that it starts.
    pub client: Duration,
}

impl Round {
    /// Operations a second: only ever half of a ratio.
    pub fn rate(&self) -> f64 {
        self.count as f64 / self.wall.as_secs_f64()
    }

    /// CPU milliseconds an operation.
    pub fn client_cpu(&self) -> f64 {
        self.client.as_secs_f64() * 1e3 / self.count as f64
    }

    pub fn host_cpu(&self) -> f64 {
        self.host.as_secs_f64() * 1e3 / self.count as f64
    }

    pub fn client_over_host(&self) -> f64 {
        self.client.as_secs_f64() / self.host.as_secs_f64()
    }

    /// The rate over what two sides that never wait for one another would do with all cores.
    pub fn over_bound(&self, cores: usize) -> f64 {
        self.rate() / (cores as f64 * 1e3 / (self.host_cpu() + self.client_cpu()))
    }
}

/// One figure of each round.
pub fn each(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> String {
    spread(rounds.iter().map(figure))
}

/// One figure of both, round by round.
pub fn against(own: &[Round], others: &[Round], ratio: impl Fn(&Round, &Round) -> f64) -> String {
    spread(own.iter().zip(others).map(|(own, other)| ratio(own, other)))
}
