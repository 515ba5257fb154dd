//! The row of a connection, as the list and the report of one connection have it.

use std::time::{Duration, SystemTime};

use crate::observe::format::Stamp;
use crate::observe::line::PeerName;
use crate::runtime::inspect::ConnView;

use super::resources::ConnectionRow;

/// Builds the row of a connection. Asks the system for its addresses.
pub fn connection_row(view: &ConnView<'_>) -> ConnectionRow {
    let (received_bytes, sent_bytes) = view.moved();
    let route = view.route();
    ConnectionRow {
        id: view.key.id,
        route: route.name().to_owned(),
        service: route.config.service.name().to_owned(),
        state: view.state().to_owned(),
        peer: view.peer().map(|peer| PeerName(&peer).to_string()),
        target: view.target(),
        age_seconds: seconds(view.age()),
        idle_seconds: tenths(view.idle()),
        received_bytes,
        sent_bytes,
        unsent_bytes: view.unsent().iter().sum(),
        at: Stamp::now().to_string(),
    }
}

/// Whether an operator who typed `given` means this address. The scheme may be left out.
pub fn is_meant(address: &str, given: &str) -> bool {
    address == given || address.strip_prefix("tcp://").is_some_and(|rest| rest == given)
}

/// Seconds with three decimals.
pub fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e3).round() / 1e3
}

/// Seconds with one decimal, rounded down: what is stored in tenths is not more exact.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).floor() / 10.0
}

/// The time of day of a moment `ago`.
pub fn time_of_day(ago: Duration) -> String {
    let now = SystemTime::now();
    Stamp(now.checked_sub(ago).unwrap_or(now)).to_string()
}
