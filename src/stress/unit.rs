//! The unit of work of a load, in which its results are counted.

use crate::config::LoadKind;

/// The unit of work of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkUnit {
    None,
    Message,
    Connection,
    Gibibyte,
}

impl WorkUnit {
    /// Returns the unit of this kind of load.
    pub fn of(kind: LoadKind) -> WorkUnit {
        match kind {
            LoadKind::Idle => WorkUnit::None,
            LoadKind::Echo | LoadKind::Pulse => WorkUnit::Message,
            LoadKind::Churn | LoadKind::Storm | LoadKind::Reset => WorkUnit::Connection,
            LoadKind::Stream => WorkUnit::Gibibyte,
        }
    }
}

/// Bytes in a gibibyte.
pub const GIBIBYTE: f64 = (1u64 << 30) as f64;
