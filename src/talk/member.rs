//! One who takes part in a chat: what is said to all goes out from the ring, what it says is shown
//! line by line.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::line_splitter::LineSplitter;
use super::ring::{Cursor, Ring};
use super::screen::Screen;
use crate::core::end::settled;
use crate::core::{
    Close, CloseKind, Event, Io, Key, Moment, Observer, Peer, ReadHint, Ready, Reason, Side,
    Stream, SysError, Tick,
};
use crate::net::Socket;
use crate::observe::line::PeerName;

/// So many reads, and so many writes, are made for one member in a turn.
const BUDGET: usize = 16;

/// Who has ended its side may still listen, or may be gone: TCP does not say which. So long after
/// the last sign of life the system asks, and then again and again; who is gone answers with a
/// reset.
const ASK_AFTER: Duration = Duration::from_secs(60);
const ASK_AGAIN: Duration = Duration::from_secs(15);

/// A client, and how far it has come.
pub struct Member {
    socket: Socket,
    /// Its number and its address, as it is called on the screen.
    pub name: String,
    pub id: u32,
    ready: Ready,
    cursor: Cursor,
    said: LineSplitter,
    /// It has ended its side: it says no more, and may still listen.
    pub has_left: bool,
    /// We have ended our side: all that was said has gone out to it.
    pub told_end: bool,
    /// It stands in the run queue.
    pub queued: bool,
    joined: Moment,
    /// When it last said something.
    pub active: Tick,
    /// The one entry among the timers that counts; 0 is none.
    pub armed: Tick,
    pub up: u64,
    pub down: u64,
}

/// What a member is driven with.
pub struct Drive<'a> {
    pub ring: &'a Ring,
    pub screen: &'a mut Screen,
    /// The chat is ending: who has heard all is told so.
    pub farewell: bool,
    pub scratch: &'a mut [u8],
    pub now: Moment,
    pub seen: &'a mut dyn Observer,
}

impl Member {
    pub fn new(socket: Socket, peer: &Peer, id: u32, head: Cursor, now: Moment) -> Member {
        Member {
            socket,
            name: format!("#{id} {}", PeerName(peer)),
            id,
            ready: Ready::NONE,
            cursor: head,
            said: LineSplitter::default(),
            has_left: false,
            told_end: false,
            queued: false,
            joined: now,
            active: now.tick(),
            armed: 0,
            up: 0,
            down: 0,
        }
    }

    pub fn mark(&mut self, ready: Ready) {
        self.ready = self.ready.with(ready);
    }

    pub fn behind(&self, ring: &Ring) -> u64 {
        ring.behind(self.cursor)
    }

    /// Whether there is something to read as soon as the screen has room.
    pub fn would_speak(&self) -> bool {
        self.ready.has(Ready::READ) && !self.has_left
    }

    /// Does what can be done now. True: it had its share, and could go on. An error is its end.
    pub fn drive(&mut self, key: Key, with: &mut Drive<'_>) -> Result<bool, Reason> {
        let more = self.tell(key, with)? | self.listen(key, with)?;
        if self.ready.has(Ready::ERROR) {
            self.ready = self.ready.without(Ready::ERROR);
            match self.socket.take_error() {
                Ok(Some(error)) | Err(error) => return Err(lost(&error)),
                // The system hung up without an error: both directions have ended.
                Ok(None) if self.has_left => return Err(Reason::Finished),
                Ok(None) => {}
            }
        }
        match self.has_left && self.told_end {
            true => Err(Reason::Finished),
            false => Ok(more),
        }
    }

    /// What was said to all and not yet to this one.
    fn tell(&mut self, key: Key, with: &mut Drive<'_>) -> Result<bool, Reason> {
        for _ in 0..BUDGET {
            let next = with.ring.next(self.cursor).ok_or(Reason::Lagged)?;
            if next.is_empty() {
                return self.bid_farewell(key, with).map(|()| false);
            }
            if !self.ready.has(Ready::WRITE) {
                return Ok(false);
            }
            let left = self.behind(with.ring) as usize;
            match settled(self.socket.write(next)).map_err(|error| lost(&error))? {
                Io::Moved(bytes) => {
                    with.ring.advance(&mut self.cursor, bytes);
                    self.down += bytes as u64;
                    with.seen.on(key, &Event::Wrote { bytes, left: left - bytes });
                }
                Io::Blocked => {
                    self.ready = self.ready.without(Ready::WRITE);
                    with.seen.on(key, &Event::WriteBlocked { left });
                }
                Io::Interrupted => with.seen.on(key, &Event::Interrupted),
            }
        }
        Ok(true)
    }

    /// It has heard all. If there will be no more, it is told so.
    fn bid_farewell(&mut self, key: Key, with: &mut Drive<'_>) -> Result<(), Reason> {
        if with.farewell && !self.told_end {
            self.told_end = true;
            // One that is gone already need not be told.
            if self.socket.shutdown_write().is_ok() {
                with.seen.on(key, &Event::ShutDown);
            }
        }
        Ok(())
    }

    /// What this one says, as long as there is room to show it.
    fn listen(&mut self, key: Key, with: &mut Drive<'_>) -> Result<bool, Reason> {
        for _ in 0..BUDGET {
            if !self.would_speak() || !with.screen.has_room() {
                return Ok(false);
            }
            let (name, room) = (&self.name, with.scratch.len());
            match settled(self.socket.read(with.scratch)).map_err(|error| lost(&error))? {
                Io::Moved(0) => {
                    self.say_rest(with.screen);
                    with.seen.on(key, &Event::EndOfFile);
                    self.has_left = true;
                    self.ask_for_life();
                    return Ok(false);
                }
                Io::Moved(bytes) => {
                    self.up += bytes as u64;
                    self.active = with.now.tick();
                    with.seen.on(key, &Event::Read { bytes, room, hint: ReadHint::NoPromise });
                    self.said.hear(&with.scratch[..bytes], |piece| with.screen.add(name, piece));
                }
                Io::Blocked => {
                    self.ready = self.ready.without(Ready::READ);
                    with.seen.on(key, &Event::ReadBlocked);
                }
                Io::Interrupted => with.seen.on(key, &Event::Interrupted),
            }
        }
        Ok(true)
    }

    /// It says no more: what it began is shown as it stands.
    pub fn say_rest(&mut self, screen: &mut Screen) {
        self.said.end(|piece| screen.add(&self.name, piece));
    }

    fn ask_for_life(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            let asks = TcpKeepalive::new().with_time(ASK_AFTER).with_interval(ASK_AGAIN);
            // Where it cannot be had, such a member stays until something is said to it.
            let _ = SockRef::from(stream).set_tcp_keepalive(&asks);
        }
    }

    /// Closes it: in order if it has heard all, otherwise with a reset, so that it is not left to
    /// think it had. An event tells the rest.
    pub fn close(mut self, key: Key, reason: Reason, with: &mut Drive<'_>) {
        let owed = self.behind(with.ring) > 0;
        let (first, by) = match reason {
            _ if self.has_left => (Side::Client, CloseKind::Fin),
            Reason::Reset { by, .. } => (by, CloseKind::Rst),
            _ if owed => (Side::Proxy, CloseKind::Rst),
            _ => (Side::Proxy, CloseKind::Fin),
        };
        if owed {
            self.socket.reset_on_drop();
        }
        let (up, down, now) = (self.up, self.down, with.now);
        let (ending, lasted) = (Close { reason, first, by }, now.since(self.joined));
        with.seen.on(key, &Event::Closed { ending, up, down, lasted, now });
    }
}

fn lost(error: &std::io::Error) -> Reason {
    Reason::Reset { by: Side::Client, fault: SysError::from(error) }
}
