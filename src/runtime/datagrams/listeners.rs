//! The bound datagram sockets: the route of each, and how it closes. They send for the flows of
//! their sources, so one that is closing stays open until its last flow is closed. Does not read
//! them.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr};

use mio::Registry;

use super::flows::Flows;
use super::listener::{DatagramListener, Phase};
use crate::config::reach::receives;
use crate::config::{self, Service};
use crate::core::{Event, Key, SourceKind, Turn};
use crate::net::BoundDatagram;
use crate::net::remote::Remote;
use crate::net::self_connect::is_local_ip;
use crate::runtime::routes::Routes;
use crate::runtime::sources::Sources;

/// All bound datagram sockets.
#[derive(Debug)]
pub(super) struct DatagramListeners {
    sources: Sources<DatagramListener>,
    own: OwnAddrs,
    /// Listeners that are closing, or have flows of an earlier route.
    unsettled: Vec<Key>,
}

/// Maximum turns in which a closing socket handles what it has received.
pub(super) const DRAIN_ROUNDS: usize = 16;

impl DatagramListeners {
    pub fn new() -> DatagramListeners {
        let (sources, own) = (Sources::new(SourceKind::Datagram), OwnAddrs::default());
        DatagramListeners { sources, own, unsettled: Vec::new() }
    }

    /// Registers a bound socket for reading, and returns its key.
    pub fn open(
        &mut self,
        bound: BoundDatagram,
        route: u16,
        registry: &Registry,
    ) -> io::Result<Key> {
        let key = self.sources.vacant().ok_or(io::ErrorKind::QuotaExceeded)?;
        let listener = DatagramListener::open(bound, route, key, registry)?;
        if let Some(local) = listener.local.inet() {
            self.own.add(local);
        }
        self.sources.insert(key, listener);
        Ok(key)
    }

    /// Gives a socket to another route. It is no longer closing, and keeps its flows.
    pub fn set_route(&mut self, key: Key, route: u16, config: &config::Route, flows: &mut Flows) {
        let Some(listener) = self.sources.get_mut(key) else { return };
        (listener.route, listener.phase) = (route, Phase::Open);
        let has_earlier_flows = !listener.lists.is_empty();
        if let Service::Relay(_) = config.service {
            listener.lists.push(flows.add_list(route, &config.policy));
        }
        if has_earlier_flows {
            self.set_unsettled(key);
        }
    }

    /// Lets a socket handle what it has received, for at most `DRAIN_ROUNDS` turns, before it
    /// handles the datagrams of its flows alone.
    pub fn close_when_done(&mut self, key: Key) {
        if let Some(listener) = self.sources.get_mut(key)
            && listener.phase == Phase::Open
        {
            listener.phase = Phase::Emptying(DRAIN_ROUNDS);
            self.set_unsettled(key);
        }
    }

    /// Drops the datagrams of new sources from now on.
    pub fn refuse_new_sources(&mut self, key: Key) {
        if let Some(listener) = self.sources.get_mut(key) {
            listener.phase = Phase::Closing;
        }
    }

    /// Takes the next step with each listener that is closing, or has flows of an earlier route.
    pub fn settle(&mut self, flows: &mut Flows, registry: &Registry) {
        let mut keys = mem::take(&mut self.unsettled);
        keys.retain(|key| self.settle_one(*key, flows, registry));
        self.unsettled = keys;
    }

    /// Returns whether the listener is still unsettled.
    fn settle_one(&mut self, key: Key, flows: &mut Flows, registry: &Registry) -> bool {
        let Some(listener) = self.sources.get_mut(key) else { return false };
        listener.phase = match listener.phase {
            Phase::Emptying(turns) if listener.port.queued && turns > 0 => {
                Phase::Emptying(turns - 1)
            }
            Phase::Emptying(_) => Phase::Closing,
            phase => phase,
        };
        let (route, phase) = (listener.route, listener.phase);
        let kept = (phase != Phase::Closing).then_some(route);
        flows.remove_empty_lists(&mut listener.lists, kept);
        if phase == Phase::Closing && listener.lists.is_empty() {
            self.close(key, registry);
            return false;
        }
        phase != Phase::Open || flows.routes(&listener.lists).any(|other| other != route)
    }

    /// Closes a socket, which has no flows.
    pub fn close(&mut self, key: Key, registry: &Registry) {
        let Some(mut listener) = self.sources.remove(key) else { return };
        listener.port.deregister_socket(registry);
        if let Some(local) = listener.local.inet() {
            self.own.remove(local);
        }
    }

    /// Whether one of these sockets receives what is sent to this remote.
    pub fn owns(&self, remote: &Remote) -> bool {
        remote.inet().is_some_and(|address| self.own.contains(address, is_local_ip))
    }

    pub fn get(&self, key: Key) -> Option<&DatagramListener> {
        self.sources.get(key)
    }

    pub fn get_mut(&mut self, key: Key) -> Option<&mut DatagramListener> {
        self.sources.get_mut(key)
    }

    pub fn iter(&self) -> impl Iterator<Item = (Key, &DatagramListener)> {
        self.sources.iter()
    }

    /// Whether a listener is closing, or has flows of an earlier route.
    pub fn has_unsettled(&self) -> bool {
        !self.unsettled.is_empty()
    }

    /// Reports the state of each listener.
    pub fn dump(&self, routes: &Routes, turn: &mut Turn<'_>) {
        for (key, listener) in self.iter() {
            let service = routes[listener.route].config.service.kind();
            let (address, queued) = (&listener.address, listener.port.queued);
            let closing = if listener.is_open() { "" } else { ", closing" };
            let line = format!("listener {address} {service}, queued {queued}{closing}");
            turn.on(key, &Event::Dump { line: &line });
        }
    }

    fn set_unsettled(&mut self, key: Key) {
        if !self.unsettled.contains(&key) {
            self.unsettled.push(key);
        }
    }
}

/// The bound addresses of the UDP listeners, sorted by port.
#[derive(Debug, Default)]
struct OwnAddrs(Vec<SocketAddr>);

impl OwnAddrs {
    fn add(&mut self, listener: SocketAddr) {
        self.0.push(listener);
        self.0.sort_unstable_by_key(SocketAddr::port);
    }

    fn remove(&mut self, listener: SocketAddr) {
        // Another socket may share the address (`reuseport`).
        if let Some(at) = self.0.iter().position(|known| *known == listener) {
            self.0.remove(at);
        }
    }

    /// Whether one of the listeners receives what is sent to this address. One that is bound to the
    /// wildcard address receives on every address for which `is_local_ip` returns true.
    fn contains(&self, address: SocketAddr, is_local_ip: impl Fn(IpAddr) -> bool) -> bool {
        let first = self.0.partition_point(|listener| listener.port() < address.port());
        let same_port = self.0[first..].iter().take_while(|at| at.port() == address.port());
        same_port.into_iter().any(|listener| receives(*listener, false, address, &is_local_ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;
    use crate::net::bind_datagram;

    #[test]
    fn a_closing_socket_handles_what_it_has_received_for_a_limited_number_of_turns() {
        let poll = mio::Poll::new().unwrap();
        let route = config::Route::parse("udp://127.0.0.1:0=echo", &Policy::default()).unwrap();
        let bound = bind_datagram(&route.listen).unwrap().remove(0);
        let (mut listeners, mut flows) = (DatagramListeners::new(), Flows::default());
        let key = listeners.open(bound, 0, poll.registry()).unwrap();
        let local = listeners.get(key).unwrap().local.clone();
        listeners.set_route(key, 0, &route, &mut flows);
        assert!(listeners.owns(&local) && !listeners.has_unsettled());
        listeners.get_mut(key).unwrap().port.queued = true;
        listeners.close_when_done(key);
        for _ in 0..DRAIN_ROUNDS {
            listeners.settle(&mut flows, poll.registry());
            let listener = listeners.get(key).unwrap();
            assert!(!listener.is_open() && listener.takes_new_sources());
        }
        listeners.settle(&mut flows, poll.registry());
        assert!(listeners.get(key).is_none() && !listeners.has_unsettled());
        assert!(!listeners.owns(&local));
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn our_own_listeners_are_recognised() {
        let mut own = OwnAddrs::default();
        own.add(at("127.0.0.1:7007"));
        own.add(at("[::]:9009"));
        let owns = |address| own.contains(at(address), |ip| ip == at("192.0.2.1:0").ip());
        assert!(owns("127.0.0.1:7007") && owns("[::ffff:127.0.0.1]:7007"));
        assert!(!owns("127.0.0.1:7008") && !owns("127.0.0.2:7007"));
        assert!(owns("[::1]:9009") && owns("127.0.0.9:9009") && owns("192.0.2.1:9009"));
        assert!(!owns("192.0.2.2:9009") && !owns("192.0.2.1:9008"));
    }

    #[test]
    fn a_removed_listener_is_no_longer_recognised() {
        let mut own = OwnAddrs::default();
        own.add(at("127.0.0.1:7007"));
        own.add(at("127.0.0.1:7007"));
        own.remove(at("127.0.0.1:7007"));
        assert!(own.contains(at("127.0.0.1:7007"), |_| true), "another socket has this address");
        own.remove(at("127.0.0.1:7007"));
        assert!(!own.contains(at("127.0.0.1:7007"), |_| true));
    }
}
