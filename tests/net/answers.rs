//! A request/response protocol on local ends, whose answers are far larger than any buffer. A
//! request has three bytes, which are the length, the content and the slice size of its answer.

use std::collections::HashMap;

use oneloop::core::{Engine, Key, Turn};

use super::payload;
use super::socket::Socket;

const REQUEST: usize = 3;

/// Maximum number of bytes that an inbox holds before a read.
pub const INBOX: usize = 8;

/// The answers in progress, by connection.
#[derive(Default)]
pub struct Answers(HashMap<u32, Answer>);

struct Answer {
    request: [u8; REQUEST],
    sent: usize,
}

impl Answers {
    /// Sends the rest of the answer in progress, then answers all requests that were received,
    /// until the socket accepts no more.
    pub fn serve(&mut self, engine: &mut Engine<Socket>, key: Key, turn: &mut Turn<'_>) {
        loop {
            if let Some(answer) = self.0.get_mut(&key.id) {
                let left = length(answer.request) - answer.sent;
                let slice = left.min(1 + usize::from(answer.request[2]));
                let bytes = content(answer.request, answer.sent, slice);
                answer.sent += engine.reply(key, &bytes, false, turn);
                if slice < left || answer.sent < length(answer.request) {
                    match engine.get(key) {
                        Some(conn) if !conn.ends.owner_waits(1) => continue,
                        _ => return,
                    }
                }
                self.0.remove(&key.id);
            }
            let Some(message) = engine.message(key) else { return };
            let Some(request) = message.bytes.first_chunk() else {
                match message.last {
                    true => engine.reply(key, &[], true, turn),
                    false => {
                        engine.consume(key, 0, INBOX);
                        0
                    }
                };
                return;
            };
            self.0.insert(key.id, Answer { request: *request, sent: 0 });
            engine.consume(key, REQUEST, INBOX);
        }
    }

    pub fn forget(&mut self, key: Key) {
        self.0.remove(&key.id);
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Most answers are short, some are many times as long as a buffer.
fn length(request: [u8; REQUEST]) -> usize {
    match usize::from(request[0]) {
        long @ 0..16 => long * 32,
        short => short % 4,
    }
}

fn content([_, content, _]: [u8; REQUEST], at: usize, bytes: usize) -> Vec<u8> {
    (at..at + bytes).map(|at| content.wrapping_add(at as u8)).collect()
}

/// A position in the answers to all requests of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    request: u64,
    /// Bytes of this request's answer before the position.
    at: usize,
}

impl Cursor {
    /// Returns the next bytes of the answers.
    pub fn next(&mut self, stream: u64, bytes: usize) -> Vec<u8> {
        let mut next = Vec::new();
        while next.len() < bytes {
            let request = request(stream, self.request);
            let length = (length(request) - self.at).min(bytes - next.len());
            next.extend(content(request, self.at, length));
            self.at += length;
            if self.at == self::length(request) {
                *self = Cursor { request: self.request + 1, at: 0 };
            }
        }
        next
    }
}

/// Returns the number of bytes in the answers to the requests that are complete in the first
/// `bytes` bytes of a stream.
pub fn total(stream: u64, bytes: u64) -> u64 {
    (0..bytes / REQUEST as u64).map(|number| length(request(stream, number)) as u64).sum()
}

fn request(stream: u64, number: u64) -> [u8; REQUEST] {
    let bytes = payload(stream, number * REQUEST as u64, REQUEST);
    [bytes[0], bytes[1], bytes[2]]
}
