//! The end of a recovery: what the hosts said becomes the recorded state, and what an operator wants back is marked.

use crate::model::{Answer, Finding, LineState, RecoveryLine, Rotation, StepName, StepState};
use crate::rotation;
use crate::store;
use keywright_domain::ids::VersionId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Tx;

/// What the operator typed.
#[derive(Debug, Clone)]
pub struct Asked {
    pub target_count: Option<i32>,
    pub restore_lines: Vec<String>,
}

/// Lines that are not as the backup says.
pub fn differing(lines: &[RecoveryLine]) -> usize {
    lines.iter().filter(|line| line.finding() != Finding::AsRecorded).count()
}

/// In the transaction that ends the recovery.
pub async fn complete(tx: &mut Tx, asked: &Asked) -> Result<(), Error> {
    let recovery = store::recovery::find(tx.conn()).await?;
    let Some(recovery) = recovery else {
        return Err(Failure::violation("confirmation", "is for a recovery, and there is none").into());
    };
    if !recovery.is_active() {
        return Ok(());
    }
    if recovery.probed_at.is_none() {
        return Err(
            Failure::violation("confirmation", "needs hosts that were probed: probe them first").into()
        );
    }
    let lines = store::recovery::lines(tx.conn()).await?;
    confirmed(asked, differing(&lines))?;
    for id in &asked.restore_lines {
        let known = lines
            .iter()
            .any(|line| line.id == *id && line.finding() == Finding::Missing && line.access().is_some());
        if !known {
            let what = "names what is not a missing key of an access";
            return Err(Failure::violation("restoreLines", what).with("lineId", id.as_str()).into());
        }
    }
    let mut forward = Vec::new();
    for rotation in store::rotation::unpromoted(tx.conn()).await? {
        if goes_forward(tx, &rotation, &lines).await? {
            forward.push(rotation.new_version);
        } else {
            turn_back(tx, rotation, &lines).await?;
        }
    }
    for line in &lines {
        one(tx, line, asked.restore_lines.contains(&line.id), &forward).await?;
    }
    Ok(store::recovery::complete(tx).await?)
}

fn confirmed(asked: &Asked, count: usize) -> Result<(), Failure> {
    let Some(typed) = asked.target_count else {
        return Err(Failure::new(Reason::ConfirmationRequired, "The confirmation is missing.")
            .with("targetCount", count.to_string()));
    };
    if usize::try_from(typed).is_ok_and(|typed| typed == count) {
        return Ok(());
    }
    let what = "The confirmation is not the number of keys that are missing, unexpected or unreachable.";
    Err(Failure::new(Reason::ConfirmationMismatch, what).with("targetCount", count.to_string()))
}

async fn one(tx: &mut Tx, line: &RecoveryLine, put_back: bool, forward: &[VersionId]) -> Result<(), Error> {
    let version = VersionId::parse(&line.version_id).ok();
    let (Some(access), Some(version)) = (line.access(), version) else {
        // A management key that should be gone goes when the server is next taken under management; its successor is
        // installed the same way.
        if line.finding() == Finding::Unexpected {
            store::management::stands(tx, &line.version_id).await?;
        }
        return Ok(store::recovery::settle(tx, &line.id).await?);
    };
    if forward.contains(&version) {
        store::line::want(tx, &access, &line.server, &version).await?;
        return Ok(store::recovery::settle(tx, &line.id).await?);
    }
    match line.finding() {
        Finding::AsRecorded => store::recovery::settle(tx, &line.id).await?,
        Finding::Missing if put_back => {
            let versions = store::version::of(tx.conn(), &access).await?;
            let live = versions.iter().any(|known| known.id == version && known.state.is_live());
            if !live {
                let what = "names a key that was revoked meanwhile";
                return Err(Failure::violation("restoreLines", what).with("lineId", line.id.as_str()).into());
            }
            store::recovery::leave_open(tx, &line.id, true).await?;
        }
        Finding::Missing => {
            store::line::set_state(tx, &line.server, &version, LineState::RemovedProven).await?;
            store::access::touch(tx, &access).await?;
            store::recovery::settle(tx, &line.id).await?;
        }
        Finding::Unexpected => {
            store::line::want(tx, &access, &line.server, &version).await?;
            store::line::set_state(tx, &line.server, &version, LineState::RemovalPending).await?;
            store::access::touch(tx, &access).await?;
            store::recovery::leave_open(tx, &line.id, false).await?;
        }
        Finding::Unprobed | Finding::Unreachable => store::recovery::leave_open(tx, &line.id, false).await?,
    }
    Ok(())
}

/// A rotation that had not promoted its key when the backup was taken goes on only where every host has the key: it may
/// have been revoked after the backup, and must not come back by itself.
async fn goes_forward(tx: &mut Tx, rotation: &Rotation, lines: &[RecoveryLine]) -> Result<bool, Error> {
    if rotation.failing_at.is_some() {
        return Ok(false);
    }
    let hosts = store::access::hosts(tx.conn(), &rotation.access).await?;
    let has = |host: &crate::model::Host| {
        lines.iter().any(|line| {
            line.server == host.server
                && line.version_id == rotation.new_version.as_str()
                && line.answer == Answer::Accepted
        })
    };
    Ok(!hosts.is_empty() && hosts.iter().all(has))
}

async fn turn_back(tx: &mut Tx, mut rotation: Rotation, lines: &[RecoveryLine]) -> Result<(), Error> {
    let now = tx.now();
    let why = Failure::new(Reason::RecoveryMode, "The installation was restored while this rotation ran.");
    rotation::turn_back(tx, &mut rotation, &why).await?;
    rotation.next_at = Some(now);
    // It may have come to hosts of which the backup knows nothing.
    for mut step in store::step::of(tx.conn(), &rotation.id).await? {
        let may_have = |line: &&RecoveryLine| {
            Some(&line.server) == step.server.as_ref()
                && line.version_id == rotation.new_version.as_str()
                && line.answer != Answer::Refused
        };
        if step.name == StepName::Install
            && step.state == StepState::Pending
            && lines.iter().any(|line| may_have(&line))
        {
            step.state = StepState::Started;
            store::step::update(tx, &rotation.id, &step).await?;
        }
    }
    Ok(store::rotation::update(tx, &rotation).await?)
}
