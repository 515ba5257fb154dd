//! What the system last said of an end, in bits.

use std::fmt;

/// What is known of an end, as bits. The system's events set them; only a call that would block (or
/// a short read that proves the socket drained) clears READ and WRITE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u8);

impl Ready {
    pub const NONE: Ready = Ready(0);
    /// A read may find something.
    pub const READ: Ready = Ready(1);
    /// A write may be taken.
    pub const WRITE: Ready = Ready(2);
    /// The peer has closed: an end of file waits behind the last byte, so read on to it.
    pub const READ_CLOSED: Ready = Ready(4);
    /// Urgent data was seen once: from then on a short read proves nothing.
    pub const URGENT: Ready = Ready(8);
    /// The system hinted at an error: if we cannot read up to it, ask for it.
    pub const ERROR: Ready = Ready(16);
    /// Not connected yet, so nothing else may be believed of it: an event may still be that of an
    /// attempt before. The first thing to ask of it is whether it is connected.
    pub const OPENING: Ready = Ready(32);
    /// The system is not to name this end for what comes in: we know that something waits, and
    /// cannot take it yet.
    pub const READ_OFF: Ready = Ready(64);

    pub const fn has(self, bits: Ready) -> bool {
        self.0 & bits.0 == bits.0
    }

    pub const fn any(self, bits: Ready) -> bool {
        self.0 & bits.0 != 0
    }

    pub const fn with(self, bits: Ready) -> Ready {
        Ready(self.0 | bits.0)
    }

    pub const fn without(self, bits: Ready) -> Ready {
        Ready(self.0 & !bits.0)
    }
}

/// One letter a bit: `rw`, `r` and `l` (last), `u` (urgent), `e` (error), `d` (dialing), `m`
/// (muted).
impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Ready::NONE {
            return f.write_str("-");
        }
        (0..7)
            .filter(|bit| self.0 & 1 << bit != 0)
            .try_for_each(|bit| f.write_str(&"rwluedm"[bit..=bit]))
    }
}
