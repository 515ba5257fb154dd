//! `oneloop trace`: recordings of real daemons, converted by the real program.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::command::oneloop;
use crate::programs::{answer, has};
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::{Ended, TestDaemon, ended};

/// Converts a recording with these arguments.
fn trace(line: &str) -> Ended {
    ended(oneloop(&format!("trace {line}")))
}

#[test]
fn a_recording_in_files_is_converted_into_each_form() {
    let scratch = Scratch::new();
    let record = scratch.path("run.rec");
    let record = record.display();
    let line = format!("echo 127.0.0.1:0 -vv --record {record},limit=16M");
    let mut daemon = TestDaemon::start(&line);
    let mut client = daemon.client(0);
    client.echo(b"hello");
    client.finish();
    daemon.says("#1 closed: ");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let explained = trace(&format!("{record} explain 1"));
    assert_eq!(explained.code, Some(0), "{explained:?}");
    for part in ["Connection 1: 127.0.0.1:", "5 B up, 5 B down", "client", "finished"] {
        assert!(explained.out.contains(part), "{part}: {}", explained.out);
    }
    let flags = trace(&format!("{record} flags"));
    assert!(flags.code == Some(0) && flags.out.contains("1 connection opened"), "{flags:?}");
    let json = trace(&format!("{record} jsonl"));
    assert!(json.out.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    let packets = scratch.path("run.pcapng");
    let written = trace(&format!("{record} pcapng -o {}", packets.display()));
    assert_eq!((written.code, written.out.as_str()), (Some(0), ""), "{written:?}");
    assert_eq!(fs::read(packets).unwrap()[..4], 0x0A0D_0D0A_u32.to_le_bytes());
    let tracks = scratch.path("run.pftrace");
    let written = trace(&format!("{record} perfetto -o {}", tracks.display()));
    assert_eq!((written.code, written.out.as_str()), (Some(0), ""), "{written:?}");
    // A trace is a sequence of packets, field 1.
    assert_eq!(fs::read(tracks).unwrap()[0], 0x0a);
    // The log of the replay has the lines of the live one, after the time and the level.
    let replayed = trace(&format!("{record} log --level trace"));
    let line = |line: &str| line.split_once(' ').map(|(_, rest)| rest.to_owned());
    let live: Vec<String> = daemon.last_lines().iter().filter_map(|text| line(text)).collect();
    let replayed: Vec<String> = replayed.out.lines().filter_map(line).collect();
    let is_of_the_client = |text: &&String| text.contains("#1");
    let live: Vec<&String> = live.iter().filter(is_of_the_client).collect();
    let again: Vec<&String> = replayed.iter().filter(is_of_the_client).collect();
    assert!(live.len() >= 7, "{live:?}");
    assert_eq!(live, again);
    let debug = trace(&format!("{record} log --level debug"));
    assert!(!debug.out.contains("#1.a read") && debug.out.contains("#1 opened"), "{debug:?}");
}

/// After a restart, a recording has the events of both processes, whose numbers and times are the
/// same.
#[test]
fn a_daemon_that_was_restarted_is_told_apart_from_the_one_before() {
    let scratch = Scratch::new();
    let record = scratch.path("run.rec");
    let record = record.display();
    let (mut pids, target) = (Vec::new(), Target::tcp());
    for answer in [&b"one"[..], b"other"] {
        let to = target.address();
        let line = format!("relay 127.0.0.1:0 {to} --record {record},limit=16M");
        let mut daemon = TestDaemon::start(&line);
        pids.push(daemon.pid());
        let (mut client, mut server) = (daemon.client(0), target.accept());
        client.send(b"hello");
        assert_eq!(server.get(5), b"hello");
        server.send(answer);
        server.finish();
        assert_eq!(client.rest(), answer);
        client.finish();
        assert_eq!(server.rest(), b"");
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.code(), Some(0));
    }
    let explained = trace(&format!("{record} explain 1"));
    let lives: Vec<&str> = explained.out.split("Process ").collect();
    assert_eq!((explained.code, lives.len()), (Some(0), 3), "{}", explained.out);
    for (life, (pid, bytes)) in lives[1..].iter().zip(pids.iter().zip(["3 B down", "5 B down"])) {
        assert!(life.starts_with(&format!("{pid}, started 20")), "{life}");
        assert!(life.contains(bytes) && life.matches("It was closed").count() == 1, "{life}");
    }
    let nobody = trace(&format!("{record} explain 7"));
    let text = "Connection 7 has no event in this recording.\n";
    assert_eq!((nobody.code, nobody.out.as_str()), (Some(1), text));
    // It would hide the numbered files.
    let refused = trace(&format!("{record} flags -o {record}"));
    assert!(
        refused.code == Some(2) && refused.err.contains("name of the recording"),
        "{refused:?}"
    );
    let flags = trace(&format!("{record} flags"));
    assert_eq!(flags.out.matches("1 connection opened").count(), 2, "{}", flags.out);
    let log = trace(&format!("{record} log --level trace")).out;
    let times: Vec<&str> = log.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(times.is_sorted(), "{log}");
    let json = trace(&format!("{record} jsonl")).out;
    let of = |pid| format!("\"event\":\"process\",\"source\":\"loop\",\"pid\":{pid},");
    assert!(pids.iter().all(|pid| json.matches(&of(pid)).count() == 1), "{json}");
    let packets = scratch.path("run.pcapng");
    let written = trace(&format!("{record} pcapng -o {}", packets.display()));
    assert_eq!(written.code, Some(0), "{written:?}");
    if !has("capinfos") {
        return;
    }
    let facts = answer(Command::new("capinfos").arg(&packets), b"");
    let facts = String::from_utf8(facts).unwrap();
    assert!(facts.contains("Strict time order:   True"), "{facts}");
    // No address that was made up for one process is used for the other.
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(&packets).args(["-Y", "tcp.analysis.flags"]);
    assert_eq!(String::from_utf8(answer(&mut tshark, b"")).unwrap(), "");
}

/// The lines of a log without their times, and without those that come from no event.
fn of_events<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    const OTHERS: [&str; 4] = ["oneloop ", "limits: ", "totals: ", "stopped after "];
    let lines = lines.filter_map(|line| Some(line.split_once(' ')?.1));
    let text = |line: &str| line.split_once(' ').map_or("", |(_, text)| text.trim()).to_owned();
    let is_of_event = |line: &&str| !OTHERS.iter().any(|other| text(line).starts_with(other));
    lines.filter(is_of_event).collect()
}

#[test]
fn the_log_of_a_recording_explains_what_the_live_log_explains() {
    let mut with_reason = Vec::new();
    for explain in ["", "--explain", "--explain=always"] {
        let scratch = Scratch::new();
        let record = scratch.path("run.rec");
        let record = record.display();
        let line = format!("echo 127.0.0.1:0 -vv {explain} --record {record},limit=16M");
        let mut daemon = TestDaemon::start(&line);
        for _ in 0..2 {
            let mut client = daemon.client(0);
            client.echo(b"hello");
            client.finish();
            client.rest();
        }
        daemon.says("#2 closed: ");
        daemon.signal(Signal::TERM);
        let live = daemon.last_lines();
        let live = of_events(live.iter().map(String::as_str));
        let replayed = trace(&format!("{record} log {explain}"));
        assert_eq!(of_events(replayed.out.lines()), live, "{explain}");
        with_reason.push(live.iter().filter(|line| line.contains("no buffer is kept")).count());
    }
    assert_eq!(with_reason, [0, 1, 2]);
}

#[test]
fn an_output_that_is_a_file_of_the_recording_is_refused_and_nothing_is_lost() {
    let scratch = Scratch::new();
    let record = scratch.path("run.rec");
    let line = format!("echo 127.0.0.1:0 -v --record {},limit=16M", record.display());
    let mut daemon = TestDaemon::start(&line);
    daemon.client(0).echo(b"hello");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let file = scratch.path("run.rec.000001");
    let before = fs::read(&file).unwrap();
    let (linked, pointed) = (scratch.path("linked"), scratch.path("pointed"));
    fs::hard_link(&file, &linked).unwrap();
    std::os::unix::fs::symlink(&file, &pointed).unwrap();
    for source in [&record, &file, &linked, &pointed] {
        for what in ["log", "explain 1", "flags", "jsonl", "pcapng", "perfetto"] {
            for output in [&file, &linked, &pointed] {
                let output = output.display();
                let done = trace(&format!("{} {what} -o {output}", source.display()));
                let expected = format!("oneloop: {output} is a file of the recording; ");
                assert!(done.code == Some(2) && done.err.starts_with(&expected), "{done:?}");
            }
        }
    }
    assert!(fs::read(&file).unwrap() == before, "it is as it was");
    let other = scratch.path("other");
    for _ in 0..2 {
        let done = trace(&format!("{} log -o {}", record.display(), other.display()));
        assert_eq!(done.code, Some(0), "an earlier output is replaced: {done:?}");
    }
}

#[test]
fn a_recording_in_memory_comes_from_the_running_daemon() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0 --record 8M");
    daemon.client(0).echo(b"hello");
    let admin = daemon.at(1);
    let explained = trace(&format!("{admin} explain 1"));
    assert!(explained.code == Some(0) && explained.out.contains("Connection 1: "), "{explained:?}");
    assert_eq!(trace(&format!("{admin} explain 99")).code, Some(1), "no such connection");
}

#[test]
fn what_is_no_recording_is_refused_by_its_name() {
    let scratch = Scratch::new();
    let text = scratch.path("text");
    fs::write(&text, "not a recording").unwrap();
    for (line, code, part) in [
        (format!("{} flags", text.display()), 1, "is not a recording"),
        ("/nowhere/at/all flags".to_owned(), 1, "/nowhere/at/all"),
        ("run.rec explane 7".to_owned(), 2, "did you mean explain?"),
        ("run.rec log --level a=b=c".to_owned(), 2, "invalid directive: a=b=c"),
        ("run.rec explain".to_owned(), 2, "number of a connection"),
        ("run.rec explain x".to_owned(), 2, "not the number of a connection"),
        ("run.rec".to_owned(), 2, "what to convert it into"),
        ("run.rec log --explain=sometimes".to_owned(), 2, "bad value for --explain: sometimes"),
        ("run.rec flags --level debug".to_owned(), 2, "--level does not apply to trace flags"),
        ("run.rec jsonl --explain".to_owned(), 2, "--explain does not apply to trace jsonl"),
        ("run.rec --explain=always explain 7".to_owned(), 2, "only available with log"),
    ] {
        let done = trace(&line);
        assert!(done.code == Some(code) && done.err.contains(part), "{line}: {done:?}");
    }
}
