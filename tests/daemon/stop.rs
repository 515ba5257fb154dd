//! Signals, and how the daemon stops: idle connections close at once, others may finish, and the
//! drain timeout is kept.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::black_hole::BlackHole;
use crate::pattern::{byte, bytes};
use crate::relay::{RelayedPair, pair};
use crate::scratch::Scratch;
use crate::test_daemon::{TestDaemon, is_there};
use crate::test_stream::{End, TestStream};
use crate::wait::until;

const TCP: (&str, &str) = ("tcp", "tcp");

#[test]
fn idle_connections_end_at_once_and_in_order() {
    // A stop that waited for the drain timeout would never end.
    for signal in [Signal::TERM, Signal::INT] {
        let mut daemon = TestDaemon::start("echo 127.0.0.1:0 -v --drain-timeout 1h");
        let mut clients: Vec<TestStream> = (0..20).map(|_| daemon.client(0)).collect();
        clients.iter_mut().for_each(|client| client.echo(b"then idle"));
        daemon.signal(signal);
        for client in &mut clients {
            assert_eq!(client.ending(), (vec![], End::Fin));
        }
        assert_eq!(daemon.code(), Some(0));
        let lines = daemon.last_lines();
        assert!(lines.last().unwrap().ends_with("all connections closed"), "{lines:?}");
        let totals = lines.iter().find(|line| line.contains(" totals: ")).unwrap();
        assert!(totals.contains("20 opened, 20 closed (20 drained), 180 B up, 180 B down"));
    }
}

#[test]
fn an_idle_relay_ends_in_order_on_both_sides() {
    let RelayedPair { mut client, mut target, mut relay } = pair(TCP, "--drain-timeout 1h");
    relay.daemon.signal(Signal::TERM);
    assert_eq!((client.rest(), target.rest()), (vec![], vec![]));
    assert_eq!(relay.daemon.code(), Some(0));
}

#[test]
fn without_connections_it_stops_at_once() {
    for line in ["echo 127.0.0.1:0", "echo udp://127.0.0.1:0", "relay udp://127.0.0.1:0 udp://:9"] {
        let mut daemon = TestDaemon::start(&format!("{line} --drain-timeout 1h"));
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.code(), Some(0), "{line}");
    }
}

#[test]
fn nobody_comes_in_any_more_while_it_stops() {
    let mut daemon = TestDaemon::start("echo 127.0.0.1:0 --drain-timeout 1h");
    let mut busy = daemon.client(0);
    let sent = busy.flood(&daemon, |at| byte(1, at));
    daemon.signal(Signal::TERM);
    daemon.says("draining 1 connection, at most 1h00m");
    until("the listener is closed", || {
        TestStream::try_connect(&format!("tcp://{}", daemon.at(0))).is_err().then_some(())
    });
    busy.finish();
    assert!(busy.rest() == bytes(1, sent));
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn what_is_in_progress_finishes_with_every_byte() {
    let RelayedPair { mut client, mut target, mut relay } = pair(TCP, "--drain-timeout 1h");
    let sent = client.flood(&relay.daemon, |at| byte(1, at));
    relay.daemon.signal(Signal::TERM);
    relay.daemon.says("draining");
    // The reader is slow, and the answer comes late.
    assert!(target.get(sent / 2) == bytes(1, sent)[..sent / 2]);
    client.finish();
    assert!(target.rest() == bytes(1, sent)[sent / 2..]);
    target.send(b"answer");
    target.finish();
    assert_eq!(client.rest(), b"answer");
    assert_eq!(relay.daemon.code(), Some(0));
}

#[test]
fn a_half_closed_connection_is_in_progress() {
    let RelayedPair { mut client, mut target, mut relay } = pair(TCP, "--drain-timeout 1h");
    client.finish();
    assert_eq!(target.rest(), b"");
    relay.daemon.signal(Signal::TERM);
    relay.daemon.says("draining");
    // Longer than the drain idle time.
    assert!(relay.daemon.cpu_in_a_second() < Duration::from_millis(200));
    std::thread::sleep(Duration::from_millis(500));
    target.send(b"the answer took its time");
    drop(target);
    assert_eq!(client.rest(), b"the answer took its time");
    assert_eq!(relay.daemon.code(), Some(0));
}

#[test]
fn what_does_not_finish_in_time_is_cut_and_that_is_no_failure() {
    let begun = Instant::now();
    let RelayedPair { mut client, target, mut relay } = pair(TCP, "--drain-timeout 700ms");
    client.flood(&relay.daemon, |at| byte(1, at));
    relay.daemon.signal(Signal::TERM);
    assert_eq!(relay.daemon.code(), Some(0));
    assert!(begun.elapsed() >= Duration::from_millis(700));
    client.expect_reset();
    drop(target);
    assert!(relay.daemon.last_lines().iter().any(|line| line.contains("closed: cut, ")));
}

#[test]
fn a_second_signal_ends_it_now_with_the_code_of_that_signal() {
    for (first, second, code) in [
        (Signal::TERM, Signal::TERM, 143),
        (Signal::INT, Signal::INT, 130),
        (Signal::TERM, Signal::INT, 130),
        (Signal::INT, Signal::TERM, 143),
    ] {
        let RelayedPair { mut client, target, mut relay } = pair(TCP, "--drain-timeout 1h");
        client.flood(&relay.daemon, |at| byte(1, at));
        relay.daemon.signal(first);
        relay.daemon.says("draining");
        relay.daemon.signal(second);
        assert_eq!(relay.daemon.code(), Some(code));
        client.expect_reset();
        drop(target);
        let last = relay.daemon.last_lines().pop().unwrap();
        assert!(last.contains("stopped at once: second SIG"), "{last}");
    }
}

#[test]
fn hup_and_pipe_change_nothing() {
    let mut daemon = TestDaemon::start("echo 127.0.0.1:0");
    let mut client = daemon.client(0);
    for round in 1..=5 {
        daemon.signal(Signal::HUP);
        daemon.signal(Signal::PIPE);
        client.echo(b"still here");
        daemon.says_often(round, "received SIGHUP");
    }
    daemon.client(0).echo(b"and open to others");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn quit_dumps_the_loop_its_listeners_and_its_connections() {
    let scratch = Scratch::new();
    let line = format!(
        "run 127.0.0.1:0=echo {}=discard udp://127.0.0.1:0=echo --idle-timeout 1h",
        scratch.unix("x")
    );
    let daemon = TestDaemon::start(&line);
    let mut client = daemon.client(0);
    client.echo(b"hello");
    let line = daemon.dump();
    assert!(line.contains("0 buffers in use, 0 bytes unsent; timers: 1 deadline set"), "{line}");
    daemon.says("loop: turn ");
    daemon.says(&format!("listener {}: no connections pending", daemon.address(0)));
    daemon.says(&format!("listener {}: no connections pending", daemon.address(1)));
    daemon.says(&format!("listener {} echo", daemon.address(2)));
    daemon.says("loop: turn ");
    daemon.says(", 1 connection of at most ");
    daemon.says("dialing: 0 connections without a target");
    let line = daemon.says(&format!("#1 {}: age ", client.local()));
    assert!(line.contains(" s, idle ") && line.contains(" s, route 0, a "), "{line}");
    // Bytes of a connection that is still open count too.
    daemon.says("in progress: 1 connection, 5 B up, 5 B down so far");
    daemon.says("totals: 1 opened, 0 closed, 5 B up, 5 B down");
    client.echo(b"and goes on");
    // Unsent bytes are shown too.
    client.flood(&daemon, |at| byte(1, at));
    let line = daemon.dump();
    assert!(line.contains(" 1 buffer in use, "), "{line}");
    daemon.says(" and has unsent bytes");
}

#[test]
fn the_files_of_sockets_go_with_it_however_it_stops() {
    for signals in [vec![Signal::TERM], vec![Signal::INT], vec![Signal::TERM, Signal::TERM]] {
        let scratch = Scratch::new();
        let line = format!("echo {} unix-dgram:{}", scratch.unix("x"), scratch.path("y").display());
        let mut daemon = TestDaemon::start(&line);
        let mut client = daemon.client(0);
        client.flood(&daemon, |at| byte(1, at));
        for signal in signals {
            daemon.signal(signal);
            daemon.says("draining");
        }
        drop(client);
        assert!(matches!(daemon.code(), Some(0 | 143)));
        assert!(!is_there(&scratch.path("x")) && !is_there(&scratch.path("y")));
    }
}

#[test]
fn a_client_that_is_still_being_connected_to_its_target_is_not_forgotten() {
    let hole = BlackHole::new();
    let line = format!(
        "relay 127.0.0.1:0 {} -v --connect-timeout 1h --drain-timeout 500ms",
        hole.address()
    );
    let mut daemon = TestDaemon::start(&line);
    let mut client = daemon.client(0);
    daemon.says("dialing");
    daemon.signal(Signal::TERM);
    client.expect_reset();
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn its_port_can_be_bound_again_at_once() {
    let mut first = TestDaemon::start("echo 127.0.0.1:0");
    let mut clients: Vec<TestStream> = (0..10).map(|_| first.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"hello"));
    first.signal(Signal::TERM);
    // It closes them first, so TIME_WAIT remains at its port.
    clients.iter_mut().for_each(|client| assert_eq!(client.rest(), b""));
    drop(clients);
    assert_eq!(first.code(), Some(0));
    let second = TestDaemon::start(&format!("echo {}", first.address(0)));
    second.client(0).echo(b"hello again");
}
