//! Recordings of the real binary: in memory over the admin endpoint, and in files.

use std::fs;
use std::process::{Command, Stdio};

use oneloop::core::{Event, Key, Observer};
use oneloop::recording::{ReplayReport, replay};
use rustix::process::Signal;

use crate::command::oneloop;
use crate::http::Http;
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;

/// The names of the events of connections, in order.
#[derive(Default)]
struct Names(Vec<&'static str>);

impl Observer for Names {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if !key.is_source() {
            self.0.push(event.name());
        }
    }
}

fn replayed(bytes: &[u8]) -> (Vec<&'static str>, ReplayReport) {
    let mut names = Names::default();
    let report = replay(bytes, &mut names);
    assert_eq!((report.unknown, report.lost, report.damaged), (0, 0, 0), "{report:?}");
    assert!(!report.truncated);
    (names.0, report)
}

/// Whether the names occur in this order.
fn in_order(names: &[&str], expected: &[&str]) -> bool {
    let mut names = names.iter();
    expected.iter().all(|expected| names.any(|name| name == expected))
}

const ECHO: [&str; 6] = ["opened", "read", "wrote", "end-of-file", "shut-down", "closed"];

/// Returns what a command prints that succeeds.
pub fn output(command: &mut Command) -> Vec<u8> {
    let output = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn a_recording_in_memory_is_started_downloaded_and_ended_at_run_time() {
    let scratch = Scratch::new();
    let admin = scratch.path("admin.sock");
    let daemon = TestDaemon::start(&format!("echo 127.0.0.1:0 -v --admin {}", admin.display()));
    let ctl = |line: &str| output(&mut oneloop(&format!("ctl --admin {} {line}", admin.display())));
    let ask = |method, body| Http::connect(&daemon, 1).ask(method, "/record", "", body);
    assert!(ask("GET", "").problem(404).contains("nothing is recorded"));
    for body in ["", "{}", "{\"limit\":\"1M\"}", "{\"limit\":\"x\"}"] {
        ask("POST", body).problem(400);
    }
    assert_eq!(ctl("record 8M"), b"recording: 8M\n");
    let mut client = daemon.client(0);
    client.echo(b"hello");
    drop(client);
    daemon.says("#1 closed: ");
    let names = replayed(&ctl("record")).0;
    assert!(in_order(&names, &ECHO), "{names:?}");
    // A change of the size keeps what is recorded.
    assert_eq!(ctl("record 16M"), b"recording: 16M\n");
    let (again, report) = replayed(&ctl("record"));
    assert!(in_order(&again, &ECHO) && report.first == 0);
    assert_eq!(ctl("record off"), b"not recording, watching nothing\n");
    ask("GET", "").problem(404);
}

#[test]
fn a_recording_in_files_is_complete_when_the_daemon_has_ended() {
    let scratch = Scratch::new();
    let path = scratch.path("trace");
    let mut daemon =
        TestDaemon::start(&format!("echo 127.0.0.1:0 -v --record {},limit=8M", path.display()));
    let mut client = daemon.client(0);
    client.echo(b"hello");
    drop(client);
    daemon.says("#1 closed: ");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let file = scratch.path("trace.000001");
    let names = replayed(&fs::read(&file).unwrap()).0;
    assert!(in_order(&names, &ECHO), "{names:?}");
}
