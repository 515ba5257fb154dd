//! The place in a visit of all connections and flows, slot by slot, over several turns.

/// A place in the sweep over all connections and flows: the next slot to visit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepCursor {
    /// The stream connections were visited.
    pub in_flows: bool,
    pub slot: usize,
}
