//! At a terminal: `^D` ends the input, the peer's FIN ends the session, and lines that arrive do
//! not land in the line being typed.

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::process::Signal;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::command::oneloop;
use crate::session::{Session, line};
use crate::target::Target;
use crate::terminal_pair::open_terminal;
use crate::test_stream::TestStream;
use crate::wait::until;

/// The control character for the end of the input, `^D`.
const CTRL_D: &[u8] = b"\x04";

/// Opens a pseudoterminal: the keyboard side, and an input for a command.
fn terminal() -> Option<(File, Stdio)> {
    open_terminal().map(|(keyboard, input)| (keyboard, Stdio::from(input)))
}

/// Starts connect with this input and an unread output, and returns it with the accepted peer.
fn connect(input: Stdio) -> (Session, TestStream) {
    let target = Target::tcp();
    let session = Session::with_stdio(&line(&target, ""), input, Stdio::piped());
    let peer = target.accept();
    (session, peer)
}

#[test]
fn what_is_typed_goes_line_by_line_and_a_typed_end_is_passed_on() {
    let Some((mut keyboard, input)) = terminal() else { return };
    let (session, mut peer) = connect(input);
    let session = session.capture_output();
    keyboard.write_all(b"hello\nworld").unwrap();
    assert_eq!(peer.get(6), b"hello\n");
    keyboard.write_all(b"\n").unwrap();
    assert_eq!(peer.get(6), b"world\n");
    keyboard.write_all(CTRL_D).unwrap();
    assert_eq!(peer.rest(), b"");
    peer.send(b"answer");
    drop(peer);
    let ended = session.ended();
    assert_eq!((ended.code, &*ended.out), (Some(0), &b"answer"[..]));
}

#[test]
fn the_end_of_the_other_side_ends_it() {
    let Some((_keyboard, input)) = terminal() else { return };
    let (session, mut peer) = connect(input);
    let session = session.capture_output();
    peer.send(b"bye");
    peer.finish();
    assert_eq!(peer.rest(), b"");
    let ended = session.ended();
    assert_eq!((ended.code, &*ended.out), (Some(0), &b"bye"[..]));
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let Some((keyboard, input)) = terminal() else { return };
    let (session, mut peer) = connect(input);
    drop(keyboard);
    peer.ending();
    drop(peer);
    assert!(session.ended().code.is_some());
}

#[test]
fn a_typed_end_ends_a_chat_when_all_has_been_said() {
    let Some((mut keyboard, input)) = terminal() else { return };
    let session = Session::with_stdio("chat 127.0.0.1:0", input, Stdio::piped()).capture_output();
    let address = session.address();
    keyboard.write_all(b"too early\n").unwrap();
    session.until_stderr("* no clients, line not sent");
    let mut client = TestStream::connect(&address);
    session.until_stderr("joined");
    client.send(b"last ");
    keyboard.write_all(b"hello\n").unwrap();
    assert_eq!(client.get(6), b"hello\n");
    keyboard.write_all(CTRL_D).unwrap();
    assert_eq!(client.rest(), b"");
    // Lines that a client sends before it receives the FIN are still printed.
    client.send(b"words\n");
    drop(client);
    let ended = session.ended();
    assert_eq!(ended.code, Some(0));
    let shown = String::from_utf8(ended.out).unwrap();
    assert!(shown.ends_with(": last words\n") && shown.lines().count() == 1, "{shown}");
}

/// A chat at a terminal, which is its input, its output and its error.
struct Typist {
    keyboard: File,
    terminal: OwnedFd,
    before: Termios,
    session: Session,
}

impl Typist {
    /// Starts a chat and waits until it listens. Returns its address too.
    fn start(term: &str) -> Option<(Typist, String)> {
        let (keyboard, terminal) = open_terminal()?;
        let before = tcgetattr(&terminal).unwrap();
        let mut command = oneloop("chat 127.0.0.1:0");
        command.env("TERM", term);
        let session = Session::on_terminal(command, &keyboard, &terminal);
        session.until_stdout("; ^D or ^C ends it");
        let shown = session.stdout();
        let (_, rest) = shown.split_once("* chat on ").unwrap();
        let address = rest.split_once(';').unwrap().0.to_string();
        Some((Typist { keyboard, terminal, before, session }, address))
    }

    fn type_in(&mut self, text: &[u8]) {
        self.keyboard.write_all(text).unwrap();
    }

    /// Waits until these are the last rows of the screen.
    fn until_rows(&self, expected: &[&str]) {
        let expected: Vec<String> = expected.iter().map(|row| row.to_string()).collect();
        until(&format!("the rows {expected:?}"), || {
            rows(&self.session.stdout()).ends_with(&expected).then_some(())
        });
    }

    fn is_edited(&self) -> bool {
        !tcgetattr(&self.terminal).unwrap().local_modes.contains(LocalModes::ICANON)
    }

    fn until_edited(&self) {
        until("the mode for editing", || self.is_edited().then_some(()));
    }

    /// Checks that the terminal has the mode it had before.
    fn check_restored(&self) {
        let now = tcgetattr(&self.terminal).unwrap();
        assert_eq!(format!("{now:?}"), format!("{:?}", self.before));
    }
}

/// Returns the rows that a terminal without an end shows after this output.
fn rows(output: &str) -> Vec<String> {
    let (mut rows, mut row, mut column) = (vec![Vec::new()], 0, 0);
    let mut rest = output;
    while let Some(ch) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\x1b[K") {
            rows[row].truncate(column);
            rest = after;
            continue;
        }
        rest = &rest[ch.len_utf8()..];
        match ch {
            '\r' => column = 0,
            '\n' => {
                row += 1;
                rows.push(Vec::new());
            }
            ch => {
                let width = rows[row].len().max(column + 1);
                rows[row].resize(width, ' ');
                rows[row][column] = ch;
                column += 1;
            }
        }
    }
    rows.into_iter().map(String::from_iter).collect()
}

#[test]
fn a_line_that_arrives_does_not_land_in_the_line_being_typed() {
    let Some((mut typist, address)) = Typist::start("xterm") else { return };
    typist.type_in(b"half");
    let mut client = TestStream::connect(&address);
    let name = format!("#1 {}", client.local());
    let joined = format!("* {name} joined");
    typist.until_rows(&[&joined, "half"]);
    client.send(b"a line\nand another\n");
    let (one, two) = (format!("{name}: a line"), format!("{name}: and another"));
    typist.until_rows(&[&joined, &one, &two, "half"]);
    typist.type_in(b" a word\x17line\x7f\x7f\x7f\x7fline\n");
    assert_eq!(client.get(12), b"half a line\n");
    typist.until_rows(&[&joined, &one, &two, "half a line", ""]);
    typist.type_in(b"pasted\nlines\nand");
    assert_eq!(client.get(13), b"pasted\nlines\n");
    drop(client);
    typist.until_rows(&["half a line", "pasted", "lines", &format!("* {name} left"), "and"]);
    typist.type_in(b"\x15");
    typist.until_rows(&[&format!("* {name} left"), ""]);
}

#[test]
fn a_typed_line_may_be_longer_than_the_kernel_and_the_row_allow() {
    let Some((mut typist, address)) = Typist::start("xterm") else { return };
    let mut client = TestStream::connect(&address);
    typist.session.until_stdout(" joined");
    typist.until_edited();
    let text = "0123456789".repeat(1000);
    typist.type_in(text.as_bytes());
    // A terminal that does not know its width has 80 columns.
    let row = format!("<{}", &text[text.len() - 78..]);
    typist.until_rows(&[&row]);
    typist.type_in(b"\n");
    assert_eq!(client.get(text.len() + 1), format!("{text}\n").into_bytes());
    typist.until_rows(&[&text, ""]);
}

#[test]
fn the_mode_of_the_terminal_is_restored_however_it_ends() {
    for (way, code) in [("^D", 0), ("INT", 0), ("TERM", 0), ("TERM TERM", 143)] {
        let Some((mut typist, address)) = Typist::start("xterm") else { return };
        let mut client = TestStream::connect(&address);
        typist.session.until_stdout(" joined");
        typist.until_edited();
        match way {
            "^D" => typist.type_in(b"unfinished\x04\x04"),
            "INT" => typist.session.signal(Signal::INT),
            _ => typist.session.signal(Signal::TERM),
        }
        let sent: &[u8] = if way == "^D" { b"unfinished" } else { b"" };
        assert_eq!(client.rest(), sent, "{way}");
        if way == "TERM TERM" {
            typist.session.signal(Signal::TERM);
        } else {
            drop(client);
        }
        assert_eq!(typist.session.code(), Some(code), "{way}");
        typist.check_restored();
    }
}

#[test]
fn after_a_stop_the_mode_is_set_again_and_the_line_is_displayed() {
    let Some((mut typist, _)) = Typist::start("xterm") else { return };
    typist.type_in(b"half");
    typist.until_rows(&["half"]);
    typist.session.signal(Signal::STOP);
    // As a shell does.
    tcsetattr(&typist.terminal, OptionalActions::Now, &typist.before).unwrap();
    typist.session.signal(Signal::CONT);
    typist.until_edited();
    // It is displayed anew. The signal may end one sleep or two, and the second display erases the
    // first.
    until("the line again", || {
        let shown = typist.session.stdout();
        let is_last = rows(&shown).last().is_some_and(|row| row.ends_with("half"));
        (is_last && shown.matches("half").count() > 1).then_some(())
    });
    typist.session.signal(Signal::TERM);
    assert_eq!(typist.session.code(), Some(0));
    typist.check_restored();
}

#[test]
fn a_terminal_that_cannot_erase_keeps_its_mode() {
    let Some((mut typist, address)) = Typist::start("dumb") else { return };
    let mut client = TestStream::connect(&address);
    typist.session.until_stdout(" joined");
    typist.type_in(b"half");
    client.send(b"a line\n");
    typist.session.until_stdout(": a line\r\n");
    assert!(!typist.is_edited());
    assert!(!typist.session.stdout().contains('\x1b'));
    typist.type_in(b"\n");
    assert_eq!(client.get(5), b"half\n");
}
