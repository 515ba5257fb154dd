//! Without a terminal: one frame as text, and lines of JSON.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use crate::command::oneloop;
use crate::kept::Kept;
use crate::test_daemon::{Ended, TestDaemon, ended};
use crate::test_stream::TestStream;

const DAEMON: &str = "echo 127.0.0.1:0 --admin 127.0.0.1:0";

/// A daemon with three clients: the second has sent most.
fn daemon() -> (TestDaemon, Vec<TestStream>) {
    let daemon = TestDaemon::start(DAEMON);
    let mut clients: Vec<TestStream> = (0..3).map(|_| daemon.client(0)).collect();
    for (client, size) in clients.iter_mut().zip([10, 3000, 200]) {
        client.echo(&vec![b'x'; size]);
    }
    (daemon, clients)
}

fn top(daemon: &TestDaemon, options: &str) -> Ended {
    let line = format!("top {} --interval 100ms {options}", daemon.at(1));
    let mut command = oneloop(&line);
    command.env("LC_ALL", "C");
    ended(command)
}

#[test]
fn one_frame_is_printed_as_text() {
    let (daemon, _clients) = daemon();
    let Ended { code, out, err } = top(&daemon, "--once");
    assert_eq!((code, err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with(&format!("oneloop {}, up ", env!("CARGO_PKG_VERSION"))), "{out}");
    assert!(lines[0].contains(&format!("process {}", daemon.pid())), "{out}");
    assert!(lines[1].starts_with("connections  3 open, 3 accepted, 0.00/s, in 0 B/s"), "{out}");
    let ids: Vec<&str> =
        lines[7..].iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(ids, ["2", "3", "1"], "sorted by received bytes:\n{out}");
    assert!(out.is_ascii() && !out.contains('\x1b'), "{out}");
    let out = top(&daemon, "--once --view listeners").out;
    assert!(out.contains(daemon.address(0)) && out.contains("accepting"), "{out}");
    let out = top(&daemon, "--once --view loop").out;
    assert!(out.contains("turns that slept"), "{out}");
    let out = top(&daemon, "--once --filter nothing").out;
    assert!(out.contains("0 of 3 rows") && out.ends_with("no connections\n"), "{out}");
    assert!(top(&daemon, "--once --color always").out.contains("\x1b[1m"));
}

#[test]
fn one_poll_is_printed_as_json() {
    let (daemon, _clients) = daemon();
    let Ended { code, out, err } = top(&daemon, "--once --json --sort age --filter 127.0.0.1");
    assert_eq!((code, err.as_str(), out.lines().count()), (Some(0), "", 1));
    let sample: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(sample["version"]["pid"], daemon.pid());
    assert_eq!(sample["connections"].as_array().unwrap().len(), 3);
    assert_eq!(sample["connections"][0]["id"], 1, "the oldest is first");
    assert_eq!(sample["routes"][0]["accepted"], 3);
    assert_eq!(sample["listeners"][0]["state"], "accepting");
    assert!(sample["loop"]["turns"].as_u64() > Some(0));
    assert!(sample["rates"]["turns_per_second"].as_f64() > Some(0.0), "{out}");
    assert_eq!(sample["rates"]["accepted_per_second"], 0.0);
}

#[test]
fn without_a_daemon_or_a_terminal_the_exit_code_says_why() {
    let (daemon, _clients) = daemon();
    let no_terminal = top(&daemon, "");
    assert_eq!((no_terminal.code, no_terminal.out.as_str()), (Some(2), ""));
    assert!(no_terminal.err.contains("top needs a terminal; --once"), "{}", no_terminal.err);
    let at = daemon.at(1);
    drop(daemon);
    for options in ["--once", "--json", "--json --once"] {
        let gone = ended(oneloop(&format!("top {at} {options}")));
        assert_eq!((gone.code, gone.out.as_str()), (Some(1), ""), "{options}");
        assert!(gone.err.contains("cannot connect: Connection refused"), "{}", gone.err);
    }
}

#[test]
fn a_stream_of_json_goes_on_while_the_daemon_is_gone() {
    let (daemon, _clients) = daemon();
    let mut command = oneloop(&format!("top {} --json --interval 100ms", daemon.at(1)));
    let mut top = Kept(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(top.0.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    let first = next();
    assert_eq!((&first["rates"], &first["version"]["pid"]), (&Value::Null, &daemon.pid().into()));
    assert!(next()["rates"]["poll_share"].as_f64() > Some(0.0));
    daemon.signal(Signal::KILL);
    let gone = loop {
        let line = next();
        if line.get("gone_seconds").is_some() {
            break line;
        }
    };
    assert!(gone["error"].as_str().is_some_and(|error| !error.is_empty()), "{gone}");
    assert!(next()["gone_seconds"].as_f64() > gone["gone_seconds"].as_f64());
}
