//! Where the lines of the log go: to the logger of the process, or, later and from a recording,
//! to a writer. Which lines there are is not decided here.

use std::fmt::Arguments;
use std::io::{self, Write};
use std::mem;
use std::time::{Duration, SystemTime};

use log::{Level, Metadata, Record};

use crate::core::Moment;

use super::filter::{Filter, InvalidDirective};
use super::format::{Stamp, write_record_at};

/// Receives the lines of the log.
pub trait LineSink {
    /// Whether lines of this target and level are shown.
    fn is_enabled(&self, target: &'static str, level: Level) -> bool;

    fn write(&mut self, target: &'static str, level: Level, line: Arguments<'_>);

    /// Receives the time of the lines that follow.
    fn begin_turn(&mut self, _now: Moment) {}
}

/// The logger of the process.
pub struct ProcessLog;

impl LineSink for ProcessLog {
    #[inline]
    fn is_enabled(&self, target: &'static str, level: Level) -> bool {
        log::log_enabled!(target: target, level)
    }

    fn write(&mut self, target: &'static str, level: Level, line: Arguments<'_>) {
        log::log!(target: target, level, "{line}");
    }
}

/// A writer that receives the lines of a replay, with the times of the recording.
pub struct ReplayedLog<W: Write> {
    filter: Filter,
    /// The time of day at which the loop was created.
    start: SystemTime,
    now: Moment,
    out: W,
    /// The first error. Nothing is written after it.
    error: io::Result<()>,
}

impl<W: Write> LineSink for ReplayedLog<W> {
    fn is_enabled(&self, target: &'static str, level: Level) -> bool {
        self.filter.is_enabled(&Metadata::builder().target(target).level(level).build())
    }

    fn write(&mut self, target: &'static str, level: Level, line: Arguments<'_>) {
        let record = Record::builder().target(target).level(level).args(line).build();
        if self.error.is_ok() && self.filter.matches(&record) {
            let stamp = Stamp(self.start + Duration::from_micros(self.now.0));
            self.error = write_record_at(&mut self.out, &record, stamp, false);
        }
    }

    fn begin_turn(&mut self, now: Moment) {
        self.now = now;
    }
}

impl<W: Write> ReplayedLog<W> {
    /// Writes lines that the filter shows: a level, or directives as in RUST_LOG. `start`: when the
    /// loop was created.
    pub fn new(
        out: W,
        filter: &str,
        start: SystemTime,
    ) -> Result<ReplayedLog<W>, InvalidDirective> {
        let (filter, now) = (Filter::parse(filter)?, Moment::default());
        Ok(ReplayedLog { filter, start, now, out, error: Ok(()) })
    }

    /// Writes what is buffered, and returns the first error.
    pub fn finish(&mut self) -> io::Result<()> {
        mem::replace(&mut self.error, Ok(()))?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::{Arc, Mutex};
    use std::thread::{self, ThreadId};
    use std::time::UNIX_EPOCH;

    use log::Log;

    use super::*;
    use crate::config::Explain;
    use crate::core::event::{Client, DropReason, PauseCause};
    use crate::core::{
        Close, CloseKind, Event, Key, Observer, Peer, ReadHint, Ready, Reason, Side,
    };
    use crate::core::{ServiceKind, Signal, SourceKind};
    use crate::observe::filter::FilteredLog;
    use crate::observe::format::write_record;
    use crate::observe::{LogObserver, replayed_log};

    /// Columns of the time and of a space.
    const STAMP: usize = 25;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The logger of the daemon, for one thread: other tests of this process log, too.
    struct OneThread(ThreadId, Arc<FilteredLog>);

    impl Log for OneThread {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            self.0 == thread::current().id() && self.1.enabled(metadata)
        }

        fn log(&self, record: &Record<'_>) {
            if self.enabled(record.metadata()) {
                self.1.log(record);
            }
        }

        fn flush(&self) {}
    }

    /// A run with each kind of decision: rate limits, bulk transfers, stalls, listeners.
    fn run(observer: &mut dyn Observer) {
        let key = Key::new(7, 3);
        let peer = Peer::Unix(Some("x\x1b".to_string()));
        let listen = "tcp://127.0.0.1:7007";
        observer.begin_turn(Moment(1_000));
        let source = Key::source(SourceKind::Datagram, 2, 0);
        observer.on(source, &Event::Listening { address: "udp://:7", service: ServiceKind::Echo });
        observer.on(source, &Event::Marked { ready: Ready::READ });
        let service = ServiceKind::Relay;
        observer.on(key, &Event::Opened { route: 0, service, listen, peer: &peer });
        let client = Some(Client { peer: &peer, listen });
        let fault = ErrorKind::ConnectionRefused.into();
        for _ in 0..3 {
            let (target, left) = ("tcp://a:1", 1);
            observer.on(key.at(1), &Event::DialFailed { target, fault, left, client });
            let (bytes, why) = (Some(5), DropReason::Own);
            observer.on(source, &Event::Dropped { bytes, from: Some(&peer), why });
            let cause = PauseCause::Limit;
            observer.on(Key::LOOP, &Event::AcceptPaused { address: "a", cause, connections: 1 });
            observer.on(Key::LOOP, &Event::AcceptResumed { address: "a", cause, connections: 1 });
        }
        for turn in 0..60 {
            let now = Moment(2_000 + 50_000 * turn);
            observer.begin_turn(now);
            let (number, slept, limit) = (turn, Duration::from_millis(50), None);
            observer.on(Key::LOOP, &Event::Turn { number, slept, limit, events: 1, queued: 0 });
            observer.on(key, &Event::Marked { ready: Ready::READ });
            observer.on(key, &Event::Read { bytes: 65_536, room: 65_536, hint: ReadHint::Full });
            observer.on(key.at(1), &Event::Wrote { bytes: 65_536, left: 0 });
        }
        let now = Moment(3_500_000);
        observer.begin_turn(now);
        observer.on(key.at(1), &Event::Stalled { unsent: 9, since: Moment(2_400_000), now });
        observer.begin_turn(Moment(4_500_000));
        observer.on(Key::LOOP, &Event::Signal { signal: Signal::Quit });
        observer.on(Key::LOOP, &Event::Dump { line: "timers: none" });
        let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
        let lasted = Duration::from_secs(4);
        observer.on(key, &Event::Closed { ending, up: 1, down: 2, lasted });
    }

    fn without_times(log: &[u8]) -> Vec<String> {
        let text = String::from_utf8(log.to_vec()).unwrap();
        text.lines().map(|line| line[STAMP..].to_string()).collect()
    }

    #[test]
    fn a_replay_writes_the_lines_of_the_live_log_at_every_level() {
        let live = Shared::default();
        let out = env_logger::Builder::new()
            .format(|out, record| write_record(out, record, false))
            .target(env_logger::Target::Pipe(Box::new(live.clone())))
            .filter_level(log::LevelFilter::Trace)
            .build();
        let logger = Arc::new(FilteredLog::new(Filter::parse("warn").unwrap(), out));
        let only = OneThread(thread::current().id(), Arc::clone(&logger));
        log::set_boxed_logger(Box::new(only)).expect("no other test of this process sets one");
        let mut counts = Vec::new();
        for filter in ["error", "warn", "info", "debug", "trace", "oneloop::loop=trace", "debug/#7"]
        {
            for explain in [Explain::Off, Explain::First, Explain::Always] {
                logger.set(Filter::parse(filter).unwrap());
                log::set_max_level(logger.max_level());
                let mut observer = LogObserver::new(explain);
                run(&mut observer);
                drop(observer);
                let live = mem::take(&mut *live.0.lock().unwrap());
                let mut replayed = Vec::new();
                let mut observer =
                    replayed_log(&mut replayed, filter, explain, UNIX_EPOCH).unwrap();
                run(&mut observer);
                observer.finish().unwrap();
                assert_eq!(without_times(&replayed), without_times(&live), "{filter} {explain:?}");
                counts.push(without_times(&replayed).len());
            }
        }
        assert_eq!(counts[0], 1, "the dump alone");
        assert!(counts.chunks(3).take(5).is_sorted(), "each level adds lines: {counts:?}");
        assert!(counts[12] > counts[9], "{counts:?}");
    }

    #[test]
    fn a_line_has_the_time_of_its_turn() {
        let mut out = Vec::new();
        let start = UNIX_EPOCH + Duration::from_millis(1_795_191_118_641);
        let mut log = replayed_log(&mut out, "info", Explain::Off, start).unwrap();
        log.begin_turn(Moment(2_001_000));
        log.on(Key::LOOP, &Event::Signal { signal: Signal::Quit });
        log.finish().unwrap();
        let line = "2026-11-20T16:12:00.642Z INFO  received SIGQUIT\n";
        assert_eq!(String::from_utf8(out).unwrap(), line);
    }

    #[test]
    fn a_writer_that_fails_is_reported_once_at_the_end() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut log = replayed_log(Full, "info", Explain::Off, UNIX_EPOCH).unwrap();
        log.on(Key::LOOP, &Event::Signal { signal: Signal::Quit });
        assert_eq!(log.finish().unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
