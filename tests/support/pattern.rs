//! The bytes that tests send.

/// Returns the byte at a position of a stream. Streams of different seeds differ, and no part of a
/// stream equals another part of it.
pub fn byte(seed: u64, at: usize) -> u8 {
    let word = (at as u64 / 8).wrapping_add(seed << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((word ^ word >> 29) >> (at % 8 * 8)) as u8
}

pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    (0..length).map(|at| byte(seed, at)).collect()
}
