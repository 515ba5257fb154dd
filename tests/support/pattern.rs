//! The bytes that tests send.

/// The byte at each place of a stream: no two streams of different seeds are alike, and no part of
/// one looks like another part of it.
pub fn byte(seed: u64, at: usize) -> u8 {
    let word = (at as u64 / 8).wrapping_add(seed << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((word ^ word >> 29) >> (at % 8 * 8)) as u8
}

pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| byte(seed, at)).collect()
}
