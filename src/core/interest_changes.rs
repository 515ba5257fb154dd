//! For what the system is to name each end: always for room to write, and for what comes in as long
//! as that is news.
//!
//! While the other side takes nothing, nothing is read here, and whoever goes on sending would wake
//! us with each packet. So an end is muted when the system tells again what we know, and until what
//! waits was read. To ask for it again is to be told at once if anything has come meanwhile.

use super::end::{Ends, Stream};
use super::event::{Event, Seen};
use super::key::Key;
use super::ready::Ready;

/// The ends for which that has changed, and which the system has not been told of yet.
#[derive(Debug, Default)]
pub struct InterestChanges(Vec<Key>);

impl InterestChanges {
    /// The system told what we knew of this end, which cannot be taken yet.
    #[cold]
    pub fn disable_read<S: Stream>(&mut self, ends: &mut Ends<S>, key: Key, seen: &mut Seen<'_>) {
        let bits = ends.bits(key.end());
        if bits.has(Ready::READ) && !bits.has(Ready::READ_OFF) {
            ends.set(key.end(), Ready::READ_OFF);
            self.0.push(key);
            seen.step(key, || Event::ReadOff);
        }
    }

    /// These ends have been driven: what comes at those that have nothing left is news.
    #[cold]
    pub fn enable_read<S: Stream>(&mut self, ends: &mut Ends<S>, key: Key, seen: &mut Seen<'_>) {
        for end in 0..2 {
            let bits = ends.bits(end);
            if bits.has(Ready::READ_OFF) && !bits.has(Ready::READ) {
                ends.clear(end, Ready::READ_OFF);
                self.0.push(key.at(end));
                seen.step(key.at(end), || Event::ReadOn);
            }
        }
    }

    pub fn take(&mut self) -> Option<Key> {
        self.0.pop()
    }
}
