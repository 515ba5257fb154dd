//! Builds the event loop from a plan. Every address is bound before anything is served; if one
//! fails, none is.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use mio::{Events, Interest, Poll, Registry, Token, Waker};

use crate::config::{Address, Host, Listen, Plan, Policy, Route, Service, check};
use crate::core::buffers::SCRATCH_BYTES;
use crate::core::pipes::most_bytes;
use crate::core::time::ticks;
use crate::core::{Buffers, ConnIds, Engine, Event, Key, Moment, Observer, SysError, Timeouts};

use crate::service::holding_flows;
use crate::text::escape::escaped;

use super::clock::Clock;
use super::datagrams::Datagrams;
use super::listeners::Listeners;
use super::reactor::{EVENTS, FIRST_LISTENER, Reactor, SIGNALS, WAKER};
use crate::net::CannotListen;
use crate::net::bound_datagram::bind_datagram;
use crate::net::limits::{self, Descriptors, LimitError};
use crate::net::listener::Listener;
use crate::net::resolver::Resolver;
use crate::net::self_connect::{BoundAddr, is_same_file};
use crate::net::signals::Signals;
use crate::net::socket::EPOLL;
use crate::runtime::upstream::dialer::Dialer;
use crate::runtime::upstream::loops::RecentDials;
use crate::runtime::upstream::pool::Pool;

/// Why the loop cannot start.
#[derive(Debug)]
pub enum CannotStart {
    Listen(CannotListen),
    Limit(LimitError),
    /// A target of a relay is its own listener.
    SelfConnect {
        listen: String,
        target: String,
    },
    System(io::Error),
}

/// Binds every address of the plan and builds the loop. On error everything is released.
pub fn bind(plan: &Plan, observer: &mut dyn Observer) -> Result<Reactor, CannotStart> {
    let limits = limits::raise_files();
    let needs = descriptors(plan);
    let (reserve, per_connection) = (needs.reserve(limits.files), needs.per_connection());
    let max_connections = max_connections(plan, limits.files)?;
    let poll = Poll::new()?;
    let signals = Signals::new(poll.registry(), token(SIGNALS))?;
    let waker = Arc::new(Waker::new(poll.registry(), token(WAKER))?);
    let mut open = Open::new(seed(), plan.routes.len());
    for (route, planned) in plan.routes.iter().enumerate() {
        open.route(route as u16, planned, poll.registry())?;
    }
    for (key, address, route) in &open.bound {
        let service = plan.routes[*route as usize].service.kind();
        observer.on(*key, &Event::Listening { address, service });
    }
    let timeouts = plan.routes.iter().map(|route| timeouts(&route.policy)).collect();
    let targets = plan.routes.iter().map(|route| targets(&route.service));
    let pools = targets.zip(open.own).map(|(targets, own)| Pool::new(targets, own)).collect();
    Ok(Reactor {
        events: Events::with_capacity(EVENTS),
        poll,
        clock: Clock::start(),
        woke: Moment(0),
        is_timed: false,
        turns: 0,
        conn_ids: ConnIds::default(),
        services: plan.routes.iter().map(|route| route.service.clone()).collect(),
        limits,
        max_connections,
        max_is_given: plan.max_connections.is_some(),
        reserve,
        per_connection,
        max_unsent: max_unsent(plan, max_connections),
        drain_timeout: plan.drain_timeout,
        drain_idle: plan.drain_idle(),
        spin: plan.busy_poll,
        engine: Engine::new(timeouts, max_connections, Buffers::default()),
        listeners: open.listeners,
        dialer: Dialer::new(pools, open.recent),
        resolver: Resolver::new(waker),
        datagrams: open.datagrams,
        signals,
        warnings: open.warnings,
        stopping: None,
    })
}

/// The sockets bound so far.
struct Open {
    listeners: Listeners,
    datagrams: Datagrams,
    /// Key, address and route of each listener.
    bound: Vec<(Key, String, u16)>,
    /// The bound addresses of each route.
    own: Vec<Vec<BoundAddr>>,
    recent: RecentDials,
    /// Warnings for the operator about how they were bound.
    warnings: Vec<String>,
}

impl Open {
    fn new(seed: u64, routes: usize) -> Open {
        let (listeners, datagrams) = (Listeners::default(), Datagrams::new(seed));
        let (bound, own, recent) = (Vec::new(), vec![Vec::new(); routes], RecentDials::default());
        Open { listeners, datagrams, bound, own, recent, warnings: Vec::new() }
    }

    fn route(&mut self, route: u16, planned: &Route, to: &Registry) -> Result<(), CannotStart> {
        if planned.listen.address.is_datagram() {
            for mut bound in bind_datagram(&planned.listen)? {
                self.warnings.extend(bound.warning.take());
                refuse_self_connect(&bound.address, planned)?;
                let key = self.next_key(&bound.address.to_string(), route);
                self.datagrams.add(bound, (route, planned), key, to)?;
            }
            return Ok(());
        }
        for mut listener in Listener::bind(&planned.listen)? {
            self.warnings.extend(listener.warning().map(str::to_owned));
            let own = refuse_self_connect(listener.at(), planned)?;
            self.own[route as usize].extend(own);
            self.recent.listen(listener.at(), route);
            let key = self.next_key(listener.address(), route);
            to.register(listener.source(), Token(key.to_token()), Interest::READABLE)?;
            self.listeners.add(listener, route, key);
        }
        Ok(())
    }

    fn next_key(&mut self, address: &str, route: u16) -> Key {
        let key = Key::source(FIRST_LISTENER + self.bound.len());
        self.bound.push((key, address.to_owned(), route));
        key
    }
}

/// Fails if a target is the bound address itself: each connection would open another one. Names are
/// checked after they are resolved, against the address returned here.
fn refuse_self_connect(at: &Address, planned: &Route) -> Result<Option<BoundAddr>, CannotStart> {
    let listen = Listen { address: at.clone(), options: planned.listen.options.clone() };
    let own = BoundAddr::new(at, listen.options.v6only);
    let is_itself = |target: &&Address| match target {
        Address::Tcp(Host::Ip(ip), port) | Address::Udp(Host::Ip(ip), port) => {
            own.is_some_and(|own| own.receives(SocketAddr::new(*ip, *port)))
        }
        _ => check::reaches(target, &listen) || is_same_file(target, at),
    };
    match targets(&planned.service).iter().find(is_itself) {
        Some(target) => {
            let (listen, target) = (at.to_string(), target.to_string());
            Err(CannotStart::SelfConnect { listen, target })
        }
        None => Ok(own),
    }
}

/// Returns a random seed. Outsiders must not be able to predict which reply of a loop is dropped.
fn seed() -> u64 {
    RandomState::new().hash_one("oneloop")
}

/// The connection limit: the demand of the plan, or what the open-file limit allows.
fn max_connections(plan: &Plan, files: usize) -> Result<usize, LimitError> {
    match plan.routes.iter().all(|route| route.listen.address.is_datagram()) {
        true => Ok(0),
        false => limits::max_connections(plan.max_connections, files, descriptors(plan)),
    }
}

/// What the daemon needs descriptors for.
fn descriptors(plan: &Plan) -> Descriptors {
    let mut streams = plan.routes.iter().filter(|route| !route.listen.address.is_datagram());
    let relays = streams.any(|route| matches!(route.service, Service::Relay(_)));
    Descriptors { listeners: plan.routes.len(), relays, flows: flows(plan) }
}

/// Maximum unsent bytes of `connections`: a scratch buffer per flow to a peer, or a pipe while
/// there are any. The maximum is reached when all connections are on one route.
fn max_unsent(plan: &Plan, connections: usize) -> usize {
    let streams = plan.routes.iter().filter(|route| !route.listen.address.is_datagram());
    let of_route = |route: &Route| {
        let flows = connections.saturating_mul(holding_flows(&route.service));
        match splices(route) {
            true => most_bytes(flows, SCRATCH_BYTES),
            false => flows.saturating_mul(SCRATCH_BYTES),
        }
    };
    streams.map(of_route).max().unwrap_or(0)
}

/// Whether the route splices bulk transfers: from TCP to TCP.
fn splices(route: &Route) -> bool {
    let is_tcp = |address: &Address| matches!(address, Address::Tcp(..));
    let has_tcp_target = targets(&route.service).iter().any(is_tcp);
    cfg!(target_os = "linux") && EPOLL && is_tcp(&route.listen.address) && has_tcp_target
}

/// Maximum descriptors for the flows of datagram relays.
fn flows(plan: &Plan) -> usize {
    let relays = plan.routes.iter().filter(|route| {
        route.listen.address.is_datagram() && matches!(route.service, Service::Relay(_))
    });
    relays.map(|route| route.policy.udp_flows).sum()
}

fn targets(service: &Service) -> Vec<Address> {
    match service {
        Service::Relay(targets) => targets.clone(),
        _ => Vec::new(),
    }
}

fn timeouts(policy: &Policy) -> Timeouts {
    Timeouts {
        connect: Some(ticks(policy.connect_timeout)),
        idle: policy.idle_timeout.map(ticks),
        half_close: policy.half_close_timeout.map(ticks),
        lifetime: policy.max_lifetime.map(ticks),
    }
}

fn token(listener: usize) -> Token {
    Token(Key::source(listener).to_token())
}

impl fmt::Display for CannotStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CannotStart::Listen(error) => error.fmt(f),
            CannotStart::Limit(error) => error.fmt(f),
            CannotStart::SelfConnect { listen, target } => {
                let (listen, target) = (escaped(listen), escaped(target));
                write!(f, "the relay at {listen} would connect to itself: its target is {target}")
            }
            CannotStart::System(error) => write!(f, "cannot start: {}", SysError::from(error)),
        }
    }
}

impl From<io::Error> for CannotStart {
    fn from(error: io::Error) -> Self {
        CannotStart::System(error)
    }
}

impl From<CannotListen> for CannotStart {
    fn from(error: CannotListen) -> Self {
        CannotStart::Listen(error)
    }
}

impl From<LimitError> for CannotStart {
    fn from(error: LimitError) -> Self {
        CannotStart::Limit(error)
    }
}
