//! The datagram relay. Each source has a flow with its own socket, connected to a target. What the
//! target sends to that socket is sent back to the source.

use super::drops::{log_dropped, why};
use super::listener::{DatagramListener, Phase};
use super::port::DatagramPort;
use super::remotes::remotes;
use super::table::Entry;
use super::{DatagramCx, Datagrams};
use crate::core::event::{Client, DropReason};
use crate::core::{Close, CloseKind, Event, Key, Moment, Reason, Side, SysError};
use crate::net::datagram_socket::DatagramSocket;
use crate::net::recv_batch::{RecvBatch, Segments, Wanted};
use crate::net::remote::Remote;
use crate::net::self_connect::is_local_ip;

/// The state of one source's flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub port: DatagramPort,
    pub remote: Remote,
    pub up: u64,
    pub down: u64,
    listener: Key,
    pub opened_at: Moment,
    /// Index of the target that the flow began with.
    first: usize,
    attempt: u32,
    /// The remote refused a datagram: the next one is sent to the next remote.
    refused: Option<SysError>,
    /// A datagram was sent to the remote, and none has been received since.
    pub unanswered: bool,
}

impl Datagrams {
    /// Forwards what a source sent to the listener of a relay.
    pub(super) fn forward(
        &mut self,
        listener: Key,
        from: &Remote,
        mut segments: Segments<'_>,
        cx: &mut DatagramCx<'_, '_>,
    ) {
        let slot = match self.find_or_open(listener, from, cx) {
            Ok(slot) => slot,
            Err(why) => {
                self.turn_counts.received(listener, segments, || from.peer(), cx.turn);
                return log_dropped(listener, segments, Some(from), why, cx);
            }
        };
        self.flows.touch(slot, cx.turn.now);
        let key = self.flow_key(slot);
        self.turn_counts.received(key, segments, || from.peer(), cx.turn);
        while !segments.is_empty() {
            let (part, sent) = self.send_with_retry(slot, segments, cx);
            if let Err(why) = sent {
                log_dropped(key.at(1), part, Some(from), why, cx);
            }
            segments = segments.after(part.len());
        }
    }

    /// Sends back what a target sent to the socket of a flow.
    pub(super) fn backward(
        &mut self,
        slot: usize,
        received: usize,
        segments: Segments<'_>,
        batch: &RecvBatch,
        cx: &mut DatagramCx<'_, '_>,
    ) {
        let key = self.flow_key(slot);
        self.flows.touch(slot, cx.turn.now);
        let Some(entry) = self.flows.get(slot) else { return };
        let flow = &mut entry.flow;
        flow.unanswered = false;
        self.turn_counts.received(key.at(1), segments, || flow.remote.peer(), cx.turn);
        let listener = flow.listener;
        self.push(listener, (received, 0..segments.len(), Some(key)), batch, cx);
    }

    /// Records that the remote of this flow has refused a datagram.
    pub(super) fn remote_refused(&mut self, slot: usize, fault: SysError) {
        if let Some(entry) = self.flows.get(slot) {
            entry.flow.refused = Some(fault);
            entry.flow.unanswered = false;
        }
    }

    /// Closes a flow. The only place where one is removed.
    pub(super) fn close(&mut self, slot: usize, reason: Reason, cx: &mut DatagramCx<'_, '_>) {
        let key = self.flow_key(slot);
        let Flow { mut port, up, down, opened_at, .. } = self.flows.remove(slot).flow;
        port.deregister_socket(cx.registry);
        let ending = Close { reason, first: Side::Proxy, by: CloseKind::Fin };
        let lasted = cx.turn.now.since(opened_at);
        cx.turn.on(key, &Event::Closed { ending, up, down, lasted });
    }

    /// The key of a flow at end 0, its source. Its own socket is end 1.
    pub(super) fn flow_key(&mut self, slot: usize) -> Key {
        Key::flow(self.flows.get(slot).map_or(0, |entry| entry.id), slot)
    }

    /// Returns the flow of a source on this listener, whatever route opened it.
    pub(super) fn find(&self, listener: &DatagramListener, from: &Remote) -> Option<usize> {
        listener.lists.iter().find_map(|list| self.flows.find(*list, from))
    }

    fn find_or_open(
        &mut self,
        listener: Key,
        from: &Remote,
        cx: &mut DatagramCx<'_, '_>,
    ) -> Result<usize, DropReason> {
        let Some(socket) = self.listeners.get(listener) else { return Err(DropReason::NoWay) };
        if let Some(slot) = self.find(socket, from) {
            return Ok(slot);
        }
        if self.draining || socket.phase == Phase::Closing {
            return Err(DropReason::NoWay);
        }
        let Some(list) = self.list(socket) else { return Err(DropReason::NoWay) };
        if let Some(source) = from.inet()
            && self.guard.owns(source, is_local_ip)
        {
            return Err(DropReason::Own);
        }
        let targets = cx.routes[socket.route].pool.select();
        let remotes = remotes(&targets, &socket.local, cx.names);
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
            listener,
            opened_at: cx.turn.now,
            first: targets.first(),
            attempt: 1,
            refused: None,
            unanswered: false,
        };
        self.open_flow(list, from.clone(), flow, cx)
    }

    /// The flow list of the listener's present route. None if that is no relay.
    pub(super) fn list(&self, listener: &DatagramListener) -> Option<usize> {
        let is_own = |list: &usize| self.flows.route(*list) == listener.route;
        listener.lists.iter().copied().find(is_own)
    }

    /// Adds a new flow, and evicts the oldest one if the list is full. The caller creates the
    /// socket first, so that nothing is evicted for a flow that cannot be opened.
    fn open_flow(
        &mut self,
        list: usize,
        from: Remote,
        mut flow: Flow,
        cx: &mut DatagramCx<'_, '_>,
    ) -> Result<usize, DropReason> {
        if let Some(oldest) = self.flows.surplus(list) {
            self.close(oldest, Reason::Evicted, cx);
        }
        let key = Key::flow(cx.conn_ids.next(), self.flows.vacant());
        flow.port.register(key.at(1), cx.registry).map_err(|error| why(&error))?;
        if let Some(DatagramListener { route, address: listen, .. }) =
            self.listeners.get(flow.listener)
        {
            let (route, service) = (*route, cx.routes[*route].config.service.kind());
            let peer = &from.peer();
            cx.turn.on(key, &Event::Opened { route, service, listen, peer });
        }
        flow.log_remote(key, cx);
        Ok(self.flows.insert(list, from, key.id, flow, cx.turn.now))
    }

    /// Sends the first datagrams of a train to the flow's remote. Returns that part and the result.
    /// If the remote refuses, it is redialed and the part is sent once more.
    fn send_with_retry<'a>(
        &mut self,
        slot: usize,
        segments: Segments<'a>,
        cx: &mut DatagramCx<'_, '_>,
    ) -> (Segments<'a>, Result<(), DropReason>) {
        self.redial(slot, cx);
        let (part, sent) = self.send(slot, segments, cx);
        let Err(why @ DropReason::Refused(_)) = sent else { return (part, sent) };
        let key = self.flow_key(slot).at(1);
        // UDP reports the refusal of an earlier datagram here. This one was not sent.
        if matches!(self.flows.get(slot), Some(entry) if entry.flow.remote.is_inet()) {
            cx.turn.on(key, &Event::Dropped { bytes: None, from: None, why });
        }
        self.redial(slot, cx);
        self.send(slot, segments, cx)
    }

    fn send<'a>(
        &mut self,
        slot: usize,
        segments: Segments<'a>,
        cx: &mut DatagramCx<'_, '_>,
    ) -> (Segments<'a>, Result<(), DropReason>) {
        let key = self.flow_key(slot).at(1);
        let Some(entry) = self.flows.get(slot) else { return (segments, Err(DropReason::NoWay)) };
        let flow = &mut entry.flow;
        let (part, sent) = flow.port.send(segments, None);
        let sent = sent.map_err(|error| why(&error));
        match sent {
            Ok(()) => {
                flow.up += part.bytes().len() as u64;
                flow.unanswered = true;
                self.turn_counts.sent(key, part, || flow.remote.peer(), cx.turn);
            }
            Err(DropReason::Refused(fault)) => flow.refused = Some(fault),
            Err(_) => {}
        }
        (part, sent)
    }

    /// Connects a refused flow to the next remote that can be connected to.
    fn redial(&mut self, slot: usize, cx: &mut DatagramCx<'_, '_>) {
        let key = self.flow_key(slot);
        let Some(list) = self.flows.peek(slot).map(|entry| entry.list) else { return };
        let route = self.flows.route(list);
        let Some(Entry { source, flow, .. }) = self.flows.get(slot) else { return };
        let Some(fault) = flow.refused else { return };
        let Some(DatagramListener { local, address, .. }) = self.listeners.get(flow.listener)
        else {
            return;
        };
        // The targets may have changed since the flow was opened.
        let targets = cx.routes[route].pool.selection(flow.first);
        let remotes = remotes(&targets, local, cx.names);
        // A single UDP remote may answer again, and would take a new socket for another client.
        if remotes.len() == 1 && remotes[0] == flow.remote && flow.remote.is_inet() {
            flow.refused = None;
            return;
        }
        let last = remotes.iter().position(|remote| *remote == flow.remote);
        let Ok((socket, at)) = dial(&remotes, last.map_or(0, |last| last + 1)) else { return };
        let target = &flow.remote.to_string();
        let (peer, left) = (source.peer(), remotes.len() - usize::from(last.is_some()));
        let client = Some(Client { peer: &peer, listen: address });
        cx.turn.on(key.at(1), &Event::DialFailed { target, fault, left, client });
        flow.port.deregister_socket(cx.registry);
        flow.port.replace_socket(socket);
        // A socket that cannot be registered can still send. The next datagram redials.
        let registered = flow.port.register(key.at(1), cx.registry);
        flow.refused = registered.err().map(|error| SysError::from(&error));
        flow.remote = remotes[at].clone();
        flow.attempt += 1;
        flow.log_remote(key, cx);
    }
}

impl Flow {
    fn log_remote(&self, key: Key, cx: &mut DatagramCx<'_, '_>) {
        let (target, attempt) = (&self.remote.to_string(), self.attempt);
        cx.turn.on(key.at(1), &Event::Dialing { target, attempt });
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
