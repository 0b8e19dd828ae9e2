//! What a replica does for fleet tests: takes targets in waves, tests them, records what it found, and ends what is through.
//!
//! Invariant: what is to be done stands in the database alone. A replica holds its targets by one lease that it keeps
//! renewing; once that is lost it stops, whoever comes next takes them, and what it still found counts for nothing.

use super::choose::{Place, choose};
use super::latency::Latencies;
use super::results::{EndedTest, Results, is_passing};
use super::{FleetTest, Origin, State, Target, TargetResult, TargetState, network_of};
use crate::adapters::directory::{BoundServer, MOST_AT_ONCE};
use crate::heartbeat::{Found, Rounds};
use crate::report::Status;
use crate::store::{self, fleet_target, fleet_test};
use crate::tester::{Tested, Tester, bound_login, refuse_inactive};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::clock::Instant;
use keywright_domain::ids::{FleetTestId, ServerId, TestId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry};
use keywright_runtime::failure::{Error, Failure};
use keywright_ssh::Target as Address;
use keywright_storage::lease;
use keywright_storage::{Db, Outcome};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Tests that one replica has under way.
const AT_ONCE: usize = 64;
/// How often it looks whether there is a fleet test at all; its own are told at once.
const IDLE: Duration = Duration::from_secs(2);
/// A target of a cancelled fleet test has ended by then, or its holder is gone and somebody has seen it.
const LONGEST_AFTERMATH: Duration = Duration::from_secs(3600);
/// How often it looks for what to begin.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Short, so that another replica soon takes over what a killed one had.
const LEASE: Duration = Duration::from_secs(4);
const RENEW: Duration = Duration::from_secs(1);
/// Targets that a wave has at least: a quarter of what may run at once, or this, where more are left.
const LEAST_WAVE: usize = 8;
/// Looks between two for what others have left.
const ORPHANS_EVERY: u32 = 5;
/// Of those that wait, so many are looked at: a host or network that is full holds up at most these.
const IN_VIEW: i64 = 1_000;
/// Names that are resolved at once.
const NAMES: i64 = 64;
const LONGEST_RESOLUTION: Duration = Duration::from_secs(3);
/// Before a target is tried again, where not it but a service of ours did not answer.
const PAUSE: Duration = Duration::from_secs(5);
/// Tries before it is given up: half an hour with a sealed store.
const TRIES: u32 = 360;

#[derive(Clone)]
pub struct Driver {
    pub db: Db,
    pub audit: Audit,
    pub tester: Tester,
    pub rounds: Rounds,
    /// The id of this replica's lease.
    pub holder: String,
    pub wake: Arc<Notify>,
    pub results: Results,
}

/// How the targets of a wave ended.
#[derive(Debug, Default)]
struct Ended {
    healthy: u32,
    degraded: u32,
    unreachable: u32,
    skipped: u32,
    put_off: u32,
}

impl Driver {
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.begin_rounds().await;
            if self.open().await.is_ok_and(|tests| !tests.is_empty()) {
                self.take_part(&stop).await;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(IDLE) => {}
            }
        }
    }

    async fn begin_rounds(&self) {
        if let Err(failure) = self.rounds.begin().await {
            tracing::debug!(reason = failure.reason.as_str(), "heartbeats wait");
        }
    }

    /// Under the lease, until nothing is left to do.
    async fn take_part(&self, stop: &CancellationToken) {
        let Ok(Some(lease)) = lease::acquire(&self.db, &self.holder, &self.holder, LEASE).await else {
            return;
        };
        let work = async {
            // A lease that was lost and taken again: what was under way then is not any more.
            match self.give_back().await {
                Ok(()) => self.work().await,
                Err(failure) => tracing::debug!(reason = failure.reason.as_str(), "fleet tests wait"),
            }
        };
        tokio::select! {
            () = work => {}
            () = stop.cancelled() => {}
            () = lease::lost(&self.db, &lease, LEASE, RENEW) => tracing::warn!("the lease on fleet tests was lost"),
        }
        if lease::release(&self.db, &lease).await.is_err() {
            tracing::debug!("the lease on fleet tests ends by itself");
        }
    }

    async fn give_back(&self) -> Result<(), Failure> {
        for test in self.open().await? {
            self.take_back(&test.id, Some(&self.holder)).await?;
        }
        Ok(())
    }

    async fn open(&self) -> Result<Vec<FleetTest>, Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        Ok(fleet_test::open(&mut reader, now.minus(LONGEST_AFTERMATH)).await?)
    }

    /// What it has begun ends with it, where it is dropped.
    async fn work(&self) {
        let room = Arc::new(Semaphore::new(AT_ONCE));
        let mut waves: JoinSet<()> = JoinSet::new();
        let mut look = 0u32;
        loop {
            match self.look(&room, &mut waves, look).await {
                Ok(0) if waves.is_empty() => return,
                Ok(_) => {}
                Err(failure) => tracing::debug!(reason = failure.reason.as_str(), "fleet tests wait"),
            }
            look = look.wrapping_add(1);
            while waves.try_join_next().is_some() {}
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// How many fleet tests are open.
    async fn look(
        &self,
        room: &Arc<Semaphore>,
        waves: &mut JoinSet<()>,
        look: u32,
    ) -> Result<usize, Failure> {
        if look.is_multiple_of(ORPHANS_EVERY) {
            self.begin_rounds().await;
        }
        let mut tests = self.open().await?;
        let number = tests.len();
        // Each is the first in its turn to take what room there is.
        let first = usize::try_from(look).unwrap_or_default().checked_rem(number).unwrap_or_default();
        tests.rotate_left(first);
        for test in tests {
            if look.is_multiple_of(ORPHANS_EVERY) {
                self.take_back(&test.id, None).await?;
            }
            if test.state != State::Running {
                continue;
            }
            self.find_networks(&test.id).await?;
            let begun = self.begin(&test, room.available_permits()).await?;
            if begun.is_empty() {
                self.end_if_through(&test).await?;
                continue;
            }
            let permits = begun.iter().map_while(|_| room.clone().try_acquire_owned().ok()).collect();
            let driver = self.clone();
            waves.spawn(async move { driver.wave(test, begun, permits).await });
        }
        Ok(number)
    }

    async fn take_back(&self, id: &FleetTestId, mine: Option<&str>) -> Result<(), Failure> {
        let taken = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("targets of a replica that is gone").await?;
            let latest = lease::latest(tx.now(), LEASE);
            let taken = fleet_target::take_back(&mut tx, id, latest, mine).await?;
            tx.commit().await?;
            Ok::<u64, Error>(taken)
        });
        match taken.await? {
            0 => {}
            taken => tracing::info!(test = %id, taken, "targets of a replica that is gone wait again"),
        }
        Ok(())
    }

    /// Of the names whose turn is near.
    async fn find_networks(&self, id: &FleetTestId) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let names = fleet_target::unresolved(&mut reader, id, NAMES).await?;
        drop(reader);
        if names.is_empty() {
            return Ok(());
        }
        let mut lookups = JoinSet::new();
        for (position, host, port) in names {
            let journey = self.tester.journey.clone();
            lookups.spawn(async move {
                let address = Address::new(&host, port);
                let found = tokio::time::timeout(LONGEST_RESOLUTION, journey.address(&address)).await;
                (position, found.ok().flatten().map(network_of).unwrap_or_default())
            });
        }
        let found = lookups.join_all().await;
        let kept = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("networks of names").await?;
            for (position, network) in &found {
                fleet_target::set_network(&mut tx, id, *position, network).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(kept.await?)
    }

    /// The positions of a wave, which are ours from here on.
    async fn begin(&self, test: &FleetTest, room: usize) -> Result<Vec<i64>, Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let runs = fleet_target::places_that_run(&mut reader, &test.id).await?;
        let waiting =
            fleet_target::places_that_wait(&mut reader, &test.id, now, latest(now), IN_VIEW).await?;
        drop(reader);
        if wave(test, &runs, &waiting, room).is_empty() {
            return Ok(Vec::new());
        }
        let begun = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a wave of a fleet test").await?;
            let now = tx.now();
            let runs = fleet_target::places_that_run(tx.conn(), &test.id).await?;
            let waiting =
                fleet_target::places_that_wait(tx.conn(), &test.id, now, latest(now), IN_VIEW).await?;
            let chosen = wave(test, &runs, &waiting, room);
            for position in &chosen {
                fleet_target::begin(&mut tx, &test.id, *position, &self.holder).await?;
            }
            tx.commit().await?;
            Ok::<Vec<i64>, Error>(chosen)
        });
        Ok(begun.await?)
    }

    /// In the log before it begins; with a log that does not answer nothing does.
    async fn wave(self, test: FleetTest, begun: Vec<i64>, permits: Vec<OwnedSemaphorePermit>) {
        let caller = Caller::background(ServiceName::ConnectivityProbe, test.id.as_str());
        let entry = Entry::new("fleet_test.wave").tenant(test.tenant.as_ref()).target(test.id.as_str());
        let entry = entry.detail("targets", begun.len().to_string());
        let intent = match self.audit.intend(&caller, entry).await {
            Ok(intent) => intent,
            Err(failure) => {
                tracing::info!(test = %test.id, reason = failure.reason.as_str(), "a wave is put off");
                for position in begun {
                    self.put_off(&test.id, position).await;
                }
                return;
            }
        };
        let Ok(targets) = self.targets(&test.id, &begun).await else {
            for position in begun {
                self.put_off(&test.id, position).await;
            }
            return;
        };
        let mut servers = self.servers(&caller, &targets).await;
        let mut tests = JoinSet::new();
        let mut permits = permits.into_iter();
        for target in targets {
            let server = match &mut servers {
                Ok(servers) => servers
                    .remove(&target.server)
                    .ok_or_else(|| Failure::not_found(Reason::ServerNotFound, target.server.as_str())),
                Err(failure) => Err(failure.clone()),
            };
            let (driver, test, caller, permit) = (self.clone(), test.clone(), caller.clone(), permits.next());
            tests.spawn(async move {
                let ended = driver.one(&caller, &test, target, server).await;
                drop(permit);
                ended
            });
        }
        let mut all = Ended::default();
        for ended in tests.join_all().await {
            let count = match ended {
                Some(result) => match result.status {
                    Some(Status::Healthy) => &mut all.healthy,
                    Some(Status::Degraded) => &mut all.degraded,
                    Some(Status::Unreachable) => &mut all.unreachable,
                    None => &mut all.skipped,
                },
                None => &mut all.put_off,
            };
            *count = count.saturating_add(1);
        }
        let outcome = [
            ("healthy", all.healthy),
            ("degraded", all.degraded),
            ("unreachable", all.unreachable),
            ("skipped", all.skipped),
            ("putOff", all.put_off),
        ];
        let outcome = outcome.into_iter().filter(|(_, count)| *count > 0);
        let outcome =
            outcome.fold(Outcome::succeeded(), |told, (name, count)| told.with(name, count.to_string()));
        if self.audit.settle(&self.db, &intent, outcome).await.is_err() {
            tracing::warn!(test = %test.id, "the outcome of a wave could not be recorded");
        }
        self.wake.notify_one();
    }

    /// None where it waits for its turn again, or is another's.
    async fn one(
        &self,
        caller: &Caller,
        test: &FleetTest,
        target: Target,
        server: Result<BoundServer, Failure>,
    ) -> Option<TargetResult> {
        let position = target.position;
        let tested = match self.test(caller, server).await {
            Err(failure) if is_passing(&failure) && target.attempts < TRIES => {
                tracing::debug!(reason = failure.reason.as_str(), "a target waits");
                self.put_off(&test.id, position).await;
                return None;
            }
            tested => tested,
        };
        let result = tested.as_ref().map_or_else(skipped, found);
        let ended =
            EndedTest { test: test.id.clone(), origin: test.origin, target, result: result.clone(), tested };
        match self.results.keep(ended).await {
            Ok(kept) => kept.then_some(result),
            Err(failure) => {
                tracing::warn!(reason = failure.reason.as_str(), "a result of a fleet test is not recorded");
                self.put_off(&test.id, position).await;
                None
            }
        }
    }

    async fn test(&self, caller: &Caller, server: Result<BoundServer, Failure>) -> Result<Tested, Failure> {
        let bound = server?;
        refuse_inactive(&bound.server)?;
        let (server, login) = bound_login(bound)?;
        self.tester.measure(caller, TestId::random()?, &server, login).await
    }

    /// Those of a wave that are still ours.
    async fn targets(&self, test: &FleetTestId, begun: &[i64]) -> Result<Vec<Target>, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let mut held = fleet_target::held_by(&mut reader, test, &self.holder).await?;
        held.retain(|target| begun.contains(&target.position));
        Ok(held)
    }

    /// As they are now, with what is bound to them.
    async fn servers(
        &self,
        caller: &Caller,
        targets: &[Target],
    ) -> Result<BTreeMap<ServerId, BoundServer>, Failure> {
        let mut servers = BTreeMap::new();
        let ids: Vec<ServerId> = targets.iter().map(|target| target.server.clone()).collect();
        for some in ids.chunks(MOST_AT_ONCE) {
            let found = self.tester.directory.targets(caller, some).await?;
            servers.extend(found.into_iter().map(|bound| (bound.server.id.clone(), bound)));
        }
        Ok(servers)
    }

    async fn put_off(&self, test: &FleetTestId, position: i64) {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a target waits").await?;
            let until = tx.now().plus(PAUSE);
            fleet_target::put_off(&mut tx, test, position, &self.holder, until).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        if done.await.is_err() {
            tracing::debug!(test = %test, position, "a target waits for the end of the lease");
        }
    }

    async fn end_if_through(&self, test: &FleetTest) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let counts = fleet_target::counts(&mut reader, &test.id).await?;
        drop(reader);
        if counts.of(TargetState::Pending) > 0 || counts.of(TargetState::Running) > 0 {
            return Ok(());
        }
        // One replica does it, and one event tells it.
        let Some(lease) = lease::acquire(&self.db, test.id.as_str(), &self.holder, LEASE).await? else {
            return Ok(());
        };
        let done = match test.origin {
            Origin::Request => self.end(test, &counts).await,
            Origin::Heartbeat => self.forget(test).await,
        };
        lease::release(&self.db, &lease).await?;
        done
    }

    /// What a round found is with its servers.
    async fn forget(&self, test: &FleetTest) -> Result<(), Failure> {
        let gone = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a round of heartbeats is through").await?;
            fleet_test::delete(&mut tx, &test.id).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(gone.await?)
    }

    async fn end(&self, test: &FleetTest, counts: &super::Counts) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let now = fleet_test::find(&mut reader, &test.id).await?;
        if now.is_none_or(|now| now.state != State::Running) {
            return Ok(());
        }
        let mut latencies = Latencies::default();
        let mut after = 0;
        loop {
            let some = fleet_target::checks(&mut reader, &test.id, after, IN_VIEW).await?;
            let Some((last, _)) = some.last() else { break };
            after = *last;
            some.iter().for_each(|(_, checks)| latencies.add(checks));
        }
        drop(reader);
        let latencies = latencies.finish();
        let caller = Caller::background(ServiceName::ConnectivityProbe, test.id.as_str());
        let entry = Entry::new("fleet_test.finish").tenant(test.tenant.as_ref()).target(test.id.as_str());
        let intent = self.audit.intend(&caller, entry).await?;
        let outcome = [
            ("healthy", counts.ended(Status::Healthy)),
            ("degraded", counts.ended(Status::Degraded)),
            ("unreachable", counts.ended(Status::Unreachable)),
            ("skipped", counts.of(TargetState::Skipped)),
        ];
        let outcome = outcome
            .into_iter()
            .fold(Outcome::succeeded(), |told, (name, count)| told.with(name, count.to_string()));
        let ended = self.db.serialized(|| async {
            let mut tx = self.db.begin(&intent).await?;
            if fleet_test::end(&mut tx, &test.id, State::Finished).await? {
                fleet_test::set_latencies(&mut tx, &test.id, &latencies).await?;
            }
            intent.done(&mut tx, outcome.clone()).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        let ended = ended.await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &ended).await;
        ended
    }
}

/// No pause that was begun by a clock like this one lasts for longer.
fn latest(now: Instant) -> Instant {
    now.plus(PAUSE.saturating_mul(3))
}

/// What is begun now. A wave is one event of the log, so it waits until it is worth one, unless nothing runs or it takes
/// all that is left.
fn wave(test: &FleetTest, runs: &[Place], waiting: &[Place], room: usize) -> Vec<i64> {
    let chosen = choose(test.plan, runs, waiting, room);
    let quarter = usize::try_from(test.plan.max_parallel.div_ceil(4)).unwrap_or(usize::MAX);
    let is_worth_it = runs.is_empty() || chosen.len() >= quarter.min(LEAST_WAVE).min(waiting.len());
    if is_worth_it { chosen } else { Vec::new() }
}

fn found(tested: &Tested) -> TargetResult {
    let report = &tested.test.report;
    let Found { status, failed_check, reason } = Found::of(report);
    TargetResult {
        status: Some(status),
        failed_check,
        reason,
        message: report.failed().map(|check| check.message.clone()).unwrap_or_default(),
        test: tested.test.id.clone(),
    }
}

fn skipped(failure: &Failure) -> TargetResult {
    TargetResult {
        reason: failure.reason.as_str().to_owned(),
        message: failure.message.clone(),
        ..TargetResult::default()
    }
}
