//! Drains: which connections finish, and within which time; and a process continued after SIGSTOP.

use std::io::Read;
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use rustix::process::Signal;

use crate::black_hole::BlackHole;
use crate::kept::Kept;
use crate::many::{alone, room};
use crate::programs::has;
use crate::relay::{RelayedPair, TestRelay, pair};
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::test_stream::{End, TestStream};
use crate::wait::{PATIENCE, until};

const TCP: (&str, &str) = ("tcp", "tcp");

/// A relay whose client has asked and whose target has not answered yet, while it drains.
fn asked(options: &str) -> (TestStream, TestStream, TestRelay) {
    let RelayedPair { mut client, mut target, relay } = pair(TCP, options);
    client.send(b"request");
    assert_eq!(target.get(7), b"request");
    relay.daemon.signal(Signal::TERM);
    relay.daemon.says("draining");
    (client, target, relay)
}

#[test]
fn a_drain_lets_a_late_answer_through() {
    let (mut client, mut target, mut relay) = asked("--drain-timeout 1h --drain-idle 100ms");
    sleep(Duration::from_millis(600));
    target.send(b"late answer");
    assert_eq!(client.rest(), b"late answer");
    assert_eq!(target.rest(), b"");
    assert_eq!(relay.daemon.code(), Some(0));
    relay.daemon.says("closed: drained, FIN from proxy first");
}

#[test]
fn a_client_that_gets_no_answer_until_the_drain_timeout_is_reset() {
    let (mut client, mut target, mut relay) = asked("--drain-timeout 600ms --drain-idle 100ms");
    client.expect_reset();
    target.expect_reset();
    assert_eq!(relay.daemon.code(), Some(0));
    relay.daemon.says("closed: cut, RST from proxy first");
}

#[test]
fn an_answer_in_pieces_is_over_when_it_was_quiet_for_the_drain_idle_time() {
    let (mut client, mut target, mut relay) = asked("--drain-timeout 1h --drain-idle 2s");
    for _ in 0..4 {
        target.send(b"piece");
        assert_eq!(client.get(5), b"piece");
        sleep(Duration::from_millis(500));
    }
    assert_eq!((client.rest(), target.rest()), (vec![], vec![]));
    assert_eq!(relay.daemon.code(), Some(0));
}

#[test]
fn services_drain_when_they_are_quiet_and_an_endless_one_at_once() {
    let scratch = Scratch::new();
    let routes = format!(
        "run 127.0.0.1:0=discard 127.0.0.1:0=greet:welcome {}=echo -v --drain-timeout 1h \
         --drain-idle 300ms",
        scratch.unix("x")
    );
    let mut daemon = TestDaemon::start(&routes);
    let mut clients: Vec<TestStream> = (0..3).map(|listener| daemon.client(listener)).collect();
    clients[0].send(b"swallowed");
    clients[2].echo(b"hello");
    daemon.signal(Signal::TERM);
    assert_eq!(clients[0].rest(), b"");
    assert_eq!(clients[1].rest(), b"welcome");
    assert_eq!(clients[2].rest(), b"");
    assert_eq!(daemon.code(), Some(0));

    let mut daemon = TestDaemon::start("chargen 127.0.0.1:0 --drain-timeout 1h --drain-idle 10m");
    let mut client = daemon.client(0);
    client.get(100_000);
    daemon.signal(Signal::TERM);
    assert_eq!(client.ending().1, End::Fin);
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn clients_in_the_accept_queue_are_served_before_the_listener_closes() {
    let scratch = Scratch::new();
    for listen in ["127.0.0.1:0".to_string(), scratch.unix("x")] {
        let mut daemon = TestDaemon::start(&format!("echo {listen} --drain-timeout 1h"));
        daemon.signal(Signal::STOP);
        // More than one turn accepts.
        let mut clients: Vec<TestStream> = (0..150).map(|_| daemon.client(0)).collect();
        daemon.signal(Signal::TERM);
        daemon.signal(Signal::CONT);
        clients.iter_mut().for_each(|client| client.echo(b"hello"));
        clients.iter_mut().for_each(|client| assert_eq!(client.rest(), b""));
        assert_eq!(daemon.code(), Some(0));
        assert!(TestStream::try_connect(daemon.address(0)).is_err(), "the listener is closed");
    }
}

#[test]
fn full_as_it_is_a_draining_daemon_serves_its_queue_one_by_one() {
    let mut daemon =
        TestDaemon::start("echo 127.0.0.1:0 -m 1 --drain-timeout 1h --drain-idle 100ms");
    let mut first = daemon.client(0);
    first.echo(b"first");
    let mut second = daemon.client(0);
    daemon.says("connection limit reached");
    daemon.signal(Signal::TERM);
    assert_eq!(first.rest(), b"");
    second.echo(b"second");
    assert_eq!(second.rest(), b"");
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn a_datagram_is_answered_during_a_drain() {
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for socket in [&target, &client] {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }
    let line = format!(
        "relay udp://127.0.0.1:0 udp://{} -v --drain-timeout 1h --drain-idle 100ms",
        target.local_addr().unwrap()
    );
    let mut daemon = TestDaemon::start(&line);
    client.send_to(b"question", daemon.at(0)).unwrap();
    let mut room = [0; 99];
    let (_, flow) = target.recv_from(&mut room).unwrap();
    daemon.signal(Signal::TERM);
    daemon.says("draining");
    sleep(Duration::from_millis(500));
    target.send_to(b"answer", flow).unwrap();
    assert_eq!(client.recv(&mut room).unwrap(), 6);
    assert_eq!(daemon.code(), Some(0));
    daemon.says("closed: drained");
}

#[test]
fn a_blocked_redis_client_gets_its_answer_during_a_drain() {
    if !has("redis-server") || !has("redis-cli") {
        return;
    }
    let scratch = Scratch::new();
    let (path, port) = (scratch.path("redis"), "0");
    let path = path.to_str().unwrap();
    let server = ["--port", port, "--unixsocket", path, "--save", ""];
    let quiet = |command: &mut Command| {
        Kept(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
    };
    let _redis = quiet(Command::new("redis-server").args(server));
    until("redis listens", || TestStream::try_connect(&scratch.unix("redis")).ok());
    let mut daemon = TestDaemon::start(&format!(
        "relay 127.0.0.1:0 {} --drain-timeout 1h",
        scratch.unix("redis")
    ));
    let port = daemon.at(0).port().to_string();
    let mut client = Command::new("redis-cli");
    client.args(["-p", &port, "blpop", "list", "0"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut client = Kept(client.spawn().unwrap());
    let redis = |words: &[&str]| {
        let out = Command::new("redis-cli").args(["-s", path]).args(words).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    until("it waits", || redis(&["info", "clients"]).contains("blocked_clients:1").then_some(()));
    daemon.signal(Signal::TERM);
    daemon.says("draining");
    sleep(Duration::from_millis(1500));
    redis(&["rpush", "list", "popped"]);
    let mut said = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(said, "list\npopped\n");
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn after_a_stop_longer_than_the_idle_timeout_whoever_has_spoken_is_served() {
    let _alone = alone();
    // More than one poll reports.
    let Some(many) = room(1500, 1) else { return };
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --idle-timeout 2s -v");
    let mut clients: Vec<TestStream> = (0..many).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"before"));
    daemon.signal(Signal::STOP);
    // The first poll reports those whose deadlines come last.
    clients.iter_mut().rev().for_each(|client| client.send(b"during"));
    sleep(Duration::from_millis(2500));
    daemon.signal(Signal::CONT);
    clients.iter_mut().for_each(|client| assert_eq!(client.get(6), b"during"));
}

#[test]
fn after_a_stop_a_target_that_was_connected_meanwhile_is_not_given_up() {
    let mut hole = BlackHole::new();
    let line = format!("relay 127.0.0.1:0 {} -v --connect-timeout 6s", hole.address());
    let daemon = TestDaemon::start(&line);
    let mut client = daemon.client(0);
    client.send(b"request");
    daemon.says("dialing");
    // The line comes before the call.
    until("the handshake has begun", || daemon.is_asleep().then_some(()));
    daemon.signal(Signal::STOP);
    let listener = hole.open();
    // The system repeats the handshake after a second or more, and now it is answered.
    listener.set_nonblocking(true).unwrap();
    let mut target =
        until("its connection", || Some(std::net::TcpStream::from(listener.accept().ok()?.0)));
    sleep(Duration::from_secs(6));
    daemon.signal(Signal::CONT);
    let mut request = [0; 7];
    target.set_nonblocking(false).unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    target.read_exact(&mut request).unwrap();
    assert_eq!(&request, b"request");
}
