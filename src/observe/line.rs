//! An event as a line of the log, in a fixed vocabulary: the subject first, one fact, no more.
//! Connections are called by their number (`#1207`), their ends `#1207.a` and `#1207.b`.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::core::event::Client;
use crate::core::{Deadline, Event, Key, Peer};
use crate::text::count::Count;

use super::clock::Span;
use super::explain::hint;
use crate::text::escape::{Form, Shown, plain, quoted};

/// One event, to be shown with `{}`.
pub struct Line<'a> {
    pub key: Key,
    pub event: &'a Event<'a>,
    /// The address of the door, if the subject is a door and its address is known.
    pub listener: Option<&'a str>,
    /// How long each end of a connection has stalled, if it ends with this event.
    pub stalled: [Duration; 2],
    /// Add the because.
    pub explain: bool,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.of_the_loop(f)?;
        if self.explain { hint(f, self.key, self.event) } else { Ok(()) }
    }
}

impl Line<'_> {
    fn of_the_loop(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match *self.event {
            Event::Turn { number, slept, events, queued, .. } => {
                let (slept, events) = (Span(slept), Count(events, "event"));
                write!(f, "turn {number}: slept {slept}, {events}, {queued} queued")
            }
            Event::Listening { address, service } => {
                write!(f, "listening at {}: {}", plain(address), plain(service))
            }
            Event::PolledAgain { events } => {
                write!(f, "polled again before deadlines fire: {}", Count(events, "event"))
            }
            Event::AcceptPaused { address, fault, connections } => {
                write!(f, "accepting pauses at {}: ", plain(address))?;
                match fault {
                    Some(fault) => write!(f, "{fault}, ")?,
                    None => f.write_str("the limit of connections is reached, ")?,
                }
                write!(f, "{connections} open")
            }
            Event::AcceptResumed { address, connections } => {
                write!(f, "accepting resumes at {}, {connections} open", plain(address))
            }
            Event::AcceptFailed { address, fault } => {
                write!(f, "not accepted at {}: {fault}", plain(address))
            }
            Event::Signal { name } => write!(f, "signal {}", plain(name)),
            Event::Draining { connections, deadline } => {
                let connections = Count(connections, "connection");
                write!(f, "draining: {connections} in progress, for {} at most", Span(deadline))
            }
            Event::Resolved { name, error: Some(error), .. } => {
                write!(f, "not resolved {}: {}", plain(name), plain(error))
            }
            Event::Resolved { name, addresses, .. } => {
                write!(f, "resolved {}: {}", plain(name), Count(addresses, "address"))
            }
            Event::InProgress { connections, up, down } => {
                let connections = Count(connections, "connection");
                write!(f, "in progress: {connections}, {up} B up, {down} B down so far")
            }
            Event::Dump { line } => Shown::new(line.as_bytes(), Form::Ours).within(4000).fmt(f),
            _ => self.of_a_life(f),
        }
    }

    fn of_a_life(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (who, end) = (Who(self), End(self.key));
        match *self.event {
            Event::Opened { service, listen, peer, .. } => {
                let (listen, service) = (plain(listen), plain(service));
                write!(f, "{who} opened: {} at {listen}, {service}", PeerName(peer))
            }
            Event::Dialing { target, attempt } => {
                write!(f, "{end} dialing {}, attempt {attempt}", plain(target))
            }
            Event::DialFailed { target, fault, left, client } => {
                who.fmt(f)?;
                if let Some(Client { peer, listen }) = client {
                    write!(f, " {} via {}", PeerName(peer), plain(listen))?;
                }
                write!(f, ": connect to {} failed: {fault}; ", plain(target))?;
                match left {
                    0 if client.is_none() || self.key.is_flow() => f.write_str("no targets left"),
                    0 => f.write_str("no targets left, resetting the client"),
                    _ => write!(f, "{} left", Count(left, "target")),
                }
            }
            Event::Connected { after } => write!(f, "{end} connected after {}", Span(after)),
            Event::EndOfFile => write!(f, "{end} end of file"),
            Event::ShutDown => write!(f, "{end} shut down"),
            Event::Stalled { unsent, since, now } => {
                let time = Span(now.since(since));
                write!(f, "{end} stalled: nothing accepted for {time}, {unsent} B unsent")
            }
            Event::Resumed { stalled } => {
                write!(f, "{end} resumed: accepts bytes again, stalled for {}", Span(stalled))
            }
            Event::Message { message } => {
                write!(f, "{who} heard {}, {} B", quoted(message), message.len())
            }
            Event::Closed { ending, up, down, lasted, .. } => {
                write!(f, "{who} closed: {ending}, {up} B up, {down} B down, {}", Span(lasted))?;
                for (end, stalled) in ["a", "b"].into_iter().zip(self.stalled) {
                    if !stalled.is_zero() {
                        write!(f, ", {end} stalled for {}", Span(stalled))?;
                    }
                }
                Ok(())
            }
            _ => self.of_a_step(f),
        }
    }

    fn of_a_step(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (who, end) = (Who(self), End(self.key));
        match *self.event {
            Event::Marked { ready } => write!(f, "{} ready {ready}", WhoOrEnd(self)),
            Event::Stale => write!(f, "{} stale event ignored", WhoOrEnd(self)),
            Event::Read { bytes, .. } => write!(f, "{end} read {bytes}"),
            Event::Wrote { bytes, left } => write!(f, "{end} wrote {bytes}, {left} left"),
            Event::ReadBlocked => write!(f, "{end} blocked r"),
            Event::WriteBlocked { left } => write!(f, "{end} blocked w, {left} left"),
            Event::ReadOff => write!(f, "{end} muted"),
            Event::ReadOn => write!(f, "{end} unmuted"),
            Event::Interrupted => write!(f, "{} interrupted", WhoOrEnd(self)),
            Event::Yielded { steps } => write!(f, "{who} budget used up after {steps} steps"),
            Event::Armed { deadline, due, now } => {
                let (name, due) = (DeadlineName(deadline), Span(now.until(due)));
                write!(f, "{who} deadline {name} armed, due in {due}")
            }
            Event::Fired { deadline, again } => {
                let what = if again { "came too early" } else { "fired" };
                write!(f, "{who} deadline {} {what}", DeadlineName(deadline))
            }
            _ => self.of_a_datagram(f),
        }
    }

    fn of_a_datagram(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let who = WhoOrEnd(self);
        match *self.event {
            Event::Received { bytes, from } => {
                write!(f, "{who} received {bytes} from {}", PeerName(from))
            }
            Event::Sent { bytes, to } => write!(f, "{who} sent {bytes} to {}", PeerName(to)),
            Event::Passed { received, received_bytes, sent, sent_bytes } => write!(
                f,
                "{} received {received} datagrams ({received_bytes} B), \
                 sent {sent} ({sent_bytes} B)",
                Who(self)
            ),
            Event::Dropped { bytes, from, why } => {
                match bytes {
                    Some(bytes) => write!(f, "{who} dropped a datagram of {bytes} B")?,
                    None => write!(f, "{who} dropped an earlier datagram")?,
                }
                from.map_or(Ok(()), |from| write!(f, " from {}", PeerName(from)))?;
                write!(f, ": {why}")
            }
            _ => Ok(()),
        }
    }
}

/// The subject as a whole: a connection, a door, or the loop.
struct Who<'a>(&'a Line<'a>);

/// One end of a connection.
struct End(Key);

/// A door as a whole, of a connection the end.
struct WhoOrEnd<'a>(&'a Line<'a>);

impl Display for Who<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let key = self.0.key;
        match self.0.listener {
            _ if key == Key::LOOP => f.write_str("loop"),
            _ if !key.is_source() => write!(f, "#{}", key.id),
            Some(address) => plain(address).fmt(f),
            None => write!(f, "door {}", key.slot()),
        }
    }
}

impl Display for End {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "#{}.{}", self.0.id, ["a", "b"][self.0.end()])
    }
}

impl Display for WhoOrEnd<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let key = self.0.key;
        if key.is_source() { Who(self.0).fmt(f) } else { End(key).fmt(f) }
    }
}

/// A peer. The name of a Unix socket is its own choice, and escaped.
pub struct PeerName<'a>(pub &'a Peer);

impl Display for PeerName<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Peer::Unix(Some(name)) => write!(f, "unix:{}", plain(name)),
            Peer::Unix(None) => f.write_str("unix"),
            other => other.fmt(f),
        }
    }
}

/// What a deadline is for, in the words of the log.
struct DeadlineName(Deadline);

impl Display for DeadlineName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Deadline::Connect => "connect",
            Deadline::Idle => "idle",
            Deadline::HalfClose => "half-close",
            Deadline::Lifetime => "lifetime",
            Deadline::Linger => "linger",
            Deadline::Quiet => "quiet",
        })
    }
}
