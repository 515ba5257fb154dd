//! A seeded random number generator: the same seed gives the same numbers. Not for secrets.

/// SplitMix64. Each number is a hash of a counter, so the state is one word and every seed is good.
#[derive(Clone, Debug)]
pub struct Random(u64);

/// The counter's increment: 2^64 divided by the golden ratio, made odd.
const STRIDE: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Returns the next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STRIDE);
        mix(self.0)
    }

    /// Returns a number below `limit`, which must not be 0. Uniform as long as `limit` is far below
    /// 2^64.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    /// Shuffles the items.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// Returns true with probability 1/n.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Hashes a word: each of its bits changes about half of the result's.
pub fn mix(word: u64) -> u64 {
    let word = (word ^ word >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ word >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_all_numbers() {
        let run = |seed| {
            let mut random = Random::new(seed);
            (0..10).map(|_| random.draw()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
    }

    #[test]
    fn a_shuffle_keeps_all_items_and_puts_each_first_equally_often() {
        let (mut random, mut firsts) = (Random::new(1), [0; 5]);
        for _ in 0..5000 {
            let mut items = [0, 1, 2, 3, 4];
            random.shuffle(&mut items);
            firsts[items[0]] += 1;
            items.sort();
            assert_eq!(items, [0, 1, 2, 3, 4]);
        }
        assert!(firsts.iter().all(|first| (800..1200).contains(first)), "{firsts:?}");
        random.shuffle::<u8>(&mut []);
    }

    #[test]
    fn chances_come_out_about_right() {
        let mut random = Random::new(1);
        let hits = (0..100_000).filter(|_| random.once_in(1000)).count();
        assert!((50..200).contains(&hits), "{hits} of 100,000");
        assert!((0..1000).all(|_| random.below(3) < 3));
    }

    /// The generator is SplitMix64, whose numbers for seed 0 are known.
    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        let mut random = Random::new(0);
        let drawn = [random.draw(), random.draw(), random.draw()];
        assert_eq!(drawn, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
        assert!((0..1000).map(|_| random.below(3)).any(|drawn| drawn == 2));
    }
}
