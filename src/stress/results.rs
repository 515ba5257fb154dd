//! Records results: counts answers, closes and failures, and marks connections that may send again.

use std::time::Duration;

use crate::config::LoadKind;
use crate::core::{Key, Reason};

use super::conn_result::{ConnHistory, ConnResult, classify};
use super::failure::{BYTES_LOST, FOREIGN_PEER, LoadFailure, Stage};
use super::load::{Pace, ScriptEvent, ScriptReport};
use super::load_stats::Death;
use super::load_watch::ClosedConn;
use super::runner::Runner;

impl Runner {
    pub(super) fn record_connected(&mut self) {
        for (key, after) in std::mem::take(&mut self.watch.connected) {
            self.idle_probe_connected(key);
            let group = &mut self.groups[self.watch.group(key)];
            group.opening -= 1;
            group.open += 1;
            group.stats.opened += 1;
            group.stats.connect.record(after);
            self.timeline.current().opened += 1;
            if group.is_persistent() && group.kind != LoadKind::Idle {
                group.keys.push(key.at(0));
            }
        }
    }

    pub(super) fn record_report(
        &mut self,
        group: usize,
        ScriptReport { key, event }: ScriptReport,
    ) {
        let deciding = self.is_deciding_mode();
        let of = &mut self.groups[group];
        let stats = &mut of.stats;
        match event {
            ScriptEvent::Wrong { .. } | ScriptEvent::Excess { .. } if deciding => {}
            ScriptEvent::Answered { took, overdue } => {
                self.timeline.answered(took);
                if self.phase.measures() || of.kind == LoadKind::Idle {
                    stats.answered += 1;
                    stats.latency.record(took);
                    if of.load.pace == Pace::Loop {
                        stats.since_due.record(took + overdue);
                    }
                }
                self.answered(group, key);
            }
            ScriptEvent::Resume => self.wake(key.at(0)),
            ScriptEvent::CountOnly => {
                if let Some(line) = self.engine.get(key).and_then(|conn| conn.ends.socket(1)) {
                    line.count_only();
                }
            }
            ScriptEvent::Truncated => stats.fail(LoadFailure::new(Stage::Exchange, BYTES_LOST)),
            ScriptEvent::ForeignPeer => stats.fail(LoadFailure::new(Stage::Exchange, FOREIGN_PEER)),
            ScriptEvent::Partial { bytes, quiet } if !self.aborting => {
                stats.partial.add(bytes, quiet)
            }
            ScriptEvent::Partial { .. } => {}
            ScriptEvent::Missing { sent, arrived } => {
                let id = key.id;
                let text = format!("connection #{id}: {sent} bytes sent, {arrived} arrived");
                stats.integrity_errors.add(text);
            }
            ScriptEvent::Corrupt { bytes } => {
                let id = key.id;
                let text = format!("socket #{id}: {bytes} bytes that were never sent");
                stats.integrity_errors.add(text);
            }
            ScriptEvent::Lost => stats.lost += 1,
            ScriptEvent::Late => stats.late += 1,
            ScriptEvent::Wrong { at, actual, expected } => stats.integrity_errors.add(format!(
                "connection #{}: byte {at} is {actual:#04x}, expected {expected:#04x}",
                key.id
            )),
            ScriptEvent::Excess { at } => {
                let id = key.id;
                stats
                    .integrity_errors
                    .add(format!("connection #{id}: received more than the {at} bytes sent"));
            }
        }
    }

    /// Marks the connection for its next message.
    fn answered(&mut self, group: usize, key: Key) {
        if self.idle_probe_answered(key) {
            return;
        }
        let of = &mut self.groups[group];
        match of.kind {
            LoadKind::Reset => {
                return self.end(key, Reason::Cut);
            }
            LoadKind::Pulse => self.count_missing(group),
            _ => {}
        }
        self.wake(key.at(0));
    }

    pub(super) fn record_closed(&mut self) {
        for closed in std::mem::take(&mut self.watch.closed) {
            self.record_close(closed);
        }
        for (group, moved) in self.groups.iter_mut().zip(&mut self.watch.moved) {
            let moved = std::mem::take(moved);
            self.timeline.current().bytes += moved.sent + moved.received;
            if self.phase.measures() {
                group.stats.bytes_out += moved.sent;
                group.stats.bytes_in += moved.received;
            }
        }
    }

    fn record_close(&mut self, closed: ClosedConn) {
        let ClosedConn { key, close, up, down, lasted } = closed;
        let index = self.watch.group(key);
        let now = self.clock.now();
        let group = &mut self.groups[index];
        let (started, answered) = group.messages(up, down);
        let satisfied = group.load.ends_after.is_some_and(|count| answered >= count);
        let closing = self.phase.closes() || group.load.ending.get() || group.load.far;
        let result = classify(close, ConnHistory { kind: group.kind, satisfied, closing });
        let never_open = matches!(
            close.reason,
            Reason::Refused { .. }
                | Reason::Exhausted { .. }
                | Reason::Abandoned { .. }
                | Reason::ConnectTimeout
        );
        match never_open {
            true => group.opening -= 1,
            false => group.open -= 1,
        }
        if self.aborting {
            return;
        }
        let missing = started.saturating_sub(answered);
        match result {
            ConnResult::Fine if satisfied => {
                self.timeline.current().exchanged += 1;
                if self.phase.measures() {
                    group.stats.exchanged += 1;
                    group.stats.life.record(lasted);
                }
            }
            ConnResult::Fine => drop(self.idle_probe_closed(key, None)),
            ConnResult::Failed(failure) => {
                let failure = match missing {
                    0 => failure,
                    _ => failure.of_answer(group.is_partial(down)),
                };
                group.stats.unanswered += missing;
                group.stats.fail(failure);
                self.timeline.current().failed += 1;
                group.back_off(now);
                self.idle_probe_failed(key);
            }
            ConnResult::Died(how) if self.idle_probe_closed(key, Some(how)) => {}
            ConnResult::Died(how) => {
                let group = &mut self.groups[index];
                group.stats.unanswered += missing;
                let idle = group.idle_time(now, lasted);
                self.timeline.current().died += 1;
                group.stats.deaths.add(Death { at: now, idle, how });
            }
            // A wrong answer does not reveal a timer.
            ConnResult::Wrong => self.idle_probe_wrong_answer(key),
        }
        if missing > 0 && self.groups[index].kind == LoadKind::Pulse {
            self.count_missing(index);
        }
    }

    /// Counts one missing answer less, and records the round after the last.
    fn count_missing(&mut self, group: usize) {
        let now = self.clock.now();
        let of = &mut self.groups[group];
        of.missing = of.missing.saturating_sub(1);
        if of.missing == 0 && self.phase.measures() && of.round > Duration::ZERO {
            of.stats.rounds.record(now.saturating_sub(of.round));
        }
    }
}
