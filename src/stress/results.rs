//! Records results: counts answers, closes and failures, and marks connections that may send again.

use std::time::Duration;

use crate::config::LoadKind;
use crate::core::{Key, Reason};

use super::conn_result::{ConnHistory, ConnResult, classify};
use super::failure::{BYTES_LOST, FOREIGN_PEER, Failure, Stage};
use super::load::{Pace, ScriptEvent, ScriptReport};
use super::load_stats::Death;
use super::load_watch::Closed;
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
            self.timeline.now().opened += 1;
            if group.stays() && group.kind != LoadKind::Idle {
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
            ScriptEvent::Answered { took, waited } => {
                self.timeline.answered(took);
                if self.phase.measures() || of.kind == LoadKind::Idle {
                    stats.answered += 1;
                    stats.latency.record(took);
                    if of.load.pace == Pace::Loop {
                        stats.waited.record(took + waited);
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
            ScriptEvent::Truncated => stats.fail(Failure::new(Stage::Exchange, BYTES_LOST)),
            ScriptEvent::ForeignPeer => stats.fail(Failure::new(Stage::Exchange, FOREIGN_PEER)),
            ScriptEvent::Partial { bytes, quiet } if !self.aborting => {
                stats.partial.add(bytes, quiet)
            }
            ScriptEvent::Partial { .. } => {}
            ScriptEvent::Missing { sent, arrived } => {
                let id = key.id;
                let words = format!("connection #{id}: {sent} bytes sent, {arrived} arrived");
                stats.integrity_errors.add(words);
            }
            ScriptEvent::Corrupt { bytes } => {
                let id = key.id;
                let words = format!("socket #{id}: {bytes} bytes that were never sent");
                stats.integrity_errors.add(words);
            }
            ScriptEvent::Lost => stats.lost += 1,
            ScriptEvent::Late => stats.late += 1,
            ScriptEvent::Wrong { at, is, should } => stats.integrity_errors.add(format!(
                "connection #{}: byte {at} is {is:#04x}, expected {should:#04x}",
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
            self.timeline.now().bytes += moved.out + moved.into;
            if self.phase.measures() {
                group.stats.bytes_out += moved.out;
                group.stats.bytes_in += moved.into;
            }
        }
    }

    fn record_close(&mut self, closed: Closed) {
        let Closed { key, ending, up, down, lasted } = closed;
        let index = self.watch.group(key);
        let now = self.clock.now();
        let group = &mut self.groups[index];
        let (begun, answered) = group.messages(up, down);
        let satisfied = group.load.ends_after.is_some_and(|count| answered >= count);
        let closing = self.phase.closes() || group.load.ending.get() || group.load.far;
        let result = classify(ending, ConnHistory { kind: group.kind, satisfied, closing });
        let never_open = matches!(
            ending.reason,
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
        let missing = begun.saturating_sub(answered);
        match result {
            ConnResult::Fine if satisfied => {
                self.timeline.now().exchanged += 1;
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
                self.timeline.now().failed += 1;
                group.back_off(now);
                self.idle_probe_failed(key);
            }
            ConnResult::Died(how) if self.idle_probe_closed(key, Some(how)) => {}
            ConnResult::Died(how) => {
                let group = &mut self.groups[index];
                group.stats.unanswered += missing;
                let silent = group.silence(now, lasted);
                self.timeline.now().died += 1;
                group.stats.deaths.add(Death { at: now, silent, how });
            }
            // A wrong answer says nothing about a timer.
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
