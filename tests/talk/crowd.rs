//! Chat with many: who does not read holds up nobody, and there is room for so many and no more.

use std::process::Stdio;
use std::thread;

use rustix::process::Signal;

use crate::command::oneloop_after;
use crate::pattern::bytes;
use crate::speaker::Speaker;
use crate::wire::{End, Wire};

#[test]
fn a_client_that_does_not_read_holds_up_nobody_and_is_cut_off() {
    let mut speaker = Speaker::start("chat 127.0.0.1:0");
    let address = speaker.address();
    let mut stuck = Wire::narrow(&address);
    speaker.tells("* #1 ");
    let mut healthy = Wire::connect(&address);
    speaker.tells("* #2 ");
    // More than the buffers of two kernels and the ring.
    let text = bytes(7, 24 << 20);
    let feeding = speaker.feed(text.clone(), false);
    let heard = healthy.get(text.len());
    assert!(heard == text);
    speaker.tells("disconnected: it does not read and fell behind");
    let (had, end) = stuck.ending();
    assert_eq!(end, End::Rst);
    assert!(text.starts_with(&had), "it heard something else");
    // And life goes on.
    healthy.send(b"all of it\n");
    speaker.shows(": all of it\n");
    drop(feeding.join().unwrap());
}

#[test]
fn the_input_is_read_no_faster_than_the_quickest_client_takes_it() {
    let mut speaker = Speaker::start("chat 127.0.0.1:0");
    let mut slow = Wire::narrow(&speaker.address());
    speaker.tells("* #1 ");
    let text = bytes(9, 12 << 20);
    let feeding = speaker.feed(text.clone(), true);
    thread::sleep(std::time::Duration::from_millis(300));
    assert!(slow.get(text.len()) == text);
    feeding.join().unwrap();
}

#[test]
fn last_words_are_waited_for_but_not_for_ever() {
    for again in [false, true] {
        let mut speaker = Speaker::start("chat -vv 127.0.0.1:0");
        let mut stuck = Wire::narrow(&speaker.address());
        speaker.tells("* #1 ");
        // It is alone, so it is not cut off: the input is read no faster than it takes it.
        let feeding = speaker.feed(bytes(8, 24 << 20), false);
        speaker.tells("write would block");
        thread::sleep(std::time::Duration::from_millis(300));
        speaker.signal(Signal::TERM);
        speaker.tells("draining");
        if again {
            speaker.signal(Signal::TERM);
        }
        let ended = speaker.ended();
        assert_eq!(ended.code, Some(if again { 143 } else { 0 }));
        assert_eq!(stuck.ending().1, End::Rst, "a clean end would look like all of it");
        drop(feeding.join().unwrap());
    }
}

#[test]
fn there_is_room_for_so_many_and_who_leaves_makes_room() {
    let mut speaker = Speaker::start("chat -m 2 127.0.0.1:0");
    let address = speaker.address();
    let one = Wire::connect(&address);
    speaker.tells("* #1 ");
    let mut two = Wire::connect(&address);
    speaker.tells("* #2 ");
    let mut three = Wire::connect(&address);
    speaker.tells("accept paused");
    speaker.type_in("hello, two\n");
    assert_eq!(two.get(11), b"hello, two\n");
    assert!(!speaker.told().contains("* #3 "), "it was let in");
    drop(one);
    speaker.tells("* #3 ");
    speaker.type_in("hello, three\n");
    assert_eq!(three.get(13), b"hello, three\n");
}

#[test]
fn warnings_that_were_held_back_are_counted_at_the_end() {
    let speaker = Speaker::start("chat -m 1 127.0.0.1:0");
    let address = speaker.address();
    let mut inside = Wire::connect(&address);
    speaker.tells("* #1 ");
    for number in 2..=4 {
        // Who waits outside is let in when the one inside leaves, and accepting pauses anew.
        let outside = Wire::connect(&address);
        drop(std::mem::replace(&mut inside, outside));
        speaker.tells(&format!("* #{number} "));
    }
    speaker.signal(Signal::TERM);
    drop(inside);
    let ended = speaker.ended();
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
    let mut speaker = Speaker::run(command, Stdio::piped(), Stdio::piped()).reading();
    let address = speaker.address();
    let mut clients: Vec<Wire> = (0..20).map(|_| Wire::connect(&address)).collect();
    speaker.tells("accept paused");
    speaker.type_in("hello\n");
    assert_eq!(clients[0].get(6), b"hello\n");
    drop(clients);
    let mut late = Wire::connect(&address);
    late.send(b"me too\n");
    speaker.shows(": me too\n");

    let command = oneloop_after("ulimit -n 40;", "chat -m 50 127.0.0.1:0");
    let ended = Speaker::run(command, Stdio::null(), Stdio::null()).ended();
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("50"), "{}", ended.err);
}
