//! A peer: plays its script on its side of a socket, and checks each byte that it receives.

use std::collections::VecDeque;
use std::io::ErrorKind;

use oneloop::core::Random;

use super::answers;
use super::kernel::Kernel;
use super::payload;
use super::remote::Found;
use super::script::Op;

pub struct Peer {
    pub sock: usize,
    /// The number of the stream that it sends.
    pub stream: u64,
    pub said: u64,
    pub expected: Expected,
    pub received: u64,
    pub saw: Option<Saw>,
    pub script: VecDeque<Op>,
    /// It reads while it does other things.
    pub listens: bool,
    /// It aborted: the loss of the rest is its own fault.
    pub rude: bool,
    pub over: bool,
}

/// What a peer should receive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    Nothing,
    Stream(u64),
    Text(Vec<u8>),
    /// The lines of RFC 864.
    Lines,
    /// The answers to the requests that it sends.
    Answers(answers::Cursor),
}

/// How the connection ended for a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saw {
    Eof,
    Reset,
}

impl Peer {
    pub fn new(sock: usize, stream: u64, expected: Expected, script: VecDeque<Op>) -> Peer {
        Peer {
            sock,
            stream,
            said: 0,
            expected,
            received: 0,
            saw: None,
            script,
            listens: true,
            rude: false,
            over: false,
        }
    }

    /// Takes one step of the script. Returns true if it made progress. `calm`: no more pauses or
    /// stalls.
    pub fn act(&mut self, kernel: &mut Kernel, random: &mut Random, calm: bool) -> bool {
        if self.over || !kernel.reaches(self.sock) {
            // An abandoned attempt never reaches its peer.
            self.over |= kernel.socks[self.sock].closed;
            return false;
        }
        let listened = (self.listens || calm) && self.listen(kernel, 1 + random.below(100_000));
        let done = match self.script.front().copied() {
            Some(Op::Say(left)) => self.say(kernel, left, random),
            Some(Op::Hear(left)) => self.hear(kernel, left, random, calm),
            Some(Op::Nap(left)) => self.nap(left, calm),
            Some(Op::HearEnd) => {
                self.listen(kernel, 1 + random.below(5000));
                self.saw.is_some()
            }
            Some(op) => self.end(kernel, op, calm),
            None => true,
        };
        if done {
            self.script.pop_front();
        }
        self.over |= self.script.is_empty() || self.saw == Some(Saw::Reset);
        done || listened
    }

    fn say(&mut self, kernel: &mut Kernel, left: u64, random: &mut Random) -> bool {
        let length = left.min(1 + random.below(3) * random.below(70_000));
        let length = kernel.remote_room(self.sock).min(length as usize);
        let bytes = payload(self.stream, self.said, length);
        let Some(said) = kernel.remote_write(self.sock, &bytes) else {
            // The connection is closed. What it still has to deliver is read later.
            return true;
        };
        self.said += said as u64;
        self.script[0] = Op::Say(left - said as u64);
        left == said as u64
    }

    fn hear(&mut self, kernel: &mut Kernel, left: u64, random: &mut Random, calm: bool) -> bool {
        let before = self.received;
        self.listen(kernel, 1 + random.below(left));
        let left = left.saturating_sub(self.received - before);
        self.script[0] = Op::Hear(left.max(1));
        // In the calm phase every peer continues: waiting for bytes that are not sent would not
        // end.
        left == 0 || self.saw.is_some() || calm && self.received == before
    }

    fn nap(&mut self, left: u64, calm: bool) -> bool {
        self.script[0] = Op::Nap(left.saturating_sub(1));
        left == 0 || calm
    }

    fn end(&mut self, kernel: &mut Kernel, op: Op, calm: bool) -> bool {
        match op {
            Op::Fin => kernel.remote_fin(self.sock),
            Op::Urgent => kernel.remote_urgent(self.sock),
            Op::Close => self.rude |= kernel.remote_close(self.sock),
            Op::Vanish if !calm => return false,
            _ => {
                // The network times out a peer that vanished.
                let gone = op == Op::Vanish;
                let kind = if gone { ErrorKind::TimedOut } else { ErrorKind::ConnectionReset };
                self.rude = true;
                kernel.kill(self.sock, kind);
            }
        }
        true
    }

    fn listen(&mut self, kernel: &mut Kernel, most: u64) -> bool {
        if self.saw.is_some() || self.script.front() == Some(&Op::Vanish) {
            return false;
        }
        match kernel.remote_read(self.sock, most as usize) {
            Found::Nothing => return false,
            Found::Eof => self.saw = Some(Saw::Eof),
            Found::Reset => self.saw = Some(Saw::Reset),
            Found::Bytes(bytes) => self.check(&bytes),
        }
        true
    }

    /// Checks that what it received is a prefix of what was sent to it.
    fn check(&mut self, bytes: &[u8]) {
        let (at, end) = (self.received as usize, self.received as usize + bytes.len());
        let wanted = match &mut self.expected {
            Expected::Nothing => Vec::new(),
            Expected::Stream(stream) => payload(*stream, self.received, bytes.len()),
            Expected::Text(text) => text.get(at..end).unwrap_or_default().to_vec(),
            Expected::Lines => (at..end).map(line_byte).collect(),
            Expected::Answers(cursor) => cursor.next(self.stream, bytes.len()),
        };
        assert!(wanted == bytes, "socket {}: wrong bytes in {at}..{end}", self.sock);
        self.received = end as u64;
    }
}

/// RFC 864 again, implemented differently from the core.
fn line_byte(at: usize) -> u8 {
    let (line, column) = (at / 74, at % 74);
    let end = b"\r\n".get(column.wrapping_sub(72)).copied();
    end.unwrap_or_else(|| (b' '..=b'~').nth((line + column) % 95).unwrap_or_default())
}
