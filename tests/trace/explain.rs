//! explain: what it says of connections of a real loop.

use oneloop::core::{Event, Key, Moment, Observer, Peer, ReadHint, ServiceKind};
use oneloop::tools::trace::ExplainConverter;

use crate::live;

fn explained(converter: ExplainConverter) -> String {
    let mut out = Vec::new();
    converter.finish(&mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    println!("{text}");
    for line in text.lines() {
        assert!(line.chars().count() <= 80 && line == line.trim_end(), "{line:?}");
    }
    text
}

/// Asserts that the text has these pieces in this order. Line breaks and lifelines do not count.
fn assert_order(text: &str, pieces: &[&str]) {
    let lines = text.lines().map(|line| line.rsplit("|  ").next().unwrap().trim());
    let text = lines.collect::<Vec<&str>>().join(" ");
    let mut rest = &*text;
    for piece in pieces {
        let at = rest.find(piece).unwrap_or_else(|| panic!("{piece:?} is not in {rest:?}"));
        rest = &rest[at + piece.len()..];
    }
}

#[test]
fn a_half_close_is_drawn_with_both_fins_in_their_order() {
    let mut converter = ExplainConverter::new(1);
    live::half_close(&mut converter);
    let text = explained(converter);
    assert_order(
        &text,
        &[
            "Connection 1: 127.0.0.1:",
            ", relay",
            "Target: tcp://127.0.0.1:",
            "connected after",
            "closed: finished, FIN from client first, 5 B up, 6 B down",
            "dialing tcp://127.0.0.1:",
            // The reason depends on what the system promises of a short read.
            "read 5 B from the client: ",
            "wrote 5 B to the target, 0 unsent: the kernel took all bytes",
            "client: end of file: this end sends no more data",
            "target: shut down: the other end has reached its end of file",
            "read 6 B from the target",
            "wrote 6 B to the client",
            "target: end of file",
            "client: shut down",
            "How it ended, in order:",
            "FIN from the client",
            "FIN to the target",
            "FIN from the target",
            "FIN to the client",
            "closed: both directions reached end of file, and every byte was forwarded; the \
             client's FIN came first",
        ],
    );
    assert!(text.contains("|--- 5 B --->|            |"), "the client sends");
    assert!(text.contains("|            |--- 5 B --->|"), "the target receives");
    assert!(text.contains("|            |<--- FIN ---|"), "the target closes");
    assert!(text.contains("|<--- FIN ---|            |"), "the client is told");
}

#[test]
fn a_reset_by_the_client_is_drawn_on_both_sides() {
    let mut converter = ExplainConverter::new(1);
    live::reset(&mut converter);
    let text = explained(converter);
    assert!(text.contains("|--- RST --->|--- RST --->|"));
    assert_order(
        &text,
        &[
            "closed: reset by client (Connection reset by peer)",
            "How it ended, in order:",
            "the client's side failed: Connection reset by peer",
            "RST to what is still open",
            "closed: one side failed without an orderly close",
        ],
    );
}

#[test]
fn repeated_traffic_is_folded_and_its_end_is_shown() {
    let mut converter = ExplainConverter::new(1);
    live::bulk_echo(&mut converter, 2_000_000);
    let text = explained(converter);
    assert!(text.lines().count() < 150, "{} lines", text.lines().count());
    assert!(!text.contains("target"), "an echo has two parties");
    assert_order(&text, &["more reads and writes, ", " MB read, ", " MB written, in "]);
    assert_order(&text, &["more reads and writes", "end of file", "shut down", "finished"]);
}

#[test]
fn no_byte_is_lost_by_folding() {
    let mut converter = ExplainConverter::new(7);
    let key = Key::new(7, 0);
    converter.begin_turn(Moment(5_000));
    let peer = Peer::Unix(Some("a\x1b[2Jb".to_string()));
    let listen = "unix:/run/x.sock";
    converter.on(key, &Event::Opened { route: 0, service: ServiceKind::Echo, listen, peer: &peer });
    for turn in 0..10_000_u64 {
        converter.begin_turn(Moment(10_000 + 100 * turn));
        converter.on(key, &Event::Read { bytes: 1000, room: 65_536, hint: ReadHint::Short });
        converter.on(key, &Event::Wrote { bytes: 1000, left: 0 });
    }
    converter.on(Key::new(8, 1), &Event::EndOfFile);
    let text = explained(converter);
    // 24 rows before, 4 rows after.
    assert!(text.contains("19,972 more reads and"), "the calls are counted");
    assert_order(&text, &["9.99 MB read, 9.99 MB written, in 998ms"]);
    assert!(text.contains("unix:a\\x1b[2Jb -> unix:/run/x.sock, echo"), "the name is escaped");
    assert!(text.contains("still open at the end"), "the event of another connection is ignored");
    assert!(text.contains("5.000    |"), "times are since the accept");
}

#[test]
fn a_connection_that_is_not_in_the_recording_is_reported() {
    let converter = ExplainConverter::new(9);
    assert!(!converter.is_found());
    assert_eq!(explained(converter), "Connection 9 has no event in this recording.\n");
}
