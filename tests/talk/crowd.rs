//! Chat with many clients: slow readers delay no other, and the client limit is kept.

use std::process::Stdio;
use std::thread;

use rustix::process::Signal;

use crate::command::oneloop_after;
use crate::pattern::bytes;
use crate::session::Session;
use crate::test_stream::{End, TestStream};

#[test]
fn a_client_that_does_not_read_holds_up_nobody_and_is_cut_off() {
    let mut session = Session::start("chat 127.0.0.1:0");
    let address = session.address();
    let mut stuck = TestStream::narrow(&address);
    session.until_stderr("* #1 ");
    let mut healthy = TestStream::connect(&address);
    session.until_stderr("* #2 ");
    // More than the buffers of two kernels and the ring.
    let text = bytes(7, 24 << 20);
    let feeding = session.feed(text.clone(), false);
    let captured = healthy.get(text.len());
    assert!(captured == text);
    session.until_stderr("disconnected: it does not read and fell behind");
    let (had, end) = stuck.ending();
    assert_eq!(end, End::Rst);
    assert!(text.starts_with(&had), "it captured something else");
    // The chat continues.
    healthy.send(b"all of it\n");
    session.until_stdout(": all of it\n");
    drop(feeding.join().unwrap());
}

#[test]
fn the_input_is_read_no_faster_than_the_quickest_client_takes_it() {
    let mut session = Session::start("chat 127.0.0.1:0");
    let mut slow = TestStream::narrow(&session.address());
    session.until_stderr("* #1 ");
    let text = bytes(9, 12 << 20);
    let feeding = session.feed(text.clone(), true);
    thread::sleep(std::time::Duration::from_millis(300));
    assert!(slow.get(text.len()) == text);
    feeding.join().unwrap();
}

#[test]
fn last_words_are_waited_for_but_not_for_ever() {
    for again in [false, true] {
        let mut session = Session::start("chat -vv 127.0.0.1:0");
        let mut stuck = TestStream::narrow(&session.address());
        session.until_stderr("* #1 ");
        // The only client is not reset: the input is read no faster than it receives.
        let feeding = session.feed(bytes(8, 24 << 20), false);
        session.until_stderr("write would block");
        thread::sleep(std::time::Duration::from_millis(300));
        session.signal(Signal::TERM);
        session.until_stderr("draining");
        if again {
            session.signal(Signal::TERM);
        }
        let ended = session.ended();
        assert_eq!(ended.code, Some(if again { 143 } else { 0 }));
        assert_eq!(stuck.ending().1, End::Rst, "a clean end would look like all of it");
        drop(feeding.join().unwrap());
    }
}

#[test]
fn there_is_room_for_so_many_and_who_leaves_makes_room() {
    let mut session = Session::start("chat -m 2 127.0.0.1:0");
    let address = session.address();
    let one = TestStream::connect(&address);
    session.until_stderr("* #1 ");
    let mut two = TestStream::connect(&address);
    session.until_stderr("* #2 ");
    let mut three = TestStream::connect(&address);
    session.until_stderr("accept paused");
    session.type_in("hello, two\n");
    assert_eq!(two.get(11), b"hello, two\n");
    assert!(!session.stderr().contains("* #3 "), "it was let in");
    drop(one);
    session.until_stderr("* #3 ");
    session.type_in("hello, three\n");
    assert_eq!(three.get(13), b"hello, three\n");
}

#[test]
fn warnings_that_were_held_back_are_counted_at_the_end() {
    let session = Session::start("chat -m 1 127.0.0.1:0");
    let address = session.address();
    let mut inside = TestStream::connect(&address);
    session.until_stderr("* #1 ");
    for number in 2..=4 {
        // A waiting client is accepted when the other leaves, and accepting pauses again.
        let outside = TestStream::connect(&address);
        drop(std::mem::replace(&mut inside, outside));
        session.until_stderr(&format!("* #{number} "));
    }
    session.signal(Signal::TERM);
    drop(inside);
    let ended = session.ended();
    assert_eq!(ended.code, Some(0));
    let pauses: Vec<&str> =
        ended.err.lines().filter(|line| line.contains(" accept paused")).collect();
    assert_eq!(pauses.len(), 2, "{}", ended.err);
    assert!(pauses[1].contains(" WARN  accept paused: "), "{}", ended.err);
    assert!(pauses[1].ends_with(" more times"), "{}", ended.err);
}

#[test]
fn where_files_are_few_fewer_are_let_in() {
    let command = oneloop_after("ulimit -n 40;", "chat 127.0.0.1:0");
    let mut session = Session::run(command, Stdio::piped(), Stdio::piped()).capture_output();
    let address = session.address();
    let mut clients: Vec<TestStream> = (0..20).map(|_| TestStream::connect(&address)).collect();
    session.until_stderr("accept paused");
    session.type_in("hello\n");
    assert_eq!(clients[0].get(6), b"hello\n");
    drop(clients);
    let mut late = TestStream::connect(&address);
    late.send(b"me too\n");
    session.until_stdout(": me too\n");

    let command = oneloop_after("ulimit -n 40;", "chat -m 50 127.0.0.1:0");
    let ended = Session::run(command, Stdio::null(), Stdio::null()).ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("50"), "{}", ended.err);
}
