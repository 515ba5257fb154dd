//! A hash for the addresses of sources: quick, and keyed with chance, since strangers choose the
//! addresses and must not be able to make all of them fall into one place.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::core::random::mix;

/// Makes hashers with a key of its own.
#[derive(Clone, Debug)]
pub struct SourceHash(u64);

impl Default for SourceHash {
    fn default() -> SourceHash {
        SourceHash(RandomState::new().hash_one(0))
    }
}

impl BuildHasher for SourceHash {
    type Hasher = Mixer;

    fn build_hasher(&self) -> Mixer {
        Mixer(self.0)
    }
}

/// Each word is mixed with all that came before it, the key first: two different inputs come to the
/// same only by chance, and which ones do differs from key to key.
#[derive(Debug)]
pub struct Mixer(u64);

impl Hasher for Mixer {
    fn write_u64(&mut self, word: u64) {
        self.0 = mix(self.0 ^ word);
    }

    fn write_u8(&mut self, byte: u8) {
        self.write_u64(byte.into());
    }

    fn write_u16(&mut self, number: u16) {
        self.write_u64(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(number.into());
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        let (eights, rest) = bytes.as_chunks();
        for eight in eights {
            self.write_u64(u64::from_le_bytes(*eight));
        }
        self.write_u64(rest.iter().fold(1, |word, byte| word << 8 | *byte as u64));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::net::SocketAddr;

    fn addresses() -> impl Iterator<Item = SocketAddr> {
        let v4 = (0..64_u8).flat_map(|host| {
            (1024..1088).map(move |port| SocketAddr::from(([192, 0, 2, host], port)))
        });
        let v6 = (0..64_u16).flat_map(|host| {
            (1024..1088)
                .map(move |port| SocketAddr::from(([0x2001, 0xdb8, 0, host, 0, 0, 0, host], port)))
        });
        v4.chain(v6)
    }

    #[test]
    fn neighbours_are_spread_over_all_places() {
        let keyed = SourceHash::default();
        for shift in [0, 20, 52] {
            let places: HashSet<u64> =
                addresses().map(|address| keyed.hash_one(address) >> shift & 0xFFF).collect();
            // Of 4,096 places, 8,192 balls of chance leave 554 empty.
            assert!((3_400..3_700).contains(&places.len()), "{} at {shift}", places.len());
        }
    }

    #[test]
    fn another_key_is_another_order() {
        let (one, other) = (SourceHash(1), SourceHash(2));
        assert!(addresses().all(|address| one.hash_one(address) != other.hash_one(address)));
        assert!(
            addresses().all(|address| one.hash_one(address) == SourceHash(1).hash_one(address))
        );
    }

    #[test]
    fn bytes_are_told_apart_by_value_length_and_order() {
        let keyed = SourceHash(7);
        let texts = ["", "\0", "\0\0", "a", "ab", "ba", "abcdefgh", "abcdefgh\0", "hgfedcba"];
        let hashes: HashSet<u64> = texts
            .iter()
            .map(|text| {
                let mut mixer = keyed.build_hasher();
                mixer.write(text.as_bytes());
                mixer.finish()
            })
            .collect();
        assert_eq!(hashes.len(), texts.len());
    }
}
