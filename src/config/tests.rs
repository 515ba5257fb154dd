//! Random texts for the parsers of plans: none may panic, and what is accepted must print back.

use std::hash::{BuildHasher, RandomState};

use super::parse::ParseError;
use super::{Address, Listen, unit};
use crate::core::random::Random;

/// How many texts one run tries.
const TEXTS: usize = 10_000;

/// Where the mutations start from.
const SEEDLINGS: [&str; 20] = [
    "7007",
    "*:7007",
    "127.0.0.1:7007",
    "[::1]:7007",
    "[fe80::1%eth0]:80",
    "db1.example.:5432",
    "tcp://[::]:80,v6only,backlog=4k",
    "udp://:53,reuseport",
    "unix:/run/x.sock,mode=0660",
    "unix:///run/x.sock",
    "unix-dgram:@x",
    "abns@x",
    "ipv6@:80",
    "//a/../b",
    "./x",
    "500ms",
    "1.25h",
    "off",
    "64KiB",
    "2k/s",
];

/// What mutations are made of: all signs with a meaning, and some without.
const SIGNS: [&str; 32] = [
    "0",
    "1",
    "9",
    "65536",
    ":",
    "::",
    "[",
    "]",
    "%",
    "@",
    "/",
    "//",
    ".",
    "-",
    ",",
    "=",
    "*",
    "+",
    "a",
    "k",
    "m",
    "s",
    "tcp://",
    "udp:",
    "unix:",
    "v6only",
    "\\",
    "{",
    "}",
    "ä",
    "\u{1F980}",
    "\n",
];

/// Draws from a seed that is another one in each run.
pub struct Dice(Random);

impl Dice {
    /// `ONELOOP_SEED` replays a run. The seed is printed when a test fails.
    pub fn throw() -> Dice {
        let replay = std::env::var("ONELOOP_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed: u64 = replay.unwrap_or_else(|| RandomState::new().hash_one(0));
        println!("ONELOOP_SEED={seed}");
        Dice(Random::new(seed))
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0.below(limit as u64) as usize
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// One of the seeds with some bytes overwritten: none is moved.
    pub fn overwritten(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        const EDGES: [u8; 8] = [0, 1, 2, 0x10, 0x7f, 0x80, 0xfe, 0xff];
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..=self.below(8) {
            let at = self.below(bytes.len());
            let end = (at + [1, 1, 2, 4, 8][self.below(5)]).min(bytes.len());
            let byte = match self.below(3) {
                0 => self.below(256) as u8,
                _ => EDGES[self.below(EDGES.len())],
            };
            bytes[at..end].fill(byte);
        }
        bytes
    }

    /// One of the seedlings with some pieces put in, taken out or doubled.
    pub fn text(&mut self, seedlings: &[&str]) -> String {
        let mut chars: Vec<char> = seedlings[self.below(seedlings.len())].chars().collect();
        for _ in 0..self.below(5) {
            let at = self.below(chars.len() + 1);
            let end = (at + self.below(4)).min(chars.len());
            let piece: Vec<char> = match self.below(3) {
                0 => Vec::new(),
                1 => SIGNS[self.below(SIGNS.len())].chars().collect(),
                _ => chars[at..end].repeat(2),
            };
            let end = if self.below(2) == 0 { at } else { end };
            chars.splice(at..end, piece);
        }
        chars.into_iter().collect()
    }

    /// One of the seeds with some bytes changed, and pieces put in, taken out or doubled.
    pub fn bytes(&mut self, seeds: &[Vec<u8>], pieces: &[&[u8]]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(5) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(16)).min(bytes.len());
            let piece = match self.below(4) {
                0 => Vec::new(),
                1 => vec![self.below(256) as u8],
                2 => pieces[self.below(pieces.len())].to_vec(),
                _ => bytes[at..end].repeat(2),
            };
            let end = if self.below(2) == 0 { at } else { end };
            bytes.splice(at..end, piece);
        }
        bytes
    }
}

/// An error must be printable, and its span a place in the text.
pub fn check(error: &ParseError) {
    assert!(error.text.get(error.span.clone()).is_some(), "{:?}", error);
    assert!(error.to_string().lines().count() >= 3, "{error}");
}

#[test]
fn any_text_is_refused_in_order_or_prints_back_as_it_was_understood() {
    let mut dice = Dice::throw();
    let mut accepted = 0;
    for _ in 0..TEXTS {
        let text = dice.text(&SEEDLINGS);
        match Listen::parse(&text) {
            Ok(listen) => {
                accepted += 1;
                let printed = listen.to_string();
                assert_eq!(Listen::parse(&printed), Ok(listen), "{text:?} printed {printed:?}");
            }
            Err(error) => check(&error),
        }
        match Address::parse_target(&text) {
            Ok(address) => {
                assert_eq!(Address::parse(&address.to_string()), Ok(address), "{text:?}")
            }
            Err(error) => check(&error),
        }
        match unit::duration(&text) {
            Ok(time) => {
                assert_eq!(unit::duration(&unit::show_duration(time)), Ok(time), "{text:?}")
            }
            Err(error) => check(&error),
        }
        for error in [unit::timeout(&text).err(), unit::count(&text).err(), unit::size(&text).err()]
        {
            error.as_ref().inspect(|error| check(error));
        }
        unit::rate(&text).err().as_ref().inspect(|error| check(error));
    }
    assert!(accepted > TEXTS / 20, "only {accepted} were accepted: the test has lost its aim");
}
