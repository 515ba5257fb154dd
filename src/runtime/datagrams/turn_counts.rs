//! Reports received and sent datagrams: one by one if the observer wants steps, else as the totals
//! of each turn.

use crate::core::{Event, Key, Observer, Peer};
use crate::net::recv_batch::Segments;

#[derive(Debug)]
pub(super) struct TurnCounts {
    /// Whether the observer wants each step. Updated each turn.
    pub steps: bool,
    received: Count,
    sent: Count,
}

#[derive(Debug, Default)]
struct Count {
    datagrams: u64,
    bytes: u64,
}

impl Default for TurnCounts {
    fn default() -> TurnCounts {
        TurnCounts { steps: true, received: Count::default(), sent: Count::default() }
    }
}

impl TurnCounts {
    /// Reports a step, if the observer wants steps.
    pub fn step(&self, key: Key, event: &Event<'_>, seen: &mut dyn Observer) {
        if self.steps {
            seen.on(key, event);
        }
    }

    /// Counts received datagrams. `from` is called only if they are reported one by one.
    pub fn received(
        &mut self,
        key: Key,
        segments: Segments<'_>,
        from: impl FnOnce() -> Peer,
        seen: &mut dyn Observer,
    ) {
        self.received.add(segments);
        if self.steps {
            let from = &from();
            for datagram in segments.datagrams() {
                seen.on(key, &Event::Received { bytes: datagram.len(), from });
            }
        }
    }

    /// Counts sent datagrams. `to` is called only if they are reported one by one.
    pub fn sent(
        &mut self,
        key: Key,
        segments: Segments<'_>,
        to: impl FnOnce() -> Peer,
        seen: &mut dyn Observer,
    ) {
        self.sent.add(segments);
        if self.steps {
            let to = &to();
            for datagram in segments.datagrams() {
                seen.on(key, &Event::Sent { bytes: datagram.len(), to });
            }
        }
    }

    /// Reports the totals of the turn, unless its datagrams were reported one by one.
    pub fn report(&mut self, seen: &mut dyn Observer) {
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
    fn add(&mut self, segments: Segments<'_>) {
        self.datagrams += segments.len() as u64;
        self.bytes += segments.bytes().len() as u64;
    }
}
