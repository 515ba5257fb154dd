//! Figures that are told in more than one form.

use std::time::Duration;

use crate::plan::{LoadKind, StressPlan};
use crate::stress::cost::Cost;
use crate::stress::outcome::{LoadOutcome, Outcome, Server};
use crate::stress::unit::{GIBIBYTE, Unit};
use crate::text::digits::plural;

use super::words::{bytes, count, digits, duration};

/// From so many connections on memory is told for each: it grows in pages, so of a few it says
/// nothing.
pub const MANY: u64 = 200;

/// What a load was: `64 connections, 64 B each, depth 1, measured 2.00 s`.
pub fn load_line(load: &LoadOutcome, plan: &StressPlan) -> String {
    let conns = if load.far { load.tally.opened } else { load.conns as u64 };
    let conns = plural(conns, "connection");
    let size = bytes(plan.size as f64);
    let speaks = match load.kind {
        LoadKind::Idle => String::new(),
        LoadKind::Echo => format!(", {size} each, depth {}", plan.depth),
        LoadKind::Stream if load.far => String::new(),
        LoadKind::Stream if plan.unverified => format!(", {}, only counted", plan.way.word()),
        LoadKind::Stream => format!(", {}", plan.way.word()),
        _ => format!(", {size} each"),
    };
    let held = if load.kind == LoadKind::Idle { "held" } else { "measured" };
    let window = match load.tally.window.is_zero() {
        true => format!("not {held}"),
        false => format!("{held} {}", duration(load.tally.window)),
    };
    format!("{conns}{speaks}, {window}")
}

/// What a load got done in a second.
pub fn rate(load: &LoadOutcome) -> Option<String> {
    let tally = &load.tally;
    if tally.window.is_zero() {
        return None;
    }
    let both_ways = tally.per_second(tally.bytes_in) + tally.per_second(tally.bytes_out);
    match load.unit() {
        Unit::None => None,
        Unit::Message => {
            let lost = match tally.lost {
                0 => String::new(),
                lost => format!(", {} lost, {} late", count(lost as f64), count(tally.late as f64)),
            };
            let rate = count(tally.per_second(tally.answered));
            Some(format!("{rate} messages/s, {}/s both ways{lost}", bytes(both_ways)))
        }
        Unit::Connection => {
            Some(format!("{} connections/s", count(tally.per_second(tally.exchanged))))
        }
        Unit::Gibibyte => {
            let gib = |bytes: u64| digits(tally.per_second(bytes) / GIBIBYTE);
            let ways = [("up", tally.bytes_out), ("down", tally.bytes_in)];
            let moved: Vec<String> = ways
                .into_iter()
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(way, bytes)| format!("{} GiB/s {way}", gib(bytes)))
                .collect();
            Some(if moved.is_empty() { "no bytes".to_string() } else { moved.join(", ") })
        }
    }
}

/// What the kernel of this machine held more with all connections there than before, for each: of
/// both ends, and of whatever else went on.
pub fn kernel_bytes_each(server: &Server, outcome: &Outcome) -> Option<f64> {
    let (open, base) = server.open.zip(server.base)?;
    let of = |cost: &Cost| cost.slab_bytes + cost.socket_bytes;
    let grown = of(&open).saturating_sub(of(&base)) as f64;
    (grown > 0.0 && outcome.stayed() >= MANY).then(|| grown / outcome.stayed() as f64)
}

/// Processor time for each unit of work, of a run whose loads are counted in one unit.
pub fn cpu_per_unit(server: &Server, outcome: &Outcome) -> Option<(Duration, &'static str)> {
    let cpu = server.cpu()?;
    let busy = || outcome.loads.iter().filter(|load| load.unit() != Unit::None);
    let unit = busy().next()?.unit();
    let done: f64 = busy().map(LoadOutcome::done).sum();
    if done <= 0.0 || busy().any(|load| load.unit() != unit) {
        return None;
    }
    let each = Duration::from_secs_f64(cpu.as_secs_f64() / done);
    let noun = match unit {
        Unit::Message => "message",
        Unit::Connection => "connection",
        Unit::Gibibyte => "GiB",
        Unit::None => return None,
    };
    Some((each, noun))
}
