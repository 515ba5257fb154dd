//! The relay of datagrams: each source has a flow, with a socket of its own to a target. What the
//! target sends there goes back to the source.

use super::listener::DatagramListener;
use super::loss::{log_dropped, why};
use super::port::DatagramPort;
use super::service::DatagramService;
use super::{Context, Datagrams};
use crate::core::event::{Client, DropReason};
use crate::core::{Close, CloseKind, Event, Key, Moment, Reason, Side, SysError};
use crate::shell::datagram_socket::DatagramSocket;
use crate::shell::remote::Remote;
use crate::shell::room::{Room, Segments, Wanted};
use crate::shell::self_connect::is_ours;

/// What is kept of one source's traffic.
#[derive(Debug)]
pub(super) struct Flow {
    pub port: DatagramPort,
    pub remote: Remote,
    pub up: u64,
    pub down: u64,
    listener: usize,
    pub born: Moment,
    /// The target it began with, and which of the remotes from there on it has now.
    first: usize,
    at: usize,
    attempt: u32,
    /// The remote refused a datagram: the next one may go elsewhere.
    refused: Option<SysError>,
    /// A datagram went to the remote, and nothing has come back since.
    pub unanswered: bool,
}

impl Datagrams {
    /// Passes on what a source sent to the door of a relay.
    pub(super) fn forward(
        &mut self,
        listener: usize,
        from: &Remote,
        mut train: Segments<'_>,
        cx: &mut Context<'_>,
    ) {
        let slot = match self.find_or_open(listener, from, cx) {
            Ok(slot) => slot,
            Err(why) => {
                let key = Key::source(listener);
                self.traffic.received(key, train, || from.peer(), cx.seen);
                return log_dropped(key, train, Some(from), why, cx);
            }
        };
        self.flows.touch(slot, cx.now);
        let key = self.flow_key(slot);
        self.traffic.received(key, train, || from.peer(), cx.seen);
        while !train.is_empty() {
            let (part, sent) = self.pass(slot, train, cx);
            if let Err(why) = sent {
                log_dropped(key.at(1), part, Some(from), why, cx);
            }
            train = train.after(part.len());
        }
    }

    /// Passes on what a target sent to the socket of a flow.
    pub(super) fn backward(
        &mut self,
        slot: usize,
        received: usize,
        train: Segments<'_>,
        room: &Room,
        cx: &mut Context<'_>,
    ) {
        let key = self.flow_key(slot);
        self.flows.touch(slot, cx.now);
        let Some(entry) = self.flows.get(slot) else { return };
        let flow = &mut entry.flow;
        flow.unanswered = false;
        self.traffic.received(key.at(1), train, || flow.remote.peer(), cx.seen);
        let listener = flow.listener;
        self.put(listener, (received, 0..train.len(), Some(key)), room, cx);
    }

    /// The remote of this flow has refused a datagram.
    pub(super) fn refused(&mut self, slot: usize, fault: SysError) {
        if let Some(entry) = self.flows.get(slot) {
            entry.flow.refused = Some(fault);
            entry.flow.unanswered = false;
        }
    }

    /// Ends a flow: the only place where one is removed.
    pub(super) fn close(&mut self, slot: usize, reason: Reason, cx: &mut Context<'_>) {
        let key = self.flow_key(slot);
        let Flow { mut port, up, down, born, .. } = self.flows.remove(slot).flow;
        port.hang_up(cx.registry);
        let ending = Close { reason, first: Side::Proxy, by: CloseKind::Fin };
        let (lasted, now) = (cx.now.since(born), cx.now);
        cx.seen.on(key, &Event::Closed { ending, up, down, lasted, now });
    }

    /// The key of a flow, at the end of its source. The socket of its own is at the other end.
    pub(super) fn flow_key(&mut self, slot: usize) -> Key {
        Key::flow(self.flows.get(slot).map_or(0, |entry| entry.id), slot)
    }

    fn find_or_open(
        &mut self,
        listener: usize,
        from: &Remote,
        cx: &mut Context<'_>,
    ) -> Result<usize, DropReason> {
        let Some(DatagramListener { duty: DatagramService::Relay(relay), local, .. }) =
            &mut self.listeners[listener]
        else {
            return Err(DropReason::NoWay);
        };
        if let Some(slot) = self.flows.find(relay.list, from) {
            return Ok(slot);
        }
        if self.draining {
            return Err(DropReason::NoWay);
        }
        if let Some(source) = from.inet()
            && self.guard.owns(source, is_ours)
        {
            return Err(DropReason::Own);
        }
        let (list, first) = (relay.list, relay.take_turn());
        let remotes = relay.remotes(first, local, cx.names);
        // A forged source: the target would speak with itself through us, for ever.
        if remotes.iter().any(|remote| remote.peer() == from.peer()) {
            return Err(DropReason::Loop);
        }
        let (socket, at) = dial(&remotes, 0)?;
        let flow = Flow {
            port: DatagramPort::new(socket, Wanted::Nothing),
            remote: remotes[at].clone(),
            up: 0,
            down: 0,
            listener,
            born: cx.now,
            first,
            at,
            attempt: 1,
            refused: None,
            unanswered: false,
        };
        self.open(list, from.clone(), flow, cx)
    }

    /// Takes a new flow in; the oldest makes room for it, which is why its socket comes first.
    fn open(
        &mut self,
        list: usize,
        from: Remote,
        mut flow: Flow,
        cx: &mut Context<'_>,
    ) -> Result<usize, DropReason> {
        if let Some(oldest) = self.flows.surplus(list) {
            self.close(oldest, Reason::Evicted, cx);
        }
        let key = Key::flow(cx.conn_ids.next(), self.flows.vacant());
        flow.port.register(key.at(1), cx.registry).map_err(|error| why(&error))?;
        if let Some(listener) = &self.listeners[flow.listener] {
            let (route, service, listen) =
                (listener.route, listener.duty.name(), &listener.address);
            let (peer, now) = (&from.peer(), cx.now);
            cx.seen.on(key, &Event::Opened { route, service, listen, peer, now });
        }
        flow.log_remote(key, cx);
        Ok(self.flows.insert(list, from, key.id, flow, cx.now))
    }

    /// Sends the beginning of a train to the flow's remote; tells which part that was, and what
    /// became of it.
    fn pass<'a>(
        &mut self,
        slot: usize,
        train: Segments<'a>,
        cx: &mut Context<'_>,
    ) -> (Segments<'a>, Result<(), DropReason>) {
        self.redial(slot, cx);
        let (part, sent) = self.send(slot, train, cx);
        let Err(why @ DropReason::Refused(_)) = sent else { return (part, sent) };
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
        train: Segments<'a>,
        cx: &mut Context<'_>,
    ) -> (Segments<'a>, Result<(), DropReason>) {
        let key = self.flow_key(slot).at(1);
        let Some(entry) = self.flows.get(slot) else { return (train, Err(DropReason::NoWay)) };
        let flow = &mut entry.flow;
        let (part, sent) = flow.port.send(train, None);
        let sent = sent.map_err(|error| why(&error));
        match sent {
            Ok(()) => {
                flow.up += part.bytes().len() as u64;
                flow.unanswered = true;
                self.traffic.sent(key, part, || flow.remote.peer(), cx.seen);
            }
            Err(DropReason::Refused(fault)) => flow.refused = Some(fault),
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
        let Some(DatagramListener { duty: DatagramService::Relay(relay), local, address, .. }) =
            &self.listeners[flow.listener]
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
        flow.port.hang_up(cx.registry);
        flow.port.renew(socket);
        // If the poll cannot take it, it can still send; the next refusal dials anew.
        let registered = flow.port.register(key.at(1), cx.registry);
        flow.refused = registered.err().map(|error| SysError::from(&error));
        flow.remote = remotes[at].clone();
        flow.at = at;
        flow.attempt += 1;
        flow.log_remote(key, cx);
    }
}

impl Flow {
    fn log_remote(&self, key: Key, cx: &mut Context<'_>) {
        let (target, attempt) = (&self.remote.to_string(), self.attempt);
        cx.seen.on(key.at(1), &Event::Dialing { target, attempt });
    }
}

/// A socket to the first of these remotes that can be connected to, beginning with number `first`.
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
