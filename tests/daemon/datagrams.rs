//! Datagrams end to end: which are answered, which are relayed, and which must not be.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::pattern::bytes;
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::wait::{PATIENCE, until};

/// A socket with its own port.
pub fn client() -> UdpSocket {
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

fn address(socket: &UdpSocket) -> String {
    format!("udp://{}", socket.local_addr().unwrap())
}

pub fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut room = vec![0; 65_536];
    let (length, from) = socket.recv_from(&mut room).unwrap();
    room.truncate(length);
    (room, from)
}

/// Makes a socket refuse datagrams by connecting it elsewhere. Closing it would not refuse at once:
/// a process that another test starts holds a copy until it calls exec.
fn refuse_datagrams(socket: &UdpSocket) {
    socket.connect("127.0.0.1:9").unwrap();
}

/// Sends a datagram and returns the answer.
fn ask(client: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    client.send_to(datagram, to).unwrap();
    let (answer, from) = receive(client);
    assert_eq!(from, to);
    answer
}

/// Waits until the line of totals contains this. It counts dropped datagrams.
fn totals(daemon: &TestDaemon, part: &str) {
    until(part, || {
        let before = daemon.count(" totals: ");
        daemon.signal(Signal::QUIT);
        until("totals", || (daemon.count(" totals: ") > before).then_some(()));
        let last = daemon.lines().into_iter().rfind(|line| line.contains(" totals: "));
        last.filter(|line| line.contains(part))
    });
}

const LENGTHS: [usize; 5] = [0, 1, 1472, 9000, 65_507];

#[test]
fn an_echo_answers_datagrams_of_every_length() {
    let scratch = Scratch::new();
    let line = format!("echo udp://127.0.0.1:0 unix-dgram:{}", scratch.path("x").display());
    let daemon = TestDaemon::start(&line);
    let client = client();
    let unix = UnixDatagram::bind(scratch.path("client")).unwrap();
    unix.set_read_timeout(Some(PATIENCE)).unwrap();
    for length in LENGTHS {
        let datagram = bytes(length as u64, length);
        assert!(ask(&client, daemon.at(0), &datagram) == datagram, "{length}");
        unix.send_to(&datagram, scratch.path("x")).unwrap();
        let mut room = vec![0; 65_536];
        let got = unix.recv(&mut room).unwrap();
        assert!(room[..got] == datagram, "{length}");
    }
}

#[test]
fn a_relay_passes_datagrams_of_every_length_and_keeps_sources_apart() {
    let target = client();
    let line = format!("relay udp://127.0.0.1:0 {} -v", address(&target));
    let daemon = TestDaemon::start(&line);
    let clients = [client(), client(), client()];
    for length in LENGTHS {
        for (number, client) in clients.iter().enumerate() {
            let (there, back) = (bytes(number as u64, length), bytes(9 + number as u64, length));
            client.send_to(&there, daemon.at(0)).unwrap();
            let (got, flow) = receive(&target);
            assert!(got == there, "{length} there");
            target.send_to(&back, flow).unwrap();
            let (got, from) = receive(client);
            assert!(got == back && from == daemon.at(0), "{length} back");
        }
    }
    assert_eq!(daemon.count(" opened: "), 3);
}

#[test]
fn a_relay_joins_udp_and_unix_datagrams() {
    let scratch = Scratch::new();
    let target = UnixDatagram::bind(scratch.path("target")).unwrap();
    target.set_read_timeout(Some(PATIENCE)).unwrap();
    let line = format!("relay udp://127.0.0.1:0 unix-dgram:{}", scratch.path("target").display());
    let daemon = TestDaemon::start(&line);
    let client = client();
    client.send_to(b"question", daemon.at(0)).unwrap();
    let mut room = [0; 64];
    let (length, flow) = target.recv_from(&mut room).unwrap();
    assert_eq!(&room[..length], b"question");
    target.send_to_addr(b"answer", &flow).unwrap();
    assert_eq!(receive(&client).0, b"answer");
}

#[test]
fn a_silent_flow_is_forgotten_and_its_source_gets_a_new_one() {
    let target = client();
    let line = format!("relay udp://127.0.0.1:0 {} -v --udp-timeout 1s", address(&target));
    let daemon = TestDaemon::start(&line);
    let (client, files) = (client(), daemon.files());
    for round in 1..=2 {
        client.send_to(b"hello", daemon.at(0)).unwrap();
        let (_, flow) = receive(&target);
        target.send_to(b"hi", flow).unwrap();
        assert_eq!(receive(&client).0, b"hi");
        daemon.says_often(round, "closed: idle-timeout, 5 B up, 2 B down");
        until("its socket is closed", || (daemon.files() == files).then_some(()));
    }
    assert_eq!(daemon.sleeps_in(Duration::from_secs(1)), 0);
}

#[test]
fn the_number_of_flows_has_a_limit_and_the_oldest_makes_room() {
    let target = client();
    let line = format!("relay udp://127.0.0.1:0 {} -v --udp-flows 5", address(&target));
    let daemon = TestDaemon::start(&line);
    let files = daemon.files();
    // All at once, so that no port is reused.
    let (steady, others) = (client(), (0..40).map(|_| client()).collect::<Vec<_>>());
    for other in &others {
        // The steady client is never the oldest.
        for source in [&steady, other] {
            source.send_to(b"hello", daemon.at(0)).unwrap();
            receive(&target);
        }
        assert!(daemon.files() <= files + 5);
    }
    assert_eq!(daemon.count("closed: evicted"), 41 - 5);
    assert_eq!(daemon.count("#1 closed"), 0);
}

#[test]
fn a_target_that_refuses_is_counted_and_heard_again_when_it_is_back() {
    let target = client();
    let daemon = TestDaemon::start(&format!("relay udp://127.0.0.1:0 {} -v", address(&target)));
    let client = client();
    client.send_to(b"hello", daemon.at(0)).unwrap();
    let (_, flow) = receive(&target);
    refuse_datagrams(&target);
    client.send_to(b"lost", daemon.at(0)).unwrap();
    daemon.says("refused (Connection refused)");
    totals(&daemon, " dropped (1 refused)");
    assert!(daemon.cpu_in_a_second() < Duration::from_millis(200), "it spins");
    target.connect(flow).unwrap();
    client.send_to(b"again", daemon.at(0)).unwrap();
    assert_eq!(receive(&target).0, b"again");
    target.send(b"welcome back").unwrap();
    assert_eq!(receive(&client).0, b"welcome back");
    assert_eq!(daemon.count(" opened: "), 1);
}

#[test]
fn a_stranger_is_not_heard_by_a_client_of_a_relay() {
    let (target, stranger, client) = (client(), client(), client());
    let daemon = TestDaemon::start(&format!("relay udp://127.0.0.1:0 {}", address(&target)));
    client.send_to(b"hello", daemon.at(0)).unwrap();
    let (_, flow) = receive(&target);
    stranger.send_to(b"forged", flow).unwrap();
    target.send_to(b"true", flow).unwrap();
    assert_eq!(receive(&client).0, b"true");
}

#[test]
fn a_source_below_port_1024_is_answered_only_where_it_is_allowed() {
    let low = (600..1024).find_map(|port| match UdpSocket::bind(("127.0.0.1", port)) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => None,
        bound => Some(bound),
    });
    let Some(Ok(low)) = low else {
        return println!("skipped: no port below 1024 can be bound here");
    };
    low.set_read_timeout(Some(PATIENCE)).unwrap();
    let strict = TestDaemon::start("echo udp://127.0.0.1:0");
    low.send_to(b"feed me", strict.at(0)).unwrap();
    totals(&strict, "0 sent (0 B), 1 dropped (1 privileged)");
    let line = strict.says(" WARN ");
    let from = low.local_addr().unwrap();
    let why = format!("dropped a datagram of 7 B from {from}: source port below 1024");
    assert!(line.ends_with(&why), "{line}");
    let lenient = TestDaemon::start("echo udp://127.0.0.1:0 --udp-allow-low-ports");
    assert_eq!(ask(&low, lenient.at(0), b"feed me"), b"feed me");
}

#[test]
fn a_flood_of_datagrams_that_are_dropped_is_counted_and_hardly_told() {
    let scratch = Scratch::new();
    let path = scratch.path("x");
    let daemon = TestDaemon::start(&format!("echo unix-dgram:{}", path.display()));
    let unnamed = UnixDatagram::unbound().unwrap();
    for _ in 0..5_000 {
        unnamed.send_to(b"hello", &path).unwrap();
    }
    totals(&daemon, "5000 dropped (5000 no-address)");
    let told = daemon.count(" dropped a datagram of 5 B from unix: no destination address");
    // One line in ten seconds, and nothing here takes half a minute.
    assert!((1..=3).contains(&told), "{told} lines");
}

/// A second socket at an address that was bound with `reuseport`.
fn forger(address: SocketAddr) -> UdpSocket {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&address.into()).unwrap();
    socket.into()
}

#[test]
fn what_seems_to_come_from_ourselves_is_dropped() {
    let daemon = TestDaemon::start("echo udp://127.0.0.1:0,reuseport udp://127.0.0.1:0");
    let forger = forger(daemon.at(0));
    forger.send_to(b"from one socket to the other", daemon.at(1)).unwrap();
    totals(&daemon, "0 sent (0 B), 1 dropped (1 own)");
}

#[test]
fn a_forged_loop_of_two_echoes_dies() {
    let left = TestDaemon::start("echo udp://127.0.0.1:0");
    // The first service receives a datagram from the port that the second one will bind, so each
    // takes the other for a client.
    let forger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let place = forger.local_addr().unwrap();
    left.signal(Signal::STOP);
    forger.send_to(b"for ever?", left.at(0)).unwrap();
    drop(forger);
    let right = until("its port", || TestDaemon::try_start(&format!("echo udp://{place}")));
    left.signal(Signal::CONT);
    until("the loop is broken", || {
        let broken = |daemon: &TestDaemon| daemon.count("loop protection");
        (broken(&left) + broken(&right) > 0).then_some(())
    });
    for daemon in [&left, &right] {
        assert_eq!(daemon.sleeps_in(Duration::from_secs(1)), 0, "it goes on");
    }
    // A real client is still answered.
    assert_eq!(ask(&client(), right.at(0), b"hello"), b"hello");
}

#[test]
fn never_more_goes_out_than_has_come_in() {
    let line = "run udp://127.0.0.1:0=chargen udp://127.0.0.1:0=daytime udp://127.0.0.1:0=time \
                udp://127.0.0.1:0=whoami udp://127.0.0.1:0=discard";
    let daemon = TestDaemon::start(line);
    let client = client();
    for listener in 0..5 {
        for length in [0, 1, 3] {
            client.send_to(&bytes(0, length), daemon.at(listener)).unwrap();
        }
    }
    // No answer was longer than its request: chargen sends a part of its text.
    // Each request differs: repeated ones are not always answered.
    for listener in 1..4 {
        let answer = ask_until(&client, daemon.at(listener), &[listener as u8; 200]);
        assert!(answer.len() <= 200);
    }
    totals(&daemon, " dropped (9 short)");
    // One line for the first; suppressed lines are reported on request.
    assert_eq!(daemon.count(" dropped a datagram of "), 1);
    daemon.says("datagram dropped as short: 8 more times");
}

/// Sends a request, and skips answers of other sockets.
fn ask_until(client: &UdpSocket, to: SocketAddr, datagram: &[u8]) -> Vec<u8> {
    client.send_to(datagram, to).unwrap();
    loop {
        let (answer, from) = receive(client);
        if from == to {
            return answer;
        }
    }
}

#[test]
fn a_public_address_of_an_answering_service_is_warned_of() {
    let daemon = TestDaemon::start("echo udp://0.0.0.0:0");
    let line = daemon.says(" WARN ");
    assert!(line.contains("echo answers UDP at udp://0.0.0.0:"), "{line}");
    for line in ["echo udp://127.0.0.1:0", "discard udp://0.0.0.0:0", "echo 0.0.0.0:0"] {
        assert_eq!(TestDaemon::start(line).count(" WARN "), 0, "{line}");
    }
}

#[test]
fn a_flood_of_datagrams_holds_up_no_connection_and_no_other_socket() {
    let line = "run udp://127.0.0.1:0=echo udp://127.0.0.1:0=echo 127.0.0.1:0=echo";
    let daemon = TestDaemon::start(line);
    let (flooder, quiet) = (client(), client());
    let mut stream = daemon.client(2);
    for round in 0..100 {
        // No client reads the answers: they are lost, and nothing waits for that.
        for _ in 0..100 {
            flooder.send_to(&[1; 1000], daemon.at(0)).unwrap();
        }
        stream.echo(&bytes(round, 100));
        assert_eq!(ask(&quiet, daemon.at(1), &bytes(round, 50)), bytes(round, 50));
    }
    assert!(daemon.cpu_in_a_second() < Duration::from_millis(200), "it spins");
}

#[test]
fn targets_of_datagrams_take_turns_and_the_next_one_replaces_one_that_refuses() {
    let targets = [client(), client()];
    let line = format!("relay udp://127.0.0.1:0 {} {}", address(&targets[0]), address(&targets[1]));
    let daemon = TestDaemon::start(&line);
    let clients: Vec<UdpSocket> = (0..6).map(|_| client()).collect();
    for (number, client) in clients.iter().enumerate() {
        client.send_to(&[number as u8], daemon.at(0)).unwrap();
        assert_eq!(receive(&targets[number % 2]).0, [number as u8]);
    }
    let [first, second] = targets;
    refuse_datagrams(&first);
    let client = client();
    client.send_to(b"lost", daemon.at(0)).unwrap();
    daemon.says("refused (Connection refused)");
    client.send_to(b"found", daemon.at(0)).unwrap();
    assert_eq!(receive(&second).0, b"found");
}
