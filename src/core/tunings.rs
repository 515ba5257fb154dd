//! For what the system is to name each end: always for room to write, and for what comes in as long
//! as that is news.
//!
//! While the other side takes nothing, nothing is read here, and whoever goes on sending would wake
//! us with each packet. So an end is muted when the system tells again what we know, and until what
//! waits was read. To ask for it again is to be told at once if anything has come meanwhile.

use std::io;

use super::end::{Ends, Stream};
use super::engine::Engine;
use super::event::{Event, Observer, Seen};
use super::key::Key;
use super::ready::Ready;
use super::reason::Reason;
use super::time::Moment;

/// The ends for which that has changed, and which the system has not been told of yet.
#[derive(Debug, Default)]
pub struct Tunings(Vec<Key>);

impl Tunings {
    /// The system told what we knew of this end, which cannot be taken yet.
    #[cold]
    pub fn mute<S: Stream>(&mut self, ends: &mut Ends<S>, key: Key, seen: &mut Seen<'_>) {
        let bits = ends.bits(key.end());
        if bits.has(Ready::READ) && !bits.has(Ready::MUTED) {
            ends.set(key.end(), Ready::MUTED);
            self.0.push(key);
            seen.step(key, || Event::Muted);
        }
    }

    /// These ends have been driven: what comes at those that have nothing left is news.
    #[cold]
    pub fn unmute<S: Stream>(&mut self, ends: &mut Ends<S>, key: Key, seen: &mut Seen<'_>) {
        for end in 0..2 {
            let bits = ends.bits(end);
            if bits.has(Ready::MUTED) && !bits.has(Ready::READ) {
                ends.clear(end, Ready::MUTED);
                self.0.push(key.at(end));
                seen.step(key.at(end), || Event::Unmuted);
            }
        }
    }

    pub fn take(&mut self) -> Option<Key> {
        self.0.pop()
    }
}

impl<S: Stream> Engine<S> {
    /// Tells the system what has changed: which socket, and whether it is muted now.
    pub fn tune(
        &mut self,
        now: Moment,
        seen: &mut dyn Observer,
        mut tell: impl FnMut(&mut S, Key, bool) -> io::Result<()>,
    ) {
        while let Some(key) = self.tuning() {
            let Some(conn) = self.get(key) else { continue };
            let muted = conn.ends.bits(key.end()).has(Ready::MUTED);
            let Some(socket) = conn.ends.socket(key.end()) else { continue };
            if let Err(error) = tell(socket, key, muted) {
                // Nobody would ever tell what comes.
                self.end(key, Reason::Exhausted { fault: (&error).into() }, now, seen);
            }
        }
    }
}
