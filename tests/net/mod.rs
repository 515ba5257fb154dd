//! The simulated network: a small honest kernel, the peers behind it, and the world that turns the
//! engine. All of it is a function of a seed.

use std::cell::RefCell;
use std::rc::Rc;

use oneloop::core::random::mix;

pub mod audit;
pub mod check;
pub mod faults;
pub mod kernel;
pub mod peer;
pub mod pipe;
pub mod remote;
pub mod script;
pub mod socket;
pub mod talk;
pub mod watch;
pub mod world;

pub use faults::{Faults, Mix, Model};
pub use kernel::Kernel;
pub use world::World;

/// The one kernel of a run: each socket and the world hold on to it.
pub type Net = Rc<RefCell<Kernel>>;

/// The bytes of a stream are a function of the stream's number and the position. So a byte that is
/// lost, repeated, moved or mixed up is found at once, and nothing has to be remembered.
pub fn payload(stream: u64, at: u64, length: usize) -> Vec<u8> {
    (at..at + length as u64).map(|position| payload_byte(stream, position)).collect()
}

/// One byte of a stream.
pub fn payload_byte(stream: u64, at: u64) -> u8 {
    (mix(stream ^ (at >> 3).wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> (8 * (at & 7))) as u8
}
