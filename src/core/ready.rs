//! The readiness of an end, as bits.

use std::fmt;

/// Readiness bits of an end. Events set them. READ and WRITE are cleared only by a call that would
/// block, or by a short read that proves the socket drained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready(u8);

/// The names of the bits, lowest first.
const NAMES: [&str; 8] =
    ["readable", "writable", "read closed", "urgent", "error", "opening", "read off", "discarding"];

impl Ready {
    pub const NONE: Ready = Ready(0);
    /// A read may return bytes.
    pub const READ: Ready = Ready(1);
    /// A write may be accepted.
    pub const WRITE: Ready = Ready(2);
    /// The peer has sent a FIN: an end of file follows the last byte, so read to the end.
    pub const READ_CLOSED: Ready = Ready(4);
    /// Urgent data was received once: from then on a short read proves nothing.
    pub const URGENT: Ready = Ready(8);
    /// An event reported an error. If the end cannot be read up to it, the socket's error is read.
    pub const ERROR: Ready = Ready(16);
    /// Not connected yet. Its other bits are hints only, since an event may belong to an earlier
    /// attempt: the socket is first asked whether it is connected.
    pub const OPENING: Ready = Ready(32);
    /// Read events of this end are disabled: bytes are known to be waiting and cannot be read yet.
    pub const READ_OFF: Ready = Ready(64);
    /// What is written to this local end is discarded.
    pub const DISCARD: Ready = Ready(128);

    /// Returns the bits as a number, for recordings.
    pub const fn to_bits(self) -> u8 {
        self.0
    }

    pub const fn from_bits(bits: u8) -> Ready {
        Ready(bits)
    }

    /// Whether all of `bits` are set.
    pub const fn has(self, bits: Ready) -> bool {
        self.0 & bits.0 == bits.0
    }

    /// Whether any of `bits` is set.
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

/// The names of the bits: `readable+writable`; with `{:#}`: `readable, writable`.
impl fmt::Display for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Ready::NONE {
            return f.write_str("not ready");
        }
        let separator = if f.alternate() { ", " } else { "+" };
        let names = (0..).zip(NAMES).filter(|(bit, _)| self.0 & 1 << bit != 0);
        for (at, (_, name)) in names.enumerate() {
            f.write_str(if at == 0 { "" } else { separator })?;
            f.write_str(name)?;
        }
        Ok(())
    }
}
