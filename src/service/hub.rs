//! Serves the members of a hub: splits what they send into messages, and writes messages to those
//! that accept bytes. What a member receives, and what it misses, is decided by `core::hub`.

use std::collections::VecDeque;

use crate::core::{
    Delivery, Engine, Event, Hub, HubSettings, Key, LastMessage, Mail, Reason, Split, Stream, Turn,
};

/// Maximum replies per turn. Each is one write.
const REPLIES: usize = 1024;

/// Maximum bytes sent to members per turn, as those of one flow. A last reply may exceed it.
const REPLY_BYTES: usize = 1024 * 1024;

/// Maximum messages published before they are delivered. It takes about 100 us.
const MESSAGES: usize = 1024;

/// One hub, and the work that its members have caused.
pub struct HubOwner {
    hub: Hub,
    received: VecDeque<Received>,
}

/// Bytes that wait to be published.
enum Received {
    /// In the inbox of an open connection.
    Inbox(Key),
    /// Taken from a connection that was closed.
    Closed(Key, Vec<u8>),
}

/// What publishing the front of received bytes came to.
struct Published {
    bytes: usize,
    messages: usize,
    /// A message longer than allowed follows.
    too_long: bool,
    /// No complete message is left.
    all: bool,
}

impl HubOwner {
    pub fn new(settings: HubSettings) -> HubOwner {
        HubOwner { hub: Hub::new(settings), received: VecDeque::new() }
    }

    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Adds a connection, which has a local end.
    pub fn join(&mut self, key: Key) {
        self.hub.join(key);
    }

    /// Takes over what happened at the local end of a member.
    pub fn handle(&mut self, mail: Mail) {
        match mail {
            Mail::Received(key) => self.received.push_back(Received::Inbox(key)),
            Mail::Drained(key) => self.hub.unblocked(key),
            Mail::Closed(closed) => {
                self.hub.leave(closed.key);
                if !closed.received.is_empty() {
                    self.received.push_back(Received::Closed(closed.key, closed.received));
                }
            }
        }
    }

    /// Publishes and delivers messages, as far as one turn allows. Returns whether work is left.
    ///
    /// Nothing is published while messages wait for members that accept bytes: a member that reads
    /// misses none because others send much in one turn.
    pub fn serve<S: Stream>(&mut self, engine: &mut Engine<S>, turn: &mut Turn<'_>) -> bool {
        let (mut replies, mut bytes) = (REPLIES, REPLY_BYTES);
        loop {
            while let Some(key) = self.hub.next_ready() {
                if replies == 0 || bytes == 0 {
                    return true;
                }
                replies -= 1;
                bytes = bytes.saturating_sub(self.deliver(key, engine, turn));
            }
            if self.received.is_empty() {
                return false;
            }
            self.publish_some(engine, turn);
        }
    }

    /// Sends a member what it receives next. Returns the number of bytes.
    fn deliver<S: Stream>(
        &mut self,
        key: Key,
        engine: &mut Engine<S>,
        turn: &mut Turn<'_>,
    ) -> usize {
        match self.hub.next(key) {
            Delivery::Bytes(bytes) => {
                let length = bytes.len();
                let accepted = engine.reply(key.at(1), bytes, false, turn);
                self.hub.advance(key, accepted);
                if accepted < length {
                    self.hub.blocked(key);
                }
                return accepted;
            }
            Delivery::Missed(messages) => turn.on(key, &Event::Missed { messages }),
            Delivery::Lagged => {
                self.hub.leave(key);
                engine.end(key, Reason::Lagged, turn);
            }
            Delivery::CaughtUp => {}
        }
        0
    }

    /// Publishes received messages, in turns among the senders, up to a part of the ring.
    fn publish_some<S: Stream>(&mut self, engine: &mut Engine<S>, turn: &mut Turn<'_>) {
        let mut bytes = self.hub.settings().buffer / 4;
        let mut messages = MESSAGES;
        while let Some(received) = self.received.pop_front() {
            let published = match received {
                Received::Inbox(key) => {
                    let Some(message) = engine.message(key.at(1)) else { continue };
                    let last = message.last;
                    let published = publish(&mut self.hub, key, message.bytes, bytes, messages);
                    if published.too_long {
                        engine.end(key, Reason::TooLong, turn);
                    } else if published.all && last {
                        let rest = &message.bytes[published.bytes..];
                        let cut_off = finish(&mut self.hub, key, rest);
                        let all = message.bytes.len();
                        engine.consume(key.at(1), all, 0);
                        if let Some(bytes) = cut_off {
                            turn.on(key, &Event::CutOff { bytes });
                        }
                    } else if published.all {
                        engine.consume(key.at(1), published.bytes, self.inbox_limit());
                    } else {
                        engine.consume(key.at(1), published.bytes, 0);
                        self.received.push_back(Received::Inbox(key));
                    }
                    published
                }
                Received::Closed(key, mut received) => {
                    let published = publish(&mut self.hub, key, &received, bytes, messages);
                    if !published.all {
                        received.drain(..published.bytes);
                        self.received.push_back(Received::Closed(key, received));
                    }
                    published
                }
            };
            messages = messages.saturating_sub(published.messages);
            bytes = bytes.saturating_sub(published.bytes);
            if messages == 0 || bytes == 0 {
                break;
            }
        }
    }

    /// Bytes that are never an incomplete message.
    fn inbox_limit(&self) -> usize {
        let settings = self.hub.settings();
        settings.max_message + settings.frame.overhead()
    }
}

/// Publishes the complete messages at the front of `received`, as far as `bytes` and `messages`
/// allow.
fn publish(
    hub: &mut Hub,
    sender: Key,
    received: &[u8],
    bytes: usize,
    messages: usize,
) -> Published {
    let HubSettings { frame, max_message, .. } = *hub.settings();
    let mut published = Published { bytes: 0, messages: 0, too_long: false, all: false };
    while published.messages < messages && published.bytes < bytes {
        let rest = &received[published.bytes..];
        match frame.split(rest, max_message) {
            Split::Complete(length) => {
                hub.publish(Some(sender), &rest[..length]);
                published.bytes += length;
                published.messages += 1;
            }
            split => {
                (published.too_long, published.all) = (split == Split::TooLong, true);
                break;
            }
        }
    }
    published
}

/// Publishes a last message that only the end of file completes. Returns the number of bytes of one
/// that stays incomplete.
fn finish(hub: &mut Hub, sender: Key, rest: &[u8]) -> Option<usize> {
    match hub.settings().frame.finish(rest) {
        LastMessage::None => None,
        LastMessage::Complete(message) => {
            hub.publish(Some(sender), &message);
            None
        }
        LastMessage::CutOff(bytes) => Some(bytes),
    }
}
