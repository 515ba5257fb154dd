//! The log from end to end: events go in, and lines come out at the levels that are shown.

use std::sync::Mutex;

use log::{Level, LevelFilter, Log, Metadata, Record};
use oneloop::config::{AccessFormat, Explain};
use oneloop::core::event::{DropReason, ServiceKind};
use oneloop::core::{
    Close, CloseKind, Event, Key, Moment, Observer, Peer, Ready, Reason, Side, SourceKind,
};
use oneloop::observe::{AccessObserver, LogObserver};

/// A logger that keeps what it is told.
#[derive(Default)]
struct Kept(Mutex<Vec<String>>);

impl Log for Kept {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        let line = format!("{} {} {}", record.target(), record.level(), record.args());
        self.0.lock().expect("one thread").push(line);
    }

    fn flush(&self) {}
}

impl Kept {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("one thread"))
    }
}

// One test, since a process has one logger.
#[test]
fn each_level_shows_what_it_promises_and_steps_are_wanted_at_trace_alone() {
    let kept: &'static Kept = Box::leak(Box::default());
    log::set_logger(kept).expect("the first logger");
    let access = AccessObserver::new(AccessFormat::Logfmt);
    let mut watch = (LogObserver::new(Explain::Off), access);

    log::set_max_level(LevelFilter::Off);
    live(&mut watch);
    assert!(!watch.begin_turn(Moment(0)).steps);
    assert_eq!(kept.take(), [""; 0]);

    log::set_max_level(LevelFilter::Info);
    live(&mut watch);
    assert!(!watch.begin_turn(Moment(0)).steps);
    let lines = kept.take();
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert_eq!(lines[0], "oneloop INFO listening on udp://127.0.0.1:7: echo");
    let dropped =
        "oneloop WARN udp://127.0.0.1:7 dropped a datagram of 5 B: source is our own address";
    assert!(lines[1].starts_with(dropped), "{lines:#?}");
    assert_eq!(lines[2], "oneloop INFO #7 message \"hi\\n\\x1b\", 4 B");
    assert!(lines[3].starts_with("access INFO ts="), "{lines:#?}");
    assert!(lines[3].contains(" conn=7 route=2 service=echo "), "{lines:#?}");

    log::set_max_level(LevelFilter::Debug);
    live(&mut watch);
    assert!(!watch.begin_turn(Moment(0)).steps);
    let lines = kept.take();
    let count = |level: Level| lines.iter().filter(|line| line.contains(level.as_str())).count();
    // The flood of dropped datagrams was told ten seconds ago at most.
    assert_eq!((count(Level::Warn), count(Level::Debug), count(Level::Trace)), (0, 3, 0));

    log::set_max_level(LevelFilter::Trace);
    live(&mut watch);
    assert!(watch.begin_turn(Moment(0)).steps);
    let lines = kept.take();
    assert!(
        lines.contains(&"oneloop::loop TRACE #7.a readable, writable".to_string()),
        "{lines:#?}"
    );
    let withheld = "oneloop::loop TRACE udp://127.0.0.1:7 dropped a datagram of 5 B: source is our \
                    own address";
    assert_eq!(lines.iter().filter(|line| *line == withheld).count(), 2, "{lines:#?}");
}

/// A short life, and a flood of two datagrams.
fn live(watch: &mut impl Observer) {
    let (listener, key) = (Key::source(SourceKind::Listener, 0, 0), Key::new(7, 0));
    let (peer, listen) = (Peer::Unix(None), "tcp://127.0.0.1:7");
    let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
    watch.on(
        listener,
        &Event::Listening { address: "udp://127.0.0.1:7", service: ServiceKind::Echo },
    );
    for _ in 0..2 {
        watch.on(listener, &Event::Dropped { bytes: Some(5), from: None, why: DropReason::Own });
    }
    watch.on(key, &Event::Opened { route: 2, service: ServiceKind::Echo, listen, peer: &peer });
    watch.on(key, &Event::Marked { ready: Ready::READ.with(Ready::WRITE) });
    watch.on(key, &Event::Message { message: b"hi\n\x1b" });
    watch.on(key, &Event::EndOfFile);
    let lasted = std::time::Duration::ZERO;
    watch.on(key, &Event::Closed { ending, up: 1, down: 1, lasted });
}
