//! The context of one turn of the loop: its time and its observer.

use super::event::{Event, Observer, Wants};
use super::key::Key;
use super::time::Moment;

/// Maximum bytes of one `Payload`: a quarter of a read, so that no segment of a recording exceeds
/// its size by much.
const PAYLOAD_BYTES: usize = 16 * 1024;

/// One turn. Created after the sleep and passed down to everything that runs in the turn.
pub struct Turn<'a> {
    /// The time when the sleep ended. The whole turn counts as this moment.
    pub now: Moment,
    /// The observer wants steps. Asked once per turn, so that it may change at run time.
    pub steps: bool,
    /// The observer wants `Stalled` and `Resumed`.
    pub stalls: bool,
    observer: &'a mut dyn Observer,
}

impl<'a> Turn<'a> {
    #[inline(always)]
    pub fn new(now: Moment, observer: &'a mut dyn Observer) -> Turn<'a> {
        let Wants { steps, stalls } = observer.begin_turn(now);
        Turn { now, steps, stalls, observer }
    }

    /// Reports an event that is not a step.
    pub fn on(&mut self, key: Key, event: &Event<'_>) {
        debug_assert!(!event.is_step(), "{event:?} is a step");
        self.observer.on(key, event);
    }

    /// Reports a step, which is built only if the observer wants steps.
    #[inline(always)]
    pub fn step<'e>(&mut self, key: Key, step: impl FnOnce() -> Event<'e>) {
        if self.steps {
            let step = step();
            debug_assert!(step.is_step(), "{step:?} is not a step");
            self.observer.on(key, &step);
        }
    }

    /// Whether the observer wants the payload of this connection.
    #[inline(always)]
    pub fn wants_payload(&self, key: Key) -> bool {
        self.steps && self.observer.wants_payload(key)
    }

    /// Reports payload, if the observer wants it. `sent`: it was sent, not received.
    pub fn payload(&mut self, key: Key, bytes: &[u8], sent: bool) {
        if self.wants_payload(key) {
            for bytes in bytes.chunks(PAYLOAD_BYTES) {
                self.observer.on(key, &Event::Payload { bytes, sent });
            }
        }
    }
}
