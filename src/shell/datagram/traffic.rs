//! Tells of the datagrams that came and went: of each one while somebody wants to see steps, else
//! of all that one socket brought in one turn.

use crate::core::{Event, Key, Observer, Peer};
use crate::shell::room::Segments;

#[derive(Debug)]
pub(super) struct Traffic {
    /// Somebody wants to see each step; asked anew in each turn.
    pub steps: bool,
    received: Count,
    sent: Count,
}

#[derive(Debug, Default)]
struct Count {
    datagrams: u64,
    bytes: u64,
}

impl Default for Traffic {
    fn default() -> Traffic {
        Traffic { steps: true, received: Count::default(), sent: Count::default() }
    }
}

impl Traffic {
    /// A step was made.
    pub fn step(&self, key: Key, event: &Event<'_>, seen: &mut dyn Observer) {
        if self.steps {
            seen.on(key, event);
        }
    }

    /// These came in. Who sent them is asked only for those who want to know.
    pub fn received(
        &mut self,
        key: Key,
        train: Segments<'_>,
        from: impl FnOnce() -> Peer,
        seen: &mut dyn Observer,
    ) {
        self.received.add(train);
        if self.steps {
            let from = &from();
            for datagram in train.datagrams() {
                seen.on(key, &Event::Received { bytes: datagram.len(), from });
            }
        }
    }

    /// These went out.
    pub fn sent(
        &mut self,
        key: Key,
        train: Segments<'_>,
        to: impl FnOnce() -> Peer,
        seen: &mut dyn Observer,
    ) {
        self.sent.add(train);
        if self.steps {
            let to = &to();
            for datagram in train.datagrams() {
                seen.on(key, &Event::Sent { bytes: datagram.len(), to });
            }
        }
    }

    /// Tells of all that was not told one by one.
    pub fn tell(&mut self, seen: &mut dyn Observer) {
        let (received, sent) = (std::mem::take(&mut self.received), std::mem::take(&mut self.sent));
        if !self.steps && received.datagrams + sent.datagrams > 0 {
            seen.on(
                Key::LOOP,
                &Event::Passed {
                    received: received.datagrams,
                    received_bytes: received.bytes,
                    sent: sent.datagrams,
                    sent_bytes: sent.bytes,
                },
            );
        }
    }
}

impl Count {
    fn add(&mut self, train: Segments<'_>) {
        self.datagrams += train.len() as u64;
        self.bytes += train.bytes().len() as u64;
    }
}
