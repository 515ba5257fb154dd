//! Tests of the loads against correct servers.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use oneloop::config::unit::Rate;
use oneloop::config::{Address, LoadKind, LoadMode, LoadPlan, StressPlan};

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
    for (abort, burst) in [(false, false), (true, false), (false, true), (true, true)] {
        for size in [0, 100] {
            let churn = plan(server(echo), LoadKind::Churn, 4);
            let outcome = run(&StressPlan { size, abort, burst, ..churn });
            let stats = &outcome.loads[0].stats;
            assert!(outcome.is_ok(), "{abort} {burst} {size} {stats:?}");
            assert!(stats.exchanged > 4, "{abort} {burst} {size} {stats:?}");
            assert_eq!(burst, !stats.rounds.is_empty(), "{abort} {size} {stats:?}");
        }
    }
}

#[test]
fn the_server_sees_a_reset_of_an_aborted_connection_and_an_end_of_file_of_others() {
    for (abort, size) in [(true, 100), (true, 0), (false, 100), (false, 0)] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let sender = sender.clone();
                thread::spawn(move || {
                    let mut buffer = [0; 100];
                    let end = loop {
                        match stream.read(&mut buffer) {
                            Ok(0) => break None,
                            Ok(bytes) => stream.write_all(&buffer[..bytes]).unwrap(),
                            Err(error) => break Some(error.kind()),
                        }
                    };
                    let _ = sender.send(end);
                });
            }
        });
        let outcome = run(&StressPlan { size, abort, ..plan(to, LoadKind::Churn, 2) });
        let stats = &outcome.loads[0].stats;
        assert!(outcome.is_ok() && stats.exchanged > 2, "{abort} {size} {stats:?}");
        let ends: Vec<_> = (0..stats.exchanged).map(|_| receiver.recv().unwrap()).collect();
        let expected = abort.then_some(ErrorKind::ConnectionReset);
        assert!(ends.iter().all(|end| *end == expected), "{abort} {size} {ends:?}");
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
fn bursts_of_messages_are_sent_at_an_interval_or_after_the_last_answer() {
    for burst_interval in [None, Some(Duration::from_millis(50))] {
        let duration = Duration::from_secs(1);
        let echo = plan(server(echo), LoadKind::Echo, 30);
        let outcome = run(&StressPlan { burst: true, burst_interval, duration, ..echo });
        let stats = &outcome.loads[0].stats;
        assert!(outcome.is_ok(), "{stats:?}");
        assert!(stats.rounds.count() >= 2 && stats.answered >= 60, "{stats:?}");
        assert_eq!(stats.since_due.count(), stats.answered);
        if burst_interval.is_some() {
            assert!(stats.rounds.count() <= 21 && stats.answered <= 21 * 30, "{stats:?}");
        }
    }
}

/// Starts an echo server that sends the number of open connections at each accept. It answers after
/// a while.
fn counting_server(delay: Duration) -> (SocketAddr, mpsc::Receiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming().flatten() {
            let open = open.clone();
            let _ = sender.send(open.fetch_add(1, Ordering::SeqCst) + 1);
            thread::spawn(move || {
                thread::sleep(delay);
                echo(stream.try_clone().unwrap());
                // The client sees the end of the connection only after this.
                open.fetch_sub(1, Ordering::SeqCst);
                drop(stream);
            });
        }
    });
    (address, receiver)
}

#[test]
fn bursts_of_connects_start_at_an_interval_and_never_overlap() {
    // Each burst is still running when the next one is due.
    let (to, receiver) = counting_server(Duration::from_millis(150));
    let duration = Duration::from_secs(1);
    let burst_interval = Some(Duration::from_millis(100));
    let plan =
        StressPlan { burst: true, burst_interval, duration, ..plan(to, LoadKind::Churn, 30) };
    let outcome = run(&plan);
    let stats = &outcome.loads[0].stats;
    assert!(outcome.is_ok() && stats.exchanged >= 60, "{stats:?}");
    assert!((2..=11).contains(&stats.rounds.count()), "{stats:?}");
    assert!(stats.exchanged <= 11 * 30 && stats.life.count() == stats.exchanged, "{stats:?}");
    assert!(receiver.try_iter().all(|open| open <= 30));
}

#[test]
fn one_load_has_bursts_and_the_other_has_none() {
    let mode =
        |kind, burst| LoadPlan { mode: LoadMode { burst, ..LoadMode::from(kind) }, conns: Some(5) };
    let loads = vec![
        mode(LoadKind::Churn, true),
        mode(LoadKind::Echo, false),
        mode(LoadKind::Echo, true),
        mode(LoadKind::Churn, false),
    ];
    let outcome = run(&StressPlan { loads, ..plan(server(echo), LoadKind::Echo, 5) });
    assert!(outcome.is_ok(), "{outcome:?}");
    for (load, burst) in outcome.loads.iter().zip([true, false, true, false]) {
        assert_eq!(!load.stats.rounds.is_empty(), burst, "{load:?}");
    }
}

#[test]
fn a_burst_that_takes_longer_than_the_window_is_measured() {
    let slow = |stream: TcpStream| {
        thread::sleep(Duration::from_millis(600));
        echo(stream);
    };
    for kind in [LoadKind::Churn, LoadKind::Echo] {
        let outcome = run(&StressPlan { burst: true, ..plan(server(slow), kind, 3) });
        let stats = &outcome.loads[0].stats;
        let done = if kind == LoadKind::Churn { stats.exchanged } else { stats.answered };
        assert!(outcome.is_ok() && done >= 3 && stats.rounds.count() >= 1, "{stats:?}");
    }
}

/// Number of connections that the servers below have accepted.
static ACCEPTED: AtomicUsize = AtomicUsize::new(0);

#[test]
fn connections_that_die_in_a_burst_do_not_hold_up_the_others() {
    let short_lived = |mut stream: TcpStream| {
        let mut message = [0; 64];
        stream.read_exact(&mut message).unwrap();
        if ACCEPTED.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            return;
        }
        stream.write_all(&message).unwrap();
        echo(stream);
    };
    for burst_interval in [None, Some(Duration::from_millis(20))] {
        let echo = plan(server(short_lived), LoadKind::Echo, 20);
        let outcome = run(&StressPlan { burst: true, burst_interval, ..echo });
        let stats = &outcome.loads[0].stats;
        assert!(stats.rounds.count() > 2 && stats.answered > 20, "{stats:?}");
        assert_eq!((stats.deaths.fin, stats.unanswered, stats.open), (10, 10, 10), "{stats:?}");
    }
}

/// Number of connections that the server below has accepted.
static MUTE: AtomicUsize = AtomicUsize::new(0);

#[test]
fn bursts_go_on_when_connections_never_answer() {
    let mute = |stream: TcpStream| {
        if MUTE.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) {
            thread::sleep(Duration::from_secs(60));
        }
        echo(stream);
    };
    let timeout = Some(Duration::from_millis(100));
    let duration = Duration::from_secs(1);
    for burst_interval in [None, Some(Duration::from_millis(300))] {
        let echo = plan(server(mute), LoadKind::Echo, 20);
        let outcome = run(&StressPlan { burst: true, burst_interval, timeout, duration, ..echo });
        let stats = &outcome.loads[0].stats;
        assert!(stats.rounds.count() > 1 && stats.answered > 10, "{stats:?}");
        assert_eq!((stats.deaths.black_hole, stats.open), (10, 10), "{stats:?}");
    }
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
