//! Explains events: one sentence each on why the loop did this, for readers who want to understand
//! event loops. A sentence states only what follows from the event itself.

use std::fmt::{self, Formatter};
use std::time::Duration;

use crate::core::event::DropReason;
use crate::core::{Close, CloseKind, Deadline, Event, Key, ReadHint, Ready, Reason, Side};

use super::clock::Span;

/// The system call behind mio's `poll`.
const POLLER: &str = if cfg!(all(target_os = "linux", not(mio_unsupported_force_poll_poll))) {
    "epoll"
} else {
    "poll"
};

/// Writes ` -- ` and the explanation of `event`, or nothing where there is nothing to explain.
pub fn explain(f: &mut Formatter<'_>, key: Key, event: &Event<'_>) -> fmt::Result {
    match event {
        Event::Dump { .. } | Event::InProgress { .. } => return Ok(()),
        _ => f.write_str(" -- ")?,
    }
    match *event {
        Event::Turn { limit, queued, events, .. } => turn(f, limit, queued, events),
        Event::Wrote { left, .. } if left > 0 => write!(
            f,
            "the send buffer is full: these {left} bytes are kept, and the other end is not read \
             until they are sent"
        ),
        Event::WriteBlocked { left } if left > 0 => write!(
            f,
            "the send buffer is full: {left} bytes are kept, and the other end is not read until \
             this end is reported writable again"
        ),
        Event::Read { bytes, room, hint: ReadHint::Short } if bytes > 0 => write!(
            f,
            "{bytes} bytes in a buffer of {room}: the socket is empty, so this end is no longer \
             readable, and the next byte will be reported by an event"
        ),
        Event::Closed { ending, .. } => closed(f, key, ending),
        _ => f.write_str(loop_event(key, event)),
    }
}

fn turn(
    f: &mut Formatter<'_>,
    limit: Option<Duration>,
    queued: usize,
    events: usize,
) -> fmt::Result {
    match limit {
        _ if queued > 0 => f.write_str(
            "connections that used up their budget are queued: the loop polled without sleeping",
        ),
        None => write!(
            f,
            "{POLLER} returned an event; it had no timeout, since no deadline was set and nothing \
             was queued"
        ),
        Some(Duration::ZERO) => {
            f.write_str("work was left from the last turn: the loop polled without sleeping")
        }
        Some(limit) if events == 0 => {
            write!(f, "{POLLER} timed out after {}, at the next deadline or retry", Span(limit))
        }
        Some(limit) => write!(
            f,
            "{POLLER} returned an event; its timeout was {}, at the next deadline or retry",
            Span(limit)
        ),
    }
}

fn closed(f: &mut Formatter<'_>, key: Key, close: Close) -> fmt::Result {
    if key.is_flow() && close.reason == Reason::IdleTimeout {
        return f.write_str("no datagram in either direction for the UDP timeout");
    }
    if let (Reason::Reset { by, .. }, CloseKind::Fin) = (close.reason, close.by)
        && by == close.first
    {
        return f.write_str(
            "it sent a FIN and closed the socket: its kernel answers later data with a RST, and \
             data it had not read is lost",
        );
    }
    f.write_str(reason(close.reason))?;
    f.write_str(match (close.reason, close.first) {
        (Reason::Finished, Side::Client) => "; the client's FIN came first",
        (Reason::Finished, Side::Target) => "; the target's FIN came first",
        (Reason::Finished | Reason::Served, Side::Proxy) => "; our FIN came first",
        _ => "",
    })
}

/// Explains the events of the loop and its listeners.
fn loop_event(key: Key, event: &Event<'_>) -> &'static str {
    match *event {
        Event::PolledAgain { .. } => {
            "deadlines are due, and an event that moves one may have come since the last poll"
        }
        Event::Listening { .. } => {
            "the address is bound: the kernel completes handshakes, and the loop accepts the \
             connections when the listener is reported readable"
        }
        Event::AcceptPaused { fault: None, .. } => {
            "one more connection would exceed the limit; new clients wait in the accept queue"
        }
        Event::AcceptPaused { .. } => {
            "retrying at once would spin; accept is retried after the next close, or after a delay"
        }
        Event::AcceptResumed { .. } => {
            "a connection can be accepted again; clients in the accept queue come first"
        }
        Event::AcceptFailed { .. } => {
            "this connection was gone before it was accepted; the next one may be fine"
        }
        Event::Signal { name } => signal(name),
        Event::Draining { .. } => {
            "connections at rest are closed now, those in progress may finish, and the rest is cut \
             at the drain timeout"
        }
        Event::Resolved { .. } => {
            "a helper thread resolves names: getaddrinfo(3) blocks and has no asynchronous form"
        }
        _ => connection_event(key, event),
    }
}

/// Explains the events in the life of a connection.
fn connection_event(key: Key, event: &Event<'_>) -> &'static str {
    match *event {
        Event::Opened { .. } if key.is_flow() => "a datagram came from a source without a flow",
        Event::Opened { service: "relay", .. } => {
            "a client connected; it is not read until a target is connected"
        }
        Event::Opened { .. } => "a client connected; accept returned a socket for it",
        Event::Dialing { attempt: 0..=1, .. } => {
            "a relay needs a target; end b is reported writable when the connect has succeeded or \
             failed"
        }
        Event::Dialing { .. } => {
            "the previous target failed; the client has not been read yet, so no data is lost"
        }
        Event::DialFailed { left: 0, .. } => {
            "no target is left: the client is reset, since a FIN would look like success"
        }
        Event::DialFailed { .. } => {
            "this target failed; the next one is tried at once, unnoticed by the client"
        }
        Event::Connected { .. } => {
            "the socket is writable and has no error; the client is read from now on"
        }
        Event::EndOfFile => {
            "this end sends no more data: the peer sent its FIN, or the service is done; its data \
             was forwarded, and our FIN to the other end follows"
        }
        Event::ShutDown => {
            "the other end has reached its end of file and no data is unsent: our FIN follows the \
             last byte, and this end is still read"
        }
        Event::Stalled { .. } => {
            "the peer reads too slowly or not at all: the other end is not read until these bytes \
             are sent; other connections go on"
        }
        Event::Resumed { .. } => "the peer has read data; the other end is read again",
        Event::Message { .. } => "a message ends at its newline, at end of file, or at the limit",
        _ => step_event(event),
    }
}

/// Explains the steps of a turn.
fn step_event(event: &Event<'_>) -> &'static str {
    match *event {
        Event::Marked { ready } => marked(ready),
        Event::Stale => {
            "its connection is closed: the number in the event's key is not that of the connection \
             now in the slot"
        }
        Event::Read { bytes: 0, .. } => "a read of 0 bytes is the end of file",
        Event::Read { hint, .. } => read(hint),
        Event::Wrote { .. } => "the kernel took all bytes: no buffer is kept",
        Event::ReadBlocked => {
            "the socket is empty: this end is not readable until the next event says so"
        }
        Event::WriteBlocked { .. } => {
            "the send buffer is full: this end is not writable until the next event says so"
        }
        Event::ReadOff => {
            "data is waiting that cannot be read yet; more of it must not wake the loop"
        }
        Event::ReadOn => "all waiting data was read: new data is to wake the loop again",
        Event::Interrupted => "a signal interrupted the call (EINTR); the call is repeated",
        Event::Yielded { .. } => {
            "other connections are waiting: this one goes to the end of the queue, and the next \
             turn does not sleep"
        }
        Event::Armed { deadline, .. } => deadline_set(deadline),
        Event::Fired { again: true, .. } => {
            "there was activity since it was set; moving a deadline with every byte would be \
             costly, so it is checked when it comes due, and set again"
        }
        Event::Fired { deadline, .. } => deadline_expired(deadline),
        _ => datagram_event(event),
    }
}

fn datagram_event(event: &Event<'_>) -> &'static str {
    match *event {
        Event::Received { .. } => "datagrams are received whole, never merged or split",
        Event::Sent { .. } => "a datagram is sent whole or not at all",
        Event::Passed { .. } => "single datagrams are not logged, so they are counted together",
        Event::Dropped { why, .. } => match why {
            DropReason::Blocked => {
                "the send buffer is full; datagrams have no backpressure, and a queue would only \
                 delay them"
            }
            DropReason::Own => {
                "the source is this socket's own address: the reply would come back for ever"
            }
            DropReason::Privileged => {
                "services below port 1024 may reply to our reply, for ever; \
                 --udp-allow-low-ports allows them"
            }
            DropReason::Loop => {
                "two echo services that reply to each other need every reply: dropping one in a \
                 thousand ends the loop, and a real client can bear it"
            }
            DropReason::Refused(_) => "an ICMP message says that no socket listens at the target",
            DropReason::Failed(_) => "the kernel refused to send it, and it is not sent again",
            DropReason::NoWay => "there is no address to send it to",
            DropReason::Short => {
                "the reply would be longer than the request, whose source may be forged: replies \
                 must not amplify"
            }
            DropReason::Long => "a truncated datagram is not what was sent, so it is not forwarded",
        },
        _ => UNEXPLAINED,
    }
}

/// The text for events without an explanation. No event has it; a test checks that.
pub const UNEXPLAINED: &str = "not explained";

fn signal(name: &str) -> &'static str {
    match name.trim_start_matches("SIG") {
        "TERM" | "INT" => {
            "the daemon was asked to stop: listeners close, and a second signal stops at once"
        }
        "HUP" => "the terminal was closed or an operator sent it; it changes nothing",
        "QUIT" => "it asks for a dump: the state of the loop follows",
        _ => "signals are handled in the loop like any other event",
    }
}

/// Explains the most important bit.
fn marked(ready: Ready) -> &'static str {
    if ready.has(Ready::ERROR) {
        "the kernel reports an error; that is only a hint, so SO_ERROR is read from the socket"
    } else if ready.has(Ready::URGENT) {
        "urgent data arrived; reads stop at its mark, so a short read no longer means an empty \
         socket"
    } else if ready.has(Ready::READ_CLOSED) {
        "the peer's FIN is next in the stream, and no other event will report it: read to the end \
         of file"
    } else if ready.has(Ready::READ.with(Ready::WRITE)) {
        "readiness is edge-triggered, each change is reported once: both bits stay set until a \
         call would block"
    } else if ready.has(Ready::READ) {
        "data arrived; it is reported once, so the bit stays set until the socket is empty"
    } else {
        "the send buffer has space; it is reported once, so the bit stays set until a write would \
         block"
    }
}

/// Explains why another read follows, or need not.
fn read(hint: ReadHint) -> &'static str {
    match hint {
        ReadHint::Full => {
            "the buffer is full: more data may be waiting, and no event would report it, so \
             another read follows"
        }
        ReadHint::Short => "the read was short: the socket is empty",
        ReadHint::EndWaits => {
            "an end of file or an error follows these bytes, and no event would report it, so \
             another read follows"
        }
        ReadHint::Urgent => {
            "this connection had urgent data, which makes reads short: reads follow until one \
             would block"
        }
        ReadHint::NoPromise => {
            "on this kind of socket a short read does not mean an empty socket: reads follow until \
             one would block"
        }
        ReadHint::Spliced => {
            "reads were full, so data now goes through a kernel pipe without being copied; the \
             size of a splice says nothing about the socket: splices follow until one would block"
        }
    }
}

fn deadline_set(deadline: Deadline) -> &'static str {
    match deadline {
        Deadline::Connect => "a target that never answers must not keep its client waiting",
        Deadline::Idle => "a connection without traffic for this long is closed",
        Deadline::HalfClose => "one side has ended; the other may not be silent for this long",
        Deadline::Lifetime => "connections of this route are closed at this age",
        Deadline::Linger => {
            "the service is done and waits for the peer's FIN: closing with unread data would \
             reset the connection and destroy data in flight"
        }
        Deadline::Quiet => {
            "the daemon is draining: a connection at rest is closed when it was quiet for this long"
        }
    }
}

fn deadline_expired(deadline: Deadline) -> &'static str {
    match deadline {
        Deadline::Connect => "the target did not answer within the connect timeout",
        Deadline::Idle => "no data moved in either direction for the idle timeout",
        Deadline::HalfClose => "one side had ended, and the other was silent for the timeout",
        Deadline::Lifetime => "the connection has reached the maximum age of its route",
        Deadline::Linger => {
            "the peer did not send its FIN in time; what it still sends is not read"
        }
        Deadline::Quiet => "the daemon is draining, and this connection was at rest",
    }
}

fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Finished => "both directions reached end of file, and every byte was forwarded",
        Reason::Served => "the service had sent everything",
        Reason::Reset { .. } => {
            "one side failed without an orderly close; a relay forwards its data as far as the \
             other side accepts it, then resets that side too, so that the loss is visible"
        }
        Reason::Abandoned { .. } => "the client left before a target was connected",
        Reason::Refused { .. } => {
            "no target accepted the connection; the client is reset, since a FIN would look like \
             success"
        }
        Reason::Unreachable { .. } => {
            "no target could be reached; the client is reset, since a FIN would look like success"
        }
        Reason::ConnectTimeout => {
            "no target answered in time; the client is reset, since a FIN would look like success"
        }
        Reason::IdleTimeout => {
            "no data moved for the idle timeout; a relay resets both sides, since a FIN would look \
             like success"
        }
        Reason::HalfCloseTimeout => {
            "one side had ended and the other was silent for the half-close timeout; a relay \
             resets both sides, since a FIN would look like success"
        }
        Reason::Lifetime => {
            "it reached the maximum age of its route; a relay resets both sides, since a FIN would \
             look like success"
        }
        Reason::Drained => {
            "the daemon is stopping, and nothing was in progress: a FIN loses no data"
        }
        Reason::Cut => "the daemon is stopping, and this connection did not finish in time",
        Reason::Exhausted { .. } => {
            "descriptors, ports or memory ran out; the connection is reset rather than left broken"
        }
        Reason::Evicted => "the flow table was full, and this was its oldest flow",
        Reason::Lagged => "the peer does not read, and the messages it missed are no longer kept",
    }
}
