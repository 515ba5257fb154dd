//! Signals and shutdown. The first TERM or INT starts the drain, which has a timeout. The second
//! ends the loop at once.

use crate::core::time::ticks;
use crate::core::{Event, Key, Reason, Signal, Turn};

use super::reactor::{Outcome, Reactor};

impl Reactor {
    /// Handles received signals. Returns the signal that ends the drain at once, if there is one.
    pub(super) fn handle_signals(&mut self, turn: &mut Turn<'_>) -> Option<Signal> {
        for signal in self.event_loop.signals(turn) {
            match signal {
                Signal::Terminate | Signal::Interrupt if self.stopping.is_some() => {
                    return Some(signal);
                }
                Signal::Terminate | Signal::Interrupt => self.start_drain(turn),
                Signal::Quit => self.dump(turn),
                Signal::HangUp => {}
            }
        }
        None
    }

    /// Starts the drain: empties and closes the listeners, closes connections at rest, and lets
    /// those in progress finish.
    fn start_drain(&mut self, turn: &mut Turn<'_>) {
        self.stopping = Some(turn.now.after(self.drain_timeout));
        let connections = self.engine.len();
        turn.on(Key::LOOP, &Event::Draining { connections, deadline: self.drain_timeout });
        self.listeners.close_all_when_empty();
        self.engine.drain(ticks(self.drain_idle), turn);
        let idle = self.drain_idle;
        self.with_datagrams(turn, |datagrams, cx| datagrams.drain(idle, cx));
    }

    /// Returns the outcome once the drain is complete. Closes what is left at the drain timeout.
    pub(super) fn check_stopped(&mut self, turn: &mut Turn<'_>) -> Option<Outcome> {
        let deadline = self.stopping?;
        let left = self.engine.len() + self.datagrams.len();
        if deadline <= turn.now {
            self.listeners.close_now();
            self.cut(turn);
            return Some(Outcome::Drained { cut: left });
        }
        (left == 0 && self.listeners.is_empty()).then_some(Outcome::Drained { cut: 0 })
    }

    /// Closes all connections and flows now.
    pub(super) fn cut(&mut self, turn: &mut Turn<'_>) {
        self.engine.cut(turn);
        self.with_datagrams(turn, |datagrams, cx| datagrams.close_all(Reason::Cut, cx));
    }
}
