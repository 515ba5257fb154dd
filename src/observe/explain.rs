//! The because of an event: why the loop did it, in a sentence for one who wants to understand
//! loops. Each says only what follows from the event itself.

use std::fmt::{self, Formatter};
use std::time::Duration;

use crate::core::event::DropReason;
use crate::core::{Close, CloseKind, Deadline, Event, Key, ReadHint, Ready, Reason, Side};

use super::clock::Span;

/// Writes ` -- hint ...`, or nothing where there is nothing to explain.
pub fn hint(f: &mut Formatter<'_>, key: Key, event: &Event<'_>) -> fmt::Result {
    match event {
        Event::Dump { .. } | Event::InProgress { .. } => return Ok(()),
        _ => f.write_str(" -- because ")?,
    }
    match *event {
        Event::Turn { limit, queued, events, .. } => turn(f, limit, queued, events),
        Event::Wrote { left, .. } if left > 0 => write!(
            f,
            "the send buffer is full: these {left} bytes are kept, and nothing more is read for it \
             until they are gone"
        ),
        Event::WriteBlocked { left } if left > 0 => write!(
            f,
            "the peer takes nothing now: its w is cleared, {left} bytes are kept, and nothing more \
             is read for it until the system says w again"
        ),
        Event::Read { bytes, room, hint: ReadHint::Short } if bytes > 0 => write!(
            f,
            "{bytes} came where {room} would have fitted: the socket is empty, its r is cleared, \
             and the system promises an event for the next byte"
        ),
        Event::Closed { ending, .. } => {
            if key.is_flow() && ending.reason == Reason::IdleTimeout {
                return f.write_str("no datagram came in either direction for the UDP timeout");
            }
            if let (Reason::Reset { by, .. }, CloseKind::Fin) = (ending.reason, ending.by)
                && by == ending.first
            {
                return f.write_str(
                    "it sent a FIN and did not wait for ours: its system answers with a RST what \
                     comes for a socket that is closed, and what it had not taken is lost",
                );
            }
            f.write_str(of_the_reason(ending.reason))?;
            f.write_str(of_the_ending(ending))
        }
        _ => f.write_str(sentence(key, event)),
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
            "connections had used up their budget and were queued: it asked for events without \
             sleeping",
        ),
        None => f.write_str(
            "no deadline was set and nothing was queued: it slept without a time limit, until the \
             system had news",
        ),
        Some(Duration::ZERO) => f.write_str("something was left to do: it did not sleep"),
        Some(limit) if events == 0 => {
            let limit = Span(limit);
            write!(
                f,
                "the next deadline or retry was {limit} away, and the system had no news before"
            )
        }
        Some(limit) => write!(
            f,
            "the system had news; without them it would have slept for {}, to the next deadline or \
             retry",
            Span(limit)
        ),
    }
}

/// What is said in the same words each time.
fn sentence(key: Key, event: &Event<'_>) -> &'static str {
    match *event {
        Event::PolledAgain { .. } => {
            "deadlines are due, and an event that moves one may have come since the last poll"
        }
        Event::Listening { .. } => {
            "its address is bound: the system completes handshakes from now on, and we take them \
             when the loop is told of them"
        }
        Event::AcceptPaused { fault: None, .. } => {
            "one more would break the promise to those that are open; who comes now waits in the \
             system's queue"
        }
        Event::AcceptPaused { .. } => {
            "trying again at once would only spin; it is tried after the next close, or a little \
             later"
        }
        Event::AcceptResumed { .. } => {
            "there is room again; those that waited in the system's queue are taken first"
        }
        Event::AcceptFailed { .. } => {
            "it was gone before it could be taken, which says nothing of the next one"
        }
        Event::Signal { name } => signal(name),
        Event::Draining { .. } => {
            "what is in progress may finish; what is idle is closed now, and the rest is cut when \
             that time is over"
        }
        Event::Resolved { .. } => {
            "names are resolved by a helper thread: the system knows no way to ask without waiting"
        }
        _ => of_a_life(key, event),
    }
}

fn of_a_life(key: Key, event: &Event<'_>) -> &'static str {
    match *event {
        Event::Opened { .. } if key.is_flow() => {
            "a datagram came from a source that had no flow yet"
        }
        Event::Opened { service: "relay", .. } => {
            "a peer connected; nothing is read from it before a target is connected too"
        }
        Event::Opened { .. } => "a peer connected, and accepting it gave us a socket of its own",
        Event::Dialing { attempt: 0..=1, .. } => {
            "the relay needs its other end; the system will call b writable when this is decided"
        }
        Event::Dialing { .. } => {
            "the target before it did not take us; nothing was read from the client yet, so \
             nothing is lost"
        }
        Event::DialFailed { left: 0, .. } => {
            "no target is left to try: the client will be reset, for a clean end would look like \
             success"
        }
        Event::DialFailed { .. } => {
            "this target did not take us; the next is tried at once, and the client need not know"
        }
        Event::Connected { .. } => {
            "the system called it writable and has no error for it; from now on its other end is \
             read"
        }
        Event::EndOfFile => {
            "nothing more comes from it: a peer has sent its FIN, a service has said all; what \
             came is passed on, and the next FIN is ours to send"
        }
        Event::ShutDown => {
            "what fed this end has ended and nothing is kept: we send our FIN behind the last \
             byte, and go on reading what this end still says"
        }
        Event::Stalled { .. } => {
            "its peer reads too slowly or not at all: nothing more is read from the other side \
             until these bytes are taken, and all other connections go on"
        }
        Event::Resumed { .. } => {
            "its peer has taken bytes, so there is room again; the other side is read on"
        }
        Event::Message { .. } => {
            "a message is whole at its newline, at the end of what is said, or at the limit"
        }
        _ => of_a_step(event),
    }
}

fn of_a_step(event: &Event<'_>) -> &'static str {
    match *event {
        Event::Marked { ready } => marked(ready),
        Event::Stale => {
            "the connection it was meant for is gone: the number in its key is of an earlier birth"
        }
        Event::Read { bytes: 0, .. } => "reading nothing is how an end of file looks",
        Event::Read { hint, .. } => read(hint),
        Event::Wrote { .. } => "all of it was taken: nothing is kept",
        Event::ReadBlocked => {
            "nothing more waits: its r is cleared, and only a new event sets it again"
        }
        Event::WriteBlocked { .. } => {
            "nothing more fits: its w is cleared, and only a new event sets it again"
        }
        Event::ReadOff => {
            "we knew that something waits, and cannot take it yet; the system is not to wake us \
             for more of it"
        }
        Event::ReadOn => "all that waited is read: what comes now is news again",
        Event::Interrupted => "a signal came in the middle of the call, which is made again",
        Event::Yielded { .. } => {
            "others wait too: it goes to the end of the queue, and the next turn does not sleep"
        }
        Event::Armed { deadline, .. } => armed(deadline),
        Event::Fired { again: true, .. } => {
            "something has changed since it was set; deadlines are not moved when bytes move, \
             which would cost at each of them, but looked at when they come due, and set anew"
        }
        Event::Fired { deadline, .. } => fired(deadline),
        _ => of_a_datagram(event),
    }
}

fn of_a_datagram(event: &Event<'_>) -> &'static str {
    match *event {
        Event::Received { .. } => "a datagram comes whole: the system does not cut it or join it",
        Event::Sent { .. } => "a datagram goes out whole or not at all",
        Event::Passed { .. } => "nobody wants to see each datagram, so they are counted together",
        Event::Dropped { why, .. } => match why {
            DropReason::Blocked => {
                "datagrams have no backpressure: to keep it would only make it late"
            }
            DropReason::Own => {
                "its source is this very address: the answer would come back for ever"
            }
            DropReason::Privileged => {
                "below port 1024 live services that may answer our answer; --udp-any-port allows it"
            }
            DropReason::Loop => {
                "two echoes that answer each other need every reply: one lost in a thousand ends \
                 such a loop, and an honest client bears it"
            }
            DropReason::Refused(_) => "nobody listens at the target: its machine said so by ICMP",
            DropReason::Failed(_) => "the system would not send it, and it is not tried twice",
            DropReason::NoWay => "there is no address to send it to",
            DropReason::Short => {
                "the answer would be longer than the question, and questions can be forged: never \
                 more out than in"
            }
            DropReason::Long => {
                "part of a datagram is not what was sent, and to pass it on would be a lie"
            }
        },
        _ => "it is so",
    }
}

fn signal(name: &str) -> &'static str {
    match name.trim_start_matches("SIG") {
        "TERM" | "INT" => {
            "somebody wants us to stop: nothing more is accepted; a second signal stops at once"
        }
        "HUP" => "a terminal went away or an operator sent it; it changes nothing",
        "QUIT" => "somebody wants to see inside: the state of the loop follows",
        _ => "somebody sent it; it was heard in the loop like any other event",
    }
}

/// The most telling of the bits.
fn marked(ready: Ready) -> &'static str {
    if ready.has(Ready::ERROR) {
        "the system hints at an error; hints may be wrong, so the socket itself is asked"
    } else if ready.has(Ready::URGENT) {
        "urgent data came, and urgent data cuts reads short: a short read proves nothing here now"
    } else if ready.has(Ready::READ_CLOSED) {
        "the peer will send no more: an end of file waits behind the last byte, and no other event \
         will tell of it"
    } else if ready.has(Ready::READ.with(Ready::WRITE)) {
        "the system tells each change once only: both bits stay until a call would block"
    } else if ready.has(Ready::READ) {
        "something came; the system tells it once only, so r stays until nothing is left to read"
    } else {
        "there is room to send; the system tells it once only, so w stays until a write would block"
    }
}

/// Why another read must follow, or need not.
fn read(hint: ReadHint) -> &'static str {
    match hint {
        ReadHint::Full => {
            "it filled the buffer: more may wait, and no new event would tell of it, so it is read \
             on"
        }
        ReadHint::Short => "less came than would have fitted: the socket is empty",
        ReadHint::EndWaits => {
            "an end of file or an error is known to wait behind these bytes, and no new event \
             would tell of it, so it is read on"
        }
        ReadHint::Urgent => {
            "urgent data was seen here, which cuts reads short: it is read on, until a read would \
             block"
        }
        ReadHint::NoPromise => {
            "on this kind of socket a short read proves nothing: it is read on, until a read would \
             block"
        }
        ReadHint::Spliced => {
            "reads came full, so the bytes go through a pipe of the kernel now, without a copy by \
             us; how much a splice moves proves nothing: it is read on, until it would block"
        }
    }
}

fn armed(deadline: Deadline) -> &'static str {
    match deadline {
        Deadline::Connect => "a target that never answers must not hold the client for ever",
        Deadline::Idle => "a connection that is silent for so long is ended",
        Deadline::HalfClose => "one side has ended, and the other may not be silent for longer",
        Deadline::Lifetime => "no connection of this route may live longer",
        Deadline::Linger => {
            "all is said; the peer has so long to end too, for closing with its bytes unread \
             would reset what it has not yet received"
        }
        Deadline::Quiet => {
            "the daemon is draining: a connection at rest that is quiet for this long is closed"
        }
    }
}

fn fired(deadline: Deadline) -> &'static str {
    match deadline {
        Deadline::Connect => "the target has not answered in time",
        Deadline::Idle => "nothing moved in either direction for the whole idle timeout",
        Deadline::HalfClose => "one side had ended, and the other stayed silent",
        Deadline::Lifetime => "it has lived as long as its route allows",
        Deadline::Linger => {
            "the peer did not end in time; what it still wanted to say is not heard"
        }
        Deadline::Quiet => "the daemon is draining, and this connection was at rest",
    }
}

fn of_the_reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Finished => "both directions have ended, and every byte was passed on",
        Reason::Served => "the service had said all it had to say",
        Reason::Reset { .. } => {
            "one side is gone without a proper end; what a relay had of it was written as far as \
             the other side took it, and that side is reset too, so that the loss shows"
        }
        Reason::Abandoned { .. } => "the client was gone before a target was there",
        Reason::Refused { .. } => {
            "no target took the connection; the client is reset, for a clean end would look like \
             success"
        }
        Reason::Unreachable { .. } => {
            "no target could be asked; the client is reset, for a clean end would look like success"
        }
        Reason::ConnectTimeout => {
            "no target answered in time; the client is reset, for a clean end would look like \
             success"
        }
        Reason::IdleTimeout => {
            "nothing moved for the idle timeout; a relay is reset on both sides, for a clean end \
             would be no truth of either"
        }
        Reason::HalfCloseTimeout => {
            "one side had ended and the other was silent for too long; a relay is reset on both \
             sides, for a clean end would be no truth of either"
        }
        Reason::Lifetime => {
            "it was as old as its route allows; a relay is reset on both sides, for a clean end \
             would be no truth of either"
        }
        Reason::Drained => {
            "we are stopping, and nothing was in progress: a clean end loses nothing"
        }
        Reason::Cut => "we are stopping, and it was not done in time",
        Reason::Exhausted { .. } => "something of ours ran out; better a clear end than a bad one",
        Reason::Evicted => "the table of flows was full, and this was the oldest in it",
        Reason::Lagged => "it does not read, and what it has missed is no longer kept for it",
    }
}

fn of_the_ending(ending: Close) -> &'static str {
    match (ending.reason, ending.first) {
        (Reason::Finished, Side::Client) => "; the FIN of the client came first",
        (Reason::Finished, Side::Target) => "; the FIN of the target came first",
        (Reason::Finished | Reason::Served, Side::Proxy) => "; our FIN came first",
        _ => "",
    }
}
