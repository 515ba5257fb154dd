//! What connections carry, in recordings: only on request, whole, and for those who may change
//! something.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::command::oneloop;
use crate::http::Http;
use crate::pattern;
use crate::programs::{answer, has};
use crate::recordings::output;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::{Ended, TestDaemon, ended};
use crate::wait::PATIENCE;

/// Bytes of the bulk: more than a splice moves.
const BULK: usize = 1_500_000;

fn trace(line: &str) -> Ended {
    ended(oneloop(&format!("trace {line}")))
}

/// The bytes of both directions of a TCP stream, as tshark follows it. None without tshark.
pub fn follow(file: &Path, stream: usize) -> Option<[Vec<u8>; 2]> {
    follow_as("tcp", file, stream)
}

fn follow_as(protocol: &str, file: &Path, stream: usize) -> Option<[Vec<u8>; 2]> {
    if !has("tshark") {
        return None;
    }
    let follow = format!("follow,{protocol},raw,{stream}");
    let mut tshark = Command::new("tshark");
    tshark.args(["-q", "-z", &follow, "-r"]).arg(file);
    let text = String::from_utf8(answer(&mut tshark, b"")).unwrap();
    let mut both = [Vec::new(), Vec::new()];
    // Between the lines of the frame, those of node 1 begin with a tab.
    for line in text.lines() {
        let digits = line.trim_start_matches('\t');
        if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let bytes = digits
                .as_bytes()
                .chunks(2)
                .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap());
            both[usize::from(line.starts_with('\t'))].extend(bytes);
        }
    }
    Some(both)
}

/// Sends a bulk through a relay, and an answer back.
fn exchange(daemon: &TestDaemon, target: &Target, bulk: &[u8]) {
    let mut client = daemon.client(0);
    let mut server = target.accept();
    let sender = std::thread::spawn({
        let bulk = bulk.to_vec();
        move || {
            client.send(&bulk);
            client.finish();
            client.rest()
        }
    });
    assert!(server.rest() == bulk, "the relay forwards every byte");
    server.send(b"answer");
    server.finish();
    assert_eq!(sender.join().unwrap(), b"answer");
    daemon.says("#1 closed: ");
}

#[test]
fn the_packets_of_a_recording_with_payload_have_every_byte() {
    let (scratch, target, bulk) = (Scratch::new(), Target::tcp(), pattern::bytes(7, BULK));
    let record = scratch.path("run.rec");
    let mut daemon = TestDaemon::start(&format!(
        "relay 127.0.0.1:0 {} -vv --record {},limit=64M --record-bytes",
        target.address(),
        record.display()
    ));
    exchange(&daemon, &target, &bulk);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    assert_eq!(daemon.count("payload"), 0, "it is never logged");
    let packets = scratch.path("run.pcapng");
    let written = trace(&format!("{} pcapng -o {}", record.display(), packets.display()));
    assert_eq!((written.code, written.err.as_str()), (Some(0), ""), "{written:?}");
    let log = trace(&format!("{} log", record.display()));
    assert!(log.out.contains("#1.a read ") && !log.out.contains("payload"), "{}", log.out);
    for stream in [0, 1] {
        let Some([up, down]) = follow(&packets, stream) else { return };
        assert!(up == bulk, "stream {stream}: {} of {} bytes", up.len(), bulk.len());
        assert_eq!(down, b"answer", "stream {stream}");
    }
}

#[test]
fn datagrams_have_their_bytes_on_both_sides_of_a_relay_and_at_a_service() {
    let (scratch, large) = (Scratch::new(), pattern::bytes(9, 40_000));
    let bound = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let receive = |socket: &UdpSocket| {
        let mut room = vec![0; 65_536];
        let (length, from) = socket.recv_from(&mut room).unwrap();
        room.truncate(length);
        (room, from)
    };
    let (target, client) = (bound(), bound());
    let record = scratch.path("run.rec");
    let mut daemon = TestDaemon::start(&format!(
        "run udp://127.0.0.1:0=relay:udp://{} udp://127.0.0.1:0=whoami --record {},limit=16M \
         --record-bytes",
        target.local_addr().unwrap(),
        record.display()
    ));
    for datagram in [b"question".as_slice(), &large] {
        client.send_to(datagram, daemon.at(0)).unwrap();
        assert!(receive(&target).0 == datagram);
    }
    client.send_to(b"", daemon.at(0)).unwrap();
    let (empty, from) = receive(&target);
    assert_eq!(empty, b"");
    target.send_to(b"answer", from).unwrap();
    assert_eq!(receive(&client).0, b"answer");
    // The answer of a service is no longer than the question.
    client.send_to(&[b'?'; 1000], daemon.at(1)).unwrap();
    let (description, _) = receive(&client);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let packets = scratch.path("run.pcapng");
    let written = trace(&format!("{} pcapng -o {}", record.display(), packets.display()));
    assert_eq!((written.code, written.err.as_str()), (Some(0), ""), "{written:?}");
    for stream in [0, 1] {
        let Some([up, down]) = follow_as("udp", &packets, stream) else { return };
        assert!(up == [b"question", large.as_slice()].concat(), "stream {stream}: {}", up.len());
        assert_eq!(down, b"answer", "stream {stream}");
    }
    let [up, down] = follow_as("udp", &packets, 2).unwrap();
    assert_eq!((up, down), (vec![b'?'; 1000], description));
}

#[test]
fn without_the_option_a_recording_has_no_byte_of_a_connection() {
    let (scratch, target, bulk) = (Scratch::new(), Target::tcp(), b"secret".repeat(1000));
    let record = scratch.path("run.rec");
    let line = format!("relay 127.0.0.1:0 {} -v --record {}", target.address(), record.display());
    let mut daemon = TestDaemon::start(&format!("{line},limit=16M"));
    exchange(&daemon, &target, &bulk);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let file = fs::read(scratch.path("run.rec.000001")).unwrap();
    assert!(!file.windows(6).any(|window| window == b"secret"));
}

#[test]
fn a_watch_with_payload_begins_within_a_connection_and_marks_the_gap() {
    let (scratch, target) = (Scratch::new(), Target::tcp());
    let admin = scratch.path("admin.sock");
    let line = format!("relay 127.0.0.1:0 {} --admin {}", target.address(), admin.display());
    let daemon = TestDaemon::start(&line);
    let (mut client, mut other) = (daemon.client(0), daemon.client(0));
    let (mut server, mut other_server) = (target.accept(), target.accept());
    client.send(b"before");
    assert_eq!(server.get(6), b"before");
    let watched = Http::connect(&daemon, 1).ask("POST", "/watch?connection=1&bytes=yes", "", "");
    assert_eq!(watched.json()["watches"][0]["bytes"], true);
    client.send(b"from the client");
    assert_eq!(server.get(15), b"from the client");
    other.send(b"of another");
    assert_eq!(other_server.get(10), b"of another");
    server.send(b"from the target");
    assert_eq!(client.get(15), b"from the target");
    let record = scratch.path("watch.rec");
    let file = output(&mut oneloop(&format!("ctl --admin {} record", admin.display())));
    fs::write(&record, &file).unwrap();
    for absent in [&b"before"[..], b"of another"] {
        assert!(!file.windows(absent.len()).any(|window| window == absent));
    }
    let packets = scratch.path("watch.pcapng");
    let written = trace(&format!("{} pcapng -o {}", record.display(), packets.display()));
    assert_eq!(written.code, Some(0), "{written:?}");
    let Some(streams) = follow(&packets, 0).zip(follow(&packets, 1)) else { return };
    let both = [b"from the client".to_vec(), b"from the target".to_vec()];
    assert!(streams.0 == both || streams.0 == [both[1].clone(), both[0].clone()], "{streams:?}");
    assert!(streams.1 == both || streams.1 == [both[1].clone(), both[0].clone()], "{streams:?}");
}

#[test]
fn only_who_may_change_something_may_read_payload() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0 --record 8M");
    assert_eq!(Http::connect(&daemon, 1).ask("HEAD", "/record", "", "").status, 200);
    let line = "echo 127.0.0.1:0 --admin 127.0.0.1:0 --record 8M --record-bytes";
    let daemon = TestDaemon::start(line);
    Http::connect(&daemon, 1).get("/record").problem(403);
    let refused = ended(oneloop("echo 127.0.0.1:0 --record-bytes"));
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.err.contains("--record-bytes has no effect without --record"), "{refused:?}");
}

#[test]
fn a_recording_that_is_newer_than_a_watch_keeps_its_payload_as_private() {
    const TOKEN: &str = "0123456789abcdef0123456789abcdef";
    let scratch = Scratch::new();
    let token = scratch.path("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let line =
        format!("echo 127.0.0.1:0 --admin 127.0.0.1:0 --admin-token-file {}", token.display());
    let daemon = TestDaemon::start(&line);
    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    let ask = |method: &str, path: &str, body: &str| {
        Http::connect(&daemon, 1).ask(method, path, &header, body)
    };
    let mut client = daemon.client(0);
    client.echo(b"before");
    assert_eq!(ask("POST", "/watch?connection=1&bytes=yes", "").status, 200);
    assert_eq!(ask("POST", "/record", "{\"limit\":\"8M\"}").json()["of"], "all");
    client.echo(b"secret");
    assert_eq!(ask("HEAD", "/record", "").status, 200);
    let status = Http::connect(&daemon, 1).get("/record").status;
    assert_eq!(status, 401, "without a token");
}
