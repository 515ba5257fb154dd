//! Frames, as a terminal shows them.

use super::super::keys::TopKey;
use super::super::sample::tests::{connection, sample};
use super::super::sample::{ROWS, Sample};
use super::super::travel::tests as travel;
use super::*;
use crate::config::TopPlan;
use crate::core::Peer;

const LOOK: Look = Look { paint: Paint(false), is_ascii: false };
const COLORED: Look = Look { paint: Paint(true), is_ascii: false };
const SIZES: [(usize, usize); 3] = [(80, 24), (120, 40), (40, 10)];

/// A display after two polls of a daemon with this many connections.
fn screen(connections: u32) -> TopScreen {
    let rows =
        |factor| (1..=connections).map(|id| connection(id, u64::from(id) * factor)).collect();
    let mut screen = TopScreen::new(&TopPlan::default(), "tcp://127.0.0.1:9900".to_string());
    screen.on_sample(sample(1.0, rows(1000)));
    screen.on_sample(sample(2.0, rows(2000)));
    screen
}

/// Draws a frame, and returns the rows of a terminal of this size that showed another before.
fn shown(screen: &mut TopScreen, (columns, rows): (usize, usize), look: Look) -> Vec<String> {
    let mut terminal = vt100::Parser::new(rows as u16, columns as u16, 0);
    let junk = "~".repeat(columns * rows);
    terminal.process(format!("\x1b[?7l{junk}").as_bytes());
    let (frame, _) = frame(screen, FrameSize { columns, rows }, look, 2.0);
    assert!(frame.starts_with(BEGIN) && frame.ends_with(END));
    // The emulator does not erase the last column of a full line, and real terminals do.
    assert_eq!(frame.matches("\x1b[K").count(), frame.matches(";1H\x1b[K").count());
    terminal.process(frame.as_bytes());
    terminal.screen().rows(0, columns as u16).map(|row| row.trim_end().to_string()).collect()
}

fn press(screen: &mut TopScreen, keys: &str) {
    keys.chars().for_each(|ch| screen.on_key(TopKey::Char(ch), 10));
}

#[test]
fn a_frame_of_80_columns_and_24_rows() {
    let expected = "\
oneloop 0.1.0, up 3 min, process 4711, tcp://127.0.0.1:9900             every 1s
connections  3 open, 306 accepted, 3.00/s, in 5.00 MB/s, out 7.00 kB/s
loop         10.0 turns/s, 20.0 events/s, 75 % in poll, longest 180 µs, 45 s ago
listeners    1: tcp://127.0.0.1:7007 3 waiting
view  [1 connections]  2 routes   3 listeners   4 loop
sort  [r received]  s sent   u unsent   a age   i idle                    3 rows
  ID  STATE      PEER              AGE  IDLE      IN     OUT
>  3  streaming  10.0.0.3:51233  3.0 s  97 s  6.0 kB  994 kB
   2  streaming  10.0.0.2:51232  2.0 s  98 s  4.0 kB  996 kB
   1  streaming  10.0.0.1:51231  1.0 s  99 s  2.0 kB  998 kB";
    let rows = shown(&mut screen(3), (80, 24), LOOK);
    let text: Vec<&str> = expected.lines().collect();
    assert_eq!(rows[..text.len()], text, "{}", rows.join("\n"));
    assert!(rows[text.len()..23].iter().all(String::is_empty), "the last frame is erased");
    assert_eq!(rows[23], "q quit  ? help  / filter  space freeze  [ step back  enter open");
}

/// A busy daemon with long numbers.
fn busy_screen() -> TopScreen {
    let mut screen = screen(3);
    let mut busy = sample(3.0, (1..=ROWS as u32).map(|id| connection(id, 1000)).collect());
    busy.event_loop.turns += 50_000;
    busy.event_loop.events += 1_234_000;
    let turn = busy.event_loop.longest_turn.as_mut().unwrap();
    (turn.seconds, turn.ended_seconds_ago) = (0.0123, 119.0);
    (busy.routes[0].accepted, busy.routes[0].flows) = (1_234_567, 4096);
    (busy.routes[0].received_bytes, busy.routes[0].sent_bytes) = (123_000_000_000, 456_000_000);
    screen.on_sample(busy);
    screen
}

#[test]
fn long_numbers_leave_out_whole_facts_and_cut_none() {
    let mut screen = busy_screen();
    let rows = shown(&mut screen, (80, 24), LOOK);
    assert_eq!(
        rows[1],
        "connections  1,000 open, 4,096 flows, 1234261 new/s, in 123 GB/s, out 456 MB/s"
    );
    assert_eq!(
        rows[2],
        "loop         50010 turns/s, 1234020 events/s, 75 % in poll, longest 12.3 ms"
    );
    assert!(rows[5].ends_with(" 1,000 of first 1,000"), "{}", rows[5]);
    let wide = shown(&mut screen, (100, 24), LOOK).join("\n");
    assert!(wide.contains(" longest 12.3 ms, 119 s ago\n"), "{wide}");
    assert!(wide.contains(" 1,000 of the first 1,000 by received\n"), "{wide}");
    press(&mut screen, "?");
    let rows = shown(&mut screen, (80, 24), LOOK);
    assert!(!rows[6..].iter().any(|row| row.contains('…')), "{}", rows.join("\n"));
}

#[test]
fn a_reader_that_is_no_terminal_gets_whole_lines() {
    let mut screen = busy_screen();
    let mut listeners = screen.sample.clone().unwrap().listeners;
    listeners.iter_mut().for_each(|row| row.address = "unix:/a".repeat(20));
    screen.sample.as_mut().unwrap().listeners = listeners;
    let text = whole_text(&screen, LOOK, 3.0);
    assert!(!text.contains('…'), "{text}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(width(lines[0]), 80, "{}", lines[0]);
    assert!(lines[1].contains(", 1,234,567 accepted, ") && lines[2].ends_with(", 119 s ago"));
    assert!(lines[3].ends_with(&format!("{} 3 waiting", "unix:/a".repeat(20))), "{}", lines[3]);
    assert!(lines[5].ends_with("  1,000 of the first 1,000 by received"), "{}", lines[5]);
}

#[test]
fn every_size_shows_the_marked_row_the_titles_and_no_other_frame() {
    for size in SIZES.into_iter().chain([(1, 1), (3, 2), (20, 5), (200, 60), (80, 1), (7, 30)]) {
        for look in [LOOK, COLORED] {
            for keys in ["", "2", "3", "4", "?", "/10.0", " ", "uasi"] {
                let mut screen = screen(100);
                press(&mut screen, keys);
                screen.on_key(TopKey::End, 10);
                let rows = shown(&mut screen, size, look);
                assert_eq!(rows.len(), size.1);
                let rest = rows.iter().any(|row| row.contains("~~"));
                assert!(!rest, "{size:?} {keys:?}:\n{}", rows.join("\n"));
                if size.1 >= 10 && size.0 >= 40 && screen.is_list() {
                    let is_marked = |row: &&String| row.starts_with("> ");
                    assert_eq!(rows.iter().filter(is_marked).count(), 1, "{}", rows.join("\n"));
                    assert!(rows.iter().any(|row| row.contains("  STATE")), "{size:?}");
                }
            }
        }
    }
}

#[test]
fn a_small_frame_keeps_what_matters_most() {
    let rows = shown(&mut screen(100), (40, 10), LOOK);
    assert_eq!(rows[0], "oneloop 0.1.0, up 3 min, proc…  every 1s");
    assert_eq!(rows[1], "connections  100 open, 3.00 new/s");
    assert_eq!(rows[2], "sort  [r received]  s sent   u unsent");
    assert!(rows[3].starts_with("   ID  STATE ") && rows[4].starts_with("> 100  "), "{rows:?}");
    assert_eq!(rows[9], "q quit  ? help  / filter  space freeze");
    let lines = rows.iter().filter(|row| row.contains(" streaming ")).count();
    assert_eq!(lines, BODY_LINES_MIN);
}

#[test]
fn colors_change_no_text() {
    for size in SIZES {
        let plain = shown(&mut screen(30), size, LOOK);
        assert_eq!(shown(&mut screen(30), size, COLORED), plain);
    }
    let (frame, _) = frame(&mut screen(3), FrameSize { columns: 80, rows: 24 }, LOOK, 2.0);
    let colors = frame.matches("\x1b[").count() - frame.matches("\x1b[0m").count();
    assert_eq!(colors, frame.matches(";1H").count() + frame.matches("\x1b[K").count() + 2);
}

#[test]
fn ascii_replaces_every_other_character_by_one_as_wide() {
    let look = Look { is_ascii: true, ..LOOK };
    let mut screen = screen(3);
    let mut changed = sample(3.0, vec![connection(1, 1)]);
    changed.connections[0].peer = Some("/run/ü€.sock".to_string());
    screen.on_sample(changed);
    for size in SIZES {
        let (frame, _) = frame(&mut screen, FrameSize { columns: size.0, rows: size.1 }, look, 2.0);
        assert!(frame.is_ascii());
    }
    let rows = shown(&mut screen, (80, 24), look).join("\n");
    assert!(rows.contains("longest 180 us, 45 s ago") && rows.contains("/run/??.sock"), "{rows}");
}

#[test]
fn text_of_the_daemon_does_not_reach_the_terminal_as_control_characters() {
    let evil = "\x1b[2J\x07\u{202e}x\n".to_string();
    let mut rows = vec![connection(1, 1)];
    let row = &mut rows[0];
    for text in [&mut row.route, &mut row.service, &mut row.state, &mut row.at] {
        text.clone_from(&evil);
    }
    (row.peer, row.target) = (Some(evil.clone()), Some(evil.clone()));
    let mut hostile: Sample = sample(3.0, rows);
    let (version, route) = (&mut hostile.version, &mut hostile.routes[0]);
    let listener = &mut hostile.listeners[0];
    for text in [
        &mut version.version,
        &mut version.state,
        &mut route.name,
        &mut route.service,
        &mut listener.address,
        &mut listener.route,
        &mut listener.service,
        &mut listener.state,
        &mut hostile.event_loop.verdict,
    ] {
        text.clone_from(&evil);
    }
    route.targets = vec![evil.clone()];
    listener.paused_by = Some(evil.clone());
    hostile.event_loop.longest_turn.as_mut().unwrap().phase = Some(evil.clone());
    for keys in ["", "2", "3", "4"] {
        let mut screen = screen(1);
        screen.on_sample(hostile.clone());
        screen.on_error(evil.clone());
        press(&mut screen, keys);
        for open in [false, true] {
            if open {
                screen.on_key(TopKey::Enter, 10);
            }
            let size = FrameSize { columns: 200, rows: 60 };
            let (frame, _) = frame(&mut screen, size, LOOK, 2.0);
            let foreign = ["\x1b[2J", "\x07", "\u{202e}", "\n"];
            assert!(!foreign.iter().any(|text| frame.contains(text)), "{keys}: {frame:?}");
            let text = text(&screen, 200, LOOK, 2.0);
            assert!(!foreign[..3].iter().any(|text| frame.contains(text)), "{keys}: {text:?}");
        }
    }
}

#[test]
fn the_state_of_the_poll_is_in_the_title() {
    let mut screen = screen(3);
    let title = |screen: &mut TopScreen| {
        let (frame, _) = frame(screen, FrameSize { columns: 80, rows: 24 }, LOOK, 5.0);
        let mut terminal = vt100::Parser::new(24, 80, 0);
        terminal.process(frame.as_bytes());
        let rows: Vec<String> = terminal.screen().rows(0, 80).collect();
        (rows[0].trim_end().to_string(), rows[23].trim_end().to_string())
    };
    assert!(title(&mut screen).0.ends_with(" every 1s"));
    screen.on_error("tcp://127.0.0.1:9900: cannot connect:\nconnection refused".to_string());
    let (first, last) = title(&mut screen);
    assert!(first.ends_with(" gone for 3.0 s"), "{first}");
    assert_eq!(last, "tcp://127.0.0.1:9900: cannot connect: connection refused");
    press(&mut screen, " ");
    let (first, last) = title(&mut screen);
    assert!(first.ends_with(" frozen for 3.0 s") && last.starts_with("q quit"), "{first} {last}");
    press(&mut screen, "/10.0.0.2:");
    assert!(title(&mut screen).1.starts_with("/10.0.0.2:_   enter: keep"));
    assert!(shown(&mut screen, (80, 24), LOOK)[5].ends_with(" 1 of 3 rows"));
}

#[test]
fn an_opened_row_shows_its_report_and_says_when_it_is_closed() {
    let mut screen = screen(3);
    screen.on_key(TopKey::Enter, 10);
    let rows = shown(&mut screen, (80, 24), LOOK).join("\n");
    assert!(rows.contains("#3: its report is part of the next poll"), "{rows}");
    assert!(rows.contains("\n  received  6.00 kB (6,000 B)"), "{rows}");
    screen.opened.as_mut().unwrap().is_closed = true;
    let rows = shown(&mut screen, (80, 24), LOOK).join("\n");
    assert!(rows.contains("#3 is closed; its last row:"), "{rows}");
}

#[test]
fn plain_text_has_all_rows_and_no_keys() {
    let screen = screen(100);
    let text = text(&screen, 80, LOOK, 2.0);
    assert_eq!(text.lines().filter(|line| line.contains("streaming")).count(), 100);
    assert!(!text.contains('\x1b') && !text.contains("q quit") && !text.contains("> "));
}

/// A display 17 seconds before now.
fn past_screen(peer: &Peer) -> TopScreen {
    let mut screen = screen(3);
    let mut sample = sample(2.0, Vec::new());
    (sample.version.pid, sample.version.up_seconds) = (travel::pid(), 120.0);
    screen.on_sample(sample);
    press(&mut screen, "{[[[[[[[");
    screen.prepare(2.0);
    assert!(shown(&mut screen, (80, 24), LOOK)[0].ends_with("  reading the recording"));
    screen.on_recording(Ok(travel::recording(peer)));
    screen.prepare(2.0);
    screen
}

#[test]
fn an_earlier_time_is_drawn_from_the_recording() {
    let mut screen = past_screen(&Peer::Inet("10.0.0.9:5".parse().unwrap()));
    let rows = shown(&mut screen, (80, 24), LOOK);
    assert!(rows[0].ends_with("  17.0 s ago (recorded)"), "{}", rows[0]);
    assert!(
        rows[1].starts_with("recorded     shown ") && rows[1].contains(" UTC, 22 events from ")
    );
    assert!(rows[3].ends_with("  1 row") && !rows.join(" ").contains("accepted"), "{rows:?}");
    assert_eq!(rows[4], "  ID  STATE      PEER          AGE   IDLE   IN  OUT");
    assert_eq!(rows[5], ">  1  streaming  10.0.0.9:5  3.0 s  0.0 s  3 B  0 B");
    assert_eq!(rows[23], "q quit  ? help  esc now  [ ] step 1 s  { } 10 s  enter open");
    let (frame, _) = frame(&mut screen, FrameSize { columns: 80, rows: 24 }, COLORED, 2.0);
    assert!(frame.contains("\x1b[7m17.0 s ago (recorded)"), "{frame:?}");
    screen.on_key(TopKey::Enter, 10);
    screen.prepare(2.0);
    let rows = shown(&mut screen, (80, 24), LOOK).join("\n");
    assert!(rows.contains(" #1 opened: 10.0.0.9:5 -> ") && rows.contains(" #1.a read 1"), "{rows}");
    assert!(
        rows.contains("\n  received  3 B") && rows.contains("\n  state     streaming"),
        "{rows}"
    );
    screen.on_key(TopKey::End, 10);
    let small = shown(&mut screen, (40, 8), LOOK);
    assert!(small[6].starts_with("  unsent"), "the newest is at the end: {small:?}");
    press(&mut screen, "?");
    assert!(shown(&mut screen, (80, 24), LOOK).join("\n").contains("[ ] { }"));
}

#[test]
fn text_of_a_recording_does_not_reach_the_terminal_as_control_characters() {
    let mut screen = past_screen(&Peer::Unix(Some("\x1b[2J\x07\u{202e}x\n".to_string())));
    for _ in 0..2 {
        let size = FrameSize { columns: 200, rows: 60 };
        let (frame, _) = frame(&mut screen, size, LOOK, 2.0);
        let foreign = ["\x1b[2J", "\x07", "\u{202e}", "\n"];
        assert!(!foreign.iter().any(|text| frame.contains(text)), "{frame:?}");
        screen.on_key(TopKey::Enter, 10);
        screen.prepare(2.0);
    }
}

#[test]
fn a_recording_with_a_loss_says_so_in_the_head() {
    let mut screen = past_screen(&Peer::Stdio);
    let mut shown = screen.past().unwrap().shown().unwrap().clone();
    shown.report.lost = 12;
    let view = View { paint: Paint(false), columns: 80 };
    let text = past_view::summary(&shown, &view);
    let lost = "12 events lost: a row may be of a closed connection; shown ";
    assert!(text.starts_with(lost) && text.ends_with(" UTC"), "{text}");
    (shown.report.lost, shown.report.truncated) = (0, true);
    shown.report.records = 517_271;
    let text = past_view::summary(&shown, &view);
    assert!(text.ends_with(" UTC, incomplete") && width(&text) <= 80, "{text}");
    shown.rows[0].is_partial = true;
    let rows: Vec<_> = shown.rows.iter().collect();
    let text = past_view::connections(&rows, shown.at, &view);
    assert!(text.contains("  3 B+  0 B+\n"), "{text}");
    press(&mut screen, " ");
}
