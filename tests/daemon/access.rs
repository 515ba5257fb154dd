//! The access log: one line for each connection, in each format, whatever the name of the peer.

use std::collections::HashMap;
use std::io::{Read, Write};

use rustix::process::Signal;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::command::oneloop;
use crate::scratch::Scratch;
use crate::target::{RefusingAddress, Target};
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;

/// Closes three connections of a relay: with a FIN, with a reset, and after a refusal. Returns the
/// access lines and the daemon's address.
fn three_ends(format: &str) -> (Vec<String>, String, String) {
    let (target, refusing) = (Target::tcp(), RefusingAddress::new());
    let line = format!(
        "run 127.0.0.1:0=relay:{} 127.0.0.1:0=relay:{} -q --access-log {format}",
        target.address(),
        refusing.address()
    );
    let mut command = oneloop(&line);
    // Only the listening addresses are logged.
    command.env("RUST_LOG", "off,oneloop=info,access=info");
    let mut daemon = TestDaemon::run(command);
    let mut client = daemon.client(0);
    let mut other = target.accept();
    client.send(b"12345");
    assert_eq!(other.get(5), b"12345");
    other.send(b"123");
    drop(other);
    assert_eq!(client.rest(), b"123");
    client.finish();
    let client = daemon.client(0);
    let mut other = target.accept();
    client.reset();
    other.expect_reset();
    daemon.resets(1);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let lines = daemon.last_lines();
    let bare =
        lines.into_iter().filter(|line| !line.contains("Z INFO  ") && !line.contains(" WARN "));
    (bare.collect(), daemon.address(0).to_string(), target.address())
}

#[test]
fn logfmt_has_one_line_of_pairs_for_each_connection() {
    let (lines, listen, target) = three_ends("logfmt");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let fields = |line: &str| -> HashMap<String, String> {
        let pairs = line.split(' ').map(|pair| pair.split_once('=').unwrap());
        pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect()
    };
    let first = fields(&lines[0]);
    for (name, value) in [
        ("conn", "1"),
        ("route", "0"),
        ("service", "relay"),
        ("listen", &listen),
        ("target", &target),
        ("tries", "1"),
        ("up", "5"),
        ("down", "3"),
        ("end", "--"),
        ("reason", "finished"),
        ("first", "target"),
        ("by", "FIN"),
    ] {
        assert_eq!(first[name], value, "{name}: {}", lines[0]);
    }
    let ends = |line: &str| {
        let fields = fields(line);
        ["end", "reason", "first", "by"].map(|name| fields[name].clone()).join(" ")
    };
    assert_eq!(ends(&lines[1]), "CD reset client RST");
    assert_eq!(ends(&lines[2]), "SC refused target RST");
    assert!(lines[2].contains(" connect=- "), "{}", lines[2]);
}

#[test]
fn json_has_one_object_for_each_connection() {
    let (lines, listen, target) = three_ends("json");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    for line in &lines {
        assert!(line.starts_with("{\"ts\":\"20") && line.ends_with("\"}"), "{line}");
    }
    for part in [
        format!("\"listen\":\"{listen}\""),
        format!("\"target\":\"{target}\""),
        "\"conn\":1,\"route\":0,\"service\":\"relay\"".to_string(),
        "\"up\":5,\"down\":3,\"end\":\"--\",\"reason\":\"finished\"".to_string(),
        "\"first\":\"target\",\"by\":\"FIN\"}".to_string(),
    ] {
        assert!(lines[0].contains(&part), "{part}: {}", lines[0]);
    }
    assert!(lines[2].contains("\"connect_ms\":null,"), "{}", lines[2]);
}

#[test]
fn haproxy_has_one_line_that_its_parsers_can_eat() {
    let (lines, listen, target) = three_ends("haproxy");
    assert_eq!(lines.len(), 3, "{lines:#?}");
    let words: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!(words.len(), 9, "{}", lines[0]);
    assert!(words[0].starts_with("127.0.0.1:") && words[1].starts_with('['));
    assert_eq!(words[2], listen.strip_prefix("tcp://").unwrap());
    assert_eq!(words[3], format!("relay/{}", target.strip_prefix("tcp://").unwrap()));
    assert_eq!((words[4].split('/').count(), words[5], words[6]), (3, "3", "--"));
    assert_eq!((words[7].split('/').count(), words[8]), (5, "0/0"));
    assert!(lines[1].contains(" CD ") && lines[2].contains(" SC "), "{lines:#?}");
}

#[test]
fn the_name_of_a_unix_peer_forges_no_line_and_steers_no_terminal() {
    for format in ["logfmt", "json", "haproxy"] {
        let scratch = Scratch::new();
        let mut daemon =
            TestDaemon::start(&format!("echo {} -v --access-log {format}", scratch.unix("x")));
        let nasty = scratch.path("a\nconn=9 reason=forged \x1b[2J\u{202e}\"");
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix(&nasty).unwrap()).unwrap();
        socket.connect(&SockAddr::unix(scratch.path("x")).unwrap()).unwrap();
        let mut client = TestStream::Unix(std::os::fd::OwnedFd::from(socket).into());
        client.write_all(b"hello").unwrap();
        client.finish();
        client.read_to_end(&mut Vec::new()).unwrap();
        daemon.signal(Signal::TERM);
        daemon.code();
        let lines = daemon.last_lines();
        assert!(lines.iter().all(|line| !line.starts_with("conn=9")), "{lines:#?}");
        let hidden = |c: char| c.is_control() || c == '\u{202e}';
        assert!(!lines.join("").contains(hidden), "{lines:#?}");
        let bare =
            lines.iter().filter(|line| !line.contains("Z INFO  ") && !line.contains(" DEBUG "));
        assert_eq!(bare.count(), 1, "{lines:#?}");
    }
}

#[test]
fn each_datagram_flow_has_its_line_too() {
    let target = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let line = format!(
        "relay udp://127.0.0.1:0 udp://{} --access-log logfmt",
        target.local_addr().unwrap()
    );
    let mut daemon = TestDaemon::start(&line);
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"hello", daemon.at(0)).unwrap();
    let (_, flow) = target.recv_from(&mut [0; 9]).unwrap();
    target.send_to(b"answer", flow).unwrap();
    client.recv(&mut [0; 9]).unwrap();
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let lines = daemon.last_lines();
    let line = lines.iter().find(|line| line.starts_with("ts=")).unwrap();
    assert!(line.contains(" up=5 down=6 end=KD reason=drained "), "{line}");
}
