//! One client of a chat: sends it the input from the ring, and adds its lines to the screen. Which
//! client is driven when is decided by `members`.

use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::line_splitter::LineSplitter;
use super::ring::{Cursor, Ring};
use super::screen::Screen;
use crate::core::end::settled;
use crate::core::{
    Close, CloseKind, Event, Io, Key, Moment, Peer, ReadHint, Ready, Reason, Side, Stream,
    SysError, Tick, Turn,
};
use crate::net::Socket;
use crate::text::escape::plain;

/// Maximum reads, and maximum writes, per member and turn.
const BUDGET: usize = 16;

/// TCP_KEEPIDLE after a client's FIN. The client may still be reading, or be gone: TCP does not
/// distinguish them, but a client that is gone answers a keepalive probe with a reset.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(60);

/// TCP_KEEPINTVL: time between keepalive probes without an answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

/// A client and its position in the ring.
pub struct Member {
    socket: Socket,
    /// Its number and its address, as printed on the screen.
    pub name: String,
    pub id: u32,
    ready: Ready,
    cursor: Cursor,
    lines: LineSplitter,
    /// It has sent a FIN. It may still be reading.
    pub has_left: bool,
    /// A FIN was sent, after all of the input.
    pub fin_sent: bool,
    /// It is in the run queue.
    pub queued: bool,
    joined: Moment,
    /// When data was last read from it.
    pub active: Tick,
    /// The tick of its timer; earlier entries are stale. 0: none.
    pub armed: Tick,
    pub up: u64,
    pub down: u64,
}

/// The parts of the chat that driving a member uses.
pub struct MemberCx<'a, 't> {
    pub ring: &'a Ring,
    pub screen: &'a mut Screen,
    /// The chat is ending: a member that has received all of the input is sent a FIN.
    pub shutting_down: bool,
    pub scratch: &'a mut [u8],
    pub turn: &'a mut Turn<'t>,
}

impl Member {
    pub fn new(socket: Socket, peer: &Peer, id: u32, head: Cursor, now: Moment) -> Member {
        Member {
            socket,
            name: member_name(id, peer),
            id,
            ready: Ready::NONE,
            cursor: head,
            lines: LineSplitter::default(),
            has_left: false,
            fin_sent: false,
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

    /// Whether it can be read as soon as the screen has room.
    pub fn is_readable(&self) -> bool {
        self.ready.has(Ready::READ) && !self.has_left
    }

    /// Writes and reads until blocked or until a budget is used up; then it returns true. An error
    /// closes the member.
    pub fn drive(&mut self, key: Key, cx: &mut MemberCx<'_, '_>) -> Result<bool, Reason> {
        let has_more = self.send(key, cx)? | self.receive(key, cx)?;
        if self.ready.has(Ready::ERROR) {
            self.ready = self.ready.without(Ready::ERROR);
            match self.socket.take_error() {
                Ok(Some(error)) | Err(error) => return Err(reset_by_client(&error)),
                // A hang-up without an error: both directions have ended.
                Ok(None) if self.has_left => return Err(Reason::Finished),
                Ok(None) => {}
            }
        }
        match self.has_left && self.fin_sent {
            true => Err(Reason::Finished),
            false => Ok(has_more),
        }
    }

    /// Writes what the ring holds for it.
    fn send(&mut self, key: Key, cx: &mut MemberCx<'_, '_>) -> Result<bool, Reason> {
        for _ in 0..BUDGET {
            let next = cx.ring.next(self.cursor).ok_or(Reason::Lagged)?;
            if next.is_empty() {
                self.shut_down_if_ending(key, cx);
                return Ok(false);
            }
            if !self.ready.has(Ready::WRITE) {
                return Ok(false);
            }
            let left = self.behind(cx.ring) as usize;
            match settled(self.socket.write(next)).map_err(|error| reset_by_client(&error))? {
                Io::Moved(bytes) => {
                    cx.ring.advance(&mut self.cursor, bytes);
                    self.down += bytes as u64;
                    cx.turn.step(key, || Event::Wrote { bytes, left: left - bytes });
                }
                Io::Blocked => {
                    self.ready = self.ready.without(Ready::WRITE);
                    cx.turn.step(key, || Event::WriteBlocked { left });
                }
                Io::Interrupted => cx.turn.step(key, || Event::Interrupted),
            }
        }
        Ok(true)
    }

    /// Sends a FIN at the end of the chat. The member has received all of the input.
    fn shut_down_if_ending(&mut self, key: Key, cx: &mut MemberCx<'_, '_>) {
        if cx.shutting_down && !self.fin_sent {
            self.fin_sent = true;
            // It fails if the client has reset the connection. A read reports that.
            if self.socket.shutdown_write().is_ok() {
                cx.turn.on(key, &Event::ShutDown);
            }
        }
    }

    /// Reads lines while the screen has room for them.
    fn receive(&mut self, key: Key, cx: &mut MemberCx<'_, '_>) -> Result<bool, Reason> {
        for _ in 0..BUDGET {
            if !self.is_readable() || !cx.screen.has_room() {
                return Ok(false);
            }
            let (name, room) = (&self.name, cx.scratch.len());
            match settled(self.socket.read(cx.scratch)).map_err(|error| reset_by_client(&error))? {
                Io::Moved(0) => {
                    self.end_line(cx.screen);
                    cx.turn.on(key, &Event::EndOfFile);
                    self.has_left = true;
                    self.enable_keepalive();
                    return Ok(false);
                }
                Io::Moved(bytes) => {
                    self.up += bytes as u64;
                    self.active = cx.turn.now.tick();
                    let hint = ReadHint::NoPromise;
                    cx.turn.step(key, || Event::Read { bytes, room, hint });
                    self.lines.push(&cx.scratch[..bytes], |piece| cx.screen.add(name, piece));
                }
                Io::Blocked => {
                    self.ready = self.ready.without(Ready::READ);
                    cx.turn.step(key, || Event::ReadBlocked);
                }
                Io::Interrupted => cx.turn.step(key, || Event::Interrupted),
            }
        }
        Ok(true)
    }

    /// Adds an unfinished line to the screen: no more data will be read.
    pub fn end_line(&mut self, screen: &mut Screen) {
        self.lines.finish(|piece| screen.add(&self.name, piece));
    }

    fn enable_keepalive(&self) {
        if let Socket::Tcp(stream) = &self.socket {
            let keepalive =
                TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL);
            // Without keepalive, a dead client is found by the next write.
            let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
        }
    }

    /// Closes the connection and reports it. A member that has not received all of the input is
    /// reset: a FIN would tell it that it had.
    pub fn close(mut self, key: Key, reason: Reason, cx: &mut MemberCx<'_, '_>) {
        let is_behind = self.behind(cx.ring) > 0;
        let (first, by) = match reason {
            _ if self.has_left => (Side::Client, CloseKind::Fin),
            Reason::Reset { by, .. } => (by, CloseKind::Rst),
            _ if is_behind => (Side::Proxy, CloseKind::Rst),
            _ => (Side::Proxy, CloseKind::Fin),
        };
        if is_behind {
            self.socket.reset_on_drop();
        }
        let (up, down) = (self.up, self.down);
        let (ending, lasted) = (Close { reason, first, by }, cx.turn.now.since(self.joined));
        cx.turn.on(key, &Event::Closed { ending, up, down, lasted });
    }
}

/// Returns how the others see a member. The path of a Unix socket is chosen by the peer, so it is
/// escaped.
fn member_name(id: u32, peer: &Peer) -> String {
    match peer {
        Peer::Unix(Some(path)) => format!("#{id} unix:{}", plain(path)),
        Peer::Unix(None) => format!("#{id} unix"),
        Peer::Inet(_) | Peer::Stdio => format!("#{id} {peer}"),
    }
}

fn reset_by_client(error: &std::io::Error) -> Reason {
    Reason::Reset { by: Side::Client, fault: SysError::from(error) }
}
