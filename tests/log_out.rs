//! The started log, in a process of its own: whatever its standard error is, the process goes on.
#![cfg(unix)]

use std::env;
use std::io::{PipeReader, Read, pipe};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use oneloop::config::{AccessFormat, Explain, LogPlan};
use oneloop::core::event::ServiceKind;
use oneloop::core::{Close, CloseKind, Event, Key, Moment, Observer, Peer, Reason, Side, Wants};
use oneloop::observe;

/// Set for the process that logs; it says how many connections live and die.
const LIVES: &str = "ONELOOP_TEST_LIVES";

/// Not a test of its own: what the other tests run as a process, and nothing when run with them.
#[test]
fn lives() {
    let Ok(lives) = env::var(LIVES) else { return };
    let plan = LogPlan {
        quiet: true,
        explain: Explain::Always,
        access: Some(AccessFormat::Json),
        ..LogPlan::default()
    };
    let mut watch = observe::start(&plan);
    for id in 1..=lives.parse().expect("a number") {
        live(&mut watch, id);
    }
    watch.log_totals();
    let lost = watch.totals().lost_lines;
    std::process::exit(if lost > 0 { 3 } else { 0 });
}

fn live(watch: &mut impl Observer, id: u32) {
    let key = Key::new(id, 0);
    let (peer, listen) = (Peer::Stdio, "tcp://127.0.0.1:7");
    let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
    watch.on(key, &Event::Opened { route: 0, service: ServiceKind::Echo, listen, peer: &peer });
    if watch.begin_turn(Moment(0)).steps {
        watch.on(key, &Event::Yielded { steps: 16 });
    }
    let lasted = Duration::from_micros(1);
    watch.on(key, &Event::Closed { ending, up: 5, down: 5, lasted });
}

#[test]
fn a_pipe_without_a_reader_does_not_stop_the_process() {
    let (mut child, mut reader) = start(10_000, "");
    assert_eq!(wait(&mut child), Some(3), "it ends, and knows that it lost lines");
    let text = rest(&mut reader);
    assert!(text.len() > 4096 && text.lines().all(is_object), "whole lines only:\n{text}");
}

#[test]
fn a_pipe_that_is_closed_does_not_stop_the_process() {
    for filters in ["", "a=b=c"] {
        let (mut child, reader) = start(100, filters);
        drop(reader);
        assert!(matches!(wait(&mut child), Some(0 | 3)));
    }
}

#[test]
fn quiet_leaves_the_access_log_alone_and_nothing_is_coloured_in_a_pipe() {
    let (mut child, mut reader) = start(2, "");
    assert_eq!(wait(&mut child), Some(0));
    let text = rest(&mut reader);
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.lines().all(is_object), "{text}");
}

#[test]
fn rust_log_decides_and_invalid_directives_are_named() {
    let (mut child, mut reader) = start(1, "debug,access=off,x=loud");
    assert_eq!(wait(&mut child), Some(0));
    let text = rest(&mut reader);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].ends_with(" WARN  RUST_LOG: invalid directive ignored: x=loud"), "{text}");
    assert!(lines[1].contains(" DEBUG #1 opened: stdio -> "), "{text}");
    assert!(lines[2].contains(" -- both directions reached end of file"), "{text}");
    assert!(lines[3].contains(" INFO  totals: 1 opened, 1 closed (1 finished)"), "{text}");
    assert!(!text.contains('\x1b'), "{text}");
}

/// Not a test of its own: what the next test runs as a process.
#[test]
fn levels() {
    if env::var(LIVES).is_err() {
        return;
    }
    let mut watch = observe::start(&LogPlan { quiet: true, ..LogPlan::default() });
    let mut wanted = Vec::new();
    let mut id = 0;
    let mut look = |watch: &mut observe::Watch| {
        id += 1;
        live(watch, id);
        wanted.push(watch.begin_turn(Moment(0)));
    };
    look(&mut watch);
    for filter in ["debug", "trace", "trace,x=loud", "info,oneloop::loop=trace", "info"] {
        let set = watch.set_filter(filter).map_err(|error| error.to_string());
        let loud = "invalid directive: x=loud".to_string();
        assert_eq!(set, if filter.contains("loud") { Err(loud) } else { Ok(()) });
        look(&mut watch);
    }
    assert_eq!(watch.filter(), "info");
    let wants = |steps, stalls| Wants { steps, stalls };
    let (off, all) = (wants(false, false), wants(true, true));
    assert_eq!(wanted, [off, wants(false, true), all, all, wants(true, false), off]);
    std::process::exit(0);
}

#[test]
fn the_filter_can_be_changed_while_the_process_runs() {
    let (mut child, mut reader) = start_as("levels", 0, "");
    assert_eq!(wait(&mut child), Some(0));
    let text = rest(&mut reader);
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    let numbers: Vec<&str> =
        text.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    assert_eq!(numbers, ["#2", "#2", "#3", "#3", "#3", "#4", "#4", "#4", "#5"], "{text}");
    let ends = ["DEBUG", "DEBUG"];
    let all = ["DEBUG", "TRACE", "DEBUG"];
    assert_eq!(kinds, [&ends[..], &all, &all, &["TRACE"]].concat(), "{text}");
}

/// A process that logs so many lives into a pipe.
fn start(lives: u32, filters: &str) -> (Child, PipeReader) {
    start_as("lives", lives, filters)
}

fn start_as(test: &str, lives: u32, filters: &str) -> (Child, PipeReader) {
    let (reader, writer) = pipe().expect("a pipe");
    let child = Command::new(env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture"])
        .env(LIVES, lives.to_string())
        .env("RUST_LOG", filters)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(writer)
        .spawn()
        .expect("a process");
    (child, reader)
}

/// Its exit code; it is ended if it does not end.
fn wait(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if let Some(status) = child.try_wait().expect("a status") {
            return status.code();
        }
        sleep(Duration::from_millis(10));
    }
    child.kill().expect("ended");
    child.wait().expect("a status");
    None
}

fn rest(reader: &mut PipeReader) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    text
}

fn is_object(line: &str) -> bool {
    line.starts_with("{\"ts\":\"") && line.ends_with("\"by\":\"FIN\"}") || line.contains(" WARN ")
}
