//! The guard: keeps the small services of UDP from being used against others, or against ourselves.
//!
//! Anybody can forge the source of a datagram. So an answer never goes to our own doors, nor
//! (unless it is allowed) to a port where another service may sit; and an endless exchange between
//! two services that answer each other must end by itself.

use std::net::{IpAddr, SocketAddr};

use crate::core::Random;
use crate::core::random::mix;
use crate::shell::self_connect::meets;

#[derive(Debug)]
pub struct ReflectionGuard {
    /// What our own UDP doors are bound to.
    listeners: Vec<SocketAddr>,
    breaker: Breaker,
}

impl ReflectionGuard {
    pub fn new(seed: u64) -> ReflectionGuard {
        ReflectionGuard { listeners: Vec::new(), breaker: Breaker::new(seed, MARKS) }
    }

    pub fn add(&mut self, listener: SocketAddr) {
        self.listeners.push(listener);
        self.listeners.sort_unstable_by_key(SocketAddr::port);
    }

    pub fn remove(&mut self, listener: SocketAddr) {
        self.listeners.retain(|known| *known != listener);
    }

    /// Whether what goes to this address comes in at one of our own doors. A door that is bound to
    /// every address is met by each address of this machine: `is_ours` knows them.
    pub fn owns(&self, address: SocketAddr, is_ours: impl Fn(IpAddr) -> bool) -> bool {
        let first = self.listeners.partition_point(|listener| listener.port() < address.port());
        let same_port = self.listeners[first..].iter().take_while(|d| d.port() == address.port());
        same_port.into_iter().any(|listener| meets(listener, address, &is_ours))
    }

    /// Whether the answer to these bytes must be dropped to break a loop.
    pub fn breaks(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        self.breaker.breaks(from, bytes)
    }
}

/// Ports below this one belong to services; no honest client sends from there.
const FIRST_CLIENT_PORT: u16 = 1024;

/// Whether a service sits at this port rather than a client.
pub fn is_privileged(port: u16) -> bool {
    port < FIRST_CLIENT_PORT
}

/// Whether a door at this address may be reached from the open internet. Every address counts.
pub fn is_public(address: &SocketAddr) -> bool {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            let shared = ip.octets()[0] == 100 && ip.octets()[1] & 0xC0 == 64;
            !(ip.is_loopback() || ip.is_private() || ip.is_link_local() || shared)
        }
        IpAddr::V6(ip) => !(ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()),
    }
}

/// Breaks loops: a loop of two services that answer each other needs every reply, an honest client
/// does not. So one in a thousand replies to bytes that were seen before from the same source is
/// dropped. What was seen is kept as short marks in a table of fixed size.
#[derive(Debug)]
struct Breaker {
    /// Made when the first answer goes out. 0 is an empty place.
    marks: Vec<u32>,
    places: usize,
    secret: u64,
    random: Random,
}

/// 64 KiB in all. Sources beyond this number push each other out, and are caught later.
const MARKS: usize = 1 << 14;

/// A loop ends after so many rounds on average: within a blink, and at a loss few clients notice.
const ONE_IN: u64 = 1000;

impl Breaker {
    fn new(seed: u64, places: usize) -> Breaker {
        let mut random = Random::new(seed);
        Breaker { marks: Vec::new(), places, secret: random.draw(), random }
    }

    fn breaks(&mut self, from: SocketAddr, bytes: &[u8]) -> bool {
        if self.marks.is_empty() {
            self.marks = vec![0; self.places];
        }
        let word = digest(self.secret, from, bytes);
        let mark = (word >> 32) as u32 | 1;
        let place = &mut self.marks[word as usize % self.places];
        if *place == mark {
            return self.random.once_in(ONE_IN);
        }
        // Two loops may take turns at one place. If each always pushed the other out, neither would
        // ever be recognised; so the one that sits there keeps its place half of the time.
        if *place == 0 || self.random.once_in(2) {
            *place = mark;
        }
        false
    }
}

/// Odd and without a pattern: multiplying by it carries each bit far up.
const FACTOR: u64 = 0xD6E8_FEB8_6659_FD93;

/// A mark of a source and its bytes. The secret keeps strangers from choosing marks that collide.
fn digest(secret: u64, from: SocketAddr, bytes: &[u8]) -> u64 {
    let ip = match from.ip() {
        IpAddr::V4(ip) => ip.to_bits() as u128,
        IpAddr::V6(ip) => ip.to_bits(),
    };
    let source = mix(secret ^ ip as u64) ^ mix(!secret ^ (ip >> 64) as u64);
    let word = mix(source ^ (from.port() as u64) << 48 ^ bytes.len() as u64);
    // Four words at once: each multiplication waits for the one before it, but not for the others.
    let mut lists = [word, !word, word.rotate_left(16), word.rotate_left(48)];
    let (rounds, rest) = bytes.as_chunks::<32>();
    for round in rounds {
        for (list, eight) in lists.iter_mut().zip(round.as_chunks::<8>().0) {
            *list = step(*list, u64::from_le_bytes(*eight));
        }
    }
    let (eights, rest) = rest.as_chunks();
    for (list, eight) in lists.iter_mut().zip(eights) {
        *list = step(*list, u64::from_le_bytes(*eight));
    }
    let rest = rest.iter().fold(1, |rest, byte| rest << 8 | *byte as u64);
    lists.into_iter().fold(rest, |word, list| mix(word ^ list))
}

fn step(list: u64, word: u64) -> u64 {
    (list.rotate_left(25) ^ word).wrapping_mul(FACTOR)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn our_own_doors_are_known() {
        let mut guard = ReflectionGuard::new(1);
        guard.add(at("127.0.0.1:7007"));
        guard.add(at("[::]:9009"));
        let owns = |address| guard.owns(at(address), |ip| ip == at("192.0.2.1:0").ip());
        assert!(owns("127.0.0.1:7007") && owns("[::ffff:127.0.0.1]:7007"));
        assert!(!owns("127.0.0.1:7008") && !owns("127.0.0.2:7007"));
        assert!(owns("[::1]:9009") && owns("127.0.0.9:9009") && owns("192.0.2.1:9009"));
        assert!(!owns("192.0.2.2:9009") && !owns("192.0.2.1:9008"));
    }

    #[test]
    fn a_door_that_was_removed_is_no_longer_ours() {
        let mut guard = ReflectionGuard::new(1);
        guard.add(at("127.0.0.1:7007"));
        guard.remove(at("127.0.0.1:7007"));
        assert!(!guard.owns(at("127.0.0.1:7007"), |_| true));
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
            let mut seen = HashSet::from([mark("192.0.2.1:5000", &bytes)]);
            for number in 0..length {
                bytes[number] = 8;
                assert!(seen.insert(mark("192.0.2.1:5000", &bytes)), "{number} of {length}");
                bytes[number] = 7;
            }
            for source in ["192.0.2.2:5000", "192.0.2.1:5001", "[::1]:5000", "[1::]:5000"] {
                assert!(seen.insert(mark(source, &bytes)), "{source}, {length}");
            }
            bytes.push(7);
            assert!(seen.insert(mark("192.0.2.1:5000", &bytes)), "{length} and one more");
        }
        let words: Vec<u8> = (0..64).collect();
        let mut turned = words.clone();
        turned.rotate_left(8);
        assert_ne!(mark("192.0.2.1:5000", &words), mark("192.0.2.1:5000", &turned));
    }

    /// The round in which the breaker has ended all of so many loops that take turns.
    fn loops_end(seed: u64, loops: u64, places: usize) -> u64 {
        let mut breaker = Breaker::new(seed, places);
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
    fn loops_that_share_a_place_end_too() {
        // More of them than places, and always in the same order.
        assert!((0..10).all(|seed| loops_end(seed, 2, 1) < 50_000));
        assert!(loops_end(1, 200, 64) < 200_000);
    }

    #[test]
    fn a_client_that_never_repeats_itself_loses_nothing() {
        let mut guard = ReflectionGuard::new(5);
        let lost = (0..100_000_u64)
            .filter(|n| guard.breaks(at("192.0.2.1:5000"), &n.to_le_bytes()))
            .count();
        assert_eq!(lost, 0);
    }

    #[test]
    fn a_client_that_repeats_itself_loses_about_one_in_a_thousand() {
        let mut guard = ReflectionGuard::new(5);
        let lost = (0..100_000).filter(|_| guard.breaks(at("192.0.2.1:5000"), b"ping")).count();
        assert!((50..200).contains(&lost), "{lost} of 100,000");
    }
}
