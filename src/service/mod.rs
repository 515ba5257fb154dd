//! What a new connection becomes. Asked once per connection; moves no bytes.

use crate::core::buffers::Shelf;
use crate::core::{Conn, Stream};
use crate::plan::Service;

pub mod text;

pub use text::Facts;

/// Wires a connection for its service. What a greeting must know is asked for only if it is needed.
pub fn wire<S: Stream>(
    service: &Service,
    socket: S,
    shelf: &mut Shelf<S::Pipe>,
    facts: impl FnOnce(&S) -> Facts,
) -> Conn<S> {
    match service {
        Service::Echo => Conn::echo(socket),
        Service::Discard => Conn::discard(socket),
        Service::Chargen => Conn::chargen(socket),
        Service::Relay(_) => Conn::relay(socket),
        Service::Greet { text, read_one } => {
            let text = text::greeting(text, &facts(&socket));
            say(socket, &text, *read_one, shelf)
        }
        Service::Daytime => {
            let text = text::daytime(facts(&socket).unix_seconds);
            say(socket, &text, false, shelf)
        }
        Service::Time => {
            let text = text::time(facts(&socket).unix_seconds);
            say(socket, &text, false, shelf)
        }
        Service::Whoami => {
            let text = text::whoami(&facts(&socket));
            say(socket, &text, false, shelf)
        }
    }
}

fn say<S: Stream>(socket: S, text: &[u8], read_one: bool, shelf: &mut Shelf<S::Pipe>) -> Conn<S> {
    // A loan of no bytes could never be written off.
    let text = (!text.is_empty()).then(|| shelf.keep(text));
    if read_one { Conn::greet(socket, text) } else { Conn::say(socket, text) }
}
