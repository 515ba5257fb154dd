//! Tests of faulty servers, and of how their faults are reported.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use oneloop::config::unit::Rate;
use oneloop::config::{LoadKind, StressPlan};
use oneloop::stress::failure::{LoadFailure, NO_ANSWER, NOT_CLOSED, Stage};
use oneloop::stress::load_stats::{Death, DeathCause, RATE_WINDOW_MIN};

use crate::tool::{Spare, plan, run, server};

#[test]
fn a_server_that_never_answers_is_a_failure_by_name() {
    let silent = |mut stream: TcpStream| while let Ok(1..) = stream.read(&mut [0; 100]) {};
    let timeout = Some(Duration::from_millis(200));
    for kind in [LoadKind::Echo, LoadKind::Churn] {
        let duration = Duration::from_secs(2);
        let outcome = run(&StressPlan { timeout, duration, ..plan(server(silent), kind, 3) });
        let stats = &outcome.loads[0].stats;
        let late = LoadFailure::new(Stage::Exchange, NO_ANSWER);
        assert!(stats.failures.get(&late).is_some_and(|count| *count >= 3), "{kind:?} {stats:?}");
        assert!(stats.unanswered >= 3, "{kind:?} {stats:?}");
    }
}

#[test]
fn of_an_incomplete_answer_the_received_bytes_and_the_wait_are_reported() {
    let stingy = |mut stream: TcpStream| {
        let mut buffer = [0; 64];
        while stream.read_exact(&mut buffer).is_ok() {
            stream.write_all(&buffer[..63]).unwrap();
        }
    };
    // The answer times out while the load runs, or after it.
    let times = [(2000, 300), (100, 300)];
    for ((duration, timeout), kind) in times.into_iter().zip([LoadKind::Echo, LoadKind::Churn]) {
        let (duration, timeout) = (Duration::from_millis(duration), Duration::from_millis(timeout));
        let plan = StressPlan { duration, timeout: Some(timeout), ..plan(server(stingy), kind, 8) };
        let outcome = run(&plan);
        let stats = &outcome.loads[0].stats;
        let failures: Vec<String> = stats.failures.keys().map(ToString::to_string).collect();
        assert_eq!(failures, ["exchange: incomplete answer"], "{kind:?} {stats:?}");
        assert!(stats.partial.count >= 8, "{stats:?}");
        assert_eq!((stats.partial.bytes_min, stats.partial.bytes_max), (63, 63));
        assert!(stats.partial.idle_min >= timeout / 2 && !outcome.is_ok(), "{stats:?}");
    }
    let (duration, timeout) = (Duration::from_millis(100), Some(Duration::from_millis(300)));
    let plan = StressPlan { duration, timeout, ..plan(server(stingy), LoadKind::Echo, 8) };
    let outcome = run(&plan);
    let stats = &outcome.loads[0].stats;
    assert_eq!((stats.partial.count, stats.unanswered), (8, 8), "{stats:?}");
}

#[test]
fn an_aborted_run_has_no_rate() {
    let short_lived = |mut stream: TcpStream| {
        let mut buffer = [0; 64];
        for _ in 0..5 {
            stream.read_exact(&mut buffer).unwrap();
            stream.write_all(&buffer).unwrap();
        }
    };
    let outcome = run(&plan(server(short_lived), LoadKind::Echo, 2));
    let stats = &outcome.loads[0].stats;
    let rate = stats.per_second(stats.answered);
    // On a slow machine the window may be long enough for one.
    assert_eq!(rate.is_none(), stats.window < RATE_WINDOW_MIN, "{stats:?}");
    assert!(stats.window > Duration::ZERO && !outcome.is_ok(), "{stats:?}");
}

#[test]
fn a_server_that_corrupts_a_byte_is_caught() {
    let corrupt = |mut stream: TcpStream| {
        let mut buffer = [0; 64];
        while stream.read_exact(&mut buffer).is_ok() {
            buffer[63] ^= 0x20;
            let _ = stream.write_all(&buffer);
        }
    };
    let outcome = run(&plan(server(corrupt), LoadKind::Echo, 2));
    let integrity_errors = &outcome.loads[0].stats.integrity_errors;
    assert!(
        integrity_errors.count >= 2 && integrity_errors.list[0].contains("byte 63 is"),
        "{integrity_errors:?}"
    );
    assert!(!outcome.is_ok());
}

#[test]
fn deaths_are_reported_with_their_cause_and_idle_time() {
    let fin = |stream: TcpStream| {
        thread::sleep(Duration::from_millis(500));
        drop(stream);
    };
    let rst = |stream: TcpStream| {
        thread::sleep(Duration::from_millis(500));
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
    };
    let hold = Duration::from_secs(5);
    for (serve, how) in [(fin as fn(TcpStream), DeathCause::Fin), (rst, DeathCause::Rst)] {
        let outcome = run(&StressPlan { hold, ..plan(server(serve), LoadKind::Idle, 10) });
        let deaths = &outcome.loads[0].stats.deaths;
        assert_eq!(deaths.list.len(), 10, "{deaths:?}");
        // The server counts from its accept, and the client from when it sees the connect.
        let silent = |death: &Death| death.idle >= Duration::from_millis(100);
        assert!(deaths.list.iter().all(|death| death.how == how && silent(death)), "{deaths:?}");
        // The run ends when no connection is left to hold.
        assert!(!outcome.is_ok() && outcome.whole < hold);
    }
}

#[test]
fn idle_time_counts_from_the_connect_whatever_other_connections_do() {
    // One server for both loads: it answers messages, and closes a connection after 400 ms without
    // one.
    let impatient = |mut stream: TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(400))).unwrap();
        let mut buffer = [0; 64];
        while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
            stream.write_all(&buffer[..bytes]).unwrap();
        }
    };
    let plan = StressPlan { active_conns: 2, ..plan(server(impatient), LoadKind::Idle, 5) };
    // The first connections are old when the others start to send.
    let plan = StressPlan { hold: Duration::from_secs(5), ..plan };
    let pace = Some(Rate { count: 20, per: Duration::from_secs(1) });
    let outcome = run(&StressPlan { connect_rate: pace, ..plan });
    let deaths = &outcome.loads[0].stats.deaths;
    let silent = |death: &Death| death.idle >= Duration::from_millis(390);
    assert!(deaths.fin == 5 && deaths.list.iter().all(silent), "{deaths:?}");
}

#[test]
fn a_server_that_does_not_close_is_reported_and_a_slow_one_is_awaited() {
    let slow = |mut stream: TcpStream| {
        while let Ok(1..) = stream.read(&mut [0; 100]) {}
        thread::sleep(Duration::from_millis(700));
    };
    let plan = plan(server(slow), LoadKind::Idle, 4);
    let outcome = run(&StressPlan { timeout: Some(Duration::from_millis(100)), ..plan.clone() });
    let late = LoadFailure::new(Stage::Close, NOT_CLOSED);
    assert_eq!(outcome.loads[0].stats.failures.get(&late), Some(&4), "{outcome:?}");
    assert!(run(&plan).is_ok());
}

#[test]
fn a_port_without_a_listener_is_reported_by_its_error_name() {
    let vacant = Spare::new();
    for kind in [LoadKind::Echo, LoadKind::Idle, LoadKind::Churn] {
        let outcome = run(&plan(vacant.address(), kind, 5));
        let stats = &outcome.loads[0].stats;
        let (failure, count) = stats.failures.iter().next().unwrap();
        assert_eq!((failure.stage, failure.name.as_str()), (Stage::Connect, "ECONNREFUSED"));
        assert!(*count >= 5 && stats.failures.len() == 1 && stats.opened == 0, "{stats:?}");
    }
}
