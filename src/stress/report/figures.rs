//! Figures that both the summary and the page show.

use std::time::Duration;

use crate::config::{LoadKind, StressPlan};
use crate::stress::cost::Cost;
use crate::stress::histogram::Histogram;
use crate::stress::idle_probe::{Mode, ProbeResult, Reply};
use crate::stress::load_stats::{DeathCause, Deaths, GIBIBYTE, Partial, RATE_WINDOW_MIN, WorkUnit};
use crate::stress::outcome::{LoadOutcome, Outcome, Server};
use crate::stress::server_usage::Backlog;
use crate::text::count::{grouped, plural};

use super::format::{bytes, count, digits, duration};

/// Minimum number of connections for memory per connection. Memory grows in pages, so a figure from
/// fewer would be meaningless.
pub const MANY: u64 = 200;

/// Returns the names of the loads. Of two with the same name, each has its number of connections.
pub fn load_names(outcome: &Outcome) -> Vec<String> {
    let is_same = |load: &&LoadOutcome, name: &str| load.name() == name;
    let name = |load: &LoadOutcome| match outcome
        .loads
        .iter()
        .filter(|other| is_same(other, load.name()))
        .count()
    {
        1 => load.name().to_string(),
        _ => format!("{} ({})", load.name(), grouped(load.conns as u64)),
    };
    outcome.loads.iter().map(name).collect()
}

/// Describes a load: `64 connections, 64 B each, depth 1, measured 2.00 s`.
pub fn load_line(load: &LoadOutcome, plan: &StressPlan) -> String {
    let conns = if load.far { load.stats.opened } else { load.conns as u64 };
    let conns = plural(conns, "connection");
    let size = bytes(plan.size as f64);
    let bursts = match (load.mode.burst, plan.burst_interval) {
        (false, _) => String::new(),
        (true, None) => ", in bursts".to_string(),
        (true, Some(interval)) => format!(", in bursts every {}", duration(interval)),
    };
    let aborted = if load.mode.abort { ", closed with RST" } else { "" };
    let messages = match load.mode.kind {
        LoadKind::Idle => String::new(),
        LoadKind::Echo if load.mode.burst => format!(", {size} each"),
        LoadKind::Echo => format!(", {size} each, depth {}", plan.depth),
        LoadKind::Stream if load.far => String::new(),
        LoadKind::Stream if plan.no_verify => format!(", {}, not verified", plan.direction.name()),
        LoadKind::Stream => format!(", {}", plan.direction.name()),
        LoadKind::Churn => format!(", {size} each"),
    };
    format!("{conns}{messages}{bursts}{aborted}, {}", window(load, plan))
}

/// Formats how long the load was held or measured, and the planned time if it was cut short.
fn window(load: &LoadOutcome, plan: &StressPlan) -> String {
    let (held, wanted) = match load.mode.kind {
        LoadKind::Idle => ("held", plan.hold),
        _ => ("measured", plan.duration),
    };
    match load.stats.window {
        Duration::ZERO => format!("not {held}"),
        window if window < wanted && !load.far && plan.find_idle_timeout.is_none() => {
            format!("{held} {} of {}", duration(window), duration(wanted))
        }
        window => format!("{held} {}", duration(window)),
    }
}

/// Describes how the search for an idle timeout tests connections. Lines of at most 65 columns.
pub fn mode_lines(result: &ProbeResult) -> Vec<String> {
    let reason = match (result.mode, result.reply) {
        (None, _) => return vec!["mode: undecided, no connection was established".to_string()],
        (Some(Mode::Echo), _) => {
            return vec!["mode: echo, each connection must echo a message".to_string()];
        }
        (Some(Mode::Silent), None) => "--probe none".to_string(),
        (Some(Mode::Silent), Some(reply)) => format!("no echo: {}", reply_text(reply)),
    };
    vec![
        format!("mode: silent, no data is sent ({reason})"),
        "connections lost without FIN or RST are not detected in this mode".to_string(),
    ]
}

fn reply_text(reply: Reply) -> String {
    match reply {
        Reply::Echo => "the message was echoed".to_string(),
        Reply::OtherData => "other data received".to_string(),
        Reply::NoAnswer => "no answer in time".to_string(),
        Reply::Closed(how) => format!("answered by {}", how.name()),
    }
}

/// Formats the rates of a load, or its totals if the time was too short for a rate.
pub fn rate(load: &LoadOutcome) -> Option<String> {
    let stats = &load.stats;
    if stats.window.is_zero() {
        return None;
    }
    let is_short = stats.window < RATE_WINDOW_MIN;
    let size = |moved: u64| match stats.per_second(moved) {
        Some(rate) => format!("{}/s", bytes(rate)),
        None => bytes(moved as f64),
    };
    let done = |done: u64, noun: &str| match stats.per_second(done) {
        Some(rate) => format!("{} {noun}s/s", count(rate)),
        None => plural(done, noun),
    };
    let text = match load.unit() {
        WorkUnit::None => return None,
        WorkUnit::Message => {
            let lost = match stats.lost {
                0 => String::new(),
                lost => format!(", {} lost, {} late", count(lost as f64), count(stats.late as f64)),
            };
            let both_ways = size(stats.bytes_in + stats.bytes_out);
            format!("{}, {both_ways} in both directions{lost}", done(stats.answered, "message"))
        }
        WorkUnit::Connection => done(stats.exchanged, "connection"),
        WorkUnit::Gibibyte => {
            let moved = |bytes: u64| match stats.per_second(bytes) {
                Some(rate) => format!("{} GiB/s", digits(rate / GIBIBYTE)),
                None => size(bytes),
            };
            let ways = [("up", stats.bytes_out), ("down", stats.bytes_in)];
            let moved: Vec<String> = ways
                .into_iter()
                .filter(|(_, bytes)| *bytes > 0)
                .map(|(way, bytes)| format!("{} {way}", moved(bytes)))
                .collect();
            if moved.is_empty() { "no bytes".to_string() } else { moved.join(", ") }
        }
    };
    Some(if is_short { format!("{text}; too short for a rate") } else { text })
}

/// Describes incomplete answers: `63 of 64 bytes arrived, then nothing for 5.00 s`.
pub fn partial_line(partial: &Partial, plan: &StressPlan) -> String {
    let range = |least: String, most: String| match least == most {
        true => least,
        false => format!("{least} to {most}"),
    };
    let came = range(partial.bytes_min.to_string(), partial.bytes_max.to_string());
    let quiet = range(duration(partial.idle_min), duration(partial.idle_max));
    format!("{came} of {} arrived, then nothing for {quiet}", plural(plan.size as u64, "byte"))
}

/// Describes deaths with this cause: their idle times, and when they happened.
pub fn deaths_line(deaths: &Deaths, how: DeathCause) -> String {
    let (mut idle, mut at) = (Histogram::new(), Histogram::new());
    for death in deaths.list.iter().filter(|death| death.how == how) {
        idle.record(death.idle);
        at.record(death.at);
    }
    let span = |histogram: &Histogram| (duration(histogram.min()), duration(histogram.max()));
    let ((least, most), (first, last)) = (span(&idle), span(&at));
    format!("idle for {least} to {most}, {first} to {last} into the run")
}

/// Computes the growth of kernel memory per connection, from before the run until all were open. It
/// includes both ends and everything else on the machine.
pub fn kernel_bytes_each(server: &Server, outcome: &Outcome) -> Option<f64> {
    let (open, base) = server.open.zip(server.base)?;
    let of = |cost: &Cost| cost.slab_bytes + cost.socket_bytes;
    let grown = of(&open).saturating_sub(of(&base)) as f64;
    let is_known =
        grown > 0.0 && outcome.persistent_opened() >= MANY && server.backlog.waiting() == 0;
    is_known.then(|| grown / outcome.persistent_opened() as f64)
}

/// Computes user memory of the server per connection, if all are accepted and there are enough.
pub fn user_bytes_each(server: &Server, outcome: &Outcome) -> Option<f64> {
    let is_known = outcome.persistent_opened() >= MANY && server.backlog.waiting() == 0;
    let user = server.user_bytes(server.open).filter(|_| is_known)?;
    Some(user as f64 / outcome.persistent_opened() as f64)
}

/// Describes the connections that the server has not accepted, if there are any.
pub fn accept_line(server: &Server) -> Option<String> {
    let Backlog { conns, gained, .. } = server.backlog;
    let waiting = server.backlog.waiting();
    if waiting == 0 {
        return None;
    }
    let (waiting, all) = (grouped(waiting), plural(conns, "connection"));
    let gained = gained.map(|gained| format!("; {} opened", plural(gained, "descriptor")));
    let gained = gained.unwrap_or_default();
    Some(format!("{waiting} of {all} are waiting in the accept queue{gained}"))
}

/// Computes CPU time per unit of work, if all loads are counted in the same unit.
pub fn cpu_per_unit(server: &Server, outcome: &Outcome) -> Option<(Duration, &'static str)> {
    let cpu = server.divisible_cpu()?;
    let busy = || outcome.loads.iter().filter(|load| load.unit() != WorkUnit::None);
    let unit = busy().next()?.unit();
    let done: f64 = busy().map(LoadOutcome::done).sum();
    if done <= 0.0 || busy().any(|load| load.unit() != unit) {
        return None;
    }
    let each = Duration::from_secs_f64(cpu.as_secs_f64() / done);
    let noun = match unit {
        WorkUnit::Message => "message",
        WorkUnit::Connection => "connection",
        WorkUnit::Gibibyte => "GiB",
        WorkUnit::None => return None,
    };
    Some((each, noun))
}
