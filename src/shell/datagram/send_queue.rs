//! The outbox: what waits to go out at one door, so that much of it goes in one call.
//!
//! It is emptied before anything else may happen to what it speaks of: before the room is used
//! again, before a flow is closed, and when all sockets of a turn have been driven.

use std::net::SocketAddr;
use std::ops::Range;

use super::loss::{log_dropped, why};
use super::relay::Flow;
use super::table::Table;
use super::{Context, Datagrams};
use crate::core::Key;
use crate::core::event::DropReason;
use crate::shell::remote::Remote;
use crate::shell::room::{Room, Segments};

/// Letters that go out at this door.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    listener: usize,
    letters: Vec<Outgoing>,
}

/// Datagrams of one arrival that go out to one remote.
#[derive(Debug)]
pub(super) struct Outgoing {
    /// The number of the arrival in the room, and which of its datagrams.
    received: usize,
    part: Range<usize>,
    /// The flow whose source they go to. None: they go back to where they came from.
    flow: Option<Key>,
}

impl Datagrams {
    /// Puts datagrams of an arrival into the outbox. It never holds letters of two doors.
    pub(super) fn put(
        &mut self,
        listener: usize,
        (received, part, flow): (usize, Range<usize>, Option<Key>),
        room: &Room,
        cx: &mut Context<'_>,
    ) {
        if self.send_queue.listener != listener {
            self.flush_send_queue(room, cx);
        }
        self.send_queue.listener = listener;
        if !part.is_empty() {
            self.send_queue.letters.push(Outgoing { received, part, flow });
        }
    }

    /// Sends all that waits.
    pub(super) fn flush_send_queue(&mut self, room: &Room, cx: &mut Context<'_>) {
        if self.send_queue.letters.is_empty() {
            return;
        }
        let mut letters = std::mem::take(&mut self.send_queue.letters);
        let mut sent = 0;
        while sent < letters.len() {
            sent += match self.post_many(&letters[sent..], room, cx) {
                0 => self.post_one(&letters[sent], room, cx),
                several => several,
            };
        }
        letters.clear();
        self.send_queue.letters = letters;
    }

    /// Sends several letters in one call, if they are single datagrams over UDP. Tells of how many
    /// it is known what became of them.
    fn post_many(&mut self, letters: &[Outgoing], room: &Room, cx: &mut Context<'_>) -> usize {
        let Some(listener) = &self.listeners[self.send_queue.listener] else { return 0 };
        let plain = letters.iter().map_while(|letter| {
            let to = plain(letter.to(room, &self.flows)?)?;
            Some((letter.train(room).filter(|train| train.len() == 1)?.bytes(), to))
        });
        match listener.port.socket.send_many(plain) {
            Ok(sent) => {
                for letter in &letters[..sent] {
                    let train = letter.train(room);
                    self.posted(letter, train.unwrap_or(Segments::one(b"")), Ok(()), room, cx);
                }
                sent
            }
            // What is wrong with the first one comes out when it is sent alone.
            Err(_) => 0,
        }
    }

    fn post_one(&mut self, letter: &Outgoing, room: &Room, cx: &mut Context<'_>) -> usize {
        let mut train = letter.train(room).unwrap_or(Segments::one(b""));
        while !train.is_empty() {
            let to = letter.to(room, &self.flows).filter(|to| to.is_named());
            let (part, sent) = match (&mut self.listeners[self.send_queue.listener], to) {
                (Some(listener), Some(to)) => {
                    let (part, sent) = listener.port.send(train, Some(to));
                    (part, sent.map_err(|error| why(&error)))
                }
                _ => (train, Err(DropReason::NoWay)),
            };
            self.posted(letter, part, sent, room, cx);
            train = train.after(part.len());
        }
        1
    }

    /// Notes what became of datagrams.
    fn posted(
        &mut self,
        letter: &Outgoing,
        part: Segments<'_>,
        sent: Result<(), DropReason>,
        room: &Room,
        cx: &mut Context<'_>,
    ) {
        let key = letter.flow.unwrap_or(Key::source(self.send_queue.listener));
        if let Err(why) = sent {
            let received = room.all_received().get(letter.received);
            let from = received.and_then(|received| self.sender(key, received));
            return log_dropped(key, part, from, why, cx);
        }
        if let Some(entry) = letter.flow.and_then(|key| self.flows.get(key.slot())) {
            entry.flow.down += part.bytes().len() as u64;
        }
        if let Some(to) = letter.to(room, &self.flows) {
            self.traffic.sent(key, part, || to.peer(), cx.seen);
        }
    }
}

impl Outgoing {
    fn train<'a>(&self, room: &'a Room) -> Option<Segments<'a>> {
        let train = room.train(room.all_received().get(self.received)?)?;
        Some(train.part(self.part.clone()))
    }

    fn to<'a>(&self, room: &'a Room, flows: &'a Table<Remote, Flow>) -> Option<&'a Remote> {
        match self.flow {
            Some(key) => flows.peek(key.slot()).map(|entry| &entry.source),
            None => room.all_received().get(self.received)?.from.as_ref(),
        }
    }
}

/// Where to, if it is over UDP and from wherever the system chooses.
fn plain(to: &Remote) -> Option<SocketAddr> {
    match to {
        Remote::Inet(to, None) => Some(*to),
        _ => None,
    }
}
