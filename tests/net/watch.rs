//! The observer of a run: records what the events report, and hashes their trace.

use std::collections::HashMap;

use oneloop::core::event::{Event, Observer};
use oneloop::core::random::mix;
use oneloop::core::timers::Deadline;
use oneloop::core::{Close, Key, Moment, Tick, Wants};

use super::recorded::Recorded;
use super::talk::Facts;

#[derive(Default)]
pub struct Watch {
    pub now: Tick,
    pub turn: usize,
    /// Facts about the open connections, by id.
    pub facts: HashMap<u32, Facts>,
    pub closed: Vec<Closed>,
    /// Deadlines that fired, with the facts at that time.
    pub fired: Vec<(Key, Deadline, Facts)>,
    pub received: Vec<(Key, Vec<u8>)>,
    /// A hash of all events, if wanted.
    pub trace: Option<u64>,
    pub tracing: bool,
    pub counts: EventCounts,
    /// A recorder beside this observer.
    pub recorded: Option<Recorded>,
}

/// How many events of some kinds there were.
#[derive(Default)]
pub struct EventCounts {
    pub connected: u64,
    pub yielded: u64,
    pub stale: u64,
    pub fired: u64,
}

/// How a connection ended, as the event reported it.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    pub key: Key,
    pub ending: Close,
    pub up: u64,
    pub down: u64,
    pub facts: Facts,
}

impl Watch {
    pub fn opened(&mut self, key: Key, service: bool) {
        let facts = Facts { opened: self.now, active: self.now, service, ..Facts::default() };
        let before = self.facts.insert(key.id, facts);
        assert!(before.is_none(), "#{} is opened twice", key.id);
        if let Some(recorded) = &mut self.recorded {
            recorded.opened(key);
        }
    }

    /// Records that an attempt begins, or has failed.
    pub fn dialed(&mut self, key: Key) {
        let now = self.now;
        self.facts.entry(key.id).and_modify(|facts| facts.active = now);
    }
}

impl Observer for Watch {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if self.tracing {
            println!("{:5} {:6} #{}.{} {event:?}", self.turn, self.now, key.id, key.end());
        }
        if let Some(trace) = &mut self.trace {
            let line = format!("{key:?}{event:?}");
            *trace = line.bytes().fold(*trace, |sum, byte| mix(sum ^ u64::from(byte)));
        }
        if let Some(recorded) = &mut self.recorded {
            recorded.on(key, event);
        }
        match event {
            Event::Connected { .. } => self.counts.connected += 1,
            Event::Yielded { .. } => self.counts.yielded += 1,
            Event::Stale => self.counts.stale += 1,
            Event::Fired { .. } => self.counts.fired += 1,
            _ => {}
        }
        let now = self.now;
        let Some(facts) = self.facts.get_mut(&key.id) else {
            assert!(matches!(event, Event::Stale), "{event:?} of #{}, which is closed", key.id);
            return;
        };
        match event {
            Event::Wrote { bytes: 1.., .. } => {
                facts.wrote[key.end()] = self.turn;
                if !facts.lingers {
                    facts.active = now;
                }
            }
            Event::Connected { .. } => {
                facts.connected = true;
                facts.active = now;
            }
            Event::EndOfFile => {
                facts.ended[key.end()] = true;
                facts.first.get_or_insert(key.end());
                if !facts.lingers {
                    facts.active = now;
                }
                facts.lingers |= facts.service && key.end() == 1;
            }
            Event::Fired { deadline, again: false } => self.fired.push((key, *deadline, *facts)),
            Event::Message { message } => self.received.push((key, message.to_vec())),
            Event::Closed { ending, up, down, .. } => {
                facts.closed += 1;
                assert_eq!(facts.closed, 1, "#{} is closed twice", key.id);
                let (ending, up, down, facts) = (*ending, *up, *down, *facts);
                self.closed.push(Closed { key, ending, up, down, facts });
            }
            _ => {}
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        match &mut self.recorded {
            Some(recorded) => recorded.begin_turn(now),
            None => Wants { steps: true, stalls: false },
        }
    }
}
