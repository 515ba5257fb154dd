//! The replies of the small services to datagrams. Each datagram gets at most one reply, and over
//! UDP the reply is never longer than the request. Sends nothing.

use super::reflection_guard::{ReflectionGuard, UdpReply};
use crate::config::{self, Service};
use crate::core::event::DropReason;
use crate::core::{Random, chargen};
use crate::net::remote::Remote;
use crate::service::text::{self, PeerFacts};

/// Maximum bytes of a chargen reply (RFC 864).
const CHARGEN_BYTES: u64 = 512;

/// Computes replies, and decides which of them may be sent.
#[derive(Debug)]
pub(super) struct Answers {
    guard: ReflectionGuard,
    random: Random,
}

/// Where datagrams came from, and what serves them.
pub(super) struct Request<'a> {
    pub from: &'a Remote,
    /// One of our own listeners receives what is sent to `from`.
    pub from_ourselves: bool,
    /// The bound address of the listener.
    pub local: &'a Remote,
    pub route: &'a config::Route,
    /// The time of day.
    pub unix_seconds: i64,
}

impl Answers {
    /// `seed` decides which replies of a loop are dropped, and the length of chargen replies.
    pub fn new(seed: u64) -> Answers {
        Answers { guard: ReflectionGuard::new(seed), random: Random::new(!seed) }
    }

    /// Returns the reply to a datagram, or why it is dropped instead. The caller sends the reply.
    pub fn reply(&mut self, request: &Request<'_>, datagram: &[u8]) -> Result<Vec<u8>, DropReason> {
        let reply = match &request.route.service {
            // The source of a UDP datagram can be forged. The sender of a Unix datagram cannot.
            Service::Chargen if request.from.is_inet() => self.characters(datagram.len()),
            Service::Chargen => self.characters(usize::MAX),
            service => render(service, request),
        };
        self.permit(request, datagram, &reply).map(|()| reply)
    }

    /// Checks whether this reply to a datagram may be sent, and counts it as sent if so.
    pub fn permit(
        &mut self,
        request: &Request<'_>,
        datagram: &[u8],
        reply: &[u8],
    ) -> Result<(), DropReason> {
        match request.from.inet() {
            Some(source) => self.guard.permit(&UdpReply {
                source,
                to_ourselves: request.from_ourselves,
                datagram,
                reply,
                any_port: request.route.policy.udp_allow_low_ports,
            }),
            None if request.from.is_named() => Ok(()),
            None => Err(DropReason::NoWay),
        }
    }

    /// Returns a random number of characters, as RFC 864 requires. Any prefix is a valid reply.
    fn characters(&mut self, limit: usize) -> Vec<u8> {
        let length = self.random.below(CHARGEN_BYTES + 1) as usize;
        let mut text = vec![0; length.min(limit)];
        chargen::fill(0, &mut text);
        text
    }
}

/// Renders the reply of a service that does not depend on the datagram.
fn render(service: &Service, request: &Request<'_>) -> Vec<u8> {
    match service {
        Service::Daytime => text::daytime(request.unix_seconds),
        Service::Time => text::time(request.unix_seconds),
        Service::Whoami => whoami(service, request),
        Service::Echo
        | Service::Discard
        | Service::Chargen
        | Service::Greet { .. }
        | Service::Relay(_)
        | Service::Hub { .. } => Vec::new(),
    }
}

fn whoami(service: &Service, request: &Request<'_>) -> Vec<u8> {
    let local = request.from.reply_source(request.local);
    text::whoami(&PeerFacts {
        peer: request.from.peer(),
        local: local.peer(),
        transport: if local.is_inet() { "udp" } else { "unix-dgram" },
        tcp_info: String::new(),
        service: service.name(),
        unix_seconds: request.unix_seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;

    /// The reply of a route to `datagram` bytes from this source.
    fn reply(route: &str, source: &str, datagram: usize) -> Result<Vec<u8>, DropReason> {
        let udp = |text: &str| Remote::Inet(text.parse().unwrap(), None);
        let request = Request {
            from: &udp(source),
            from_ourselves: source == "127.0.0.1:7007",
            local: &udp("127.0.0.1:7007"),
            route: &config::Route::parse(route, &Policy::default()).unwrap(),
            unix_seconds: 0,
        };
        Answers::new(1).reply(&request, &vec![0; datagram])
    }

    #[test]
    fn a_reply_is_computed_and_checked() {
        assert_eq!(reply("udp://:7007=time", "192.0.2.1:5000", 4).unwrap().len(), 4);
        assert_eq!(reply("udp://:7007=time", "192.0.2.1:5000", 3), Err(DropReason::Short));
        assert_eq!(reply("udp://:7007=time", "127.0.0.1:7007", 4), Err(DropReason::Own));
        assert_eq!(reply("udp://:7007=time", "192.0.2.1:53", 4), Err(DropReason::Privileged));
        let whoami = reply("udp://:7007=whoami", "192.0.2.1:5000", 500).unwrap();
        assert!(String::from_utf8(whoami).unwrap().contains("192.0.2.1:5000"));
    }

    #[test]
    fn a_chargen_reply_is_never_longer_than_its_datagram() {
        for length in [0, 1, 9, 500] {
            assert!(
                reply("udp://:7007=chargen", "192.0.2.1:5000", length).unwrap().len() <= length
            );
        }
    }

    #[test]
    #[cfg(unix)]
    fn a_unix_sender_without_a_name_gets_no_reply() {
        let unnamed = std::os::unix::net::UnixDatagram::unbound().unwrap();
        let unnamed = mio::net::UnixDatagram::from_std(unnamed);
        let from = crate::net::datagram_socket::DatagramSocket::Unix(unnamed).local().unwrap();
        let route = config::Route::parse("unix-dgram:/x=daytime", &Policy::default()).unwrap();
        let (from_ourselves, unix_seconds) = (false, 0);
        let request =
            Request { from: &from, from_ourselves, local: &from, route: &route, unix_seconds };
        assert_eq!(Answers::new(1).reply(&request, b""), Err(DropReason::NoWay));
    }
}
