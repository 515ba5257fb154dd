//! Summarizes bulk transfers in the log of steps: the first steps of a transfer are logged, then
//! one summary per second instead of repeated lines.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::core::{Event, Key, Moment, Ready};
use crate::text::count::Count;

use super::format::Span;

/// Minimum bytes of a read that belongs to a bulk transfer.
const BULK_READ: usize = 16 * 1024;

/// Large reads of a transfer that are logged before it is summarized: the step budget of a turn, so
/// that one turn is logged completely.
const LOGGED_READS: u32 = 16;

/// Time between two summaries of a transfer. A transfer without a large read for this long is over.
const INTERVAL: Duration = Duration::from_secs(1);

/// Time between two scans of all transfers for due summaries.
const SCAN_INTERVAL: Duration = Duration::from_millis(100);

/// The bulk transfers of open connections.
#[derive(Default)]
pub struct Bulk {
    transfers: HashMap<u32, Transfer>,
    /// The number of transfers that are summarized.
    summarized: usize,
    /// The withheld line of the current turn: while a transfer is summarized, it is logged only
    /// before another line of the same turn.
    turn: Option<Event<'static>>,
    number: u64,
    now: Moment,
    scanned: Moment,
    /// Whether a step of the current turn was counted instead of logged.
    counted: bool,
}

/// One transfer.
#[derive(Default)]
struct Transfer {
    /// Large reads that were logged, and the time of the first of them.
    logged: u32,
    since: Moment,
    summary: Option<Summary>,
}

/// The work of a transfer since its last summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    pub id: u32,
    since: Moment,
    until: Moment,
    /// The number of the last turn counted.
    turn: u64,
    turns: u64,
    large_reads: u64,
    /// By end: calls and bytes.
    reads: [(u64, u64); 2],
    writes: [(u64, u64); 2],
}

/// The lines to log before an event, and whether the event itself is logged.
#[derive(Debug, Default)]
pub struct Decision {
    pub before: Vec<Line>,
    pub show: bool,
}

#[derive(Debug)]
pub enum Line {
    Turn(Event<'static>),
    Summary(Summary),
}

/// The role of a step in a bulk transfer.
enum StepKind {
    LargeRead,
    /// Occurs along with large reads.
    Related,
    /// Ends a transfer.
    Other,
}

impl Bulk {
    /// Decides whether an event is logged or counted. Must be called for every event, in order.
    pub fn decide(&mut self, now: Moment, key: Key, event: &Event<'_>) -> Decision {
        if let Event::Turn { number, slept, limit, events, queued } = *event {
            let turn = Event::Turn { number, slept, limit, events, queued };
            return self.begin_turn(turn, (number, now), events > 0 || queued > 0);
        }
        if self.count(key, event) {
            self.counted = true;
            return Decision::default();
        }
        let ended = match step_kind(event) {
            StepKind::Other => self.end(key.id),
            StepKind::LargeRead | StepKind::Related => None,
        };
        let turn = self.turn.take().map(Line::Turn);
        let ended = ended.filter(|summary| summary.turns > 0);
        let before = ended.map(Line::Summary).into_iter().chain(turn).collect();
        Decision { before, show: true }
    }

    fn begin_turn(
        &mut self,
        turn: Event<'static>,
        (number, now): (u64, Moment),
        has_work: bool,
    ) -> Decision {
        // A turn with counted steps only is counted, too.
        let last = self.turn.take().filter(|_| !self.counted);
        let mut before: Vec<Line> = last.map(Line::Turn).into_iter().collect();
        self.push_due(now, &mut before);
        (self.number, self.now, self.counted) = (number, now, false);
        let is_withheld = has_work && self.summarized > 0;
        if is_withheld {
            self.turn = Some(turn);
        }
        Decision { before, show: !is_withheld }
    }

    /// Ends the transfer of a connection and returns its last summary.
    fn end(&mut self, id: u32) -> Option<Summary> {
        let summary = self.transfers.remove(&id)?.summary?;
        self.summarized -= 1;
        Some(summary)
    }

    /// Appends the summaries that are due.
    fn push_due(&mut self, now: Moment, lines: &mut Vec<Line>) {
        if now.since(self.scanned) < SCAN_INTERVAL {
            return;
        }
        self.scanned = now;
        self.transfers.retain(|id, transfer| {
            let Some(summary) = &mut transfer.summary else { return true };
            if now.since(summary.since) < INTERVAL {
                return true;
            }
            let next = Summary { id: *id, since: now, ..Summary::default() };
            let last = std::mem::replace(summary, next);
            let is_active = last.large_reads > 0;
            self.summarized -= usize::from(!is_active);
            if last.turns > 0 {
                lines.push(Line::Summary(last));
            }
            is_active
        });
    }

    /// Counts a step if it belongs to a transfer that is summarized, and returns whether it does.
    fn count(&mut self, key: Key, event: &Event<'_>) -> bool {
        let (id, end) = (key.id, key.end());
        let transfer = match step_kind(event) {
            _ if key.is_source() || key.is_flow() => return false,
            StepKind::Other => return false,
            StepKind::Related => match self.transfers.get_mut(&id) {
                Some(transfer) if transfer.summary.is_some() => transfer,
                _ => return false,
            },
            StepKind::LargeRead => {
                let transfer = self.transfers.entry(id).or_default();
                if transfer.summary.is_none() && self.now.since(transfer.since) >= INTERVAL {
                    (transfer.logged, transfer.since) = (0, self.now);
                }
                if transfer.logged < LOGGED_READS {
                    transfer.logged += 1;
                    return false;
                }
                transfer
            }
        };
        let (now, number) = (self.now, self.number);
        let summary = transfer.summary.get_or_insert_with(|| {
            self.summarized += 1;
            Summary { id, since: now, ..Summary::default() }
        });
        if summary.turns == 0 || summary.turn != number {
            (summary.turn, summary.until) = (number, now);
            summary.turns += 1;
        }
        let add = |(calls, bytes): &mut (u64, u64), more: usize| {
            *calls += 1;
            // The numbers of a recording may be any.
            *bytes = bytes.saturating_add(more as u64);
        };
        match *event {
            Event::Read { bytes, .. } => {
                summary.large_reads += u64::from(bytes >= BULK_READ);
                add(&mut summary.reads[end], bytes);
            }
            Event::Wrote { bytes, .. } => add(&mut summary.writes[end], bytes),
            _ => {}
        }
        true
    }
}

fn step_kind(event: &Event<'_>) -> StepKind {
    const ORDINARY: Ready = Ready::READ.with(Ready::WRITE).with(Ready::READ_OFF);
    match *event {
        Event::Read { bytes, .. } if bytes >= BULK_READ => StepKind::LargeRead,
        Event::Marked { ready } if ready.without(ORDINARY) == Ready::NONE => StepKind::Related,
        Event::Read { .. }
        | Event::Wrote { .. }
        | Event::Payload { .. }
        | Event::ReadBlocked
        | Event::WriteBlocked { .. }
        | Event::ReadOff
        | Event::ReadOn
        | Event::Interrupted
        | Event::Yielded { .. }
        | Event::Armed { .. }
        | Event::Fired { again: true, .. } => StepKind::Related,
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
        | Event::Message { .. }
        | Event::Missed { .. }
        | Event::CutOff { .. }
        | Event::Stalled { .. }
        | Event::Resumed { .. }
        | Event::Closed { .. }
        | Event::Marked { .. }
        | Event::Stale
        | Event::Fired { again: false, .. }
        | Event::Received { .. }
        | Event::Sent { .. }
        | Event::Passed { .. }
        | Event::Dropped { .. } => StepKind::Other,
    }
}

impl Display for Summary {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let time = Span(self.until.since(self.since));
        let turns = Count(self.turns as usize, "turn");
        write!(f, "#{} bulk: {turns} in {time}", self.id)?;
        for (verb, by_end) in [("read", self.reads), ("wrote", self.writes)] {
            for (end, (calls, bytes)) in ["a", "b"].into_iter().zip(by_end) {
                if calls > 0 {
                    let calls = Count(calls as usize, "call");
                    write!(f, ", {end} {verb} {bytes} B in {calls}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ReadHint;

    /// The logged lines, abbreviated.
    #[derive(Default)]
    struct Log(Bulk, Vec<String>, Moment);

    impl Log {
        fn on(&mut self, key: Key, event: Event<'_>) {
            let Decision { before, show } = self.0.decide(self.2, key, &event);
            for line in before {
                self.1.push(match line {
                    Line::Turn(Event::Turn { number, .. }) => format!("turn {number}"),
                    Line::Turn(other) => format!("{other:?}"),
                    Line::Summary(summary) => summary.to_string(),
                });
            }
            if show {
                let name = format!("{event:?}");
                let name = name.split([' ', '{']).next().unwrap_or_default();
                self.1.push(format!("#{}.{} {name}", key.id, key.end()));
            }
        }

        fn turn(&mut self, number: u64, millis: u64, events: usize) {
            self.2 = Moment(millis * 1000);
            let (slept, limit) = (Duration::ZERO, None);
            self.on(Key::LOOP, Event::Turn { number, slept, limit, events, queued: 0 });
        }

        /// A turn in which one connection forwards `bytes`.
        fn forward(&mut self, number: u64, millis: u64, bytes: usize) {
            let key = Key::new(1, 0);
            self.turn(number, millis, 1);
            self.on(key, Event::Marked { ready: Ready::READ.with(Ready::WRITE) });
            self.on(key, Event::Read { bytes, room: bytes, hint: ReadHint::Full });
            self.on(key.at(1), Event::Wrote { bytes, left: 0 });
        }
    }

    #[test]
    fn a_bulk_is_summarized_after_its_first_steps_and_at_its_end() {
        let mut log = Log::default();
        (1..=200).for_each(|number| log.forward(number, number, 65_536));
        let lines = log.1.len();
        // Of the first counted read, the turn and the event were logged.
        assert_eq!(lines, 4 * LOGGED_READS as usize + 2, "{:#?}", log.1);
        log.turn(201, 201, 1);
        log.on(Key::new(1, 0), Event::EndOfFile);
        assert_eq!(
            log.1[lines..],
            [
                "#1 bulk: 184 turns in 183ms, a read 12058624 B in 184 calls, \
                 b wrote 12058624 B in 184 calls",
                "turn 201",
                "#1.0 EndOfFile"
            ]
        );
        // The first steps of the next one are logged again.
        let lines = log.1.len();
        log.forward(202, 300, 65_536);
        assert_eq!(log.1.len(), lines + 4);
    }

    #[test]
    fn small_reads_between_large_ones_are_counted_and_those_after_a_bulk_are_logged() {
        let mut log = Log::default();
        for number in 1..=100 {
            log.forward(number, number, if number % 2 == 0 { 65_536 } else { 700 });
        }
        assert!(log.1.len() < 140, "{:#?}", log.1);
        (101..=140).for_each(|number| log.forward(number, 100 * number, 700));
        let logged = log.1.iter().filter(|line| line.ends_with(" Wrote")).count();
        assert!(logged > 20, "{:#?}", log.1);
        // Occasional large reads are no bulk transfer.
        let lines = log.1.len();
        (141..=160).for_each(|number| log.forward(number, 1000 * number, 65_536));
        assert_eq!(log.1.len(), lines + 4 * 20);
    }

    #[test]
    fn small_messages_and_other_connections_are_logged_step_by_step() {
        let mut log = Log::default();
        (1..=100).for_each(|number| log.forward(number, number, 64));
        assert_eq!(log.1.len(), 400);
        (101..=200).for_each(|number| log.forward(number, number, 65_536));
        let lines = log.1.len();
        log.forward(201, 201, 65_536);
        log.on(Key::new(2, 1), Event::Read { bytes: 5, room: 9, hint: ReadHint::Short });
        assert_eq!(log.1[lines..], ["turn 201", "#2.0 Read"]);
    }

    #[test]
    fn a_long_transfer_is_summarized_every_second_and_a_pause_ends_it() {
        let mut log = Log::default();
        for number in 1..=250 {
            log.forward(number, 20 * number, 65_536);
        }
        let summaries = |log: &Log| log.1.iter().filter(|line| line.contains("bulk: ")).count();
        assert_eq!(summaries(&log), 4);
        log.turn(251, 7_000, 0);
        log.turn(252, 9_000, 0);
        assert_eq!(summaries(&log), 5);
        assert!(log.0.transfers.is_empty() && log.0.summarized == 0);
        let lines = log.1.len();
        log.forward(253, 9_001, 65_536);
        assert_eq!(log.1.len(), lines + 4);
    }

    #[test]
    fn a_turn_is_held_back_only_while_a_bulk_is_summarized() {
        let mut log = Log::default();
        log.turn(1, 1, 1);
        assert_eq!(log.1, ["#0.1 Turn"]);
        (2..=100).for_each(|number| log.forward(number, number, 65_536));
        let lines = log.1.len();
        log.turn(101, 101, 1);
        assert_eq!(log.1.len(), lines);
        log.turn(102, 102, 0);
        assert_eq!(log.1[lines..], ["turn 101", "#0.1 Turn"]);
        log.on(Key::new(1, 0), Event::EndOfFile);
        log.turn(103, 103, 1);
        assert_eq!(log.1.last().map(String::as_str), Some("#0.1 Turn"));
        assert_eq!(log.0.summarized, 0);
    }
}
