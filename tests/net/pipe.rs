//! A simulated pipe: small, so that it is filled in the middle of things.

use std::io;

use oneloop::core::Pipe;

/// It claims to be large, as the core wants it, and takes little at a time.
pub struct Tube {
    pub bytes: Vec<u8>,
}

/// The most that one splice moves.
pub const MOST: usize = 160;

impl Pipe for Tube {
    fn open(_: usize) -> io::Result<Tube> {
        Ok(Tube { bytes: Vec::new() })
    }

    fn capacity(&self) -> usize {
        1 << 20
    }
}
