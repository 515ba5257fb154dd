//! All datagram sockets of the loop: the listeners, and the flows of the relays among them.
//!
//! An event only queues its socket. After the batch of events each queued socket is read, with a
//! budget, until the call would block. Sockets are registered for reading alone, because a datagram
//! that cannot be sent at once is dropped and counted. A socket is queued while it may be readable:
//! membership of the queue is the readiness bit.

mod answer;
mod drops;
mod listener;
mod port;
mod reflection_guard;
mod relay;
mod remotes;
mod send_queue;
mod source_hash;
mod table;
mod turn_counts;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;

use self::drops::{is_deregistered, log_dropped, why};
use self::listener::{DatagramListener, Phase};
use self::port::DatagramPort;
use self::reflection_guard::ReflectionGuard;
pub use self::reflection_guard::is_public;
use self::relay::Flow;
use self::send_queue::SendQueue;
use self::table::Table;
use self::turn_counts::TurnCounts;
use super::routes::Routes;
use super::sources::Sources;
use crate::config::{self, Address, Policy, Service};
use crate::core::event::DropReason;
use crate::core::{ConnIds, Deadline, Event, Key, Moment, Random, Ready, Reason, SourceKind, Turn};
use crate::net::BoundDatagram;
use crate::net::recv_batch::{Received, RecvBatch};
use crate::net::remote::Remote;

/// All datagram sockets of the loop. The reactor owns it, and calls `mark`, `run` and `expire`.
#[derive(Debug)]
pub struct Datagrams {
    listeners: Sources<DatagramListener>,
    /// Listeners that are closing, or have flows of an earlier route.
    unsettled: Vec<Key>,
    flows: Table<Remote, Flow>,
    queue: VecDeque<Key>,
    guard: ReflectionGuard,
    random: Random,
    turn_counts: TurnCounts,
    send_queue: SendQueue,
    /// Allocated with the first listener.
    batch: Option<RecvBatch>,
    draining: bool,
    /// Consecutive turns in which closing idle flows was postponed.
    delayed: u32,
}

/// What `Datagrams` needs from the rest of the loop for one call.
pub struct DatagramCx<'a, 't> {
    /// The time of day, for the services that report it.
    pub unix_seconds: i64,
    pub registry: &'a Registry,
    pub routes: &'a mut Routes,
    pub conn_ids: &'a mut ConnIds,
    /// Returns the addresses of a name that are known now. If there are none, the datagram is lost.
    pub names: &'a mut dyn FnMut(&str, u16) -> Vec<SocketAddr>,
    pub turn: &'a mut Turn<'t>,
}

/// Maximum datagrams read from one socket per turn. At a few microseconds each, a socket delays the
/// others by about a millisecond.
const BUDGET: u32 = 64;

/// Maximum flows closed per turn for being idle.
const EXPIRE_BUDGET: usize = 256;

/// Maximum turns in which a socket without flows answers what it has received before it is closed.
const DRAIN_ROUNDS: usize = 16;

/// Maximum turns for which closing idle flows is postponed while sockets have more to read. That
/// covers the datagrams in a receive buffer of default size, and a flood cannot postpone it
/// further.
const EXPIRE_DELAY: u32 = 16;

impl Datagrams {
    /// `seed` decides which replies of a loop are dropped, and the length of chargen replies.
    pub fn new(seed: u64) -> Datagrams {
        Datagrams {
            listeners: Sources::new(SourceKind::Datagram),
            unsettled: Vec::new(),
            flows: Table::default(),
            queue: VecDeque::new(),
            guard: ReflectionGuard::new(seed),
            random: Random::new(!seed),
            turn_counts: TurnCounts::default(),
            send_queue: SendQueue::default(),
            batch: None,
            draining: false,
            delayed: 0,
        }
    }

    /// Registers a bound socket of a route, and returns its key.
    pub fn open(
        &mut self,
        bound: BoundDatagram,
        route: u16,
        config: &config::Route,
        registry: &Registry,
    ) -> io::Result<Key> {
        if matches!(config.service, Service::Greet { .. }) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let key = self.listeners.vacant().ok_or(io::ErrorKind::QuotaExceeded)?;
        let listener = DatagramListener::open(bound, route, key, registry)?;
        if let Some(local) = listener.local.inet() {
            self.guard.add(local);
        }
        self.batch.get_or_insert_default();
        self.listeners.insert(key, listener);
        self.set_route(key, route, config);
        Ok(key)
    }

    /// Hands a socket over to another route. It stays open; it is no longer closing. Its flows go
    /// on as before, and belong to the route that opened them.
    pub fn set_route(&mut self, key: Key, route: u16, config: &config::Route) {
        let Some(listener) = self.listeners.get_mut(key) else { return };
        (listener.route, listener.phase) = (route, Phase::Open);
        if !listener.lists.is_empty() && !self.unsettled.contains(&key) {
            self.unsettled.push(key);
        }
        if let Service::Relay(_) = config.service {
            let Policy { udp_flows, udp_timeout, .. } = config.policy;
            listener.lists.push(self.flows.add_list(route, udp_flows, udp_timeout));
        }
    }

    /// Applies the limit and the idle timeout of a policy to the open flows of a socket's route.
    pub fn set_policy(&mut self, key: Key, policy: &Policy) {
        let listener = self.listeners.get(key);
        if let Some(list) = listener.and_then(|listener| self.list(listener)) {
            self.flows.set_limits(list, policy.udp_flows, policy.udp_timeout);
        }
    }

    /// Closes a socket when it is not needed any more. It handles what it has received, within a
    /// budget. Then the datagrams of new sources are dropped, and its flows go on until they are
    /// idle: their replies have to come from its address.
    pub fn close_when_done(&mut self, key: Key) {
        let Some(listener) = self.listeners.get_mut(key) else { return };
        if listener.phase == Phase::Open {
            listener.phase = Phase::Emptying(DRAIN_ROUNDS);
            if !self.unsettled.contains(&key) {
                self.unsettled.push(key);
            }
        }
        self.enqueue(key);
    }

    /// Closes a socket that has not been used yet.
    pub fn close_unused(&mut self, key: Key, registry: &Registry) {
        if let Some(listener) = self.listeners.get(key) {
            listener.lists.iter().for_each(|list| self.flows.remove_list(*list));
            self.close_listener(key, registry);
        }
    }

    /// The bound address of a socket.
    pub fn at(&self, key: Key) -> Option<&Address> {
        self.listeners.get(key).map(|listener| &listener.at)
    }

    /// A warning for the operator about this service on a socket.
    pub fn warning(&self, key: Key, service: &Service) -> Option<String> {
        self.listeners.get(key)?.warning(service)
    }

    /// Number of open flows of a route.
    pub fn live(&self, route: u16) -> usize {
        self.flows.live(route)
    }

    /// Whether a socket or one of its flows belongs to this route.
    pub fn uses(&self, key: Key, route: u16) -> bool {
        self.listeners.get(key).is_some_and(|listener| {
            let has_flows = |list: &usize| self.flows.route(*list) == route;
            listener.route == route || listener.lists.iter().any(has_flows)
        })
    }

    /// The route of a socket.
    pub fn route(&self, key: Key) -> Option<u16> {
        self.listeners.get(key).map(|listener| listener.route)
    }

    /// Records an event on the socket of a listener or a flow.
    pub fn mark(&mut self, key: Key, ready: Ready, turn: &mut Turn<'_>) {
        if self.port(key).is_none() {
            return turn.step(key, || Event::Stale);
        }
        turn.step(key, || Event::Marked { ready });
        // A read returns the pending error.
        if ready.any(Ready::READ.with(Ready::READ_CLOSED).with(Ready::ERROR)) {
            self.enqueue(key);
        }
    }

    /// Drives each queued socket once.
    pub fn run(&mut self, cx: &mut DatagramCx<'_, '_>) {
        let Some(mut batch) = self.batch.take() else { return };
        for _ in 0..self.queue.len() {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(port) = self.port(key) else { continue };
            port.queued = false;
            if self.drive(key, &mut batch, cx) {
                self.enqueue(key);
            }
        }
        self.flush_batch(&mut batch, cx);
        self.turn_counts.report(cx.turn);
        self.batch = Some(batch);
    }

    /// Closes idle flows, and the closing sockets without flows.
    pub fn expire(&mut self, cx: &mut DatagramCx<'_, '_>) {
        self.expire_flows(cx);
        if !self.unsettled.is_empty() {
            self.settle(cx.registry);
        }
    }

    /// Closes idle flows. Queued sockets are read first: they may hold datagrams of these flows.
    fn expire_flows(&mut self, cx: &mut DatagramCx<'_, '_>) {
        if !self.is_due(cx.turn.now) {
            return;
        }
        if !self.queue.is_empty() && self.delayed < EXPIRE_DELAY {
            self.delayed += 1;
            return;
        }
        self.delayed = 0;
        for _ in 0..EXPIRE_BUDGET {
            if let Some(slot) = self.flows.overfull() {
                self.close(slot, Reason::Evicted, cx);
                continue;
            }
            let Some(slot) = self.flows.expired(cx.turn.now) else { return };
            let key = self.flow_key(slot);
            let waits =
                self.draining && self.flows.get(slot).is_some_and(|entry| entry.flow.unanswered);
            if waits && self.flows.park(slot) {
                continue;
            }
            let (deadline, reason) = match self.draining && !waits {
                true => (Deadline::Quiet, Reason::Drained),
                false => (Deadline::Idle, Reason::IdleTimeout),
            };
            cx.turn.step(key, || Event::Fired { deadline, again: false });
            self.close(slot, reason, cx);
        }
    }

    /// Returns how long the loop may sleep: zero while a socket is queued, no limit if no flow can
    /// expire.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        match self.queue.is_empty() {
            false => Some(Duration::ZERO),
            true => self.flows.due().map(|due| due.since(now)),
        }
    }

    /// Whether a flow may have reached its idle timeout.
    pub fn is_due(&self, now: Moment) -> bool {
        self.flows.due().is_some_and(|due| due <= now)
    }

    /// Starts the drain: no new flows are opened. A flow whose last datagram was answered is closed
    /// after `idle`; one that waits for an answer keeps its timeout. Sockets without flows answer
    /// what they have received, and close.
    pub fn drain(&mut self, idle: Duration, cx: &mut DatagramCx<'_, '_>) {
        let answering = self.listeners.iter().filter(|(_, socket)| {
            !cx.routes[socket.route].is_relay() && socket.phase == Phase::Open
        });
        let answering: Vec<Key> = answering.map(|(key, _)| key).collect();
        answering.iter().for_each(|key| self.close_when_done(*key));
        for _ in 0..DRAIN_ROUNDS {
            if self.queue.is_empty() {
                break;
            }
            self.run(cx);
        }
        self.draining = true;
        self.flows.limit_idle(idle);
        for key in answering {
            if let Some(listener) = self.listeners.get_mut(key) {
                listener.phase = Phase::Closing;
            }
        }
        self.settle(cx.registry);
    }

    /// Closes all flows and listeners.
    pub fn close_all(&mut self, reason: Reason, cx: &mut DatagramCx<'_, '_>) {
        while let Some(slot) = self.flows.any() {
            self.close(slot, reason, cx);
        }
        let keys: Vec<Key> = self.listeners.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.close_listener(key, cx.registry));
    }

    /// Number of open flows.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of queued sockets.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Bytes moved by the open flows so far: from their sources, and to them.
    pub fn moved(&self) -> (u64, u64) {
        let flows = self.flows.iter().map(|(_, entry)| &entry.flow);
        flows.fold((0, 0), |(up, down), flow| (up + flow.up, down + flow.down))
    }

    /// Reports the state of each listener and each flow.
    pub fn dump(&self, routes: &Routes, turn: &mut Turn<'_>) {
        for (key, listener) in self.listeners.iter() {
            let service = routes[listener.route].config.service.kind();
            let (address, queued) = (&listener.address, listener.port.queued);
            let closing = if listener.phase == Phase::Open { "" } else { ", closing" };
            let line = format!("listener {address} {service}, queued {queued}{closing}");
            turn.on(key, &Event::Dump { line: &line });
        }
        for (slot, entry) in self.flows.iter() {
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

    /// Reads a socket until it is drained or the budget is used up. Returns true if it is to be
    /// queued again.
    fn drive(&mut self, key: Key, batch: &mut RecvBatch, cx: &mut DatagramCx<'_, '_>) -> bool {
        let (mut taken, mut faults) = (0, 0);
        while taken < BUDGET {
            let Some(port) = self.port(key) else { return false };
            // The replies of several flows may be sent in one call. A listener fills a call by
            // itself, and its datagrams may close flows.
            let is_alone = key.is_source() || !port.socket.supports_batches();
            if is_alone || batch.free_slots() < 2 || batch.should_flush() {
                self.flush_batch(batch, cx);
            }
            let Some(port) = self.port(key) else { return false };
            match port.receive(batch) {
                Ok(is_drained) => {
                    taken += self.received(key, batch, cx).max(1);
                    if is_drained {
                        cx.turn.step(key, || Event::ReadBlocked);
                        return false;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        cx.turn.step(key, || Event::ReadBlocked);
                        return false;
                    }
                    _ if is_deregistered(&error) => {
                        self.reregister(key, cx);
                        return false;
                    }
                    io::ErrorKind::Interrupted => {
                        taken += 1;
                        cx.turn.step(key, || Event::Interrupted);
                    }
                    _ => {
                        (taken, faults) = (taken + 1, faults + 1);
                        self.receive_failed(key, &error, cx);
                    }
                },
            }
        }
        cx.turn.step(key, || Event::Yielded { steps: taken });
        // A socket that returns nothing but errors must not keep the loop awake: it waits for an
        // event.
        faults < BUDGET
    }

    /// Handles the messages of the last call, and returns how many datagrams they were.
    fn received(&mut self, key: Key, batch: &RecvBatch, cx: &mut DatagramCx<'_, '_>) -> u32 {
        let mut taken = 0;
        for number in batch.fresh() {
            let received = &batch.all_received()[number];
            let Some(segments) = batch.segments(received) else {
                taken += 1;
                let from = self.sender(key, received).map(Remote::peer);
                let (bytes, from) = (Some(received.bytes), from.as_ref());
                cx.turn.on(key, &Event::Dropped { bytes, from, why: DropReason::Long });
                continue;
            };
            taken += segments.len() as u32;
            match (&received.from, key.is_flow()) {
                (_, true) => self.backward(key.slot(), number, segments, batch, cx),
                (None, false) => log_dropped(key, segments, None, DropReason::NoWay, cx),
                (Some(from), false) => {
                    let Some(socket) = self.listeners.get(key) else { continue };
                    // A flow may be older than the listener's present route.
                    if cx.routes[socket.route].is_relay() || self.find(socket, from).is_some() {
                        self.forward(key, from, segments, cx);
                    } else if socket.phase == Phase::Closing {
                        log_dropped(key, segments, Some(from), DropReason::NoWay, cx);
                    } else {
                        self.answer(key, number, (from, segments), batch, cx);
                    }
                }
            }
        }
        taken
    }

    /// Sends the queue, then clears the batch that the queued datagrams are stored in.
    fn flush_batch(&mut self, batch: &mut RecvBatch, cx: &mut DatagramCx<'_, '_>) {
        self.flush_send_queue(batch, cx);
        batch.clear();
    }

    /// Handles an error that a receive call returned: it concerns a datagram that was sent before.
    fn receive_failed(&mut self, key: Key, error: &io::Error, cx: &mut DatagramCx<'_, '_>) {
        let why = why(error);
        cx.turn.on(key, &Event::Dropped { bytes: None, from: None, why });
        if let DropReason::Refused(fault) = why
            && key.is_flow()
        {
            self.remote_refused(key.slot(), fault);
        }
    }

    /// The sender of a message on the socket of a listener or a flow.
    fn sender<'a>(&'a self, key: Key, received: &'a Received) -> Option<&'a Remote> {
        match key.is_flow() {
            true => self.flows.peek(key.slot()).map(|entry| &entry.flow.remote),
            false => received.from.as_ref(),
        }
    }

    /// Registers a socket again that mio has deregistered. mio then reports what is pending there.
    fn reregister(&mut self, key: Key, cx: &mut DatagramCx<'_, '_>) {
        let Some(port) = self.port(key) else { return };
        match port.reregister(key, cx.registry) {
            Ok(()) => cx.turn.step(key, || Event::ReadBlocked),
            Err(error) => self.receive_failed(key, &error, cx),
        }
    }

    fn enqueue(&mut self, key: Key) {
        if let Some(port) = self.port(key)
            && !port.queued
        {
            port.queued = true;
            self.queue.push_back(key);
        }
    }

    /// The only lookup from a key to a socket. It compares the generation.
    fn port(&mut self, key: Key) -> Option<&mut DatagramPort> {
        if key.is_flow() {
            let entry = self.flows.get(key.slot())?;
            return (entry.id == key.id).then_some(&mut entry.flow.port);
        }
        self.listeners.get_mut(key).map(|listener| &mut listener.port)
    }

    /// Takes the next step with each listener that is closing, or has flows of an earlier route.
    fn settle(&mut self, registry: &Registry) {
        let mut keys = mem::take(&mut self.unsettled);
        keys.retain(|key| self.settle_one(*key, registry));
        self.unsettled = keys;
    }

    /// Returns whether the listener is still unsettled.
    fn settle_one(&mut self, key: Key, registry: &Registry) -> bool {
        let Some(listener) = self.listeners.get_mut(key) else { return false };
        listener.phase = match listener.phase {
            Phase::Emptying(turns) if listener.port.queued && turns > 0 => {
                Phase::Emptying(turns - 1)
            }
            Phase::Emptying(_) => Phase::Closing,
            phase => phase,
        };
        let (flows, route, phase) = (&mut self.flows, listener.route, listener.phase);
        listener.lists.retain(|list| {
            let is_over = phase == Phase::Closing || flows.route(*list) != route;
            let is_kept = !is_over || flows.list_len(*list) > 0;
            if !is_kept {
                flows.remove_list(*list);
            }
            is_kept
        });
        if phase == Phase::Closing && listener.lists.is_empty() {
            self.close_listener(key, registry);
            return false;
        }
        phase != Phase::Open || listener.lists.iter().any(|list| flows.route(*list) != route)
    }

    fn close_listener(&mut self, key: Key, registry: &Registry) {
        let Some(mut listener) = self.listeners.remove(key) else { return };
        listener.port.deregister_socket(registry);
        if let Some(local) = listener.local.inet() {
            self.guard.remove(local);
        }
    }
}
