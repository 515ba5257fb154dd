//! The limits of connections and of unsent bytes, as they follow from a plan and from the open-file
//! limit of the process.

use crate::config::{Address, Plan, Route, Service};
use crate::core::buffers::SCRATCH_BYTES;
use crate::core::pipes::most_bytes;
use crate::net::limits::{self, Descriptors, LimitError, Limits};
use crate::net::socket::EPOLL;
use crate::service::holding_flows;
use crate::text::count::Count;

use super::routes::targets;

/// How many connections the loop may hold, and why.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    limits: Limits,
    pub max_connections: usize,
    /// `max_connections` was given, and does not follow from the open-file limit.
    is_given: bool,
    /// Open files in reserve, and open files per connection.
    reserve: usize,
    per_connection: usize,
    /// Maximum unsent bytes that all connections together may hold.
    max_unsent: usize,
}

impl Capacity {
    /// Computes what the next plan demands. Fails if the open-file limit does not allow it. A plan
    /// without streams keeps the limit: the listeners that it closes accept their queues first.
    pub fn next(&self, plan: &Plan) -> Result<Capacity, LimitError> {
        let (limits, needs) = (self.limits, descriptors(plan));
        let max_connections = match plan.routes.iter().any(is_stream) {
            true => limits::max_connections(plan.max_connections, limits.files, needs)?,
            false => self.max_connections,
        };
        Ok(Capacity {
            limits,
            max_connections,
            is_given: plan.max_connections.is_some(),
            reserve: needs.reserve(limits.files),
            per_connection: needs.per_connection(),
            max_unsent: max_unsent(plan, max_connections),
        })
    }

    /// The capacity of a loop without routes.
    pub fn none(limits: Limits) -> Capacity {
        let is_given = false;
        let (max_connections, reserve, per_connection, max_unsent) = (0, 0, 0, 0);
        Capacity { limits, max_connections, is_given, reserve, per_connection, max_unsent }
    }

    /// Maximum unsent bytes that all connections together may hold.
    pub fn max_unsent(&self) -> usize {
        self.max_unsent
    }

    /// Describes the limits of connections and of unsent bytes.
    pub fn describe(&self) -> String {
        let (connections, files) = (self.max_connections, self.limits.files);
        let raised = match self.limits.soft_before {
            before if before < files => format!(" (raised from {before})"),
            _ => String::new(),
        };
        if connections == 0 {
            return format!("{files} open files{raised}; no streams are served");
        }
        let kept = format!("{} each, {} in reserve", self.per_connection, self.reserve);
        let why = match self.is_given {
            true => format!("as given; {files} open files{raised}, {kept}"),
            false => format!("{files} open files{raised}, {kept}"),
        };
        let unsent = limits::show_unsent(self.max_unsent);
        format!("at most {} ({why}); {unsent}", Count(connections, "connection"))
    }
}

fn is_stream(route: &Route) -> bool {
    !route.listen.address.is_datagram()
}

/// What the daemon needs descriptors for.
fn descriptors(plan: &Plan) -> Descriptors {
    let mut streams = plan.routes.iter().filter(|route| is_stream(route));
    let relays = streams.any(|route| matches!(route.service, Service::Relay(_)));
    let admin = [&plan.admin.admin, &plan.admin.metrics];
    let admin_listeners = admin.into_iter().flatten().count();
    Descriptors { listeners: plan.routes.len(), relays, flows: flows(plan), admin_listeners }
}

/// Maximum descriptors for the flows of datagram relays.
fn flows(plan: &Plan) -> usize {
    let relays = plan
        .routes
        .iter()
        .filter(|route| !is_stream(route) && matches!(route.service, Service::Relay(_)));
    relays.map(|route| route.policy.udp_flows).sum()
}

/// Maximum unsent bytes of `connections`: a scratch buffer per flow to a peer, or a pipe while
/// there are any. The maximum is reached when all connections are on one route.
fn max_unsent(plan: &Plan, connections: usize) -> usize {
    let of_route = |route: &Route| {
        let flows = connections.saturating_mul(holding_flows(&route.service));
        match splices(route) {
            true => most_bytes(flows, SCRATCH_BYTES),
            false => flows.saturating_mul(SCRATCH_BYTES),
        }
    };
    plan.routes.iter().filter(|route| is_stream(route)).map(of_route).max().unwrap_or(0)
}

/// Whether the route splices bulk transfers: from TCP to TCP.
fn splices(route: &Route) -> bool {
    let is_tcp = |address: &Address| matches!(address, Address::Tcp(..));
    let has_tcp_target = targets(&route.service).iter().any(is_tcp);
    cfg!(target_os = "linux") && EPOLL && is_tcp(&route.listen.address) && has_tcp_target
}
