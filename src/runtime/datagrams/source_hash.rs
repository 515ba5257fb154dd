//! A fast hash for source addresses. It has a random key, because strangers choose the addresses
//! and must not be able to make them collide.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::core::random::mix;

/// Builds hashers with a random key.
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

/// Mixes each 64-bit word into the state, which starts as the key. Which inputs collide depends on
/// the key.
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
    fn neighbouring_addresses_are_spread_over_all_buckets() {
        let hasher = SourceHash::default();
        for shift in [0, 20, 52] {
            let buckets: HashSet<u64> =
                addresses().map(|address| hasher.hash_one(address) >> shift & 0xFFF).collect();
            // 8,192 random values leave 554 of 4,096 buckets empty.
            assert!((3_400..3_700).contains(&buckets.len()), "{} at {shift}", buckets.len());
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
    fn values_lengths_and_orders_of_bytes_have_different_hashes() {
        let hasher = SourceHash(7);
        let texts = ["", "\0", "\0\0", "a", "ab", "ba", "abcdefgh", "abcdefgh\0", "hgfedcba"];
        let hashes: HashSet<u64> = texts
            .iter()
            .map(|text| {
                let mut mixer = hasher.build_hasher();
                mixer.write(text.as_bytes());
                mixer.finish()
            })
            .collect();
        assert_eq!(hashes.len(), texts.len());
    }
}
