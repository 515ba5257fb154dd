//! Taking up what happened: answers, ends and failures become counts, and what an answer lets go on
//! is marked.

use std::time::Duration;

use crate::core::{Key, Ready, Reason};
use crate::plan::LoadKind;

use super::ending::{Outcome, Past, judge};
use super::failure::{BYTES_LOST, FOREIGN_PEER, Failure, Stage};
use super::load::{Letter, News, Pace};
use super::load_stats::Death;
use super::runner::Runner;
use super::watch::Closed;

impl Runner {
    pub(super) fn settle_connected(&mut self) {
        for (key, after) in std::mem::take(&mut self.watch.connected) {
            self.found_connected(key);
            let group = &mut self.groups[self.watch.group(key)];
            group.opening -= 1;
            group.open += 1;
            group.tally.opened += 1;
            group.tally.connect.record(after);
            self.timeline.now().opened += 1;
            if group.stays() && group.kind != LoadKind::Idle {
                group.keys.push(key.at(0));
            }
        }
    }

    pub(super) fn settle_letter(&mut self, group: usize, Letter { key, news }: Letter) {
        let deciding = self.may_be_no_echo();
        let of = &mut self.groups[group];
        let tally = &mut of.tally;
        match news {
            News::Wrong { .. } | News::Invented { .. } if deciding => {}
            News::Answered { took, waited } => {
                self.timeline.answered(took);
                if self.phase.measures() || of.kind == LoadKind::Idle {
                    tally.answered += 1;
                    tally.latency.record(took);
                    if of.load.pace == Pace::Loop {
                        tally.waited.record(took + waited);
                    }
                }
                self.answered(group, key);
            }
            News::GoOn => self.engine.mark(key.at(0), Ready::READ, &mut self.watch),
            News::OnlyCount => {
                if let Some(line) = self.engine.get(key).and_then(|conn| conn.ends.socket(1)) {
                    line.only_count();
                }
            }
            News::CutOff => tally.fail(Failure::new(Stage::Exchange, BYTES_LOST)),
            News::Stranger => tally.fail(Failure::new(Stage::Exchange, FOREIGN_PEER)),
            News::Partial { bytes, quiet } if !self.hurried => tally.partial.add(bytes, quiet),
            News::Partial { .. } => {}
            News::Missing { sent, arrived } => {
                let id = key.id;
                let words = format!("connection #{id}: {sent} bytes sent, {arrived} arrived");
                tally.wrongs.add(words);
            }
            News::Garbled { bytes } => {
                let id = key.id;
                let words = format!("socket #{id}: {bytes} bytes that were never sent");
                tally.wrongs.add(words);
            }
            News::Lost => tally.lost += 1,
            News::Late => tally.late += 1,
            News::Wrong { at, is, should } => tally.wrongs.add(format!(
                "connection #{}: byte {at} is {is:#04x}, expected {should:#04x}",
                key.id
            )),
            News::Invented { at } => {
                let id = key.id;
                tally
                    .wrongs
                    .add(format!("connection #{id}: received more than the {at} bytes sent"));
            }
        }
    }

    /// An answer lets the next message go.
    fn answered(&mut self, group: usize, key: Key) {
        if self.found_answer(key) {
            return;
        }
        let of = &mut self.groups[group];
        match of.kind {
            LoadKind::Reset => {
                let now = self.moment();
                return self.engine.end(key, Reason::Cut, now, &mut self.watch);
            }
            LoadKind::Pulse => self.miss_one_less(group),
            _ => {}
        }
        self.engine.mark(key.at(0), Ready::READ, &mut self.watch);
    }

    pub(super) fn settle_closed(&mut self) {
        for closed in std::mem::take(&mut self.watch.closed) {
            self.settle_one(closed);
        }
        for (group, moved) in self.groups.iter_mut().zip(&mut self.watch.moved) {
            let moved = std::mem::take(moved);
            self.timeline.now().bytes += moved.out + moved.into;
            if self.phase.measures() {
                group.tally.bytes_out += moved.out;
                group.tally.bytes_in += moved.into;
            }
        }
    }

    fn settle_one(&mut self, closed: Closed) {
        let Closed { key, ending, up, down, lasted } = closed;
        let index = self.watch.group(key);
        let now = self.clock.now();
        let group = &mut self.groups[index];
        let (begun, answered) = group.messages(up, down);
        let satisfied = group.load.ends_after.is_some_and(|count| answered >= count);
        let ours = self.phase.closes() || group.load.ending.get() || group.load.far;
        let outcome = judge(ending, Past { kind: group.kind, satisfied, ours });
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
        if self.hurried {
            return;
        }
        let missing = begun.saturating_sub(answered);
        match outcome {
            Outcome::Fine if satisfied => {
                self.timeline.now().exchanged += 1;
                if self.phase.measures() {
                    group.tally.exchanged += 1;
                    group.tally.life.record(lasted);
                }
            }
            Outcome::Fine => drop(self.found_end(key, None)),
            Outcome::Failed(failure) => {
                let failure = match missing {
                    0 => failure,
                    _ => failure.of_answer(group.is_partial(down)),
                };
                group.tally.unanswered += missing;
                group.tally.fail(failure);
                self.timeline.now().failed += 1;
                group.rest(now);
                self.found_failure(key);
            }
            Outcome::Died(how) if self.found_end(key, Some(how)) => {}
            Outcome::Died(how) => {
                let group = &mut self.groups[index];
                group.tally.unanswered += missing;
                let silent = group.silence(now, lasted);
                self.timeline.now().died += 1;
                group.tally.deaths.add(Death { at: now, silent, how });
            }
            // What does not answer as it should tells nothing of a timer.
            Outcome::Wrong => self.found_garbled(key),
        }
        if missing > 0 && self.groups[index].kind == LoadKind::Pulse {
            self.miss_one_less(index);
        }
    }

    /// One answer less is missing in this round; with the last of them the round is over.
    fn miss_one_less(&mut self, group: usize) {
        let now = self.clock.now();
        let of = &mut self.groups[group];
        of.missing = of.missing.saturating_sub(1);
        if of.missing == 0 && self.phase.measures() && of.round > Duration::ZERO {
            of.tally.rounds.record(now.saturating_sub(of.round));
        }
    }
}
