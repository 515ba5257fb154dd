//! Both sides of a stream, with bytes lost between them.

use std::rc::Rc;

use super::*;
use crate::stress::load::{Pace, RunClock};

const KEY: Key = Key::LOOP;
const START: u32 = 77;

/// Both sides of a stream, and the path between them.
struct Pair {
    load: Load,
    near: BulkStream,
    far: Option<BulkStream>,
    ended: bool,
}

impl Pair {
    fn new(direction: Direction) -> Pair {
        Pair::with(direction, false)
    }

    fn with(direction: Direction, count_only: bool) -> Pair {
        let pattern = Rc::new(Pattern::new(5));
        let mut load = Load::new(pattern, RunClock::start(), 64, Pace::Loop);
        (load.direction, load.count_only) = (direction, count_only);
        load.started.set(true);
        let near = BulkStream::near(&load, START);
        Pair { load, near, far: None, ended: false }
    }

    fn read_near(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.near.read(&self.load, &self.load.pattern, into)
    }

    fn write_near(&mut self, from: &[u8]) -> io::Result<usize> {
        self.near.write(&self.load, &self.load.pattern, KEY, from)
    }

    /// Passes bytes from the near to the far side, and drops the last `lost` of them.
    fn up(&mut self, lost: usize) -> io::Result<()> {
        let mut buffer = [0; 1000];
        let bytes = match self.read_near(&mut buffer) {
            Ok(bytes) => bytes,
            Err(_) => return Ok(()),
        };
        let Some(far) = &mut self.far else {
            let header = buffer[..bytes].try_into().unwrap();
            let (far, seed) = BulkStream::far(header).unwrap();
            assert_eq!((seed, far.start), (5, START));
            self.far = Some(far);
            return Ok(());
        };
        if bytes == 0 {
            self.ended = true;
            far.ended = true;
            return Ok(());
        }
        far.write(&self.load, &self.load.pattern, KEY, &buffer[..bytes - lost])?;
        Ok(())
    }

    /// Passes bytes from the far to the near side, and drops the last `lost` of them.
    fn down(&mut self, lost: usize) -> io::Result<bool> {
        let mut buffer = [0; 900];
        let Some(far) = &mut self.far else { return Ok(true) };
        match far.read(&self.load, &self.load.pattern, &mut buffer) {
            Ok(0) => Ok(false),
            Ok(bytes) => self.write_near(&buffer[..bytes - lost.min(bytes)]).map(|_| true),
            Err(_) => Ok(true),
        }
    }

    fn events(&self) -> Vec<ScriptEvent> {
        self.load.events()
    }
}

#[test]
fn a_stream_in_each_direction_is_complete() {
    for direction in [Direction::Up, Direction::Down, Direction::Both] {
        let mut pair = Pair::new(direction);
        for round in 0..200 {
            pair.load.ending.set(round > 100);
            pair.up(0).unwrap();
            if !pair.down(0).unwrap() {
                break;
            }
        }
        let far = pair.far.as_ref().unwrap();
        assert!(
            pair.near.is_complete() && far.is_complete() && pair.events().is_empty(),
            "{direction:?}"
        );
        assert_eq!((pair.near.sent, pair.near.received), (far.received, far.sent), "{direction:?}");
        assert_eq!(pair.near.sent > 50_000, direction != Direction::Down, "{direction:?}");
        assert_eq!(pair.near.received > 50_000, direction != Direction::Up, "{direction:?}");
    }
}

#[test]
fn lost_bytes_are_detected() {
    // In the middle: the next bytes are wrong.
    let mut pair = Pair::new(Direction::Up);
    (0..5).for_each(|_| pair.up(0).unwrap());
    pair.up(10).unwrap();
    assert!(pair.up(0).is_err());
    assert!(matches!(pair.events()[..], [ScriptEvent::Wrong { at: 4990, .. }]));
    // The last ones before the tail: the totals differ.
    let mut pair = Pair::new(Direction::Down);
    (0..5).for_each(|_| pair.up(0).unwrap());
    (0..5).for_each(|_| assert!(pair.down(0).unwrap()));
    pair.down(10).unwrap();
    pair.load.ending.set(true);
    (0..2).for_each(|_| pair.up(0).unwrap());
    assert!(pair.down(0).is_err());
    let lost = ScriptEvent::Missing { sent: 5400, arrived: 5390 };
    assert_eq!(pair.events(), [lost]);
}

#[test]
fn a_stream_that_is_only_counted_may_change_but_must_keep_its_length() {
    let stream = |lost| {
        let mut pair = Pair::with(Direction::Up, true);
        (0..5).for_each(|_| pair.up(0).unwrap());
        pair.up(lost).unwrap();
        pair.up(0).unwrap();
        pair.load.ending.set(true);
        pair.up(0).unwrap();
        assert!(pair.ended && pair.far.as_ref().unwrap().is_complete());
        assert!(!pair.near.is_complete() && pair.near.waits());
        (pair.down(0).is_ok(), pair.events())
    };
    assert_eq!(stream(0), (true, vec![]));
    assert_eq!(stream(10), (false, vec![ScriptEvent::Missing { sent: 6000, arrived: 5990 }]));
}

#[test]
fn a_truncated_stream_is_not_complete() {
    let mut pair = Pair::new(Direction::Both);
    (0..5).for_each(|_| pair.up(0).unwrap());
    assert!(!pair.near.is_complete() && !pair.far.as_ref().unwrap().is_complete());
}

#[test]
fn an_echo_is_awaited_and_then_ended() {
    let mut pair = Pair::new(Direction::Echo);
    let mut buffer = [0; 500];
    assert_eq!(pair.read_near(&mut buffer).unwrap(), 500);
    pair.load.ending.set(true);
    assert!(pair.read_near(&mut [0; 9]).is_err());
    pair.write_near(&buffer).unwrap();
    assert_eq!(pair.events(), [ScriptEvent::Resume]);
    assert!(pair.near.is_complete());
    assert_eq!(pair.read_near(&mut buffer).unwrap(), 0);
    assert!(pair.write_near(b"x").is_err());
}

#[test]
fn a_discarding_server_must_not_send() {
    let mut pair = Pair::new(Direction::Discard);
    let mut buffer = [0; 10];
    assert_eq!(pair.read_near(&mut buffer).unwrap(), 10);
    assert!(pair.near.is_complete());
    assert!(pair.write_near(&buffer).is_err());
}

#[test]
fn a_foreign_header_is_refused() {
    let pair = Pair::new(Direction::Up);
    let good: [u8; HEADER_BYTES] = pair.near.header[..].try_into().unwrap();
    assert!(BulkStream::far(&good).is_some());
    for (at, byte) in [(0, b'x'), (7, 0), (7, 4), (7, 6), (7, 7), (19, 255)] {
        let mut bad = good;
        bad[at] = byte;
        assert!(BulkStream::far(&bad).is_none(), "{at}");
    }
}
