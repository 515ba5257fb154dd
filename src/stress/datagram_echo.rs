//! Echo exchange over datagrams: numbers each message, verifies every byte of the answers, and
//! counts messages that are not echoed in time.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::core::Key;

use super::load::{Load, Pace, ScriptEvent};
use super::pacer::SendPermits;

/// The state of an echo exchange over datagrams.
#[derive(Debug, Default)]
pub struct DatagramEcho {
    started: u64,
    pub permits: SendPermits,
    /// Numbers of the messages in flight, in order, and when each was sent.
    in_flight: VecDeque<(u64, Duration)>,
}

/// Length of the message number, in bytes, at the start of a message. A shorter message holds only
/// its low bytes.
const NUMBER_BYTES: usize = 8;

/// Maximum segments of one call with segmentation offload, and maximum bytes.
const SEGMENTS_MAX: usize = 64;
const SEGMENT_BYTES_MAX: usize = 65_000;

impl DatagramEcho {
    /// Returns the number of permitted messages that are neither answered nor lost.
    pub fn owed(&self) -> u64 {
        self.permits.granted.saturating_sub(self.started) + self.in_flight.len() as u64
    }

    /// Whether an answer is missing.
    pub fn waits(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Generates one datagram; with segmentation offload as many as may be sent.
    pub fn read(&mut self, load: &Load, start: u32, into: &mut [u8]) -> io::Result<usize> {
        let size = load.size;
        let at_once = match load.gso {
            true => SEGMENTS_MAX.min(SEGMENT_BYTES_MAX / size).max(1),
            false => 1,
        };
        let count = (self.may_start(load) as usize).min(at_once).min(into.len() / size);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let now = load.clock.now();
        for message in into[..count * size].chunks_mut(size) {
            write_message(load, start, self.started, message);
            self.in_flight.push_back((self.started, now));
            self.started += 1;
        }
        Ok(count * size)
    }

    /// Returns the number of messages that may be sent now.
    fn may_start(&self, load: &Load) -> u64 {
        match load.pace {
            _ if !load.started.get() || load.ending.get() => 0,
            Pace::Answers(depth) => depth.saturating_sub(self.in_flight.len() as u64),
            Pace::Loop => self.permits.granted - self.started,
        }
    }

    /// Verifies one datagram, or several of equal size that the kernel has coalesced.
    pub fn write(&mut self, load: &Load, key: Key, start: u32, from: &[u8]) -> io::Result<usize> {
        let now = load.clock.now();
        for message in from.chunks(load.size) {
            match self.find(load, start, message) {
                Some(Lookup::InFlight(index)) => {
                    let (number, sent) = self.in_flight.remove(index).unwrap_or((0, now));
                    let overdue = self.permits.overdue(load, number, sent);
                    let took = now.saturating_sub(sent);
                    load.report(key, ScriptEvent::Answered { took, overdue });
                }
                Some(Lookup::Expired) => load.report(key, ScriptEvent::Late),
                None => {
                    return Err(load.reject(key, ScriptEvent::Corrupt { bytes: message.len() }));
                }
            }
        }
        Ok(from.len())
    }

    /// Counts messages sent before this time as lost.
    pub fn expire(&mut self, load: &Load, key: Key, sent_before: Duration) {
        while self.in_flight.front().is_some_and(|(_, sent)| *sent < sent_before) {
            self.in_flight.pop_front();
            load.report(key, ScriptEvent::Lost);
        }
    }

    /// Reads the number of a message. If only its low bytes fit: of a message in flight with these
    /// bytes, or else of a recent one.
    fn number(&self, message: &[u8]) -> Option<u64> {
        let bytes = message.len().min(NUMBER_BYTES);
        let mut word = [0; NUMBER_BYTES];
        word[..bytes].copy_from_slice(&message[..bytes]);
        let low = u64::from_le_bytes(word);
        match bytes {
            NUMBER_BYTES => Some(low),
            _ => {
                let mask = (1 << (8 * bytes)) - 1;
                let fits = |number: &u64| number & mask == low;
                let in_flight = self.in_flight.iter().map(|(number, _)| *number).find(fits);
                in_flight.or_else(|| (0..self.started).rev().take(1 << 8).find(fits))
            }
        }
    }

    /// Looks up a received message. `None`: it was never sent, or was modified.
    fn find(&self, load: &Load, start: u32, message: &[u8]) -> Option<Lookup> {
        let number = self.number(message)?;
        let head = message.len().min(NUMBER_BYTES);
        let at = number.wrapping_mul(load.size as u64).wrapping_add(head as u64);
        let is_own = number < self.started
            && message.len() == load.size
            && message[..head] == number.to_le_bytes()[..head]
            && load.pattern.check(start, at, &message[head..]).is_none();
        if !is_own {
            return None;
        }
        let index = self.in_flight.iter().position(|(in_flight, _)| *in_flight == number);
        Some(index.map_or(Lookup::Expired, Lookup::InFlight))
    }
}

/// A message that was sent.
enum Lookup {
    /// Still in flight, at this index.
    InFlight(usize),
    /// Counted as lost, or already answered.
    Expired,
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
    use crate::stress::load::RunClock;
    use crate::stress::pattern::Pattern;

    const KEY: Key = Key::LOOP;

    fn load(size: usize, depth: u64) -> Load {
        let pattern = Rc::new(Pattern::new(1));
        let load = Load::new(pattern, RunClock::start(), size, Pace::Answers(depth));
        load.started.set(true);
        load
    }

    fn send(datagram_echo: &mut DatagramEcho, load: &Load) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 65_536];
        let bytes = datagram_echo.read(load, 3, &mut buffer).ok()?;
        buffer.truncate(bytes);
        Some(buffer)
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
    fn an_answer_after_the_timeout_is_lost_and_then_late() {
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
    fn a_modified_a_truncated_and_a_foreign_datagram_are_corrupt() {
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
    fn with_segmentation_offload_many_are_sent_and_received_in_one_call() {
        let mut load = load(1200, 100);
        load.gso = true;
        let mut datagram_echo = DatagramEcho::default();
        let message = send(&mut datagram_echo, &load).unwrap();
        assert_eq!(message.len(), 54 * 1200);
        assert_eq!(send(&mut datagram_echo, &load).unwrap().len(), 46 * 1200);
        datagram_echo.write(&load, KEY, 3, &message[..10 * 1200]).unwrap();
        assert_eq!(load.events().len(), 10);
    }
}
