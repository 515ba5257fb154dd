//! Folds repeated traffic of an explained connection, so that the memory needed does not grow with
//! the recording.

use std::collections::VecDeque;

use crate::core::{Event, Moment};
use crate::observe::format::Span;
use crate::text::count::grouped;
use crate::text::quantity::bytes as size;

use super::diagram::DiagramRow;

/// Rows of traffic that are shown before the rest is folded: a turn with a full budget has less
/// than twice as many.
const FIRST_ROWS: usize = 24;
/// Rows of traffic that are shown before whatever follows it.
const LAST_ROWS: usize = 4;

pub(super) enum StoryRow {
    Shown(DiagramRow),
    Folded(Folded),
}

/// A row that may still be folded, and what it counts as then.
pub(super) struct Candidate {
    pub row: DiagramRow,
    pub count: Folded,
    /// It has the first sentence of its kind, so it is always shown.
    pub is_first: bool,
}

/// The present run of traffic: since the last event of another kind.
#[derive(Default)]
pub(super) struct Traffic {
    shown: usize,
    folded: Option<Folded>,
    last: VecDeque<Candidate>,
}

/// Steps that are counted instead of shown.
#[derive(Clone, Copy)]
pub(super) struct Folded {
    since: Moment,
    until: Moment,
    steps: u64,
    reads: u64,
    writes: u64,
    received: u64,
    sent: u64,
}

impl Traffic {
    pub fn add(&mut self, step: Candidate, rows: &mut Vec<StoryRow>) {
        if self.shown < FIRST_ROWS {
            self.shown += 1;
            rows.push(StoryRow::Shown(step.row));
            return;
        }
        self.last.push_back(step);
        if self.last.len() <= LAST_ROWS {
            return;
        }
        let Some(Candidate { row, count, is_first }) = self.last.pop_front() else { return };
        if is_first {
            rows.extend(self.folded.take().map(StoryRow::Folded));
            rows.push(StoryRow::Shown(row));
            return;
        }
        match &mut self.folded {
            Some(folded) => folded.add(count),
            None => self.folded = Some(count),
        }
    }

    /// Ends the run.
    pub fn flush(&mut self, rows: &mut Vec<StoryRow>) {
        rows.extend(self.folded.take().map(StoryRow::Folded));
        rows.extend(self.last.drain(..).map(|step| StoryRow::Shown(step.row)));
        self.shown = 0;
    }
}

impl Folded {
    /// Returns what a step counts as. None: it is not traffic, and always shown.
    pub fn of(now: Moment, event: &Event<'_>) -> Option<Folded> {
        let zero =
            Folded { since: now, until: now, steps: 1, reads: 0, writes: 0, received: 0, sent: 0 };
        match *event {
            Event::Read { bytes, .. } | Event::Received { bytes, .. } => {
                Some(Folded { reads: 1, received: bytes as u64, ..zero })
            }
            Event::Wrote { bytes, .. } | Event::Sent { bytes, .. } => {
                Some(Folded { writes: 1, sent: bytes as u64, ..zero })
            }
            Event::Marked { .. }
            | Event::Payload { .. }
            | Event::ReadBlocked
            | Event::WriteBlocked { .. }
            | Event::ReadOff
            | Event::ReadOn
            | Event::Interrupted
            | Event::Yielded { .. }
            | Event::Fired { again: true, .. }
            | Event::Armed { .. }
            | Event::Message { .. }
            | Event::Missed { .. }
            | Event::Dropped { .. }
            | Event::Stale
            | Event::Passed { .. } => Some(zero),
            Event::Turn { .. }
            | Event::SlowTurn { .. }
            | Event::PolledAgain { .. }
            | Event::Listening { .. }
            | Event::AcceptPaused { .. }
            | Event::AcceptResumed { .. }
            | Event::AcceptFailed { .. }
            | Event::Signal { .. }
            | Event::Draining { .. }
            | Event::Resolved { .. }
            | Event::InProgress { .. }
            | Event::Dump { .. }
            | Event::AdminRequest { .. }
            | Event::Reloading { .. }
            | Event::Reloaded { .. }
            | Event::ReloadFailed { .. }
            | Event::Opened { .. }
            | Event::Dialing { .. }
            | Event::DialFailed { .. }
            | Event::Connected { .. }
            | Event::EndOfFile
            | Event::ShutDown
            | Event::CutOff { .. }
            | Event::Stalled { .. }
            | Event::Resumed { .. }
            | Event::Closed { .. }
            | Event::Fired { again: false, .. } => None,
        }
    }

    fn add(&mut self, other: Folded) {
        self.until = other.until;
        self.steps += other.steps;
        self.reads += other.reads;
        self.writes += other.writes;
        self.received = self.received.saturating_add(other.received);
        self.sent = self.sent.saturating_add(other.sent);
    }
}

impl std::fmt::Display for Folded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Folded { since, until, steps, reads, writes, received, sent } = *self;
        let took = Span(until.since(since));
        if reads + writes == 0 {
            return write!(f, "{} more steps without a read or write, in {took}", grouped(steps));
        }
        let (received, sent) = (size(received as f64), size(sent as f64));
        let calls = grouped(reads + writes);
        write!(f, "{calls} more reads and writes, {received} read, {sent} written, in {took}")
    }
}
