//! The queue of datagrams to be sent by one listener, so that one call sends several of them.
//!
//! Entries refer to the receive batch and to flows. So the queue is flushed before the batch is
//! cleared, before a flow is closed, and at the end of each turn.

use std::net::SocketAddr;
use std::ops::Range;

use super::drops::{log_dropped, why};
use super::relay::Flow;
use super::table::Table;
use super::{DatagramCx, Datagrams};
use crate::core::Key;
use crate::core::event::DropReason;
use crate::net::recv_batch::{RecvBatch, Segments};
use crate::net::remote::Remote;

/// Datagrams to be sent by one listener.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    listener: Option<Key>,
    outgoing: Vec<Outgoing>,
}

/// Datagrams of one received message that are sent to one remote.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// Index of the message in the batch, and which of its datagrams.
    received: usize,
    part: Range<usize>,
    /// The flow whose source they are sent to. None: they are sent back to their sender.
    flow: Option<Key>,
}

impl Datagrams {
    /// Queues datagrams of a message. The queue never holds datagrams of two listeners.
    pub(super) fn push(
        &mut self,
        listener: Key,
        (received, part, flow): (usize, Range<usize>, Option<Key>),
        batch: &RecvBatch,
        cx: &mut DatagramCx<'_, '_>,
    ) {
        if self.send_queue.listener != Some(listener) {
            self.flush_send_queue(batch, cx);
        }
        self.send_queue.listener = Some(listener);
        if !part.is_empty() {
            self.send_queue.outgoing.push(Outgoing { received, part, flow });
        }
    }

    /// Sends everything in the queue.
    pub(super) fn flush_send_queue(&mut self, batch: &RecvBatch, cx: &mut DatagramCx<'_, '_>) {
        if self.send_queue.outgoing.is_empty() {
            return;
        }
        let mut outgoing = std::mem::take(&mut self.send_queue.outgoing);
        let mut sent = 0;
        while sent < outgoing.len() {
            sent += match self.send_batch(&outgoing[sent..], batch, cx) {
                0 => self.send_one(&outgoing[sent], batch, cx),
                several => several,
            };
        }
        outgoing.clear();
        self.send_queue.outgoing = outgoing;
    }

    /// Sends several entries in one call if they are single UDP datagrams. Returns how many were
    /// sent.
    fn send_batch(
        &mut self,
        outgoing: &[Outgoing],
        batch: &RecvBatch,
        cx: &mut DatagramCx<'_, '_>,
    ) -> usize {
        let listener = self.send_queue.listener.and_then(|key| self.listeners.get(key));
        let Some(listener) = listener else { return 0 };
        let plain = outgoing.iter().map_while(|item| {
            let to = plain(item.to(batch, &self.flows)?)?;
            Some((item.segments(batch).filter(|segments| segments.len() == 1)?.bytes(), to))
        });
        match listener.port.socket.send_batch(plain) {
            Ok(sent) => {
                for item in &outgoing[..sent] {
                    let segments = item.segments(batch);
                    self.report_sent(
                        item,
                        segments.unwrap_or(Segments::one(b"")),
                        Ok(()),
                        batch,
                        cx,
                    );
                }
                sent
            }
            // The first entry has an error. Sent alone, it returns that error again.
            Err(_) => 0,
        }
    }

    fn send_one(
        &mut self,
        item: &Outgoing,
        batch: &RecvBatch,
        cx: &mut DatagramCx<'_, '_>,
    ) -> usize {
        let mut segments = item.segments(batch).unwrap_or(Segments::one(b""));
        while !segments.is_empty() {
            let to = item.to(batch, &self.flows).filter(|to| to.is_named());
            let listener = self.send_queue.listener.and_then(|key| self.listeners.get_mut(key));
            let (part, sent) = match (listener, to) {
                (Some(listener), Some(to)) => {
                    let (part, sent) = listener.port.send(segments, Some(to));
                    (part, sent.map_err(|error| why(&error)))
                }
                _ => (segments, Err(DropReason::NoWay)),
            };
            self.report_sent(item, part, sent, batch, cx);
            segments = segments.after(part.len());
        }
        1
    }

    /// Reports datagrams as sent or dropped, and counts their bytes.
    fn report_sent(
        &mut self,
        item: &Outgoing,
        part: Segments<'_>,
        sent: Result<(), DropReason>,
        batch: &RecvBatch,
        cx: &mut DatagramCx<'_, '_>,
    ) {
        let Some(key) = item.flow.or(self.send_queue.listener) else { return };
        if let Err(why) = sent {
            let received = batch.all_received().get(item.received);
            let from = received.and_then(|received| self.sender(key, received));
            return log_dropped(key, part, from, why, cx);
        }
        if let Some(entry) = item.flow.and_then(|key| self.flows.get(key.slot())) {
            entry.flow.down += part.bytes().len() as u64;
        }
        if let Some(to) = item.to(batch, &self.flows) {
            self.turn_counts.sent(key, part, || to.peer(), cx.turn);
        }
    }
}

impl Outgoing {
    fn segments<'a>(&self, batch: &'a RecvBatch) -> Option<Segments<'a>> {
        let segments = batch.segments(batch.all_received().get(self.received)?)?;
        Some(segments.part(self.part.clone()))
    }

    fn to<'a>(&self, batch: &'a RecvBatch, flows: &'a Table<Remote, Flow>) -> Option<&'a Remote> {
        match self.flow {
            Some(key) => flows.peek(key.slot()).map(|entry| &entry.source),
            None => batch.all_received().get(self.received)?.from.as_ref(),
        }
    }
}

/// The destination, if it is UDP and the system chooses the source address.
fn plain(to: &Remote) -> Option<SocketAddr> {
    match to {
        Remote::Inet(to, None) => Some(*to),
        _ => None,
    }
}
