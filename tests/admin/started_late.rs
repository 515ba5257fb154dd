//! Recordings that are started while connections are open: they know these connections.

use std::net::UdpSocket;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::oneloop;
use crate::http::Http;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::{TestDaemon, ended};
use crate::test_stream::TestStream;

/// Converts what a daemon has recorded so far.
fn trace(admin: &str, what: &str) -> String {
    let done = ended(oneloop(&format!("trace {admin} {what}")));
    assert_eq!(done.code, Some(0), "{done:?}");
    done.out
}

fn record(daemon: &TestDaemon, admin: usize) {
    let reply = Http::connect(daemon, admin).ask("POST", "/record", "", "{\"limit\":\"8M\"}");
    assert_eq!((reply.status, &reply.json()["record"]), (200, &Value::from("8M")));
}

/// Returns the object of this connection that says what was known of it.
fn known(jsonl: &str, connection: u64) -> Option<Value> {
    let objects = jsonl.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let mut found = objects.filter(|object| {
        object["event"] == "known-connection" && object["connection"] == connection
    });
    let first = found.next();
    assert!(found.next().is_none(), "{connection} is there twice");
    first
}

#[test]
fn every_converter_shows_what_was_opened_before_the_recording() {
    let target = Target::tcp();
    let scratch = Scratch::new();
    let admin = scratch.unix("admin");
    let line = format!("relay 127.0.0.1:0 {} -vv --admin {admin}", target.address());
    let mut daemon = TestDaemon::start(&line);
    let listen = daemon.address(0).to_owned();
    let mut client = daemon.client(0);
    let mut served = target.accept();
    client.send(b"before");
    assert_eq!(served.get(6), b"before");
    daemon.says("#1.b wrote 6");
    record(&daemon, 1);
    client.send(b"after");
    assert_eq!(served.get(5), b"after");
    drop(served);
    assert_eq!(client.rest(), b"");
    let peer = client.local().to_string();
    drop(client);
    daemon.says("#1 closed: ");

    let jsonl = trace(&admin, "jsonl");
    let object = known(&jsonl, 1).unwrap();
    let expected =
        [("service", "relay"), ("peer", &peer), ("listen", &listen), ("target", &target.address())];
    expected.iter().for_each(|(field, value)| assert_eq!(object[field], *value, "{object}"));
    let (us, opened) = (object["us"].as_u64().unwrap(), object["opened_us"].as_u64().unwrap());
    assert!(0 < opened && opened < us, "{object}");

    let explained = trace(&admin, "explain 1");
    let head = format!("Connection 1: {peer} -> {listen}, relay\nTarget: {}\n", target.address());
    assert!(explained.starts_with(&head), "{explained}");
    assert!(explained.contains("before its first event here"), "{explained}");
    assert!(!explained.contains("not connected"), "{explained}");

    // The replay has the lines of the live log, after the time and the level.
    let log = trace(&admin, "log --level trace");
    let after_level = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
    let of_it = |text: &String| text.contains("#1");
    let replayed: Vec<String> = log.lines().filter_map(after_level).filter(of_it).collect();
    daemon.signal(Signal::TERM);
    let live = daemon.last_lines();
    let live: Vec<String> = live.iter().filter_map(|l| after_level(l)).filter(of_it).collect();
    let (first, replayed) = replayed.split_first().unwrap();
    assert!(first.contains("#1 was opened "), "{first}");
    let facts = format!(" ago: {peer} -> {listen}, relay, target {}", target.address());
    assert!(first.ends_with(&facts), "{first}");
    assert!(replayed.len() >= 5 && live.len() > replayed.len(), "{replayed:?}");
    assert_eq!(live[live.len() - replayed.len()..], *replayed);
}

#[test]
fn all_of_many_connections_are_known_however_they_were_accepted() {
    let (scratch, clients) = (Scratch::new(), 100);
    let admin = scratch.unix("admin");
    let line = format!("echo 127.0.0.1:0 0.0.0.0:0 {} --admin {admin}", scratch.unix("x"));
    let daemon = TestDaemon::start(&line);
    let mut open: Vec<TestStream> = (0..clients).map(|_| daemon.client(0)).collect();
    let any = daemon.address(1).replace("0.0.0.0", "127.0.0.1");
    // An answer shows that it was accepted: numbers follow the order of the accepts.
    open.iter_mut().for_each(|client| client.echo(b"x"));
    let mut others = vec![TestStream::connect(&any)];
    others[0].echo(b"x");
    others.push(daemon.client(2));
    others[1].echo(b"x");
    record(&daemon, 3);
    // Closed in the turn of their first event.
    let peers: Vec<String> = open.iter().map(|client| client.local().to_string()).collect();
    drop(open);
    others.iter_mut().for_each(|client| client.echo(b"y"));
    let mut new = daemon.client(0);
    new.echo(b"z");
    let jsonl = trace(&admin, "jsonl");
    for (id, peer) in (1..).zip(&peers) {
        let object = known(&jsonl, id).unwrap_or_else(|| panic!("{id} is not known"));
        assert_eq!((&object["peer"], &object["target"]), (&Value::from(&**peer), &Value::Null));
        assert_eq!(object["listen"], daemon.address(0));
    }
    for (id, listener) in [(clients + 1, 1), (clients + 2, 2)] {
        let object = known(&jsonl, id).unwrap();
        assert_eq!(object["listen"], daemon.address(listener), "{object}");
    }
    assert!(known(&jsonl, clients + 3).is_none(), "this one was opened in the recording");
}

#[test]
fn a_datagram_flow_is_known_with_its_source_and_its_target() {
    let target = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = format!("udp://{}", target.local_addr().unwrap());
    let scratch = Scratch::new();
    let admin = scratch.unix("admin");
    let daemon = TestDaemon::start(&format!("relay udp://127.0.0.1:0 {to} --admin {admin}"));
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut buffer = [0; 9];
    client.send_to(b"one", daemon.at(0)).unwrap();
    target.recv(&mut buffer).unwrap();
    record(&daemon, 1);
    client.send_to(b"two", daemon.at(0)).unwrap();
    target.recv(&mut buffer).unwrap();
    let object = known(&trace(&admin, "jsonl"), 1).unwrap();
    assert_eq!(object["peer"], client.local_addr().unwrap().to_string());
    assert_eq!((&object["target"], &object["listen"]), (&to.into(), &daemon.address(0).into()));
}

#[test]
fn a_client_that_leaves_takes_its_start_with_it() {
    let scratch = Scratch::new();
    let admin = scratch.unix("admin");
    let daemon = TestDaemon::start(&format!("echo 127.0.0.1:0 --admin {admin}"));
    for _ in 0..20 {
        let mut http = Http::connect(&daemon, 1);
        http.send("POST", "/record", "", "{\"limit\":\"8M\"}");
        drop(http);
        Http::connect(&daemon, 1).ask("DELETE", "/record", "", "");
    }
    record(&daemon, 1);
    let mut command = oneloop(&format!("ctl --admin {admin} record"));
    let output = command.stdout(Stdio::piped()).output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty());
}
