//! Taps: the packets of one connection, with their bytes, as they come.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;

use crate::command::oneloop;
use crate::http::Http;
use crate::kept::Kept;
use crate::payload::follow;
use crate::programs::{has, spawn};
use crate::recordings::output;
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::wait::{PATIENCE, until};

#[test]
fn a_tap_of_an_open_connection_has_its_bytes_and_ends_with_it() {
    let scratch = Scratch::new();
    let admin = scratch.path("admin.sock");
    let daemon = TestDaemon::start(&format!("echo 127.0.0.1:0 -v --admin {}", admin.display()));
    let (mut client, mut other) = (daemon.client(0), daemon.client(0));
    client.echo(b"before");
    let line = format!("ctl --admin {} get /connections/1/tap.pcapng", admin.display());
    let tap = thread::spawn(move || output(&mut oneloop(&line)));
    daemon.says("admin: GET /connections/1/tap.pcapng from unix: 200");
    client.echo(b"hello");
    other.echo(b"not this");
    client.echo(b"and again");
    client.finish();
    client.rest();
    let bytes = tap.join().unwrap();
    assert_eq!(daemon.count("TRACE"), 0, "the log stays as it was");
    let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
    assert!(has(b"hello") && has(b"and again") && has(b"was opened "));
    assert!(!has(b"not this") && !has(b"before\n"));
    assert!(!has(b"was opened 0us ago"), "it was opened in an earlier turn");
    let file = scratch.path("tap.pcapng");
    fs::write(&file, &bytes).unwrap();
    let Some(both) = follow(&file, 0) else { return };
    assert_eq!(both, [b"helloand again", b"helloand again"]);
}

/// As in docs/admin.md, with the terminal's program in place of Wireshark.
#[test]
fn tshark_shows_the_packets_of_a_tap_while_the_connection_is_open() {
    if !has("tshark") {
        return;
    }
    let scratch = Scratch::new();
    let admin = scratch.path("admin.sock");
    let daemon = TestDaemon::start(&format!("echo 127.0.0.1:0 -v --admin {}", admin.display()));
    let mut client = daemon.client(0);
    client.echo(b"before");
    let line = format!("ctl --admin {} get /connections/1/tap.pcapng", admin.display());
    let mut tap = spawn(&mut oneloop(&line));
    let mut tshark = Command::new("tshark");
    tshark.args(["-l", "-i", "-", "-T", "fields", "-e", "tcp.payload"]);
    tshark.stdin(tap.0.stdout.take().unwrap()).stdout(Stdio::piped());
    let mut tshark = Kept(tshark.spawn().unwrap());
    let (sender, lines) = mpsc::channel();
    let shown = BufReader::new(tshark.0.stdout.take().unwrap()).lines();
    thread::spawn(move || shown.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let next = || lines.recv_timeout(PATIENCE).expect("a packet");
    daemon.says("admin: GET /connections/1/tap.pcapng from unix: 200");
    for text in [&b"hello"[..], b"world"] {
        client.echo(text);
        let hex: String = text.iter().map(|byte| format!("{byte:02x}")).collect();
        // Read and written, each in a packet.
        assert_eq!([next(), next()], [&*hex; 2]);
    }
    client.finish();
    client.rest();
    assert_eq!(next(), "", "a FIN follows, and no byte");
    until("tshark has ended", || tshark.0.try_wait().unwrap().filter(|code| code.success()));
}

#[test]
fn a_tap_is_refused_without_its_connection_its_right_or_its_place() {
    let scratch = Scratch::new();
    let admin = scratch.path("admin.sock");
    let line = format!("echo 127.0.0.1:0 -v --admin {}", admin.display());
    let daemon = TestDaemon::start(&line);
    let path = "/connections/1/tap.pcapng";
    Http::connect(&daemon, 1).get(path).problem(404);
    let mut client = daemon.client(0);
    client.echo(b"hello");
    assert_eq!(Http::connect(&daemon, 1).ask("HEAD", path, "", "").status, 200);
    Http::connect(&daemon, 1).ask("POST", path, "", "").problem(405);
    let mut taps: Vec<Http> = (0..4).map(|_| Http::connect(&daemon, 1)).collect();
    for tap in &mut taps {
        tap.send("GET", path, "", "");
        assert_eq!(tap.head().0, 200);
    }
    let detail = Http::connect(&daemon, 1).get(path).problem(409);
    assert!(detail.contains("4 connections"), "{detail}");
    taps.clear();
    client.echo(b"nobody reads any more");
    until("their places are free", || {
        (Http::connect(&daemon, 1).ask("HEAD", path, "", "").status == 200).then_some(())
    });
    let other = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let _client = other.client(0);
    Http::connect(&other, 1).get(path).problem(403);
}
