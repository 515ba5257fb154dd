//! Explains events: one sentence each on why the loop did this, for readers who want to understand
//! event loops. A sentence states only what follows from the event itself.

use std::collections::HashSet;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::core::event::{DropReason, PauseCause};
use crate::core::{
    Deadline, Event, Key, Peer, Phase, ReadHint, Ready, ServiceKind, Signal, SourceKind, TurnDetail,
};

use super::ending::{CloseSentence, FarEnd};
use super::format::Span;
use Explanation::Text;

/// The system call behind mio's `poll`.
const POLLER: &str = if cfg!(all(target_os = "linux", not(mio_unsupported_force_poll_poll))) {
    "epoll"
} else {
    "poll"
};

/// The explanations logged so far. At most as many as `explain` has sentences.
#[derive(Default)]
pub struct Explained(HashSet<String>);

impl Explained {
    /// Returns whether this explanation was not logged before, and records it.
    pub fn is_first(&mut self, explanation: &Explanation) -> bool {
        let sentence = explanation.to_string();
        // Sentences that differ only in numbers and times count as one.
        let has_digit = |word: &str| word.contains(|c: char| c.is_ascii_digit());
        let words = sentence.split(' ').filter(|word| !has_digit(word));
        self.0.insert(words.collect::<Vec<_>>().join(" "))
    }
}

/// Why the loop did something: a sentence, or the numbers of one that has numbers.
pub enum Explanation {
    None,
    Text(&'static str),
    /// This end takes no more: a write left this many bytes.
    Unsent(&'static str, usize),
    /// The same of a write of this many bytes that would have blocked.
    StillUnsent(&'static str, usize),
    /// A read was shorter than its buffer.
    Drained {
        bytes: usize,
        room: usize,
    },
    /// The poll ended at its timeout.
    TimedOut(Duration),
    /// The poll ended with an event before its timeout.
    Woken(Option<Duration>),
    Closed(CloseSentence),
}

/// Returns the explanation of an event. `far`: what end b of its connection is.
pub fn explain(key: Key, event: &Event<'_>, far: FarEnd) -> Explanation {
    match *event {
        Event::Dump { .. } | Event::InProgress { .. } => Explanation::None,
        Event::Turn { limit, queued, events, .. } => turn(limit, queued, events),
        Event::SlowTurn { detail, took, .. } => Text(slow_turn(took, detail)),
        Event::PolledAgain { .. } => {
            Text("deadlines are due, and an event that moves one may have come since the last poll")
        }
        Event::Listening { .. } if key.is_source() && key.source_kind() == SourceKind::Datagram => {
            Text(
                "the address is bound: the kernel queues datagrams, and the loop receives them \
                 when the socket is reported readable",
            )
        }
        Event::Listening { .. } => Text(
            "the address is bound: the kernel completes handshakes, and the loop accepts the \
             connections when the listener is reported readable",
        ),
        Event::AcceptPaused { cause: PauseCause::Limit, .. } => {
            Text("one more connection would exceed the limit; new clients wait in the accept queue")
        }
        Event::AcceptPaused { cause: PauseCause::Operator, .. } => {
            Text("new clients wait in the accept queue until an operator resumes the listener")
        }
        Event::AcceptPaused { cause: PauseCause::System(_), .. } => Text(
            "retrying at once would spin; accept is retried after the next close, or after a delay",
        ),
        Event::AcceptResumed { .. } => {
            Text("a connection can be accepted again; clients in the accept queue come first")
        }
        Event::AcceptFailed { .. } => {
            Text("this connection was gone before it was accepted; the next one may be fine")
        }
        Event::Signal { signal } => Text(received(signal)),
        Event::Draining { .. } => Text(
            "connections at rest are closed now, those in progress may finish, and the rest is cut \
             at the drain timeout",
        ),
        Event::Resolved { .. } => Text(
            "a helper thread resolves names: getaddrinfo(3) blocks and has no asynchronous form",
        ),
        Event::AdminRequest { changes: false, .. } => {
            Text("answered between two turns; admin clients count in no limit and no total")
        }
        Event::AdminRequest { changes: true, .. } => {
            Text("an operator asked for a change; it is applied between two turns")
        }
        Event::Reloading { .. } => Text(
            "a helper thread reads and checks the file, because a regular file can block; the \
             loop goes on",
        ),
        Event::Reloaded { .. } => Text(
            "new listeners were bound first; then the routes were exchanged between two events",
        ),
        Event::ReloadFailed { .. } => {
            Text("a file is applied whole or not at all, so all routes are as they were")
        }
        Event::Opened { .. } if key.is_flow() => {
            Text("a datagram came from a source without a flow")
        }
        Event::Opened { peer: Peer::Stdio, .. } => {
            Text("the input and the output of this process take the place of a client")
        }
        Event::Opened { service: ServiceKind::Relay, .. } => {
            Text("a client connected; it is not read until a target is connected")
        }
        Event::Opened { .. } => Text("a client connected; accept returned a socket for it"),
        Event::Dialing { attempt: 0..=1, .. } if key.is_flow() => Text(
            "a flow has a socket of its own for its target, so that it receives from it alone; \
             datagrams need no handshake",
        ),
        Event::Dialing { .. } if key.is_flow() => {
            Text("the target before it refused a datagram: the next ones go to this one")
        }
        Event::Dialing { attempt: 0..=1, .. } => Text(
            "a relay needs a target; end b is reported writable when the connect has succeeded or \
             failed",
        ),
        Event::Dialing { .. } => {
            Text("the previous target failed; the client has not been read yet, so no data is lost")
        }
        Event::DialFailed { .. } if key.is_flow() => Text(
            "it refused a datagram of this flow, which gets a new socket for the next target, or \
             for the same one if there is no other",
        ),
        Event::DialFailed { left: 0, .. } => {
            Text("no target is left: the client is reset, since a FIN would look like success")
        }
        Event::DialFailed { .. } => {
            Text("this target failed; the next one is tried at once, unnoticed by the client")
        }
        Event::Connected { .. } => {
            Text("the socket is writable and has no error; the client is read from now on")
        }
        Event::EndOfFile => Text(end_of_file(key, far)),
        Event::ShutDown => Text(
            "no more data will come for this end and none is unsent: our FIN follows the last \
             byte; what its peer still sends is read",
        ),
        Event::Stalled { .. } => Text(
            "the peer reads too slowly or not at all: no more is read for this end until these \
             bytes are sent; other connections go on",
        ),
        Event::Resumed { .. } => Text("the peer has read data; more is read for this end again"),
        Event::Message { .. } => {
            Text("a message ends at its newline, at end of file, or at the limit")
        }
        Event::Missed { .. } => Text(
            "the peer reads too slowly: new messages have overwritten them. It continues with the \
             oldest one that is left",
        ),
        Event::CutOff { .. } => Text("only complete messages are sent to others"),
        Event::Closed { ending, .. } => Explanation::Closed(match key.is_flow() {
            true => CloseSentence::of_flow(ending.reason),
            false => CloseSentence::of_connection(ending, far),
        }),
        Event::Marked { ready } if key.is_flow() && ready.has(Ready::ERROR) => {
            Text("the kernel reports an error, such as an ICMP message: the next read returns it")
        }
        Event::Marked { ready } if key.is_flow() && ready.has(Ready::READ) => {
            Text("datagrams arrived; that is reported once, so they are read until none is left")
        }
        Event::Marked { ready } => Text(marked(ready)),
        Event::Stale => Text(
            "its connection is closed: the number in the event's key is not that of the connection \
             now in the slot",
        ),
        Event::Payload { .. } => {
            Text("somebody asked for it; the read or the write that it belongs to follows")
        }
        Event::Read { bytes: 1.., .. } if is_service(key, far) => {
            Text("the service has more at any time: it is read as long as the client takes it")
        }
        Event::Read { bytes, room, hint } => read(bytes, room, hint),
        Event::Wrote { left: 0, .. } => Text(match key.end() {
            1 if far == FarEnd::Service => "the service took all bytes: no buffer is kept",
            1 if far == FarEnd::Unknown => "this end took all bytes: no buffer is kept",
            _ => "the kernel took all bytes: no buffer is kept",
        }),
        Event::Wrote { left, .. } => Explanation::Unsent(full(key, far), left),
        Event::ReadBlocked => {
            Text("the socket is empty: this end is not readable until the next event says so")
        }
        Event::WriteBlocked { left: 0 } => {
            Text("the send buffer is full: this end is not writable until the next event says so")
        }
        Event::WriteBlocked { left } => Explanation::StillUnsent(full(key, far), left),
        Event::ReadOff => {
            Text("data is waiting that cannot be read yet; more of it must not wake the loop")
        }
        Event::ReadOn => Text("all waiting data was read: new data is to wake the loop again"),
        Event::Interrupted => Text("a signal interrupted the call (EINTR); the call is repeated"),
        Event::Yielded { .. } => Text(
            "it may have more to do, but no connection may delay the others for longer: it goes to \
             the end of the queue, and the next turn does not sleep",
        ),
        Event::Armed { deadline, .. } => Text(deadline_set(deadline)),
        Event::Fired { again: true, .. } => Text(
            "there was activity since it was set; moving a deadline with every byte would be \
             costly, so it is checked when it comes due, and set again",
        ),
        Event::Fired { deadline: Deadline::Idle, .. } if key.is_flow() => {
            Text("no datagram in either direction for the UDP timeout")
        }
        Event::Fired { deadline: Deadline::Quiet, .. } if key.is_flow() => {
            Text("the daemon is draining, and this flow waits for no answer")
        }
        Event::Fired { deadline, again: false } => Text(deadline_expired(deadline)),
        Event::Received { .. } => Text("datagrams are received whole, never merged or split"),
        Event::Sent { .. } => Text("a datagram is sent whole or not at all"),
        Event::Passed { .. } => {
            Text("single datagrams are not logged, so they are counted together")
        }
        Event::Dropped { why, .. } => Text(dropped(why)),
    }
}

/// Whether this is the end of a service of this process.
fn is_service(key: Key, far: FarEnd) -> bool {
    key.end() == 1 && far == FarEnd::Service
}

/// Says that an end takes no more.
fn full(key: Key, far: FarEnd) -> &'static str {
    match key.end() {
        1 if far == FarEnd::Service => "the service takes no more now",
        1 if far == FarEnd::Unknown => "this end takes no more now",
        _ => "the send buffer is full",
    }
}

fn end_of_file(key: Key, far: FarEnd) -> &'static str {
    match (key.end(), far) {
        (_, FarEnd::Target) => {
            "this end sends no more data: its peer sent a FIN; all of its data was forwarded, and \
             the end of file is forwarded next"
        }
        (0, FarEnd::Service) => {
            "this end sends no more data: its peer sent a FIN; all of its data was passed on"
        }
        (0, FarEnd::Unknown) => {
            "this end sends no more data: its peer sent a FIN, or the input has ended; all of its \
             data was passed on"
        }
        (_, FarEnd::Service) => {
            "the service is done, and all of its data was sent: our FIN follows"
        }
        (_, FarEnd::Unknown) => {
            "this end sends no more data: its peer sent a FIN, or the service is done; all of its \
             data was forwarded, and the end of file is forwarded next"
        }
    }
}

fn slow_turn(took: Duration, detail: &TurnDetail) -> &'static str {
    if detail.is_mostly_not_scheduled(took) {
        return "the thread did not run for most of it: the processor was busy with something \
                else, the process was stopped, or a call waited for a disk";
    }
    match detail.slowest().0 {
        Phase::Mark => "the events that the poll returned were recorded: nothing is read yet",
        Phase::Accept => "many clients came at once; their number is limited in each turn",
        Phase::Dial => "targets were dialed: connecting does not wait, but each takes a few calls",
        Phase::Run => {
            "all connections with work had a turn, each within its budget; whoever became ready \
             meanwhile had to wait"
        }
        Phase::Expire => "deadlines were due, or connections were closed",
        Phase::Datagrams => "datagrams were received and sent, up to the budget of each socket",
        Phase::Admin => "clients of the admin endpoint were answered, or a reload was applied",
    }
}

/// Writes ` -- ` and the sentence, or nothing.
impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Explanation::None => Ok(()),
            Explanation::Text(text) => write!(f, " -- {text}"),
            Explanation::Unsent(full, left) => write!(
                f,
                " -- {full}: the rest, {left} B, is kept, and no more is read for this end until \
                 it is sent"
            ),
            Explanation::StillUnsent(full, left) => write!(
                f,
                " -- {full}: {left} B are kept, and no more is read for this end until it is \
                 reported writable again"
            ),
            Explanation::Drained { bytes, room } => write!(
                f,
                " -- {bytes} B in a buffer of {room}: the socket is empty, so this end is no \
                 longer readable, and the next byte will be reported by an event"
            ),
            Explanation::TimedOut(limit) => {
                let limit = Span(*limit);
                write!(f, " -- {POLLER} timed out after {limit}, at the next deadline or retry")
            }
            Explanation::Woken(None) => write!(
                f,
                " -- {POLLER} returned an event; it had no timeout, since no deadline was set \
                 and nothing was queued"
            ),
            Explanation::Woken(Some(limit)) => write!(
                f,
                " -- {POLLER} returned an event; its timeout was {}, at the next deadline or \
                 retry",
                Span(*limit)
            ),
            Explanation::Closed(sentence) => write!(f, " -- {sentence}"),
        }
    }
}

fn turn(limit: Option<Duration>, queued: usize, events: usize) -> Explanation {
    match limit {
        _ if queued > 0 => Text(
            "connections that used up their budget are queued: the loop polled without sleeping",
        ),
        None => Explanation::Woken(None),
        Some(Duration::ZERO) => {
            Text("work was left from the last turn: the loop polled without sleeping")
        }
        Some(limit) if events == 0 => Explanation::TimedOut(limit),
        Some(limit) => Explanation::Woken(Some(limit)),
    }
}

fn dropped(why: DropReason) -> &'static str {
    match why {
        DropReason::Blocked => {
            "the send buffer is full; datagrams have no backpressure, and a queue would only delay \
             them"
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
            "the reply would be longer than the request, whose source may be forged: replies must \
             not amplify"
        }
        DropReason::Long => "a truncated datagram is not what was sent, so it is not forwarded",
    }
}

fn received(signal: Signal) -> &'static str {
    match signal {
        Signal::Terminate | Signal::Interrupt => {
            "the daemon was asked to stop: listeners close, and a second signal stops at once"
        }
        Signal::HangUp => {
            "the terminal was closed or an operator sent it: a daemon with a configuration file \
             reads it again, any other goes on unchanged"
        }
        Signal::Quit => "it asks for a dump: the state of the loop follows",
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
fn read(bytes: usize, room: usize, hint: ReadHint) -> Explanation {
    match hint {
        _ if bytes == 0 => Text("a read of 0 bytes is the end of file"),
        ReadHint::Full => Text(
            "the buffer is full: more data may be waiting, and no event would report it, so \
             another read follows",
        ),
        ReadHint::Short => Explanation::Drained { bytes, room },
        ReadHint::EndWaits => Text(
            "an end of file or an error follows these bytes, and no event would report it, so \
             another read follows",
        ),
        ReadHint::Urgent => Text(
            "this connection had urgent data, which makes reads short: reads follow until one \
             would block",
        ),
        ReadHint::NoPromise => Text(
            "on this kind of socket a short read does not mean an empty socket: reads follow until \
             one would block",
        ),
        ReadHint::Spliced => Text(
            "reads were full, so data now goes through a kernel pipe without being copied; the \
             size of a splice says nothing about the socket: splices follow until one would block",
        ),
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
            "the daemon is draining: a connection at rest is closed once it has been quiet for \
             this long"
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::ReadHint;

    #[test]
    fn an_explanation_is_logged_once_whatever_its_numbers_are() {
        let mut explained = Explained::default();
        let key = Key::new(7, 3);
        let mut is_first = |key, event| explained.is_first(&explain(key, &event, FarEnd::Unknown));
        let read = |bytes, hint| Event::Read { bytes, room: 65_536, hint };
        assert!(is_first(key, read(5, ReadHint::Short)));
        assert!(!is_first(Key::new(8, 4), read(900, ReadHint::Short)));
        assert!(is_first(key, read(65_536, ReadHint::Full)), "another reason");
        assert!(is_first(key, Event::Wrote { bytes: 3, left: 2 }));
        assert!(!is_first(key, Event::Wrote { bytes: 4, left: 77 }));
        assert!(is_first(key, Event::Wrote { bytes: 4, left: 0 }));
    }
}
