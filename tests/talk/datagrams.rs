//! Connect over UDP and Unix datagram sockets: messages have edges.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

use crate::pattern::bytes;
use crate::scratch::Scratch;
use crate::speaker::{Speaker, ended};
use crate::wait::PATIENCE;

fn home() -> (UdpSocket, String) {
    let home = UdpSocket::bind("127.0.0.1:0").unwrap();
    home.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = format!("udp://{}", home.local_addr().unwrap());
    (home, address)
}

fn receive(home: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut room = vec![0; 1 << 16];
    let (bytes, from) = home.recv_from(&mut room).unwrap();
    room.truncate(bytes);
    (room, from)
}

/// An address that refuses: the socket there hears one other only.
fn nobody() -> (UdpSocket, String) {
    let (deaf, address) = home();
    deaf.connect("127.0.0.1:9").unwrap();
    (deaf, address)
}

#[test]
fn what_is_typed_at_once_is_a_datagram_and_empty_ones_show_nothing() {
    let (home, address) = home();
    let mut speaker = Speaker::start(&format!("connect {address}"));
    let mut from = None;
    for text in ["one\n", "two\nlines\n", "no line"] {
        speaker.type_in(text);
        let (letter, sender) = receive(&home);
        assert_eq!(String::from_utf8(letter).unwrap(), text);
        from = Some(sender);
    }
    let answer = |text: &[u8]| home.send_to(text, from.unwrap()).unwrap();
    answer(b"an");
    answer(b"");
    answer(b"swer\n");
    speaker.shows("answer\n");
    speaker.type_in("-C is off\n");
    assert_eq!(receive(&home).0, b"-C is off\n");
    speaker.end_input();
    let ended = speaker.ended();
    assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), &b"answer\n"[..], ""));
}

#[test]
fn a_file_is_one_datagram_as_far_as_one_can_hold_it() {
    let ((home, address), scratch) = (home(), Scratch::new());
    let text = bytes(5, 65_507 + 100);
    std::fs::write(scratch.path("in"), &text).unwrap();
    let input = File::open(scratch.path("in")).unwrap();
    let line = format!("connect --linger 3s {address}");
    let speaker = Speaker::between(&line, input.into(), Stdio::piped()).reading();
    for expected in [&text[..65_507], &text[65_507..]] {
        let (letter, from) = receive(&home);
        assert!(letter == expected, "{} bytes", letter.len());
        home.send_to(&letter, from).unwrap();
    }
    let ended = speaker.ended();
    assert!(ended.code == Some(0) && ended.out == text, "{} bytes", ended.out.len());
}

#[test]
fn answers_are_waited_for_after_the_end_of_the_input() {
    let (home, address) = home();
    let mut speaker = Speaker::start(&format!("connect -C --linger 3s {address}"));
    speaker.type_in("ask\n");
    speaker.end_input();
    let (letter, from) = receive(&home);
    assert_eq!(letter, b"ask\r\n");
    home.send_to(b"late", from).unwrap();
    let ended = speaker.ended();
    assert_eq!((ended.code, &*ended.out), (Some(0), &b"late"[..]));
}

#[test]
fn a_refusal_comes_back_and_is_told() {
    let (_deaf, address) = nobody();
    let mut speaker = Speaker::start(&format!("connect {address}"));
    speaker.type_in("anybody?\n");
    let ended = speaker.ended();
    let told = format!("oneloop: cannot connect to {address}: Connection refused\n");
    assert_eq!((ended.code, ended.err), (Some(7), told));
}

#[test]
fn a_probe_tells_a_refusal_an_answer_and_silence_apart() {
    let (_deaf, address) = nobody();
    assert_eq!(ended(&format!("connect -z {address}")).code, Some(7));

    let (home, address) = home();
    let silent = ended(&format!("connect -z --linger 200ms {address}"));
    let why = "no reply or refusal within 200ms";
    let told = format!("oneloop: no answer from {address}: {why}\n");
    assert_eq!((silent.code, silent.err), (Some(28), told));
    assert_eq!(receive(&home).0, b"");

    let line = format!("connect -z --linger 60s {address}");
    let speaker = Speaker::between(&line, Stdio::null(), Stdio::piped()).reading();
    home.send_to(b"here", receive(&home).1).unwrap();
    let answered = speaker.ended();
    assert_eq!((answered.code, &*answered.out), (Some(0), &b""[..]));
    assert!(answered.err.starts_with(&format!("{address}: answered after ")), "{}", answered.err);
}

#[test]
fn silence_ends_it_only_if_asked_for() {
    let (_home, address) = home();
    let speaker = Speaker::start(&format!("connect -i 300ms {address}"));
    let ended = speaker.ended();
    let told = format!("oneloop: no answer from {address}: no data for 300ms\n");
    assert_eq!((ended.code, ended.err), (Some(28), told));
}

#[test]
fn silence_behind_an_answer_is_an_ordinary_end() {
    let (home, address) = home();
    let mut speaker = Speaker::start(&format!("connect -i 300ms {address}"));
    speaker.type_in("ask");
    home.send_to(b"answer", receive(&home).1).unwrap();
    let ended = speaker.ended();
    assert_eq!((ended.code, &*ended.out, &*ended.err), (Some(0), &b"answer"[..], ""));
}

#[test]
fn who_is_asked_and_says_nothing_fails_only_those_who_set_a_time_for_it() {
    let (_home, address) = home();
    for (options, code) in [("--linger 200ms", 0), ("-i 200ms", 28), ("-z -i 200ms", 28)] {
        let mut speaker = Speaker::start(&format!("connect {options} {address}"));
        if !options.starts_with("-z") {
            speaker.type_in("ask");
        }
        speaker.end_input();
        assert_eq!(speaker.ended().code, Some(code), "{options}");
    }
}

#[test]
fn unix_datagrams_are_sent_and_answered() {
    let scratch = Scratch::new();
    let home = UnixDatagram::bind(scratch.path("home")).unwrap();
    home.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = format!("unix-dgram:{}", scratch.path("home").display());
    assert_eq!(ended(&format!("connect -z {address}")).code, Some(0));
    let mut speaker = Speaker::start(&format!("connect --timing {address}"));
    speaker.type_in("one\n");
    let mut room = [0; 64];
    let (bytes, from) = home.recv_from(&mut room).unwrap();
    assert_eq!(&room[..bytes], b"one\n");
    home.send_to_addr(b"two", &from).unwrap();
    speaker.shows("two");
    speaker.end_input();
    let ended = speaker.ended();
    assert_eq!(ended.code, Some(0));
    assert!(ended.err.ends_with("finished; 4 B sent, 3 B received\n"), "{}", ended.err);
    let nowhere = format!("unix-dgram:{}", scratch.path("none").display());
    assert_eq!(self::ended(&format!("connect {nowhere}")).code, Some(7));
}

#[test]
fn it_sleeps_while_nothing_moves_and_ends_if_nobody_reads() {
    let (home, address) = home();
    let line = format!("connect -vv --linger off {address}");
    let mut speaker = Speaker::between(&line, Stdio::piped(), Stdio::piped());
    speaker.type_in("x");
    let (_, from) = receive(&home);
    // More than the pipe takes: the rest waits, or is lost as datagrams are.
    for _ in 0..50 {
        home.send_to(&[b'x'; 8000], from).unwrap();
    }
    assert!(speaker.turns_at_rest() < 50);
    speaker.end_input();
    assert!(speaker.turns_at_rest() < 50);
    speaker.close_output();
    assert_eq!(speaker.ended().code, Some(0));
}
