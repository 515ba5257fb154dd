//! The remote side of a simulated socket: what a peer, or the network in between, can do to it.

use std::io::ErrorKind;

use oneloop::core::Ready;

use super::kernel::{Attempt, Kernel};

/// The result of a peer's read.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Bytes(Vec<u8>),
    Eof,
    Reset,
    Nothing,
}

impl Kernel {
    /// Whether the connection has reached the peer: an undecided attempt has no peer yet.
    pub fn reaches(&self, id: usize) -> bool {
        self.socks[id].dial == Attempt::Done
    }

    /// Writes bytes of the peer. Returns how many were accepted, None if the connection is closed.
    pub fn remote_write(&mut self, id: usize, bytes: &[u8]) -> Option<usize> {
        let sock = &mut self.socks[id];
        if sock.closed || sock.dead {
            return None;
        }
        assert!(!sock.rx.fin, "the peer of {id} writes after its FIN");
        let taken = bytes.len().min(sock.rx.room - sock.rx.bytes.len());
        sock.rx.put(&bytes[..taken]);
        if taken > 0 {
            self.edge(id, Ready::READ);
        }
        Some(taken)
    }

    /// Returns how many bytes the peer can write now.
    pub fn remote_room(&self, id: usize) -> usize {
        self.socks[id].rx.room - self.socks[id].rx.bytes.len()
    }

    pub fn remote_read(&mut self, id: usize, most: usize) -> Found {
        let sock = &mut self.socks[id];
        if !sock.tx.bytes.is_empty() {
            let mut bytes = vec![0; most.min(sock.tx.bytes.len())];
            sock.tx.take(&mut bytes);
            self.edge(id, Ready::WRITE);
            return Found::Bytes(bytes);
        }
        match () {
            () if sock.tx.reset => Found::Reset,
            () if sock.tx.fin => Found::Eof,
            () if sock.dead => Found::Reset,
            () => Found::Nothing,
        }
    }

    pub fn remote_fin(&mut self, id: usize) {
        let sock = &mut self.socks[id];
        if !sock.closed && !sock.dead {
            sock.rx.fin = true;
            self.edge(id, Ready::READ);
        }
    }

    /// Sends an urgent byte. It is not part of the stream, but a read stops where it was sent.
    pub fn remote_urgent(&mut self, id: usize) {
        let sock = &mut self.socks[id];
        if !sock.closed && !sock.dead && !sock.rx.fin {
            let place = sock.rx.put;
            sock.rx.marks.push_back(place);
            self.edge(id, Ready::READ);
        }
    }

    /// Closes both directions. Returns true if that was a reset, because the peer had unread bytes.
    pub fn remote_close(&mut self, id: usize) -> bool {
        if !self.socks[id].tx.bytes.is_empty() {
            self.kill(id, ErrorKind::ConnectionReset);
            return true;
        }
        self.remote_fin(id);
        self.socks[id].left = true;
        false
    }

    /// Resets the connection: by the peer, by the network, or by a peer that had closed. The core's
    /// side gets the error `kind`.
    pub fn kill(&mut self, id: usize, kind: ErrorKind) {
        let purges = self.hits(self.faults.reset_purges);
        let sock = &mut self.socks[id];
        if sock.closed || sock.dead {
            return;
        }
        sock.dead = true;
        sock.error = Some(kind);
        sock.tx.reset = true;
        if purges && !sock.rx.bytes.is_empty() {
            // Received bytes are discarded too, so the stream no longer counts as complete.
            sock.rx.bytes.clear();
            sock.rx.marks.clear();
            sock.rx.fin = false;
        }
        self.shock(id);
    }
}
