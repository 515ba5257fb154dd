//! Keeps the small UDP services from being used for reflection attacks and endless loops.
//!
//! The source of a datagram can be forged. So a reply is never sent to one of our own listeners,
//! nor (unless allowed) to a port where another service may listen, and an endless exchange between
//! two services that answer each other is broken.

use std::net::{IpAddr, SocketAddr};

use crate::core::Random;
use crate::core::event::DropReason;
use crate::core::random::mix;

#[derive(Debug)]
pub struct ReflectionGuard {
    breaker: Breaker,
}

/// A UDP reply that is about to be sent, and what it replies to.
pub struct UdpReply<'a> {
    pub source: SocketAddr,
    /// One of our own listeners receives what is sent to the source.
    pub to_ourselves: bool,
    pub datagram: &'a [u8],
    pub reply: &'a [u8],
    /// Sources with a privileged port are answered too.
    pub any_port: bool,
}

impl ReflectionGuard {
    pub fn new(seed: u64) -> ReflectionGuard {
        ReflectionGuard { breaker: Breaker::new(seed, MARKS) }
    }

    /// Checks whether a reply may be sent. The loop breaker counts it as sent, so it is asked last.
    pub fn permit(&mut self, answer: &UdpReply<'_>) -> Result<(), DropReason> {
        if answer.to_ourselves {
            Err(DropReason::Own)
        } else if is_privileged(answer.source.port()) && !answer.any_port {
            Err(DropReason::Privileged)
        } else if answer.reply.len() > answer.datagram.len() {
            Err(DropReason::Short)
        } else if self.breaker.breaks(answer.source, answer.datagram) {
            Err(DropReason::Loop)
        } else {
            Ok(())
        }
    }
}

/// Lowest port that clients send from. Lower ports belong to services.
const FIRST_CLIENT_PORT: u16 = 1024;

/// Whether the port belongs to a service rather than a client.
fn is_privileged(port: u16) -> bool {
    port < FIRST_CLIENT_PORT
}

/// Whether a listener at this address may be reached from the internet. The wildcard counts as
/// public.
pub fn is_public(address: &SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64;
            !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || shared)
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}

/// Breaks loops of two services that answer each other. Such a loop needs every reply; a client
/// does not. So one in a thousand replies to a repeated datagram (same source, same bytes) is
/// dropped. Datagrams are remembered as 32-bit marks in a table of fixed size.
#[derive(Debug)]
struct Breaker {
    /// Allocated with the first reply. 0 is an empty slot.
    marks: Vec<u32>,
    slots: usize,
    secret: u64,
    random: Random,
}

/// Number of marks (64 KiB). With more sources than this, marks are overwritten, and loops end
/// later.
const MARKS: usize = 1 << 14;

/// Mean number of rounds after which a loop ends, and the share of repeated datagrams that a client
/// loses.
const ONE_IN: u64 = 1000;

impl Breaker {
    fn new(seed: u64, slots: usize) -> Breaker {
        let mut random = Random::new(seed);
        Breaker { marks: Vec::new(), slots, secret: random.draw(), random }
    }

    fn breaks(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        if self.marks.is_empty() {
            self.marks = vec![0; self.slots];
        }
        let word = digest(self.secret, from, bytes);
        let mark = (word >> 32) as u32 | 1;
        let slot = &mut self.marks[word as usize % self.slots];
        if *slot == mark {
            return self.random.once_in(ONE_IN);
        }
        // Two loops may share a slot. If each always overwrote the other's mark, neither would be
        // recognised. So a mark is overwritten with probability one half.
        if *slot == 0 || self.random.once_in(2) {
            *slot = mark;
        }
        false
    }
}

/// An odd multiplier without a pattern: it carries each bit far up.
const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;

/// Hashes a source and its bytes. The secret keeps strangers from choosing inputs that collide.
fn digest(secret: u64, from: SocketAddr, bytes: &[u8]) -> u64 {
    let ip = match from.ip() {
        IpAddr::V4(ip) => ip.to_bits() as u128,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let source = mix(secret ^ ip as u64) ^ mix(!secret ^ (ip >> 64) as u64);
    let word = mix(source ^ (from.port() as u64) << 48 ^ bytes.len() as u64);
    // Four independent states: each multiplication waits only for the previous one of its state.
    let mut states = [word, !word, word.rotate_left(16), word.rotate_left(48)];
    let (rounds, rest) = bytes.as_chunks::<32>();
    for round in rounds {
        for (state, eight) in states.iter_mut().zip(round.as_chunks::<8>().0) {
            *state = step(*state, u64::from_le_bytes(*eight));
        }
    }
    let (eights, rest) = rest.as_chunks();
    for (state, eight) in states.iter_mut().zip(eights) {
        *state = step(*state, u64::from_le_bytes(*eight));
    }
    let rest = rest.iter().fold(1, |rest, byte| rest << 8 | *byte as u64);
    states.into_iter().fold(rest, |word, state| mix(word ^ state))
}

fn step(state: u64, word: u64) -> u64 {
    (state.rotate_left(25) ^ word).wrapping_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// Checks a reply of `reply` bytes to `datagram` bytes from this source.
    fn checked(
        source: &str,
        datagram: usize,
        reply: usize,
        any_port: bool,
    ) -> Result<(), DropReason> {
        let source = at(source);
        let to_ourselves = source == at("127.0.0.1:7007");
        let (datagram, reply) = (&[0; 99][..datagram], &[0; 99][..reply]);
        let answer = UdpReply { source, to_ourselves, datagram, reply, any_port };
        ReflectionGuard::new(1).permit(&answer)
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

    #[test]
    fn clients_have_ports_from_1024_on() {
        assert!(is_privileged(0) && is_privileged(7) && is_privileged(1023));
        assert!(!is_privileged(1024) && !is_privileged(u16::MAX));
    }

    #[test]
    fn public_is_what_is_not_known_to_be_closed() {
        for closed in ["127.0.0.1:7", "10.1.2.3:7", "192.168.0.1:7", "172.16.0.1:7", "[::1]:7"] {
            assert!(!is_public(&at(closed)), "{closed}");
        }
        for closed in ["169.254.0.1:7", "100.64.0.1:7", "[fe80::1]:7", "[fd00::1]:7"] {
            assert!(!is_public(&at(closed)), "{closed}");
        }
        for open in ["0.0.0.0:7", "[::]:7", "192.0.2.1:7", "100.63.0.1:7", "[2001:db8::1]:7"] {
            assert!(is_public(&at(open)), "{open}");
        }
        assert!(!is_public(&at("[::ffff:127.0.0.1]:7")));
    }

    #[test]
    fn each_byte_of_a_datagram_and_its_source_count_for_its_mark() {
        let mark = |from: &str, bytes: &[u8]| digest(7, at(from), bytes);
        for length in 0..100 {
            let mut bytes = vec![7; length];
            let mut marks = HashSet::from([mark("192.0.2.1:5000", &bytes)]);
            for number in 0..length {
                bytes[number] = 8;
                assert!(marks.insert(mark("192.0.2.1:5000", &bytes)), "{number} of {length}");
                bytes[number] = 7;
            }
            for source in ["192.0.2.2:5000", "192.0.2.1:5001", "[::1]:5000", "[1::]:5000"] {
                assert!(marks.insert(mark(source, &bytes)), "{source}, {length}");
            }
            bytes.push(7);
            assert!(marks.insert(mark("192.0.2.1:5000", &bytes)), "{length} and one more");
        }
        let words: Vec<u8> = (0..64).collect();
        let mut turned = words.clone();
        turned.rotate_left(8);
        assert_ne!(mark("192.0.2.1:5000", &words), mark("192.0.2.1:5000", &turned));
    }

    /// Runs `loops` loops in turns, and returns the round in which the last one is broken.
    fn loops_end(seed: u64, loops: u64, slots: usize) -> u64 {
        let mut breaker = Breaker::new(seed, slots);
        let mut alive: Vec<u64> = (0..loops).collect();
        for round in 0..1_000_000 {
            alive.retain(|n| !breaker.breaks(at("192.0.2.1:7007"), &n.to_le_bytes()));
            if alive.is_empty() {
                return round;
            }
        }
        panic!("{} of {loops} loops never end", alive.len());
    }

    #[test]
    fn every_loop_ends() {
        assert!((0..20).map(|seed| loops_end(seed, 1, MARKS)).sum::<u64>() / 20 < 3_000);
        assert!(loops_end(1, 200, MARKS) < 30_000);
    }

    #[test]
    fn loops_that_share_a_slot_end_too() {
        // More loops than slots, always in the same order.
        assert!((0..10).all(|seed| loops_end(seed, 2, 1) < 50_000));
        assert!(loops_end(1, 200, 64) < 200_000);
    }

    #[test]
    fn a_client_that_never_repeats_itself_loses_nothing() {
        let mut guard = ReflectionGuard::new(5);
        let lost = (0..100_000_u64)
            .filter(|n| guard.breaker.breaks(at("192.0.2.1:5000"), &n.to_le_bytes()))
            .count();
        assert_eq!(lost, 0);
    }

    #[test]
    fn a_client_that_repeats_itself_loses_about_one_in_a_thousand() {
        let mut guard = ReflectionGuard::new(5);
        let lost =
            (0..100_000).filter(|_| guard.breaker.breaks(at("192.0.2.1:5000"), b"ping")).count();
        assert!((50..200).contains(&lost), "{lost} of 100,000");
    }
}
