//! What a connection has at each side: an end, and what was last learned of its readiness.

use std::io;

use super::buffers::{Unsent, UnsentId};
use super::chargen;
use super::event::ReadHint;
use super::flow::{Flow, Step};
use super::pipes::Pipe;
use super::ready::Ready;

/// What a connection needs of a socket. TCP, Unix and simulated streams have it. No call blocks.
pub trait Stream {
    /// What bytes are spliced through; `NoPipe` where there is no splicing.
    type Pipe: Pipe;

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    fn write(&mut self, from: &[u8]) -> io::Result<usize>;
    /// Sends FIN behind the last byte.
    fn shutdown_write(&mut self) -> io::Result<()>;
    /// Whether a connection attempt has succeeded. An error: it has failed.
    fn is_connected(&mut self) -> io::Result<bool>;
    /// The error that waits on the socket, if any.
    fn take_error(&mut self) -> io::Result<Option<io::Error>>;
    /// Makes the coming close a reset, where the transport knows one.
    fn reset_on_drop(&mut self);
    /// Whether the kernel promises another event for bytes that come after a short read.
    fn short_read_drains(&self) -> bool;

    /// Whether bytes can be spliced from here to `to`.
    fn can_splice(&self, to: &Self) -> bool {
        let _ = to;
        false
    }

    /// Moves bytes from the socket into an empty pipe. None of them: there are none, or splicing
    /// cannot tell; only a read knows an end of file.
    fn splice_in(&mut self, pipe: &mut Self::Pipe) -> io::Result<usize> {
        let _ = pipe;
        Ok(0)
    }

    /// Moves at most so many bytes out of the pipe into the socket.
    fn splice_out(&mut self, pipe: &mut Self::Pipe, bytes: usize) -> io::Result<usize> {
        let _ = (pipe, bytes);
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// One side of a connection: something that bytes can be read from and written to.
#[derive(Debug)]
pub enum End<S> {
    Socket(S),
    /// A target that is not dialled yet: neither readable nor writable.
    Unconnected,
    /// Swallows all that is written; has nothing to say.
    Void,
    /// The characters of RFC 864, for ever; swallows all that is written.
    Chargen,
    /// Listens for one message; its own end of file comes once it has heard it.
    Line(Option<UnsentId>),
}

/// The longest message that is listened for: what is longer counts as whole here.
pub const LINE_BYTES: usize = 8 * 1024;

/// The two ends of a connection, and what was last learned of each.
#[derive(Debug)]
pub struct Ends<S> {
    ends: [End<S>; 2],
    ready: [Ready; 2],
}

/// What became of a read or a write that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    Moved(usize),
    Blocked,
    Interrupted,
}

impl<S> Ends<S> {
    /// The bits as they stand.
    pub fn bits(&self, end: usize) -> Ready {
        self.ready[end]
    }
}

impl<S: Stream> Ends<S> {
    pub fn new(ends: [End<S>; 2]) -> Ends<S> {
        let ready = [ends[0].at_birth(), ends[1].at_birth()];
        Ends { ends, ready }
    }

    /// What may be tried at this end now. Nothing, as long as it is not connected.
    pub fn ready(&self, end: usize) -> Ready {
        let ready = self.ready[end];
        if ready.has(Ready::OPENING) { Ready::NONE } else { ready }
    }

    /// What a flow between these ends does next.
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

    /// Forgets that calls on the sockets would block: each is tried once more.
    pub fn doubt(&mut self) {
        for end in 0..2 {
            if self.ends[end].is_socket() {
                self.set(end, Ready::READ.with(Ready::WRITE));
            }
        }
    }

    /// The same, and each is read up to its very end, whatever a short read promises.
    pub fn doubt_to_the_end(&mut self) {
        self.doubt();
        for end in 0..2 {
            if self.ends[end].is_socket() {
                self.set(end, Ready::READ_CLOSED);
            }
        }
    }

    /// Puts a socket that is still connecting at this end; what was there is dropped.
    pub fn dial(&mut self, end: usize, socket: S) {
        self.ends[end] = End::Socket(socket);
        self.ready[end] = Ready::OPENING;
    }

    /// Forgets the socket at this end: its attempt has failed.
    pub fn hang_up(&mut self, end: usize) -> Option<S> {
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

    /// Reads at most `into.len()` bytes; `at` is the position in the stream. Moved(0) is the end of
    /// file.
    #[inline(always)]
    pub fn read(&mut self, end: usize, into: &mut [u8], at: u64) -> io::Result<(Io, ReadHint)> {
        let End::Socket(socket) = &mut self.ends[end] else {
            return Ok(self.ends[end].say(into, at));
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
        unsent: &mut Unsent<S::Pipe>,
    ) -> io::Result<Io> {
        let End::Socket(socket) = &mut self.ends[end] else {
            self.hear(end, from, unsent);
            return Ok(Io::Moved(from.len()));
        };
        let wrote = settled(socket.write(from))?;
        if wrote == Io::Blocked {
            self.clear(end, Ready::WRITE);
        }
        Ok(wrote)
    }

    /// An end that is no socket takes all that it is given.
    #[inline(never)]
    fn hear(&mut self, end: usize, from: &[u8], unsent: &mut Unsent<S::Pipe>) {
        if let End::Line(heard) = &mut self.ends[end] {
            // Readable means: it has heard its message. What follows is swallowed.
            if !self.ready[end].has(Ready::READ) && listen(heard, from, unsent) {
                self.set(end, Ready::READ);
            }
        }
    }

    /// Whether bytes can be spliced from one end to the other. Urgent data would stop a splice, and
    /// look like an end of file: who has shown it is read.
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
        // The pipe was empty, so it is the socket that has nothing more.
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

    /// Passes an end of file on to this end. True if that went out to a peer.
    pub fn shutdown(&mut self, end: usize) -> io::Result<bool> {
        match &mut self.ends[end] {
            End::Socket(socket) => match socket.shutdown_write() {
                // The peer is gone already. If it went with an error, that is how this ends.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    socket.take_error()?.map_or(Ok(false), Err)
                }
                done => done.map(|()| true),
            },
            End::Line(_) => {
                self.set(end, Ready::READ);
                Ok(false)
            }
            End::Unconnected | End::Void | End::Chargen => Ok(false),
        }
    }

    /// The message that was heard at this end, if it listens for one. Asked at its end of file.
    pub fn heard<'a>(&self, end: usize, unsent: &'a Unsent<S::Pipe>) -> Option<&'a [u8]> {
        match &self.ends[end] {
            End::Line(Some(unsent_id)) => Some(unsent.data(unsent_id)),
            End::Line(None) => Some(b""),
            _ => None,
        }
    }

    /// Gives back what this end keeps.
    pub fn release(&mut self, unsent: &mut Unsent<S::Pipe>) {
        for end in &mut self.ends {
            if let End::Line(heard) = end {
                unsent.release(heard);
            }
        }
    }
}

impl<S> End<S> {
    pub fn is_socket(&self) -> bool {
        matches!(self, End::Socket(_))
    }

    pub fn as_socket(&self) -> Option<&S> {
        match self {
            End::Socket(socket) => Some(socket),
            _ => None,
        }
    }

    /// What an end says that is no socket.
    #[inline(never)]
    fn say(&self, into: &mut [u8], at: u64) -> (Io, ReadHint) {
        if matches!(self, End::Chargen) {
            chargen::fill(at, into);
            return (Io::Moved(into.len()), ReadHint::Full);
        }
        (Io::Moved(0), ReadHint::EndWaits)
    }

    /// What is known of an end before the system has said anything. Of a socket: nothing.
    fn at_birth(&self) -> Ready {
        match self {
            End::Socket(_) => Ready::NONE,
            End::Unconnected => Ready::OPENING,
            End::Void | End::Chargen => Ready::READ.with(Ready::WRITE),
            End::Line(_) => Ready::WRITE,
        }
    }
}

/// Gathers a message; true once it is whole.
fn listen<P: Pipe>(heard: &mut Option<UnsentId>, bytes: &[u8], unsent: &mut Unsent<P>) -> bool {
    let newline = bytes.iter().position(|&byte| byte == b'\n');
    let unsent_id = match heard {
        Some(unsent_id) => &*unsent_id,
        None => heard.insert(unsent.store(b"")),
    };
    let room = LINE_BYTES - unsent.data(unsent_id).len();
    let length = newline.map_or(bytes.len(), |at| at + 1).min(room);
    unsent.append(unsent_id, &bytes[..length]);
    newline.is_some() || length == room
}

/// Would-block and interruption are not errors, and end here.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these pieces make a message, and how long it is.
    fn heard(pieces: &[&[u8]]) -> (usize, usize) {
        let mut unsent = Unsent::<crate::core::NoPipe>::default();
        let mut ear = None;
        let whole = pieces.iter().position(|piece| listen(&mut ear, piece, &mut unsent));
        let length = ear.map_or(0, |unsent_id| unsent.data(&unsent_id).len());
        (whole.map_or(0, |at| at + 1), length)
    }

    #[test]
    fn a_message_is_whole_at_its_newline_or_at_its_limit() {
        assert_eq!(heard(&[b"one\ntwo"]), (1, 4));
        assert_eq!(heard(&[b"o", b"ne", b"\n"]), (3, 4));
        assert_eq!(heard(&[b"one"]), (0, 3));
        assert_eq!(heard(&[&[b'x'; LINE_BYTES + 9]]), (1, LINE_BYTES));
        assert_eq!(heard(&[&[b'x'; LINE_BYTES - 1], b"\n"]), (2, LINE_BYTES));
        assert_eq!(heard(&[&[b'x'; LINE_BYTES - 1], b"yy\n"]), (2, LINE_BYTES));
    }

    #[test]
    fn a_message_has_at_most_8_kib() {
        assert_eq!(heard(&[&[b'x'; 8191]]), (0, 8191));
        assert_eq!(heard(&[&[b'x'; 9000]]), (1, 8192));
    }
}
