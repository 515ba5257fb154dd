//! Looks into a running loop, and the commands that operators give it. Everything large is visited
//! slot by slot, so that the caller decides how much of it fits into a turn.

use std::time::Duration;

use crate::core::{Conn, Key, Moment, Peer, Reason, State, Turn};
use crate::net::socket::Socket;

use super::datagrams::FlowView;
use super::listeners::ListenerSlot;
use super::reactor::Reactor;
use super::routes::{Route, Routes};
use super::sweep::SweepCursor;

/// The name of the state of a datagram flow, which has no other.
pub const FLOW_STATE: &str = "flow";

/// A read-only view of the loop between two turns.
#[derive(Clone, Copy)]
pub struct Inspect<'a> {
    reactor: &'a Reactor,
    /// The time at which the view was taken.
    pub now: Moment,
}

/// An open connection, or a datagram flow.
pub struct ConnView<'a> {
    inspect: Inspect<'a>,
    pub key: Key,
    kind: ViewKind<'a>,
}

enum ViewKind<'a> {
    Stream(&'a Conn<Socket>),
    Flow(FlowView),
}

/// What is left of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainView {
    /// Time until what is left is reset.
    pub due: Duration,
    pub connections: usize,
    pub flows: usize,
}

/// A limit of the loop and how much of it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitView {
    pub name: &'static str,
    pub used: u64,
    pub limit: u64,
    /// What happens at the limit.
    pub effect: &'static str,
}

impl Reactor {
    /// Returns a view of the loop.
    pub fn inspect(&self) -> Inspect<'_> {
        Inspect { reactor: self, now: self.now() }
    }

    /// Starts the drain, as the first TERM does.
    pub fn begin_drain(&mut self, turn: &mut Turn<'_>) {
        if !self.drain.is_started() {
            self.start_drain(turn);
        }
    }

    /// Closes a connection or a datagram flow: both ends are reset. Returns whether it was open.
    pub fn close_by_operator(&mut self, key: Key, turn: &mut Turn<'_>) -> bool {
        self.close(key, Reason::Admin, turn)
    }

    /// Pauses or resumes a listener. Returns whether that changed anything.
    pub fn set_paused(&mut self, listener: Key, paused: bool, turn: &mut Turn<'_>) -> bool {
        let connections = self.engine.len();
        match paused {
            true => self.listeners.pause(listener, connections, turn),
            false => self.listeners.resume(listener, connections, turn),
        }
    }
}

impl<'a> Inspect<'a> {
    pub fn routes(&self) -> &'a Routes {
        &self.reactor.routes
    }

    /// The open connections and the open flows of a route.
    pub fn live(&self, route: u16) -> (usize, usize) {
        (self.reactor.engine.live(route), self.reactor.datagrams.live(route))
    }

    /// The stream listeners.
    pub fn listeners(&self) -> impl Iterator<Item = (Key, &'a ListenerSlot)> + use<'a> {
        self.reactor.listeners.iter()
    }

    /// The bound address of each datagram socket, its route, and whether it takes new sources.
    pub fn datagram_sockets(&self) -> impl Iterator<Item = (&'a str, u16, bool)> + use<'a> {
        self.reactor.datagrams.sockets()
    }

    /// Every bound source of connections and datagrams, with its address and its route.
    pub fn sources(&self) -> impl Iterator<Item = (Key, &'a str, u16)> + use<'a> {
        let listeners = self.reactor.listeners.iter();
        let listeners = listeners.map(|(key, slot)| (key, &*slot.address, slot.route()));
        listeners.chain(self.reactor.datagrams.keyed_sockets())
    }

    /// Number of open connections.
    pub fn connections(&self) -> usize {
        self.reactor.engine.len()
    }

    /// Number of open datagram flows.
    pub fn flows(&self) -> usize {
        self.reactor.datagrams.len()
    }

    /// Number of connections and sockets with work left for the next turn.
    pub fn queued(&self) -> usize {
        self.reactor.engine.queued() + self.reactor.datagrams.queued()
    }

    /// Armed deadlines, stale ones included.
    pub fn deadlines(&self) -> usize {
        self.reactor.engine.deadlines()
    }

    /// Time until the loop wakes up if nothing is reported and nobody looks. None: until an event.
    pub fn next_wakeup(&self) -> Option<Duration> {
        self.reactor.service_sleep(self.now)
    }

    /// Number of open connections of the admin endpoint.
    pub fn admin_clients(&self) -> usize {
        self.reactor.admin.as_ref().map_or(0, |port| port.len())
    }

    pub fn is_draining(&self) -> bool {
        self.reactor.drain.is_started()
    }

    /// What is left of the drain, if it was started.
    pub fn drain(&self) -> Option<DrainView> {
        let due = self.reactor.drain.sleep(self.now)?;
        Some(DrainView { due, connections: self.connections(), flows: self.flows() })
    }

    /// The time that a drain takes at most.
    pub fn drain_timeout(&self) -> Duration {
        self.reactor.drain.timeout()
    }

    /// The limits of the loop.
    pub fn limits(&self) -> Vec<LimitView> {
        let Inspect { reactor, .. } = self;
        let buffers = &reactor.engine.buffers;
        let limit = |name, used: usize, limit: usize, effect| LimitView {
            name,
            used: used as u64,
            limit: limit as u64,
            effect,
        };
        let flow_limit = reactor.routes.iter().filter(|(_, route)| route.is_datagram_relay());
        vec![
            limit(
                "connections",
                self.connections(),
                reactor.capacity.max_connections,
                "new connections wait in the accept queue",
            ),
            limit(
                "unsent-bytes",
                buffers.unsent.bytes(),
                reactor.capacity.max_unsent(),
                "a peer is not read while its bytes are unsent",
            ),
            limit(
                "datagram-flows",
                self.flows(),
                flow_limit.map(|(_, route)| route.config.policy.udp_flows).sum(),
                "a new flow replaces the oldest of its route",
            ),
            limit(
                "pipes",
                buffers.unsent.pipes.in_use(),
                crate::core::pipes::MOST_PIPES,
                "bulk transfers are copied instead of spliced",
            ),
            limit(
                "routes",
                reactor.routes.len(),
                Routes::MAX,
                "a reload that adds routes is refused",
            ),
        ]
    }

    /// Moves the cursor behind the next slot of the sweep, and returns that slot. None at the end.
    fn next_slot(&self, cursor: &mut SweepCursor) -> Option<SweepCursor> {
        if !cursor.in_flows && cursor.slot >= self.reactor.engine.slots() {
            *cursor = SweepCursor { in_flows: true, slot: 0 };
        }
        if cursor.in_flows && cursor.slot >= self.reactor.datagrams.flow_slots() {
            return None;
        }
        let at = *cursor;
        cursor.slot += 1;
        Some(at)
    }

    /// Visits the next slot of the sweep. Returns None at its end. The inner option is None if the
    /// slot is empty.
    pub fn visit(&self, cursor: &mut SweepCursor) -> Option<Option<ConnView<'a>>> {
        let SweepCursor { in_flows, slot } = self.next_slot(cursor)?;
        let (reactor, inspect) = (self.reactor, *self);
        let flow = |flow: FlowView| (flow.key, ViewKind::Flow(flow));
        let found = match in_flows {
            true => reactor.datagrams.flow_at(slot).map(flow),
            false => reactor.engine.at_slot(slot).map(|(key, conn)| (key, ViewKind::Stream(conn))),
        };
        Some(found.map(|(key, kind)| ConnView { inspect, key, kind }))
    }

    /// Visits the next slot of the sweep, and returns the connection or flow in it and its route.
    /// Returns None at its end. The inner option is None if the slot is empty.
    pub(super) fn visit_route(&self, cursor: &mut SweepCursor) -> Option<Option<(Key, u16)>> {
        let SweepCursor { in_flows, slot } = self.next_slot(cursor)?;
        Some(match in_flows {
            true => self.reactor.datagrams.flow_route_at(slot),
            false => self.reactor.engine.at_slot(slot).map(|(key, conn)| (key, conn.route)),
        })
    }

    /// Looks for the connection or flow with this number in the next slots of the sweep, at most
    /// `slots` of them. Returns None at the end of the sweep.
    pub fn find(&self, id: u32, cursor: &mut SweepCursor, slots: usize) -> Option<Option<Key>> {
        for _ in 0..slots {
            let found = self.visit_route(cursor)?;
            if let Some((key, _)) = found.filter(|(key, _)| key.id == id) {
                return Some(Some(key));
            }
        }
        Some(None)
    }

    /// The view of a connection or flow that is open.
    pub fn view(&self, key: Key) -> Option<ConnView<'a>> {
        let mut cursor = SweepCursor { in_flows: key.is_flow(), slot: key.slot() };
        self.visit(&mut cursor)?.filter(|view| view.key == key)
    }
}

impl<'a> ConnView<'a> {
    /// The connection, unless it is a datagram flow.
    pub fn conn(&self) -> Option<&'a Conn<Socket>> {
        match &self.kind {
            ViewKind::Stream(conn) => Some(conn),
            ViewKind::Flow(_) => None,
        }
    }

    pub fn route(&self) -> &'a Route {
        &self.inspect.reactor.routes[self.route_index()]
    }

    /// The index of its route.
    pub fn route_index(&self) -> u16 {
        match &self.kind {
            ViewKind::Stream(conn) => conn.route,
            ViewKind::Flow(flow) => flow.route,
        }
    }

    pub fn opened_at(&self) -> Moment {
        match &self.kind {
            ViewKind::Stream(conn) => conn.born,
            ViewKind::Flow(flow) => flow.opened_at,
        }
    }

    pub fn state(&self) -> &'static str {
        self.stream_state().map_or(FLOW_STATE, State::name)
    }

    fn stream_state(&self) -> Option<State> {
        self.conn().map(Conn::state)
    }

    /// The client, as the system reports it now.
    pub fn peer(&self) -> Option<Peer> {
        match &self.kind {
            ViewKind::Stream(conn) => conn.ends.end(0).as_socket()?.peer().ok(),
            ViewKind::Flow(flow) => Some(flow.source.clone()),
        }
    }

    /// The address of the listener that accepted it. A connection does not keep it, so it is found
    /// by the local address of its socket. If that listener is closed, it is that local address.
    pub fn listen(&self) -> String {
        let reactor = self.inspect.reactor;
        let conn = match &self.kind {
            ViewKind::Stream(conn) => conn,
            ViewKind::Flow(flow) => {
                return reactor.datagrams.address(flow.listener).unwrap_or_default().to_owned();
            }
        };
        let local = conn.ends.end(0).as_socket().and_then(|socket| socket.local().ok());
        let local_text = local.as_ref().map(stream_address).unwrap_or_default();
        let port = match &local {
            Some(Peer::Inet(address)) => Some(address.port()),
            Some(Peer::Unix(_) | Peer::Stdio) | None => None,
        };
        let mut of_route = None;
        for (_, slot) in reactor.listeners.iter() {
            if *slot.address == *local_text {
                return local_text;
            }
            // One on all addresses.
            if slot.route() == conn.route && slot.at().port() == port {
                of_route.get_or_insert(&slot.address);
            }
        }
        of_route.map_or(local_text, |address| address.to_string())
    }

    /// The target as it was dialed, as far as it is known: its name is not kept when it is
    /// connected.
    pub fn dialed(&self) -> Option<String> {
        let ViewKind::Stream(conn) = &self.kind else { return self.target() };
        match self.inspect.reactor.dialer.target(self.key.id) {
            Some(target) => Some(target.to_owned()),
            None => Some(stream_address(&conn.ends.end(1).as_socket()?.peer().ok()?)),
        }
    }

    /// The target: connected, or being dialed.
    pub fn target(&self) -> Option<String> {
        match &self.kind {
            ViewKind::Stream(conn) => match self.inspect.reactor.dialer.target(self.key.id) {
                Some(target) => Some(target.to_owned()),
                None => Some(conn.ends.end(1).as_socket()?.peer().ok()?.to_string()),
            },
            ViewKind::Flow(flow) => Some(flow.target.clone()),
        }
    }

    pub fn age(&self) -> Duration {
        self.inspect.now.since(self.opened_at())
    }

    /// Time since bytes last moved.
    pub fn idle(&self) -> Duration {
        let since = match &self.kind {
            // Stored in ticks: the connection may be younger than the beginning of its tick.
            ViewKind::Stream(conn) => Moment::at_tick(conn.active).max(conn.born),
            ViewKind::Flow(flow) => flow.active,
        };
        self.inspect.now.since(since)
    }

    /// Bytes forwarded from the client, and bytes written to it.
    pub fn moved(&self) -> (u64, u64) {
        match &self.kind {
            ViewKind::Stream(conn) => conn.moved(),
            ViewKind::Flow(flow) => (flow.received, flow.sent),
        }
    }

    /// Unsent bytes of each direction.
    pub fn unsent(&self) -> [u64; 2] {
        let Some(conn) = self.conn() else { return [0, 0] };
        let unsent = &self.inspect.reactor.engine.buffers.unsent;
        let left = |id: &crate::core::UnsentId| unsent.left(id) as u64;
        [0, 1].map(|flow| conn.flows[flow].unsent.as_ref().map_or(0, left))
    }

    /// The deadlines that apply now, with the time until each is due.
    pub fn deadline(&self) -> Option<(&'static str, Duration)> {
        let (deadline, due) = self.inspect.reactor.engine.deadline(self.conn()?)?;
        Some((deadline.name(), self.inspect.now.until(due)))
    }
}

/// Returns the address of a stream socket as listeners and targets write it.
fn stream_address(peer: &Peer) -> String {
    match peer {
        Peer::Inet(address) => format!("tcp://{address}"),
        Peer::Unix(_) | Peer::Stdio => peer.to_string(),
    }
}
