//! The flows of the datagram relay. Each source has a flow with its own socket, connected to a
//! target. What the target sends to that socket is sent back to the source by the listener.

use std::net::SocketAddr;
use std::time::Duration;

use super::DatagramCx;
use super::listener::DatagramListener;
use super::port::DatagramPort;
use super::report::{TurnCounts, log_dropped, why};
use super::table::Table;
use crate::config::Policy;
use crate::core::event::{Client, DropReason};
use crate::core::{
    Close, CloseKind, Deadline, Event, Key, Moment, Peer, Reason, Side, SysError, Turn,
};
use crate::net::address::SocketAddress;
use crate::net::datagram_socket::DatagramSocket;
use crate::net::recv_batch::{Segments, Wanted};
use crate::net::remote::Remote;
use crate::net::self_connect::remote_reaches;
use crate::runtime::upstream::pool::{Selection, Target, TargetAddr};

/// Maximum flows closed per turn for being idle.
const EXPIRE_BUDGET: usize = 256;

/// Maximum remotes per flow. A name may have any number of addresses.
const REMOTES: usize = 16;

/// All flows. A slot is the index of a flow.
#[derive(Debug, Default)]
pub(super) struct Flows {
    table: Table<Remote, Flow>,
    /// No new flows are opened.
    draining: bool,
}

/// The state of one source's flow.
#[derive(Debug)]
struct Flow {
    port: DatagramPort,
    remote: Remote,
    up: u64,
    down: u64,
    listener: Key,
    opened_at: Moment,
    /// Index of the target that the flow began with.
    first: usize,
    attempt: u32,
    /// The remote refused a datagram: the next one is sent to the next remote.
    refused: Option<SysError>,
    /// A datagram was sent to the remote, and none has been received since.
    unanswered: bool,
}

/// What can be known of an open flow.
pub struct FlowView {
    pub key: Key,
    pub route: u16,
    /// The socket that its source sends to.
    pub listener: Key,
    pub source: Peer,
    pub target: String,
    pub opened_at: Moment,
    /// When its last datagram passed.
    pub active: Moment,
    /// Bytes from the source, and to it.
    pub received: u64,
    pub sent: u64,
}

// Forwarding.
impl Flows {
    /// Returns the flow of a source on this listener, whatever route opened it.
    pub fn find(&self, listener: &DatagramListener, from: &Remote) -> Option<usize> {
        listener.lists.iter().find_map(|list| self.table.find(*list, from))
    }

    /// Opens a flow for a new source, by the present route of the listener. `is_own`: the source is
    /// an address of ours.
    pub fn open(
        &mut self,
        key: Key,
        from: &Remote,
        listener: &DatagramListener,
        is_own: bool,
        cx: &mut DatagramCx<'_, '_>,
    ) -> Result<usize, DropReason> {
        if self.draining || !listener.takes_new_sources() {
            return Err(DropReason::NoWay);
        }
        let Some(list) = self.list(listener) else { return Err(DropReason::NoWay) };
        if is_own {
            return Err(DropReason::Own);
        }
        let targets = cx.routes[listener.route].pool.select();
        let remotes = remotes(&targets, &listener.local, cx.names);
        // A forged source: the target would exchange datagrams with itself through the relay.
        if remotes.iter().any(|remote| remote.peer() == from.peer()) {
            return Err(DropReason::Loop);
        }
        let (socket, at) = dial(&remotes, 0)?;
        let flow = Flow {
            port: DatagramPort::new(socket, Wanted::Nothing),
            remote: remotes[at].clone(),
            up: 0,
            down: 0,
            listener: key,
            opened_at: cx.turn.now,
            first: targets.first(),
            attempt: 1,
            refused: None,
            unanswered: false,
        };
        self.insert(list, from, flow, listener, cx)
    }

    /// Adds a new flow, and evicts the oldest one if the list is full. The caller creates the
    /// socket first, so that nothing is evicted for a flow that cannot be opened.
    fn insert(
        &mut self,
        list: usize,
        from: &Remote,
        mut flow: Flow,
        listener: &DatagramListener,
        cx: &mut DatagramCx<'_, '_>,
    ) -> Result<usize, DropReason> {
        if let Some(oldest) = self.table.surplus(list) {
            self.close(oldest, Reason::Evicted, cx);
        }
        let key = Key::flow(cx.conn_ids.next(), self.table.vacant());
        flow.port.register(key.at(1), cx.registry).map_err(|error| why(&error))?;
        let DatagramListener { route, address: listen, .. } = listener;
        let (route, service) = (*route, cx.routes[*route].config.service.kind());
        let peer = &from.peer();
        cx.turn.on(key, &Event::Opened { route, service, listen, peer });
        flow.log_remote(key, cx.turn);
        Ok(self.table.insert(list, from.clone(), key.id, flow, cx.turn.now))
    }

    /// Forwards what the source of a flow sent to its listener.
    pub fn forward(
        &mut self,
        slot: usize,
        listener: &DatagramListener,
        mut segments: Segments<'_>,
        counts: &mut TurnCounts,
        cx: &mut DatagramCx<'_, '_>,
    ) {
        self.table.touch(slot, cx.turn.now);
        let Some(entry) = self.table.peek(slot) else { return };
        let key = Key::flow(entry.id, slot);
        counts.received(key, segments, || entry.source.peer(), cx.turn);
        while !segments.is_empty() {
            let (part, sent) = self.send_with_retry(slot, listener, segments, counts, cx);
            if let Err(why) = sent {
                log_dropped(key.at(1), part, self.source(slot), why, cx.turn);
            }
            segments = segments.after(part.len());
        }
    }

    /// Records what the remote of a flow has sent. Returns the listener to send it back with.
    pub fn replied(
        &mut self,
        key: Key,
        segments: Segments<'_>,
        counts: &mut TurnCounts,
        turn: &mut Turn<'_>,
    ) -> Option<Key> {
        self.table.touch(key.slot(), turn.now);
        let flow = &mut self.table.get(key.slot())?.flow;
        flow.unanswered = false;
        counts.received(key.at(1), segments, || flow.remote.peer(), turn);
        Some(flow.listener)
    }

    /// Counts bytes that were sent back to the source of a flow.
    pub fn add_down(&mut self, slot: usize, bytes: u64) {
        if let Some(entry) = self.table.get(slot) {
            entry.flow.down += bytes;
        }
    }

    /// Records that the remote of a flow has refused a datagram.
    pub fn remote_refused(&mut self, slot: usize, fault: SysError) {
        if let Some(entry) = self.table.get(slot) {
            entry.flow.refused = Some(fault);
            entry.flow.unanswered = false;
        }
    }

    /// Sends the first datagrams of a train to the flow's remote. Returns that part and the result.
    /// If the remote refuses, it is redialed and the part is sent once more.
    fn send_with_retry<'a>(
        &mut self,
        slot: usize,
        listener: &DatagramListener,
        segments: Segments<'a>,
        counts: &mut TurnCounts,
        cx: &mut DatagramCx<'_, '_>,
    ) -> (Segments<'a>, Result<(), DropReason>) {
        self.redial(slot, listener, cx);
        let (part, sent) = self.send(slot, segments, counts, cx.turn);
        let Err(why @ DropReason::Refused(_)) = sent else { return (part, sent) };
        // UDP reports the refusal of an earlier datagram here. This one was not sent.
        if self.remote(slot).is_some_and(Remote::is_inet) {
            let key = self.key(slot).at(1);
            cx.turn.on(key, &Event::Dropped { bytes: None, from: None, why });
        }
        self.redial(slot, listener, cx);
        self.send(slot, segments, counts, cx.turn)
    }

    fn send<'a>(
        &mut self,
        slot: usize,
        segments: Segments<'a>,
        counts: &mut TurnCounts,
        turn: &mut Turn<'_>,
    ) -> (Segments<'a>, Result<(), DropReason>) {
        let Some(entry) = self.table.get(slot) else { return (segments, Err(DropReason::NoWay)) };
        let (key, flow) = (Key::flow(entry.id, slot).at(1), &mut entry.flow);
        let (part, sent) = flow.port.send(segments, None);
        let sent = sent.map_err(|error| why(&error));
        match sent {
            Ok(()) => {
                flow.up += part.bytes().len() as u64;
                flow.unanswered = true;
                counts.sent(key, part, || flow.remote.peer(), turn);
            }
            Err(DropReason::Refused(fault)) => flow.refused = Some(fault),
            Err(_) => {}
        }
        (part, sent)
    }

    /// Connects a refused flow to the next remote that can be connected to.
    fn redial(&mut self, slot: usize, listener: &DatagramListener, cx: &mut DatagramCx<'_, '_>) {
        let Some(entry) = self.table.peek(slot) else { return };
        let Some(fault) = entry.flow.refused else { return };
        let route = self.table.route(entry.list);
        let Some(entry) = self.table.get(slot) else { return };
        let (key, flow) = (Key::flow(entry.id, slot), &mut entry.flow);
        // The targets may have changed since the flow was opened.
        let targets = cx.routes[route].pool.selection(flow.first);
        let remotes = remotes(&targets, &listener.local, cx.names);
        // A single UDP remote may answer again, and would take a new socket for another client.
        if remotes.len() == 1 && remotes[0] == flow.remote && flow.remote.is_inet() {
            flow.refused = None;
            return;
        }
        let last = remotes.iter().position(|remote| *remote == flow.remote);
        let Ok((socket, at)) = dial(&remotes, last.map_or(0, |last| last + 1)) else { return };
        let target = &flow.remote.to_string();
        let (peer, left) = (entry.source.peer(), remotes.len() - usize::from(last.is_some()));
        let client = Some(Client { peer: &peer, listen: &listener.address });
        cx.turn.on(key.at(1), &Event::DialFailed { target, fault, left, client });
        flow.port.deregister_socket(cx.registry);
        flow.port.replace_socket(socket);
        // A socket that cannot be registered can still send. The next datagram redials.
        let registered = flow.port.register(key.at(1), cx.registry);
        flow.refused = registered.err().map(|error| SysError::from(&error));
        flow.remote = remotes[at].clone();
        flow.attempt += 1;
        flow.log_remote(key, cx.turn);
    }
}

// Closing.
impl Flows {
    /// Closes flows that are idle, or exceed a limit that was lowered.
    pub fn expire(&mut self, cx: &mut DatagramCx<'_, '_>) {
        for _ in 0..EXPIRE_BUDGET {
            if let Some(slot) = self.table.overfull() {
                self.close(slot, Reason::Evicted, cx);
                continue;
            }
            let Some(slot) = self.table.expired(cx.turn.now) else { return };
            let waits =
                self.draining && self.table.peek(slot).is_some_and(|entry| entry.flow.unanswered);
            if waits && self.table.park(slot) {
                continue;
            }
            let (deadline, reason) = match self.draining && !waits {
                true => (Deadline::Quiet, Reason::Drained),
                false => (Deadline::Idle, Reason::IdleTimeout),
            };
            cx.turn.step(self.key(slot), || Event::Fired { deadline, again: false });
            self.close(slot, reason, cx);
        }
    }

    /// No flow expires before this time.
    pub fn due(&self) -> Option<Moment> {
        self.table.due()
    }

    /// Starts the drain: no new flows are opened. A flow whose last datagram was answered is closed
    /// after `idle`; one that waits for an answer keeps its timeout.
    pub fn drain(&mut self, idle: Duration) {
        self.draining = true;
        self.table.limit_idle(idle);
    }

    pub fn close_all(&mut self, reason: Reason, cx: &mut DatagramCx<'_, '_>) {
        while let Some(slot) = self.table.any() {
            self.close(slot, reason, cx);
        }
    }

    /// Closes the flow with this key. Returns whether it was open.
    pub fn close_key(&mut self, key: Key, reason: Reason, cx: &mut DatagramCx<'_, '_>) -> bool {
        let is_open = self.table.peek(key.slot()).is_some_and(|entry| entry.id == key.id);
        if is_open {
            self.close(key.slot(), reason, cx);
        }
        is_open
    }

    /// Closes a flow. The only place where one is removed.
    fn close(&mut self, slot: usize, reason: Reason, cx: &mut DatagramCx<'_, '_>) {
        let key = self.key(slot);
        let Flow { mut port, up, down, opened_at, .. } = self.table.remove(slot).flow;
        port.deregister_socket(cx.registry);
        let ending = Close { reason, first: Side::Proxy, by: CloseKind::Fin };
        let lasted = cx.turn.now.since(opened_at);
        cx.turn.on(key, &Event::Closed { ending, up, down, lasted });
    }
}

// The flow lists of a listener.
impl Flows {
    /// Adds the list of a relay that a listener now belongs to.
    pub fn add_list(&mut self, route: u16, policy: &Policy) -> usize {
        self.table.add_list(route, policy.udp_flows, policy.udp_timeout)
    }

    /// Applies the limit and the idle timeout of a policy to the flows of a listener's route.
    pub fn set_policy(&mut self, listener: &DatagramListener, policy: &Policy) {
        if let Some(list) = self.list(listener) {
            self.table.set_limits(list, policy.udp_flows, policy.udp_timeout);
        }
    }

    /// Removes the lists without flows, except those of the route `kept`.
    pub fn remove_empty_lists(&mut self, lists: &mut Vec<usize>, kept: Option<u16>) {
        lists.retain(|list| {
            let is_kept = kept == Some(self.table.route(*list)) || self.table.list_len(*list) > 0;
            if !is_kept {
                self.table.remove_list(*list);
            }
            is_kept
        });
    }

    /// The routes that the flows of these lists were opened by.
    pub fn routes(&self, lists: &[usize]) -> impl Iterator<Item = u16> {
        lists.iter().map(|list| self.table.route(*list))
    }

    /// The list of the listener's present route. None if that is no relay.
    fn list(&self, listener: &DatagramListener) -> Option<usize> {
        let is_own = |list: &usize| self.table.route(*list) == listener.route;
        listener.lists.iter().copied().find(is_own)
    }
}

// State.
impl Flows {
    /// The port of the flow with this id. The key of an earlier one leads to none.
    pub fn port(&mut self, key: Key) -> Option<&mut DatagramPort> {
        let entry = self.table.get(key.slot())?;
        (entry.id == key.id).then_some(&mut entry.flow.port)
    }

    pub fn source(&self, slot: usize) -> Option<&Remote> {
        self.table.peek(slot).map(|entry| &entry.source)
    }

    pub fn remote(&self, slot: usize) -> Option<&Remote> {
        self.table.peek(slot).map(|entry| &entry.flow.remote)
    }

    /// Number of open flows.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// All slots from here on are empty.
    pub fn slots(&self) -> usize {
        self.table.slots()
    }

    /// The flow in a slot, for those who visit all of them in parts.
    pub fn at_slot(&self, slot: usize) -> Option<FlowView> {
        let entry = self.table.peek(slot)?;
        let flow = &entry.flow;
        Some(FlowView {
            key: Key::flow(entry.id, slot),
            route: self.table.route(entry.list),
            listener: flow.listener,
            source: entry.source.peer(),
            target: flow.remote.to_string(),
            opened_at: flow.opened_at,
            active: entry.active,
            received: flow.up,
            sent: flow.down,
        })
    }

    /// The key of the flow in a slot, and its route.
    pub fn route_at(&self, slot: usize) -> Option<(Key, u16)> {
        let entry = self.table.peek(slot)?;
        Some((Key::flow(entry.id, slot), self.table.route(entry.list)))
    }

    /// Number of open flows of a route.
    pub fn live(&self, route: u16) -> usize {
        self.table.live(route)
    }

    /// Bytes moved by the open flows so far: from their sources, and to them.
    pub fn moved(&self) -> (u64, u64) {
        let flows = self.table.iter().map(|(_, entry)| &entry.flow);
        flows.fold((0, 0), |(up, down), flow| (up + flow.up, down + flow.down))
    }

    /// Reports the state of each flow.
    pub fn dump(&self, turn: &mut Turn<'_>) {
        for (slot, entry) in self.table.iter() {
            let flow = &entry.flow;
            let seconds = |since: Moment| turn.now.since(since).as_secs_f64();
            let line = format!(
                "#{} {} to {}: age {:.1} s, idle {:.1} s, {} B up, {} B down, queued {}",
                entry.id,
                entry.source,
                flow.remote,
                seconds(flow.opened_at),
                seconds(entry.active),
                flow.up,
                flow.down,
                flow.port.queued
            );
            turn.on(Key::flow(entry.id, slot), &Event::Dump { line: &line });
        }
    }

    /// The key of a flow at end 0, its source. Its own socket is end 1.
    fn key(&self, slot: usize) -> Key {
        Key::flow(self.table.peek(slot).map_or(0, |entry| entry.id), slot)
    }
}

impl Flow {
    fn log_remote(&self, key: Key, turn: &mut Turn<'_>) {
        let (target, attempt) = (&self.remote.to_string(), self.attempt);
        turn.on(key.at(1), &Event::Dialing { target, attempt });
    }
}

/// Connects a socket to the first remote that allows it, starting at index `first`.
fn dial(remotes: &[Remote], first: usize) -> Result<(DatagramSocket, usize), DropReason> {
    let mut last = DropReason::NoWay;
    for at in (first..first + remotes.len()).map(|at| at % remotes.len()) {
        match DatagramSocket::connected(&remotes[at]) {
            Ok(socket) => return Ok((socket, at)),
            Err(error) => last = why(&error),
        }
    }
    Err(last)
}

/// Returns the remotes of a selection, each once, in the order in which they are tried. `listener`
/// is left out.
fn remotes(
    targets: &Selection,
    listener: &Remote,
    names: &mut dyn FnMut(&str, u16) -> Vec<SocketAddr>,
) -> Vec<Remote> {
    let mut remotes: Vec<Remote> = Vec::new();
    for remote in targets.iter().flat_map(|target| resolve(target, names)) {
        if !remote_reaches(&remote, listener) && !remotes.contains(&remote) {
            remotes.push(remote);
        }
        if remotes.len() == REMOTES {
            break;
        }
    }
    remotes
}

fn resolve(target: &Target, names: &mut dyn FnMut(&str, u16) -> Vec<SocketAddr>) -> Vec<Remote> {
    match &target.addr {
        TargetAddr::Known { address, alternative, .. } => {
            [Some(address), alternative.as_ref()].into_iter().flatten().filter_map(remote).collect()
        }
        TargetAddr::Name(name, port) => {
            names(name, *port).into_iter().map(|address| Remote::Inet(address, None)).collect()
        }
    }
}

fn remote(address: &SocketAddress) -> Option<Remote> {
    match address {
        SocketAddress::Inet(address) => Some(Remote::Inet(*address, None)),
        #[cfg(unix)]
        SocketAddress::Unix(name) => Some(Remote::Unix(name.into())),
        #[cfg(not(unix))]
        SocketAddress::Unix(_) => None,
    }
}
