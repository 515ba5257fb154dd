//! Connections to ourselves: TCP self-connects, and relays whose target is one of their own
//! listeners.

use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use rustix::process::Signal;

use crate::command::oneloop_after;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::{TestDaemon, ended, fails};
use crate::test_stream::TestStream;

/// Returns a shell command that runs another one in a network namespace with this as the only
/// ephemeral port. None: this system does not allow it.
fn with_one_port(port: u16) -> Option<String> {
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    let script = format!("ip link set lo up && echo {port} {port} > {range} && exec \"$@\"");
    let words = format!("exec unshare -rn sh -c '{script}' sh \"$@\";");
    let may = ended(oneloop_after(&words, "--version"));
    if may.code != Some(0) {
        println!("skipped: {}", may.err.trim());
    }
    (may.code == Some(0)).then_some(words)
}

#[test]
fn a_tcp_self_connect_is_a_refusal_for_a_relay() {
    let Some(words) = with_one_port(40_000) else { return };
    let scratch = Scratch::new();
    let line = format!("relay {} 127.0.0.1:40000 -v", scratch.unix("x"));
    let daemon = TestDaemon::run(oneloop_after(&words, &line));
    for round in 1..=3 {
        let mut client = daemon.client(0);
        // The client may be gone already.
        let _ = client.write_all(b"must not come back");
        assert_eq!(client.ending().0, b"");
        let fault = "TCP self-connect, no listener on its port";
        daemon.says_often(round, &format!("closed: refused ({fault}), RST from target first"));
        daemon.says_often(round, &format!("connect to tcp://127.0.0.1:40000 failed: {fault}"));
    }
}

#[test]
fn a_tcp_self_connect_is_a_refusal_for_connect_and_stress() {
    let Some(words) = with_one_port(40_000) else { return };
    for line in ["connect 127.0.0.1:40000", "connect -z 127.0.0.1:40000"] {
        let refused = ended(oneloop_after(&words, line));
        assert_eq!(refused.code, Some(7), "{refused:?}");
        assert!(refused.err.contains("self-connect"), "{refused:?}");
    }
    let line = "stress 127.0.0.1:40000 --conns 1 --duration 300ms";
    let refused = ended(oneloop_after(&words, line));
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let told = refused.out + &refused.err;
    assert!(told.contains("self-connect"), "{told}");
}

#[test]
fn a_relay_to_its_own_socket_file_is_refused_however_the_path_is_written() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path("real")).unwrap();
    symlink(scratch.path("real"), scratch.path("link")).unwrap();
    let other_paths = ["link/x", "real/../real/x", "link/../link/x"];
    for (scheme, path) in ["unix", "unix-dgram"].iter().flat_map(|s| other_paths.map(|p| (s, p))) {
        let at = |path: &str| format!("{scheme}:{}", scratch.path(path).display());
        let (code, told) = fails(&format!("relay {} {}", at("real/x"), at(path)));
        assert_eq!(code, 1, "{told}");
        assert!(told.contains("would connect to itself"), "{told}");
    }
    let relative = format!("cd {} &&", scratch.path("real").display());
    let line = format!("relay unix:{} unix:x", scratch.path("real/x").display());
    let told = ended(oneloop_after(&relative, &line));
    assert!(told.err.contains("would connect to itself"), "{told:?}");
    assert!(!scratch.path("real/x").exists());
}

#[test]
fn a_path_that_leads_back_to_the_relay_later_is_passed_over_when_it_is_dialed() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let line =
        format!("relay {} {} {}", scratch.unix("x"), scratch.unix("alias"), target.address());
    let daemon = TestDaemon::start(&format!("{line} -v"));
    symlink(scratch.path("x"), scratch.path("alias")).unwrap();
    let mut client = daemon.client(0);
    client.send(b"hello");
    assert_eq!(target.accept().get(5), b"hello");
    daemon.says(&format!("connect to {} failed: leads back to this relay", scratch.unix("alias")));
    assert_eq!(daemon.count(" opened: "), 1);
}

/// A connection through these routes of one daemon must be closed where it would enter a route a
/// second time.
fn ends_after(daemon: &TestDaemon, connections: usize) {
    for round in 1..=3 {
        let mut client = daemon.client(0);
        let _ = client.write_all(b"round and round");
        assert_eq!(client.ending().0, b"");
        // Unix sockets have no reset: it becomes an end of file.
        drop(client);
        daemon.says_often(round, "leads back to this relay; no targets left");
        daemon.says_often(round * connections, " closed: ");
        assert_eq!(daemon.count(" opened: "), round * connections);
    }
}

#[test]
fn a_ring_of_unix_relays_ends_when_a_route_repeats() {
    let scratch = Scratch::new();
    let [a, b] = ["a", "b"].map(|name| scratch.unix(name));
    let [to_a, to_b] = ["to-a", "to-b"].map(|name| scratch.unix(name));
    let daemon = TestDaemon::start(&format!("run {a}=relay:{to_b} {b}=relay:{to_a} -v"));
    symlink(scratch.path("a"), scratch.path("to-a")).unwrap();
    symlink(scratch.path("b"), scratch.path("to-b")).unwrap();
    ends_after(&daemon, 3);
}

#[test]
fn a_ring_of_tcp_relays_ends_when_a_route_repeats() {
    // An address of this machine that is not known as such at start.
    let script = "ip link set lo up && ip addr add 10.9.9.9/32 dev lo && exec \"$@\"";
    let words = format!("exec unshare -rn sh -c '{script}' sh \"$@\";");
    let may = ended(oneloop_after(&words, "--version"));
    if may.code != Some(0) {
        return println!("skipped: {}", may.err.trim());
    }
    let scratch = Scratch::new();
    let (entry, one, two) = (scratch.unix("x"), "10.9.9.9:4001", "10.9.9.9:4002");
    let line = format!("run {entry}=relay:{one} 0.0.0.0:4001=relay:{two} :4002=relay:{one} -v");
    let daemon = TestDaemon::run(oneloop_after(&words, &line));
    ends_after(&daemon, 4);
}

#[test]
fn relays_in_a_row_within_one_daemon_are_no_loop() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let [a, b, c] = ["a", "b", "c"].map(|name| scratch.unix(name));
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let line = format!(
        "run {a}=relay:{b} {b}=relay:{c} {c}=relay:127.0.0.1:{port} 127.0.0.1:{port}=relay:{} -v",
        target.address()
    );
    let Some(daemon) = TestDaemon::try_start(&line) else {
        return println!("skipped: another program has taken the port meanwhile");
    };
    // Many at once too, whose dials are pending at the next routes.
    daemon.signal(Signal::STOP);
    let mut clients: Vec<TestStream> = (0..100).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.send(b"hello"));
    daemon.signal(Signal::CONT);
    for _ in 0..100 {
        let mut far = target.accept();
        assert_eq!(far.get(5), b"hello");
        far.send(b"answer");
    }
    clients.iter_mut().for_each(|client| assert_eq!(client.get(6), b"answer"));
    assert_eq!(daemon.count("leads back"), 0);
}
