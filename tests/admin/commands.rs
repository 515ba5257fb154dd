//! What an operator changes: close, pause, resume, drain, the level of the log.

use std::time::Duration;

use crate::command::oneloop;
use crate::http::{Http, Reply, get};
use crate::scratch::Scratch;
use crate::test_daemon::{TestDaemon, ended};
use crate::test_stream::TestStream;
use crate::wait::until;

/// A daemon whose admin listener is a Unix socket, behind its only route.
fn daemon(scratch: &Scratch, options: &str) -> TestDaemon {
    let admin = scratch.path("admin.sock");
    TestDaemon::start(&format!("echo 127.0.0.1:0 --admin {} {options}", admin.display()))
}

fn ask(daemon: &TestDaemon, method: &str, path: &str, body: &str) -> Reply {
    Http::connect(daemon, 1).ask(method, path, "", body)
}

#[test]
fn a_connection_is_closed_by_its_number_and_never_another_one() {
    let scratch = Scratch::new();
    let daemon = daemon(&scratch, "-v");
    let mut clients: Vec<TestStream> = (0..3).map(|_| daemon.client(0)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"hello"));
    let closed = ask(&daemon, "DELETE", "/connections/2", "").json();
    assert_eq!((&closed["id"], &closed["reason"]), (&2.into(), &"admin".into()));
    clients[1].expect_reset();
    let line = daemon.says("#2 closed: ");
    assert!(line.contains("admin") && line.contains("RST"), "{line}");
    // The next connection uses its slot, and not its number.
    let mut next = daemon.client(0);
    next.echo(b"hello");
    assert!(ask(&daemon, "DELETE", "/connections/2", "").problem(404).contains('2'));
    next.echo(b"still here");
    clients[0].echo(b"and here");
    daemon.says("admin: DELETE /connections/2 from unix");
}

#[test]
fn a_paused_listener_leaves_clients_in_its_queue_until_it_is_resumed() {
    let scratch = Scratch::new();
    let daemon = daemon(&scratch, "-v");
    let mut before = daemon.client(0);
    before.echo(b"before");
    let paused = ask(&daemon, "POST", "/pause", "").json();
    assert_eq!(paused["changed"].as_array().unwrap().len(), 1);
    assert_eq!(paused["changed"], paused["paused"]);
    let again = ask(&daemon, "POST", "/pause", "").json();
    assert_eq!(
        (again["changed"].as_array().unwrap().len(), &again["paused"]),
        (0, &paused["paused"])
    );
    let mut waiting = daemon.client(0);
    waiting.send(b"waiting");
    let row = until("it waits in the queue", || {
        let listeners = get(&daemon, 1, "/listeners").json();
        let row = listeners["listeners"][0].clone();
        (row["queue"] == 1).then_some(row)
    });
    assert_eq!((&row["state"], &row["paused_by"]), (&"paused".into(), &"operator".into()));
    before.echo(b"open connections go on");
    assert!(daemon.sleeps_in(Duration::from_millis(500)) <= 3, "a paused listener must not spin");
    let address = daemon.address(0).to_owned();
    let resumed = ask(&daemon, "POST", &format!("/resume?listener={address}"), "").json();
    assert_eq!(resumed["changed"][0], address);
    assert_eq!(waiting.get(7), b"waiting");
    daemon.says("accept resumed on ");
    let detail = ask(&daemon, "POST", "/pause?listener=127.0.0.1:1", "").problem(404);
    assert!(detail.contains("127.0.0.1:1"), "{detail}");
}

#[test]
fn during_a_drain_readyz_says_so_and_the_endpoint_stays_to_the_end() {
    let scratch = Scratch::new();
    let mut daemon = daemon(&scratch, "--drain-timeout 1h -v --metrics 127.0.0.1:0");
    let mut client = daemon.client(0);
    client.send(b"hello");
    client.get(5);
    client.finish();
    // Half-closed by us: the daemon has finished with it. One in progress holds the drain.
    let mut holding = daemon.client(0);
    holding.echo(b"in progress");
    assert_eq!(get(&daemon, 2, "/readyz").status, 200);
    // The client of this connection is at rest, so it would be drained after a second; until then
    // everything can be seen.
    let draining = ask(&daemon, "POST", "/drain", "").json();
    // What is left of it: the answer may be a moment later than the start.
    let left = draining["timeout_seconds"].as_f64().unwrap();
    assert!((3540.0..=3600.0).contains(&left), "{draining}");
    let ready = get(&daemon, 2, "/readyz");
    assert_eq!(ready.status, 503, "{ready:?}");
    assert!(ready.header("Retry-After").is_some() && ready.body.contains("draining"), "{ready:?}");
    assert_eq!(get(&daemon, 2, "/livez").status, 200);
    assert!(get(&daemon, 2, "/metrics").body.contains("oneloop_connections_active"));
    assert_eq!(get(&daemon, 1, "/version").json()["state"], "draining");
    ask(&daemon, "POST", "/pause", "").problem(409);
    assert_eq!(daemon.code(), Some(0));
}

#[test]
fn the_level_of_the_log_changes_at_once_and_a_wrong_one_changes_nothing() {
    let scratch = Scratch::new();
    let daemon = daemon(&scratch, "");
    assert_eq!(get(&daemon, 1, "/log/level").json()["level"], "info");
    daemon.client(0).echo(b"quiet");
    let level = ask(&daemon, "POST", "/log/level", r#"{"level":"debug"}"#).json();
    assert_eq!(level["level"], "debug");
    daemon.client(0).echo(b"loud");
    daemon.says("#2 opened: ");
    assert_eq!(daemon.count("#1 opened: "), 0);
    for body in
        [r#"{"level":"loud"}"#, r#"{"level":"info,x=y=z"}"#, r#"{"level":7}"#, "{}", "debug"]
    {
        ask(&daemon, "POST", "/log/level", body).problem(400);
    }
    assert_eq!(get(&daemon, 1, "/log/level").json()["level"], "debug");
}

#[test]
fn the_socket_file_is_private_and_is_removed_at_the_end() {
    use std::os::unix::fs::PermissionsExt;

    let scratch = Scratch::new();
    let mut daemon = daemon(&scratch, "");
    let path = scratch.path("admin.sock");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    ask(&daemon, "POST", "/drain", "").json();
    assert_eq!(daemon.code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn ctl_speaks_to_the_daemon() {
    let scratch = Scratch::new();
    let daemon = daemon(&scratch, "-v");
    let mut client = daemon.client(0);
    client.echo(b"hello");
    let admin = scratch.path("admin.sock");
    let ctl = |line: &str| ended(oneloop(&format!("ctl --admin {} {line}", admin.display())));
    for (line, part) in [
        ("connections", "streaming"),
        ("connection 1", "127.0.0.1"),
        ("routes", "echo"),
        ("listeners", "accepting"),
        ("loop", "turn"),
        ("timers", "deadline"),
        ("limits", "connections"),
        ("reasons", "idle-timeout"),
        ("level", "debug"),
        ("level info", "info"),
        ("version", "running"),
        ("config", "admin"),
        ("pause", "tcp://"),
        ("resume", "tcp://"),
        ("get /livez", "ok"),
        ("connections --json", "\"snapshot\""),
        ("close 1", "1"),
    ] {
        let done = ctl(line);
        assert_eq!(done.code, Some(0), "{line}: {done:?}");
        assert!(done.out.contains(part), "{line}: {done:?}");
        assert!(
            done.out.lines().all(|shown| shown.chars().count() <= 80
                || line.contains("json")
                || line.contains("get")),
            "{line}: {done:?}"
        );
    }
    client.expect_reset();
    assert_eq!(ctl("ready").code, Some(0));
    assert_eq!(ctl("close 1").code, Some(1));
    assert_eq!(ctl("drain").code, Some(0));
}
