//! The two ends of a connection: their readiness, and the reads and writes that update it.

use std::io;

use super::chargen;
use super::event::ReadHint;
use super::flow::{Flow, Step};
use super::key::Key;
use super::local::{InboxId, Locals};
use super::pipes::Pipe;
use super::ready::Ready;

/// A non-blocking stream socket: TCP, Unix or simulated.
pub trait Stream {
    /// The pipe for splicing; `NoPipe` where splicing is not supported.
    type Pipe: Pipe;

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, from: &[u8]) -> io::Result<usize>;
    /// Sends a FIN after the last byte.
    fn shutdown_write(&mut self) -> io::Result<()>;
    /// Whether a connection attempt has succeeded. Returns the error of a failed attempt.
    fn is_connected(&mut self) -> io::Result<bool>;
    /// Takes the pending error of the socket (SO_ERROR), if any.
    fn take_error(&mut self) -> io::Result<Option<io::Error>>;
    /// Makes the next close send a reset, where the transport has one.
    fn reset_on_drop(&mut self);
    /// Whether a short read proves the socket empty: the kernel reports later bytes with a new
    /// event.
    fn short_read_drains(&self) -> bool;

    /// Whether bytes can be spliced from this socket to `to`.
    fn can_splice(&self, to: &Self) -> bool {
        let _ = to;
        false
    }

    /// Moves bytes from the socket into an empty pipe. Zero does not mean end of file: only a read
    /// can detect that.
    fn splice_in(&mut self, pipe: &mut Self::Pipe) -> io::Result<usize> {
        let _ = pipe;
        Ok(0)
    }

    /// Moves at most `bytes` bytes from the pipe into the socket.
    fn splice_out(&mut self, pipe: &mut Self::Pipe, bytes: usize) -> io::Result<usize> {
        let _ = (pipe, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One end of a connection: bytes can be read from it and written to it.
#[derive(Debug)]
pub enum End<S> {
    Socket(S),
    /// A socket that does not exist yet: neither readable nor writable.
    Unconnected,
    /// Discards everything that is written. Reads return end of file.
    Void,
    /// Generates the characters of RFC 864 without end, and discards everything that is written.
    Chargen,
    /// An end inside the process. Its owner takes what is written to it from the inbox, and replies
    /// by `Engine::reply`.
    ///
    /// WRITE: the inbox takes the bytes of one more read. READ: the owner has more to send, or
    /// READ_CLOSED is set. READ_CLOSED: the reply is complete. DISCARD: what the peer sends is
    /// discarded.
    Local(Option<InboxId>),
}

/// The two ends of a connection, and the readiness of each.
#[derive(Debug)]
pub struct Ends<S> {
    ends: [End<S>; 2],
    ready: [Ready; 2],
}

/// The result of a read or a write that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    Moved(usize),
    Blocked,
    Interrupted,
}

impl<S> Ends<S> {
    /// Returns the readiness bits of an end, connected or not.
    pub fn bits(&self, end: usize) -> Ready {
        self.ready[end]
    }
}

impl<S: Stream> Ends<S> {
    pub fn new(ends: [End<S>; 2]) -> Ends<S> {
        let ready = [ends[0].initial_ready(), ends[1].initial_ready()];
        Ends { ends, ready }
    }

    /// Returns what may be tried at this end now. Nothing while it is not connected.
    pub fn ready(&self, end: usize) -> Ready {
        let ready = self.ready[end];
        if ready.has(Ready::OPENING) { Ready::NONE } else { ready }
    }

    /// Returns the next step of a flow between these ends.
    #[inline(always)]
    pub fn next(&self, flow: &Flow) -> Step {
        let (from, to) = flow.route();
        flow.next(self.ready(from), self.ready(to))
    }

    pub fn set(&mut self, end: usize, bits: Ready) {
        self.ready[end] = self.ready[end].with(bits);
    }

    pub fn clear(&mut self, end: usize, bits: Ready) {
        self.ready[end] = self.ready[end].without(bits);
    }

    /// Marks each socket readable and writable, so that each is tried once more.
    pub fn assume_ready(&mut self) {
        for end in 0..2 {
            if self.ends[end].is_socket() {
                self.set(end, Ready::READ.with(Ready::WRITE));
            }
        }
    }

    /// Does the same, and makes each socket be read to its end, even after a short read. A local
    /// end takes one more read.
    pub fn assume_ready_to_eof(&mut self) {
        self.assume_ready();
        for end in 0..2 {
            match self.ends[end] {
                End::Socket(_) => self.set(end, Ready::READ_CLOSED),
                End::Local(_) => self.set(end, Ready::WRITE),
                End::Unconnected | End::Void | End::Chargen => {}
            }
        }
    }

    /// Replaces this end by a socket that is still connecting.
    pub fn dial(&mut self, end: usize, socket: S) {
        self.ends[end] = End::Socket(socket);
        self.ready[end] = Ready::OPENING;
    }

    /// Removes the socket whose attempt has failed from this end, and returns it.
    pub fn disconnect(&mut self, end: usize) -> Option<S> {
        self.ready[end] = Ready::OPENING;
        match std::mem::replace(&mut self.ends[end], End::Unconnected) {
            End::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    pub fn socket(&mut self, end: usize) -> Option<&mut S> {
        match &mut self.ends[end] {
            End::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    pub fn end(&self, end: usize) -> &End<S> {
        &self.ends[end]
    }

    /// Reads at most `into.len()` bytes. `at` is the position in the stream. Moved(0) is the end of
    /// file.
    #[inline(always)]
    pub fn read(
        &mut self,
        end: usize,
        into: &mut [u8],
        at: u64,
        locals: &mut Locals,
        key: Key,
    ) -> io::Result<(Io, ReadHint)> {
        let End::Socket(socket) = &mut self.ends[end] else {
            return Ok(self.read_internal(end, into, at, locals, key));
        };
        let read = settled(socket.read(into))?;
        let bits = self.ready[end];
        let hint = match read {
            Io::Moved(bytes) if bytes == into.len() => ReadHint::Full,
            Io::Moved(_) if bits.any(Ready::READ_CLOSED.with(Ready::ERROR)) => ReadHint::EndWaits,
            Io::Moved(_) if bits.has(Ready::URGENT) => ReadHint::Urgent,
            Io::Moved(_) if !socket.short_read_drains() => ReadHint::NoPromise,
            _ => ReadHint::Short,
        };
        let drained = read == Io::Blocked || matches!(read, Io::Moved(1..)) && !hint.read_again();
        if drained {
            self.clear(end, Ready::READ);
        }
        Ok((read, hint))
    }

    #[inline(always)]
    pub fn write(
        &mut self,
        end: usize,
        from: &[u8],
        locals: &mut Locals,
        key: Key,
    ) -> io::Result<Io> {
        let End::Socket(socket) = &mut self.ends[end] else {
            self.write_internal(end, from, locals, key);
            return Ok(Io::Moved(from.len()));
        };
        let wrote = settled(socket.write(from))?;
        if wrote == Io::Blocked {
            self.clear(end, Ready::WRITE);
        }
        Ok(wrote)
    }

    /// Produces what an end that is not a socket is read for. The owner of a local end has replied
    /// with all it had, so it is asked for more.
    #[inline(never)]
    fn read_internal(
        &mut self,
        end: usize,
        into: &mut [u8],
        at: u64,
        locals: &mut Locals,
        key: Key,
    ) -> (Io, ReadHint) {
        match self.ends[end] {
            End::Chargen => {
                chargen::fill(at, into);
                (Io::Moved(into.len()), ReadHint::Full)
            }
            End::Local(_) if !self.ready[end].has(Ready::READ_CLOSED) => {
                self.clear(end, Ready::READ);
                locals.drain(key.at(end));
                (Io::Blocked, ReadHint::Short)
            }
            _ => (Io::Moved(0), ReadHint::EndWaits),
        }
    }

    /// Accepts all bytes written to an end that is not a socket. A local end accepts no more until
    /// its owner has handled them.
    #[inline(never)]
    fn write_internal(&mut self, end: usize, from: &[u8], locals: &mut Locals, key: Key) {
        if let End::Local(inbox) = &mut self.ends[end]
            && !self.ready[end].has(Ready::DISCARD)
        {
            locals.receive(inbox, from, key.at(end));
            self.clear(end, Ready::WRITE);
        }
    }

    /// Whether bytes can be spliced from one end to the other. Urgent data stops a splice, which
    /// then looks like an end of file, so an end that has received urgent data is read instead.
    pub fn can_splice(&self, from: usize, to: usize) -> bool {
        match (&self.ends[from], &self.ends[to]) {
            (End::Socket(a), End::Socket(b)) if from != to => {
                !self.ready[from].has(Ready::URGENT) && a.can_splice(b)
            }
            _ => false,
        }
    }

    pub fn splice_in(&mut self, end: usize, pipe: &mut S::Pipe) -> io::Result<Io> {
        let Some(socket) = self.socket(end) else { return Ok(Io::Moved(0)) };
        let moved = settled(socket.splice_in(pipe))?;
        // The pipe was empty, so it is the socket that is drained.
        if moved == Io::Blocked {
            self.clear(end, Ready::READ);
        }
        Ok(moved)
    }

    pub fn splice_out(&mut self, end: usize, pipe: &mut S::Pipe, bytes: usize) -> io::Result<Io> {
        let Some(socket) = self.socket(end) else { return Ok(Io::Moved(bytes)) };
        let moved = settled(socket.splice_out(pipe, bytes))?;
        if moved == Io::Blocked {
            self.clear(end, Ready::WRITE);
        }
        Ok(moved)
    }

    /// Propagates an end of file to this end. Returns true if a FIN was sent to a peer.
    pub fn shutdown(&mut self, end: usize, locals: &mut Locals, key: Key) -> io::Result<bool> {
        match &mut self.ends[end] {
            End::Socket(socket) => match socket.shutdown_write() {
                // The peer is already gone. If it left an error, that is the result.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    socket.take_error()?.map_or(Ok(false), Err)
                }
                done => done.map(|()| true),
            },
            End::Local(_) => {
                if !self.ready[end].has(Ready::DISCARD) {
                    locals.end(key.at(end));
                }
                Ok(false)
            }
            End::Unconnected | End::Void | End::Chargen => Ok(false),
        }
    }

    /// Returns the inbox of a local end.
    pub fn inbox(&mut self, end: usize) -> Option<&mut Option<InboxId>> {
        match &mut self.ends[end] {
            End::Local(inbox) => Some(inbox),
            _ => None,
        }
    }

    /// Ends the reply of a local end: the peer receives a FIN, and what it sends from now on is
    /// discarded.
    pub fn close_local(&mut self, end: usize, locals: &mut Locals) {
        if let Some(inbox) = self.inbox(end) {
            locals.release(inbox);
            self.set(end, Ready::WRITE.with(Ready::DISCARD));
            self.end_reply(end);
        }
    }

    /// Ends the reply of a local end: the peer receives a FIN.
    pub fn end_reply(&mut self, end: usize) {
        self.set(end, Ready::READ.with(Ready::READ_CLOSED));
    }

    /// Whether the owner of a local end has bytes for the peer that the socket did not accept.
    pub fn owner_waits(&self, end: usize) -> bool {
        let bits = self.ready[end];
        self.ends[end].is_local() && bits.has(Ready::READ) && !bits.has(Ready::READ_CLOSED)
    }
}

impl<S> End<S> {
    pub fn is_socket(&self) -> bool {
        matches!(self, End::Socket(_))
    }

    pub fn is_local(&self) -> bool {
        matches!(self, End::Local(_))
    }

    pub fn as_socket(&self) -> Option<&S> {
        match self {
            End::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// Returns the readiness of an end before its first event. A socket has none.
    fn initial_ready(&self) -> Ready {
        match self {
            End::Socket(_) => Ready::NONE,
            End::Unconnected => Ready::OPENING,
            End::Void | End::Chargen => Ready::READ.with(Ready::WRITE),
            End::Local(_) => Ready::WRITE,
        }
    }
}

/// Turns would-block and interrupted, which are not failures, into values.
pub fn settled(result: io::Result<usize>) -> io::Result<Io> {
    match result {
        Ok(bytes) => Ok(Io::Moved(bytes)),
        Err(error) => match error.kind() {
            io::ErrorKind::WouldBlock => Ok(Io::Blocked),
            io::ErrorKind::Interrupted => Ok(Io::Interrupted),
            _ => Err(error),
        },
    }
}
