//! The small services on datagrams: at most one answer to a datagram, and over UDP never a longer
//! one.

use std::net::SocketAddr;

use super::door::{Door, Duty};
use super::guard::{Guard, is_privileged};
use super::{Context, Datagrams, why};
use crate::core::event::Drop;
use crate::core::{Event, Key, Peer, Random, chargen};
use crate::plan::Service;
use crate::service::text::{self, Facts};
use crate::shell::datagram_socket::Remote;
use crate::shell::itself::is_ours;

/// The longest answer that RFC 864 allows.
const CHARGEN_BYTES: u64 = 512;

impl Datagrams {
    /// Answers a datagram that came in at the door of a small service, or drops it and tells why.
    pub(super) fn answer(
        &mut self,
        slot: usize,
        from: Remote,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) {
        let (key, peer, bytes) = (Key::door(slot), from.peer(), datagram.len());
        cx.seen.on(key, &Event::Received { bytes, from: &peer });
        match self.reply(slot, &from, &peer, datagram, cx) {
            Ok(None) => {}
            Ok(Some(bytes)) => cx.seen.on(key, &Event::Sent { bytes, to: &peer }),
            Err(why) => cx.seen.on(key, &Event::Dropped { bytes, why }),
        }
    }

    /// How many bytes went back, if the service answers; or why the answer was dropped.
    fn reply(
        &mut self,
        slot: usize,
        from: &Remote,
        peer: &Peer,
        datagram: &[u8],
        cx: &mut Context<'_>,
    ) -> Result<Option<usize>, Drop> {
        let Some(Door { duty: Duty::Answer { service, any_port }, inlet, local, .. }) =
            &self.doors[slot]
        else {
            return Err(Drop::NoWay);
        };
        // The source of a datagram can be forged; the sender of a Unix datagram cannot.
        let limit = if from.is_inet() { datagram.len() } else { usize::MAX };
        let text;
        let reply = match service {
            Service::Discard => return Ok(None),
            Service::Echo => datagram,
            Service::Chargen => {
                text = characters(&mut self.random, limit);
                &text[..]
            }
            _ => {
                text = render(service, &from.told_from(local), peer, cx.unix_seconds);
                &text[..]
            }
        };
        if !from.is_named() {
            return Err(Drop::NoWay);
        }
        if let Some(source) = from.inet() {
            permit(&mut self.guard, &Answer { source, datagram, reply, any_port: *any_port })?;
        }
        inlet.socket.send_to(reply, from).map_err(|error| why(&error))?;
        Ok(Some(reply.len()))
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
fn permit(guard: &mut Guard, answer: &Answer<'_>) -> Result<(), Drop> {
    if guard.owns(answer.source, is_ours) {
        Err(Drop::Own)
    } else if is_privileged(answer.source.port()) && !answer.any_port {
        Err(Drop::Privileged)
    } else if answer.reply.len() > answer.datagram.len() {
        Err(Drop::Short)
    } else if guard.breaks(answer.source, answer.datagram) {
        Err(Drop::Loop)
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
            service: service.word(),
            unix_seconds,
        }),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the guard says to an answer of `reply` bytes to `datagram` bytes from this source.
    fn asked(source: &str, datagram: usize, reply: usize, any_port: bool) -> Result<(), Drop> {
        let mut guard = Guard::new(1);
        guard.add("127.0.0.1:7007".parse().unwrap());
        let (datagram, reply) = (&[0; 99][..datagram], &[0; 99][..reply]);
        let source = source.parse().unwrap();
        permit(&mut guard, &Answer { source, datagram, reply, any_port })
    }

    #[test]
    fn a_source_below_port_1024_is_answered_only_if_it_is_allowed() {
        for port in [0, 1, 7, 53, 1023] {
            let source = format!("192.0.2.1:{port}");
            assert_eq!(asked(&source, 5, 5, false), Err(Drop::Privileged));
            assert_eq!(asked(&source, 5, 5, true), Ok(()));
        }
        assert_eq!(asked("192.0.2.1:1024", 5, 5, false), Ok(()));
    }

    #[test]
    fn our_own_address_is_never_answered() {
        assert_eq!(asked("127.0.0.1:7007", 5, 5, false), Err(Drop::Own));
        assert_eq!(asked("127.0.0.1:7007", 5, 5, true), Err(Drop::Own));
    }

    #[test]
    fn no_answer_is_longer_than_its_datagram() {
        assert_eq!(asked("192.0.2.1:5000", 5, 6, true), Err(Drop::Short));
        assert_eq!(asked("192.0.2.1:5000", 0, 1, true), Err(Drop::Short));
        assert_eq!(asked("192.0.2.1:5000", 0, 0, true), Ok(()));
        assert_eq!(asked("192.0.2.1:5000", 99, 99, true), Ok(()));
    }
}
