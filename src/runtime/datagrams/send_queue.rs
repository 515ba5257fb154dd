//! The queue of datagrams to be sent by one listener, so that one call sends several of them.
//!
//! Entries refer to the receive batch and to flows. So the queue is flushed before the batch is
//! cleared, before a flow is closed, and at the end of each turn.

use std::mem;
use std::net::SocketAddr;
use std::ops::Range;

use super::flows::Flows;
use super::listeners::DatagramListeners;
use super::report::{TurnCounts, log_dropped, why};
use crate::core::event::DropReason;
use crate::core::{Key, Turn};
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
    pub received: usize,
    pub part: Range<usize>,
    /// The flow whose source they are sent to. None: they are sent back to their sender.
    pub flow: Option<Key>,
}

/// What the queue needs to be flushed.
pub(super) struct FlushCx<'a, 't> {
    pub batch: &'a RecvBatch,
    pub listeners: &'a mut DatagramListeners,
    pub flows: &'a mut Flows,
    pub counts: &'a mut TurnCounts,
    pub turn: &'a mut Turn<'t>,
}

impl SendQueue {
    /// Selects the listener that sends the next entries. Those of another one are sent first.
    pub fn select(&mut self, listener: Key, cx: &mut FlushCx<'_, '_>) {
        if self.listener != Some(listener) {
            self.flush(cx);
            self.listener = Some(listener);
        }
    }

    /// Queues datagrams to be sent by the selected listener.
    pub fn push(&mut self, item: Outgoing) {
        if !item.part.is_empty() {
            self.outgoing.push(item);
        }
    }

    /// Sends everything in the queue.
    pub fn flush(&mut self, cx: &mut FlushCx<'_, '_>) {
        let Some(listener) = self.listener else { return };
        if self.outgoing.is_empty() {
            return;
        }
        let mut outgoing = mem::take(&mut self.outgoing);
        let mut sent = 0;
        while sent < outgoing.len() {
            sent += match send_batch(listener, &outgoing[sent..], cx) {
                0 => send_one(listener, &outgoing[sent], cx),
                several => several,
            };
        }
        outgoing.clear();
        self.outgoing = outgoing;
    }
}

/// Sends several entries in one call if they are single UDP datagrams. Returns how many were sent.
fn send_batch(listener: Key, outgoing: &[Outgoing], cx: &mut FlushCx<'_, '_>) -> usize {
    let Some(socket) = cx.listeners.get(listener) else { return 0 };
    let plain = outgoing.iter().map_while(|item| {
        let to = plain(item.to(cx.batch, cx.flows)?)?;
        Some((item.segments(cx.batch).filter(|segments| segments.len() == 1)?.bytes(), to))
    });
    match socket.port.socket.send_batch(plain) {
        Ok(sent) => {
            for item in &outgoing[..sent] {
                let segments = item.segments(cx.batch).unwrap_or(Segments::one(b""));
                item.report(listener, segments, Ok(()), cx);
            }
            sent
        }
        // The first entry has an error. Sent alone, it returns that error again.
        Err(_) => 0,
    }
}

/// Sends one entry, in several calls if it is a train that one call does not take.
fn send_one(listener: Key, item: &Outgoing, cx: &mut FlushCx<'_, '_>) -> usize {
    let mut segments = item.segments(cx.batch).unwrap_or(Segments::one(b""));
    while !segments.is_empty() {
        let to = item.to(cx.batch, cx.flows).filter(|to| to.is_named());
        let (part, sent) = match (cx.listeners.get_mut(listener), to) {
            (Some(socket), Some(to)) => {
                let (part, sent) = socket.port.send(segments, Some(to));
                (part, sent.map_err(|error| why(&error)))
            }
            _ => (segments, Err(DropReason::NoWay)),
        };
        item.report(listener, part, sent, cx);
        segments = segments.after(part.len());
    }
    1
}

impl Outgoing {
    fn segments<'a>(&self, batch: &'a RecvBatch) -> Option<Segments<'a>> {
        let segments = batch.segments(batch.all_received().get(self.received)?)?;
        Some(segments.part(self.part.clone()))
    }

    fn to<'a>(&self, batch: &'a RecvBatch, flows: &'a Flows) -> Option<&'a Remote> {
        match self.flow {
            Some(key) => flows.source(key.slot()),
            None => batch.all_received().get(self.received)?.from.as_ref(),
        }
    }

    /// Reports datagrams as sent or dropped, and counts their bytes.
    fn report(
        &self,
        listener: Key,
        part: Segments<'_>,
        sent: Result<(), DropReason>,
        cx: &mut FlushCx<'_, '_>,
    ) {
        let key = self.flow.unwrap_or(listener);
        if let Err(why) = sent {
            let from = match self.flow {
                Some(key) => cx.flows.remote(key.slot()),
                None => self.to(cx.batch, cx.flows),
            };
            return log_dropped(key, part, from, why, cx.turn);
        }
        if let Some(key) = self.flow {
            cx.flows.add_down(key.slot(), part.bytes().len() as u64);
        }
        if let Some(to) = self.to(cx.batch, cx.flows) {
            cx.counts.sent(key, part, || to.peer(), cx.turn);
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
