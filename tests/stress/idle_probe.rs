//! Tests of probes of idle connections, and of the search for an idle timeout.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use oneloop::config::{LoadKind, Probe, StressPlan};
use oneloop::stress::failure::{LoadFailure, Stage};
use oneloop::stress::idle_probe::{Mode, ProbeResult, Reply};
use oneloop::stress::load_stats::DeathCause;
use oneloop::stress::outcome::Outcome;
use serde_json::Value;

use crate::black_hole::BlackHole;
use crate::program::{number, run_report, stress};
use crate::tool::{Spare, echo, plan, run, server};

#[test]
fn idle_connections_that_answer_are_alive_and_those_that_do_not_are_black_holes() {
    let probing = |serve, timeout| {
        let timeout = Some(timeout);
        run(&StressPlan { probe: Probe::Echo, timeout, ..plan(server(serve), LoadKind::Idle, 10) })
    };
    let outcome = probing(echo, Duration::from_secs(20));
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok() && stats.answered == 10 && stats.open == 10, "{stats:?}");
    let mute = |mut stream: TcpStream| while let Ok(1..) = stream.read(&mut [0; 100]) {};
    let outcome = probing(mute, Duration::from_millis(300));
    let stats = &outcome.loads[0].stats;
    assert!(!outcome.is_ok() && stats.deaths.black_hole == 10, "{stats:?}");
}

#[test]
fn a_search_without_correct_answers_ends() {
    let corrupting = |mut stream: TcpStream| {
        let mut buffer = [0; 64];
        while stream.read_exact(&mut buffer).is_ok() {
            let _ = stream.write_all(&[0; 64]);
        }
    };
    let mute = |mut stream: TcpStream| while let Ok(1..) = stream.read(&mut [0; 100]) {};
    for to in [server(corrupting), server(mute)] {
        let timeout = Duration::from_millis(300);
        let outcome = search(to, Probe::Echo, Duration::from_millis(1600), timeout);
        assert!(!outcome.is_ok() && outcome.probe.unwrap().trials.is_empty());
    }
}

#[test]
fn a_search_without_connections_ends() {
    let (vacant, hole) = (Spare::new(), BlackHole::new());
    let hole = hole.address().trim_start_matches("tcp://").parse().unwrap();
    for (to, name) in [(vacant.address(), "ECONNREFUSED"), (hole, "no answer")] {
        for probe in [Probe::Auto, Probe::Echo, Probe::None] {
            let outcome = search(to, probe, LONG, Duration::from_millis(300));
            let failures: Vec<&LoadFailure> = outcome.loads[0].stats.failures.keys().collect();
            assert_eq!(failures, [&LoadFailure::new(Stage::Connect, name)], "{probe:?}");
            assert!(outcome.probe.unwrap().trials.is_empty());
        }
    }
}

/// Longer than any idle timeout of the servers below.
const LONG: Duration = Duration::from_secs(20);

/// When the servers here close. No trial lasts as long: the searches halve 2.4 s, and a trial of
/// that very time would send into the close, and be reset.
const PATIENCE_OF_SERVERS: Duration = Duration::from_millis(500);

fn search(to: SocketAddr, probe: Probe, max: Duration, timeout: Duration) -> Outcome {
    let (find_idle_timeout, timeout) = (Some(max), Some(timeout));
    run(&StressPlan { find_idle_timeout, timeout, probe, ..plan(to, LoadKind::Idle, 1) })
}

/// Finds the idle timeout of a server. The run must pass.
fn find(serve: fn(TcpStream), probe: Probe, max: Duration) -> ProbeResult {
    let outcome = search(server(serve), probe, max, LONG);
    assert!(outcome.is_ok(), "{outcome:?}");
    outcome.probe.unwrap()
}

/// Echoes, and closes after a while without data.
fn impatient(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE_OF_SERVERS)).unwrap();
    let mut buffer = [0; 1000];
    while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..bytes]).unwrap();
    }
}

/// Reads and never answers, and closes after a while without data.
fn mute(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE_OF_SERVERS)).unwrap();
    while let Ok(1..) = stream.read(&mut [0; 1000]) {}
}

/// Answers everything with an error, and closes after a while without data.
fn complaining(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE_OF_SERVERS)).unwrap();
    while let Ok(1..) = stream.read(&mut [0; 1000]) {
        if stream.write_all(b"-ERR unknown command\r\n").is_err() {
            return;
        }
    }
}

/// Sends first, and closes on any data or after a while.
fn greeting(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE_OF_SERVERS)).unwrap();
    let _ = stream.write_all(b"220 ready\r\n");
    let _ = stream.read(&mut [0; 1000]);
}

/// Closes on any data or after a while.
fn touchy(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE_OF_SERVERS)).unwrap();
    let _ = stream.read(&mut [0; 1000]);
}

/// Whether the timeout of the servers was found. On a busy machine the close may be late.
fn is_found(result: &ProbeResult) -> bool {
    let Some((died, DeathCause::Fin)) = result.died else { return false };
    died >= Duration::from_millis(300) && died < Duration::from_secs(5)
}

#[test]
fn the_idle_timeout_of_an_echo_server_is_found() {
    let max = Duration::from_millis(2400);
    for probe in [Probe::Auto, Probe::Echo] {
        // The server counts from its read, the client from the answer; and of two trials with
        // different idle times, either may be reported first.
        let result = find(impatient, probe, max);
        assert!(is_found(&result) && result.mode == Some(Mode::Echo), "{result:?}");
        let result = find(echo, probe, max);
        assert_eq!((result.died, result.survived), (None, Some(max)));
        let reply = (probe == Probe::Auto).then_some(Reply::Echo);
        assert_eq!((result.mode, result.reply), (Some(Mode::Echo), reply));
    }
}

#[test]
fn the_idle_timeout_of_a_server_that_does_not_echo_is_found_in_silent_mode() {
    let search = |serve| {
        let result = find(serve, Probe::Auto, LONG);
        assert!(is_found(&result) && result.mode == Some(Mode::Silent), "{result:?}");
        result.reply
    };
    for serve in [complaining, greeting] {
        assert_eq!(search(serve), Some(Reply::OtherData));
    }
    for serve in [mute, touchy] {
        let reply = search(serve);
        assert!(matches!(reply, Some(Reply::Closed(_) | Reply::NoAnswer)), "{reply:?}");
    }
}

#[test]
fn a_server_that_never_answers_and_never_closes_is_not_a_death() {
    let patient = |mut stream: TcpStream| while let Ok(1..) = stream.read(&mut [0; 100]) {};
    let max = Duration::from_millis(400);
    let result = find(patient, Probe::Auto, max);
    assert_eq!((result.mode, result.reply), (Some(Mode::Silent), Some(Reply::NoAnswer)));
    assert_eq!((result.died, result.survived), (None, Some(max)));
}

/// Number of bytes the server below has received.
static RECEIVED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_search_without_a_probe_sends_nothing() {
    let counting = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(PATIENCE_OF_SERVERS)).unwrap();
        while let Ok(bytes @ 1..) = stream.read(&mut [0; 1000]) {
            RECEIVED.fetch_add(bytes, Ordering::Relaxed);
        }
    };
    let result = find(counting, Probe::None, LONG);
    assert!(is_found(&result), "{result:?}");
    assert_eq!((result.mode, result.reply), (Some(Mode::Silent), None));
    assert_eq!(RECEIVED.load(Ordering::Relaxed), 0);
}

#[test]
fn the_summary_and_the_json_name_the_mode_of_a_search() {
    let line = |serve| format!("{} --find-idle-timeout 5s", server(serve));
    let report = run_report(&line(complaining), 0);
    let idle_timeout = report.get("idle_timeout").unwrap();
    let text = |name| idle_timeout.get(name).and_then(Value::as_str);
    assert_eq!((text("mode"), text("probe_reply")), (Some("silent"), Some("other data")));
    assert_eq!(text("how"), Some("FIN"));
    assert!(number(&report, "idle_timeout.died_after_s") >= 0.3);
    assert_eq!(number(&report, "loads.0.integrity_errors"), 0.0);
    let output = stress(&format!("{} --probe none", line(complaining)));
    let text = String::from_utf8(output.stdout).unwrap();
    for words in ["mode: silent, no data is sent (--probe none)", "without data, by FIN"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let output = stress(&line(impatient));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("mode: echo, each connection must echo"), "{text}");
}
