//! All datagram sockets of the loop: the listeners, and the flows of the relays among them.
//! `Datagrams` queues and reads the sockets. Its parts own the rest: the listeners, the flows, the
//! answers of the small services, the send queue.
//!
//! An event only queues its socket. After the batch of events each queued socket is read, with a
//! budget, until the call would block. Sockets are registered for reading alone, because a datagram
//! that cannot be sent at once is dropped and counted. A socket is queued while it may be readable:
//! membership of the queue is the readiness bit.

mod answers;
mod flows;
mod listener;
mod listeners;
mod port;
mod reflection_guard;
mod report;
mod send_queue;
mod source_hash;
mod table;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;

use self::answers::{Answers, Request};
pub use self::flows::FlowView;
use self::flows::Flows;
use self::listeners::{DRAIN_ROUNDS, DatagramListeners};
use self::port::DatagramPort;
pub use self::reflection_guard::is_public;
use self::report::{TurnCounts, is_deregistered, log_dropped, why};
use self::send_queue::{FlushCx, Outgoing, SendQueue};
use super::routes::Routes;
use crate::config::{self, Address, Policy, Service};
use crate::core::event::DropReason;
use crate::core::{ConnIds, Event, Key, Moment, Ready, Reason, Turn};
use crate::net::BoundDatagram;
use crate::net::recv_batch::{Received, RecvBatch, Segments};
use crate::net::remote::Remote;

/// All datagram sockets of the loop. The reactor owns it, and calls `mark`, `run` and `expire`.
#[derive(Debug)]
pub struct Datagrams {
    listeners: DatagramListeners,
    flows: Flows,
    answers: Answers,
    send_queue: SendQueue,
    counts: TurnCounts,
    /// Sockets that may be readable.
    queue: VecDeque<Key>,
    /// Allocated with the first listener.
    batch: Option<RecvBatch>,
    /// Consecutive turns in which closing idle flows was postponed.
    delayed: u32,
    port_counts: PortCounts,
}

/// What happened to the sockets since the loop was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// Events that arrived for a closed socket.
    pub stale_events: u64,
    /// Times that a socket used up its budget of a turn.
    pub budget_exhausted: u64,
}

/// A message that a source has sent to a listener: one datagram, or a train of them.
struct SourceMessage<'a> {
    /// Its index in the batch.
    index: usize,
    from: &'a Remote,
    segments: Segments<'a>,
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

/// Maximum turns for which closing idle flows is postponed while sockets have more to read. That
/// covers the datagrams in a receive buffer of default size, and a flood cannot postpone it
/// further.
const EXPIRE_DELAY: u32 = 16;

impl Datagrams {
    /// `seed` decides which replies of a loop are dropped, and the length of chargen replies.
    pub fn new(seed: u64) -> Datagrams {
        Datagrams {
            listeners: DatagramListeners::new(),
            flows: Flows::default(),
            answers: Answers::new(seed),
            send_queue: SendQueue::default(),
            counts: TurnCounts::default(),
            queue: VecDeque::new(),
            batch: None,
            delayed: 0,
            port_counts: PortCounts::default(),
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
        if matches!(config.service, Service::Greet { .. } | Service::Hub { .. }) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let key = self.listeners.open(bound, route, registry)?;
        self.batch.get_or_insert_default();
        self.set_route(key, route, config);
        Ok(key)
    }

    /// Hands a socket over to another route. It stays open; it is no longer closing. Its flows go
    /// on as before, and belong to the route that opened them.
    pub fn set_route(&mut self, key: Key, route: u16, config: &config::Route) {
        self.listeners.set_route(key, route, config, &mut self.flows);
    }

    /// Applies the limit and the idle timeout of a policy to the open flows of a socket's route.
    pub fn set_policy(&mut self, key: Key, policy: &Policy) {
        if let Some(listener) = self.listeners.get(key) {
            self.flows.set_policy(listener, policy);
        }
    }

    /// Closes a socket when it is not needed any more. It handles what it has received, within a
    /// budget. Then the datagrams of new sources are dropped, and its flows go on until they are
    /// idle: their replies have to come from its address.
    pub fn close_when_done(&mut self, key: Key) {
        self.listeners.close_when_done(key);
        self.enqueue(key);
    }

    /// Closes a socket that has not been used yet.
    pub fn close_unused(&mut self, key: Key, registry: &Registry) {
        if let Some(listener) = self.listeners.get_mut(key) {
            self.flows.remove_empty_lists(&mut listener.lists, None);
            self.listeners.close(key, registry);
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
            let mut flows = self.flows.routes(&listener.lists);
            listener.route == route || flows.any(|other| other == route)
        })
    }

    /// The route of a socket.
    pub fn route(&self, key: Key) -> Option<u16> {
        self.listeners.get(key).map(|listener| listener.route)
    }

    /// Records an event on the socket of a listener or a flow.
    pub fn mark(&mut self, key: Key, ready: Ready, turn: &mut Turn<'_>) {
        if self.port(key).is_none() {
            self.port_counts.stale_events += 1;
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
        self.flush_batch(&mut batch, cx.turn);
        self.counts.report(cx.turn);
        self.batch = Some(batch);
    }

    /// Closes idle flows, and the closing sockets without flows.
    pub fn expire(&mut self, cx: &mut DatagramCx<'_, '_>) {
        self.expire_flows(cx);
        if self.listeners.has_unsettled() {
            self.listeners.settle(&mut self.flows, cx.registry);
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
        self.flows.expire(cx);
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
        let answering = self
            .listeners
            .iter()
            .filter(|(_, socket)| !cx.routes[socket.route].is_relay() && socket.is_open());
        let answering: Vec<Key> = answering.map(|(key, _)| key).collect();
        answering.iter().for_each(|key| self.close_when_done(*key));
        for _ in 0..DRAIN_ROUNDS {
            if self.queue.is_empty() {
                break;
            }
            self.run(cx);
        }
        self.flows.drain(idle);
        answering.iter().for_each(|key| self.listeners.refuse_new_sources(*key));
        self.listeners.settle(&mut self.flows, cx.registry);
    }

    /// Closes all flows and listeners.
    pub fn close_all(&mut self, reason: Reason, cx: &mut DatagramCx<'_, '_>) {
        self.flows.close_all(reason, cx);
        let keys: Vec<Key> = self.listeners.iter().map(|(key, _)| key).collect();
        keys.into_iter().for_each(|key| self.listeners.close(key, cx.registry));
    }

    /// Number of open flows.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All slots of flows from here on are empty.
    pub fn flow_slots(&self) -> usize {
        self.flows.slots()
    }

    /// The flow in a slot, for those who visit all of them in parts.
    pub fn flow_at(&self, slot: usize) -> Option<FlowView> {
        self.flows.at_slot(slot)
    }

    /// The key of the flow in a slot, and its route.
    pub fn flow_route_at(&self, slot: usize) -> Option<(Key, u16)> {
        self.flows.route_at(slot)
    }

    /// Closes the flow with this key. Returns whether it was open.
    pub fn close_flow(&mut self, key: Key, reason: Reason, cx: &mut DatagramCx<'_, '_>) -> bool {
        let is_open = self.flows.close_key(key, reason, cx);
        self.listeners.settle(&mut self.flows, cx.registry);
        is_open
    }

    /// Each socket with its bound address and its route.
    pub fn keyed_sockets(&self) -> impl Iterator<Item = (Key, &str, u16)> {
        self.listeners.iter().map(|(key, slot)| (key, slot.address.as_str(), slot.route))
    }

    /// The bound address of a socket.
    pub fn address(&self, socket: Key) -> Option<&str> {
        self.listeners.get(socket).map(|slot| slot.address.as_str())
    }

    /// The bound address of each socket, its route, and whether it still takes new sources.
    pub fn sockets(&self) -> impl Iterator<Item = (&str, u16, bool)> {
        self.listeners.iter().map(|(_, slot)| (slot.address.as_str(), slot.route, slot.is_open()))
    }

    /// What happened to the sockets so far.
    pub fn counts(&self) -> PortCounts {
        self.port_counts
    }

    /// Number of queued sockets.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// Bytes moved by the open flows so far: from their sources, and to them.
    pub fn moved(&self) -> (u64, u64) {
        self.flows.moved()
    }

    /// Reports the state of each listener and each flow.
    pub fn dump(&self, routes: &Routes, turn: &mut Turn<'_>) {
        self.listeners.dump(routes, turn);
        self.flows.dump(turn);
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
                self.flush_batch(batch, cx.turn);
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
        self.port_counts.budget_exhausted += 1;
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
            match &received.from {
                _ if key.is_flow() => self.send_back(key, number, segments, batch, cx.turn),
                None => log_dropped(key, segments, None, DropReason::NoWay, cx.turn),
                Some(from) => {
                    self.serve(key, SourceMessage { index: number, from, segments }, batch, cx);
                }
            }
        }
        taken
    }

    /// Handles a message from a source: forwards it with the flow of the source, or answers it. A
    /// flow may be older than the listener's present route.
    fn serve(
        &mut self,
        key: Key,
        message: SourceMessage<'_>,
        batch: &RecvBatch,
        cx: &mut DatagramCx<'_, '_>,
    ) {
        let SourceMessage { from, segments, .. } = message;
        let Some(listener) = self.listeners.get(key) else { return };
        let flow = match self.flows.find(listener, from) {
            Some(slot) => Ok(slot),
            None if cx.routes[listener.route].is_relay() => {
                self.flows.open(key, from, listener, self.listeners.owns(from), cx)
            }
            None if listener.takes_new_sources() => return self.answer(key, message, batch, cx),
            None => return log_dropped(key, segments, Some(from), DropReason::NoWay, cx.turn),
        };
        match flow {
            Ok(slot) => self.flows.forward(slot, listener, segments, &mut self.counts, cx),
            Err(why) => {
                self.counts.received(key, segments, || from.peer(), cx.turn);
                log_dropped(key, segments, Some(from), why, cx.turn);
            }
        }
    }

    /// Answers a message on the listener of a small service, or reports it as dropped.
    fn answer(
        &mut self,
        key: Key,
        message: SourceMessage<'_>,
        batch: &RecvBatch,
        cx: &mut DatagramCx<'_, '_>,
    ) {
        let SourceMessage { index, from, segments } = message;
        self.counts.received(key, segments, || from.peer(), cx.turn);
        self.select_sender(key, batch, cx.turn);
        let Some(listener) = self.listeners.get(key) else { return };
        let route = &cx.routes[listener.route].config;
        let is_echo = match route.service {
            Service::Echo => true,
            Service::Chargen | Service::Daytime | Service::Time | Service::Whoami => false,
            // Discard never replies, greet and hub have no datagram listeners, a relay has flows.
            Service::Discard | Service::Greet { .. } | Service::Relay(_) | Service::Hub { .. } => {
                return;
            }
        };
        let request = Request {
            from,
            from_ourselves: self.listeners.owns(from),
            local: &listener.local,
            route,
            unix_seconds: cx.unix_seconds,
        };
        if !is_echo {
            for datagram in segments.datagrams() {
                let sent = self.answers.reply(&request, datagram).and_then(|reply| {
                    listener.port.send_one(&reply, from).map_err(|error| why(&error))?;
                    self.counts.sent(key, Segments::one(&reply), || from.peer(), cx.turn);
                    Ok(())
                });
                if let Err(why) = sent {
                    log_dropped(key, Segments::one(datagram), Some(from), why, cx.turn);
                }
            }
            return;
        }
        // A train is sent back as a train, without the datagrams that must not be answered.
        let to_sender = |part| Outgoing { received: index, part, flow: None };
        let mut first = 0;
        for (number, datagram) in segments.datagrams().enumerate() {
            if let Err(why) = self.answers.permit(&request, datagram, datagram) {
                self.send_queue.push(to_sender(first..number));
                log_dropped(key, Segments::one(datagram), Some(from), why, cx.turn);
                first = number + 1;
            }
        }
        self.send_queue.push(to_sender(first..segments.len()));
    }

    /// Sends what a target sent to the socket of a flow back to its source.
    fn send_back(
        &mut self,
        flow: Key,
        received: usize,
        segments: Segments<'_>,
        batch: &RecvBatch,
        turn: &mut Turn<'_>,
    ) {
        let Some(listener) = self.flows.replied(flow, segments, &mut self.counts, turn) else {
            return;
        };
        self.select_sender(listener, batch, turn);
        let (part, flow) = (0..segments.len(), Some(flow.at(0)));
        self.send_queue.push(Outgoing { received, part, flow });
    }

    /// Selects the listener that sends what is queued next.
    fn select_sender(&mut self, listener: Key, batch: &RecvBatch, turn: &mut Turn<'_>) {
        let Datagrams { listeners, flows, counts, .. } = self;
        self.send_queue.select(listener, &mut FlushCx { batch, listeners, flows, counts, turn });
    }

    /// Sends the queue, then clears the batch that the queued datagrams are stored in.
    fn flush_batch(&mut self, batch: &mut RecvBatch, turn: &mut Turn<'_>) {
        let Datagrams { listeners, flows, counts, .. } = self;
        self.send_queue.flush(&mut FlushCx { batch, listeners, flows, counts, turn });
        batch.clear();
    }

    /// Handles an error that a receive call returned: it concerns a datagram that was sent before.
    fn receive_failed(&mut self, key: Key, error: &io::Error, cx: &mut DatagramCx<'_, '_>) {
        let why = why(error);
        cx.turn.on(key, &Event::Dropped { bytes: None, from: None, why });
        if let DropReason::Refused(fault) = why
            && key.is_flow()
        {
            self.flows.remote_refused(key.slot(), fault);
        }
    }

    /// The sender of a message on the socket of a listener or a flow.
    fn sender<'a>(&'a self, key: Key, received: &'a Received) -> Option<&'a Remote> {
        match key.is_flow() {
            true => self.flows.remote(key.slot()),
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
        match key.is_flow() {
            true => self.flows.port(key),
            false => self.listeners.get_mut(key).map(|listener| &mut listener.port),
        }
    }
}
