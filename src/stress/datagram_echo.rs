//! A conversation over datagrams with one that sends each back: so many on the way at once, each
//! with its number, each byte verified, and those that do not come back counted.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::core::Key;

use super::load::{Load, Pace, ScriptEvent};
use super::send_permits::SendPermits;

/// How far a conversation has come.
#[derive(Debug, Default)]
pub struct DatagramEcho {
    begun: u64,
    permits: SendPermits,
    /// The numbers of those on the way, in order, and when each was sent.
    in_flight: VecDeque<(u64, Duration)>,
}

/// The number of a message stands at its beginning, as far as there is room.
const NUMBER_BYTES: usize = 8;

/// So many datagrams the system cuts out of one call at most, and so many bytes.
const CUTS_MAX: usize = 64;
const CUT_BYTES_MAX: usize = 65_000;

impl DatagramEcho {
    pub fn permit(&mut self, due: Duration) {
        self.permits.next(due);
    }

    pub fn waits(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// One datagram; where the system cuts them, as many as may go.
    pub fn read(&mut self, load: &Load, start: u32, into: &mut [u8]) -> io::Result<usize> {
        let size = load.size;
        let at_once = match load.cuts {
            true => CUTS_MAX.min(CUT_BYTES_MAX / size).max(1),
            false => 1,
        };
        let count = (self.may_begin(load) as usize).min(at_once).min(into.len() / size);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let now = load.clock.now();
        for message in into[..count * size].chunks_mut(size) {
            write_message(load, start, self.begun, message);
            self.in_flight.push_back((self.begun, now));
            self.begun += 1;
        }
        Ok(count * size)
    }

    fn may_begin(&self, load: &Load) -> u64 {
        match load.pace {
            _ if !load.started.get() || load.ending.get() => 0,
            Pace::Answers(depth) => depth.saturating_sub(self.in_flight.len() as u64),
            Pace::Loop => self.permits.given - self.begun,
        }
    }

    /// One datagram came, or several of one size that the system has put together.
    pub fn write(&mut self, load: &Load, key: Key, start: u32, from: &[u8]) -> io::Result<usize> {
        let now = load.clock.now();
        for message in from.chunks(load.size) {
            match self.find(load, start, message) {
                Some(Found::InFlight(index)) => {
                    let (number, sent) = self.in_flight.remove(index).unwrap_or((0, now));
                    let waited = self.permits.waited(load, number, sent);
                    let took = now.saturating_sub(sent);
                    load.report(key, ScriptEvent::Answered { took, waited });
                }
                Some(Found::ConnHistory) => load.report(key, ScriptEvent::Late),
                None => {
                    return Err(load.reject(key, ScriptEvent::Corrupt { bytes: message.len() }));
                }
            }
        }
        Ok(from.len())
    }

    /// Gives up those that were sent before this time.
    pub fn expire(&mut self, load: &Load, key: Key, sent_before: Duration) {
        while self.in_flight.front().is_some_and(|(_, sent)| *sent < sent_before) {
            self.in_flight.pop_front();
            load.report(key, ScriptEvent::Lost);
        }
    }

    /// The number of a message: the one on the way whose end it has, where it is cut short.
    fn number(&self, message: &[u8]) -> Option<u64> {
        let bytes = message.len().min(NUMBER_BYTES);
        let mut word = [0; NUMBER_BYTES];
        word[..bytes].copy_from_slice(&message[..bytes]);
        let told = u64::from_le_bytes(word);
        match bytes {
            NUMBER_BYTES => Some(told),
            _ => {
                let mask = (1 << (8 * bytes)) - 1;
                let fits = |number: &u64| number & mask == told;
                let in_flight = self.in_flight.iter().map(|(number, _)| *number).find(fits);
                in_flight.or_else(|| (0..self.begun).rev().take(1 << 8).find(fits))
            }
        }
    }

    /// Whether this message is one of ours, and on the way.
    fn find(&self, load: &Load, start: u32, message: &[u8]) -> Option<Found> {
        let number = self.number(message)?;
        let head = message.len().min(NUMBER_BYTES);
        let at = number.wrapping_mul(load.size as u64).wrapping_add(head as u64);
        let is_ours = number < self.begun
            && message.len() == load.size
            && message[..head] == number.to_le_bytes()[..head]
            && load.pattern.check(start, at, &message[head..]).is_none();
        if !is_ours {
            return None;
        }
        let index = self.in_flight.iter().position(|(in_flight, _)| *in_flight == number);
        Some(index.map_or(Found::ConnHistory, Found::InFlight))
    }
}

enum Found {
    InFlight(usize),
    /// It was given up, or is there twice.
    ConnHistory,
}

fn write_message(load: &Load, start: u32, number: u64, into: &mut [u8]) {
    load.pattern.fill(start, number.wrapping_mul(load.size as u64), into);
    let bytes = into.len().min(NUMBER_BYTES);
    into[..bytes].copy_from_slice(&number.to_le_bytes()[..bytes]);
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::stress::load::Clock;
    use crate::stress::pattern::Pattern;

    const KEY: Key = Key::LOOP;

    fn load(size: usize, depth: u64) -> Load {
        let pattern = Rc::new(Pattern::new(1));
        let load = Load::new(pattern, Clock::start(), size, Pace::Answers(depth));
        load.started.set(true);
        load
    }

    fn send(datagram_echo: &mut DatagramEcho, load: &Load) -> Option<Vec<u8>> {
        let mut room = vec![0; 65_536];
        let bytes = datagram_echo.read(load, 3, &mut room).ok()?;
        room.truncate(bytes);
        Some(room)
    }

    #[test]
    fn answers_are_known_by_their_number_in_any_order() {
        for size in [1, 2, 7, 8, 64] {
            let load = load(size, 3);
            let mut datagram_echo = DatagramEcho::default();
            let sent: Vec<Vec<u8>> =
                std::iter::from_fn(|| send(&mut datagram_echo, &load)).take(9).collect();
            assert_eq!(sent.len(), 3);
            for message in [&sent[2], &sent[0]] {
                datagram_echo.write(&load, KEY, 3, message).unwrap();
            }
            assert!(matches!(
                load.events()[..],
                [ScriptEvent::Answered { .. }, ScriptEvent::Answered { .. }]
            ));
            assert!(
                send(&mut datagram_echo, &load).is_some()
                    && send(&mut datagram_echo, &load).is_some()
            );
            assert!(send(&mut datagram_echo, &load).is_none());
        }
    }

    #[test]
    fn what_does_not_come_back_in_time_is_lost_and_then_late() {
        let load = load(64, 1);
        let mut datagram_echo = DatagramEcho::default();
        let message = send(&mut datagram_echo, &load).unwrap();
        datagram_echo.expire(&load, KEY, Duration::ZERO);
        assert!(datagram_echo.waits());
        datagram_echo.expire(&load, KEY, Duration::MAX);
        assert!(!datagram_echo.waits() && send(&mut datagram_echo, &load).is_some());
        datagram_echo.write(&load, KEY, 3, &message).unwrap();
        assert_eq!(load.events(), [ScriptEvent::Lost, ScriptEvent::Late]);
    }

    #[test]
    fn a_changed_a_cut_and_a_foreign_datagram_are_garbled() {
        let load = load(64, 1);
        let mut datagram_echo = DatagramEcho::default();
        let message = send(&mut datagram_echo, &load).unwrap();
        let mut changed = message.clone();
        changed[60] ^= 1;
        let foreign = [9; 64].to_vec();
        for bad in [changed, message[..63].to_vec(), foreign] {
            assert!(datagram_echo.write(&load, KEY, 3, &bad).is_err());
            assert_eq!(load.events(), [ScriptEvent::Corrupt { bytes: bad.len() }]);
        }
        datagram_echo.write(&load, KEY, 3, &message).unwrap();
    }

    #[test]
    fn where_the_system_cuts_many_go_in_one_call_and_come_in_one() {
        let mut load = load(1200, 100);
        load.cuts = true;
        let mut datagram_echo = DatagramEcho::default();
        let message = send(&mut datagram_echo, &load).unwrap();
        assert_eq!(message.len(), 54 * 1200);
        assert_eq!(send(&mut datagram_echo, &load).unwrap().len(), 46 * 1200);
        datagram_echo.write(&load, KEY, 3, &message[..10 * 1200]).unwrap();
        assert_eq!(load.events().len(), 10);
    }
}
