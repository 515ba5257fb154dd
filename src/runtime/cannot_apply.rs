//! Why a plan cannot be applied.

use std::fmt;

use crate::net::CannotListen;
use crate::net::limits::LimitError;
use crate::text::escape::escaped;

use super::cuts::CUTS_MAX;
use super::routes::Routes;

/// Why a plan cannot be applied. The loop goes on as before.
#[derive(Debug)]
pub enum CannotApply {
    Listen(CannotListen),
    Limit(LimitError),
    /// A target of a relay is its own listener.
    SelfConnect {
        listen: String,
        target: String,
    },
    /// An option of this datagram socket differs that can only be set when it is bound.
    Rebound {
        listen: String,
    },
    /// Sockets had to be closed before this error: the connections in their accept queues were
    /// reset. Those in `lost` could not be bound as they were either.
    NotRebound {
        error: String,
        reset: String,
        lost: Vec<String>,
    },
    /// The address is in use by a listener of the loop that this plan removes, but only after the
    /// new addresses are bound.
    OwnAddress {
        listen: String,
        route: String,
        own: String,
        /// The route was removed before, and its socket still has clients or flows.
        is_closing: bool,
    },
    TooManyRoutes,
    /// Too many routes have connections that are still to be cut.
    TooManyCuts,
    /// The loop is being stopped.
    Stopping,
}

impl fmt::Display for CannotApply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CannotApply::Listen(error) => error.fmt(f),
            CannotApply::Limit(error) => error.fmt(f),
            CannotApply::SelfConnect { listen, target } => {
                let (listen, target) = (escaped(listen), escaped(target));
                write!(f, "the relay at {listen} would connect to itself: its target is {target}")
            }
            CannotApply::Rebound { listen } => {
                let listen = escaped(listen);
                write!(f, "cannot listen on {listen}: the open socket has other options")
            }
            CannotApply::NotRebound { error, reset, lost } => {
                write!(f, "{error}; the clients that waited at {} were reset", escaped(reset))?;
                lost.iter().try_for_each(|lost| write!(f, "; it is not served any more: {lost}"))
            }
            CannotApply::OwnAddress { listen, route, own, is_closing } => {
                let (listen, route, own) = (escaped(listen), escaped(route), escaped(own));
                write!(f, "cannot listen on {listen}: Address already in use by route {route}, ")?;
                match is_closing {
                    true => write!(
                        f,
                        "which was removed; its socket at {own} closes when its accept queue is \
                         empty and its flows have ended"
                    ),
                    false => write!(
                        f,
                        "which listens on {own} until the new addresses are bound; remove that one \
                         in a reload of its own first"
                    ),
                }
            }
            CannotApply::TooManyCuts => {
                write!(f, "more than {CUTS_MAX} routes have connections that are still to be cut")
            }
            CannotApply::TooManyRoutes => {
                write!(f, "more than {} routes, those with open connections included", Routes::MAX)
            }
            CannotApply::Stopping => f.write_str("the event loop is being stopped"),
        }
    }
}

impl From<CannotListen> for CannotApply {
    fn from(error: CannotListen) -> Self {
        CannotApply::Listen(error)
    }
}

impl From<LimitError> for CannotApply {
    fn from(error: LimitError) -> Self {
        CannotApply::Limit(error)
    }
}
