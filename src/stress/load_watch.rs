//! The observer of a stress run: counts bytes, and notes for the loop which connections were made,
//! were ended by the other side, and are gone.

use std::time::Duration;

use crate::core::{Close, Event, Key, Observer};

/// What the engine did since the loop last looked.
#[derive(Debug, Default)]
pub struct LoadWatch {
    pub connected: Vec<(Key, Duration)>,
    /// Connections whose other side will send no more.
    pub ended: Vec<Key>,
    pub closed: Vec<Closed>,
    /// Bytes of each load, since they were last taken.
    pub moved: Vec<Moved>,
    /// The load of each place in the engine's table.
    groups: Vec<u8>,
}

/// A connection that is gone.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub key: Key,
    pub ending: Close,
    pub up: u64,
    pub down: u64,
    pub lasted: Duration,
}

/// Bytes written to sockets, and bytes that scripts received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub out: u64,
    pub into: u64,
}

impl LoadWatch {
    /// There are so many loads.
    pub fn of(groups: usize) -> LoadWatch {
        LoadWatch { moved: vec![Moved::default(); groups], ..LoadWatch::default() }
    }

    /// From now on this place is of this load.
    pub fn assign(&mut self, key: Key, group: usize) {
        if self.groups.len() <= key.slot() {
            self.groups.resize(key.slot() + 1, 0);
        }
        self.groups[key.slot()] = group as u8;
    }

    pub fn group(&self, key: Key) -> usize {
        usize::from(self.groups[key.slot()])
    }
}

impl Observer for LoadWatch {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        match event {
            Event::Wrote { bytes, .. } => {
                let group = self.group(key);
                let moved = &mut self.moved[group];
                match key.end() {
                    0 => moved.into += *bytes as u64,
                    _ => moved.out += *bytes as u64,
                }
            }
            Event::Connected { after } => self.connected.push((key, *after)),
            Event::EndOfFile if key.end() == 1 => self.ended.push(key),
            Event::Closed { ending, up, down, lasted, .. } => self.closed.push(Closed {
                key,
                ending: *ending,
                up: *up,
                down: *down,
                lasted: *lasted,
            }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_counted_by_load_and_direction() {
        let mut watch = LoadWatch::of(2);
        let (one, two) = (Key::new(1, 0), Key::new(2, 1));
        watch.assign(two, 1);
        watch.assign(one, 0);
        for (key, bytes) in [(one.at(0), 1), (one.at(1), 10), (two.at(1), 100), (two.at(1), 1)] {
            watch.on(key, &Event::Wrote { bytes, left: 0 });
        }
        assert_eq!(watch.moved, [Moved { out: 10, into: 1 }, Moved { out: 101, into: 0 }]);
    }

    #[test]
    fn only_the_other_side_is_heard_to_end() {
        let mut watch = LoadWatch::of(1);
        let key = Key::new(1, 0);
        watch.on(key.at(0), &Event::EndOfFile);
        watch.on(key.at(1), &Event::EndOfFile);
        assert_eq!(watch.ended, [key.at(1)]);
    }
}
