//! Steps through a recording.

use super::*;
use crate::core::event::{Peer, ServiceKind};
use crate::core::{Event, Key, ReadHint};
use crate::recording::Encoder;

pub const SECOND: u64 = 1_000_000;

/// A recording that begins at 100 s: connection 1 is opened, reads a byte in each second, and is
/// closed at 110 s; connection 2 is opened at 105 s. The last turn is at 120 s.
pub fn recording(peer: &Peer) -> Vec<u8> {
    let mut encoder = Encoder::new(Moment(100 * SECOND));
    let listen = "tcp://127.0.0.1:7007";
    let opened = || Event::Opened { route: 0, service: ServiceKind::Echo, listen, peer };
    for second in 100..=120 {
        encoder.begin_turn(Moment(second * SECOND));
        match second {
            100 => encoder.on(Key::new(1, 0), &opened()),
            101..110 => {
                let read = Event::Read { bytes: 1, room: 10, hint: ReadHint::Short };
                encoder.on(Key::new(1, 0), &read);
            }
            110 => encoder.on(Key::new(1, 0), &closed()),
            _ => encoder.on(Key::LOOP, &Event::PolledAgain { events: 0 }),
        }
        if second == 105 {
            encoder.on(Key::new(2, 1), &opened());
        }
    }
    encoder.next_segment(Vec::new()).bytes
}

fn closed() -> Event<'static> {
    use crate::core::{Close, CloseKind, Reason, Side};
    let ending = Close { reason: Reason::Finished, first: Side::Client, by: CloseKind::Fin };
    Event::Closed { ending, up: 9, down: 0, lasted: Duration::from_secs(10) }
}

pub fn pid() -> u32 {
    std::process::id()
}

const PRESENT: Moment = Moment(120 * SECOND);

fn ids(travel: &TimeTravel) -> Vec<u32> {
    let mut ids: Vec<u32> = travel.shown().unwrap().rows.iter().map(|row| row.id).collect();
    ids.sort_unstable();
    ids
}

/// Takes a step. Returns where it led to, and the time that is shown, in seconds.
fn step(travel: &mut TimeTravel, seconds: i64) -> (Arrival, u64) {
    travel.step(seconds);
    let arrival = travel.prepare(PRESENT, pid());
    (arrival, travel.at.unwrap_or_default().0 / SECOND)
}

#[test]
fn steps_lead_through_the_recording_and_no_further() {
    let mut travel = TimeTravel::default();
    assert_eq!(step(&mut travel, -1), (Arrival::Past, 119));
    assert!(travel.shown().is_none() && travel.needs_recording());
    travel.load(recording(&Peer::Stdio));
    assert_eq!(step(&mut travel, 0), (Arrival::Past, 119));
    assert_eq!(ids(&travel), [2]);
    assert_eq!(step(&mut travel, -10), (Arrival::Past, 109));
    assert_eq!(ids(&travel), [1, 2]);
    assert_eq!(travel.ago(Moment(125 * SECOND)), Duration::from_secs(16));
    assert_eq!(step(&mut travel, -6), (Arrival::Past, 103));
    assert_eq!(ids(&travel), [1]);
    assert_eq!(travel.shown().unwrap().rows[0].received, 3);
    assert_eq!(step(&mut travel, -10), (Arrival::Beginning, 100));
    assert_eq!(step(&mut travel, 0), (Arrival::Past, 100), "it is said once");
    assert_eq!(ids(&travel), [1]);
    assert_eq!(step(&mut travel, 19), (Arrival::Past, 119));
    assert_eq!(step(&mut travel, 1).0, Arrival::Now);
}

#[test]
fn an_opened_row_has_its_lines_up_to_the_time() {
    let mut travel = TimeTravel::default();
    travel.load(recording(&Peer::Stdio));
    travel.open(Some(1));
    step(&mut travel, -10);
    let lines = travel.shown().unwrap().lines.clone();
    assert_eq!(lines.len(), 11);
    assert!(lines[0].contains(" #1 opened: ") && lines[10].contains(" #1 closed: "), "{lines:?}");
    step(&mut travel, -8);
    assert!(travel.shown().unwrap().lines.last().unwrap().ends_with(" #1.a read 1"));
    assert_eq!(travel.shown().unwrap().lines.len(), 3);
    travel.open(None);
    step(&mut travel, 0);
    assert!(travel.shown().unwrap().lines.is_empty());
}

#[test]
fn bytes_that_are_no_recording_of_the_process_are_refused() {
    for (bytes, process) in
        [(Vec::new(), pid()), (vec![7; 99], pid()), (recording(&Peer::Stdio), pid() + 1)]
    {
        let mut travel = TimeTravel::default();
        travel.load(bytes);
        travel.step(-1);
        assert_eq!(travel.prepare(PRESENT, process), Arrival::Foreign);
    }
}
