//! Builds the connection of each service. Called once per connection; moves no bytes.

use crate::config::Service;
use crate::core::buffers::Unsent;
use crate::core::{Conn, Engine, Event, Key, Stream, Turn};

pub mod hub;
pub(crate) mod text;

pub use text::PeerFacts;

/// Builds a connection for its service. `facts` is called only by services that send text.
pub fn build_conn<S: Stream>(
    service: &Service,
    socket: S,
    unsent: &mut Unsent<S::Pipe>,
    facts: impl FnOnce(&S) -> PeerFacts,
) -> Conn<S> {
    match service {
        Service::Echo => Conn::echo(socket),
        Service::Discard => Conn::discard(socket),
        Service::Chargen => Conn::chargen(socket),
        Service::Relay(_) => Conn::relay(socket),
        Service::Hub { .. } => Conn::local(socket, None),
        Service::Greet { text, read_one } => {
            let text = text::greeting(text, &facts(&socket));
            send_text(socket, &text, *read_one, unsent)
        }
        Service::Daytime => {
            let text = text::daytime(facts(&socket).unix_seconds);
            send_text(socket, &text, false, unsent)
        }
        Service::Time => {
            let text = text::time(facts(&socket).unix_seconds);
            send_text(socket, &text, false, unsent)
        }
        Service::Whoami => {
            let text = text::whoami(&facts(&socket));
            send_text(socket, &text, false, unsent)
        }
    }
}

/// Returns how many flows of a connection may hold unsent bytes: those that write to a peer.
pub fn holding_flows(service: &Service) -> usize {
    match service {
        Service::Discard => 0,
        Service::Relay(_) => 2,
        _ => 1,
    }
}

/// Builds a connection that sends `text`.
fn send_text<S: Stream>(
    socket: S,
    text: &[u8],
    read_one: bool,
    unsent: &mut Unsent<S::Pipe>,
) -> Conn<S> {
    // An empty entry would never be released.
    let text = (!text.is_empty()).then(|| unsent.store(text));
    if read_one { Conn::local(socket, text) } else { Conn::say(socket, text) }
}

/// Maximum length in bytes of the message that `greet --read-one` receives. A longer one is cut.
pub const MESSAGE_BYTES: usize = 8 * 1024;

/// Receives the one message of `greet --read-one`: up to its newline, the end of file, or
/// `MESSAGE_BYTES`. Then it reports the message and closes the connection. What follows the message
/// is discarded.
pub fn receive_one<S: Stream>(engine: &mut Engine<S>, key: Key, turn: &mut Turn<'_>) {
    let Some(message) = engine.message(key) else { return };
    let bytes = &message.bytes[..message.bytes.len().min(MESSAGE_BYTES)];
    let newline = bytes.iter().position(|byte| *byte == b'\n');
    let length = newline.map_or(bytes.len(), |at| at + 1);
    if newline.is_none() && !message.last && length < MESSAGE_BYTES {
        return engine.consume(key, 0, MESSAGE_BYTES);
    }
    turn.on(key, &Event::Message { message: &bytes[..length] });
    engine.reply(key, &[], true, turn);
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::core::{Buffers, End, NoPipe, Peer};

    /// A socket that is never read or written.
    struct Unused;

    impl Stream for Unused {
        type Pipe = NoPipe;

        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }

        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            Ok(from.len())
        }

        fn shutdown_write(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn is_connected(&mut self) -> io::Result<bool> {
            Ok(true)
        }

        fn take_error(&mut self) -> io::Result<Option<io::Error>> {
            Ok(None)
        }

        fn reset_on_drop(&mut self) {}

        fn short_read_drains(&self) -> bool {
            false
        }
    }

    #[test]
    fn the_flows_that_may_hold_bytes_are_those_to_a_peer() {
        for word in Service::NAMES {
            let service = Service::from_name(word).unwrap();
            let facts = PeerFacts {
                peer: Peer::Stdio,
                local: Peer::Stdio,
                transport: "tcp",
                tcp_info: String::new(),
                service: "",
                unix_seconds: 0,
            };
            let mut buffers = Buffers::default();
            let conn = build_conn(&service, Unused, &mut buffers.unsent, |_| facts);
            let to_a_peer = conn.flows.iter().filter(|flow| {
                // The target of a relay is not connected yet.
                let to = conn.ends.end(flow.to as usize);
                !flow.is_absent() && matches!(to, End::Socket(_) | End::Unconnected)
            });
            assert_eq!(holding_flows(&service), to_a_peer.count(), "{word}");
        }
    }
}
