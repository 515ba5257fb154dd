//! Watches: a few connections are logged and recorded in full, and the others as before.

use serde_json::{Value, json};

use crate::command::oneloop;
use crate::http::{Http, Reply, get};
use crate::scratch::Scratch;
use crate::test_daemon::{Ended, TestDaemon, ended};
use crate::wait::until;

/// A daemon with an admin listener behind its routes, at level info.
struct Watched {
    daemon: TestDaemon,
    scratch: Scratch,
    admin: usize,
}

impl Watched {
    fn start(routes: &str, admin: usize) -> Watched {
        let scratch = Scratch::new();
        let socket = scratch.path("admin.sock");
        let daemon = TestDaemon::start(&format!("{routes} --admin {}", socket.display()));
        Watched { daemon, scratch, admin }
    }

    fn echo() -> Watched {
        Watched::start("echo 127.0.0.1:0", 1)
    }

    fn ask(&self, method: &str, path: &str) -> Reply {
        Http::connect(&self.daemon, self.admin).ask(method, path, "", "")
    }

    fn oneloop(&self, line: &str) -> Ended {
        let socket = self.scratch.path("admin.sock");
        ended(oneloop(&line.replace("ADMIN", &socket.display().to_string())))
    }

    fn watches(&self) -> Value {
        get(&self.daemon, self.admin, "/watch").json()
    }
}

#[test]
fn a_watched_connection_is_logged_and_recorded_in_full_and_another_is_not() {
    let watched = Watched::echo();
    let (mut one, mut two) = (watched.daemon.client(0), watched.daemon.client(0));
    one.echo(b"before");
    two.echo(b"before");
    let started = watched.oneloop("ctl --admin ADMIN watch 2 --for 30m");
    let shown = started.out.lines().collect::<Vec<_>>();
    assert_eq!(shown[1..], ["1 open connection now", "recording: 16M"], "{started:?}");
    assert!(shown[0].starts_with("watching #2 for "), "{started:?}");
    one.echo(b"hello");
    two.echo(b"hello");
    watched.daemon.says("TRACE #2.a read 5");
    watched.daemon.says("TRACE #2.a wrote 5, 0 unsent");
    watched.daemon.says("TRACE turn ");
    two.finish();
    two.rest();
    watched.daemon.says("DEBUG #2 closed: ");
    assert_eq!(watched.daemon.count("#1"), 0, "the level of the others is info");
    // It ended with its connection, and its recording can still be read.
    let after = watched.watches();
    assert_eq!((after["watches"].as_array().unwrap().len(), &after["record"]), (0, &"16M".into()));
    assert!(after["kept_seconds"].as_f64().unwrap() > 500.0, "{after}");
    one.echo(b"after");
    let explained = watched.oneloop("trace ADMIN explain 2");
    assert_eq!(explained.code, Some(0), "{explained:?}");
    for part in ["Connection 2: 127.0.0.1:", ", echo", "It was opened ", "11 B up"] {
        assert!(explained.out.contains(part), "{part}: {}", explained.out);
    }
    assert_eq!(watched.oneloop("trace ADMIN explain 1").code, Some(1));
    let json = watched.oneloop("trace ADMIN jsonl").out;
    assert!(json.lines().all(|line| !line.contains("\"connection\":1,")), "{json}");
    assert!(json.contains("\"event\":\"turn\""), "{json}");
}

#[test]
fn a_watch_by_peer_or_route_is_for_open_connections_and_for_those_to_come() {
    let watched = Watched::start("run 127.0.0.1:0=echo [::1]:0=echo", 2);
    let (mut open, mut other) = (watched.daemon.client(0), watched.daemon.client(1));
    open.echo(b"before");
    other.echo(b"before");
    let peer = watched.ask("POST", "/watch?peer=127.0.0.0/8").json();
    assert_eq!(
        (&peer["connections"], &peer["watches"][0]["peer"]),
        (&1.into(), &"127.0.0.0/8".into())
    );
    open.echo(b"hello");
    other.echo(b"unseen");
    watched.daemon.says("TRACE #1.a read 5");
    let mut new = watched.daemon.client(0);
    new.echo(b"hello");
    watched.daemon.says("DEBUG #3 opened: ");
    watched.daemon.says("TRACE #3.a read 5");
    assert_eq!(watched.daemon.count("#2"), 0);
    watched.ask("DELETE", "/watch").json();
    let route = get(&watched.daemon, 2, "/routes").json()["routes"][1]["name"].clone();
    let route = route.as_str().unwrap();
    let query = route.replace('[', "%5B").replace(']', "%5D");
    let by_route = watched.ask("POST", &format!("/watch?route={query}&for=30m")).json();
    assert_eq!(
        (&by_route["connections"], &by_route["watches"][0]["route"]),
        (&1.into(), &route.into())
    );
    other.echo(b"hello!");
    watched.daemon.says("TRACE #2.a read 6");
    watched.daemon.client(1).echo(b"hello!!");
    watched.daemon.says("TRACE #4.a read 7");
    open.echo(b"is not watched any more");
    assert_eq!(watched.daemon.count("read 23"), 0);
}

#[test]
fn a_watch_ends_by_itself_and_on_request() {
    let watched = Watched::echo();
    let mut client = watched.daemon.client(0);
    client.echo(b"hello");
    watched.ask("POST", "/watch?connection=1&for=1ms").json();
    until("it has ended", || {
        let state = watched.watches();
        (state["watches"].as_array().unwrap().is_empty()
            && state["connections"] == 0
            && state["kept_seconds"].is_number())
        .then_some(())
    });
    client.echo(b"unseen by the log");
    assert_eq!(watched.daemon.count("read 17"), 0);
    // Another target is added, the same one is prolonged.
    for path in ["connection=1&for=1s", "connection=1&for=1h", "peer=127.0.0.1"] {
        watched.ask("POST", &format!("/watch?{path}")).json();
    }
    let state = watched.watches();
    assert_eq!(state["watches"].as_array().unwrap().len(), 2, "{state}");
    assert!(state["watches"][0]["left_seconds"].as_f64().unwrap() > 3000.0, "{state}");
    assert_eq!(state["kept_seconds"], Value::Null);
    let off = watched.oneloop("ctl --admin ADMIN watch off");
    assert_eq!(off.out, "watching nothing\nrecording: 16M, kept for 10 min\n");
    assert_eq!(watched.ask("HEAD", "/record").status, 200);
    let off = watched.oneloop("ctl --admin ADMIN watch off --all");
    assert_eq!(off.out, "watching nothing\n");
    get(&watched.daemon, 1, "/record").problem(404);
    client.echo(b"unseen by the log");
    assert_eq!(watched.daemon.count("read 17"), 0);
}

#[test]
fn the_end_of_the_recording_ends_all_watches_and_keeps_nothing() {
    let watched = Watched::echo();
    let mut client = watched.daemon.client(0);
    client.echo(b"hello");
    let off = |name: &str| {
        let answer = watched.ask("DELETE", "/record").json();
        let of_recording = (&answer["record"], &answer["of"], &answer["watches"]);
        assert_eq!(of_recording, (&Value::Null, &Value::Null, &0.into()), "{name}");
        let state = watched.watches();
        assert_eq!((&state["watches"], &state["connections"]), (&json!([]), &0.into()), "{name}");
        assert_eq!((&state["record"], &state["kept_seconds"]), (&Value::Null, &Value::Null));
        get(&watched.daemon, 1, "/record").problem(404);
    };
    let watch = |path: &str| assert!(!watched.ask("POST", path).json()["record"].is_null());
    watch("/watch?connection=1");
    watch("/watch?peer=127.0.0.1");
    off("one of watched connections");
    watch("/watch?connection=1");
    let mut http = Http::connect(&watched.daemon, 1);
    let begun = http.ask("POST", "/record", "", "{\"limit\":\"8M\"}").json();
    assert_eq!((&begun["of"], &begun["watches"]), (&"all".into(), &1.into()));
    off("one of all connections");
    watch("/watch?connection=1");
    watched.ask("DELETE", "/watch").json();
    assert!(watched.watches()["kept_seconds"].is_number());
    off("one that was kept");
    client.echo(b"unseen by the log");
    assert_eq!(watched.daemon.count("read 17"), 0);
    watch("/watch?connection=1");
    let ended = watched.oneloop("ctl --admin ADMIN record off");
    assert_eq!(ended.out, "not recording, watching nothing\n");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    let watched = Watched::echo();
    let _client = watched.daemon.client(0);
    for (query, status, part) in [
        ("", 400, "one of connection=N"),
        ("connection=1&peer=::1", 400, "one of connection=N"),
        ("connection=x", 400, "connection"),
        ("peer=", 400, "peer"),
        ("connection=1&for=0s", 400, "at most 1h"),
        ("connection=1&for=2h", 400, "at most 1h"),
        ("connection=1&for=soon", 400, "for"),
        ("conection=1", 400, "connection"),
        ("connection=9", 404, "no connection 9"),
        ("route=nowhere", 404, "no route has the name nowhere"),
    ] {
        let detail = watched.ask("POST", &format!("/watch?{query}")).problem(status);
        assert!(detail.contains(part), "{query}: {detail}");
    }
    assert!(watched.ask("DELETE", "/watch?record=maybe").problem(400).contains("keep, off"));
    assert_eq!(watched.watches()["record"], Value::Null, "none of them has begun a recording");
    for last in 1..=16 {
        watched.ask("POST", &format!("/watch?peer=10.0.0.{last}")).json();
    }
    let detail = watched.ask("POST", "/watch?peer=10.0.0.17").problem(409);
    assert!(detail.contains("16 watches"), "{detail}");
    watched.ask("POST", "/watch?peer=10.0.0.16&for=1h").json();
}

#[test]
fn only_who_may_change_something_may_watch() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let _client = daemon.client(0);
    let mut admin = Http::connect(&daemon, 1);
    admin.ask("POST", "/watch?connection=1", "", "").problem(403);
    assert_eq!(admin.get("/watch").status, 200);
}

#[test]
fn a_recording_of_everything_goes_on_and_replaces_that_of_a_watch() {
    let watched = Watched::echo();
    let mut client = watched.daemon.client(0);
    client.echo(b"hello");
    watched.ask("POST", "/watch?connection=1").json();
    let record = |body| Http::connect(&watched.daemon, 1).ask("POST", "/record", "", body).json();
    let all = record("{\"limit\":\"8M\"}");
    assert_eq!((&all["record"], &all["of"]), (&"8M".into(), &"all".into()));
    let mut other = watched.daemon.client(0);
    other.echo(b"hello");
    watched.ask("DELETE", "/watch?record=off").json();
    other.echo(b"after the watch");
    let json = watched.oneloop("trace ADMIN jsonl").out;
    assert!(json.contains("\"connection\":2,\"end\":\"a\",\"bytes\":15"), "{json}");
}
