//! Logs events, one line each:
//!
//! - warn: service degraded (accept paused, connect failed, datagram dropped)
//! - info: start, stop, signals, messages; dumps, under a target of their own
//! - debug: the life of each connection
//! - trace: each step of each turn, under a target of its own

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use log::Level;

use crate::config::Explain;
use crate::core::event::PauseCause;
use crate::core::{Event, EventLevel, Key, Moment, Observer, ServiceKind, Wants};
use crate::recording::{KnownConnection, ReplayObserver};
use crate::text::count::Count;

use super::bulk::{self, Bulk, Decision};
use super::ending::FarEnd;
use super::explain::{Explained, explain};
use super::filter::InvalidDirective;
use super::format::WATCH;
pub use super::format::{DUMP, LIFECYCLE, LOOP};
use super::line::{KnownLine, Line};
use super::line_sink::{LineSink, ProcessLog, ReplayedLog};
use super::rate::{Kind, RateLimit};
use crate::text::escape::plain;

/// An observer that writes the log: to the logger of the process, or to another sink.
pub struct LogObserver<S: LineSink = ProcessLog> {
    sink: S,
    explain: Explain,
    explained: Explained,
    bulk: Bulk,
    stalls: StallTimes,
    /// The time of the current turn.
    now: Moment,
    rate: RateLimit,
    /// Whether the last accept pause was logged as a warning. Then its end is logged at info.
    pause_logged: bool,
    /// The addresses of listeners and datagram sockets. That of a closed one is replaced by the
    /// next one in its slot.
    listeners: Vec<(Key, String)>,
}

impl LogObserver {
    pub fn new(explain: Explain) -> LogObserver {
        LogObserver::with_sink(explain, ProcessLog)
    }
}

impl<S: LineSink> LogObserver<S> {
    pub(super) fn with_sink(explain: Explain, sink: S) -> LogObserver<S> {
        LogObserver {
            sink,
            explain,
            explained: Explained::default(),
            bulk: Bulk::default(),
            stalls: StallTimes::default(),
            now: Moment::default(),
            rate: RateLimit::default(),
            pause_logged: false,
            listeners: Vec::new(),
        }
    }

    pub(super) fn sink_mut(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Changes which lines include their reason, from the next one on.
    pub fn set_explain(&mut self, explain: Explain) {
        self.explain = explain;
    }

    /// Forgets bulk transfers and stalls that are no longer logged: their end would not be noticed.
    pub fn filter_changed(&mut self) {
        let Wants { steps, stalls } = self.wants();
        if !steps {
            self.bulk = Bulk::default();
        }
        if !stalls {
            self.stalls = StallTimes::default();
        }
    }

    /// Returns the target and level for this event, and how many of its kind were suppressed since
    /// the last one.
    fn decide(&mut self, event: &Event<'_>) -> (&'static str, Level, u64) {
        let (target, level) = place(event);
        if let Event::AcceptResumed { cause: PauseCause::Limit | PauseCause::System(_), .. } = event
            && !std::mem::take(&mut self.pause_logged)
        {
            return (target, Level::Debug, 0);
        }
        let Some(kind) = kind(event) else { return (target, level, 0) };
        let (low_target, low_level) = place_if_suppressed(event);
        let is_logged = self.sink.is_enabled(low_target, low_level);
        match self.rate.pass(kind, self.now, is_logged) {
            Some(more) => {
                self.pause_logged |= matches!(event, Event::AcceptPaused { .. });
                (target, level, more)
            }
            None => (low_target, low_level, 0),
        }
    }

    /// Logs how many warnings were suppressed, since there may be no next one to carry the count.
    pub fn flush_suppressed(&mut self) {
        for (Kind { message, subject }, count) in self.rate.take_suppressed() {
            let (space, subject) = (if subject.is_empty() { "" } else { " " }, plain(subject));
            let times = Count(count as usize, "more time");
            let line = format_args!("{message}{space}{subject}: {times}");
            self.sink.write(LIFECYCLE, Level::Warn, line);
        }
    }

    /// Returns the line of an event without its reason, for other outputs.
    pub fn line<'a>(&'a self, key: Key, event: &'a Event<'a>) -> impl Display + 'a {
        let (stalled, listener) = ([Duration::ZERO; 2], self.listener(key));
        Line { key, event, listener, stalled, explain: None }
    }

    fn listener(&self, key: Key) -> Option<&str> {
        find_listener(&self.listeners, key)
    }
}

fn find_listener(listeners: &[(Key, String)], key: Key) -> Option<&str> {
    if !key.is_source() {
        return None;
    }
    let known = listeners.iter().find(|(known, _)| *known == key.at(0));
    known.map(|(_, address)| address.as_str())
}

/// Logs the remaining counts, however the run ended.
impl<S: LineSink> Drop for LogObserver<S> {
    fn drop(&mut self) {
        self.flush_suppressed();
    }
}

impl<S: LineSink> Observer for LogObserver<S> {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if let Event::Payload { .. } = event {
            // It may be secret.
            return;
        }
        if let (Event::Listening { address, .. }, true) = (event, key.is_source()) {
            self.add_listener(key, address);
        }
        if self.logs_steps() && !self.is_shown(LOOP, key, event) {
            return;
        }
        self.emit(None, key, event);
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.now = now;
        self.sink.begin_turn(now);
        self.wants()
    }
}

impl<W: Write> ReplayObserver for LogObserver<ReplayedLog<W>> {
    fn known_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        let line = KnownLine { key, known, now: self.now };
        if self.sink.is_enabled(LIFECYCLE, Level::Debug) {
            self.sink.write(LIFECYCLE, Level::Debug, format_args!("{line}"));
        }
    }

    fn known_listener(&mut self, key: Key, _service: ServiceKind, address: &str) {
        self.add_listener(key, address);
    }

    fn lost(&mut self, events: u64) {
        let events = Count(events as usize, "event: was");
        let line = format_args!("{events} lost here: the recording does not have them");
        self.sink.write(LIFECYCLE, Level::Warn, line);
    }
}

impl<S: LineSink> LogObserver<S> {
    fn add_listener(&mut self, key: Key, address: &str) {
        let place = |key: Key| (key.source_kind(), key.source_slot());
        self.listeners.retain(|(old, _)| place(*old) != place(key));
        self.listeners.push((key, address.to_string()));
    }

    /// The time of the current turn.
    pub(super) fn now(&self) -> Moment {
        self.now
    }

    /// Returns what the present filter of the log shows.
    pub(super) fn wants(&self) -> Wants {
        let stalls = self.sink.is_enabled(LIFECYCLE, Level::Debug);
        Wants { steps: self.logs_steps(), stalls }
    }

    /// Logs an event of a connection that is watched, while the filter does not show steps. What
    /// the filter does not show is logged to a target of its own.
    pub fn on_watched(&mut self, key: Key, event: &Event<'_>) {
        if self.is_shown(WATCH, key, event) {
            self.emit(Some(WATCH), key, event);
        }
    }

    fn logs_steps(&self) -> bool {
        self.sink.is_enabled(LOOP, Level::Trace)
    }

    /// Returns whether this event is logged, rather than counted as part of a bulk transfer. Writes
    /// the lines that belong before it, to `target`.
    fn is_shown(&mut self, target: &'static str, key: Key, event: &Event<'_>) -> bool {
        let Decision { before, show } = self.bulk.decide(self.now, key, event);
        for line in before {
            match line {
                bulk::Line::Turn(turn) => self.emit(Some(target), Key::LOOP, &turn),
                bulk::Line::Summary(summary) => {
                    self.sink.write(target, Level::Trace, format_args!("{summary}"));
                }
            }
        }
        show
    }

    /// Writes the line of an event. `otherwise`: the target of a line that the filter does not show
    /// at its own.
    fn emit(&mut self, otherwise: Option<&'static str>, key: Key, event: &Event<'_>) {
        // Most events end here, at the cost of a comparison.
        let (target, level) = place(event);
        if otherwise.is_none() && !self.sink.is_enabled(target, level) {
            return;
        }
        let (target, level, more) = self.decide(event);
        let target = match (self.sink.is_enabled(target, level), otherwise) {
            (true, _) => target,
            (false, Some(other)) => other,
            (false, None) => return,
        };
        let mut stalled = [Duration::ZERO; 2];
        if let Event::Stalled { since, .. } = *event {
            self.stalls.began(key, since);
        } else if let Event::Resumed { stalled } = *event {
            self.stalls.ended(key, stalled);
        } else if let Event::Closed { .. } = *event {
            stalled = self.stalls.take(key, self.now);
        }
        let far = FarEnd::Unknown;
        let is_explained = match self.explain {
            Explain::Off => false,
            Explain::First => self.explained.is_first(&explain(key, event, far)),
            Explain::Always => true,
        };
        let explain = is_explained.then_some(far);
        let listener = find_listener(&self.listeners, key);
        let line = Line { key, event, listener, stalled, explain };
        write(&mut self.sink, target, level, more, line);
    }

    /// Logs that a part of a recording could not be written. `lost`: events that are missing in it.
    pub(super) fn recording_failed(&mut self, path: &str, error: &io::Error, lost: u64) {
        let kind = Kind { message: "failed to record to", subject: path };
        let is_logged = self.sink.is_enabled(LIFECYCLE, Level::Debug);
        let (level, more) = match self.rate.pass(kind, self.now, is_logged) {
            Some(more) => (Level::Warn, more),
            None => (Level::Debug, 0),
        };
        let (path, lost) = (plain(path), Count(lost as usize, "event"));
        let line = format_args!("recording to {path}: {error}; {lost} lost");
        write(&mut self.sink, LIFECYCLE, level, more, line);
    }
}

/// Writes a line, with the number of those of its kind that were suppressed before it.
fn write(
    sink: &mut impl LineSink,
    target: &'static str,
    level: Level,
    more: u64,
    line: impl Display,
) {
    match more {
        0 => sink.write(target, level, format_args!("{line}")),
        _ => {
            let more = format_args!("{line} (and {more} more since the last such line)");
            sink.write(target, level, more);
        }
    }
}

/// Returns the target and level of an event.
pub fn place(event: &Event<'_>) -> (&'static str, Level) {
    match event.level() {
        EventLevel::Step | EventLevel::StepCounts => (LOOP, Level::Trace),
        EventLevel::Lifecycle => (LIFECYCLE, Level::Debug),
        EventLevel::Notice => (LIFECYCLE, Level::Info),
        EventLevel::Warning => (LIFECYCLE, Level::Warn),
        EventLevel::Dump => (DUMP, Level::Info),
    }
}

/// Returns the target and level of a warning that is suppressed.
fn place_if_suppressed(event: &Event<'_>) -> (&'static str, Level) {
    match matches!(event, Event::Dropped { .. }) {
        true => (LOOP, Level::Trace),
        false => (LIFECYCLE, Level::Debug),
    }
}

/// Returns the kind of a warning, for the rate limit. `None`: every such event is logged.
fn kind<'a>(event: &Event<'a>) -> Option<Kind<'a>> {
    match *event {
        // Each is the answer to a request.
        Event::AcceptPaused { cause: PauseCause::Operator, .. } => None,
        Event::AcceptPaused { cause: PauseCause::Limit | PauseCause::System(_), .. } => {
            Some(Kind { message: "accept paused", subject: "" })
        }
        // The loss of a client must not be suppressed after failures that lost none.
        Event::DialFailed { target, left: 0, .. } => {
            Some(Kind { message: "no targets left after", subject: target })
        }
        Event::DialFailed { target, .. } => {
            Some(Kind { message: "failed connect to", subject: target })
        }
        Event::Resolved { name, error: Some(_), .. } => {
            Some(Kind { message: "cannot resolve", subject: name })
        }
        Event::Dropped { why, .. } => {
            Some(Kind { message: "datagram dropped as", subject: why.name() })
        }
        Event::Turn { .. }
        | Event::SlowTurn { .. }
        | Event::PolledAgain { .. }
        | Event::Listening { .. }
        | Event::AcceptResumed { .. }
        | Event::AcceptFailed { .. }
        | Event::Signal { .. }
        | Event::Draining { .. }
        | Event::Resolved { error: None, .. }
        | Event::InProgress { .. }
        | Event::Dump { .. }
        | Event::AdminRequest { .. }
        | Event::Reloading { .. }
        | Event::Reloaded { .. }
        | Event::ReloadFailed { .. }
        | Event::Opened { .. }
        | Event::Dialing { .. }
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
        | Event::Payload { .. }
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
        | Event::Passed { .. } => None,
    }
}

/// How long each end of the open connections has stalled, for the line that logs their close.
#[derive(Default)]
struct StallTimes(HashMap<Key, StallTime>);

#[derive(Default)]
struct StallTime {
    /// Duration of finished stalls.
    total: Duration,
    /// Start of the current stall.
    since: Option<Moment>,
}

impl StallTimes {
    /// Records that the end has accepted nothing since this time.
    fn began(&mut self, end: Key, since: Moment) {
        self.0.entry(end).or_default().since = Some(since);
    }

    /// Records that a stall of this end is over.
    fn ended(&mut self, end: Key, stalled: Duration) {
        let time = self.0.entry(end).or_default();
        time.total = time.total.saturating_add(stalled);
        time.since = None;
    }

    /// Removes a closed connection and returns how long each of its ends has stalled.
    fn take(&mut self, key: Key, now: Moment) -> [Duration; 2] {
        if self.0.is_empty() {
            return [Duration::ZERO; 2];
        }
        [0, 1].map(|end| {
            let time = self.0.remove(&key.at(end)).unwrap_or_default();
            let since = time.since.map_or(Duration::ZERO, |since| now.since(since));
            time.total.saturating_add(since)
        })
    }
}

/// Returns an observer that writes the lines which the log of the daemon would have had with this
/// filter: a level, or directives as in RUST_LOG. `start`: when the loop was created.
pub fn replayed_log<W: Write>(
    out: W,
    filter: &str,
    explain: Explain,
    start: SystemTime,
) -> Result<LogObserver<ReplayedLog<W>>, InvalidDirective> {
    ReplayedLog::new(out, filter, start).map(|sink| LogObserver::with_sink(explain, sink))
}

impl<W: Write> LogObserver<ReplayedLog<W>> {
    /// Writes the counts of suppressed warnings, as at stop, and returns the first error.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush_suppressed();
        self.sink_mut().finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Arguments;

    use super::*;
    use crate::core::SourceKind;
    use crate::core::event::{DropReason, ServiceKind};

    const LIMIT: PauseCause = PauseCause::Limit;
    const PAUSED: Event<'_> = Event::AcceptPaused { address: "a", cause: LIMIT, connections: 1 };
    const RESUMED: Event<'_> = Event::AcceptResumed { address: "a", cause: LIMIT, connections: 1 };

    impl LogObserver {
        fn decide_at(&mut self, event: &Event<'_>, seconds: u64) -> (&'static str, Level, u64) {
            self.begin_turn(Moment(seconds * 1_000_000));
            self.decide(event)
        }
    }

    #[test]
    fn a_flood_of_warnings_is_logged_once_in_ten_seconds_with_a_count() {
        let mut log = LogObserver::new(Explain::Off);
        let dropped = Event::Dropped { bytes: Some(1), from: None, why: DropReason::Own };
        assert_eq!(log.decide_at(&dropped, 0), (LIFECYCLE, Level::Warn, 0));
        for _ in 0..500 {
            assert_eq!(log.decide_at(&dropped, 1), (LOOP, Level::Trace, 0));
        }
        let other = Event::Dropped { bytes: Some(1), from: None, why: DropReason::Loop };
        assert_eq!(log.decide_at(&other, 1), (LIFECYCLE, Level::Warn, 0));
        assert_eq!(log.decide_at(&dropped, 10), (LIFECYCLE, Level::Warn, 500));
    }

    /// Keeps the lines of this level and above.
    struct Lines {
        level: Level,
        lines: Vec<(Level, String)>,
    }

    impl LineSink for Lines {
        fn is_enabled(&self, _target: &'static str, level: Level) -> bool {
            level <= self.level
        }

        fn write(&mut self, _target: &'static str, level: Level, line: Arguments<'_>) {
            if level <= self.level {
                self.lines.push((level, line.to_string()));
            }
        }
    }

    #[test]
    fn a_disk_that_fails_again_and_again_is_logged_once_in_ten_seconds_with_a_count() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let logged = |level| {
            let lines = Vec::new();
            let mut log = LogObserver::with_sink(Explain::Off, Lines { level, lines });
            for (seconds, lost) in [(1, 3), (6, 5), (10, 7), (11, 9), (16, 10)] {
                log.begin_turn(Moment(seconds * 1_000_000));
                log.recording_failed("/x\n", &full, lost);
            }
            log.flush_suppressed();
            std::mem::take(&mut log.sink_mut().lines)
        };
        let line = |lost| format!("recording to /x\\n: {full}; {lost} events lost");
        let warn = |text: String| (Level::Warn, text);
        let more = " (and 2 more since the last such line)";
        let expected = [
            warn(line(3)),
            warn(line(9) + more),
            warn("failed to record to /x\\n: 1 more time".to_owned()),
        ];
        assert_eq!(logged(Level::Info), expected);
        let levels: Vec<Level> = logged(Level::Debug).iter().map(|(level, _)| *level).collect();
        let (warn, debug) = (Level::Warn, Level::Debug);
        assert_eq!(levels, [warn, debug, debug, warn, debug]);
    }

    #[test]
    fn one_target_does_not_suppress_another_nor_a_failover_the_loss_of_a_client() {
        let mut log = LogObserver::new(Explain::Off);
        let fault = std::io::ErrorKind::ConnectionRefused.into();
        for (target, left) in [("tcp://a:1", 1), ("tcp://b:1", 1), ("tcp://a:1", 0)] {
            let failed = Event::DialFailed { target, fault, left, client: None };
            assert_eq!(log.decide_at(&failed, 0).1, Level::Warn, "{target}, {left} left");
            assert_eq!(log.decide_at(&failed, 1).1, Level::Debug, "{target}, {left} left");
        }
    }

    #[test]
    fn each_pause_by_an_operator_is_logged_at_info_with_its_end() {
        let mut log = LogObserver::new(Explain::Off);
        let (address, cause, connections) = ("a", PauseCause::Operator, 1);
        let paused = Event::AcceptPaused { address, cause, connections };
        let resumed = Event::AcceptResumed { address, cause, connections };
        for event in [&paused, &paused, &resumed, &resumed] {
            assert_eq!(log.decide_at(event, 0), (LIFECYCLE, Level::Info, 0));
        }
    }

    #[test]
    fn the_end_of_a_pause_is_logged_at_info_if_its_beginning_was_a_warning() {
        let mut log = LogObserver::new(Explain::Off);
        assert_eq!(log.decide_at(&PAUSED, 0).1, Level::Warn);
        assert_eq!(log.decide_at(&RESUMED, 1).1, Level::Info);
        assert_eq!(log.decide_at(&PAUSED, 2).1, Level::Debug);
        assert_eq!(log.decide_at(&RESUMED, 3).1, Level::Debug);
        assert_eq!(log.decide_at(&PAUSED, 10), (LIFECYCLE, Level::Warn, 1));
        assert_eq!(log.decide_at(&PAUSED, 11).1, Level::Debug);
        assert_eq!(log.decide_at(&RESUMED, 12).1, Level::Info);
    }

    #[test]
    fn a_listener_is_identified_by_its_address_once_that_is_known() {
        let mut log = LogObserver::new(Explain::Off);
        let listening =
            Event::Listening { address: "udp://127.0.0.1:7", service: ServiceKind::Echo };
        log.on(Key::source(SourceKind::Listener, 3, 0), &listening);
        assert_eq!(
            log.listener(Key::source(SourceKind::Listener, 3, 0)),
            Some("udp://127.0.0.1:7")
        );
        assert_eq!(log.listener(Key::source(SourceKind::Listener, 4, 0)), None);
        assert_eq!(log.listener(Key::new(9, 3)), None, "a connection is no listener");
        let bound = |generation| Key::source(SourceKind::Datagram, 3, generation);
        log.on(bound(1), &listening);
        log.on(bound(2), &listening);
        assert_eq!(log.listener(bound(1)), None, "its slot is used again");
        assert_eq!(log.listener(bound(2)), Some("udp://127.0.0.1:7"));
        assert_eq!(log.listeners.len(), 2);
    }

    #[test]
    fn stalls_that_are_over_and_the_one_that_lasts_are_added_up_for_each_end() {
        let mut times = StallTimes::default();
        let key = Key::new(7, 3);
        let at = |seconds: u64| Moment(seconds * 1_000_000);
        times.began(key, at(1));
        times.ended(key, Duration::from_secs(4));
        times.began(key, at(10));
        times.began(key.at(1), at(15));
        assert_eq!(times.take(Key::new(8, 4), at(20)), [Duration::ZERO; 2]);
        let expected = [Duration::from_secs(14), Duration::from_secs(5)];
        assert_eq!(times.take(key.at(1), at(20)), expected);
        assert!(times.0.is_empty());
    }
}
