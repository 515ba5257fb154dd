//! What the doctor is asked: for how many connections, to whom, and in which form to answer.

use super::{Address, Color};

/// One question to the doctor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DoctorPlan {
    /// None: tell how many fit.
    pub conns: Option<usize>,
    /// None: the question is about a server. Some: about a client of this address.
    pub target: Option<Address>,
    /// For machines.
    pub json: bool,
    pub color: Color,
}
