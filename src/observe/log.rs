//! The log: each event becomes one line, at the level at which it matters.
//!
//! - warn: the service suffers (accepting pauses, datagrams are dropped, targets do not take us)
//! - info: start, stop, signals, what was heard; a dump, under a target of its own
//! - debug: the lives of connections
//! - trace: each step of each turn, under a target of its own

use std::time::{Duration, Instant};

use log::Level;

use crate::core::{Event, Key, Observer};
use crate::plan::Explain;
use crate::text::count::Count;

use super::bulk::{self, Bulk, Decision};
use super::line::Line;
use super::once::Given;
use super::rate::{Kind, Rate};
use super::stalls::StallTimes;
use crate::text::escape::plain;

/// The target of lines about lives.
pub const LIVES: &str = "oneloop";

/// The target of lines about steps, for `RUST_LOG=oneloop::loop=trace`.
pub const STEPS: &str = "oneloop::loop";

/// The target of what a signal asked for, which is shown whatever the level of the others is.
pub const DUMP: &str = "oneloop::dump";

/// An observer that logs.
pub struct LogObserver {
    explain: Explain,
    /// The explanations that were given.
    given: Given,
    /// The steps are logged.
    steps: bool,
    bulk: Bulk,
    stalls: StallTimes,
    born: Instant,
    rate: Rate,
    /// The last pause of accepting was told, so its end will be.
    pause_told: bool,
    /// The addresses of the doors, by slot. There are as many as routes.
    listeners: Vec<(usize, String)>,
}

impl LogObserver {
    /// The logger must be set before: it is asked for its level here.
    pub fn new(explain: Explain) -> LogObserver {
        LogObserver {
            explain,
            given: Given::default(),
            steps: log::log_enabled!(target: STEPS, Level::Trace),
            bulk: Bulk::default(),
            stalls: StallTimes::default(),
            born: Instant::now(),
            rate: Rate::default(),
            pause_told: false,
            listeners: Vec::new(),
        }
    }

    /// Where this event is told, and how many like it were not told since the last one.
    fn decide(&mut self, event: &Event<'_>, now: Duration) -> (&'static str, Level, u64) {
        let (target, level) = place(event);
        match (event, kind(event)) {
            (Event::AcceptResumed { .. }, _) if !std::mem::take(&mut self.pause_told) => {
                (target, Level::Debug, 0)
            }
            (_, Some(kind)) => {
                let (elsewhere, low) = place_of_withheld(event);
                let is_seen = log::log_enabled!(target: elsewhere, low);
                match self.rate.pass(kind, now, is_seen) {
                    Some(more) => {
                        self.pause_told |= matches!(event, Event::AcceptPaused { .. });
                        (target, level, more)
                    }
                    None => (elsewhere, low, 0),
                }
            }
            _ => (target, level, 0),
        }
    }

    /// Tells how many warnings were withheld, for there may be no next one to tell it.
    pub fn flush_suppressed(&mut self) {
        for (Kind { word, subject }, count) in self.rate.withheld() {
            let (space, subject) = (if subject.is_empty() { "" } else { " " }, plain(subject));
            let times = Count(count as usize, "more time");
            log::warn!(target: LIVES, "{word}{space}{subject}: {times}");
        }
    }

    fn listener(&self, key: Key) -> Option<&str> {
        let (_, address) = self.listeners.iter().find(|(slot, _)| *slot == key.slot())?;
        key.is_source().then_some(address)
    }
}

/// Whatever was watched, and however it ended: what is owed is told at the latest now.
impl Drop for LogObserver {
    fn drop(&mut self) {
        self.flush_suppressed();
    }
}

impl Observer for LogObserver {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if let (Event::Listening { address, .. }, true) = (event, key.is_source()) {
            self.listeners.retain(|(slot, _)| *slot != key.slot());
            self.listeners.push((key.slot(), address.to_string()));
        }
        if self.steps && !self.is_shown(key, event) {
            return;
        }
        self.emit(key, event);
    }

    fn wants_steps(&self) -> bool {
        log::log_enabled!(target: STEPS, Level::Trace)
    }

    fn wants_stalls(&self) -> bool {
        log::log_enabled!(target: LIVES, Level::Debug)
    }
}

impl LogObserver {
    /// Whether a line is written for this event, or it is counted as part of a bulk transfer. Lines
    /// that belong before it are written.
    fn is_shown(&mut self, key: Key, event: &Event<'_>) -> bool {
        let Decision { before, show } = self.bulk.decide(key, event);
        for line in before {
            match line {
                bulk::Line::Turn(turn) => self.emit(Key::LOOP, &turn),
                bulk::Line::Sum(sum) => log::trace!(target: STEPS, "{sum}"),
            }
        }
        show
    }

    fn emit(&mut self, key: Key, event: &Event<'_>) {
        // Most events end here, at the cost of a comparison.
        let (target, level) = place(event);
        if !log::log_enabled!(target: target, level) {
            return;
        }
        let now = if level <= Level::Info { self.born.elapsed() } else { Duration::ZERO };
        let (target, level, more) = self.decide(event, now);
        if !log::log_enabled!(target: target, level) {
            return;
        }
        self.stalls.on(key, event);
        let stalled = match *event {
            Event::Closed { now, .. } => self.stalls.take(key, now),
            _ => [Duration::ZERO; 2],
        };
        let explain = match self.explain {
            Explain::Off => false,
            Explain::First => self.given.is_first(key, event),
            Explain::Always => true,
        };
        let line = Line { key, event, listener: self.listener(key), stalled, explain };
        if more == 0 {
            log::log!(target: target, level, "{line}");
        } else {
            log::log!(target: target, level, "{line} (and {more} more since the last such line)");
        }
    }
}

/// Where an event is told.
pub fn place(event: &Event<'_>) -> (&'static str, Level) {
    match event {
        Event::AcceptPaused { .. }
        | Event::DialFailed { .. }
        | Event::Resolved { error: Some(_), .. }
        | Event::Dropped { .. } => (LIVES, Level::Warn),
        Event::Listening { .. }
        | Event::AcceptResumed { .. }
        | Event::Signal { .. }
        | Event::Draining { .. }
        | Event::Message { .. } => (LIVES, Level::Info),
        Event::InProgress { .. } | Event::Dump { .. } => (DUMP, Level::Info),
        Event::AcceptFailed { .. }
        | Event::Resolved { .. }
        | Event::Opened { .. }
        | Event::Dialing { .. }
        | Event::Connected { .. }
        | Event::EndOfFile
        | Event::ShutDown
        | Event::Stalled { .. }
        | Event::Resumed { .. }
        | Event::Closed { .. } => (LIVES, Level::Debug),
        Event::Turn { .. }
        | Event::PolledAgain { .. }
        | Event::Marked { .. }
        | Event::Stale
        | Event::Read { .. }
        | Event::Wrote { .. }
        | Event::ReadBlocked
        | Event::WriteBlocked { .. }
        | Event::ReadOff
        | Event::ReadOn
        | Event::Interrupted
        | Event::Yielded { .. }
        | Event::Armed { .. }
        | Event::Fired { .. }
        | Event::Received { .. }
        | Event::Sent { .. }
        | Event::Passed { .. } => (STEPS, Level::Trace),
    }
}

/// Where a warning is told when it is one too many: to those who want to see all.
fn place_of_withheld(event: &Event<'_>) -> (&'static str, Level) {
    match event {
        Event::Dropped { .. } => (STEPS, Level::Trace),
        _ => (LIVES, Level::Debug),
    }
}

/// Which warnings count as the same.
fn kind<'a>(event: &Event<'a>) -> Option<Kind<'a>> {
    let (word, subject) = match *event {
        Event::AcceptPaused { .. } => ("accepting pauses", ""),
        // That a client is lost must not be silenced by others that were not.
        Event::DialFailed { target, left: 0, .. } => ("no targets left after", target),
        Event::DialFailed { target, .. } => ("connect failed to", target),
        Event::Resolved { name, error: Some(_), .. } => ("not resolved", name),
        Event::Dropped { why, .. } => ("datagram dropped as", why.name()),
        _ => return None,
    };
    Some(Kind { word, subject })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::event::DropReason;

    const PAUSED: Event<'_> = Event::AcceptPaused { address: "a", fault: None, connections: 1 };
    const RESUMED: Event<'_> = Event::AcceptResumed { address: "a", connections: 1 };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_flood_of_warnings_is_told_once_in_ten_seconds_with_a_count() {
        let mut log = LogObserver::new(Explain::Off);
        let dropped = Event::Dropped { bytes: Some(1), from: None, why: DropReason::Own };
        assert_eq!(log.decide(&dropped, at(0)), (LIVES, Level::Warn, 0));
        for _ in 0..500 {
            assert_eq!(log.decide(&dropped, at(1)), (STEPS, Level::Trace, 0));
        }
        let other = Event::Dropped { bytes: Some(1), from: None, why: DropReason::Loop };
        assert_eq!(log.decide(&other, at(1)), (LIVES, Level::Warn, 0));
        assert_eq!(log.decide(&dropped, at(10)), (LIVES, Level::Warn, 500));
    }

    #[test]
    fn one_target_does_not_silence_another_nor_a_failover_the_loss_of_a_client() {
        let mut log = LogObserver::new(Explain::Off);
        let fault = std::io::ErrorKind::ConnectionRefused.into();
        for (target, left) in [("tcp://a:1", 1), ("tcp://b:1", 1), ("tcp://a:1", 0)] {
            let failed = Event::DialFailed { target, fault, left, client: None };
            assert_eq!(log.decide(&failed, at(0)).1, Level::Warn, "{target}, {left} left");
            assert_eq!(log.decide(&failed, at(1)).1, Level::Debug, "{target}, {left} left");
        }
    }

    #[test]
    fn the_end_of_a_pause_is_told_if_its_beginning_was() {
        let mut log = LogObserver::new(Explain::Off);
        assert_eq!(log.decide(&PAUSED, at(0)).1, Level::Warn);
        assert_eq!(log.decide(&RESUMED, at(1)).1, Level::Info);
        assert_eq!(log.decide(&PAUSED, at(2)).1, Level::Debug);
        assert_eq!(log.decide(&RESUMED, at(3)).1, Level::Debug);
        assert_eq!(log.decide(&PAUSED, at(10)), (LIVES, Level::Warn, 1));
        assert_eq!(log.decide(&PAUSED, at(11)).1, Level::Debug);
        assert_eq!(log.decide(&RESUMED, at(12)).1, Level::Info);
    }

    #[test]
    fn a_door_is_called_by_its_address_once_that_is_known() {
        let mut log = LogObserver::new(Explain::Off);
        let listening = Event::Listening { address: "udp://127.0.0.1:7", service: "echo" };
        log.on(Key::source(3), &listening);
        assert_eq!(log.listener(Key::source(3)), Some("udp://127.0.0.1:7"));
        assert_eq!(log.listener(Key::source(4)), None);
        assert_eq!(log.listener(Key::new(9, 3)), None, "a connection is no door");
    }
}
