//! Bulk transfers in the log of steps: the first steps of one are logged, then a summary once a
//! second, instead of the same lines again and again.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::core::{Event, Key, Moment, Ready};
use crate::text::count::Count;

use super::clock::Span;

/// A read of at least this many bytes belongs to a bulk transfer.
const BULK_READ: usize = 16 * 1024;

/// Reads of a transfer, in its first interval, that are logged one by one before it is summarised:
/// as many as one turn may have, so that one turn can be seen to its end.
const SHOWN_READS: u32 = 16;

/// A transfer is summarised this often while it lasts. It is over when it had no large read for so
/// long.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often all transfers are looked at for that.
const LOOK: Duration = Duration::from_millis(100);

/// All bulk transfers of open connections.
#[derive(Default)]
pub struct Bulk {
    runs: HashMap<u32, Run>,
    /// How many of them are summarised.
    summed: usize,
    /// The line of the present turn, if it is held back: while a transfer is summarised, it is
    /// logged only if another line of that turn is.
    turn: Option<Event<'static>>,
    number: u64,
    now: Moment,
    looked: Moment,
    /// A step of the present turn was counted instead of logged.
    counted: bool,
}

/// One transfer.
#[derive(Default)]
struct Run {
    /// How many of its large reads were logged, and when the first of them was.
    shown: u32,
    began: Moment,
    sum: Option<Sum>,
}

/// What a transfer did since its last summary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    pub id: u32,
    since: Moment,
    until: Moment,
    /// The number of the last turn that was counted.
    turn: u64,
    turns: u64,
    large_reads: u64,
    /// By end: how often, and how many bytes.
    reads: [(u64, u64); 2],
    writes: [(u64, u64); 2],
}

/// What is to be logged before an event, and whether the event itself is.
#[derive(Debug, Default)]
pub struct Decision {
    pub before: Vec<Line>,
    pub show: bool,
}

#[derive(Debug)]
pub enum Line {
    Turn(Event<'static>),
    Sum(Sum),
}

/// What a step is to a bulk transfer.
enum Part {
    Read,
    /// Such steps go with its reads.
    Beside,
    /// Nothing: a transfer ends where this happens.
    None,
}

impl Bulk {
    /// Every event must be shown to this, in order.
    pub fn decide(&mut self, key: Key, event: &Event<'_>) -> Decision {
        if let Event::Turn { number, slept, limit, events, queued, now } = *event {
            let turn = Event::Turn { number, slept, limit, events, queued, now };
            return self.begin_turn(turn, (number, now), events + queued > 0);
        }
        if self.counts(key, event) {
            self.counted = true;
            return Decision::default();
        }
        let ended = match part(event) {
            Part::None => self.end(key.id),
            Part::Read | Part::Beside => None,
        };
        let turn = self.turn.take().map(Line::Turn);
        let ended = ended.filter(|sum| sum.turns > 0);
        let before = ended.map(Line::Sum).into_iter().chain(turn).collect();
        Decision { before, show: true }
    }

    fn begin_turn(
        &mut self,
        turn: Event<'static>,
        (number, now): (u64, Moment),
        has_work: bool,
    ) -> Decision {
        // One that only has counted steps is counted with them.
        let last = self.turn.take().filter(|_| !self.counted);
        let mut before: Vec<Line> = last.map(Line::Turn).into_iter().collect();
        self.summarise(now, &mut before);
        (self.number, self.now, self.counted) = (number, now, false);
        let is_held = has_work && self.summed > 0;
        if is_held {
            self.turn = Some(turn);
        }
        Decision { before, show: !is_held }
    }

    /// The transfer of a connection is over; what was counted of it.
    fn end(&mut self, id: u32) -> Option<Sum> {
        let sum = self.runs.remove(&id)?.sum?;
        self.summed -= 1;
        Some(sum)
    }

    /// The summaries that are due.
    fn summarise(&mut self, now: Moment, lines: &mut Vec<Line>) {
        if now.since(self.looked) < LOOK {
            return;
        }
        self.looked = now;
        self.runs.retain(|id, run| {
            let Some(sum) = &mut run.sum else { return true };
            if now.since(sum.since) < INTERVAL {
                return true;
            }
            let next = Sum { id: *id, since: now, ..Sum::default() };
            let last = std::mem::replace(sum, next);
            let read_again = last.large_reads > 0;
            self.summed -= usize::from(!read_again);
            if last.turns > 0 {
                lines.push(Line::Sum(last));
            }
            read_again
        });
    }

    /// Whether a step belongs to a transfer that is summarised. Then it is counted.
    fn counts(&mut self, key: Key, event: &Event<'_>) -> bool {
        let (id, end) = (key.id, key.end());
        let run = match part(event) {
            _ if key.is_source() || key.is_flow() => return false,
            Part::None => return false,
            Part::Beside => match self.runs.get_mut(&id) {
                Some(run) if run.sum.is_some() => run,
                _ => return false,
            },
            Part::Read => {
                let run = self.runs.entry(id).or_default();
                if run.sum.is_none() && self.now.since(run.began) >= INTERVAL {
                    (run.shown, run.began) = (0, self.now);
                }
                if run.shown < SHOWN_READS {
                    run.shown += 1;
                    return false;
                }
                run
            }
        };
        let (now, number) = (self.now, self.number);
        let sum = run.sum.get_or_insert_with(|| {
            self.summed += 1;
            Sum { id, since: now, ..Sum::default() }
        });
        if sum.turns == 0 || sum.turn != number {
            (sum.turn, sum.until) = (number, now);
            sum.turns += 1;
        }
        let count = |(times, bytes): &mut (u64, u64), more: usize| {
            *times += 1;
            *bytes += more as u64;
        };
        match *event {
            Event::Read { bytes, .. } => {
                sum.large_reads += u64::from(bytes >= BULK_READ);
                count(&mut sum.reads[end], bytes);
            }
            Event::Wrote { bytes, .. } => count(&mut sum.writes[end], bytes),
            _ => {}
        }
        true
    }
}

fn part(event: &Event<'_>) -> Part {
    const ORDINARY: Ready = Ready::READ.with(Ready::WRITE).with(Ready::READ_OFF);
    match *event {
        Event::Read { bytes, .. } if bytes >= BULK_READ => Part::Read,
        Event::Marked { ready } if ready.without(ORDINARY) == Ready::NONE => Part::Beside,
        Event::Read { .. }
        | Event::Wrote { .. }
        | Event::ReadBlocked
        | Event::WriteBlocked { .. }
        | Event::ReadOff
        | Event::ReadOn
        | Event::Interrupted
        | Event::Yielded { .. }
        | Event::Armed { .. }
        | Event::Fired { again: true, .. } => Part::Beside,
        _ => Part::None,
    }
}

impl Display for Sum {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let time = Span(self.until.since(self.since));
        let turns = Count(self.turns as usize, "turn");
        write!(f, "#{} bulk: {turns} in {time}", self.id)?;
        for (did, of) in [("read", self.reads), ("wrote", self.writes)] {
            for (end, (times, bytes)) in ["a", "b"].into_iter().zip(of) {
                if times > 0 {
                    let calls = Count(times as usize, "call");
                    write!(f, ", {end} {did} {bytes} B in {calls}")?;
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

    /// The lines that come of events, in short.
    #[derive(Default)]
    struct Log(Bulk, Vec<String>);

    impl Log {
        fn on(&mut self, key: Key, event: Event<'_>) {
            let Decision { before, show } = self.0.decide(key, &event);
            for line in before {
                self.1.push(match line {
                    Line::Turn(Event::Turn { number, .. }) => format!("turn {number}"),
                    Line::Turn(other) => format!("{other:?}"),
                    Line::Sum(sum) => sum.to_string(),
                });
            }
            if show {
                let name = format!("{event:?}");
                let name = name.split([' ', '{']).next().unwrap_or_default();
                self.1.push(format!("#{}.{} {name}", key.id, key.end()));
            }
        }

        fn turn(&mut self, number: u64, millis: u64, events: usize) {
            let (slept, limit, now) = (Duration::ZERO, None, Moment(millis * 1000));
            self.on(Key::LOOP, Event::Turn { number, slept, limit, events, queued: 0, now });
        }

        /// A turn in which one connection passes this on.
        fn pass(&mut self, number: u64, millis: u64, bytes: usize) {
            let key = Key::new(1, 0);
            self.turn(number, millis, 1);
            self.on(key, Event::Marked { ready: Ready::READ.with(Ready::WRITE) });
            self.on(key, Event::Read { bytes, room: bytes, hint: ReadHint::Full });
            self.on(key.at(1), Event::Wrote { bytes, left: 0 });
        }
    }

    #[test]
    fn a_bulk_is_summarised_after_its_first_steps_and_at_its_end() {
        let mut log = Log::default();
        (1..=200).for_each(|number| log.pass(number, number, 65_536));
        let lines = log.1.len();
        // Of the first that is counted, its turn and its event were logged.
        assert_eq!(lines, 4 * SHOWN_READS as usize + 2, "{:#?}", log.1);
        log.turn(201, 201, 1);
        log.on(Key::new(1, 0), Event::EndOfFile);
        assert_eq!(
            log.1[lines..],
            [
                "#1 bulk: 184 turns in 183.0ms, a read 12058624 B in 184 calls, \
                 b wrote 12058624 B in 184 calls",
                "turn 201",
                "#1.0 EndOfFile"
            ]
        );
        // The next one is shown from its beginning again.
        let lines = log.1.len();
        log.pass(202, 300, 65_536);
        assert_eq!(log.1.len(), lines + 4);
    }

    #[test]
    fn small_reads_between_large_ones_are_counted_and_those_after_a_bulk_are_logged() {
        let mut log = Log::default();
        for number in 1..=100 {
            log.pass(number, number, if number % 2 == 0 { 65_536 } else { 700 });
        }
        assert!(log.1.len() < 140, "{:#?}", log.1);
        (101..=140).for_each(|number| log.pass(number, 100 * number, 700));
        let shown = log.1.iter().filter(|line| line.ends_with(" Wrote")).count();
        assert!(shown > 20, "{:#?}", log.1);
        // A large read now and then makes no bulk.
        let lines = log.1.len();
        (141..=160).for_each(|number| log.pass(number, 1000 * number, 65_536));
        assert_eq!(log.1.len(), lines + 4 * 20);
    }

    #[test]
    fn small_messages_and_other_connections_are_logged_step_by_step() {
        let mut log = Log::default();
        (1..=100).for_each(|number| log.pass(number, number, 64));
        assert_eq!(log.1.len(), 400);
        (101..=200).for_each(|number| log.pass(number, number, 65_536));
        let lines = log.1.len();
        log.pass(201, 201, 65_536);
        log.on(Key::new(2, 1), Event::Read { bytes: 5, room: 9, hint: ReadHint::Short });
        assert_eq!(log.1[lines..], ["turn 201", "#2.0 Read"]);
    }

    #[test]
    fn a_long_transfer_is_summarised_every_second_and_a_pause_ends_it() {
        let mut log = Log::default();
        for number in 1..=250 {
            log.pass(number, 20 * number, 65_536);
        }
        let sums = |log: &Log| log.1.iter().filter(|line| line.contains("bulk: ")).count();
        assert_eq!(sums(&log), 4);
        log.turn(251, 7_000, 0);
        log.turn(252, 9_000, 0);
        assert_eq!(sums(&log), 5);
        assert!(log.0.runs.is_empty() && log.0.summed == 0);
        let lines = log.1.len();
        log.pass(253, 9_001, 65_536);
        assert_eq!(log.1.len(), lines + 4);
    }

    #[test]
    fn a_turn_is_held_back_only_while_a_bulk_is_summarised() {
        let mut log = Log::default();
        log.turn(1, 1, 1);
        assert_eq!(log.1, ["#0.1 Turn"]);
        (2..=100).for_each(|number| log.pass(number, number, 65_536));
        let lines = log.1.len();
        log.turn(101, 101, 1);
        assert_eq!(log.1.len(), lines);
        log.turn(102, 102, 0);
        assert_eq!(log.1[lines..], ["turn 101", "#0.1 Turn"]);
        log.on(Key::new(1, 0), Event::EndOfFile);
        log.turn(103, 103, 1);
        assert_eq!(log.1.last().map(String::as_str), Some("#0.1 Turn"));
        assert_eq!(log.0.summed, 0);
    }
}
