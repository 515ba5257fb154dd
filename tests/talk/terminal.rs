//! At a terminal: an end is typed, and nobody has to end what has nobody left to hear it.

use std::fs::File;
use std::io::Write;
use std::process::Stdio;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::speaker::{Speaker, line};
use crate::target::Target;
use crate::wire::Wire;

/// The end of a line of input, as a terminal has it.
const CTRL_D: &[u8] = b"\x04";

/// A terminal: the keyboard, and what a program at it has as its input. None, with a word why: this
/// machine has no terminals to give.
fn terminal() -> Option<(File, Stdio)> {
    let made = || {
        // A keyboard that a program inherits would never go away.
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

/// Somebody who talks with this as the input, an output that is left unread, and the other side.
fn connect(input: Stdio) -> (Speaker, Wire) {
    let target = Target::tcp();
    let speaker = Speaker::between(&line(&target, ""), input, Stdio::piped());
    let peer = target.accept();
    (speaker, peer)
}

#[test]
fn what_is_typed_goes_line_by_line_and_a_typed_end_is_passed_on() {
    let Some((mut keyboard, input)) = terminal() else { return };
    let (speaker, mut peer) = connect(input);
    let speaker = speaker.reading();
    keyboard.write_all(b"hello\nworld").unwrap();
    assert_eq!(peer.get(6), b"hello\n");
    keyboard.write_all(b"\n").unwrap();
    assert_eq!(peer.get(6), b"world\n");
    keyboard.write_all(CTRL_D).unwrap();
    assert_eq!(peer.rest(), b"");
    peer.send(b"answer");
    drop(peer);
    let ended = speaker.ended();
    assert_eq!((ended.code, &*ended.out), (Some(0), &b"answer"[..]));
}

#[test]
fn the_end_of_the_other_side_ends_it() {
    let Some((_keyboard, input)) = terminal() else { return };
    let (speaker, mut peer) = connect(input);
    let speaker = speaker.reading();
    peer.send(b"bye");
    peer.finish();
    assert_eq!(peer.rest(), b"");
    let ended = speaker.ended();
    assert_eq!((ended.code, &*ended.out), (Some(0), &b"bye"[..]));
}

#[test]
fn a_terminal_that_goes_away_ends_it() {
    let Some((keyboard, input)) = terminal() else { return };
    let (speaker, mut peer) = connect(input);
    drop(keyboard);
    peer.ending();
    drop(peer);
    assert!(speaker.ended().code.is_some());
}

#[test]
fn a_typed_end_ends_a_chat_when_all_has_been_said() {
    let Some((mut keyboard, input)) = terminal() else { return };
    let speaker = Speaker::between("chat 127.0.0.1:0", input, Stdio::piped()).reading();
    let address = speaker.address();
    keyboard.write_all(b"too early\n").unwrap();
    speaker.tells("* no clients, line not sent");
    let mut client = Wire::connect(&address);
    speaker.tells("joined");
    client.send(b"last ");
    keyboard.write_all(b"hello\n").unwrap();
    assert_eq!(client.get(6), b"hello\n");
    keyboard.write_all(CTRL_D).unwrap();
    assert_eq!(client.rest(), b"");
    // What a client says until it has heard of the end is still shown.
    client.send(b"words\n");
    drop(client);
    let ended = speaker.ended();
    assert_eq!(ended.code, Some(0));
    let shown = String::from_utf8(ended.out).unwrap();
    assert!(shown.ends_with(": last words\n") && shown.lines().count() == 1, "{shown}");
}
