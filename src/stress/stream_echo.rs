//! A conversation over a stream with one that sends back what it receives: messages of one size,
//! so many at once, each byte verified and each answer timed.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::core::Key;

use super::load::{Load, Pace, ScriptEvent};
use super::send_permits::SendPermits;

/// How far a conversation has come.
#[derive(Debug, Default)]
pub struct StreamEcho {
    sent_bytes: u64,
    got_bytes: u64,
    begun: u64,
    answered: u64,
    permits: SendPermits,
    /// When each message on the way was begun.
    times: VecDeque<Duration>,
    /// The other side has ended: no answer can come.
    pub ended: bool,
    /// When the last part of an answer came that is not whole yet.
    last_byte: Duration,
    /// What came was wrong.
    wrong: bool,
}

impl StreamEcho {
    /// One that may send so many messages from the start.
    pub fn permitting(allowed: u64) -> StreamEcho {
        StreamEcho { permits: SendPermits::of(allowed), ..StreamEcho::default() }
    }

    /// One more message may be sent.
    pub fn permit(&mut self, due: Duration) {
        self.permits.next(due);
    }

    pub fn unanswered(&self) -> u64 {
        self.begun - self.answered
    }

    pub fn read(&mut self, load: &Load, start: u32, into: &mut [u8]) -> io::Result<usize> {
        let done = load.ends_after.is_some_and(|count| self.answered >= count);
        let idle = self.unanswered() == 0;
        if self.ended || idle && (done || load.ending.get()) {
            return Ok(0);
        }
        let may_send = self.may_begin(load) * load.size as u64 - self.sent_bytes;
        let bytes = into.len().min(may_send.min(usize::MAX as u64) as usize);
        if bytes == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        load.pattern.fill(start, self.sent_bytes, &mut into[..bytes]);
        self.sent_bytes += bytes as u64;
        let now = load.clock.now();
        let begun = self.sent_bytes.div_ceil(load.size as u64);
        self.times.extend((self.begun..begun).map(|_| now));
        self.begun = begun;
        Ok(bytes)
    }

    /// How many messages may have been begun by now, those of the past among them.
    fn may_begin(&self, load: &Load) -> u64 {
        let allowed = match load.pace {
            _ if !load.started.get() || load.ending.get() => 0,
            Pace::Answers(depth) => self.answered + depth,
            Pace::Loop => self.permits.given,
        };
        let limited = load.ends_after.map_or(allowed, |count| allowed.min(count));
        // What was begun is finished, whatever has been said since.
        limited.max(self.begun)
    }

    pub fn write(&mut self, load: &Load, key: Key, start: u32, from: &[u8]) -> io::Result<usize> {
        let at = self.got_bytes;
        let known = (self.sent_bytes - at).min(from.len() as u64) as usize;
        if let Some(offset) = load.pattern.check(start, at, &from[..known]) {
            let at = at + offset as u64;
            let (is, should) = (from[offset], load.pattern.byte(start, at));
            self.wrong = true;
            return Err(load.reject(key, ScriptEvent::Wrong { at, is, should }));
        }
        if known < from.len() {
            self.wrong = true;
            return Err(load.reject(key, ScriptEvent::Excess { at: self.sent_bytes }));
        }
        self.got_bytes += from.len() as u64;
        self.answer(load, key);
        if self.partial_bytes(load) > 0 {
            self.last_byte = load.clock.now();
        }
        Ok(from.len())
    }

    /// Bytes that came of an answer that is not whole.
    fn partial_bytes(&self, load: &Load) -> u64 {
        self.got_bytes.checked_rem(load.size as u64).unwrap_or(0)
    }

    /// The connection is gone: tells of the answer that had come in part.
    pub fn close(&self, load: &Load, key: Key) {
        let bytes = self.partial_bytes(load);
        if bytes > 0 && !self.wrong {
            let quiet = load.clock.now().saturating_sub(self.last_byte);
            load.report(key, ScriptEvent::Partial { bytes, quiet });
        }
    }

    /// Tells of the messages that are whole now.
    fn answer(&mut self, load: &Load, key: Key) {
        let whole = self.got_bytes / load.size as u64;
        if whole == self.answered {
            return;
        }
        let now = load.clock.now();
        for number in self.answered..whole {
            let begun = self.times.pop_front().unwrap_or(now);
            let waited = self.permits.waited(load, number, begun);
            let took = now.saturating_sub(begun);
            load.report(key, ScriptEvent::Answered { took, waited });
        }
        self.answered = whole;
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::stress::load::Clock;
    use crate::stress::pattern::Pattern;

    const KEY: Key = Key::LOOP;

    fn load(size: usize, pace: Pace) -> Load {
        let load = Load::new(Rc::new(Pattern::new(1)), Clock::start(), size, pace);
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
    fn as_many_messages_as_agreed_are_on_the_way_and_no_more() {
        let load = load(10, Pace::Answers(3));
        let (mut echo, mut room) = (StreamEcho::default(), [0; 100]);
        assert_eq!(echo.read(&load, 5, &mut room).unwrap(), 30);
        assert!(is_blocked(echo.read(&load, 5, &mut [0; 100])));
        assert_eq!(echo.write(&load, KEY, 5, &room[..15]).unwrap(), 15);
        assert_eq!((answers(&load), echo.unanswered()), (1, 2));
        assert_eq!(echo.read(&load, 5, &mut [0; 7]).unwrap(), 7);
        assert_eq!(echo.read(&load, 5, &mut [0; 7]).unwrap(), 3);
        assert!(is_blocked(echo.read(&load, 5, &mut room)));
    }

    #[test]
    fn nothing_begins_before_the_word_and_nothing_after_the_end() {
        let load = load(10, Pace::Answers(1));
        load.started.set(false);
        let (mut echo, mut room) = (StreamEcho::default(), [0; 100]);
        assert!(is_blocked(echo.read(&load, 0, &mut room)));
        load.started.set(true);
        assert_eq!(echo.read(&load, 0, &mut room[..4]).unwrap(), 4);
        load.ending.set(true);
        // What was begun is finished, and its answer is waited for.
        assert_eq!(echo.read(&load, 0, &mut room[4..]).unwrap(), 6);
        assert!(is_blocked(echo.read(&load, 0, &mut [0; 9])));
        echo.write(&load, KEY, 0, &room[..10]).unwrap();
        assert_eq!(echo.read(&load, 0, &mut room).unwrap(), 0);
    }

    #[test]
    fn a_connection_of_one_exchange_ends_after_it() {
        let mut load = load(10, Pace::Answers(4));
        load.ends_after = Some(1);
        let (mut echo, mut room) = (StreamEcho::default(), [0; 100]);
        assert_eq!(echo.read(&load, 0, &mut room).unwrap(), 10);
        assert!(is_blocked(echo.read(&load, 0, &mut [0; 9])));
        echo.write(&load, KEY, 0, &room[..10]).unwrap();
        assert_eq!(echo.read(&load, 0, &mut room).unwrap(), 0);
        load.ends_after = Some(0);
        assert_eq!(StreamEcho::default().read(&load, 0, &mut room).unwrap(), 0);
    }

    #[test]
    fn a_wrong_byte_and_one_too_many_are_told() {
        let load = load(10, Pace::Answers(1));
        let (mut echo, mut room) = (StreamEcho::default(), [0; 10]);
        echo.read(&load, 0, &mut room).unwrap();
        let right = room[7];
        room[7] ^= 0x40;
        assert_eq!(
            echo.write(&load, KEY, 0, &room).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
        let wrong = ScriptEvent::Wrong { at: 7, is: right ^ 0x40, should: right };
        assert_eq!(load.events(), [wrong]);
        room[7] = right;
        assert!(echo.write(&load, KEY, 0, &[&room[..], b"x"].concat()).is_err());
        assert_eq!(load.events(), [ScriptEvent::Excess { at: 10 }]);
    }

    #[test]
    fn an_answer_of_which_a_part_came_is_told_when_the_connection_is_gone() {
        let load = load(10, Pace::Answers(2));
        let (mut echo, mut room) = (StreamEcho::default(), [0; 20]);
        echo.read(&load, 0, &mut room).unwrap();
        echo.write(&load, KEY, 0, &room[..10]).unwrap();
        echo.close(&load, KEY);
        assert_eq!((answers(&load), load.events().len()), (1, 0));
        echo.write(&load, KEY, 0, &room[10..19]).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        echo.close(&load, KEY);
        let told = load.events();
        let [ScriptEvent::Partial { bytes: 9, quiet }] = told[..] else { panic!("{told:?}") };
        assert!(quiet >= Duration::from_millis(5));
        // What was wrong has been told already.
        assert!(echo.write(&load, KEY, 0, &[!room[19]]).is_err());
        echo.close(&load, KEY);
        assert!(matches!(load.events()[..], [ScriptEvent::Wrong { .. }]));
    }

    #[test]
    fn a_message_that_had_to_wait_tells_how_long() {
        let load = load(4, Pace::Loop);
        load.step.set(Duration::from_millis(1));
        let (mut echo, mut room) = (StreamEcho::default(), [0; 8]);
        assert!(is_blocked(echo.read(&load, 0, &mut room)));
        // The first was due at once, so the second one millisecond later: both are long due.
        echo.permit(Duration::ZERO);
        echo.permit(Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(echo.read(&load, 0, &mut room).unwrap(), 8);
        echo.write(&load, KEY, 0, &room).unwrap();
        let told = load.events();
        let waits: Vec<Duration> = told
            .iter()
            .map(|event| match event {
                ScriptEvent::Answered { waited, .. } => *waited,
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(waits[0] >= Duration::from_millis(5), "{waits:?}");
        assert_eq!(waits[0] - waits[1], Duration::from_millis(1));
    }
}
