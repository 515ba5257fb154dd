//! The outbox: what waits to go out at one door, so that much of it goes in one call.
//!
//! It is emptied before anything else may happen to what it speaks of: before the room is used
//! again, before a flow is closed, and when all sockets of a turn have been driven.

use std::net::SocketAddr;
use std::ops::Range;

use super::loss::{tell_dropped, why};
use super::relay::Flow;
use super::table::Table;
use super::{Context, Datagrams};
use crate::core::Key;
use crate::core::event::Drop;
use crate::shell::remote::Remote;
use crate::shell::room::{Room, Train};

/// Letters that go out at this door.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    door: usize,
    letters: Vec<Letter>,
}

/// Datagrams of one arrival that go out to one remote.
#[derive(Debug)]
pub(super) struct Letter {
    /// The number of the arrival in the room, and which of its datagrams.
    arrival: usize,
    part: Range<usize>,
    /// The flow whose source they go to. None: they go back to where they came from.
    flow: Option<Key>,
}

impl Datagrams {
    /// Puts datagrams of an arrival into the outbox. It never holds letters of two doors.
    pub(super) fn put(
        &mut self,
        door: usize,
        (arrival, part, flow): (usize, Range<usize>, Option<Key>),
        room: &Room,
        cx: &mut Context<'_>,
    ) {
        if self.outbox.door != door {
            self.empty_outbox(room, cx);
        }
        self.outbox.door = door;
        if !part.is_empty() {
            self.outbox.letters.push(Letter { arrival, part, flow });
        }
    }

    /// Sends all that waits.
    pub(super) fn empty_outbox(&mut self, room: &Room, cx: &mut Context<'_>) {
        if self.outbox.letters.is_empty() {
            return;
        }
        let mut letters = std::mem::take(&mut self.outbox.letters);
        let mut sent = 0;
        while sent < letters.len() {
            sent += match self.post_many(&letters[sent..], room, cx) {
                0 => self.post_one(&letters[sent], room, cx),
                several => several,
            };
        }
        letters.clear();
        self.outbox.letters = letters;
    }

    /// Sends several letters in one call, if they are single datagrams over UDP. Tells of how many
    /// it is known what became of them.
    fn post_many(&mut self, letters: &[Letter], room: &Room, cx: &mut Context<'_>) -> usize {
        let Some(door) = &self.doors[self.outbox.door] else { return 0 };
        let plain = letters.iter().map_while(|letter| {
            let to = plain(letter.to(room, &self.flows)?)?;
            Some((letter.train(room).filter(|train| train.len() == 1)?.bytes(), to))
        });
        match door.inlet.socket.send_many(plain) {
            Ok(sent) => {
                for letter in &letters[..sent] {
                    let train = letter.train(room);
                    self.posted(letter, train.unwrap_or(Train::one(b"")), Ok(()), room, cx);
                }
                sent
            }
            // What is wrong with the first one comes out when it is sent alone.
            Err(_) => 0,
        }
    }

    fn post_one(&mut self, letter: &Letter, room: &Room, cx: &mut Context<'_>) -> usize {
        let mut train = letter.train(room).unwrap_or(Train::one(b""));
        while !train.is_empty() {
            let to = letter.to(room, &self.flows).filter(|to| to.is_named());
            let (part, sent) = match (&mut self.doors[self.outbox.door], to) {
                (Some(door), Some(to)) => {
                    let (part, sent) = door.inlet.send(train, Some(to));
                    (part, sent.map_err(|error| why(&error)))
                }
                _ => (train, Err(Drop::NoWay)),
            };
            self.posted(letter, part, sent, room, cx);
            train = train.after(part.len());
        }
        1
    }

    /// Notes what became of datagrams.
    fn posted(
        &mut self,
        letter: &Letter,
        part: Train<'_>,
        sent: Result<(), Drop>,
        room: &Room,
        cx: &mut Context<'_>,
    ) {
        let key = letter.flow.unwrap_or(Key::door(self.outbox.door));
        if let Err(why) = sent {
            let arrival = room.arrivals().get(letter.arrival);
            let from = arrival.and_then(|arrival| self.sender(key, arrival));
            return tell_dropped(key, part, from, why, cx);
        }
        if let Some(entry) = letter.flow.and_then(|key| self.flows.get(key.slot())) {
            entry.flow.down += part.bytes().len() as u64;
        }
        if let Some(to) = letter.to(room, &self.flows) {
            self.traffic.sent(key, part, || to.peer(), cx.seen);
        }
    }
}

impl Letter {
    fn train<'a>(&self, room: &'a Room) -> Option<Train<'a>> {
        let train = room.train(room.arrivals().get(self.arrival)?)?;
        Some(train.part(self.part.clone()))
    }

    fn to<'a>(&self, room: &'a Room, flows: &'a Table<Remote, Flow>) -> Option<&'a Remote> {
        match self.flow {
            Some(key) => flows.peek(key.slot()).map(|entry| &entry.source),
            None => room.arrivals().get(self.arrival)?.from.as_ref(),
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
