//! The plan of `oneloop doctor`.

use super::{Address, Color};

/// Connections, target and output of one report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorPlan {
    /// None: report the maximum.
    pub conns: Option<usize>,
    /// The address to connect to. None: server limits are reported too.
    pub target: Option<Address>,
    /// Print JSON.
    pub json: bool,
    pub color: Color,
}
