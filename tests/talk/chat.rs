//! Chat: what is typed goes to every client, what each one says is shown with its name.

use std::fs::File;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;

use crate::command::oneloop_redirected;
use crate::scratch::Scratch;
use crate::speaker::Speaker;
use crate::wire::{End, Wire};

/// A client that has been let in, and what the chat calls it.
fn join(speaker: &Speaker, number: u32) -> (Wire, String) {
    let client = Wire::connect(&speaker.address());
    let line = speaker.tells(&format!("* #{number} "));
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
        let mut speaker = Speaker::start(&line);
        let (mut one, first) = join(&speaker, 1);
        speaker.type_in("hello, one\n");
        assert_eq!(one.get(11), b"hello, one\n");
        let (mut two, second) = join(&speaker, 2);
        one.send(b"i am one\n");
        speaker.shows(&format!("{first}: i am one\n"));
        two.send(b"and i two\r\n");
        speaker.shows(&format!("{second}: and i two\n"));
        speaker.type_in("hello, all\n");
        assert_eq!(one.get(11), b"hello, all\n");
        assert_eq!(two.get(11), b"hello, all\n");
        drop(one);
        speaker.tells(&format!("* {first} left"));
        speaker.type_in("still there?\n");
        assert_eq!(two.get(13), b"still there?\n");
        let shown = speaker.shown();
        assert_eq!(shown, format!("{first}: i am one\n{second}: and i two\n"));
    }
}

#[test]
fn what_clients_say_can_forge_neither_lines_nor_commands_of_the_terminal() {
    let speaker = Speaker::start("chat 127.0.0.1:0");
    let (mut client, name) = join(&speaker, 1);
    client.send(b"a\x1b[2J\rb\\\t\xff caf\xc3\xa9\n");
    speaker.shows(&format!("{name}: a\\x1b[2J\\rb\\\\\\t\\xff café\n"));
}

#[test]
fn a_long_line_is_shown_in_pieces_and_a_line_without_an_end_at_the_end() {
    let speaker = Speaker::start("chat 127.0.0.1:0");
    let (mut client, name) = join(&speaker, 1);
    client.send(&[b'x'; 2500]);
    let piece = "x".repeat(1024);
    speaker.shows(&format!("{name}: {piece}\\\n{name}: {piece}\\\n"));
    client.send(b"y\nunfinished");
    speaker.shows(&format!("{name}: {}y\n", "x".repeat(2500 - 2048)));
    client.finish();
    speaker.shows(&format!("{name}: unfinished\n"));
}

#[test]
fn who_has_ended_its_side_still_hears() {
    let mut speaker = Speaker::start("chat 127.0.0.1:0");
    let (mut client, name) = join(&speaker, 1);
    client.finish();
    speaker.tells(&format!("* {name} left"));
    speaker.type_in("still there?\n");
    assert_eq!(client.get(13), b"still there?\n");
}

#[test]
fn a_client_that_is_reset_has_left() {
    let speaker = Speaker::start("chat 127.0.0.1:0");
    let (client, name) = join(&speaker, 1);
    client.reset();
    speaker.tells(&format!("* {name} left: Connection reset by peer"));
}

#[test]
fn an_input_that_is_no_terminal_may_end_and_the_chat_stays() {
    let speaker = Speaker::between("chat -vv 127.0.0.1:0", Stdio::null(), Stdio::piped());
    let speaker = speaker.reading();
    let (mut client, name) = join(&speaker, 1);
    client.send(b"anybody?\n");
    speaker.shows(&format!("{name}: anybody?\n"));
    assert!(speaker.turns_at_rest() < 50);
}

#[test]
fn nothing_is_read_from_a_file_before_somebody_is_there_to_hear_it() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path("in"), "one\ntwo\n").unwrap();
    let input = File::open(scratch.path("in")).unwrap();
    let speaker = Speaker::between("chat -vv -C 127.0.0.1:0", input.into(), Stdio::piped());
    speaker.tells(" listening on ");
    assert!(speaker.turns_at_rest() < 50);
    let (mut client, _) = join(&speaker, 1);
    assert_eq!(client.get(10), b"one\r\ntwo\r\n");
}

#[test]
fn who_leaves_is_heard_to_the_last_word_before_it_is_told() {
    let scratch = Scratch::new();
    for (listen, told) in [
        (scratch.unix("chat").as_str(), " left"),
        ("127.0.0.1:0", " left"),
        ("127.0.0.1:0", " left: Connection reset"),
    ] {
        // One pipe for both, as at a terminal: the order can be seen.
        let command = oneloop_redirected("", &format!("chat {listen}"), "2>&1");
        let speaker = Speaker::run(command, Stdio::piped(), Stdio::piped()).reading();
        speaker.shows(": chat\n");
        let shown = speaker.shown();
        let (_, address) = shown.trim_end().split_once(" listening on ").unwrap();
        let mut client = Wire::connect(address.strip_suffix(": chat").unwrap());
        client.send(b"a line\nunfinished");
        speaker.shows("a line");
        match told {
            " left" => drop(client),
            _ => client.reset(),
        }
        speaker.shows(told);
        let shown = speaker.shown();
        let (before, _) = shown.split_once(told).unwrap();
        assert!(before.contains(": unfinished\n"), "{shown}");
    }
}

#[test]
fn a_signal_ends_it_in_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut speaker = Speaker::start("chat 127.0.0.1:0");
        let (mut client, _) = join(&speaker, 1);
        speaker.type_in("last words\n");
        assert_eq!(client.get(11), b"last words\n");
        speaker.signal(signal);
        assert_eq!(client.ending(), (Vec::new(), End::Fin));
        drop(client);
        assert_eq!(speaker.ended().code, Some(0));
    }
}

#[test]
fn a_socket_file_goes_away_with_the_chat() {
    let scratch = Scratch::new();
    let speaker = Speaker::start(&format!("chat {}", scratch.unix("chat")));
    speaker.address();
    assert!(scratch.path("chat").exists());
    speaker.signal(Signal::TERM);
    assert_eq!(speaker.ended().code, Some(0));
    assert!(!scratch.path("chat").exists());
}

#[test]
fn who_says_nothing_for_too_long_is_let_go_if_asked_for() {
    let speaker = Speaker::start("chat -i 400ms 127.0.0.1:0");
    let (mut silent, name) = join(&speaker, 1);
    speaker.tells(&format!("* {name} disconnected: idle for 400ms"));
    assert_eq!(silent.ending(), (Vec::new(), End::Fin));
}

#[test]
fn a_slow_screen_loses_nothing_and_holds_up_nobody_but_those_who_talk() {
    let mut speaker = Speaker::between("chat 127.0.0.1:0", Stdio::piped(), Stdio::piped());
    let (mut talker, name) = join(&speaker, 1);
    let (mut hearer, _) = join(&speaker, 2);
    // Lines of their own numbers, as many as are taken while nobody reads the screen.
    let text: Vec<u8> = (0..2_000_000).flat_map(|line| format!("{line}\n").into_bytes()).collect();
    let taken = talker.flood(&text);
    assert!(taken < text.len(), "{taken} bytes were taken");
    speaker.type_in("hello\n");
    assert_eq!(hearer.get(6), b"hello\n");
    let mut output = speaker.take_output();
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
    let mut speaker = Speaker::between("chat -q 127.0.0.1:0", Stdio::piped(), Stdio::piped());
    std::thread::sleep(Duration::from_millis(100));
    speaker.close_output();
    let ended = speaker.ended();
    assert_eq!((ended.code, &*ended.err), (Some(0), ""));
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let first = Speaker::start("chat 127.0.0.1:0");
    let address = first.address();
    let ended = Speaker::between(&format!("chat {address}"), Stdio::null(), Stdio::null()).ended();
    assert_eq!(ended.code, Some(1));
    let told = format!("oneloop: cannot listen on {address}: Address already in use\n");
    assert!(ended.err.ends_with(&told), "{}", ended.err);
}
