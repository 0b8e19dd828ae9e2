//! Everything that runs in recorded steps, and every transaction that it records: the moments at which it is hurt.

use keywright_e2e::Sshd;
use keywright_e2e::gates::Gate;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Provision,
    Rotate,
    /// Of an access on two hosts.
    RotateBoth,
    /// Of an access on two hosts, one of which is away: promoted without it, and it catches up.
    LeaveBehind,
    /// The same, hurt when the host is back.
    CatchUp,
    /// To a key that its holder makes.
    ClientMade,
    /// The old key of a rotation comes to its end, as somebody asks for it.
    EndGrace,
    /// The same by the time alone.
    GraceOver,
    /// A rotation whose new key the host refuses.
    TurnBack,
    Revoke,
    Regenerate,
    AddHost,
    RemoveHost,
    Deprovision,
}

impl Operation {
    pub const ALL: [Self; 14] = [
        Self::Provision,
        Self::Rotate,
        Self::RotateBoth,
        Self::LeaveBehind,
        Self::CatchUp,
        Self::ClientMade,
        Self::EndGrace,
        Self::GraceOver,
        Self::TurnBack,
        Self::Revoke,
        Self::Regenerate,
        Self::AddHost,
        Self::RemoveHost,
        Self::Deprovision,
    ];

    /// The further host is away for a while: nothing else goes on beside it.
    pub fn misses_a_host(self) -> bool {
        matches!(self, Self::LeaveBehind | Self::CatchUp)
    }

    pub fn begins_on_both(self) -> bool {
        self.misses_a_host() || matches!(self, Self::RotateBoth | Self::RemoveHost)
    }
}

/// A gate that an operation comes to.
#[derive(Debug, Clone)]
pub struct Moment {
    pub operation: Operation,
    pub gate: Gate,
}

/// A transaction inside of a step: its name, a write of it, and how the row then is.
type Write = (&'static str, &'static str, &'static str);

const KEY_MADE: Write = ("key made", "UPDATE OF public_key ON key_version", "NEW.public_key IS NOT NULL");
const LINE_WANTED: Write = ("line wanted", "INSERT ON host_line", "NEW.state = 'ABSENT'");
const EDIT_BEGINS: Write = ("edit begins", "UPDATE OF edit_revision ON access_host", "NEW.edit_revision > 0");
const EDIT_MADE: Write = ("edit made", "UPDATE OF residual ON access_host", "NEW.edit_revision > 0");
const LINE_STANDS: Write =
    ("line stands", "UPDATE OF state ON host_line", "NEW.state IN ('INSTALLED', 'EXPIRING')");
const LINE_PROVEN: Write = ("line proven", "UPDATE OF receipt ON host_line", "NEW.receipt IS NOT NULL");
const PROMOTED: Write = ("promoted", "UPDATE OF promoted_at ON rotation", "NEW.promoted_at IS NOT NULL");
const OLD_TOLD: Write = ("old told", "UPDATE OF pushed_state ON key_version", "NEW.pushed_state = 'GRACE'");
const NEW_TOLD: Write = ("new told", "UPDATE OF pushed_state ON key_version", "NEW.pushed_state = 'ACTIVE'");
const TO_DESTROY: Write = ("to destroy", "UPDATE OF destroy_at ON key_version", "NEW.destroy_at IS NOT NULL");
const DESTROYED: Write =
    ("destroyed", "UPDATE OF destroyed_at ON key_version", "NEW.destroyed_at IS NOT NULL");
const RETIRED: Write = ("retired", "UPDATE OF state ON key_version", "NEW.state = 'RETIRED'");
const RETIRED_TOLD: Write =
    ("retired told", "UPDATE OF pushed_state ON key_version", "NEW.pushed_state = 'RETIRED'");
const LINE_LEAVES: Write = ("line leaves", "UPDATE OF state ON host_line", "NEW.state = 'REMOVAL_PENDING'");
const LINE_GONE: Write = ("line gone", "UPDATE OF state ON host_line", "NEW.state = 'REMOVED_PROVEN'");
const HOST_LEFT: Write = ("host left", "UPDATE OF left_at ON access_host", "NEW.left_at IS NOT NULL");
const SUCCEEDED: Write = ("succeeded", "UPDATE OF state ON rotation", "NEW.state = 'SUCCEEDED'");
const GRACE_ENDED: Write =
    ("grace ended", "UPDATE OF grace_ended_at ON rotation", "NEW.grace_ended_at IS NOT NULL");
const TURNS_BACK: Write = ("turns back", "UPDATE OF failing_at ON rotation", "NEW.failing_at IS NOT NULL");
const FAILED_TOLD: Write =
    ("failed told", "UPDATE OF pushed_state ON key_version", "NEW.pushed_state = 'FAILED'");
const FAILED: Write = ("failed", "UPDATE OF state ON rotation", "NEW.state = 'FAILED'");
const REVOKED_TOLD: Write =
    ("revoked told", "UPDATE OF pushed_state ON key_version", "NEW.pushed_state = 'REVOKED'");
const HOST_PROVEN: Write =
    ("host proven", "UPDATE OF proven_at ON revocation_host", "NEW.proven_at IS NOT NULL");
const SESSIONS_ENDED: Write = (
    "sessions ended",
    "UPDATE OF sessions_ended ON revocation_host",
    "NEW.sessions_ended <> '' AND NEW.proven_at IS NULL",
);
const DEPROVISIONED: Write =
    ("deprovisioned", "UPDATE OF deprovisioned_at ON access", "NEW.deprovisioned_at IS NOT NULL");
const REVOKED: Write = ("revoked", "UPDATE OF state ON revocation", "NEW.state = 'SUCCEEDED'");

const INSTALL: [Write; 4] = [LINE_WANTED, EDIT_BEGINS, EDIT_MADE, LINE_STANDS];

fn write((name, on, when): Write) -> Gate {
    Gate::write(name, on, when)
}

/// Inside of the step alone.
fn within(step: &'static str, writes: &[Write]) -> Vec<Gate> {
    writes.iter().map(|(name, on, when)| Gate::within(step, name, on, when)).collect()
}

/// Before its effect, at every transaction of it, and after it.
fn whole(step: &'static str, writes: &[Write]) -> Vec<Gate> {
    let mut gates = vec![Gate::record(step, "STARTED")];
    gates.extend(within(step, writes));
    gates.push(Gate::record(step, "DONE"));
    gates
}

fn gates(operation: Operation) -> Vec<Gate> {
    let generate = || whole("generate", &[KEY_MADE]);
    let brought = || [whole("install", &INSTALL), whole("prove", &[LINE_PROVEN])].concat();
    match operation {
        Operation::Provision | Operation::Regenerate => [
            generate(),
            whole("account", &[]),
            brought(),
            whole("promote", &[PROMOTED, NEW_TOLD]),
            vec![write(SUCCEEDED)],
        ]
        .concat(),
        Operation::Rotate | Operation::RotateBoth | Operation::ClientMade => [
            generate(),
            brought(),
            whole("promote", &[PROMOTED, OLD_TOLD, NEW_TOLD]),
            whole("destroy_old", &[TO_DESTROY, DESTROYED]),
            whole("expire_old", &[EDIT_BEGINS, EDIT_MADE, LINE_STANDS]),
            vec![write(SUCCEEDED)],
        ]
        .concat(),
        Operation::LeaveBehind => [
            vec![Gate::record("prove", "DONE")],
            whole("promote", &[PROMOTED, OLD_TOLD, NEW_TOLD]),
            whole("destroy_old", &[TO_DESTROY, DESTROYED]),
        ]
        .concat(),
        // Its line has been wanted ever since the host was away.
        Operation::CatchUp => [
            whole("install", &[EDIT_BEGINS, EDIT_MADE, LINE_STANDS]),
            whole("prove", &[LINE_PROVEN]),
            vec![Gate::record("expire_old", "STARTED"), Gate::record("expire_old", "DONE"), write(SUCCEEDED)],
        ]
        .concat(),
        Operation::EndGrace | Operation::GraceOver => [
            whole("retire_old", &[RETIRED, RETIRED_TOLD]),
            whole("remove_old", &[LINE_LEAVES, EDIT_BEGINS, EDIT_MADE]),
            whole("prove_refused", &[LINE_GONE]),
            vec![write(GRACE_ENDED)],
        ]
        .concat(),
        Operation::TurnBack => {
            let undone = Gate::record("install", "UNDONE");
            let writes = [TURNS_BACK, EDIT_BEGINS, EDIT_MADE, FAILED_TOLD, FAILED];
            writes.into_iter().map(write).chain([undone]).collect()
        }
        Operation::Revoke => {
            let writes =
                [EDIT_BEGINS, EDIT_MADE, SESSIONS_ENDED, LINE_GONE, HOST_PROVEN, REVOKED_TOLD, REVOKED];
            writes.into_iter().map(write).collect()
        }
        Operation::AddHost => {
            [whole("hold", &[]), whole("account", &[]), brought(), vec![write(SUCCEEDED)]].concat()
        }
        Operation::RemoveHost => [
            whole("remove_old", &[EDIT_BEGINS, EDIT_MADE]),
            whole("prove_refused", &[LINE_GONE]),
            whole("let_go", &[HOST_LEFT]),
            vec![write(SUCCEEDED)],
        ]
        .concat(),
        Operation::Deprovision => {
            let writes =
                [EDIT_BEGINS, EDIT_MADE, LINE_GONE, HOST_PROVEN, REVOKED_TOLD, DEPROVISIONED, REVOKED];
            writes.into_iter().map(write).collect()
        }
    }
}

/// Of this operation alone.
pub fn of_one(operation: Operation) -> Vec<Moment> {
    of(operation, gates(operation)).collect()
}

fn of(operation: Operation, gates: Vec<Gate>) -> impl Iterator<Item = Moment> {
    gates.into_iter().map(move |gate| Moment { operation, gate })
}

/// Every moment of every operation.
pub fn all() -> Vec<Moment> {
    Operation::ALL.into_iter().flat_map(|operation| of(operation, gates(operation))).collect()
}

/// Before the effect of each step that reaches a host.
pub fn before_hosts() -> Vec<Moment> {
    const STEPS: [&str; 6] = ["account", "install", "prove", "expire_old", "remove_old", "prove_refused"];
    let reaches = |moment: &Moment| STEPS.iter().any(|step| moment.gate.name == format!("{step} STARTED"));
    all().into_iter().filter(reaches).filter(|moment| !moment.operation.misses_a_host()).collect()
}

/// Before the effect of each step that writes on a host.
pub fn before_edits() -> Vec<Moment> {
    const STEPS: [&str; 3] = ["install", "expire_old", "remove_old"];
    let edits = |moment: &Moment| STEPS.iter().any(|step| moment.gate.name == format!("{step} STARTED"));
    all().into_iter().filter(edits).filter(|moment| !moment.operation.misses_a_host()).collect()
}

/// Dropbear is told no end: there that edit changes a comment at most, and may fail.
pub fn needs_its_edit(moment: &Moment, sshd: Sshd) -> bool {
    sshd == Sshd::OpenSsh || moment.gate.name != "expire_old STARTED"
}

/// Inside of each step before the promotion: one that can never record what it did fails for good.
pub fn never_recorded() -> Vec<Moment> {
    let brings = |operation: Operation| {
        let key = match operation {
            Operation::Provision
            | Operation::Rotate
            | Operation::RotateBoth
            | Operation::ClientMade
            | Operation::Regenerate => {
                [within("generate", &[KEY_MADE]), within("promote", &[PROMOTED])].concat()
            }
            _ => Vec::new(),
        };
        [within("install", &INSTALL), within("prove", &[LINE_PROVEN]), key].concat()
    };
    let operations = [
        Operation::Provision,
        Operation::Rotate,
        Operation::RotateBoth,
        Operation::ClientMade,
        Operation::Regenerate,
        Operation::AddHost,
    ];
    operations.into_iter().flat_map(|operation| of(operation, brings(operation))).collect()
}
