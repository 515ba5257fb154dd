//! Chat: the input goes to every client, and the lines of clients are printed with their address.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::command::oneloop_redirected;
use crate::scratch::Scratch;
use crate::session::Session;
use crate::test_stream::{End, TestStream};

/// A client that has joined, and its name in the chat.
fn join(session: &Session, number: u32) -> (TestStream, String) {
    let client = TestStream::connect(&session.address());
    let line = session.until_stderr(&format!("* #{number} "));
    let name = line.strip_prefix("* ").unwrap().strip_suffix(" joined").unwrap().to_string();
    if client.is_tcp() {
        assert_eq!(name, format!("#{number} {}", client.local()));
    }
    (client, name)
}

#[test]
fn what_is_typed_goes_to_all_and_what_they_say_is_shown_to_us_alone() {
    let scratch = Scratch::new();
    for line in ["chat 127.0.0.1:0".to_string(), format!("chat {}", scratch.unix("chat"))] {
        let mut session = Session::start(&line);
        let (mut one, first) = join(&session, 1);
        session.type_in("hello, one\n");
        assert_eq!(one.get(11), b"hello, one\n");
        let (mut two, second) = join(&session, 2);
        one.send(b"i am one\n");
        session.until_stdout(&format!("{first}: i am one\n"));
        two.send(b"and i two\r\n");
        session.until_stdout(&format!("{second}: and i two\n"));
        session.type_in("hello, all\n");
        assert_eq!(one.get(11), b"hello, all\n");
        assert_eq!(two.get(11), b"hello, all\n");
        drop(one);
        session.until_stderr(&format!("* {first} left"));
        session.type_in("still there?\n");
        assert_eq!(two.get(13), b"still there?\n");
        let shown = session.stdout();
        assert_eq!(shown, format!("{first}: i am one\n{second}: and i two\n"));
    }
}

#[test]
fn what_clients_say_can_forge_neither_lines_nor_commands_of_the_terminal() {
    let session = Session::start("chat 127.0.0.1:0");
    let (mut client, name) = join(&session, 1);
    client.send(b"a\x1b[2J\rb\\\t\xff caf\xc3\xa9\n");
    session.until_stdout(&format!("{name}: a\\x1b[2J\\rb\\\\\\t\\xff café\n"));
}

#[test]
fn a_long_line_is_shown_in_pieces_and_a_line_without_an_end_at_the_end() {
    let session = Session::start("chat 127.0.0.1:0");
    let (mut client, name) = join(&session, 1);
    client.send(&[b'x'; 2500]);
    let piece = "x".repeat(1024);
    session.until_stdout(&format!("{name}: {piece}\\\n{name}: {piece}\\\n"));
    client.send(b"y\nunfinished");
    session.until_stdout(&format!("{name}: {}y\n", "x".repeat(2500 - 2048)));
    client.finish();
    session.until_stdout(&format!("{name}: unfinished\n"));
}

#[test]
fn who_has_ended_its_side_still_hears() {
    let mut session = Session::start("chat 127.0.0.1:0");
    let (mut client, name) = join(&session, 1);
    client.finish();
    session.until_stderr(&format!("* {name} left"));
    session.type_in("still there?\n");
    assert_eq!(client.get(13), b"still there?\n");
}

#[test]
fn who_has_left_and_then_closes_is_closed() {
    let scratch = Scratch::new();
    let session = Session::start(&format!("chat -v {}", scratch.unix("chat")));
    let (client, name) = join(&session, 1);
    client.finish();
    session.until_stderr(&format!("* {name} left"));
    assert!(!session.stderr().contains("finished"));
    drop(client);
    session.until_stderr("finished");
}

#[test]
fn a_client_that_is_reset_has_left() {
    let session = Session::start("chat 127.0.0.1:0");
    let (client, name) = join(&session, 1);
    client.reset();
    session.until_stderr(&format!("* {name} left: Connection reset by peer"));
}

#[test]
fn an_input_that_is_no_terminal_may_end_and_the_chat_stays() {
    let session = Session::with_stdio("chat -vv 127.0.0.1:0", Stdio::null(), Stdio::piped());
    let session = session.capture_output();
    let (mut client, name) = join(&session, 1);
    client.send(b"anybody?\n");
    session.until_stdout(&format!("{name}: anybody?\n"));
    assert!(session.idle_turns() < 50);
}

#[test]
fn nothing_is_read_from_a_file_before_somebody_is_there_to_hear_it() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("in"), "one\ntwo\n").unwrap();
    let input = File::open(scratch.path("in")).unwrap();
    let session = Session::with_stdio("chat -vv -C 127.0.0.1:0", input.into(), Stdio::piped());
    session.until_stderr(" listening on ");
    assert!(session.idle_turns() < 50);
    let (mut client, _) = join(&session, 1);
    assert_eq!(client.get(10), b"one\r\ntwo\r\n");
}

#[test]
fn who_leaves_is_heard_to_the_last_word_before_it_is_told() {
    let scratch = Scratch::new();
    for (listen, message) in [
        (scratch.unix("chat").as_str(), " left"),
        ("127.0.0.1:0", " left"),
        ("127.0.0.1:0", " left: Connection reset"),
    ] {
        // One pipe for both, as at a terminal, to check the order.
        let command = oneloop_redirected("", &format!("chat {listen}"), "2>&1");
        let session = Session::run(command, Stdio::piped(), Stdio::piped()).capture_output();
        session.until_stdout(": chat\n");
        let shown = session.stdout();
        let (_, address) = shown.trim_end().split_once(" listening on ").unwrap();
        let mut client = TestStream::connect(address.strip_suffix(": chat").unwrap());
        client.send(b"a line\nunfinished");
        session.until_stdout("a line");
        match message {
            " left" => drop(client),
            _ => client.reset(),
        }
        session.until_stdout(message);
        let shown = session.stdout();
        let (before, _) = shown.split_once(message).unwrap();
        assert!(before.contains(": unfinished\n"), "{shown}");
    }
}

#[test]
fn a_client_that_was_behind_at_the_end_receives_the_rest_and_then_a_fin() {
    let mut session = Session::start("chat 127.0.0.1:0 -v");
    let (mut client, _) = join(&session, 1);
    // More than the sockets hold. What is read of it is kept for the client.
    let feeding = session.feed(vec![b'x'; 20 << 20], false);
    assert_eq!(client.get(1), b"x");
    std::thread::sleep(std::time::Duration::from_millis(300));
    session.signal(Signal::TERM);
    let (rest, end) = client.ending();
    assert!(rest.len() > 100_000 && end == End::Fin, "{} bytes, {end:?}", rest.len());
    drop(client);
    let ended = session.ended();
    assert_eq!(ended.code, Some(0));
    assert!(!ended.err.contains(" closed: cut"), "not when the time was over: {}", ended.err);
    drop(feeding.join());
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut session = Session::start("chat 127.0.0.1:0");
        let (mut client, _) = join(&session, 1);
        session.type_in("last words\n");
        assert_eq!(client.get(11), b"last words\n");
        session.signal(signal);
        assert_eq!(client.ending(), (Vec::new(), End::Fin));
        drop(client);
        assert_eq!(session.ended().code, Some(0));
    }
}

#[test]
fn a_socket_file_goes_away_with_the_chat() {
    let scratch = Scratch::new();
    let session = Session::start(&format!("chat {}", scratch.unix("chat")));
    session.address();
    assert!(scratch.path("chat").exists());
    session.signal(Signal::TERM);
    assert_eq!(session.ended().code, Some(0));
    assert!(!scratch.path("chat").exists());
}

#[test]
fn who_says_nothing_for_too_long_is_let_go_if_asked_for() {
    let session = Session::start("chat -i 400ms 127.0.0.1:0");
    let (mut silent, name) = join(&session, 1);
    session.until_stderr(&format!("* {name} disconnected: idle for 400ms"));
    assert_eq!(silent.ending(), (Vec::new(), End::Fin));
}

#[test]
fn a_slow_screen_loses_nothing_and_holds_up_nobody_but_those_who_talk() {
    let mut session = Session::with_stdio("chat 127.0.0.1:0", Stdio::piped(), Stdio::piped());
    let (mut talker, name) = join(&session, 1);
    let (mut hearer, _) = join(&session, 2);
    // Numbered lines, until the chat stops reading because its output is not read.
    let text: Vec<u8> = (0..2_000_000).flat_map(|line| format!("{line}\n").into_bytes()).collect();
    let taken = talker.flood(&text);
    assert!(taken < text.len(), "{taken} bytes were taken");
    session.type_in("hello\n");
    assert_eq!(hearer.get(6), b"hello\n");
    let mut output = session.take_output();
    talker.finish();
    let (mut shown, mut room) = (Vec::new(), vec![0; 1 << 16]);
    let last = text[..taken].strip_suffix(b"\n").unwrap_or(&text[..taken]);
    let lines = last.iter().filter(|&&byte| byte == b'\n').count() + 1;
    while shown.iter().filter(|&&byte| byte == b'\n').count() < lines {
        let bytes = std::io::Read::read(&mut output, &mut room).unwrap();
        shown.extend_from_slice(&room[..bytes]);
    }
    let expected: String =
        String::from_utf8_lossy(last).lines().map(|line| format!("{name}: {line}\n")).collect();
    assert!(shown == expected.as_bytes(), "{} of {} bytes", shown.len(), expected.len());
}

#[test]
fn a_screen_that_is_closed_ends_it_quietly() {
    let mut session = Session::with_stdio("chat -q 127.0.0.1:0", Stdio::piped(), Stdio::piped());
    std::thread::sleep(Duration::from_millis(100));
    session.close_output();
    let ended = session.ended();
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let first = Session::start("chat 127.0.0.1:0");
    let address = first.address();
    let ended =
        Session::with_stdio(&format!("chat {address}"), Stdio::null(), Stdio::null()).ended();
    assert_eq!(ended.code, Some(1));
    let message = format!("oneloop: cannot listen on {address}: Address already in use\n");
    assert!(ended.err.ends_with(&message), "{}", ended.err);
}
