//! Changes of the registered interest of ends. Write events are always enabled; read events are
//! disabled while they would report nothing new.
//!
//! While the other end accepts nothing, an end is not read, and its sender would wake the loop with
//! each packet. So its read events are disabled at the first event that reports known bytes, and
//! enabled once it is drained. Enabling reports at once what arrived meanwhile.

use super::end::{Ends, Stream};
use super::event::Event;
use super::key::Key;
use super::ready::Ready;
use super::turn::Turn;

/// The ends whose interest has changed and is not registered with the poller yet.
#[derive(Debug, Default)]
pub struct InterestChanges(Vec<Key>);

impl InterestChanges {
    /// Disables read events of an end if they report bytes that are known and cannot be read yet.
    #[cold]
    pub fn disable_read<S: Stream>(&mut self, ends: &mut Ends<S>, key: Key, turn: &mut Turn<'_>) {
        let bits = ends.bits(key.end());
        if bits.has(Ready::READ) && !bits.has(Ready::READ_OFF) {
            ends.set(key.end(), Ready::READ_OFF);
            self.0.push(key);
            turn.step(key, || Event::ReadOff);
        }
    }

    /// Enables read events of the ends that are drained. Called after they have been driven.
    #[cold]
    pub fn enable_read<S: Stream>(&mut self, ends: &mut Ends<S>, key: Key, turn: &mut Turn<'_>) {
        for end in 0..2 {
            let bits = ends.bits(end);
            if bits.has(Ready::READ_OFF) && !bits.has(Ready::READ) {
                ends.clear(end, Ready::READ_OFF);
                self.0.push(key.at(end));
                turn.step(key.at(end), || Event::ReadOn);
            }
        }
    }

    /// Takes the next end whose registration has to change.
    pub fn take(&mut self) -> Option<Key> {
        self.0.pop()
    }
}
