//! How connect ends, and its exit codes.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::black_hole::BlackHole;
use crate::command::oneloop_redirected;
use crate::scratch::Scratch;
use crate::session::{Session, ended, line};
use crate::target::{RefusingAddress, Target};
use crate::test_stream::End;

#[test]
fn a_target_that_cannot_be_reached_is_named_with_the_reason() {
    let (refusing, scratch) = (RefusingAddress::new(), Scratch::new());
    let refusing = refusing.address();
    let nowhere = scratch.unix("none");
    for (target, why, code) in [
        (refusing.as_str(), "Connection refused", 7),
        (nowhere.as_str(), "No such file or directory", 7),
        ("tcp://no-such-name.invalid:7", "", 6),
        ("udp://no-such-name.invalid:7", "", 6),
    ] {
        let ended = ended(&format!("connect {target}"));
        assert_eq!(ended.code, Some(code), "{target}");
        let message = format!("oneloop: cannot connect to {target}: {why}");
        assert!(ended.err.starts_with(&message), "{}", ended.err);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    }
}

#[test]
fn what_is_typed_before_there_is_a_connection_is_not_lost_to_a_target_that_never_comes() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("in"), "text").unwrap();
    let mut input = std::fs::File::open(scratch.path("in")).unwrap();
    let ours = Stdio::from(input.try_clone().unwrap());
    let refusing = RefusingAddress::new();
    let line = format!("connect {}", refusing.address());
    assert_eq!(Session::with_stdio(&line, ours, Stdio::null()).ended().code, Some(7));
    assert_eq!(std::io::Seek::stream_position(&mut input).unwrap(), 0);
}

#[test]
fn a_target_that_never_answers_is_given_up() {
    let hole = BlackHole::new();
    std::thread::sleep(Duration::from_millis(50));
    let address = hole.address();
    let ended = ended(&format!("connect -w 300ms {address}"));
    let message = format!("oneloop: cannot connect to {address}: no answer within 300ms\n");
    assert_eq!((ended.code, ended.err), (Some(28), message));
}

#[test]
fn a_reset_is_no_end_and_what_came_before_it_is_shown() {
    let target = Target::tcp();
    let session = Session::start(&line(&target, ""));
    let mut peer = target.accept();
    peer.send(b"half a sen");
    session.until_stdout("half a sen");
    peer.reset();
    let ended = session.ended();
    let message =
        format!("oneloop: connection to {} lost: Connection reset by peer\n", target.address());
    assert_eq!((ended.code, &*ended.out, ended.err), (Some(56), &b"half a sen"[..], message));
}

#[test]
fn silence_ends_it_only_if_asked_for() {
    let target = Target::tcp();
    let session = Session::start(&line(&target, "-i 300ms"));
    let mut peer = target.accept();
    let ended = session.ended();
    assert_eq!(ended.code, Some(28));
    assert!(ended.err.ends_with(": no data for 300ms\n"), "{}", ended.err);
    assert_eq!(peer.ending(), (Vec::new(), End::Rst));
}

#[test]
fn a_signal_ends_it_at_once_even_if_nobody_reads_the_output() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::QUIT, 131)] {
        let target = Target::tcp();
        let session = Session::with_stdio(&line(&target, ""), Stdio::piped(), Stdio::piped());
        let mut peer = target.accept();
        peer.flood(b"x".repeat(1 << 16).as_slice());
        session.signal(signal);
        assert_eq!(session.ended().code, Some(code));
        assert_eq!(peer.ending().1, End::Rst);
    }
}

#[test]
fn a_signal_that_cuts_nothing_off_ends_it_in_order() {
    let target = Target::tcp();
    let mut session = Session::start(&line(&target, "--timing"));
    let mut peer = target.accept();
    session.type_in("all of it");
    assert_eq!(peer.get(9), b"all of it");
    session.signal(Signal::INT);
    assert_eq!(peer.ending(), (Vec::new(), End::Fin));
    let ended = session.ended();
    assert_eq!(ended.code, Some(130));
    assert!(ended.err.contains("drained; 9 B sent, 0 B received\n"), "{}", ended.err);
}

#[test]
fn a_hang_up_away_from_any_terminal_ends_nothing() {
    let target = Target::tcp();
    let mut session = Session::start(&line(&target, "-v"));
    let mut peer = target.accept();
    session.until_stderr("connected");
    session.signal(Signal::HUP);
    session.until_stderr("SIGHUP");
    session.type_in("still there");
    assert_eq!(peer.get(11), b"still there");
    assert!(session.is_running());
}

#[test]
fn a_reader_that_has_had_enough_ends_it_quietly() {
    for full in [false, true] {
        let target = Target::tcp();
        let mut session = Session::with_stdio(&line(&target, ""), Stdio::piped(), Stdio::piped());
        let mut peer = target.accept();
        if full {
            peer.flood(b"x".repeat(1 << 16).as_slice());
        }
        session.close_output();
        let ended = session.ended();
        assert_eq!((ended.code, &*ended.err), (Some(0), ""), "full: {full}");
    }
}

#[test]
fn an_output_that_fails_is_told() {
    let target = Target::tcp();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let session = Session::with_stdio(&line(&target, ""), Stdio::piped(), full.into());
    let mut peer = target.accept();
    peer.send(b"text");
    let ended = session.ended();
    let message = "oneloop: standard input or output failed: No space left on device\n";
    assert_eq!((ended.code, &*ended.err), (Some(1), message));
    assert_eq!(peer.ending(), (Vec::new(), End::Rst));
}

#[test]
fn an_input_that_fails_is_told() {
    let target = Target::tcp();
    let directory = std::fs::File::open("/").unwrap();
    let ended = Session::with_stdio(&line(&target, ""), directory.into(), Stdio::piped()).ended();
    let message = "oneloop: standard input or output failed: Is a directory\n";
    assert_eq!((ended.code, &*ended.err), (Some(1), message));
}

#[test]
fn without_half_close_the_end_of_the_input_is_kept_from_the_other_side() {
    let target = Target::tcp();
    let mut session = Session::start(&line(&target, "--no-half-close -vv"));
    let mut peer = target.accept();
    session.type_in("ask");
    session.end_input();
    assert_eq!(peer.get(3), b"ask");
    assert!(session.idle_turns() < 50);
    peer.set_patience(Some(Duration::from_millis(50)));
    assert!(std::io::Read::read(&mut peer, &mut [0]).is_err(), "it received a clean end");
    peer.send(b"answer");
    drop(peer);
    let ended = session.ended();
    assert_eq!((ended.code, &*ended.out), (Some(0), &b"answer"[..]));
}

#[test]
fn who_lingers_too_long_after_our_end_is_not_waited_for() {
    for options in ["--linger 300ms", "--linger 300ms --no-half-close"] {
        let target = Target::tcp();
        let mut session = Session::start(&line(&target, options));
        let mut peer = target.accept();
        peer.send(b"answer");
        session.until_stdout("answer");
        session.end_input();
        let ended = session.ended();
        assert_eq!((ended.code, &*ended.out), (Some(0), &b"answer"[..]), "{options}");
    }
}

#[test]
fn closed_descriptors_are_an_empty_input_and_an_output_for_nobody() {
    let target = Target::tcp();
    let command = oneloop_redirected("", &line(&target, ""), "<&- >&-");
    let session = Session::run(command, Stdio::null(), Stdio::null());
    let mut peer = target.accept();
    assert_eq!(peer.rest(), b"");
    peer.send(b"text");
    drop(peer);
    assert_eq!(session.ended().code, Some(0));
}
