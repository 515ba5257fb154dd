//! Reports received and sent datagrams: one by one if the observer wants steps, else as the totals
//! of each turn.

use crate::core::{Event, Key, Peer, Turn};
use crate::net::recv_batch::Segments;

#[derive(Debug, Default)]
pub(super) struct TurnCounts {
    received: Count,
    sent: Count,
}

#[derive(Debug, Default)]
struct Count {
    datagrams: u64,
    bytes: u64,
}

impl TurnCounts {
    /// Counts received datagrams. `from` is called only if they are reported one by one.
    pub fn received(
        &mut self,
        key: Key,
        segments: Segments<'_>,
        from: impl FnOnce() -> Peer,
        turn: &mut Turn<'_>,
    ) {
        self.received.add(segments);
        if turn.steps {
            let from = &from();
            for datagram in segments.datagrams() {
                turn.step(key, || Event::Received { bytes: datagram.len(), from });
            }
        }
    }

    /// Counts sent datagrams. `to` is called only if they are reported one by one.
    pub fn sent(
        &mut self,
        key: Key,
        segments: Segments<'_>,
        to: impl FnOnce() -> Peer,
        turn: &mut Turn<'_>,
    ) {
        self.sent.add(segments);
        if turn.steps {
            let to = &to();
            for datagram in segments.datagrams() {
                turn.step(key, || Event::Sent { bytes: datagram.len(), to });
            }
        }
    }

    /// Reports the totals of the turn, unless its datagrams were reported one by one.
    pub fn report(&mut self, turn: &mut Turn<'_>) {
        let (received, sent) = (std::mem::take(&mut self.received), std::mem::take(&mut self.sent));
        if !turn.steps && received.datagrams + sent.datagrams > 0 {
            turn.on(
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
