//! Echo exchange over a stream: sends messages of one size, verifies every byte of the answers, and
//! measures their latency.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::core::Key;

use super::load::{Load, Pace, ScriptEvent};
use super::pacer::SendPermits;

/// The state of an echo exchange over a stream.
#[derive(Debug, Default)]
pub struct StreamEcho {
    sent_bytes: u64,
    received_bytes: u64,
    started: u64,
    answered: u64,
    pub permits: SendPermits,
    /// Start time of each message in flight.
    times: VecDeque<Duration>,
    /// The peer has ended the stream: no answer can arrive.
    pub ended: bool,
    /// When the last part of an incomplete answer arrived.
    last_byte: Duration,
    /// A received byte was wrong.
    corrupt: bool,
}

impl StreamEcho {
    /// Creates an exchange that may send `permits` messages at once.
    pub fn with_permits(permits: u64) -> StreamEcho {
        StreamEcho { permits: SendPermits::new(permits), ..StreamEcho::default() }
    }

    /// Returns the number of messages in flight.
    pub fn unanswered(&self) -> u64 {
        self.started - self.answered
    }

    /// Generates message bytes, as far as messages may be sent.
    pub fn read(&mut self, load: &Load, start: u32, into: &mut [u8]) -> io::Result<usize> {
        let done = load.ends_after.is_some_and(|count| self.answered >= count);
        let idle = self.unanswered() == 0;
        if done && load.aborts {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.ended || idle && (done || load.ending.get()) {
            return Ok(0);
        }
        let may_send = self.may_start(load) * load.size as u64 - self.sent_bytes;
        let bytes = into.len().min(may_send.min(usize::MAX as u64) as usize);
        if bytes == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        load.pattern.fill(start, self.sent_bytes, &mut into[..bytes]);
        self.sent_bytes += bytes as u64;
        let now = load.clock.now();
        let started = self.sent_bytes.div_ceil(load.size as u64);
        self.times.extend((self.started..started).map(|_| now));
        self.started = started;
        Ok(bytes)
    }

    /// Returns the number of messages that may be started in total, including past ones.
    fn may_start(&self, load: &Load) -> u64 {
        let allowed = match load.pace {
            _ if !load.started.get() || load.ending.get() => 0,
            Pace::Answers(depth) => self.answered + depth,
            Pace::Loop => self.permits.granted,
        };
        let limited = load.ends_after.map_or(allowed, |count| allowed.min(count));
        // A started message is always completed.
        limited.max(self.started)
    }

    /// Verifies received bytes.
    pub fn write(&mut self, load: &Load, key: Key, start: u32, from: &[u8]) -> io::Result<usize> {
        let at = self.received_bytes;
        let known = (self.sent_bytes - at).min(from.len() as u64) as usize;
        if let Some(offset) = load.pattern.check(start, at, &from[..known]) {
            let at = at + offset as u64;
            let (actual, expected) = (from[offset], load.pattern.byte(start, at));
            self.corrupt = true;
            return Err(load.reject(key, ScriptEvent::Wrong { at, actual, expected }));
        }
        if known < from.len() {
            self.corrupt = true;
            return Err(load.reject(key, ScriptEvent::Excess { at: self.sent_bytes }));
        }
        self.received_bytes += from.len() as u64;
        self.report_answers(load, key);
        if self.partial_bytes(load) > 0 {
            self.last_byte = load.clock.now();
        }
        Ok(from.len())
    }

    /// Returns the number of bytes received of an incomplete answer.
    fn partial_bytes(&self, load: &Load) -> u64 {
        self.received_bytes.checked_rem(load.size as u64).unwrap_or(0)
    }

    /// Returns the number of permitted messages that are not answered.
    pub fn owed(&self) -> u64 {
        self.permits.granted.saturating_sub(self.answered)
    }

    /// Reports an incomplete answer when the connection ends.
    pub fn report_partial(&self, load: &Load, key: Key) {
        let bytes = self.partial_bytes(load);
        if bytes > 0 && !self.corrupt {
            let quiet = load.clock.now().saturating_sub(self.last_byte);
            load.report(key, ScriptEvent::Partial { bytes, quiet });
        }
    }

    /// Reports the answers that are complete now.
    fn report_answers(&mut self, load: &Load, key: Key) {
        let complete = self.received_bytes / load.size as u64;
        if complete == self.answered {
            return;
        }
        let now = load.clock.now();
        for number in self.answered..complete {
            let started = self.times.pop_front().unwrap_or(now);
            let overdue = self.permits.overdue(load, number, started);
            let took = now.saturating_sub(started);
            load.report(key, ScriptEvent::Answered { took, overdue });
        }
        self.answered = complete;
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::stress::load::RunClock;
    use crate::stress::pattern::Pattern;

    const KEY: Key = Key::LOOP;

    fn load(size: usize, pace: Pace) -> Load {
        let load = Load::new(Rc::new(Pattern::new(1)), RunClock::start(), size, pace);
        load.started.set(true);
        load
    }

    fn answers(load: &Load) -> usize {
        let is_answer = |event: &ScriptEvent| matches!(event, ScriptEvent::Answered { .. });
        load.events().iter().filter(|event| is_answer(event)).count()
    }

    fn is_blocked(read: io::Result<usize>) -> bool {
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    #[test]
    fn no_more_messages_than_the_depth_are_in_flight() {
        let load = load(10, Pace::Answers(3));
        let (mut echo, mut buffer) = (StreamEcho::default(), [0; 100]);
        assert_eq!(echo.read(&load, 5, &mut buffer).unwrap(), 30);
        assert!(is_blocked(echo.read(&load, 5, &mut [0; 100])));
        assert_eq!(echo.write(&load, KEY, 5, &buffer[..15]).unwrap(), 15);
        assert_eq!((answers(&load), echo.unanswered()), (1, 2));
        assert_eq!(echo.read(&load, 5, &mut [0; 7]).unwrap(), 7);
        assert_eq!(echo.read(&load, 5, &mut [0; 7]).unwrap(), 3);
        assert!(is_blocked(echo.read(&load, 5, &mut buffer)));
    }

    #[test]
    fn nothing_is_sent_before_the_start_and_nothing_new_after_the_end() {
        let load = load(10, Pace::Answers(1));
        load.started.set(false);
        let (mut echo, mut buffer) = (StreamEcho::default(), [0; 100]);
        assert!(is_blocked(echo.read(&load, 0, &mut buffer)));
        load.started.set(true);
        assert_eq!(echo.read(&load, 0, &mut buffer[..4]).unwrap(), 4);
        load.ending.set(true);
        // The started message is completed, and its answer is awaited.
        assert_eq!(echo.read(&load, 0, &mut buffer[4..]).unwrap(), 6);
        assert!(is_blocked(echo.read(&load, 0, &mut [0; 9])));
        echo.write(&load, KEY, 0, &buffer[..10]).unwrap();
        assert_eq!(echo.read(&load, 0, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_connection_of_one_exchange_ends_after_it() {
        let mut load = load(10, Pace::Answers(4));
        load.ends_after = Some(1);
        let (mut echo, mut buffer) = (StreamEcho::default(), [0; 100]);
        assert_eq!(echo.read(&load, 0, &mut buffer).unwrap(), 10);
        assert!(is_blocked(echo.read(&load, 0, &mut [0; 9])));
        echo.write(&load, KEY, 0, &buffer[..10]).unwrap();
        assert_eq!(echo.read(&load, 0, &mut buffer).unwrap(), 0);
        load.ends_after = Some(0);
        assert_eq!(StreamEcho::default().read(&load, 0, &mut buffer).unwrap(), 0);
    }

    #[test]
    fn a_wrong_byte_and_an_excess_byte_are_reported() {
        let load = load(10, Pace::Answers(1));
        let (mut echo, mut buffer) = (StreamEcho::default(), [0; 10]);
        echo.read(&load, 0, &mut buffer).unwrap();
        let right = buffer[7];
        buffer[7] ^= 0x40;
        assert_eq!(
            echo.write(&load, KEY, 0, &buffer).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let wrong = ScriptEvent::Wrong { at: 7, actual: right ^ 0x40, expected: right };
        assert_eq!(load.events(), [wrong]);
        buffer[7] = right;
        assert!(echo.write(&load, KEY, 0, &[&buffer[..], b"x"].concat()).is_err());
        assert_eq!(load.events(), [ScriptEvent::Excess { at: 10 }]);
    }

    #[test]
    fn an_incomplete_answer_is_reported_when_the_connection_ends() {
        let load = load(10, Pace::Answers(2));
        let (mut echo, mut buffer) = (StreamEcho::default(), [0; 20]);
        echo.read(&load, 0, &mut buffer).unwrap();
        echo.write(&load, KEY, 0, &buffer[..10]).unwrap();
        echo.report_partial(&load, KEY);
        assert_eq!((answers(&load), load.events().len()), (1, 0));
        echo.write(&load, KEY, 0, &buffer[10..19]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        echo.report_partial(&load, KEY);
        let events = load.events();
        let [ScriptEvent::Partial { bytes: 9, quiet }] = events[..] else { panic!("{events:?}") };
        assert!(quiet >= Duration::from_millis(5));
        // A wrong byte has already been reported.
        assert!(echo.write(&load, KEY, 0, &[!buffer[19]]).is_err());
        echo.report_partial(&load, KEY);
        assert!(matches!(load.events()[..], [ScriptEvent::Wrong { .. }]));
    }

    #[test]
    fn the_time_a_message_was_overdue_is_reported() {
        let load = load(4, Pace::Loop);
        load.interval.set(Duration::from_millis(1));
        let (mut echo, mut buffer) = (StreamEcho::default(), [0; 8]);
        assert!(is_blocked(echo.read(&load, 0, &mut buffer)));
        // The first was due at once, so the second one millisecond later: both are long due.
        echo.permits.grant(Duration::ZERO);
        echo.permits.grant(Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(echo.read(&load, 0, &mut buffer).unwrap(), 8);
        echo.write(&load, KEY, 0, &buffer).unwrap();
        let events = load.events();
        let overdue: Vec<Duration> = events
            .iter()
            .map(|event| match event {
                ScriptEvent::Answered { overdue, .. } => *overdue,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(overdue[0] >= Duration::from_millis(5), "{overdue:?}");
        assert_eq!(overdue[0] - overdue[1], Duration::from_millis(1));
    }
}
