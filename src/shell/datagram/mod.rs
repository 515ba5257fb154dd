//! Datagrams: every door that takes them, and the flows of the relays among these doors.
//!
//! As everywhere: mark first, then drive. An event only queues a socket; after the batch each
//! queued socket is read, with a budget, until the call would block. A socket is registered for
//! reading alone: a datagram that cannot go out at once is dropped and counted, so nobody ever
//! waits to write. And as long as it may be readable it is queued: the queue is the readiness bit.

mod answer;
mod listener;
mod loss;
mod port;
mod reflection_guard;
mod relay;
mod send_queue;
mod service;
mod source_hash;
mod table;
mod traffic;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use mio::Registry;

use self::listener::DatagramListener;
use self::loss::{is_forgotten, log_dropped, why};
use self::port::DatagramPort;
use self::reflection_guard::ReflectionGuard;
pub use self::reflection_guard::is_public;
use self::relay::Flow;
use self::send_queue::SendQueue;
use self::service::{DatagramService, Relay};
use self::table::Table;
use self::traffic::Traffic;
use super::BoundDatagram;
use super::remote::Remote;
use super::room::{Received, Room};
use crate::core::event::DropReason;
use crate::core::{ConnIds, Deadline, Event, Key, Moment, Observer, Random, Ready, Reason};
use crate::plan::{Route, Service};

/// All datagram sockets of the loop. Owned by the reactor, which marks, runs and expires it.
#[derive(Debug)]
pub struct Datagrams {
    /// By the slot of the door's key.
    listeners: Vec<Option<DatagramListener>>,
    flows: Table<Remote, Flow>,
    queue: VecDeque<Key>,
    guard: ReflectionGuard,
    random: Random,
    traffic: Traffic,
    send_queue: SendQueue,
    /// Made with the first door.
    room: Option<Room>,
    draining: bool,
    /// For how many rounds in a row the closing of idle flows has waited.
    delayed: u32,
}

/// What the collection needs of the world, for one call.
pub struct Context<'a> {
    pub now: Moment,
    /// The time of day, for those who ask for it.
    pub unix_seconds: i64,
    pub registry: &'a Registry,
    pub conn_ids: &'a mut ConnIds,
    /// The addresses of a name as far as they are known now. None: the datagram that asked is lost.
    pub names: &'a mut dyn FnMut(&str, u16) -> Vec<SocketAddr>,
    pub seen: &'a mut dyn Observer,
}

/// So many datagrams are taken from one socket in one turn: at a few microseconds each, no other
/// socket waits for longer than about a millisecond.
const BUDGET: u32 = 64;

/// So many flows are closed in one turn; the rest in the next one.
const EXPIRE_BUDGET: usize = 256;

/// Rounds in which a socket that is about to close answers what it has received.
const DRAIN_ROUNDS: usize = 16;

/// Maximum rounds in which the closing of idle flows waits for sockets that have more to read: as
/// many datagrams as a receive buffer of the default size holds. A flood cannot postpone it.
const EXPIRE_DELAY: u32 = 16;

impl Datagrams {
    /// The seed decides which replies of a loop are dropped, and how long the answers of chargen
    /// are.
    pub fn new(seed: u64) -> Datagrams {
        Datagrams {
            listeners: Vec::new(),
            flows: Table::default(),
            queue: VecDeque::new(),
            guard: ReflectionGuard::new(seed),
            random: Random::new(!seed),
            traffic: Traffic::default(),
            send_queue: SendQueue::default(),
            room: None,
            draining: false,
            delayed: 0,
        }
    }

    /// Opens a door for a route. Its socket is registered here, under the door's key: for reading
    /// alone, as nobody waits to write.
    pub fn add(
        &mut self,
        bound: BoundDatagram,
        (number, route): (u16, &Route),
        key: Key,
        registry: &Registry,
    ) -> io::Result<()> {
        let duty = self.duty(route)?;
        let listener = DatagramListener::open(bound, number, duty, key, registry)?;
        if let Some(local) = listener.local.inet() {
            self.guard.add(local);
        }
        self.room.get_or_insert_default();
        if self.listeners.len() <= key.slot() {
            self.listeners.resize_with(key.slot() + 1, || None);
        }
        self.listeners[key.slot()] = Some(listener);
        Ok(())
    }

    /// The system named a socket: a door, or the one of a flow.
    pub fn mark(&mut self, key: Key, ready: Ready, seen: &mut dyn Observer) {
        if self.port(key).is_none() {
            return self.traffic.step(key, &Event::Stale, seen);
        }
        self.traffic.step(key, &Event::Marked { ready }, seen);
        // An error comes out of a read, so it is reason enough to try one.
        if ready.any(Ready::READ.with(Ready::READ_CLOSED).with(Ready::ERROR)) {
            self.enqueue(key);
        }
    }

    /// Drives each queued socket once.
    pub fn run(&mut self, cx: &mut Context<'_>) {
        let Some(mut room) = self.room.take() else { return };
        self.traffic.steps = cx.seen.wants_steps();
        for _ in 0..self.queue.len() {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(port) = self.port(key) else { continue };
            port.queued = false;
            if self.drive(key, &mut room, cx) {
                self.enqueue(key);
            }
        }
        self.make_room(&mut room, cx);
        self.traffic.tell(cx.seen);
        self.room = Some(room);
    }

    /// Closes the flows that were idle for too long. Datagrams of such a flow may still wait in a
    /// socket that has more to read, so that is read first.
    pub fn expire(&mut self, cx: &mut Context<'_>) {
        if !self.is_due(cx.now) {
            return;
        }
        if !self.queue.is_empty() && self.delayed < EXPIRE_DELAY {
            self.delayed += 1;
            return;
        }
        self.delayed = 0;
        for _ in 0..EXPIRE_BUDGET {
            let Some(slot) = self.flows.expired(cx.now) else { return };
            let key = self.flow_key(slot);
            let waits = self.draining && self.flows.get(slot).is_some_and(|at| at.flow.unanswered);
            if waits && self.flows.park(slot) {
                continue;
            }
            let (deadline, reason) = match self.draining && !waits {
                true => (Deadline::Quiet, Reason::Drained),
                false => (Deadline::Idle, Reason::IdleTimeout),
            };
            cx.seen.on(key, &Event::Fired { deadline, again: false });
            self.close(slot, reason, cx);
        }
    }

    /// How long the loop may sleep: not at all while a socket is queued; without limit when no flow
    /// is left to expire.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        match self.queue.is_empty() {
            false => Some(Duration::ZERO),
            true => self.flows.due().map(|due| due.since(now)),
        }
    }

    /// Whether a flow may have been idle for too long.
    pub fn is_due(&self, now: Moment) -> bool {
        self.flows.due().is_some_and(|due| due <= now)
    }

    /// From now on no flow is opened. One whose last datagram was answered is closed when it was
    /// quiet for `idle`; one that waits for an answer keeps its timeout. Sockets without flows
    /// answer what they have received, and close.
    pub fn drain(&mut self, idle: Duration, cx: &mut Context<'_>) {
        let answers =
            |listener: &DatagramListener| matches!(listener.duty, DatagramService::Answer { .. });
        for slot in 0..self.listeners.len() {
            if self.listeners[slot].as_ref().is_some_and(answers) {
                self.enqueue(Key::source(slot));
            }
        }
        for _ in 0..DRAIN_ROUNDS {
            self.run(cx);
        }
        self.draining = true;
        self.flows.hasten(idle);
        self.close_listeners(answers, cx.registry);
    }

    /// Closes all that is left.
    pub fn close_all(&mut self, reason: Reason, cx: &mut Context<'_>) {
        while let Some(slot) = self.flows.any() {
            self.close(slot, reason, cx);
        }
        self.close_listeners(|_| true, cx.registry);
    }

    /// How many flows there are.
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many sockets wait for their turn.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// What an operator should hear about the doors, a sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let listeners = self.listeners.iter().flatten();
        listeners.filter_map(DatagramListener::warning).collect()
    }

    /// Bytes that the open flows have moved so far, from their sources and to them.
    pub fn moved(&self) -> (u64, u64) {
        let flows = self.flows.iter().map(|(_, entry)| &entry.flow);
        flows.fold((0, 0), |(up, down), flow| (up + flow.up, down + flow.down))
    }

    /// Tells of each door and each flow.
    pub fn dump(&self, now: Moment, seen: &mut dyn Observer) {
        for (slot, listener) in self.listeners.iter().enumerate() {
            let Some(listener) = listener else { continue };
            let (address, service) = (&listener.address, listener.duty.name());
            let line = format!("door {address} {service}, queued {}", listener.port.queued);
            seen.on(Key::source(slot), &Event::Dump { line: &line });
        }
        for (slot, entry) in self.flows.iter() {
            let flow = &entry.flow;
            let seconds = |since: Moment| now.since(since).as_secs_f64();
            let line = format!(
                "#{} {} to {}: age {:.1} s, idle {:.1} s, {} B up, {} B down, queued {}",
                entry.id,
                entry.source,
                flow.remote,
                seconds(flow.born),
                seconds(entry.active),
                flow.up,
                flow.down,
                flow.port.queued
            );
            seen.on(Key::flow(entry.id, slot), &Event::Dump { line: &line });
        }
    }

    fn duty(&mut self, route: &Route) -> io::Result<DatagramService> {
        let policy = &route.policy;
        match &route.service {
            Service::Greet { .. } => Err(io::ErrorKind::Unsupported.into()),
            Service::Relay(targets) => {
                let list = self.flows.list(policy.udp_flows, policy.udp_timeout);
                Ok(DatagramService::Relay(Relay::new(list, targets.clone())))
            }
            service => Ok(DatagramService::Answer {
                service: service.clone(),
                any_port: policy.udp_any_port,
            }),
        }
    }

    /// Takes datagrams from a socket until none is left or the budget is used up. True: go on in
    /// the next turn.
    fn drive(&mut self, key: Key, room: &mut Room, cx: &mut Context<'_>) -> bool {
        let (mut taken, mut faults) = (0, 0);
        while taken < BUDGET {
            let Some(port) = self.port(key) else { return false };
            // The answers of several flows may go out in one call. What comes in at a door fills
            // a call anyway, and may close flows.
            let is_alone = key.is_source() || !port.socket.is_for_many();
            if is_alone || room.places() < 2 || room.is_heavy() {
                self.make_room(room, cx);
            }
            let Some(port) = self.port(key) else { return false };
            match port.receive(room) {
                Ok(is_drained) => {
                    taken += self.received(key, room, cx).max(1);
                    if is_drained {
                        self.traffic.step(key, &Event::ReadBlocked, cx.seen);
                        return false;
                    }
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        self.traffic.step(key, &Event::ReadBlocked, cx.seen);
                        return false;
                    }
                    _ if is_forgotten(&error) => {
                        self.register_anew(key, cx);
                        return false;
                    }
                    io::ErrorKind::Interrupted => {
                        taken += 1;
                        self.traffic.step(key, &Event::Interrupted, cx.seen);
                    }
                    _ => {
                        (taken, faults) = (taken + 1, faults + 1);
                        self.failed(key, &error, cx);
                    }
                },
            }
        }
        self.traffic.step(key, &Event::Yielded { steps: taken }, cx.seen);
        // One with nothing to tell but errors must not keep the loop awake: it waits to be named.
        faults < BUDGET
    }

    /// Datagrams came in: so many.
    fn received(&mut self, key: Key, room: &Room, cx: &mut Context<'_>) -> u32 {
        let (slot, mut taken) = (key.slot(), 0);
        for number in room.fresh() {
            let received = &room.all_received()[number];
            let Some(train) = room.train(received) else {
                taken += 1;
                let from = self.sender(key, received).map(Remote::peer);
                let (bytes, from) = (Some(received.bytes), from.as_ref());
                cx.seen.on(key, &Event::Dropped { bytes, from, why: DropReason::Long });
                continue;
            };
            taken += train.len() as u32;
            match (&received.from, key.is_flow()) {
                (_, true) => self.backward(slot, number, train, room, cx),
                (None, false) => log_dropped(key, train, None, DropReason::NoWay, cx),
                (Some(from), false) => match &self.listeners[slot] {
                    Some(DatagramListener { duty: DatagramService::Relay(_), .. }) => {
                        self.forward(slot, from, train, cx)
                    }
                    _ => self.answer(slot, number, (from, train), room, cx),
                },
            }
        }
        taken
    }

    /// Sends what waits to go out, after which what has arrived may be forgotten.
    fn make_room(&mut self, room: &mut Room, cx: &mut Context<'_>) {
        self.flush_send_queue(room, cx);
        room.clear();
    }

    /// An error came out of a socket instead of a datagram: it tells of one that was sent before.
    fn failed(&mut self, key: Key, error: &io::Error, cx: &mut Context<'_>) {
        let why = why(error);
        cx.seen.on(key, &Event::Dropped { bytes: None, from: None, why });
        if let DropReason::Refused(fault) = why
            && key.is_flow()
        {
            self.refused(key.slot(), fault);
        }
    }

    /// Who sent what came in at this door, or at this flow's socket.
    fn sender<'a>(&'a self, key: Key, received: &'a Received) -> Option<&'a Remote> {
        match key.is_flow() {
            true => self.flows.peek(key.slot()).map(|entry| &entry.flow.remote),
            false => received.from.as_ref(),
        }
    }

    /// Lets the poll know a socket again that it has forgotten. If anything waits there, it says
    /// so.
    fn register_anew(&mut self, key: Key, cx: &mut Context<'_>) {
        let Some(port) = self.port(key) else { return };
        match port.register_anew(key, cx.registry) {
            Ok(()) => self.traffic.step(key, &Event::ReadBlocked, cx.seen),
            Err(error) => self.failed(key, &error, cx),
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

    /// The only way from a key to a socket: it compares the generations.
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
                listener.port.hang_up(registry);
                if let Some(local) = listener.local.inet() {
                    self.guard.remove(local);
                }
            }
        }
    }
}
