//! What people see of an access: the status words and ready-made texts, from recorded state and the time.

use crate::model::{
    Access, Claim, Host, KeyUse, Line, LineState, Revocation, RevocationHost, RevocationState, Rotation,
    RotationState, Settings, Step, StepName, StepState, Version, VersionState,
};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{RotationId, ServerId, VersionId};
use std::time::Duration;

const DUE_SOON: Duration = Duration::from_secs(7 * 24 * 3600);
/// The name under which a key is downloaded.
pub const KEY_FILE: &str = "tenant-ssh-key.pem";

/// From the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Active,
    Expired,
    Revoked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    None,
    Rotating,
    Grace,
    Converging,
    Revoking,
}

/// From the least to the most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    No,
    Soon,
    Overdue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadState {
    /// Not for this caller.
    Hidden,
    None,
    Available,
    Claimed,
    Downloaded,
}

/// Everything that is recorded of an access.
#[derive(Debug, Clone)]
pub struct AccessView {
    pub access: Access,
    /// What its policies say.
    pub settings: Settings,
    pub hosts: Vec<Host>,
    pub versions: Vec<Version>,
    pub lines: Vec<Line>,
    /// Of the active version, oldest first.
    pub claims: Vec<Claim>,
    /// Newest first; the last few.
    pub rotations: Vec<RotationView>,
    /// When the grace of each version ends that ever had one, and by which rotation.
    pub graces: Vec<(VersionId, Instant, RotationId)>,
    pub revocation: Option<Revocation>,
    /// As the hosts' logs were last read.
    pub uses: Vec<KeyUse>,
    pub shows_download: bool,
    pub now: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotationView {
    pub rotation: Rotation,
    pub steps: Vec<Step>,
    pub old_number: u32,
    pub new_number: u32,
    pub new_fingerprint: String,
    /// The key that it replaces, and what the hosts' logs say of its use.
    pub old_key: Option<Version>,
    pub old_uses: Vec<KeyUse>,
}

impl RotationView {
    pub fn new(rotation: Rotation, steps: Vec<Step>, versions: &[Version]) -> Self {
        let of = |id: Option<&VersionId>| versions.iter().find(|version| Some(&version.id) == id);
        let new = of(Some(&rotation.new_version));
        Self {
            old_number: of(rotation.old_version.as_ref()).map_or(0, |version| version.number),
            new_number: new.map_or(0, |version| version.number),
            new_fingerprint: new.map(fingerprint).unwrap_or_default(),
            old_key: of(rotation.old_version.as_ref()).cloned(),
            old_uses: Vec::new(),
            rotation,
            steps,
        }
    }

    /// Hosts that the new key has not reached though it is promoted.
    pub fn outstanding(&self) -> impl Iterator<Item = &ServerId> {
        let promoted = self.rotation.promoted_at.is_some() && !self.rotation.state.is_final();
        let missing = move |step: &&Step| {
            let open = !matches!(step.state, StepState::Done | StepState::Undone);
            promoted && step.name == StepName::Prove && open
        };
        self.steps.iter().filter(missing).filter_map(|step| step.server.as_ref())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationView {
    pub revocation: Revocation,
    pub hosts: Vec<RevocationHost>,
    pub now: Instant,
}

/// Empty before it is generated.
pub fn fingerprint(version: &Version) -> String {
    version.public_key.as_ref().map(|key| key.fingerprint().to_string()).unwrap_or_default()
}

impl AccessView {
    pub fn active(&self) -> Option<&Version> {
        self.versions.iter().find(|version| version.state == VersionState::Active)
    }

    /// When the active key reaches its maximum age.
    pub fn next_rotation_at(&self) -> Option<Instant> {
        self.active()?.age_ends_at(self.settings.maximum_age)
    }

    pub fn status(&self) -> Status {
        if self.access.revoked_at.is_some() || self.access.closed_at.is_some() {
            return Status::Revoked;
        }
        match self.next_rotation_at() {
            Some(end) if end <= self.now => Status::Expired,
            _ => Status::Active,
        }
    }

    pub fn activity(&self) -> Activity {
        let running = |state: RotationState| self.rotations.iter().any(|view| view.rotation.state == state);
        // What stands on a server that was released is nobody's work any more.
        let here = |line: &&Line| self.hosts.iter().any(|host| host.server == line.server);
        let pending = self.lines.iter().filter(here).any(|line| line.state == LineState::RemovalPending);
        if running(RotationState::Running) {
            Activity::Rotating
        } else if self.revocation.as_ref().is_some_and(|last| last.state == RevocationState::Running) {
            Activity::Revoking
        } else if running(RotationState::Converging) {
            Activity::Converging
        } else if self.grace_ends_at().is_some() {
            Activity::Grace
        } else if pending && self.access.closed_at.is_none() {
            Activity::Converging
        } else {
            Activity::None
        }
    }

    pub fn due(&self) -> Due {
        match self.next_rotation_at() {
            _ if self.status() == Status::Revoked => Due::No,
            Some(end) if end <= self.now => Due::Overdue,
            Some(end) if end <= self.now.plus(DUE_SOON) => Due::Soon,
            _ => Due::No,
        }
    }

    /// The last of the graces that still run.
    pub fn grace_ends_at(&self) -> Option<Instant> {
        let in_grace = |id: &VersionId| {
            self.versions.iter().any(|version| version.id == *id && version.state == VersionState::Grace)
        };
        self.graces.iter().filter(|(old, ..)| in_grace(old)).map(|(_, end, _)| *end).max()
    }

    pub fn download(&self) -> DownloadState {
        let Some(active) = self.active().filter(|_| self.shows_download) else {
            return if self.shows_download { DownloadState::None } else { DownloadState::Hidden };
        };
        let made = self.claims.len();
        let allowed = usize::try_from(self.settings.downloads_per_version).unwrap_or(usize::MAX);
        if active.is_client_made() || (made == 0 && (allowed == 0 || active.destroy_at.is_some())) {
            DownloadState::None
        } else if made < allowed && active.destroy_at.is_none() {
            DownloadState::Available
        } else if self.claims.iter().any(|claim| claim.is_open(self.now)) {
            DownloadState::Claimed
        } else {
            DownloadState::Downloaded
        }
    }

    /// Those that it opens, or is to open. A host that leaves is shown until it has refused every key.
    fn staying(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| !host.leaving)
    }

    /// For the first host.
    pub fn first_ssh_command(&self) -> String {
        self.staying().next().map(|host| self.ssh_command(host)).unwrap_or_default()
    }

    /// Empty for a host that leaves.
    pub fn ssh_command(&self, host: &Host) -> String {
        if host.leaving {
            return String::new();
        }
        let port = if host.port == 22 { String::new() } else { format!(" -p {}", host.port) };
        format!("ssh -i {KEY_FILE}{port} {}@{}", self.access.account, host.host)
    }

    pub fn tips(&self) -> Vec<String> {
        let mut tips = vec![format!("Ensure the private key has correct permissions: chmod 600 {KEY_FILE}")];
        for host in self.staying() {
            tips.push(format!("Verify that {} is the address of {}.", host.host, host.name));
            tips.push(format!(
                "Check that the firewall allows SSH connections to {} (port {}).",
                host.host, host.port
            ));
        }
        let latest = self.active().map(|version| format!(" The latest key is {}.", fingerprint(version)));
        tips.push(format!("Confirm that the SSH key has not been rotated.{}", latest.unwrap_or_default()));
        tips
    }

    /// What of the host is worth showing: every version that may still open it, and the few before.
    pub fn lines_on<'a>(&'a self, host: &'a Host) -> impl Iterator<Item = (&'a Version, &'a Line)> {
        const BEFORE: usize = 5;
        let of = |version: &Version| {
            self.lines.iter().find(|line| line.server == host.server && line.version == version.id)
        };
        let mut gone = 0usize;
        self.versions.iter().rev().filter_map(move |version| Some((version, of(version)?))).filter(
            move |(_, line)| {
                let over = matches!(line.state, LineState::RemovedProven | LineState::Absent);
                gone = gone.saturating_add(usize::from(over));
                !over || gone <= BEFORE
            },
        )
    }
}
