//! Signals, and how the loop ends: it drains, at most so long, and a second signal ends it now.

use crate::core::time::ticks;
use crate::core::{Event, Key, Moment, Observer, Reason};

use super::reactor::{Outcome, Reactor};
use super::signals::Signal;

impl Reactor {
    /// Heeds what signals came. Some: it is the second that says stop, and stopping ends now.
    pub(super) fn handle_signals(
        &mut self,
        now: Moment,
        seen: &mut dyn Observer,
    ) -> Option<Signal> {
        let signals: Vec<Signal> = self.signals.drain().collect();
        for signal in signals {
            seen.on(Key::LOOP, &Event::Signal { name: signal.name() });
            match signal {
                Signal::Terminate | Signal::Interrupt if self.stopping.is_some() => {
                    return Some(signal);
                }
                Signal::Terminate | Signal::Interrupt => self.begin_to_stop(now, seen),
                Signal::Quit => self.dump(now, seen),
                Signal::HangUp => {}
            }
        }
        None
    }

    /// Accepts what waits in the accept queues, and no more. What is at rest ends, what is in
    /// progress may finish.
    fn begin_to_stop(&mut self, now: Moment, seen: &mut dyn Observer) {
        self.stopping = Some(now.after(self.drain_timeout));
        let connections = self.engine.len();
        seen.on(Key::LOOP, &Event::Draining { connections, deadline: self.drain_timeout });
        self.listeners.close_when_empty();
        self.engine.drain(ticks(self.drain_idle), now, seen);
        let idle = self.drain_idle;
        self.with_datagrams(now, seen, |datagrams, cx| datagrams.drain(idle, cx));
    }

    /// Whether the loop has nothing left to do. What did not end in time is cut off.
    pub(super) fn is_over(&mut self, now: Moment, seen: &mut dyn Observer) -> Option<Outcome> {
        let deadline = self.stopping?;
        let left = self.engine.len() + self.datagrams.len();
        if deadline <= now {
            self.listeners.close_now();
            self.cut(now, seen);
            return Some(Outcome::Drained { cut: left });
        }
        (left == 0 && self.listeners.is_empty()).then_some(Outcome::Drained { cut: 0 })
    }

    /// Ends all that is left, now.
    pub(super) fn cut(&mut self, now: Moment, seen: &mut dyn Observer) {
        self.engine.cut(now, seen);
        self.with_datagrams(now, seen, |datagrams, cx| datagrams.close_all(Reason::Cut, cx));
    }
}
