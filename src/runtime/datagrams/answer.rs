//! The small services on datagrams. Each datagram gets at most one reply, and over UDP the reply is
//! never longer than the request.

use std::net::SocketAddr;

use super::drops::{log_dropped, why};
use super::listener::DatagramListener;
use super::reflection_guard::{ReflectionGuard, is_privileged};
use super::{DatagramCx, Datagrams};
use crate::config::Service;
use crate::core::event::DropReason;
use crate::core::{Key, Peer, Random, chargen};
use crate::net::recv_batch::{RecvBatch, Segments};
use crate::net::remote::Remote;
use crate::net::self_connect::is_local_ip;
use crate::runtime::routes::Routes;
use crate::service::text::{self, PeerFacts};

/// Maximum bytes of a chargen reply (RFC 864).
const CHARGEN_BYTES: u64 = 512;

impl Datagrams {
    /// Answers a message on the listener of a small service, or reports it as dropped.
    pub(super) fn answer(
        &mut self,
        key: Key,
        received: usize,
        (from, segments): (&Remote, Segments<'_>),
        batch: &RecvBatch,
        cx: &mut DatagramCx<'_, '_>,
    ) {
        self.turn_counts.received(key, segments, || from.peer(), cx.turn);
        let Some(listener) = self.listeners.get(key) else { return };
        let route = listener.route;
        match &cx.routes[route].config.service {
            Service::Discard => {}
            Service::Echo => {
                let mut first = 0;
                for (number, datagram) in segments.datagrams().enumerate() {
                    if let Err(why) = self.permit(route, from, datagram, datagram, cx.routes) {
                        self.push(key, (received, first..number, None), batch, cx);
                        log_dropped(key, Segments::one(datagram), Some(from), why, cx);
                        first = number + 1;
                    }
                }
                self.push(key, (received, first..segments.len(), None), batch, cx);
            }
            _ => {
                for datagram in segments.datagrams() {
                    self.reply(key, from, datagram, cx);
                }
            }
        }
    }

    fn reply(&mut self, key: Key, from: &Remote, datagram: &[u8], cx: &mut DatagramCx<'_, '_>) {
        let Some(DatagramListener { route, local, .. }) = self.listeners.get(key) else { return };
        let (route, service) = (*route, &cx.routes[*route].config.service);
        let reply = match service {
            // The source of a UDP datagram can be forged. The sender of a Unix datagram cannot.
            Service::Chargen if from.is_inet() => characters(&mut self.random, datagram.len()),
            Service::Chargen => characters(&mut self.random, usize::MAX),
            _ => render(service, &from.reply_source(local), &from.peer(), cx.unix_seconds),
        };
        let permitted = self.permit(route, from, datagram, &reply, cx.routes);
        if let Err(why) = permitted.and_then(|()| self.send_back(key, from, &reply, cx)) {
            log_dropped(key, Segments::one(datagram), Some(from), why, cx);
        }
    }

    /// Checks whether a route may send this reply to a datagram, and counts it as sent if so.
    fn permit(
        &mut self,
        route: u16,
        from: &Remote,
        datagram: &[u8],
        reply: &[u8],
        routes: &Routes,
    ) -> Result<(), DropReason> {
        match from.inet() {
            Some(source) => {
                let any_port = routes[route].config.policy.udp_allow_low_ports;
                permit(&mut self.guard, &Answer { source, datagram, reply, any_port })
            }
            None if from.is_named() => Ok(()),
            None => Err(DropReason::NoWay),
        }
    }

    fn send_back(
        &mut self,
        key: Key,
        to: &Remote,
        reply: &[u8],
        cx: &mut DatagramCx<'_, '_>,
    ) -> Result<(), DropReason> {
        let Some(listener) = self.listeners.get_mut(key) else { return Err(DropReason::NoWay) };
        let reply = Segments::one(reply);
        listener.port.send(reply, Some(to)).1.map_err(|error| why(&error))?;
        self.turn_counts.sent(key, reply, || to.peer(), cx.turn);
        Ok(())
    }
}

/// A UDP reply that is about to be sent.
struct Answer<'a> {
    source: SocketAddr,
    datagram: &'a [u8],
    reply: &'a [u8],
    any_port: bool,
}

/// Checks whether the reply may be sent. The loop breaker counts it as sent, so it is asked last.
fn permit(guard: &mut ReflectionGuard, answer: &Answer<'_>) -> Result<(), DropReason> {
    if guard.owns(answer.source, is_local_ip) {
        Err(DropReason::Own)
    } else if is_privileged(answer.source.port()) && !answer.any_port {
        Err(DropReason::Privileged)
    } else if answer.reply.len() > answer.datagram.len() {
        Err(DropReason::Short)
    } else if guard.breaks(answer.source, answer.datagram) {
        Err(DropReason::Loop)
    } else {
        Ok(())
    }
}

/// Returns a random number of characters, as RFC 864 requires. Any prefix is a valid reply.
fn characters(random: &mut Random, limit: usize) -> Vec<u8> {
    let length = random.below(CHARGEN_BYTES + 1) as usize;
    let mut text = vec![0; length.min(limit)];
    chargen::fill(0, &mut text);
    text
}

/// Renders the reply of a service that does not depend on the request.
fn render(service: &Service, local: &Remote, peer: &Peer, unix_seconds: i64) -> Vec<u8> {
    match service {
        Service::Daytime => text::daytime(unix_seconds),
        Service::Time => text::time(unix_seconds),
        Service::Whoami => text::whoami(&PeerFacts {
            peer: peer.clone(),
            local: local.peer(),
            transport: if local.is_inet() { "udp" } else { "unix-dgram" },
            tcp_info: String::new(),
            service: service.name(),
            unix_seconds,
        }),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks a reply of `reply` bytes to `datagram` bytes from this source.
    fn checked(
        source: &str,
        datagram: usize,
        reply: usize,
        any_port: bool,
    ) -> Result<(), DropReason> {
        let mut guard = ReflectionGuard::new(1);
        guard.add("127.0.0.1:7007".parse().unwrap());
        let (datagram, reply) = (&[0; 99][..datagram], &[0; 99][..reply]);
        let source = source.parse().unwrap();
        permit(&mut guard, &Answer { source, datagram, reply, any_port })
    }

    #[test]
    fn a_source_below_port_1024_is_answered_only_if_it_is_allowed() {
        for port in [0, 1, 7, 53, 1023] {
            let source = format!("192.0.2.1:{port}");
            assert_eq!(checked(&source, 5, 5, false), Err(DropReason::Privileged));
            assert_eq!(checked(&source, 5, 5, true), Ok(()));
        }
        assert_eq!(checked("192.0.2.1:1024", 5, 5, false), Ok(()));
    }

    #[test]
    fn our_own_address_is_never_answered() {
        assert_eq!(checked("127.0.0.1:7007", 5, 5, false), Err(DropReason::Own));
        assert_eq!(checked("127.0.0.1:7007", 5, 5, true), Err(DropReason::Own));
    }

    #[test]
    fn no_answer_is_longer_than_its_datagram() {
        assert_eq!(checked("192.0.2.1:5000", 5, 6, true), Err(DropReason::Short));
        assert_eq!(checked("192.0.2.1:5000", 0, 1, true), Err(DropReason::Short));
        assert_eq!(checked("192.0.2.1:5000", 0, 0, true), Ok(()));
        assert_eq!(checked("192.0.2.1:5000", 99, 99, true), Ok(()));
    }
}
