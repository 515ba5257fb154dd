//! The core's side of a simulated socket: the calls, and the faults injected into them.

use std::io::{self, ErrorKind};
use std::rc::Rc;

use oneloop::core::{Ready, Stream};

use super::Net;
use super::kernel::{Attempt, Kernel, Sock};
use super::pipe::Tube;

/// Dropping it closes it.
pub struct Socket {
    net: Net,
    pub id: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Read,
    Write,
    Shutdown,
    Ask,
}

impl Socket {
    pub fn new(net: &Net, id: usize) -> Socket {
        Socket { net: Rc::clone(net), id }
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // The kernel may be borrowed while a failed check unwinds.
        if let Ok(mut kernel) = self.net.try_borrow_mut() {
            kernel.close(self.id);
        }
    }
}

impl Stream for Socket {
    type Pipe = Tube;

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        assert!(!into.is_empty(), "a read into an empty buffer would look like an end of file");
        self.net.borrow_mut().read(self.id, into)
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        assert!(!from.is_empty(), "an empty write");
        self.net.borrow_mut().write_counted(self.id, from)
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.net.borrow_mut().shutdown(self.id)
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        self.net.borrow_mut().is_connected(self.id)
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        self.net.borrow_mut().take_error(self.id)
    }

    fn reset_on_drop(&mut self) {
        self.net.borrow_mut().socks[self.id].linger_zero = true;
    }

    fn short_read_drains(&self) -> bool {
        self.net.borrow().socks[self.id].drains
    }

    /// Whether a short read proves the socket drained, as on the real system.
    fn can_splice(&self, to: &Socket) -> bool {
        let kernel = self.net.borrow();
        kernel.socks[self.id].drains && kernel.socks[to.id].drains
    }

    fn splice_in(&mut self, pipe: &mut Tube) -> io::Result<usize> {
        assert!(pipe.bytes.is_empty(), "a pipe with bytes in it is filled");
        let mut kernel = self.net.borrow_mut();
        let nothing = kernel.faults.splice_nothing;
        if !kernel.socks[self.id].rx.bytes.is_empty() && kernel.hits(nothing) {
            return Ok(0);
        }
        let mut bytes = vec![0; kernel.splice];
        let moved = kernel.read(self.id, &mut bytes)?;
        pipe.bytes.extend_from_slice(&bytes[..moved]);
        Ok(moved)
    }

    fn splice_out(&mut self, pipe: &mut Tube, bytes: usize) -> io::Result<usize> {
        assert_eq!(pipe.bytes.len(), bytes, "the pipe's bytes are the unsent bytes");
        let moved = self.net.borrow_mut().write_counted(self.id, &pipe.bytes)?;
        pipe.bytes.drain(..moved);
        Ok(moved)
    }
}

impl Kernel {
    fn read(&mut self, id: usize, into: &mut [u8]) -> io::Result<usize> {
        self.enter(id, Call::Read)?;
        let hidden = self.faults.fin_hides_reset;
        let sock = &mut self.socks[id];
        if !sock.rx.bytes.is_empty() {
            let most = into.len().min(sock.rx.until_mark());
            // Where a short read proves the socket drained, none is injected.
            let most = if sock.drains { most } else { self.shorter(most, self.faults.short_read) };
            self.socks[id].rx.take(&mut into[..most]);
            self.socks[id].stats.bytes += most as u64;
            self.moved += most as u64;
            return Ok(most);
        }
        if sock.rx.fin && (hidden || sock.error.is_none()) {
            return Ok(0);
        }
        if let Some(kind) = sock.fail() {
            return Err(kind.into());
        }
        if sock.dead {
            return Ok(0);
        }
        self.block(id, Ready::READ);
        Err(ErrorKind::WouldBlock.into())
    }

    fn write_counted(&mut self, id: usize, from: &[u8]) -> io::Result<usize> {
        let wrote = self.write(id, from);
        let is_short = match &wrote {
            Ok(bytes) => *bytes < from.len(),
            Err(error) => {
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
            }
        };
        self.short_writes += u64::from(is_short);
        wrote
    }

    fn write(&mut self, id: usize, from: &[u8]) -> io::Result<usize> {
        self.enter(id, Call::Write)?;
        let sock = &mut self.socks[id];
        assert!(!sock.tx.fin, "socket {id} is written to after its FIN");
        assert!(sock.dial == Attempt::Done, "socket {id} is written to before it is connected");
        if let Some(kind) = sock.fail() {
            return Err(kind.into());
        }
        if sock.dead {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let room = sock.tx.room - sock.tx.bytes.len();
        if room == 0 {
            sock.stats.blocked = true;
            self.block(id, Ready::WRITE);
            return Err(ErrorKind::WouldBlock.into());
        }
        let most = self.shorter(from.len().min(room), self.faults.short_write);
        let sock = &mut self.socks[id];
        sock.stats.blocked = false;
        sock.stats.bytes += most as u64;
        self.moved += most as u64;
        sock.tx.put(&from[..most]);
        if sock.left {
            // The peer's answer to bytes after its close.
            self.kill(id, ErrorKind::ConnectionReset);
        }
        Ok(most)
    }

    fn shutdown(&mut self, id: usize) -> io::Result<()> {
        self.enter(id, Call::Shutdown)?;
        let sock = &mut self.socks[id];
        assert!(!sock.tx.fin, "socket {id} is shut down twice");
        if sock.dead {
            return Err(ErrorKind::NotConnected.into());
        }
        sock.tx.fin = true;
        Ok(())
    }

    fn is_connected(&mut self, id: usize) -> io::Result<bool> {
        self.enter(id, Call::Ask)?;
        let sock = &mut self.socks[id];
        match sock.fail() {
            Some(kind) => Err(kind.into()),
            None if sock.dead => Err(ErrorKind::NotConnected.into()),
            None => Ok(sock.dial == Attempt::Done),
        }
    }

    fn take_error(&mut self, id: usize) -> io::Result<Option<io::Error>> {
        self.enter(id, Call::Ask)?;
        Ok(self.socks[id].fail().map(io::Error::from))
    }

    /// Injects the faults that any call may have.
    fn enter(&mut self, id: usize, call: Call) -> io::Result<()> {
        assert!(!self.socks[id].closed, "{call:?} on closed socket {id}");
        self.calls += 1;
        self.socks[id].stats.lied &= call != Call::Read;
        self.socks[id].stats.calls += 1;
        if let Some((_, kind)) = self.fail.filter(|(at, _)| *at == self.calls) {
            return self.strike(id, call, kind);
        }
        if !self.socks[id].dead && self.hits(self.faults.reset) {
            return self.strike(id, call, ErrorKind::ConnectionReset);
        }
        if matches!(call, Call::Read | Call::Write) {
            if self.hits(self.faults.interrupted) {
                return self.strike(id, call, ErrorKind::Interrupted);
            }
            if self.hits(self.faults.would_block) {
                return self.strike(id, call, ErrorKind::WouldBlock);
            }
        }
        Ok(())
    }

    /// Makes this call fail, if it is its turn.
    fn strike(&mut self, id: usize, call: Call, kind: ErrorKind) -> io::Result<()> {
        match (kind, call) {
            // This call never returns that error.
            (ErrorKind::Interrupted | ErrorKind::WouldBlock, Call::Shutdown | Call::Ask) => {
                return Ok(());
            }
            (ErrorKind::Interrupted, _) => self.socks[id].stats.blocked &= call == Call::Read,
            (ErrorKind::WouldBlock, Call::Read) => {
                self.socks[id].stats.lied = true;
                self.block(id, Ready::READ);
            }
            (ErrorKind::WouldBlock, _) => {
                self.socks[id].stats.blocked = true;
                self.block(id, Ready::WRITE);
            }
            _ => {
                self.kill(id, kind);
                self.socks[id].error = Some(kind);
                self.socks[id].fail();
            }
        }
        Err(kind.into())
    }

    fn shorter(&mut self, most: usize, strength: u64) -> usize {
        if self.hits(strength) { 1 + self.random.below(most as u64) as usize } else { most }
    }
}

impl Sock {
    /// Takes the pending error.
    fn fail(&mut self) -> Option<ErrorKind> {
        let error = self.error.take();
        self.stats.fault = self.stats.fault.or(error);
        error
    }
}
