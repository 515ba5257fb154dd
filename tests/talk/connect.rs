//! Connect: bytes both ways between any input, any output and any stream.

use std::fs::File;
use std::io::{Seek, Write};
use std::process::Stdio;
use std::thread;

use crate::pattern::bytes;
use crate::scratch::Scratch;
use crate::session::{Session, line};
use crate::target::{RefusingAddress, Target};
use crate::test_stream::End;

#[test]
fn what_is_typed_goes_out_and_what_is_answered_is_shown() {
    for target in [Target::tcp(), Target::unix()] {
        let mut session = Session::start(&line(&target, ""));
        let mut peer = target.accept();
        peer.send(b"welcome\n");
        session.until_stdout("welcome\n");
        session.type_in("hello\n");
        assert_eq!(peer.get(6), b"hello\n");
        peer.send(b"bye\n");
        peer.finish();
        session.end_input();
        assert_eq!(peer.rest(), b"");
        let ended = session.ended();
        assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), &b"welcome\nbye\n"[..], ""));
    }
}

#[test]
fn the_end_of_the_input_is_passed_on_and_the_answer_is_read_to_its_end() {
    let target = Target::tcp();
    let mut session = Session::start(&line(&target, ""));
    session.type_in("ask");
    session.end_input();
    let mut peer = target.accept();
    assert_eq!(peer.rest(), b"ask");
    let answer = bytes(1, 3 << 20);
    peer.send(&answer);
    drop(peer);
    let ended = session.ended();
    assert_eq!(ended.code, Some(0));
    assert!(ended.out == answer, "{} of {} bytes", ended.out.len(), answer.len());
}

#[test]
fn what_is_typed_after_the_others_end_still_arrives() {
    let target = Target::tcp();
    let mut session = Session::start(&line(&target, ""));
    let mut peer = target.accept();
    peer.send(b"last words");
    peer.finish();
    session.until_stdout("last words");
    session.type_in("late");
    assert_eq!(peer.get(4), b"late");
    assert!(session.is_running());
    session.end_input();
    assert_eq!(peer.rest(), b"");
    assert_eq!(session.ended().code, Some(0));
}

#[test]
fn files_and_the_null_device_serve_as_input_and_as_output() {
    let echo = Target::tcp();
    let line = line(&echo, "");
    thread::spawn(move || {
        for _ in 0..4 {
            let mut stream = echo.accept();
            // The peer does not read while it sends, so the session must do both at once.
            let mut room = [0; 1 << 16];
            while let Ok(bytes @ 1..) = std::io::Read::read(&mut stream, &mut room) {
                stream.send(&room[..bytes]);
            }
        }
    });
    let scratch = Scratch::new();
    let text = bytes(2, 5 << 20);
    File::create(scratch.path("in")).unwrap().write_all(&text).unwrap();
    let input = || Stdio::from(File::open(scratch.path("in")).unwrap());
    let output = || Stdio::from(File::create(scratch.path("out")).unwrap());
    let code = |input: Stdio, output: Stdio| Session::with_stdio(&line, input, output).ended().code;
    assert_eq!(code(input(), output()), Some(0));
    assert!(std::fs::read(scratch.path("out")).unwrap() == text);
    assert_eq!(code(input(), Stdio::null()), Some(0));
    assert_eq!(code(Stdio::null(), output()), Some(0));
    assert_eq!(std::fs::read(scratch.path("out")).unwrap(), b"");
    assert_eq!(code(Stdio::null(), Stdio::null()), Some(0));
}

#[test]
fn a_slow_reader_of_the_output_loses_nothing() {
    let target = Target::tcp();
    let mut session = Session::with_stdio(&line(&target, ""), Stdio::null(), Stdio::piped());
    let mut peer = target.accept();
    let answer = bytes(3, 8 << 20);
    let sent = answer.clone();
    let sender = thread::spawn(move || {
        peer.send(&sent);
        peer.rest();
    });
    let mut output = session.take_output();
    let (mut shown, mut room) = (Vec::new(), [0; 1 << 16]);
    while let Ok(bytes @ 1..) = std::io::Read::read(&mut output, &mut room) {
        shown.extend_from_slice(&room[..bytes]);
        if shown.len() % 7 == 0 {
            thread::sleep(std::time::Duration::from_millis(1));
        }
    }
    sender.join().unwrap();
    assert_eq!(session.ended().code, Some(0));
    assert!(shown == answer, "{} of {} bytes", shown.len(), answer.len());
}

#[test]
fn line_ends_are_sent_as_cr_lf_if_asked_for() {
    let target = Target::tcp();
    let mut session = Session::start(&line(&target, "-C"));
    let mut peer = target.accept();
    session.type_in("one\ntwo\r");
    assert_eq!(peer.get(9), b"one\r\ntwo\r");
    session.type_in("\nthree");
    session.end_input();
    assert_eq!(peer.rest(), b"\nthree");
    peer.send(b"answers\nstay");
    drop(peer);
    assert_eq!(session.ended().out, b"answers\nstay");
}

#[test]
fn a_probe_says_what_it_found_and_neither_reads_nor_writes() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("in"), "not to be sent").unwrap();
    for target in [Target::tcp(), Target::unix()] {
        let mut input = File::open(scratch.path("in")).unwrap();
        let ours = Stdio::from(input.try_clone().unwrap());
        let session = Session::with_stdio(&line(&target, "-z"), ours, Stdio::null());
        let ended = session.ended();
        assert_eq!(ended.code, Some(0));
        let found = format!("{}: connected after ", target.address());
        assert!(ended.err.starts_with(&found), "{}", ended.err);
        assert_eq!(ended.err.lines().count(), 1);
        assert_eq!(target.accept().ending(), (Vec::new(), End::Fin));
        assert_eq!(input.stream_position().unwrap(), 0);
    }
    let refusing = RefusingAddress::new();
    let probe = format!("connect -z {}", refusing.address());
    let ended = Session::with_stdio(&probe, Stdio::null(), Stdio::null()).ended();
    assert_eq!(ended.code, Some(7));
    let refused = format!("cannot connect to {}: Connection refused", refusing.address());
    assert_eq!(ended.err, format!("oneloop: {refused}\n"));
}

#[test]
fn the_timing_tells_each_step_and_who_ended_it() {
    let target = Target::tcp();
    let port = target.address().rsplit_once(':').unwrap().1.to_string();
    let mut session = Session::start(&format!("connect -v --timing localhost:{port}"));
    session.type_in("ask");
    let mut peer = target.accept();
    peer.get(3);
    peer.send(b"answer");
    peer.finish();
    session.until_stdout("answer");
    session.until_stderr("#1.b end of file");
    session.end_input();
    peer.rest();
    let ended = session.ended();
    // The lines of the log begin with the year.
    let timing: Vec<&str> = ended.err.lines().filter(|line| !line.starts_with("20")).collect();
    let starts: Vec<&str> = timing.iter().map(|line| line[..10].trim_end()).collect();
    assert_eq!(starts, ["resolve", "connect", "first byte", "close"], "{}", ended.err);
    assert!(timing[1].ends_with(&format!("  tcp://localhost:{port} (127.0.0.1:{port})")));
    let close = "  FIN from peer first; finished; 3 B sent, 6 B received";
    assert!(timing[3].ends_with(close), "{}", ended.err);
}

#[test]
fn the_log_shows_the_life_of_the_connection_if_asked_for() {
    let target = Target::tcp();
    let mut session = Session::start(&line(&target, "-vv --explain=always"));
    let peer = target.accept();
    session.type_in("hello");
    session.end_input();
    drop(peer);
    let stderr = session.ended().err;
    for text in ["#1 opened: stdio", "#1.b connected", "#1.a read 5", "#1.b wrote 5", "#1 closed"] {
        let line = stderr.lines().find(|line| line.contains(text));
        assert!(line.is_some_and(|line| line.contains(" -- ")), "{text}:\n{stderr}");
    }
}

#[test]
fn it_sleeps_while_nothing_moves_whatever_its_input_is() {
    let target = Target::tcp();
    let zero = || Stdio::from(File::open("/dev/zero").unwrap());
    for input in [Stdio::null(), Stdio::piped(), zero()] {
        let session = Session::with_stdio(&line(&target, "-vv"), input, Stdio::piped());
        let _peer = target.accept();
        session.until_stderr("connected");
        assert!(session.idle_turns() < 50);
    }
}

#[test]
fn inherited_descriptors_keep_their_flags() {
    use rustix::fs::{OFlags, fcntl_getfl};
    let target = Target::tcp();
    let (input, _typing) = std::io::pipe().unwrap();
    let (_reading, output) = std::io::pipe().unwrap();
    let (ours, theirs) = (input.try_clone().unwrap(), output.try_clone().unwrap());
    let session = Session::with_stdio(&line(&target, ""), ours.into(), theirs.into());
    let mut peer = target.accept();
    peer.flood(b"x".repeat(1 << 16).as_slice());
    for flags in [fcntl_getfl(&input).unwrap(), fcntl_getfl(&output).unwrap()] {
        assert!(!flags.contains(OFlags::NONBLOCK));
    }
    drop(session);
}
