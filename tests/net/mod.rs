//! The simulated network: a small kernel, its peers, and the world that runs the engine. Everything
//! is a function of a seed.

use std::cell::RefCell;
use std::rc::Rc;

use oneloop::core::random::mix;

pub mod answers;
pub mod audit;
pub mod books;
pub mod check;
pub mod faults;
pub mod kernel;
pub mod peer;
pub mod pipe;
pub mod recorded;
pub mod reload;
pub mod remote;
pub mod script;
pub mod socket;
pub mod talk;
pub mod watch;
pub mod world;

pub use faults::{Faults, Mix, Model};
pub use kernel::Kernel;
pub use world::World;

/// The kernel of a run, shared by all sockets and the world.
pub type Net = Rc<RefCell<Kernel>>;

/// The bytes of a stream are a function of the stream's number and the position. So a byte that is
/// lost, repeated or misplaced is detected at once, and nothing has to be stored.
pub fn payload(stream: u64, at: u64, length: usize) -> Vec<u8> {
    let word = |number: u64| mix(stream ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15)).to_le_bytes();
    let words = at / 8..(at + length as u64).div_ceil(8);
    let mut bytes: Vec<u8> = Vec::with_capacity(length + 16);
    words.for_each(|number| bytes.extend(word(number)));
    bytes.drain(..(at % 8) as usize);
    bytes.truncate(length);
    bytes
}
