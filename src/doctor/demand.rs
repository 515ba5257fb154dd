//! The demand: how many connections, and in which role.

use super::finding::Section;
use super::target::Target;
use crate::net::limits::Descriptors;

/// A number of concurrent connections. None: as many as fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    pub conns: Option<u64>,
    pub role: Role,
    pub target: Target,
}

/// What a process does with its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Accepts.
    Server,
    /// Connects.
    Client,
    /// Accepts and connects: two local ends for each connection.
    Relay,
}

impl Role {
    pub fn word(self) -> &'static str {
        match self {
            Role::Server => "server",
            Role::Client => "client",
            Role::Relay => "relay",
        }
    }

    /// Returns the number of local ends of a connection.
    pub fn ends(self) -> u64 {
        self.descriptors().per_connection() as u64
    }

    /// Returns how a process of this role uses descriptors.
    pub fn descriptors(self) -> Descriptors {
        match self {
            Role::Server => Descriptors::SERVER,
            Role::Client => Descriptors::CLIENT,
            Role::Relay => Descriptors::RELAY,
        }
    }

    /// Whether limits of this section apply to the role.
    pub fn has(self, section: Section) -> bool {
        match self {
            Role::Server => section != Section::Client,
            Role::Client => section != Section::Server,
            Role::Relay => true,
        }
    }
}
