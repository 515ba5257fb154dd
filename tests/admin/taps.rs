//! Taps: the packets of one connection, with their bytes, as they come.

use std::fs;
use std::thread;

use crate::command::oneloop;
use crate::http::Http;
use crate::payload::follow;
use crate::recordings::output;
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;

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
    let file = scratch.path("tap.pcapng");
    fs::write(&file, &bytes).unwrap();
    let Some(both) = follow(&file, 0) else { return };
    assert_eq!(both, [b"helloand again", b"helloand again"]);
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
    crate::wait::until("their places are free", || {
        (Http::connect(&daemon, 1).ask("HEAD", path, "", "").status == 200).then_some(())
    });
    let other = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let _client = other.client(0);
    Http::connect(&other, 1).get(path).problem(403);
}
