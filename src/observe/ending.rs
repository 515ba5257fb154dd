//! How the close of a connection looks to its peers, as far as events show it, and why it was
//! closed.

use std::fmt::{self, Display, Formatter};
use std::io::ErrorKind;

use crate::core::{Close, CloseKind, Reason, ServiceKind, Side, SysError};

/// Returns whether closing resets the sockets that are still open. `has_unsent`: bytes that were
/// read are not sent yet.
pub fn is_reset(ending: Close, is_relay: bool, has_unsent: bool) -> bool {
    match ending.reason {
        Reason::Finished | Reason::Served | Reason::Drained | Reason::Evicted => false,
        // If nobody closed before, the close itself says it.
        Reason::IdleTimeout | Reason::HalfCloseTimeout | Reason::Lifetime | Reason::Cut => {
            match ending.first {
                Side::Proxy => ending.by == CloseKind::Rst,
                Side::Client | Side::Target => is_relay || has_unsent,
            }
        }
        Reason::Reset { .. }
        | Reason::Abandoned { .. }
        | Reason::Refused { .. }
        | Reason::Unreachable { .. }
        | Reason::ConnectTimeout
        | Reason::Exhausted { .. }
        | Reason::Lagged
        | Reason::TooLong
        | Reason::Admin
        | Reason::Reloaded => true,
    }
}

/// What end b of a connection is, as far as an observer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarEnd {
    /// It follows from no event, or end a is not a socket.
    Unknown,
    /// The socket of a target.
    Target,
    /// A service of this process.
    Service,
}

impl FarEnd {
    /// Returns what end b of a connection of this service is.
    pub fn of(service: ServiceKind) -> FarEnd {
        match (service == ServiceKind::Connect, has_target(service)) {
            (true, _) => FarEnd::Unknown,
            (false, true) => FarEnd::Target,
            (false, false) => FarEnd::Service,
        }
    }
}

/// Why a connection was closed, in parts of one sentence.
#[derive(Clone, Copy, Debug)]
pub struct CloseSentence {
    cause: &'static str,
    effect: &'static str,
    first: &'static str,
}

impl Display for CloseSentence {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{}", self.cause, self.effect, self.first)
    }
}

impl CloseSentence {
    /// Explains the close of a datagram flow.
    pub fn of_flow(reason: Reason) -> CloseSentence {
        let cause = match reason {
            Reason::IdleTimeout => "no datagram in either direction for the UDP timeout",
            Reason::Drained => "the daemon is stopping, and this flow waits for no answer",
            Reason::Cut => "the daemon is stopping, and this flow did not end in time",
            Reason::Admin => {
                "an operator closed it; datagrams have no FIN, so its peers notice nothing"
            }
            Reason::Reloaded => {
                "the configuration says to cut it; datagrams have no FIN, so its peers notice \
                 nothing"
            }
            other => cause(other, FarEnd::Target),
        };
        CloseSentence { cause, effect: "", first: "" }
    }

    /// Explains the close of a connection.
    pub fn of_connection(close: Close, far: FarEnd) -> CloseSentence {
        if let (Reason::Reset { by, .. }, CloseKind::Fin) = (close.reason, close.by)
            && by == close.first
        {
            let cause = match by {
                Side::Target => {
                    "the target sent a FIN and closed the socket: its kernel answers later data \
                     with a RST, and data it had not read is lost"
                }
                Side::Client | Side::Proxy => {
                    "the client sent a FIN and closed the socket: its kernel answers later data \
                     with a RST, and data it had not read is lost"
                }
            };
            return CloseSentence { cause, effect: effect(close, far), first: "" };
        }
        let is_finished = close.reason == Reason::Finished;
        let first = match close.first {
            Side::Client if is_finished => "; the client's FIN came first",
            Side::Target if is_finished => "; the target's FIN came first",
            Side::Proxy if is_finished || close.reason == Reason::Served => "; our FIN came first",
            Side::Client | Side::Target | Side::Proxy => "",
        };
        CloseSentence { cause: cause(close.reason, far), effect: effect(close, far), first }
    }
}

fn cause(reason: Reason, far: FarEnd) -> &'static str {
    match reason {
        Reason::Finished if far == FarEnd::Target => {
            "both directions reached end of file, and every byte was forwarded"
        }
        Reason::Finished => "both directions reached end of file, and no byte is unsent",
        Reason::Served => "the service had sent everything",
        Reason::Reset { by: Side::Client, .. } => {
            "the client's side failed without an orderly close"
        }
        Reason::Reset { by: Side::Target, .. } => {
            "the target's side failed without an orderly close"
        }
        Reason::Reset { by: Side::Proxy, .. } => "one side failed without an orderly close",
        Reason::Abandoned { .. } => "the client left before a target was connected",
        Reason::Refused { .. } => "no target accepted the connection",
        Reason::Unreachable { .. } => "no target could be reached",
        Reason::ConnectTimeout => "no target answered in time",
        Reason::IdleTimeout => "no data moved for the idle timeout",
        Reason::HalfCloseTimeout => {
            "one side had ended and the other was silent for the half-close timeout"
        }
        Reason::Lifetime => "it reached the maximum age of its route",
        Reason::Drained => {
            "the daemon is stopping, and nothing was in progress: a FIN loses no data"
        }
        Reason::Cut => "the daemon is stopping, and this connection did not finish in time",
        Reason::Exhausted { .. } => {
            "descriptors, ports or memory ran out; the connection is reset rather than left broken"
        }
        Reason::Evicted => {
            "the flow table was full, and this flow had been idle for the longest time"
        }
        Reason::Lagged => "the peer does not read, and the messages it missed are no longer kept",
        Reason::TooLong => "a longer message would have to be kept until it is complete",
        Reason::Reloaded => "the configuration says to cut it",
        Reason::Admin => "an operator closed it",
    }
}

/// Explains what the close does to the sockets.
fn effect(close: Close, far: FarEnd) -> &'static str {
    match close.reason {
        Reason::Finished
        | Reason::Served
        | Reason::Abandoned { .. }
        | Reason::Drained
        | Reason::Exhausted { .. }
        | Reason::Evicted
        | Reason::Lagged
        | Reason::TooLong => "",
        Reason::Reset { by: Side::Client, .. } if far == FarEnd::Service => "",
        Reason::Reset { by: Side::Client | Side::Proxy, .. } if far == FarEnd::Unknown => {
            "; a relay forwards its data as far as the other side accepts it, then resets that \
             side too, so that the loss is visible"
        }
        Reason::Reset { .. } => {
            "; its data is forwarded as far as the other side accepts it, then that side is reset \
             too, so that the loss is visible"
        }
        Reason::Refused { .. } | Reason::Unreachable { .. } | Reason::ConnectTimeout => {
            "; the client is reset, since a FIN would look like success"
        }
        Reason::IdleTimeout | Reason::HalfCloseTimeout | Reason::Lifetime | Reason::Cut => {
            effect_of_timeout(close, far)
        }
        Reason::Reloaded | Reason::Admin => effect_of_reset(far),
    }
}

fn effect_of_reset(far: FarEnd) -> &'static str {
    match far {
        FarEnd::Target => "; both sides are reset, since a FIN would look like success",
        FarEnd::Service => "; the client is reset, since a FIN would look like success",
        FarEnd::Unknown => "; it is reset, since a FIN would look like success",
    }
}

fn effect_of_timeout(close: Close, far: FarEnd) -> &'static str {
    match (close.first, close.by, far) {
        (Side::Proxy, CloseKind::Rst, FarEnd::Service) => {
            "; bytes are lost, so the client is reset"
        }
        (Side::Proxy, CloseKind::Fin, _) => "; no byte is waiting, so a FIN is enough",
        (Side::Proxy, CloseKind::Rst, far) | (_, _, far @ FarEnd::Target) => effect_of_reset(far),
        // A side had closed before: how this end was closed is no part of the event.
        (Side::Client | Side::Target, _, FarEnd::Service) => {
            "; a FIN is enough, unless bytes are lost: then the client is reset"
        }
        (Side::Client | Side::Target, _, FarEnd::Unknown) => {
            "; a relay is reset, since a FIN would look like success; a service ends with a FIN, \
             unless bytes are lost"
        }
    }
}

/// Whether this error says that the peer sent a RST.
pub fn is_reset_by_peer(fault: SysError) -> bool {
    matches!(fault.kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Returns the end at which a RST arrived or a call failed, and the error, if that is why the
/// connection was closed.
pub fn failed_end(reason: Reason) -> Option<(usize, SysError)> {
    match reason {
        Reason::Reset { by: Side::Client, fault } | Reason::Abandoned { fault } => Some((0, fault)),
        Reason::Reset { by: Side::Target, fault } => Some((1, fault)),
        Reason::Reset { by: Side::Proxy, .. }
        | Reason::Finished
        | Reason::Served
        | Reason::Refused { .. }
        | Reason::Unreachable { .. }
        | Reason::ConnectTimeout
        | Reason::IdleTimeout
        | Reason::HalfCloseTimeout
        | Reason::Lifetime
        | Reason::Drained
        | Reason::Cut
        | Reason::Exhausted { .. }
        | Reason::Evicted
        | Reason::Lagged
        | Reason::TooLong
        | Reason::Admin
        | Reason::Reloaded => None,
    }
}

/// Returns whether end b of a connection of this service is the socket of a target.
pub fn has_target(service: ServiceKind) -> bool {
    match service {
        ServiceKind::Relay | ServiceKind::Connect => true,
        ServiceKind::Echo
        | ServiceKind::Discard
        | ServiceKind::Chargen
        | ServiceKind::Daytime
        | ServiceKind::Time
        | ServiceKind::Whoami
        | ServiceKind::Greet
        | ServiceKind::Hub
        | ServiceKind::Chat
        | ServiceKind::Admin
        | ServiceKind::Metrics => false,
    }
}
