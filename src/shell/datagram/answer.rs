//! The small services on datagrams: at most one answer to a datagram, and over UDP never a longer
//! one.

use std::net::SocketAddr;

use super::listener::DatagramListener;
use super::loss::{log_dropped, why};
use super::reflection_guard::{ReflectionGuard, is_privileged};
use super::service::DatagramService;
use super::{Context, Datagrams};
use crate::core::event::DropReason;
use crate::core::{Key, Peer, Random, chargen};
use crate::plan::Service;
use crate::service::text::{self, Facts};
use crate::shell::remote::Remote;
use crate::shell::room::{Room, Segments};
use crate::shell::self_connect::is_ours;

/// The longest answer that RFC 864 allows.
const CHARGEN_BYTES: u64 = 512;

impl Datagrams {
    /// Answers what came in at the door of a small service, or drops it and tells why.
    pub(super) fn answer(
        &mut self,
        slot: usize,
        received: usize,
        (from, train): (&Remote, Segments<'_>),
        room: &Room,
        cx: &mut Context<'_>,
    ) {
        let key = Key::source(slot);
        self.traffic.received(key, train, || from.peer(), cx.seen);
        let Some(DatagramListener { duty: DatagramService::Answer { service, .. }, .. }) =
            &self.listeners[slot]
        else {
            return;
        };
        match service {
            Service::Discard => {}
            Service::Echo => {
                let mut first = 0;
                for (number, datagram) in train.datagrams().enumerate() {
                    if let Err(why) = self.permit(slot, from, datagram, datagram) {
                        self.put(slot, (received, first..number, None), room, cx);
                        log_dropped(key, Segments::one(datagram), Some(from), why, cx);
                        first = number + 1;
                    }
                }
                self.put(slot, (received, first..train.len(), None), room, cx);
            }
            _ => {
                for datagram in train.datagrams() {
                    self.reply(slot, from, datagram, cx);
                }
            }
        }
    }

    fn reply(&mut self, slot: usize, from: &Remote, datagram: &[u8], cx: &mut Context<'_>) {
        let Some(DatagramListener { duty: DatagramService::Answer { service, .. }, local, .. }) =
            &self.listeners[slot]
        else {
            return;
        };
        let reply = match service {
            // The source of a datagram can be forged; the sender of a Unix datagram cannot.
            Service::Chargen if from.is_inet() => characters(&mut self.random, datagram.len()),
            Service::Chargen => characters(&mut self.random, usize::MAX),
            _ => render(service, &from.told_from(local), &from.peer(), cx.unix_seconds),
        };
        let permitted = self.permit(slot, from, datagram, &reply);
        if let Err(why) = permitted.and_then(|()| self.send_back(slot, from, &reply, cx)) {
            log_dropped(Key::source(slot), Segments::one(datagram), Some(from), why, cx);
        }
    }

    /// Whether this reply to this datagram may go out; it then counts as sent.
    fn permit(
        &mut self,
        slot: usize,
        from: &Remote,
        datagram: &[u8],
        reply: &[u8],
    ) -> Result<(), DropReason> {
        let Some(DatagramListener { duty: DatagramService::Answer { any_port, .. }, .. }) =
            &self.listeners[slot]
        else {
            return Err(DropReason::NoWay);
        };
        match from.inet() {
            Some(source) => {
                let any_port = *any_port;
                permit(&mut self.guard, &Answer { source, datagram, reply, any_port })
            }
            None if from.is_named() => Ok(()),
            None => Err(DropReason::NoWay),
        }
    }

    fn send_back(
        &mut self,
        slot: usize,
        to: &Remote,
        reply: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<(), DropReason> {
        let Some(listener) = &mut self.listeners[slot] else { return Err(DropReason::NoWay) };
        let reply = Segments::one(reply);
        listener.port.send(reply, Some(to)).1.map_err(|error| why(&error))?;
        self.traffic.sent(Key::source(slot), reply, || to.peer(), cx.seen);
        Ok(())
    }
}

/// An answer over UDP that is about to be sent.
struct Answer<'a> {
    source: SocketAddr,
    datagram: &'a [u8],
    reply: &'a [u8],
    any_port: bool,
}

/// Whether the answer may go out. The last question counts it as sent, so it is asked last.
fn permit(guard: &mut ReflectionGuard, answer: &Answer<'_>) -> Result<(), DropReason> {
    if guard.owns(answer.source, is_ours) {
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

/// A random number of characters, as RFC 864 asks for: of this service any part is an answer.
fn characters(random: &mut Random, limit: usize) -> Vec<u8> {
    let length = random.below(CHARGEN_BYTES + 1) as usize;
    let mut text = vec![0; length.min(limit)];
    chargen::fill(0, &mut text);
    text
}

/// What a service says that does not depend on the datagram.
fn render(service: &Service, ours: &Remote, peer: &Peer, unix_seconds: i64) -> Vec<u8> {
    match service {
        Service::Daytime => text::daytime(unix_seconds),
        Service::Time => text::time(unix_seconds),
        Service::Whoami => text::whoami(&Facts {
            peer: peer.clone(),
            local: ours.peer(),
            transport: if ours.is_inet() { "udp" } else { "unix-dgram" },
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

    /// What the guard says to an answer of `reply` bytes to `datagram` bytes from this source.
    fn asked(
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
            assert_eq!(asked(&source, 5, 5, false), Err(DropReason::Privileged));
            assert_eq!(asked(&source, 5, 5, true), Ok(()));
        }
        assert_eq!(asked("192.0.2.1:1024", 5, 5, false), Ok(()));
    }

    #[test]
    fn our_own_address_is_never_answered() {
        assert_eq!(asked("127.0.0.1:7007", 5, 5, false), Err(DropReason::Own));
        assert_eq!(asked("127.0.0.1:7007", 5, 5, true), Err(DropReason::Own));
    }

    #[test]
    fn no_answer_is_longer_than_its_datagram() {
        assert_eq!(asked("192.0.2.1:5000", 5, 6, true), Err(DropReason::Short));
        assert_eq!(asked("192.0.2.1:5000", 0, 1, true), Err(DropReason::Short));
        assert_eq!(asked("192.0.2.1:5000", 0, 0, true), Ok(()));
        assert_eq!(asked("192.0.2.1:5000", 99, 99, true), Ok(()));
    }
}
