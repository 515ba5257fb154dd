//! The observer of the load generator's engine: counts bytes, and collects which connections were
//! established, ended by the peer, or closed.

use std::time::Duration;

use crate::core::{Close, Event, Key, Observer};

/// Engine events since the loop last collected them.
#[derive(Debug, Default)]
pub struct LoadWatch {
    pub connected: Vec<(Key, Duration)>,
    /// Connections whose peer has sent its end of file.
    pub peer_ended: Vec<Key>,
    pub closed: Vec<ClosedConn>,
    /// Bytes of each load.
    pub moved: Vec<Moved>,
    /// The load of each slot of the engine.
    groups: Vec<u8>,
}

/// A closed connection.
#[derive(Clone, Copy, Debug)]
pub struct ClosedConn {
    pub key: Key,
    pub close: Close,
    pub up: u64,
    pub down: u64,
    pub lasted: Duration,
}

/// Bytes written to sockets, and bytes that scripts received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    pub sent: u64,
    pub received: u64,
}

impl LoadWatch {
    /// Creates an observer for this number of loads.
    pub fn new(groups: usize) -> LoadWatch {
        LoadWatch { moved: vec![Moved::default(); groups], ..LoadWatch::default() }
    }

    /// Assigns a slot of the engine to a load.
    pub fn assign(&mut self, key: Key, group: usize) {
        if self.groups.len() <= key.slot() {
            self.groups.resize(key.slot() + 1, 0);
        }
        self.groups[key.slot()] = group as u8;
    }

    /// Returns the load of a connection.
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
                    0 => moved.received += *bytes as u64,
                    _ => moved.sent += *bytes as u64,
                }
            }
            Event::Connected { after } => self.connected.push((key, *after)),
            Event::EndOfFile if key.end() == 1 => self.peer_ended.push(key),
            Event::Closed { ending, up, down, lasted, .. } => self.closed.push(ClosedConn {
                key,
                close: *ending,
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
        let mut watch = LoadWatch::new(2);
        let (one, two) = (Key::new(1, 0), Key::new(2, 1));
        watch.assign(two, 1);
        watch.assign(one, 0);
        for (key, bytes) in [(one.at(0), 1), (one.at(1), 10), (two.at(1), 100), (two.at(1), 1)] {
            watch.on(key, &Event::Wrote { bytes, left: 0 });
        }
        assert_eq!(
            watch.moved,
            [Moved { sent: 10, received: 1 }, Moved { sent: 101, received: 0 }]
        );
    }

    #[test]
    fn only_the_peers_end_of_file_is_collected() {
        let mut watch = LoadWatch::new(1);
        let key = Key::new(1, 0);
        watch.on(key.at(0), &Event::EndOfFile);
        watch.on(key.at(1), &Event::EndOfFile);
        assert_eq!(watch.peer_ended, [key.at(1)]);
    }
}
