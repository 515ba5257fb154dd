//! Both sides of a stream, with bytes lost between them.

use std::rc::Rc;

use super::*;
use crate::stress::load::{Clock, Pace};

const KEY: Key = Key::LOOP;
const START: u32 = 77;

/// Both sides of a stream, and what carries bytes between them.
struct Pair {
    load: Load,
    near: Bulk,
    far: Option<Bulk>,
    ended: bool,
}

impl Pair {
    fn new(direction: Direction) -> Pair {
        Pair::with(direction, false)
    }

    fn with(direction: Direction, counted: bool) -> Pair {
        let pattern = Rc::new(Pattern::new(5));
        let mut load = Load::new(pattern, Clock::start(), 64, Pace::Loop);
        (load.direction, load.counted) = (direction, counted);
        load.started.set(true);
        let near = Bulk::near(&load, START);
        Pair { load, near, far: None, ended: false }
    }

    fn read_near(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.near.read(&self.load, &self.load.pattern, into)
    }

    fn write_near(&mut self, from: &[u8]) -> io::Result<usize> {
        self.near.write(&self.load, &self.load.pattern, KEY, from)
    }

    /// Carries what near has to say to far, of which `lost` bytes are lost on the way.
    fn up(&mut self, lost: usize) -> io::Result<()> {
        let mut room = [0; 1000];
        let bytes = match self.read_near(&mut room) {
            Ok(bytes) => bytes,
            Err(_) => return Ok(()),
        };
        let Some(far) = &mut self.far else {
            let header = room[..bytes].try_into().unwrap();
            let (far, seed) = Bulk::far(header).unwrap();
            assert_eq!((seed, far.start), (5, START));
            self.far = Some(far);
            return Ok(());
        };
        if bytes == 0 {
            self.ended = true;
            far.read_end();
            return Ok(());
        }
        far.write(&self.load, &self.load.pattern, KEY, &room[..bytes - lost])?;
        Ok(())
    }

    fn down(&mut self, lost: usize) -> io::Result<bool> {
        let mut room = [0; 900];
        let Some(far) = &mut self.far else { return Ok(true) };
        match far.read(&self.load, &self.load.pattern, &mut room) {
            Ok(0) => Ok(false),
            Ok(bytes) => self.write_near(&room[..bytes - lost.min(bytes)]).map(|_| true),
            Err(_) => Ok(true),
        }
    }

    fn events(&self) -> Vec<ScriptEvent> {
        self.load.events()
    }
}

#[test]
fn a_stream_in_each_way_ends_whole() {
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
            pair.near.is_whole() && far.is_whole() && pair.events().is_empty(),
            "{direction:?}"
        );
        assert_eq!((pair.near.sent, pair.near.got), (far.got, far.sent), "{direction:?}");
        assert_eq!(pair.near.sent > 50_000, direction != Direction::Down, "{direction:?}");
        assert_eq!(pair.near.got > 50_000, direction != Direction::Up, "{direction:?}");
    }
}

#[test]
fn bytes_that_are_lost_on_the_way_are_seen() {
    // In the middle: what follows is wrong.
    let mut pair = Pair::new(Direction::Up);
    (0..5).for_each(|_| pair.up(0).unwrap());
    pair.up(10).unwrap();
    assert!(pair.up(0).is_err());
    assert!(matches!(pair.events()[..], [ScriptEvent::Wrong { at: 4990, .. }]));
    // The last ones before the tail: the counts differ.
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
fn a_stream_that_is_only_counted_may_change_but_must_be_as_long() {
    let stream = |lost| {
        let mut pair = Pair::with(Direction::Up, true);
        (0..5).for_each(|_| pair.up(0).unwrap());
        pair.up(lost).unwrap();
        pair.up(0).unwrap();
        pair.load.ending.set(true);
        pair.up(0).unwrap();
        assert!(pair.ended && pair.far.as_ref().unwrap().is_whole());
        assert!(!pair.near.is_whole() && pair.near.waits());
        (pair.down(0).is_ok(), pair.events())
    };
    assert_eq!(stream(0), (true, vec![]));
    assert_eq!(stream(10), (false, vec![ScriptEvent::Missing { sent: 6000, arrived: 5990 }]));
}

#[test]
fn a_stream_that_is_cut_is_not_whole() {
    let mut pair = Pair::new(Direction::Both);
    (0..5).for_each(|_| pair.up(0).unwrap());
    assert!(!pair.near.is_whole() && !pair.far.as_ref().unwrap().is_whole());
}

#[test]
fn an_echo_is_waited_for_and_then_ended() {
    let mut pair = Pair::new(Direction::Echo);
    let mut room = [0; 500];
    assert_eq!(pair.read_near(&mut room).unwrap(), 500);
    pair.load.ending.set(true);
    assert!(pair.read_near(&mut [0; 9]).is_err());
    pair.write_near(&room).unwrap();
    assert_eq!(pair.events(), [ScriptEvent::Resume]);
    assert!(pair.near.is_whole());
    assert_eq!(pair.read_near(&mut room).unwrap(), 0);
    assert!(pair.write_near(b"x").is_err());
}

#[test]
fn one_that_swallows_must_say_nothing() {
    let mut pair = Pair::new(Direction::Discard);
    let mut room = [0; 10];
    assert_eq!(pair.read_near(&mut room).unwrap(), 10);
    assert!(pair.near.is_whole());
    assert!(pair.write_near(&room).is_err());
}

#[test]
fn a_header_of_somebody_else_is_refused() {
    let pair = Pair::new(Direction::Up);
    let good: [u8; HEADER_BYTES] = pair.near.header[..].try_into().unwrap();
    assert!(Bulk::far(&good).is_some());
    for (at, byte) in [(0, b'x'), (7, 0), (7, 4), (7, 6), (7, 7), (19, 255)] {
        let mut bad = good;
        bad[at] = byte;
        assert!(Bulk::far(&bad).is_none(), "{at}");
    }
}
