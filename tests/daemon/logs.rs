//! The log: what each level shows, and that it never delays the loop.

use std::fs::File;
use std::io::{PipeReader, Read, pipe};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;

use crate::command::oneloop;
use crate::pattern::{byte, bytes};
use crate::relay::{RelayedPair, pair};
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

/// Runs an echo service for one client that sends hello and closes. Returns the log.
fn life(options: &str, filters: Option<&str>) -> Vec<String> {
    let scratch = Scratch::new();
    let mut command = oneloop(&format!("echo {} {options}", scratch.unix("x")));
    if let Some(filters) = filters {
        command.env("RUST_LOG", filters);
    }
    let mut daemon = TestDaemon::spawn(command);
    let mut client = until("it serves", || TestStream::try_connect(&scratch.unix("x")).ok());
    client.echo(b"hello");
    client.finish();
    assert_eq!(client.rest(), b"");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    daemon.last_lines()
}

fn count(lines: &[String], text: &str) -> usize {
    lines.iter().filter(|line| line.contains(text)).count()
}

#[test]
fn info_logs_the_start_the_limits_the_stop_and_the_totals_and_no_connections() {
    let lines = life("", None);
    for text in [" started, pid ", " listening on unix:", " limits: at most ", " received SIGTERM"]
    {
        assert_eq!(count(&lines, text), 1, "{text}: {lines:#?}");
    }
    let totals = lines.iter().find(|line| line.contains(" totals: ")).unwrap();
    assert!(totals.contains("1 opened, 1 closed (1 finished), 5 B up, 5 B down"), "{totals}");
    assert_eq!(count(&lines, "#1"), 0);
    assert!(lines.iter().all(|line| line.contains(" INFO  ")), "{lines:#?}");
}

#[test]
fn debug_logs_the_life_of_each_connection_and_trace_each_step_of_each_turn() {
    for (lines, trace) in [
        (life("-v", None), false),
        (life("", Some("debug")), false),
        (life("-vv", None), true),
        (life("-q", Some("trace")), true),
        (life("-vv", Some("oneloop=debug")), false),
    ] {
        for text in ["#1 opened: unix -> ", "#1.a end of file", "#1.a shut down", "#1 closed: "] {
            assert_eq!(count(&lines, text), 1, "{text}: {lines:#?}");
        }
        for text in [" turn 1: slept ", "#1.a readable", "#1.a read 5", "#1.a wrote 5, 0 unsent"] {
            assert_eq!(count(&lines, text) > 0, trace, "{text}: {lines:#?}");
        }
    }
}

#[test]
fn quiet_logs_warnings_alone_and_an_invalid_filter_is_one() {
    assert_eq!(life("-q", None), Vec::<String>::new());
    let lines = life("-q", Some("warn,oneloop=loud"));
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(
        lines[0].ends_with(" WARN  RUST_LOG: invalid directive ignored: oneloop=loud"),
        "{lines:#?}"
    );
}

#[test]
fn quit_is_answered_with_the_state_and_the_totals_also_when_quiet() {
    let scratch = Scratch::new();
    for filters in [None, Some("error")] {
        let mut command = oneloop(&format!("echo {} -q", scratch.unix("x")));
        if let Some(filters) = filters {
            command.env("RUST_LOG", filters);
        }
        let daemon = TestDaemon::spawn(command);
        let mut client = until("it serves", || TestStream::try_connect(&scratch.unix("x")).ok());
        client.echo(b"hello");
        daemon.signal(Signal::QUIT);
        daemon.says("loop: turn ");
        daemon.says("totals: 1 opened, 0 closed, 5 B up, 5 B down");
    }
}

#[test]
fn the_totals_count_the_bytes_of_a_transfer_while_it_lasts() {
    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "tcp"), "");
    client.send(&bytes(1, 3_000_000));
    assert!(target.get(3_000_000) == bytes(1, 3_000_000));
    target.send(b"answer");
    assert_eq!(client.get(6), b"answer");
    relay.daemon.signal(Signal::QUIT);
    relay.daemon.says("in progress: 1 connection, 3000000 B up, 6 B down so far");
    relay.daemon.says("totals: 1 opened, 0 closed, 3000000 B up, 6 B down");
}

#[test]
fn a_client_that_closes_is_not_logged_as_having_reset() {
    let daemon = TestDaemon::start("chargen 127.0.0.1:0 -v");
    let mut client = daemon.client(0);
    client.get(1000);
    // Its FIN comes first; its kernel answers later data with a RST.
    client.finish();
    daemon.says("#1.a end of file");
    drop(client);
    let line = daemon.says("#1 closed: ");
    let sentence = "closed: client closed without waiting for our FIN (Broken pipe), ";
    assert!(line.contains(sentence), "{line}");
}

#[test]
fn explain_always_adds_an_explanation_to_each_line_of_a_step() {
    let lines = life("-vv --explain=always", None);
    let steps = lines.iter().filter(|line| line.contains(" TRACE ") || line.contains(" DEBUG "));
    let mut explained = 0;
    for line in steps {
        assert!(line.contains(" -- "), "{line}");
        explained += 1;
    }
    assert!(explained > 8, "{lines:#?}");
}

#[test]
fn one_connection_can_be_followed_by_its_number_and_ends_once() {
    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "tcp"), "");
    let other = relay.daemon.client(0);
    let second = relay.listener.accept();
    client.send(b"ping");
    assert_eq!(target.get(4), b"ping");
    client.finish();
    assert_eq!(target.rest(), b"");
    drop((target, other, second));
    assert_eq!(client.rest(), b"");
    relay.daemon.says_often(2, " closed: ");
    let lines = relay.daemon.lines();
    let of_first = lines.iter().filter_map(|line| line.split_once(" #1"));
    let facts: Vec<&str> =
        of_first.map(|(_, fact)| fact.split([':', ' ']).nth(1).unwrap()).collect();
    assert_eq!(facts, ["opened", "dialing", "connected", "end", "shut", "end", "shut", "closed"]);
}

#[test]
fn explain_logs_each_sentence_once() {
    let lines = life("-vv --explain", None);
    let sentences = lines.iter().filter_map(|line| line.split_once(" -- "));
    let mut sentences: Vec<&str> = sentences.map(|(_, sentence)| sentence).collect();
    let all = sentences.len();
    assert!(all > 8, "{lines:#?}");
    sentences.sort_unstable();
    sentences.dedup();
    assert_eq!(sentences.len(), all, "{lines:#?}");
    let opened = lines.iter().find(|line| line.contains("#1 opened: ")).unwrap();
    assert!(opened.contains(" -- a client connected"), "{opened}");
    assert!(count(&lines, " turn ") > count(&lines, " returned an event"));
}

#[test]
fn a_bulk_transfer_is_summarised_in_the_log_of_steps() {
    let RelayedPair { mut client, mut target, mut relay } = pair(("tcp", "tcp"), "-vv");
    let sending = std::thread::spawn(move || {
        client.send(&bytes(1, 100_000_000));
        client.finish();
        client.rest()
    });
    assert!(target.rest() == bytes(1, 100_000_000));
    drop(target);
    sending.join().unwrap();
    relay.daemon.says("#1 closed: finished");
    relay.daemon.signal(Signal::TERM);
    let lines = relay.daemon.last_lines();
    let summary = lines.iter().find(|line| line.contains(" #1 bulk: ")).unwrap();
    assert!(summary.contains(" in ") && summary.contains(", a read "), "{summary}");
    // 100 MB are hundreds of reads, and as many writes.
    assert!(count(&lines, "#1.a read ") < 60, "{lines:#?}");
    assert!(count(&lines, "#1.b wrote ") < 60, "{lines:#?}");
    assert_eq!(count(&lines, "log line"), 0);
}

#[test]
fn a_slow_reader_is_logged_once_when_it_stalls_and_once_when_it_resumes() {
    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "tcp"), "");
    let sent = client.flood(&relay.daemon, |at| byte(1, at));
    let line = relay.daemon.says("#1.b stalled: nothing accepted for ");
    assert!(line.contains(" DEBUG ") && line.ends_with(" B unsent"), "{line}");
    assert!(target.get(sent) == bytes(1, sent));
    relay.daemon.says("#1.b resumed after a stall of ");
    client.finish();
    target.finish();
    assert_eq!((client.rest(), target.rest()), (vec![], vec![]));
    let line = relay.daemon.says("#1 closed: finished");
    assert!(line.contains(", b stalled for ") && !line.contains("a stalled"), "{line}");
    assert_eq!(relay.daemon.count("stalled: nothing"), 1);
    assert_eq!(relay.daemon.count(" resumed after "), 1);
}

#[test]
fn a_client_that_never_reads_is_logged_as_stalled_until_its_end() {
    let daemon = TestDaemon::start("chargen 127.0.0.1:0 -v");
    let client = daemon.client(0);
    daemon.says("#1.a stalled: nothing accepted for ");
    client.reset();
    let line = daemon.says("#1 closed: reset by client");
    assert!(line.contains(", a stalled for "), "{line}");
}

#[test]
fn a_bulk_with_full_buffers_all_the_time_is_no_stall() {
    let RelayedPair { mut client, mut target, relay } = pair(("tcp", "tcp"), "");
    let writing = std::thread::spawn(move || {
        client.send(&bytes(1, 20_000_000));
        client
    });
    let mut got = Vec::new();
    while got.len() < 20_000_000 {
        got.extend(target.get(1_000_000));
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(got == bytes(1, 20_000_000));
    let _client = writing.join().unwrap();
    assert_eq!(relay.daemon.count("stalled"), 0);
}

/// A daemon that logs every step into a pipe, and the other end of it.
fn piped() -> (TestDaemon, Scratch, PipeReader) {
    let scratch = Scratch::new();
    let (reader, writer) = pipe().unwrap();
    let line = format!("echo {} -vv --explain=always", scratch.unix("x"));
    let child = oneloop(&line).stderr(writer).spawn().unwrap();
    (TestDaemon::silent(child, line), scratch, reader)
}

fn busy(scratch: &Scratch) {
    let mut client = until("it serves", || TestStream::try_connect(&scratch.unix("x")).ok());
    for number in 0..2000 {
        client.echo(&bytes(number, 50));
    }
}

#[test]
fn a_full_log_pipe_loses_lines_that_are_counted_and_reported_and_nothing_else() {
    let (mut daemon, scratch, mut reader) = piped();
    // 2,000 messages make far more lines than a pipe holds, and the pipe is not read.
    busy(&scratch);
    let (pipe, read) = (reader.try_clone().unwrap(), Arc::new(Mutex::new(Vec::new())));
    let text = read.clone();
    let reading = std::thread::spawn(move || {
        let mut room = [0; 65_536];
        while let Ok(bytes @ 1..) = reader.read(&mut room) {
            text.lock().unwrap().extend_from_slice(&room[..bytes]);
        }
    });
    // Once the pipe has room again, the dropped lines are reported.
    busy(&scratch);
    until("the reader has caught up", || {
        std::thread::sleep(Duration::from_millis(50));
        (daemon.is_asleep() && rustix::io::ioctl_fionread(&pipe).unwrap() == 0).then_some(())
    });
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    reading.join().unwrap();
    let text = String::from_utf8(read.lock().unwrap().clone()).unwrap();
    let lost = |line: &str| {
        let (_, told) = line.split_once(" WARN  ")?;
        told.split_once(" log line")?.0.parse::<u64>().ok()
    };
    let lost: u64 = text.lines().filter_map(lost).sum();
    assert!(lost > 1000, "{lost}");
    let totals = text.lines().find(|line| line.contains(" totals: ")).unwrap();
    assert!(totals.ends_with(" log lines lost"), "{totals}");
    let whole = |line: &str| line.starts_with("20") && line.as_bytes()[10] == b'T';
    assert!(text.lines().all(whole), "a line was torn");
}

#[test]
fn a_closed_log_pipe_a_full_disk_and_a_socket_that_is_not_read_do_not_end_or_delay_the_loop() {
    let (mut daemon, scratch, reader) = piped();
    drop(reader);
    busy(&scratch);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let (_unread, socket) = std::os::unix::net::UnixStream::pair().unwrap();
    let full = File::options().write(true).open("/dev/full").unwrap();
    for stderr in [Stdio::from(full), Stdio::from(std::os::fd::OwnedFd::from(socket))] {
        let scratch = Scratch::new();
        let line = format!("echo {} -vv --explain=always", scratch.unix("x"));
        let child = oneloop(&line).stderr(stderr).spawn().unwrap();
        let mut daemon = TestDaemon::silent(child, line);
        busy(&scratch);
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.code(), Some(0));
    }
}

#[test]
fn the_totals_are_true_to_the_byte() {
    let mut daemon = TestDaemon::start("run 127.0.0.1:0=echo 127.0.0.1:0=discard");
    let mut sum = 0;
    for number in 0..10 {
        let length = 1000 + 977 * number as usize;
        let mut echo = daemon.client(0);
        echo.echo(&bytes(number, length));
        let mut discard = daemon.client(1);
        discard.send(&bytes(number, length));
        for client in [&mut echo, &mut discard] {
            client.finish();
            assert_eq!(client.rest(), b"");
        }
        sum += length;
    }
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
    let lines = daemon.last_lines();
    let totals = lines.iter().find(|line| line.contains(" totals: ")).unwrap();
    let expected = format!("20 closed (20 finished), {} B up, {sum} B down", 2 * sum);
    assert!(totals.contains(&expected), "{totals}");
}
