//! What one counts of a load: its unit of work.

use crate::config::LoadKind;

/// What one counts of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    None,
    Message,
    Connection,
    Gibibyte,
}

impl Unit {
    /// What a load of this kind is measured by.
    pub fn of(kind: LoadKind) -> Unit {
        match kind {
            LoadKind::Idle => Unit::None,
            LoadKind::Echo | LoadKind::Pulse => Unit::Message,
            LoadKind::Churn | LoadKind::Storm | LoadKind::Reset => Unit::Connection,
            LoadKind::Stream => Unit::Gibibyte,
        }
    }
}

pub const GIBIBYTE: f64 = (1u64 << 30) as f64;
