//! Addresses: both families on one listener, one of them alone, names, and listener options.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;
use socket2::{Domain, Socket, Type};

use crate::scratch::Scratch;
use crate::target::{RefusingAddress, Target};
use crate::test_daemon::{TestDaemon, fails};
use crate::test_stream::TestStream;
use crate::wait::until;

fn has_ipv6() -> bool {
    let has = UdpSocket::bind("[::1]:0").is_ok();
    if !has {
        println!("skipped: this machine has no IPv6");
    }
    has
}

/// Connects to the listener's port on either loopback address.
fn at(daemon: &TestDaemon, v6: bool) -> std::io::Result<TcpStream> {
    let port = daemon.address(0).rsplit(':').next().unwrap().parse().unwrap();
    match v6 {
        true => TcpStream::connect((Ipv6Addr::LOCALHOST, port)),
        false => TcpStream::connect((Ipv4Addr::LOCALHOST, port)),
    }
}

#[test]
fn a_listener_without_a_host_serves_both_families_and_shows_each_client_as_what_it_is() {
    for listen in [":0", "*:0"] {
        let daemon = TestDaemon::start(&format!("whoami {listen}"));
        let mut client = TestStream::Tcp(at(&daemon, false).unwrap());
        let text = String::from_utf8(client.rest()).unwrap();
        assert!(text.starts_with(&format!("you: {}\r\n", client.local())), "{text}");
        if has_ipv6() {
            assert!(daemon.address(0).starts_with("tcp://:"));
            let mut client = TestStream::Tcp(at(&daemon, true).unwrap());
            let text = String::from_utf8(client.rest()).unwrap();
            assert!(text.starts_with("you: [::1]:"), "{text}");
        }
    }
}

#[test]
fn a_datagram_socket_without_a_host_answers_both_families() {
    let daemon = TestDaemon::start("echo udp://:0");
    let port = daemon.at(0).port();
    for ip in ["127.0.0.1", "127.0.0.9", "::1"] {
        if ip == "::1" && !has_ipv6() {
            continue;
        }
        let any: &str = if ip == "::1" { "[::1]:0" } else { "127.0.0.1:0" };
        let client = UdpSocket::bind(any).unwrap();
        // The answer comes from the address that was asked.
        client.connect((ip, port)).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        client.send(b"who?").unwrap();
        assert_eq!(client.recv(&mut [0; 9]).unwrap(), 4, "{ip}");
    }
}

#[test]
fn v6only_leaves_ipv4_to_others() {
    if !has_ipv6() {
        return;
    }
    // Another test may use the same port number: then the next one is tried.
    until("a port that is nobody else's", || {
        let daemon = TestDaemon::start("echo :0,v6only");
        TestStream::Tcp(at(&daemon, true).unwrap()).echo(b"six");
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, daemon.at(0).port())).ok()
    });
}

#[test]
fn a_name_is_served_at_all_its_addresses() {
    let daemon = TestDaemon::start("echo localhost:0");
    for listener in 0..daemon.addresses().len() {
        assert!(daemon.at(listener).ip().is_loopback());
        daemon.client(listener).echo(b"by name");
    }
}

#[test]
fn a_relay_connects_to_a_name_and_tries_each_of_its_addresses() {
    let target = Target::tcp();
    let port = target.address().rsplit(':').next().unwrap().to_string();
    let daemon = TestDaemon::start(&format!("relay 127.0.0.1:0 localhost:{port} -v"));
    for round in 1..=3 {
        let mut client = daemon.client(0);
        client.send(b"hello");
        assert_eq!(target.accept().get(5), b"hello");
        daemon.says_often(round, "connected after");
    }
    // The answer is cached: the second and the third client did not resolve it again.
    assert_eq!(daemon.count("resolved localhost: "), 1);
    assert_eq!(daemon.status("Threads:"), 2);
}

#[test]
fn a_name_that_nobody_knows_costs_the_client_a_reset_or_the_next_target_serves_it() {
    let unknown = "no-such-name.invalid:1";
    let alone = TestDaemon::start(&format!("relay 127.0.0.1:0 {unknown} -v"));
    alone.resets(0);
    alone.says("cannot resolve no-such-name.invalid");
    let target = "tcp://no-such-name.invalid:1";
    alone.says(&format!("connect to {target} failed: name does not resolve; no targets left"));
    let reason = "closed: unreachable (name does not resolve), ";
    alone.says(&format!("{reason}RST from proxy first"));
    let target = Target::tcp();
    let line = format!("relay 127.0.0.1:0 {unknown} {} -v", target.address());
    let daemon = TestDaemon::start(&line);
    let mut client = daemon.client(0);
    client.send(b"hello");
    assert_eq!(target.accept().get(5), b"hello");
}

#[test]
fn the_loop_goes_on_while_a_name_is_asked_for() {
    let line = "run 127.0.0.1:0=relay:slow-or-not.invalid:1 127.0.0.1:0=echo";
    let daemon = TestDaemon::start(line);
    // Once the name is known not to resolve, a client is reset at once.
    let listener = daemon.address(0);
    let _waiting: Vec<_> = (0..10).map(|_| TestStream::try_connect(listener)).collect();
    (0..100).for_each(|_| daemon.client(1).echo(b"meanwhile"));
}

/// Returns a name of this machine, other than localhost, that resolves to the loopback address.
fn name_of_the_loopback() -> Option<String> {
    let hosts = std::fs::read_to_string("/etc/hosts").ok()?;
    let lines = hosts.lines().filter_map(|line| line.strip_prefix("127.0.0.1"));
    let mut names = lines.flat_map(str::split_whitespace);
    names.find(|name| !name.starts_with("localhost") && !name.starts_with('#')).map(str::to_string)
}

#[test]
fn a_name_that_leads_back_to_the_relay_is_passed_over() {
    let Some(name) = name_of_the_loopback() else {
        return println!("skipped: /etc/hosts has no second name for the loopback");
    };
    let daemon = until("a port that nobody else takes meanwhile", || {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        TestDaemon::try_start(&format!("relay :{port} {name}:{port} -v"))
    });
    daemon.resets(0);
    daemon.says("closed: unreachable (leads back to this relay)");
    assert_eq!(daemon.count(" opened: "), 1);
}

#[test]
fn a_target_without_a_port_or_a_host_to_listen_at_nobody_has_is_refused() {
    assert_eq!(fails("relay 127.0.0.1:0 localhost").0, 2);
    assert_eq!(fails("echo no-such-name.invalid:0").0, 1);
}

/// The kernel must complete exactly this many of ten connections while none is accepted.
fn completes(listen: &str, wanted: usize) {
    let daemon = TestDaemon::start(&format!("echo {listen}"));
    daemon.signal(Signal::STOP);
    let begin = |_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&daemon.at(0).into());
        socket
    };
    let sockets: Vec<Socket> = (0..10).map(begin).collect();
    let completed = || sockets.iter().filter(|socket| socket.peer_addr().is_ok()).count();
    until("those that are taken", || (completed() >= wanted).then_some(()));
    // The kernel retries the others after a second.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(completed(), wanted);
}

#[test]
fn a_backlog_holds_so_many_that_wait_to_be_accepted() {
    completes("127.0.0.1:0", 10);
    completes("127.0.0.1:0,backlog=1", 2);
}

#[test]
fn reuseport_lets_two_share_a_port() {
    let first = TestDaemon::start("echo 127.0.0.1:0,reuseport");
    let line = format!("echo {},reuseport", first.address(0));
    let second = TestDaemon::start(&line);
    assert_eq!(first.address(0), second.address(0));
    assert_eq!(fails(&format!("echo {}", first.address(0))).0, 1);
}

#[test]
fn a_mode_is_that_of_the_file_from_its_first_moment() {
    let scratch = Scratch::new();
    for mode in [0o600, 0o660, 0o777] {
        let path = scratch.path(&format!("{mode:o}"));
        let _daemon = TestDaemon::start(&format!("echo unix:{},mode={mode:04o}", path.display()));
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, mode);
    }
}

#[test]
fn an_address_prints_back_in_one_form_however_it_is_written() {
    let scratch = Scratch::new();
    let path = scratch.path("x").display().to_string();
    for (typed, told) in [
        ("127.0.0.1:0".to_string(), "tcp://127.0.0.1:"),
        ("tcp://127.0.0.1:0".to_string(), "tcp://127.0.0.1:"),
        ("udp://127.0.0.1:0".to_string(), "udp://127.0.0.1:"),
        (path.clone(), "unix:/"),
        (format!("unix:{path}"), "unix:/"),
        (format!("unix-dgram:{path}"), "unix-dgram:/"),
        (format!("unix:@oneloop-{}", std::process::id()), "unix:@oneloop-"),
    ] {
        let daemon = TestDaemon::start(&format!("echo {typed}"));
        assert!(daemon.address(0).starts_with(told), "{typed}: {}", daemon.address(0));
        // The printed address parses, and is the same.
        let again = fails(&format!("echo {}", daemon.address(0)));
        assert_eq!(again.0, 1, "{again:?}");
        assert!(again.1.contains(daemon.address(0)), "{again:?}");
    }
}

#[test]
fn an_address_of_nobody_is_what_the_other_tests_take_it_for() {
    let refusing = RefusingAddress::new();
    let place: SocketAddr = refusing.address().strip_prefix("tcp://").unwrap().parse().unwrap();
    let refused = TcpStream::connect(place).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}
