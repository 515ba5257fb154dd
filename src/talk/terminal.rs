//! What a terminal or a pipe on standard input and output means for the loop.

use std::io::{self, IsTerminal};

use mio::event::Event as IoEvent;

use crate::core::{Ready, Signal};
use crate::runtime::event_loop;

/// Maximum events per poll. Others are reported by the next poll.
pub const EVENTS: usize = 256;

/// Whether a signal ends the session. SIGHUP does if a standard descriptor is a terminal, because
/// then the terminal may have hung up.
pub fn is_terminating(signal: Signal) -> bool {
    let terminals =
        [io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal()];
    signal != Signal::HangUp || terminals.contains(&true)
}

/// Converts an event to readiness bits. The end of a pipe is reported as a hang-up without
/// readability, and only a read distinguishes it, so it counts as readable. A closed reader of our
/// output is reported as an error by a pipe, and as a hang-up by a socket.
pub fn ready(event: &IoEvent) -> Ready {
    let bit = |on: bool, bit: Ready| if on { bit } else { Ready::NONE };
    event_loop::ready(event)
        .with(bit(event.is_read_closed(), Ready::READ))
        .with(bit(event.is_write_closed(), Ready::ERROR))
}
