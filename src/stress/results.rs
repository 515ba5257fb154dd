//! The results of a run: the ramp, the timeline, the measured window and the loop's own usage.
//! Counts answers, closes and failures in the statistics of the loads. Does not touch connections.

use std::time::Duration;

use crate::config::StressPlan;
use crate::core::Reason;

use super::conn_result::{ConnHistory, ConnResult, classify};
use super::failure::{BYTES_LOST, FOREIGN_PEER, LoadFailure, Stage};
use super::group::{LoadGroup, LoadGroups};
use super::histogram::Histogram;
use super::idle_probe::ProbeResult;
use super::load::{Pace, ScriptEvent, ScriptReport};
use super::load_stats::{Death, WorkUnit};
use super::load_watch::{ClosedConn, Moved};
use super::phases::Phase;
use super::protocol::{Snapshot, WorkerResult};
use super::server_usage::ServerUsage;
use super::timeline::Point;

/// The results so far. The statistics of the loads are kept by the loads.
#[derive(Debug, Default)]
pub struct Results {
    pub run: WorkerResult,
    /// This process is closing connections early: how they end is not a result.
    pub is_discarding: bool,
}

/// The state of the run in which something is recorded.
#[derive(Clone, Copy, Debug)]
pub struct RecordCx {
    pub now: Duration,
    pub phase: Phase,
    /// A search for an idle timeout runs, which handles deaths itself.
    pub searches: bool,
    /// The search still decides its mode, so a wrong answer is not an error.
    pub is_deciding: bool,
}

/// What the runner does after a report of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    None,
    /// The connection may send its next message.
    Answered,
    /// The script has something to send.
    Resume,
    /// The socket only counts bytes from now on.
    CountOnly,
}

/// The parts of an ended run that its outcome is made of.
pub struct FinishedRun {
    pub plan: StressPlan,
    /// Duration of the run.
    pub whole: Duration,
    pub groups: LoadGroups,
    /// Without the statistics of the loads.
    pub result: WorkerResult,
    pub server_usage: ServerUsage,
    pub probe: Option<ProbeResult>,
}

impl Results {
    /// Returns the progress of the run.
    pub fn snapshot(&self, phase: Phase, groups: &LoadGroups, now: Duration) -> Snapshot {
        let (last, step) = self.last_step();
        let step = step.as_secs_f64();
        let mut latency = Histogram::new();
        let counted = groups.iter().filter(|group| WorkUnit::of(group.mode.kind) != WorkUnit::None);
        counted.for_each(|group| latency.merge(&group.stats.latency));
        let errors = groups.iter().map(|group| {
            let stats = &group.stats;
            stats.failed() + stats.deaths.count() + stats.integrity_errors.count
        });
        let (open, wanted) = (groups.open(), groups.persistent_planned());
        let share = match phase.span() {
            Some((since, until)) => {
                now.saturating_sub(since).as_secs_f64()
                    / until.saturating_sub(since).as_secs_f64().max(1e-9)
            }
            None if wanted > 0 => open as f64 / wanted as f64,
            None => 0.0,
        };
        Snapshot {
            phase: phase.name().to_string(),
            share,
            open,
            wanted,
            answered: last.answered as f64 / step,
            exchanged: last.exchanged as f64 / step,
            bytes: last.bytes as f64 / step,
            errors: errors.sum(),
            p50: latency.at(0.5),
            p99: latency.at(0.99),
        }
    }

    /// Returns the last complete step of the timeline, and the length of a step.
    fn last_step(&self) -> (Point, Duration) {
        (self.run.timeline.points.last().copied().unwrap_or_default(), self.run.timeline.step)
    }

    /// Records bytes moved by a load since the last call.
    pub fn record_moved(&mut self, group: &mut LoadGroup, moved: Moved, phase: Phase) {
        self.run.timeline.current().bytes += moved.sent + moved.received;
        if phase.measures() {
            let stats = &mut group.stats;
            stats.bytes_out += moved.sent;
            stats.bytes_in += moved.received;
        }
    }

    /// Records a report of a script.
    pub fn record_report(
        &mut self,
        group: &mut LoadGroup,
        ScriptReport { key, event }: ScriptReport,
        cx: RecordCx,
    ) -> Reaction {
        let (id, is_idle, pace) = (key.id, group.is_idle(), group.load.pace);
        let stats = &mut group.stats;
        match event {
            ScriptEvent::Answered { took, overdue } => {
                self.run.timeline.answered(took);
                if cx.phase.measures() || is_idle {
                    stats.answered += 1;
                    stats.latency.record(took);
                    if pace == Pace::Loop {
                        stats.since_due.record(took + overdue);
                    }
                }
                group.count_missing(1);
                return Reaction::Answered;
            }
            ScriptEvent::Resume => return Reaction::Resume,
            ScriptEvent::CountOnly => return Reaction::CountOnly,
            ScriptEvent::Truncated => stats.fail(LoadFailure::new(Stage::Exchange, BYTES_LOST)),
            ScriptEvent::ForeignPeer => stats.fail(LoadFailure::new(Stage::Exchange, FOREIGN_PEER)),
            ScriptEvent::Partial { .. } if self.is_discarding => {}
            ScriptEvent::Partial { bytes, quiet } => stats.partial.add(bytes, quiet),
            ScriptEvent::Lost => {
                stats.lost += 1;
                group.count_missing(1);
            }
            ScriptEvent::Owed { answers } => group.count_missing(answers),
            ScriptEvent::Late => stats.late += 1,
            ScriptEvent::Wrong { .. } | ScriptEvent::Excess { .. } if cx.is_deciding => {}
            ScriptEvent::Wrong { at, actual, expected } => stats.integrity_errors.add(format!(
                "connection #{id}: byte {at} is {actual:#04x}, expected {expected:#04x}"
            )),
            ScriptEvent::Excess { at } => stats
                .integrity_errors
                .add(format!("connection #{id}: received more than the {at} bytes sent")),
            ScriptEvent::Missing { sent, arrived } => stats
                .integrity_errors
                .add(format!("connection #{id}: {sent} bytes sent, {arrived} arrived")),
            ScriptEvent::Corrupt { bytes } => stats
                .integrity_errors
                .add(format!("socket #{id}: {bytes} bytes that were never sent")),
        }
        Reaction::None
    }

    /// Records a closed connection. Returns its result for a search for an idle timeout, unless it
    /// is discarded or completed its exchange.
    pub fn record_closed(
        &mut self,
        group: &mut LoadGroup,
        closed: ClosedConn,
        cx: RecordCx,
    ) -> Option<ConnResult> {
        let ClosedConn { close, up, down, lasted, .. } = closed;
        let (started, answered) = group.messages(up, down);
        let load = &group.load;
        let satisfied = load.ends_after.is_some_and(|count| answered >= count);
        let past = ConnHistory {
            held: group.is_held(),
            exchanged: satisfied && !group.is_persistent(),
            closing: cx.phase.closes() || load.ending.get() || load.far,
            aborted: load.aborts,
        };
        let result = classify(close, past);
        group.closed(was_open(close.reason));
        if self.is_discarding {
            return None;
        }
        let missing = started.saturating_sub(answered);
        match &result {
            ConnResult::Fine if satisfied => {
                self.run.timeline.current().exchanged += 1;
                if cx.phase.measures() {
                    group.stats.exchanged += 1;
                    group.stats.life.record(lasted);
                }
            }
            ConnResult::Failed(failure) => {
                let failure = match missing {
                    0 => failure.clone(),
                    _ => failure.clone().of_answer(group.is_partial(down)),
                };
                group.stats.unanswered += missing;
                group.stats.fail(failure);
                self.run.timeline.current().failed += 1;
                group.back_off(cx.now);
            }
            ConnResult::Died(how) if !cx.searches => {
                let (at, idle, how) = (cx.now, group.idle_time(cx.now, lasted), *how);
                group.stats.unanswered += missing;
                group.stats.deaths.add(Death { at, idle, how });
                self.run.timeline.current().died += 1;
            }
            ConnResult::Fine | ConnResult::Died(_) | ConnResult::Wrong => {}
        }
        (result != ConnResult::Fine || !satisfied).then_some(result)
    }
}

impl FinishedRun {
    /// Returns the result of a worker process.
    pub fn into_worker_result(self) -> WorkerResult {
        let load_stats = self.groups.0.into_iter().map(|group| group.stats).collect();
        WorkerResult { load_stats, ..self.result }
    }
}

/// Whether a connection that closed for this reason had been established.
fn was_open(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::Refused { .. }
            | Reason::Exhausted { .. }
            | Reason::Abandoned { .. }
            | Reason::ConnectTimeout
    )
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::config::{LoadKind, LoadPlan};
    use crate::core::{Close, CloseKind, Key, Side};
    use crate::stress::failure::{CLOSED, PARTIAL};
    use crate::stress::load::RunClock;
    use crate::stress::load_stats::DeathCause;
    use crate::stress::pattern::Pattern;

    const MS: Duration = Duration::from_millis(1);
    const LOAD: Phase = Phase::Load { since: MS, until: Duration::from_secs(9) };

    /// The results of one load with one open connection.
    fn open(kind: LoadKind) -> (Results, LoadGroups) {
        let targets = vec![crate::config::Address::parse("127.0.0.1:7").unwrap()];
        let loads = vec![LoadPlan { mode: kind.into(), conns: Some(1) }];
        let plan = StressPlan { targets, loads, ..StressPlan::default() };
        let mut groups = LoadGroups::new(&plan, Rc::new(Pattern::new(1)), RunClock::start());
        groups[0].dialed();
        groups[0].connected(Key::new(1, 0), MS);
        (Results::default(), groups)
    }

    fn cx(phase: Phase) -> RecordCx {
        RecordCx { now: 7 * MS, phase, searches: false, is_deciding: false }
    }

    /// The server closes the connection, which has sent and received these bytes.
    fn closed(up: u64, down: u64) -> ClosedConn {
        let close = Close { reason: Reason::Finished, first: Side::Target, by: CloseKind::Fin };
        ClosedConn { key: Key::new(1, 0), close, up, down, lasted: 5 * MS }
    }

    #[test]
    fn answers_count_in_the_measured_window_only() {
        let (mut results, mut groups) = open(LoadKind::Echo);
        let event = ScriptEvent::Answered { took: MS, overdue: Duration::ZERO };
        let report = ScriptReport { key: Key::new(1, 0), event };
        for (phase, answered) in [(Phase::Warm { since: MS, until: 2 * MS }, 0), (LOAD, 1)] {
            let reaction = results.record_report(&mut groups[0], report, cx(phase));
            assert_eq!((reaction, groups[0].stats.answered), (Reaction::Answered, answered));
        }
        results.run.timeline.advance(100 * MS, 1, None);
        assert_eq!(results.last_step().0.answered, 2);
    }

    #[test]
    fn a_wrong_byte_is_no_error_while_a_search_decides_its_mode() {
        let (mut results, mut groups) = open(LoadKind::Idle);
        let event = ScriptEvent::Wrong { at: 3, actual: 1, expected: 2 };
        let report = ScriptReport { key: Key::new(1, 0), event };
        for (is_deciding, count) in [(true, 0), (false, 1)] {
            let cx = RecordCx { is_deciding, ..cx(Phase::IdleProbe) };
            assert_eq!(results.record_report(&mut groups[0], report, cx), Reaction::None);
            assert_eq!(groups[0].stats.integrity_errors.count, count);
        }
    }

    #[test]
    fn a_close_by_the_server_is_a_failure_of_a_load_and_a_death_of_an_idle_connection() {
        let (mut results, mut groups) = open(LoadKind::Echo);
        let result = results.record_closed(&mut groups[0], closed(128, 100), cx(LOAD));
        assert_eq!(result, Some(ConnResult::Failed(LoadFailure::new(Stage::Exchange, CLOSED))));
        let stats = &groups[0].stats;
        assert_eq!((stats.failed(), stats.unanswered, groups.open()), (1, 1, 0));
        let (mut results, mut groups) = open(LoadKind::Idle);
        let result = results.record_closed(&mut groups[0], closed(0, 0), cx(LOAD));
        assert_eq!(result, Some(ConnResult::Died(DeathCause::Fin)));
        assert_eq!(groups[0].stats.deaths.list[0].idle, 5 * MS);
    }

    #[test]
    fn a_death_in_a_search_is_left_to_the_search() {
        let (mut results, mut groups) = open(LoadKind::Idle);
        let cx = RecordCx { searches: true, ..cx(Phase::IdleProbe) };
        let result = results.record_closed(&mut groups[0], closed(0, 0), cx);
        assert_eq!(result, Some(ConnResult::Died(DeathCause::Fin)));
        assert_eq!(groups[0].stats.deaths.count(), 0);
    }

    #[test]
    fn a_missing_answer_that_arrived_in_part_is_named() {
        let (mut results, mut groups) = open(LoadKind::Echo);
        let close = Close { reason: Reason::IdleTimeout, first: Side::Proxy, by: CloseKind::Fin };
        let late = ClosedConn { close, ..closed(64, 63) };
        results.record_closed(&mut groups[0], late, cx(LOAD));
        let partial = LoadFailure::new(Stage::Exchange, PARTIAL);
        assert_eq!(groups[0].stats.failures.get(&partial), Some(&1));
    }

    #[test]
    fn discarded_closes_are_counted_as_closed_and_not_as_results() {
        let (mut results, mut groups) = open(LoadKind::Echo);
        results.is_discarding = true;
        assert_eq!(results.record_closed(&mut groups[0], closed(64, 0), cx(LOAD)), None);
        assert_eq!((groups.open(), groups[0].stats.failed()), (0, 0));
    }
}
