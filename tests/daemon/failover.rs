//! Targets that refuse, are silent or start late: the client waits, but loses no byte.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::black_hole::BlackHole;
use crate::pattern::bytes;
use crate::scratch::Scratch;
use crate::target::{RefusingAddress, Target};
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

#[test]
fn after_a_refusal_the_next_target_is_tried_at_once_and_nothing_is_lost() {
    let (first, second, target) = (RefusingAddress::new(), RefusingAddress::new(), Target::tcp());
    let line = format!(
        "relay 127.0.0.1:0 {} {} {} -v",
        first.address(),
        second.address(),
        target.address()
    );
    let daemon = TestDaemon::start(&line);
    for number in 0..6 {
        let mut client = daemon.client(0);
        client.send(&bytes(number, 100_000));
        client.finish();
        assert!(target.accept().rest() == bytes(number, 100_000));
    }
    // Round robin: each client began with the next target, so three attempts, two, one.
    assert_eq!(daemon.count(" dialing "), 2 * (3 + 2 + 1));
    let failed = daemon.lines().into_iter().filter(|line| line.contains(" WARN  #1 127.0.0.1:"));
    assert_eq!(failed.count(), 2);
    let failed =
        format!("connect to {} failed: Connection refused; 2 targets left", first.address());
    let line = daemon.says(&failed);
    assert!(line.contains(&format!(" via {}: connect to ", daemon.address(0))), "{line}");
}

#[test]
fn a_silent_target_is_given_up_after_the_connect_timeout_and_nothing_is_lost() {
    let (hole, target) = (BlackHole::new(), Target::tcp());
    let line = format!(
        "relay 127.0.0.1:0 {} {} -v --connect-timeout 300ms",
        hole.address(),
        target.address()
    );
    let daemon = TestDaemon::start(&line);
    let begun = Instant::now();
    let mut client = daemon.client(0);
    client.send(&bytes(1, 50_000));
    client.finish();
    let mut other = target.accept();
    assert!(begun.elapsed() >= Duration::from_millis(300), "the target had no chance");
    assert!(other.rest() == bytes(1, 50_000));
    other.send(b"answer");
    drop(other);
    assert_eq!(client.rest(), b"answer");
    daemon.says(&format!("connect to {} failed: timed out; 1 target left", hole.address()));
}

#[test]
fn when_all_targets_fail_the_client_is_reset_and_the_reason_is_logged() {
    let (refusing, hole, scratch) = (RefusingAddress::new(), BlackHole::new(), Scratch::new());
    let table = [
        (refusing.address(), "refused (Connection refused), RST from target first"),
        (scratch.unix("x"), "unreachable (No such file or directory), RST from proxy first"),
        (hole.address(), "connect-timeout, RST from proxy first"),
    ];
    for (target, reason) in table {
        let line = format!("relay 127.0.0.1:0 {target} -v --connect-timeout 200ms");
        let daemon = TestDaemon::start(&line);
        daemon.resets(0);
        daemon.says(&format!("closed: {reason}, "));
        let line = format!("relay 127.0.0.1:0 {} {target} -v -w 200ms", refusing.address());
        let line = line.replace("-w", "--connect-timeout");
        TestDaemon::start(&line).resets(0);
    }
}

#[test]
fn each_target_is_tried_once_for_a_client_and_anew_for_the_next() {
    let refusing = [RefusingAddress::new(), RefusingAddress::new(), RefusingAddress::new()];
    let addresses: Vec<String> = refusing.iter().map(RefusingAddress::address).collect();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {} -v", addresses.join(" ")));
    for round in 1..=3 {
        daemon.resets(0);
        daemon.says_often(round, "closed: refused");
        assert_eq!(daemon.count(" dialing "), 3 * round);
    }
}

#[test]
fn a_target_that_comes_back_is_used_again() {
    let scratch = Scratch::new();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {} -v", scratch.unix("late")));
    daemon.resets(0);
    let _backend = TestDaemon::start(&format!("echo {}", scratch.unix("late")));
    daemon.client(0).echo(b"now it is there");
}

#[test]
fn bytes_sent_before_the_target_is_up_wait_with_the_client_for_its_queue() {
    // poll cannot wait for a Unix socket with a full accept queue.
    let scratch = Scratch::new();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    let path = scratch.path("full");
    listener.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let _first = TestStream::connect(&scratch.unix("full"));
    let line = format!("relay 127.0.0.1:0 {} -v --connect-timeout 1h", scratch.unix("full"));
    let daemon = TestDaemon::start(&line);
    let mut client = daemon.client(0);
    client.send(b"patience");
    client.finish();
    daemon.says_often(3, " dialing ");
    // It retries on a timer and does not spin.
    assert!(daemon.cpu_in_a_second() < Duration::from_millis(300));
    let target = Target::Unix(listener.into(), scratch);
    drop(target.accept());
    assert_eq!(target.accept().rest(), b"patience");
}

#[test]
fn of_all_clients_that_wait_for_a_full_unix_target_only_the_first_dials_it_again() {
    const CLIENTS: usize = 50;
    let scratch = Scratch::new();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&socket2::SockAddr::unix(scratch.path("full")).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let _first = TestStream::connect(&scratch.unix("full"));
    let line = format!("relay 127.0.0.1:0 {} -v --connect-timeout 1h", scratch.unix("full"));
    let daemon = TestDaemon::start(&line);
    let mut clients: Vec<TestStream> = (0..CLIENTS).map(|_| daemon.client(0)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&[number as u8]);
        client.finish();
    }
    daemon.says_often(CLIENTS, " opened: ");
    daemon.says_often(CLIENTS + 5, " dialing ");
    for number in 2..=CLIENTS {
        assert!(daemon.count(&format!("#{number}.b dialing ")) <= 1, "client {number}");
    }
    // The client that dials may leave: the next one takes over, and all are served in order.
    clients.remove(0).reset();
    daemon.says("#1 closed: abandoned");
    let target = Target::Unix(listener.into(), scratch);
    drop(target.accept());
    for number in 1..CLIENTS {
        assert_eq!(target.accept().rest(), [number as u8]);
    }
}

#[test]
fn a_unix_target_with_a_full_queue_is_given_up_in_time() {
    let scratch = Scratch::new();
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(&socket2::SockAddr::unix(scratch.path("full")).unwrap()).unwrap();
    listener.listen(0).unwrap();
    let _first = TestStream::connect(&scratch.unix("full"));
    let target = Target::tcp();
    let line = format!(
        "relay 127.0.0.1:0 {} {} -v --connect-timeout 300ms",
        scratch.unix("full"),
        target.address()
    );
    let daemon = TestDaemon::start(&line);
    let mut client = daemon.client(0);
    client.send(b"hello");
    assert_eq!(target.accept().get(5), b"hello");
}

#[test]
fn a_target_that_is_stopped_and_goes_on_serves_those_who_waited() {
    let backend = TestDaemon::start("echo 127.0.0.1:0");
    let relay = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", backend.address(0)));
    backend.signal(Signal::STOP);
    let mut clients: Vec<TestStream> = (0..20).map(|_| relay.client(0)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&bytes(number as u64, 1000));
    }
    until("all are connected", || (relay.files() >= 40).then_some(()));
    backend.signal(Signal::CONT);
    for (number, client) in clients.iter_mut().enumerate() {
        assert!(client.get(1000) == bytes(number as u64, 1000));
    }
}

#[test]
fn warnings_that_were_held_back_are_counted_at_the_stop() {
    let refusing = RefusingAddress::new();
    let mut daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {}", refusing.address()));
    (0..4).for_each(|_| daemon.resets(0));
    let (listen, target) = (daemon.address(0).to_owned(), refusing.address());
    let failed = format!("via {listen}: connect to {target} failed: Connection refused");
    let line = daemon.says(&format!("{failed}; no targets left, resetting the client"));
    assert!(line.contains(" WARN  #1 127.0.0.1:"), "the client is named: {line}");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    assert_eq!(daemon.count(" failed: Connection refused"), 1);
    daemon.says(&format!("WARN  no targets left after {}: 3 more times", refusing.address()));
    daemon.says("4 closed (4 refused), 0 B up, 0 B down, 4 connect failures");
}

#[test]
fn warnings_that_were_logged_are_not_counted_again() {
    let refusing = RefusingAddress::new();
    let mut daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 {} -v", refusing.address()));
    (0..3).for_each(|_| daemon.resets(0));
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let lines = daemon.last_lines();
    let count = |text: &str| lines.iter().filter(|line| line.contains(text)).count();
    assert_eq!((count(" failed: Connection refused"), count(" more time")), (3, 0), "{lines:?}");
}
