//! Finds the slow turns of a trace, and what they were spent on: the phase and the connection that
//! were measured, and what the events show.

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::core::{Event, Moment, TurnDetail};
use crate::observe::format::Span;
use crate::text::count::{grouped, plural};
use crate::text::quantity::bytes as size;

use super::findings::{FindingLevel, TraceFinding, Worst};

/// A turn of this length delays every other connection noticeably.
const SLOW_TURN: Duration = Duration::from_millis(10);
/// A turn is also slow if it took this many times as long as the median turn, from `MIN_SLOW` on:
/// ten times a few microseconds is still nothing.
const SLOW_FACTOR: u64 = 10;
const MIN_SLOW: Duration = Duration::from_millis(1);
/// A connection stands out in a turn if it took this many times the steps of an average one.
const STANDS_OUT: u64 = 2;
/// Time without the processor is mentioned from this share of a turn on.
const WORTH_MENTIONING: u32 = 10;

/// Possible reasons why the thread did not run during a turn. A turn itself never waits.
const NOT_SCHEDULED: &str = " The processor was busy with something else, the process was stopped, \
                             or a call waited for a disk.";

/// Collects the slow turns.
pub(super) struct SlowTurns {
    pub turn: TurnWork,
    /// Of all turns.
    durations: Option<Histogram<u64>>,
    /// Those in which the thread ran.
    busy: SlowKind,
    /// Those in which it did not run most of the time.
    not_scheduled: SlowKind,
}

/// Turns of one kind that are slow, or may be.
struct SlowKind {
    durations: Option<Histogram<u64>>,
    found: Worst,
}

/// The present turn.
#[derive(Default)]
pub(super) struct TurnWork {
    number: Option<u64>,
    since: Moment,
    /// What the poll returned.
    events: usize,
    pub opened: u64,
    pub closed: u64,
    /// The steps of each connection, and the bytes that it read.
    conns: HashMap<u32, TurnShare>,
    /// How long it took, and what for, if that was measured.
    pub measured: Option<(Duration, TurnDetail)>,
}

/// What a connection did in a turn.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct TurnShare {
    steps: u64,
    bytes: u64,
}

impl Default for SlowTurns {
    fn default() -> SlowTurns {
        SlowTurns {
            turn: TurnWork::default(),
            durations: histogram(),
            busy: SlowKind::default(),
            not_scheduled: SlowKind::default(),
        }
    }
}

impl Default for SlowKind {
    fn default() -> SlowKind {
        SlowKind { durations: histogram(), found: Worst::default() }
    }
}

fn histogram() -> Option<Histogram<u64>> {
    // Fails only for other bounds.
    Histogram::new(2).ok()
}

impl SlowTurns {
    /// Begins a turn, after a sleep of this length.
    pub fn begin(&mut self, number: u64, now: Moment, slept: Duration, events: usize) {
        // Another one is not the next if turns between them are not recorded.
        let is_next = self.turn.number.is_some_and(|last| last.checked_add(1) == Some(number));
        let end = Moment(now.0.saturating_sub(slept.as_micros() as u64));
        self.end_turn(is_next.then_some(end));
        self.turn = TurnWork { number: Some(number), since: now, events, ..TurnWork::default() };
    }

    /// Forgets the present turn: some of its events were lost.
    pub fn lose_turn(&mut self) {
        self.turn = TurnWork::default();
    }

    /// Returns the slow turns: only now is the median known.
    pub fn into_findings(mut self) -> Vec<TraceFinding> {
        self.end_turn(None);
        let median = self.durations.as_ref().map_or(0, |all| all.value_at_quantile(0.5));
        let limit = slow_limit(median);
        let mut shown = self.busy.into_shown(limit);
        let mut not_scheduled = self.not_scheduled.into_shown(limit);
        if let Some(first) = not_scheduled.first_mut() {
            first.text += NOT_SCHEDULED;
        }
        shown.extend(not_scheduled);
        shown.sort_by_key(|finding| finding.level);
        if let Some(first) = shown.first_mut() {
            let median = Span(Duration::from_micros(median));
            first.text += &format!(" The median turn took {median}.");
        }
        shown
    }

    /// Ends the present turn. `until`: None if that is not known.
    fn end_turn(&mut self, until: Option<Moment>) {
        let Some(number) = self.turn.number.take() else { return };
        let measured = self.turn.measured.map(|(took, _)| took);
        let took = measured.or_else(|| until.map(|until| until.since(self.turn.since)));
        let Some(took) = took else { return };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(durations) = &mut self.durations {
            durations.saturating_record(micros);
        }
        // Those that are slow only against the median are at least this long.
        if took < MIN_SLOW {
            return;
        }
        let detail = self.turn.measured.map(|(_, detail)| detail);
        let is_busy = detail.is_none_or(|detail| !detail.is_mostly_not_scheduled(took));
        let mut text = format!(
            "Turn {} took {}, without its sleep, for {}{}.",
            grouped(number),
            Span(took),
            plural(self.turn.events as u64, "event"),
            self.turn.changes()
        );
        text.extend(detail.and_then(|detail| waited(&detail, took)));
        let mut more = None;
        if is_busy {
            let (measured, slowest) = detail.map(|detail| spent(&detail)).unwrap_or_default();
            let (most, busiest) = self.turn.driven();
            text += &(measured + &most);
            more = slowest.or(busiest).map(|id| format!("explain {id}"));
        }
        let level = match took >= SLOW_TURN {
            true => FindingLevel::Problem,
            false => FindingLevel::Warning,
        };
        let at = Some(self.turn.since);
        let kind = if is_busy { &mut self.busy } else { &mut self.not_scheduled };
        kind.push(TraceFinding { level, at, weight: micros, text, more });
    }
}

impl SlowKind {
    fn push(&mut self, turn: TraceFinding) {
        if let Some(durations) = &mut self.durations {
            durations.saturating_record(turn.weight);
        }
        self.found.push(turn);
    }

    /// Returns the turns of at least this many microseconds.
    fn into_shown(self, limit: u64) -> Vec<TraceFinding> {
        let mut slow = Worst::default();
        let found = self.found.into_kept().into_iter();
        found.filter(|turn| turn.weight >= limit).for_each(|turn| slow.push(turn));
        // More of them than were kept.
        let count = self.durations.as_ref().map_or(0, |all| all.count_between(limit, u64::MAX));
        slow.raise_count(count);
        slow.into_shown()
    }
}

/// Says for how long the thread did not run, if that matters.
fn waited(detail: &TurnDetail, took: Duration) -> Option<String> {
    let time = detail.not_scheduled.filter(|time| *time >= took / WORTH_MENTIONING)?;
    let text = format!(" For {} of it the thread was not scheduled by the kernel", Span(time));
    Some(text + ".")
}

/// Says which phase took most of a turn, and which connection if it took most of that phase. The
/// second value is that connection.
fn spent(detail: &TurnDetail) -> (String, Option<u32>) {
    let (phase, most) = detail.slowest();
    let text = format!(" {} of it passed in the phase {}", Span(most), phase.name());
    // The thread may have been kept from running while that connection had its turn.
    let kept = detail.not_scheduled.unwrap_or_default();
    let has_most = |(_, took): &(u32, Duration)| took.saturating_sub(kept) >= most / 2;
    match detail.slowest_connection().filter(has_most) {
        Some((id, took)) => {
            (format!("{text}, {} of that for connection {id}.", Span(took)), Some(id))
        }
        None => (text + ".", None),
    }
}

impl TurnWork {
    /// Counts a step of a connection.
    pub fn step(&mut self, conn: u32, event: &Event<'_>) {
        if !matches!(event, Event::Read { .. } | Event::Wrote { .. }) {
            return;
        }
        let share = self.conns.entry(conn).or_default();
        share.steps += 1;
        if let Event::Read { bytes, .. } = *event {
            // The numbers of a recording may be any.
            share.bytes = share.bytes.saturating_add(bytes as u64);
        }
    }

    /// Says what changed in the turn.
    fn changes(&self) -> String {
        let mut changes = String::new();
        if self.opened > 0 {
            changes += &format!(", {} opened", grouped(self.opened));
        }
        if self.closed > 0 {
            changes += &format!(", {} closed", grouped(self.closed));
        }
        changes
    }

    /// Says who was driven in the turn. If one connection stands out, it is named, and the second
    /// value is its number.
    fn driven(&self) -> (String, Option<u32>) {
        let most = self.conns.iter().max_by_key(|(id, share)| (**share, std::cmp::Reverse(**id)));
        let Some((id, TurnShare { steps, bytes })) = most else {
            return (" No connection was driven in it.".to_string(), None);
        };
        let count = self.conns.len() as u64;
        let total: u64 = self.conns.values().map(|share| share.steps).sum();
        let taken = format!(" {} took {} in it", plural(count, "connection"), moves(total));
        if count > 1 && steps * count < STANDS_OUT * total {
            return (format!("{taken}, none far more than the others."), None);
        }
        let read = size(*bytes as f64);
        let text =
            format!("{taken}, most of all connection {id}: {}, {read} read.", grouped(*steps));
        (text, Some(*id))
    }
}

/// Returns the microseconds from which a turn is slow.
fn slow_limit(median: u64) -> u64 {
    let (most, least) = (SLOW_TURN.as_micros() as u64, MIN_SLOW.as_micros() as u64);
    (median * SLOW_FACTOR).clamp(least, most)
}

fn moves(count: u64) -> String {
    if count == 1 {
        "1 read or write".to_owned()
    } else {
        format!("{} reads and writes", grouped(count))
    }
}
