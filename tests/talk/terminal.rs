//! At a terminal: `^D` ends the input, and the peer's FIN ends the session.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::session::{Session, line};
use crate::target::Target;
use crate::test_stream::TestStream;

/// The control character for the end of the input, `^D`.
const CTRL_D: &[u8] = b"\x04";

/// Opens a pseudoterminal: the keyboard side, and the input of a program. Returns None, and prints
/// why, if this machine has none.
fn terminal() -> Option<(File, Stdio)> {
    let made = || {
        // A keyboard side inherited by a program would never be closed.
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&keyboard)?;
        unlockpt(&keyboard)?;
        let name = ptsname(&keyboard, Vec::new())?;
        let input = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        Ok::<_, rustix::io::Errno>((File::from(keyboard), Stdio::from(input)))
    };
    match made() {
        Ok(terminal) => Some(terminal),
        Err(error) => {
            println!("skipped: no terminal is to be had here: {error}");
            None
        }
    }
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
