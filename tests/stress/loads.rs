//! Tests of the loads against correct servers.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use oneloop::config::unit::Rate;
use oneloop::config::{Address, LoadKind, StressPlan};

use crate::tool::{Spare, echo, plan, run, server};

#[test]
fn an_echo_load_passes_against_an_echo_server() {
    for (size, depth) in [(64, 1), (64, 16), (100_000, 2), (1, 3)] {
        let plan = StressPlan { size, depth, ..plan(server(echo), LoadKind::Echo, 8) };
        let outcome = run(&plan);
        let stats = &outcome.loads[0].stats;
        assert!(outcome.is_ok(), "{stats:?}");
        assert!(stats.answered > 0 && stats.opened == 8 && stats.unanswered == 0, "{stats:?}");
        assert_eq!(stats.latency.count(), stats.answered);
    }
}

#[test]
fn short_connections_pass() {
    for kind in [LoadKind::Churn, LoadKind::Reset] {
        for size in [0, 100] {
            let outcome = run(&StressPlan { size, ..plan(server(echo), kind, 4) });
            let stats = &outcome.loads[0].stats;
            assert!(outcome.is_ok(), "{kind:?} {size} {stats:?}");
            assert!(stats.exchanged > 4, "{kind:?} {size} {stats:?}");
        }
    }
}

#[test]
fn idle_connections_are_held() {
    let outcome = run(&plan(server(echo), LoadKind::Idle, 100));
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok(), "{stats:?}");
    assert_eq!((stats.opened, stats.open), (100, 100));
}

#[test]
fn messages_at_a_rate_are_sent_at_that_rate() {
    let rate = Some(Rate { count: 1000, per: Duration::from_secs(1) });
    let duration = Duration::from_secs(1);
    let outcome = run(&StressPlan { rate, duration, ..plan(server(echo), LoadKind::Echo, 7) });
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok(), "{stats:?}");
    let due = (1000.0 * stats.window.as_secs_f64()) as u64;
    assert!((due / 2..=due + 7).contains(&stats.answered), "{stats:?}");
    assert_eq!(stats.since_due.count(), stats.answered);
    assert!(stats.since_due.max() >= stats.latency.max());
}

#[test]
fn at_a_rate_connections_send_in_turn_but_not_in_connect_order() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let sender = sender.clone();
            thread::spawn(move || {
                if stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0) {
                    sender.send(number).unwrap();
                }
                echo(stream);
            });
        }
    });
    let rate = Some(Rate { count: 100, per: Duration::from_secs(1) });
    let duration = Duration::from_millis(400);
    let outcome = run(&StressPlan { rate, duration, ..plan(to, LoadKind::Echo, 16) });
    assert!(outcome.is_ok(), "{:?}", outcome.loads[0].stats);
    let mut order: Vec<usize> = receiver.try_iter().collect();
    assert!(!order.is_sorted(), "{order:?}");
    order.sort();
    assert_eq!(order, (0..16).collect::<Vec<_>>());
}

#[test]
fn all_connections_answer_a_pulse_and_a_storm_is_repeated() {
    let burst_interval = Duration::from_millis(50);
    let duration = Duration::from_secs(1);
    let outcome =
        run(&StressPlan { burst_interval, duration, ..plan(server(echo), LoadKind::Pulse, 30) });
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok(), "{stats:?}");
    assert!(stats.rounds.count() >= 2 && stats.answered >= 60, "{stats:?}");
    let outcome = run(&plan(server(echo), LoadKind::Storm, 30));
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok(), "{stats:?}");
    assert!(stats.rounds.count() >= 1 && stats.exchanged >= 30, "{stats:?}");
}

#[test]
fn a_storm_that_takes_longer_than_the_window_is_measured() {
    let slow = |stream: TcpStream| {
        thread::sleep(Duration::from_millis(600));
        echo(stream);
    };
    let outcome = run(&plan(server(slow), LoadKind::Storm, 3));
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok() && stats.exchanged >= 3, "{stats:?}");
}

#[cfg(unix)]
#[test]
fn unix_sockets_are_targets_too() {
    let path = std::env::temp_dir().join(format!("oneloop-{}-stress", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(bytes @ 1..) = stream.read(&mut buffer) {
                    stream.write_all(&buffer[..bytes]).unwrap();
                }
            });
        }
    });
    let target = Address::parse_target(&format!("unix:{}", path.display())).unwrap();
    let any = plan(Spare::new().address(), LoadKind::Echo, 5);
    let outcome = run(&StressPlan { targets: vec![target], ..any });
    std::fs::remove_file(&path).unwrap();
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok() && stats.answered > 5, "{stats:?}");
}
