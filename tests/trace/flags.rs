//! flags: each kind of finding, from events of the test, and none from a healthy run.

use std::time::Duration;

use oneloop::core::event::{DropReason, PauseCause};
use oneloop::core::{
    Close, CloseKind, Event, Key, Moment, Observer, Peer, ReadHint, Ready, Reason, ServiceKind,
    Side, TurnDetail,
};
use oneloop::recording::ReplayObserver;
use oneloop::tools::trace::{FlagsConverter, RecordingGaps};

use crate::live;

const READ: Event<'_> = Event::Read { bytes: 1000, room: 65_536, hint: ReadHint::Short };
const MARKED: Event<'_> = Event::Marked { ready: Ready::READ };
const PEER: Peer = Peer::Unix(None);

/// Feeds turns that the test describes.
struct Script {
    flags: FlagsConverter,
    number: u64,
}

impl Script {
    fn new() -> Script {
        Script { flags: FlagsConverter::default(), number: 0 }
    }

    /// Starts a turn at this time, after a sleep of this length, both in microseconds.
    fn turn(&mut self, at: u64, slept: u64) -> &mut Script {
        self.number += 1;
        self.flags.begin_turn(Moment(at));
        let (slept, limit) = (Duration::from_micros(slept), None);
        let turn = Event::Turn { number: self.number, slept, limit, events: 1, queued: 0 };
        self.on(Key::LOOP, &turn)
    }

    fn on(&mut self, key: Key, event: &Event<'_>) -> &mut Script {
        self.flags.on(key, event);
        self
    }

    fn open(&mut self, id: u32, service: ServiceKind) -> Key {
        let key = Key::new(id, 1);
        self.on(key, &Event::Opened { route: 0, service, listen: "tcp://:7", peer: &PEER });
        key
    }

    fn text(self, gaps: &RecordingGaps) -> String {
        let mut out = Vec::new();
        self.flags.finish("a b.rec", gaps, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        println!("{text}");
        text.lines().for_each(|line| assert!(line.chars().count() <= 80, "{line}"));
        // Sentences do not depend on where lines break.
        text.split_whitespace().collect::<Vec<&str>>().join(" ")
    }

    fn found(self) -> String {
        self.text(&RecordingGaps::default())
    }
}

fn assert_has(text: &str, piece: &str) {
    assert!(text.contains(piece), "{piece:?} is not in: {text}");
}

#[test]
fn a_healthy_run_has_no_findings() {
    let mut script = Script::new();
    live::half_close(&mut script.flags);
    let text = script.found();
    // A turn may be slow on a busy machine.
    for word in ["ready", "accepted nothing", "paused", "failed", "lost", "closed before"] {
        assert!(!text.contains(word), "{text}");
    }
    let mut script = Script::new();
    (1..100).for_each(|turn| {
        script.turn(turn * 1000, 900);
    });
    assert_has(&script.found(), "99 turns in 98ms, 0 connections opened. Nothing stands out.");
}

#[test]
fn a_slow_turn_is_found_with_the_connection_that_took_the_most_steps() {
    let mut script = Script::new();
    script.turn(1_000, 0);
    let (one, two) = (script.open(1, ServiceKind::Echo), script.open(2, ServiceKind::Echo));
    let three = script.open(3, ServiceKind::Echo);
    script.on(one, &READ).on(three, &READ);
    for _ in 0..6 {
        script.on(two, &READ);
    }
    // 42 ms of work, then 8 ms of sleep.
    script.turn(51_000, 8_000);
    (1..100).for_each(|turn| {
        script.turn(51_000 + turn * 1000, 980);
    });
    let text = script.found();
    assert_has(&text, "1. problem, at 0.000 ms Turn 1 took 42ms, without its sleep, for 1");
    assert_has(
        &text,
        "1 event, 3 opened. 3 connections took 8 reads and writes in it, most of all",
    );
    assert_has(&text, "connection 2: 6, 6.00 kB read. The median turn took 20us.");
    assert_has(&text, "more: oneloop trace 'a b.rec' explain 2");
    assert!(!text.contains("2. "), "the others are not slow: {text}");
}

/// A turn of 42 ms, measured.
fn measured(phase: usize, micros: u64, not_scheduled: u64) -> Script {
    let mut script = Script::new();
    script.turn(1_000, 0);
    let one = script.open(1, ServiceKind::Echo);
    let two = script.open(2, ServiceKind::Echo);
    script.on(one, &READ).on(one, &READ).on(one, &READ).on(two, &READ);
    let micros = Duration::from_micros(micros);
    let mut detail = TurnDetail {
        connection: Some((2, micros * 3 / 4)),
        not_scheduled: Some(Duration::from_micros(not_scheduled)),
        ..TurnDetail::default()
    };
    detail.phases[phase] = micros;
    let took = Duration::from_millis(42);
    script.on(Key::LOOP, &Event::SlowTurn { number: 1, took, detail: &detail });
    script.turn(51_000, 8_000);
    script
}

#[test]
fn a_slow_turn_that_was_measured_names_its_phase_and_the_connection_that_took_the_time() {
    let text = measured(3, 41_000, 9_000).found();
    assert_has(&text, "1. problem, at 0.000 ms Turn 1 took 42ms, without its sleep, for 1 event");
    assert_has(&text, "For 9.0ms of it the thread was not scheduled by the kernel. 41ms of it");
    assert_has(&text, "passed in the phase run, 30ms of that for connection 2. 2 connections");
    assert_has(&text, "more: oneloop trace 'a b.rec' explain 2");
    // Only the phase `run` runs connections.
    let text = measured(6, 41_000, 1_000).found();
    assert_has(&text, "2 opened. 41ms of it passed in the phase admin. 2 connections took 4");
    assert!(!text.contains("not scheduled") && !text.contains("connection 2"), "{text}");
}

#[test]
fn a_slow_turn_in_which_the_thread_did_not_run_blames_no_connection() {
    let mut script = measured(3, 41_000, 30_000);
    script.turn(60_000, 100);
    let text = script.found();
    assert_has(&text, "2 opened. For 30ms of it the thread was not scheduled by the kernel. The");
    assert!(!text.contains("explain") && !text.contains("phase"), "{text}");
    assert_has(&text, "a call waited for a disk. The median turn took 2us. 2. warning, at");
    // Each kind counts its own.
    assert_has(&text, "1. problem, at 0.000 ms Turn 1 took 42ms");
    assert_has(&text, "2. warning, at 50.000 ms Turn 2 took 8.9ms");
    assert!(!text.contains("of this kind"), "{text}");
}

#[test]
fn no_connection_is_blamed_for_a_slow_turn_if_all_did_the_same() {
    let mut script = Script::new();
    script.turn(1_000, 0);
    for id in 1..=1024 {
        let key = script.open(id, ServiceKind::Echo);
        script.on(key, &READ);
    }
    script.turn(51_000, 0);
    let text = script.found();
    assert_has(
        &text,
        "1,024 connections took 1,024 reads and writes in it, none far more than the others.",
    );
    assert!(!text.contains("explain"), "{text}");
}

#[test]
fn a_turn_is_slow_against_the_median_too_and_the_rest_is_counted() {
    let mut script = Script::new();
    let mut at = 0;
    for turn in 0..1000 {
        script.turn(at, 0);
        at += if turn % 10 == 0 { 2_000 } else { 20 };
    }
    let text = script.found();
    assert_has(&text, "warning");
    assert_has(&text, "97 more findings of this kind are not shown.");
}

#[test]
fn a_connection_that_is_ready_and_not_driven_is_found() {
    let mut script = Script::new();
    script.turn(1_000, 0);
    let key = script.open(7, ServiceKind::Echo);
    script.on(key, &MARKED);
    script.turn(60_000, 59_000).turn(151_000, 91_000).on(key, &READ);
    let text = script.found();
    let expected = "Connection 7 was ready and was not driven for 150ms, over 2 turns.";
    assert_has(&text, expected);
}

#[test]
fn a_connection_that_waits_for_its_other_end_is_not_starved() {
    let mut script = Script::new();
    script.turn(1_000, 0);
    let unsent = script.open(7, ServiceKind::Echo);
    script.on(unsent, &Event::Wrote { bytes: 1, left: 5 }).on(unsent, &MARKED);
    let dialing = script.open(8, ServiceKind::Relay);
    script.on(dialing, &MARKED);
    let ended = script.open(9, ServiceKind::Echo);
    script.on(ended, &Event::EndOfFile).on(ended, &MARKED);
    script.turn(900_000, 899_000);
    assert_has(&script.found(), "Nothing stands out.");
}

#[test]
fn a_slow_reader_is_found_whether_its_stall_ends_or_not() {
    let mut script = Script::new();
    script.turn(0, 0);
    let key = script.open(7, ServiceKind::Relay);
    script.turn(2_000_000, 2_000_000);
    let (since, now) = (Moment(500_000), Moment(2_000_000));
    script.on(key.at(1), &Event::Stalled { unsent: 65_536, since, now });
    script.on(key, &Event::Stalled { unsent: 10, since, now });
    script.turn(4_500_000, 2_500_000);
    script.on(key.at(1), &Event::Resumed { stalled: Duration::from_secs(4) });
    script.turn(10_500_000, 6_000_000);
    let text = script.found();
    assert_has(&text, "The target of connection 7 accepted nothing for 4s: its window was closed");
    assert_has(&text, "answer. 65.5 kB were unsent, and the other side was not read.");
    assert_has(&text, "The client of connection 7 accepted nothing for 10s, to the end of");
    assert!(text.find("for 10s") < text.find("for 4s"), "the worst is first");
}

#[test]
fn pauses_are_found_with_their_cause() {
    let mut script = Script::new();
    script.turn(0, 0);
    let (limit, operator) = (PauseCause::Limit, PauseCause::Operator);
    let paused = |address, cause| Event::AcceptPaused { address, cause, connections: 9 };
    script.on(Key::LOOP, &paused("tcp://:5", limit)).on(Key::LOOP, &paused("tcp://:6", operator));
    script.turn(1_500_000, 1_500_000);
    let (address, cause) = ("tcp://:5", limit);
    script.on(Key::LOOP, &Event::AcceptResumed { address, cause, connections: 8 });
    let text = script.found();
    assert_has(&text, "1. problem, at 0.000 ms Accepting was paused on tcp://:5 for 1.50s: ");
    assert_has(&text, "connection limit reached. New clients waited in the accept queue.");
    assert_has(&text, "2. note, at 0.000 ms Accepting was paused on tcp://:6 for 1.50s and still");
}

#[test]
fn a_short_pause_is_no_problem() {
    let mut script = Script::new();
    let (address, cause) = ("tcp://:5", PauseCause::Limit);
    script.turn(0, 0).on(Key::LOOP, &Event::AcceptPaused { address, cause, connections: 9 });
    script.turn(60, 60).on(Key::LOOP, &Event::AcceptResumed { address, cause, connections: 8 });
    assert_has(
        &script.found(),
        "1. warning, at 0.000 ms Accepting was paused on tcp://:5 for 60us",
    );
}

/// A watch records the turns of the connections that are watched, and a loss hides any.
#[test]
fn turns_that_are_not_recorded_are_not_taken_for_one() {
    let mut script = Script::new();
    script.turn(1_000, 0);
    script.number += 1000;
    script.turn(2_000_000, 10);
    script.turn(2_000_050, 10);
    script.flags.lost(5);
    script.turn(4_000_000, 10);
    assert_has(&script.found(), "0 connections opened. Nothing stands out.");
    // One that was measured is known all the same.
    let mut script = measured(3, 41_000, 0);
    script.number += 1000;
    script.turn(9_000_000, 10);
    let text = script.found();
    assert_has(&text, "1. problem, at 0.000 ms Turn 1 took 42ms");
    assert!(!text.contains("2. problem"), "{text}");
}

#[test]
fn what_waits_when_events_are_lost_is_not_starved() {
    let mut script = Script::new();
    script.turn(1_000, 0);
    let key = script.open(7, ServiceKind::Echo);
    script.on(key, &MARKED);
    script.flags.lost(3);
    script.turn(901_000, 0).on(key, &READ);
    assert!(!script.found().contains("not driven"));
}

#[test]
fn slow_and_failed_targets_are_found() {
    let mut script = Script::new();
    script.turn(2_000_000, 0);
    let key = script.open(7, ServiceKind::Relay).at(1);
    let fault = std::io::ErrorKind::ConnectionRefused.into();
    for left in [1, 0, 0] {
        script.on(key, &Event::DialFailed { target: "tcp://a:1", fault, left, client: None });
    }
    script.on(key, &Event::DialFailed { target: "tcp://b:1", fault, left: 1, client: None });
    script.on(key, &Event::Connected { after: Duration::from_millis(1_200) });
    let text = script.found();
    let failed = "Connecting to tcp://a:1 failed 3 times, the last time with \"connection \
                  refused\": 2 connections had no target left after it";
    assert_has(&text, failed);
    assert_has(&text, "Connecting to tcp://b:1 failed 1 time");
    assert_has(&text, "Connection 7 waited 1.20s until its target was connected.");
}

#[test]
fn a_connection_that_uses_up_its_budget_again_and_again_is_found() {
    let mut script = Script::new();
    for turn in 1..=200 {
        script.turn(turn * 1000, 0);
        script.on(Key::new(7, 1), &Event::Yielded { steps: 16 });
        if turn % 60 != 0 {
            script.on(Key::new(8, 2), &Event::Yielded { steps: 16 });
        }
    }
    let text = script.found();
    assert_has(&text, "Connection 7 used up its budget in 200 turns in a row, for 199ms");
    assert!(!text.contains("Connection 8"), "59 turns are not reported");
}

#[test]
fn stale_events_and_dropped_datagrams_are_counted() {
    let mut script = Script::new();
    script.turn(0, 0).turn(5_000, 0);
    let key = Key::new(7, 1);
    script.on(key, &Event::Stale).on(key, &Event::Stale);
    let dropped = Event::Dropped { bytes: None, from: None, why: DropReason::Blocked };
    script.turn(5_100, 0).on(Key::LOOP, &dropped);
    let text = script.found();
    assert_has(&text, "warning, at 5.100 ms 1 datagram dropped: send buffer full. more: oneloop");
    assert_has(
        &text,
        "note, at 5.000 ms 2 events arrived for connections that were closed before.",
    );
}

#[test]
fn an_incomplete_recording_comes_first() {
    let mut script = Script::new();
    script.turn(0, 0).turn(500_000, 0);
    let gaps =
        RecordingGaps { lost: 1_204, unknown: 1, damaged: 16, is_truncated: true, before: 7 };
    let text = script.text(&gaps);
    assert_has(&text, "1. problem The recording is incomplete: 1,204 events were lost");
    assert_has(&text, "2. problem The recording is damaged: 16 bytes were skipped, up to the next");
    assert_has(&text, "3. problem The recording ends in the middle of a record.");
    assert_has(&text, "does not begin at the start of the loop: 7 events before it were dropped.");
    assert_has(&text, "1 record skipped: this version of oneloop does not know the kind.");
}

#[test]
fn a_closed_connection_is_forgotten() {
    let mut script = Script::new();
    script.turn(0, 0);
    let key = script.open(7, ServiceKind::Echo);
    script.on(key, &MARKED).on(key, &READ);
    let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
    let lasted = Duration::ZERO;
    script.on(key, &Event::Closed { ending, up: 0, down: 0, lasted });
    script.turn(5_000_000, 4_999_900);
    assert_has(&script.found(), "Nothing stands out.");
}

#[test]
fn resets_are_counted_by_the_side_that_sent_them() {
    let mut script = Script::new();
    script.turn(0, 0);
    let fault = std::io::ErrorKind::ConnectionReset.into();
    for (id, by) in [(7, Side::Target), (8, Side::Client), (9, Side::Target)] {
        let key = script.open(id, ServiceKind::Relay);
        let reason = Reason::Reset { by, fault };
        let ending = Close { reason, first: by, by: CloseKind::Rst };
        script.on(key, &Event::Closed { ending, up: 0, down: 0, lasted: Duration::ZERO });
    }
    let text = script.found();
    assert_has(
        &text,
        "1. warning, at 0.000 ms 2 connections were reset by the target: data may be",
    );
    assert_has(&text, "lost. The first was connection 7. more: oneloop trace 'a b.rec' explain 7");
    assert_has(
        &text,
        "2. note, at 0.000 ms 1 connection was reset by the client: data may be lost.",
    );
}

#[test]
fn an_echo_that_is_not_read_has_no_other_side() {
    let mut script = Script::new();
    script.turn(0, 0);
    let key = script.open(7, ServiceKind::Echo);
    script.on(key, &Event::Stalled { unsent: 10, since: Moment(0), now: Moment(0) });
    script.turn(2_000_000, 2_000_000);
    assert_has(&script.found(), "10 B were unsent, and it was not read.");
}
