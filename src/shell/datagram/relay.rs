//! The relay of datagrams: each source has a flow, with a socket of its own to a target. What the
//! target sends there goes back to the source.

use super::door::Door;
use super::duty::Duty;
use super::inlet::Inlet;
use super::loss::{tell_dropped, why};
use super::{Context, Datagrams};
use crate::core::event::{Client, Drop};
use crate::core::{Closing, Ending, Event, Fault, Key, Moment, Reason, Side};
use crate::shell::datagram_socket::DatagramSocket;
use crate::shell::itself::is_ours;
use crate::shell::remote::Remote;
use crate::shell::room::{Room, Train, Wanted};

/// What is kept of one source's traffic.
#[derive(Debug)]
pub(super) struct Flow {
    pub inlet: Inlet,
    pub remote: Remote,
    pub up: u64,
    pub down: u64,
    door: usize,
    pub born: Moment,
    /// The target it began with, and which of the remotes from there on it has now.
    first: usize,
    at: usize,
    attempt: u32,
    /// The remote refused a datagram: the next one may go elsewhere.
    refused: Option<Fault>,
    /// A datagram went to the remote, and nothing has come back since.
    pub unanswered: bool,
}

impl Datagrams {
    /// Passes on what a source sent to the door of a relay.
    pub(super) fn forward(
        &mut self,
        door: usize,
        from: &Remote,
        mut train: Train<'_>,
        cx: &mut Context<'_>,
    ) {
        let slot = match self.find_or_open(door, from, cx) {
            Ok(slot) => slot,
            Err(why) => {
                let key = Key::door(door);
                self.traffic.received(key, train, || from.peer(), cx.seen);
                return tell_dropped(key, train, Some(from), why, cx);
            }
        };
        self.flows.touch(slot, cx.now);
        let key = self.flow_key(slot);
        self.traffic.received(key, train, || from.peer(), cx.seen);
        while !train.is_empty() {
            let (part, sent) = self.pass(slot, train, cx);
            if let Err(why) = sent {
                tell_dropped(key.at(1), part, Some(from), why, cx);
            }
            train = train.after(part.len());
        }
    }

    /// Passes on what a target sent to the socket of a flow.
    pub(super) fn backward(
        &mut self,
        slot: usize,
        arrival: usize,
        train: Train<'_>,
        room: &Room,
        cx: &mut Context<'_>,
    ) {
        let key = self.flow_key(slot);
        self.flows.touch(slot, cx.now);
        let Some(entry) = self.flows.get(slot) else { return };
        let flow = &mut entry.flow;
        flow.unanswered = false;
        self.traffic.received(key.at(1), train, || flow.remote.peer(), cx.seen);
        let door = flow.door;
        self.put(door, (arrival, 0..train.len(), Some(key)), room, cx);
    }

    /// The remote of this flow has refused a datagram.
    pub(super) fn refused(&mut self, slot: usize, fault: Fault) {
        if let Some(entry) = self.flows.get(slot) {
            entry.flow.refused = Some(fault);
            entry.flow.unanswered = false;
        }
    }

    /// Ends a flow: the only place where one is removed.
    pub(super) fn close(&mut self, slot: usize, reason: Reason, cx: &mut Context<'_>) {
        let key = self.flow_key(slot);
        let Flow { mut inlet, up, down, born, .. } = self.flows.remove(slot).flow;
        inlet.hang_up(cx.registry);
        let ending = Ending { reason, first: Side::Us, by: Closing::Fin };
        let (lasted, now) = (cx.now.since(born), cx.now);
        cx.seen.on(key, &Event::Closed { ending, up, down, lasted, now });
    }

    /// The key of a flow, at the end of its source. The socket of its own is at the other end.
    pub(super) fn flow_key(&mut self, slot: usize) -> Key {
        Key::flow(self.flows.get(slot).map_or(0, |entry| entry.birth), slot)
    }

    fn find_or_open(
        &mut self,
        door: usize,
        from: &Remote,
        cx: &mut Context<'_>,
    ) -> Result<usize, Drop> {
        let Some(Door { duty: Duty::Relay(relay), local, .. }) = &mut self.doors[door] else {
            return Err(Drop::NoWay);
        };
        if let Some(slot) = self.flows.find(relay.lane, from) {
            return Ok(slot);
        }
        if self.draining {
            return Err(Drop::NoWay);
        }
        if let Some(source) = from.inet()
            && self.guard.owns(source, is_ours)
        {
            return Err(Drop::Own);
        }
        let (lane, first) = (relay.lane, relay.take_turn());
        let remotes = relay.remotes(first, local, cx.names);
        // A forged source: the target would speak with itself through us, for ever.
        if remotes.iter().any(|remote| remote.peer() == from.peer()) {
            return Err(Drop::Loop);
        }
        let (socket, at) = dial(&remotes, 0)?;
        let flow = Flow {
            inlet: Inlet::new(socket, Wanted::Nothing),
            remote: remotes[at].clone(),
            up: 0,
            down: 0,
            door,
            born: cx.now,
            first,
            at,
            attempt: 1,
            refused: None,
            unanswered: false,
        };
        self.open(lane, from.clone(), flow, cx)
    }

    /// Takes a new flow in; the oldest makes room for it, which is why its socket comes first.
    fn open(
        &mut self,
        lane: usize,
        from: Remote,
        mut flow: Flow,
        cx: &mut Context<'_>,
    ) -> Result<usize, Drop> {
        if let Some(oldest) = self.flows.surplus(lane) {
            self.close(oldest, Reason::Evicted, cx);
        }
        let key = Key::flow(cx.births.give(), self.flows.vacant());
        flow.inlet.register(key.at(1), cx.registry).map_err(|error| why(&error))?;
        if let Some(door) = &self.doors[flow.door] {
            let (route, service, listen) = (door.route, door.duty.word(), &door.address);
            let (peer, now) = (&from.peer(), cx.now);
            cx.seen.on(key, &Event::Opened { route, service, listen, peer, now });
        }
        flow.tell_remote(key, cx);
        Ok(self.flows.insert(lane, from, key.birth, flow, cx.now))
    }

    /// Sends the beginning of a train to the flow's remote; tells which part that was, and what
    /// became of it.
    fn pass<'a>(
        &mut self,
        slot: usize,
        train: Train<'a>,
        cx: &mut Context<'_>,
    ) -> (Train<'a>, Result<(), Drop>) {
        self.redial(slot, cx);
        let (part, sent) = self.send(slot, train, cx);
        let Err(why @ Drop::Refused(_)) = sent else { return (part, sent) };
        let key = self.flow_key(slot).at(1);
        // Over UDP this is the echo of a datagram that went before; this one was not sent at all.
        if matches!(self.flows.get(slot), Some(entry) if entry.flow.remote.is_inet()) {
            cx.seen.on(key, &Event::Dropped { bytes: None, from: None, why });
        }
        self.redial(slot, cx);
        self.send(slot, train, cx)
    }

    fn send<'a>(
        &mut self,
        slot: usize,
        train: Train<'a>,
        cx: &mut Context<'_>,
    ) -> (Train<'a>, Result<(), Drop>) {
        let key = self.flow_key(slot).at(1);
        let Some(entry) = self.flows.get(slot) else { return (train, Err(Drop::NoWay)) };
        let flow = &mut entry.flow;
        let (part, sent) = flow.inlet.send(train, None);
        let sent = sent.map_err(|error| why(&error));
        match sent {
            Ok(()) => {
                flow.up += part.bytes().len() as u64;
                flow.unanswered = true;
                self.traffic.sent(key, part, || flow.remote.peer(), cx.seen);
            }
            Err(Drop::Refused(fault)) => flow.refused = Some(fault),
            Err(_) => {}
        }
        (part, sent)
    }

    /// Connects a flow that was refused with the next remote, if one takes it.
    fn redial(&mut self, slot: usize, cx: &mut Context<'_>) {
        let key = self.flow_key(slot);
        let Some(entry) = self.flows.get(slot) else { return };
        let flow = &mut entry.flow;
        let Some(fault) = flow.refused else { return };
        let Some(Door { duty: Duty::Relay(relay), local, address, .. }) = &self.doors[flow.door]
        else {
            return;
        };
        let remotes = relay.remotes(flow.first, local, cx.names);
        // The only one of UDP may serve again, and would take a new socket for a stranger.
        if remotes.len() == 1 && remotes[0] == flow.remote && flow.remote.is_inet() {
            flow.refused = None;
            return;
        }
        let Ok((socket, at)) = dial(&remotes, flow.at + 1) else { return };
        let target = &flow.remote.to_string();
        let (peer, left) = (entry.source.peer(), remotes.len() - 1);
        let client = Some(Client { peer: &peer, listen: address });
        cx.seen.on(key.at(1), &Event::DialFailed { target, fault, left, client });
        flow.inlet.hang_up(cx.registry);
        flow.inlet.renew(socket);
        // If the poll cannot take it, it can still send; the next refusal dials anew.
        let registered = flow.inlet.register(key.at(1), cx.registry);
        flow.refused = registered.err().map(|error| Fault::from(&error));
        flow.remote = remotes[at].clone();
        flow.at = at;
        flow.attempt += 1;
        flow.tell_remote(key, cx);
    }
}

impl Flow {
    fn tell_remote(&self, key: Key, cx: &mut Context<'_>) {
        let (target, attempt) = (&self.remote.to_string(), self.attempt);
        cx.seen.on(key.at(1), &Event::Dialing { target, attempt });
    }
}

/// A socket to the first of these remotes that can be connected to, beginning with number `first`.
fn dial(remotes: &[Remote], first: usize) -> Result<(DatagramSocket, usize), Drop> {
    let mut last = Drop::NoWay;
    for at in (first..first + remotes.len()).map(|at| at % remotes.len()) {
        match DatagramSocket::connected(&remotes[at]) {
            Ok(socket) => return Ok((socket, at)),
            Err(error) => last = why(&error),
        }
    }
    Err(last)
}
