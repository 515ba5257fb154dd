//! Timeouts: never early, separate for each route, and free while bytes move.

use std::time::{Duration, Instant};

use crate::pattern::byte;
use crate::relay::{RelayedPair, pair};
use crate::test_daemon::TestDaemon;
use crate::test_stream::End;
use crate::wait::until;

const TCP: (&str, &str) = ("tcp", "tcp");

/// Waits for an end of this kind, which must not come earlier than `millis` milliseconds after
/// `begun`.
fn ends_after(millis: u64, begun: Instant, ending: impl FnOnce() -> End, expected: End) {
    assert_eq!(ending(), expected);
    assert!(begun.elapsed() >= Duration::from_millis(millis), "early: {:?}", begun.elapsed());
}

#[test]
fn an_idle_echo_ends_in_order_after_its_timeout_and_not_before() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -v --idle-timeout 400ms");
    let mut client = daemon.client(0);
    let begun = Instant::now();
    client.echo(b"hello");
    ends_after(400, begun, || client.ending().1, End::Fin);
    daemon.says("closed: idle-timeout, FIN from proxy first");
}

#[test]
fn an_idle_relay_is_reset_on_both_sides() {
    let begun = Instant::now();
    let RelayedPair { mut client, mut target, relay } = pair(TCP, "--idle-timeout 400ms");
    ends_after(400, begun, || client.ending().1, End::Rst);
    target.expect_reset();
    relay.daemon.says("closed: idle-timeout, RST from proxy first");
}

#[test]
fn bytes_in_either_direction_keep_a_relay_alive() {
    let RelayedPair { mut client, mut target, relay: _relay } = pair(TCP, "--idle-timeout 1s");
    let begun = Instant::now();
    let mut last = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        let (from, to) = match begun.elapsed().as_millis() / 500 % 2 {
            0 => (&mut client, &mut target),
            _ => (&mut target, &mut client),
        };
        from.send(b"x");
        assert_eq!(to.get(1), b"x");
        if last.elapsed() > Duration::from_millis(700) {
            return println!("skipped: this machine slept for {:?}", last.elapsed());
        }
        last = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_blocked_connection_is_idle_too() {
    // Long enough for the flood to be blocked, on a busy machine too.
    let RelayedPair { mut client, mut target, relay } = pair(TCP, "--idle-timeout 3s");
    client.flood(&relay.daemon, |at| byte(1, at));
    relay.daemon.says("closed: idle-timeout");
    let (bytes, end) = target.ending();
    assert!(end == End::Rst && !bytes.is_empty());
    assert!(bytes.iter().enumerate().all(|(at, got)| *got == byte(1, at)));
}

#[test]
fn a_half_closed_connection_ends_after_its_own_timeout_if_there_is_one() {
    let RelayedPair { mut client, mut target, relay } = pair(TCP, "--half-close-timeout 400ms");
    client.send(b"hello");
    assert_eq!(target.get(5), b"hello");
    let begun = Instant::now();
    client.finish();
    assert_eq!(target.rest(), b"");
    ends_after(400, begun, || client.ending().1, End::Rst);
    relay.daemon.says("closed: half-close-timeout, FIN from client first");
}

#[test]
fn a_lifetime_ends_even_the_busiest() {
    let begun = Instant::now();
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -v --max-lifetime 500ms");
    let mut client = daemon.client(0);
    let mut count = 0;
    let error = until("the end of its life", || {
        let sent = std::io::Write::write_all(&mut client, b"x");
        let got = sent.and_then(|()| std::io::Read::read_exact(&mut client, &mut [0]));
        count += 1;
        got.err()
    });
    assert!(begun.elapsed() >= Duration::from_millis(500), "{error} after {count}");
    daemon.says("closed: lifetime");
}

#[test]
fn each_route_has_timeouts_of_its_own_and_off_means_never() {
    let line = "run 127.0.0.1:0=echo,idle-timeout=300ms 127.0.0.1:0=echo,idle-timeout=off \
                127.0.0.1:0=echo --idle-timeout 600ms -v";
    let daemon = TestDaemon::start(line);
    let begun = Instant::now();
    let mut clients = [0, 1, 2].map(|listener| daemon.client(listener));
    assert_eq!(clients[0].rest(), b"");
    assert_eq!(clients[2].rest(), b"");
    assert!(begun.elapsed() >= Duration::from_millis(600));
    daemon.says_often(2, "closed: idle-timeout");
    clients[1].echo(b"never");
}

#[test]
fn deadlines_cost_nothing_while_bytes_move() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 -vv --idle-timeout 1h --max-lifetime 2h");
    let mut client = daemon.client(0);
    (0..300).for_each(|_| client.echo(b"busy"));
    client.finish();
    assert_eq!(client.rest(), b"");
    daemon.says("closed: finished");
    assert_eq!((daemon.count(" set, due in"), daemon.count("idle deadline expired")), (1, 0));
}

#[test]
fn deadlines_wake_nobody_before_they_are_due() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --idle-timeout 1h");
    let mut clients: Vec<_> = (0..50).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"then silence"));
    assert_eq!(daemon.sleeps_in(Duration::from_secs(1)), 0);
}
