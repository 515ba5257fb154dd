//! How the close of a connection looks to its peers, as far as events show it.

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
