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
mod send_queue;
mod service;
mod source_hash;
mod table;
mod turn_counts;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;

use self::drops::{is_deregistered, log_dropped, why};
use self::listener::DatagramListener;
use self::port::DatagramPort;
use self::reflection_guard::ReflectionGuard;
pub use self::reflection_guard::is_public;
use self::relay::Flow;
use self::send_queue::SendQueue;
use self::service::{DatagramService, Relay};
use self::table::Table;
use self::turn_counts::TurnCounts;
use crate::config::{Route, Service};
use crate::core::event::DropReason;
use crate::core::{ConnIds, Deadline, Event, Key, Moment, Random, Ready, Reason, Turn};
use crate::net::BoundDatagram;
use crate::net::recv_batch::{Received, RecvBatch};
use crate::net::remote::Remote;

/// All datagram sockets of the loop. The reactor owns it, and calls `mark`, `run` and `expire`.
#[derive(Debug)]
pub struct Datagrams {
    /// Indexed by the slot of the listener's key.
    listeners: Vec<Option<DatagramListener>>,
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
            listeners: Vec::new(),
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

    /// Adds the listener of a route, and registers its socket for reading under `key`.
    pub fn add(
        &mut self,
        bound: BoundDatagram,
        (number, route): (u16, &Route),
        key: Key,
        registry: &Registry,
    ) -> io::Result<()> {
        let service = self.service_of(route)?;
        let listener = DatagramListener::open(bound, number, service, key, registry)?;
        if let Some(local) = listener.local.inet() {
            self.guard.add(local);
        }
        self.batch.get_or_insert_default();
        if self.listeners.len() <= key.slot() {
            self.listeners.resize_with(key.slot() + 1, || None);
        }
        self.listeners[key.slot()] = Some(listener);
        Ok(())
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

    /// Closes idle flows. Queued sockets are read first: they may hold datagrams of these flows.
    pub fn expire(&mut self, cx: &mut DatagramCx<'_, '_>) {
        if !self.is_due(cx.turn.now) {
            return;
        }
        if !self.queue.is_empty() && self.delayed < EXPIRE_DELAY {
            self.delayed += 1;
            return;
        }
        self.delayed = 0;
        for _ in 0..EXPIRE_BUDGET {
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
        let answers = |listener: &DatagramListener| {
            matches!(listener.service, DatagramService::Answer { .. })
        };
        for slot in 0..self.listeners.len() {
            if self.listeners[slot].as_ref().is_some_and(answers) {
                self.enqueue(Key::source(slot));
            }
        }
        for _ in 0..DRAIN_ROUNDS {
            if self.queue.is_empty() {
                break;
            }
            self.run(cx);
        }
        self.draining = true;
        self.flows.limit_idle(idle);
        self.close_listeners(answers, cx.registry);
    }

    /// Closes all flows and listeners.
    pub fn close_all(&mut self, reason: Reason, cx: &mut DatagramCx<'_, '_>) {
        while let Some(slot) = self.flows.any() {
            self.close(slot, reason, cx);
        }
        self.close_listeners(|_| true, cx.registry);
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

    /// Warnings for the operator about the listeners, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let listeners = self.listeners.iter().flatten();
        listeners.filter_map(DatagramListener::warning).collect()
    }

    /// Bytes moved by the open flows so far: from their sources, and to them.
    pub fn moved(&self) -> (u64, u64) {
        let flows = self.flows.iter().map(|(_, entry)| &entry.flow);
        flows.fold((0, 0), |(up, down), flow| (up + flow.up, down + flow.down))
    }

    /// Reports the state of each listener and each flow.
    pub fn dump(&self, turn: &mut Turn<'_>) {
        for (slot, listener) in self.listeners.iter().enumerate() {
            let Some(listener) = listener else { continue };
            let (address, service) = (&listener.address, listener.service.kind());
            let line = format!("listener {address} {service}, queued {}", listener.port.queued);
            turn.on(Key::source(slot), &Event::Dump { line: &line });
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

    fn service_of(&mut self, route: &Route) -> io::Result<DatagramService> {
        let policy = &route.policy;
        match &route.service {
            Service::Greet { .. } => Err(io::ErrorKind::Unsupported.into()),
            Service::Relay(targets) => {
                let list = self.flows.add_list(policy.udp_flows, policy.udp_timeout);
                Ok(DatagramService::Relay(Relay::new(list, targets.clone())))
            }
            service => Ok(DatagramService::Answer {
                service: service.clone(),
                any_port: policy.udp_allow_low_ports,
            }),
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
        let (slot, mut taken) = (key.slot(), 0);
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
                (_, true) => self.backward(slot, number, segments, batch, cx),
                (None, false) => log_dropped(key, segments, None, DropReason::NoWay, cx),
                (Some(from), false) => match &self.listeners[slot] {
                    Some(DatagramListener { service: DatagramService::Relay(_), .. }) => {
                        self.forward(slot, from, segments, cx)
                    }
                    _ => self.answer(slot, number, (from, segments), batch, cx),
                },
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
        let listener = self.listeners.get_mut(key.slot()).filter(|_| key.is_source())?;
        listener.as_mut().map(|listener| &mut listener.port)
    }

    fn close_listeners(&mut self, which: impl Fn(&DatagramListener) -> bool, registry: &Registry) {
        for place in &mut self.listeners {
            if let Some(mut listener) = place.take_if(|listener| which(listener)) {
                listener.port.deregister_socket(registry);
                if let Some(local) = listener.local.inet() {
                    self.guard.remove(local);
                }
            }
        }
    }
}
