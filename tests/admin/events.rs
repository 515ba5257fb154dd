//! The stream of events.

use std::io::Read;

use serde_json::Value;

use crate::http::Http;
use crate::test_daemon::TestDaemon;
use crate::wait::until;

/// A viewer of events, and what it has received.
struct EventReader {
    http: Http,
    text: String,
}

impl EventReader {
    fn start(daemon: &TestDaemon, query: &str, headers: &str) -> EventReader {
        let mut http = Http::connect(daemon, 1);
        http.send("GET", &format!("/events{query}"), headers, "");
        let (status, headers) = http.head();
        assert_eq!(status, 200);
        let is_stream = |(name, value): &(String, String)| {
            name == "Content-Type" && value == "text/event-stream"
        };
        assert!(headers.iter().any(is_stream), "{headers:?}");
        let mut reader = EventReader { http, text: String::new() };
        reader.until("retry: ");
        reader
    }

    /// Receives until this text has been received.
    fn until(&mut self, text: &str) {
        while !self.text.contains(text) {
            let chunk = self.http.chunk();
            assert!(!chunk.is_empty(), "the stream ended after {}", self.text);
            self.text.push_str(&chunk);
        }
    }

    /// The names and the data of the events received.
    fn events(&self) -> Vec<(String, Value)> {
        let frames = self.text.split("\n\n").filter(|frame| frame.contains("data: "));
        let field = |frame: &str, name: &str| {
            let line = frame.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        let parse = |frame: &str| {
            let data = serde_json::from_str(&field(frame, "data: ")).unwrap();
            (field(frame, "event: "), data)
        };
        frames.map(parse).collect()
    }

    fn last_id(&self) -> String {
        let mut ids = self.text.lines().filter_map(|line| line.strip_prefix("id: "));
        ids.next_back().unwrap().to_owned()
    }
}

#[test]
fn a_viewer_sees_the_life_of_each_connection() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut reader = EventReader::start(&daemon, "", "");
    let mut client = daemon.client(0);
    client.echo(b"hello");
    drop(client);
    reader.until("event: closed");
    let events = reader.events();
    let names: Vec<&str> = events.iter().map(|(name, _)| name.as_str()).collect();
    let opened = names.iter().position(|name| *name == "opened").unwrap();
    assert!(names[opened..].contains(&"end-of-file"), "{names:?}");
    let (_, data) = &events[opened];
    assert_eq!((&data["connection"], &data["level"]), (&1.into(), &"lifecycle".into()));
    assert!(data["text"].as_str().unwrap().starts_with("#1 opened: 127.0.0.1:"), "{data}");
}

#[test]
fn a_filter_is_applied_to_each_viewer() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut only_closed = EventReader::start(&daemon, "?event=closed,reset&connection=2", "");
    let mut loud = EventReader::start(&daemon, "?level=notice", "");
    for _ in 0..3 {
        daemon.client(0).echo(b"hello");
    }
    only_closed.until("event: closed");
    let events = only_closed.events();
    assert!(
        events.iter().all(|(name, data)| name == "closed" && data["connection"] == 2),
        "{events:?}"
    );
    Http::connect(&daemon, 1).get("/events?level=loud").problem(400);
    assert!(loud.events().is_empty());
    daemon.signal(rustix::process::Signal::TERM);
    loud.until("event: signal");
    // The stream ends in order, so a reader can tell it from a lost connection.
    while !loud.http.chunk().is_empty() {}
}

#[test]
fn a_viewer_that_comes_back_goes_on_where_it_was() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut reader = EventReader::start(&daemon, "?event=opened", "");
    daemon.client(0).echo(b"first");
    reader.until("#1 opened");
    let id = reader.last_id();
    drop(reader);
    daemon.client(0).echo(b"second");
    let header = format!("Last-Event-ID: {id}\r\n");
    let mut again = EventReader::start(&daemon, "?event=opened", &header);
    again.until("#2 opened");
    assert!(!again.text.contains("#1 opened"), "{}", again.text);
    let mut lost = EventReader::start(&daemon, "?event=opened", "Last-Event-ID: 1-1\r\n");
    lost.until("event: missed");
    assert_eq!(lost.events()[0].1["missed"], Value::Null);
}

#[test]
fn a_viewer_that_does_not_read_is_told_how_much_it_missed_and_disturbs_nobody() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut slow = EventReader::start(&daemon, "", "");
    let mut quick = EventReader::start(&daemon, "?event=closed", "");
    let mut clients = 0;
    // Until more was rendered than the ring and the socket buffers hold.
    until("the slow viewer falls behind", || {
        for _ in 0..50 {
            let mut client = daemon.client(0);
            client.echo(b"hello");
            clients += 1;
            drop(client);
        }
        quick.until(&format!("\"text\":\"#{clients} closed"));
        quick.text.clear();
        (clients >= 12_000).then_some(())
    });
    slow.http.stream.set_nonblocking(false);
    let mut rest = Vec::new();
    slow.http.stream.set_patience(Some(std::time::Duration::from_millis(500)));
    let _ = slow.http.stream.read_to_end(&mut rest);
    let text = String::from_utf8_lossy(&rest);
    assert!(text.contains("event: missed\ndata: {\"missed\":"), "{} bytes", rest.len());
}

#[test]
fn there_are_only_so_many_viewers_and_each_leaves_its_place() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let mut viewers: Vec<EventReader> =
        (0..16).map(|_| EventReader::start(&daemon, "", "")).collect();
    let mut admin = Http::connect(&daemon, 1);
    let refused = admin.get("/events");
    assert!(refused.header("Retry-After").is_some());
    refused.problem(503);
    viewers.pop().unwrap().http.stream.reset();
    until("a place is free", || {
        let reply = Http::connect(&daemon, 1).ask("HEAD", "/events", "", "");
        (reply.status == 200).then_some(())
    });
}
