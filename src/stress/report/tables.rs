//! The tables of the page.

use std::time::Duration;

use crate::stress::cost::Cost;
use crate::stress::histogram::Histogram;
use crate::stress::load_stats::DeathCause;
use crate::stress::outcome::{Outcome, Server};
use crate::stress::timeline::Point;
use crate::text::count::grouped;
use crate::text::escape::{html, plain};

use super::figures::load_names;
use super::format::{bytes, count, duration, near};
use super::summary::summary_lines;

/// Rows of a table: names and values.
type Rows = Vec<Vec<String>>;

/// Maximum number of rows of the table over time: enough to see the course of a run.
const ROWS_OVER_TIME: usize = 12;

/// Formats all tables, without those that would be empty.
pub fn tables(outcome: &Outcome) -> String {
    let trial = |(idle_time, died): (Duration, Option<DeathCause>)| {
        let end = died.map_or("alive".to_string(), |how| format!("died by {}", how.name()));
        vec![near(idle_time), end]
    };
    let trials = outcome.probe.iter().flat_map(|result| result.by_idle_time());
    let (head, steps) = over_time(outcome);
    let server = outcome.server.as_ref().map(server_facts).unwrap_or_default();
    let times = ["", "count", "min", "p50", "p90", "p99", "p99.9", "max"];
    [
        table("Results", "facts", &[], &results(outcome)),
        table("Idle times tried", "facts", &["idle for", "then"], &trials.map(trial).collect()),
        table("Times", "rows", &times, &time_rows(outcome)),
        table("Over time", "series", &head, &steps),
        "<div class=\"pair\">\n".to_string(),
        table("Run and host", "facts", &[], &host_facts(outcome)),
        table("Server", "facts", &[], &server),
        "</div>\n".to_string(),
    ]
    .concat()
}

/// Formats a section with a table of this CSS class.
fn table(title: &str, class: &str, head: &[&str], rows: &Rows) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let columns: String =
        head.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let mut text = format!(
        "<section><h2>{title}</h2><div class=\"card\"><table class=\"{class}\">\n\
         <thead><tr>{columns}</tr></thead><tbody>\n"
    );
    let cell = |(at, value): (usize, &String)| match (at, html(value)) {
        (0, name) => format!("<tr><th scope=\"row\">{name}</th>"),
        (_, value) => format!("<td data-head=\"{}\">{value}</td>", head.get(at).unwrap_or(&"")),
    };
    for row in rows {
        text.extend(row.iter().enumerate().map(cell));
        text.push_str("</tr>\n");
    }
    text + "</tbody></table></div></section>\n"
}

/// Returns the lines of the summary, joined by name.
fn results(outcome: &Outcome) -> Rows {
    let mut rows: Rows = Vec::new();
    for (name, text) in summary_lines(outcome) {
        match rows.last_mut().filter(|_| name.is_empty()) {
            Some(row) => row[1] = format!("{}; {text}", row[1]),
            None => rows.push(vec![name, text]),
        }
    }
    rows
}

fn time_rows(outcome: &Outcome) -> Rows {
    let mut rows = Vec::new();
    let mut add = |name: String, histogram: &Histogram| {
        if histogram.is_empty() {
            return;
        }
        let mut row = vec![name, grouped(histogram.count()), duration(histogram.min())];
        row.extend([0.5, 0.9, 0.99, 0.999].map(|share| duration(histogram.at(share))));
        row.push(duration(histogram.max()));
        rows.push(row);
    };
    let mut connect = Histogram::new();
    for (load, name) in outcome.loads.iter().zip(load_names(outcome)) {
        let stats = &load.stats;
        add(format!("{name}: latency"), &stats.latency);
        add(format!("{name}: latency, corrected"), &load.corrected().unwrap_or_default());
        add(format!("{name}: connect"), &stats.connect);
        add(format!("{name}: lifetime"), &stats.life);
        add(format!("{name}: round"), &stats.rounds);
        connect.merge(&stats.connect);
    }
    if outcome.loads.len() > 1 {
        add("all: connect".to_string(), &connect);
    }
    rows
}

/// Returns the head and the rows of the table over time. Columns without a value are left out.
fn over_time(outcome: &Outcome) -> (Vec<&'static str>, Rows) {
    type Column = (&'static str, fn(&Point) -> u64, fn(f64) -> String);
    let nanos = |value: f64| match value {
        0.0 => "-".to_string(),
        value => duration(Duration::from_nanos(value as u64)),
    };
    let columns: [Column; 9] = [
        ("open", |point| point.open, count),
        ("messages", |point| point.answered, count),
        ("connections", |point| point.exchanged, count),
        ("bytes", |point| point.bytes, bytes),
        ("p50", |point| point.p50.as_nanos() as u64, nanos),
        ("p99", |point| point.p99.as_nanos() as u64, nanos),
        ("failed", |point| point.failed, count),
        ("died", |point| point.died, count),
        ("server memory", |point| point.user_bytes, bytes),
    ];
    let timeline = outcome.timeline.clone().condensed(ROWS_OVER_TIME);
    let points = &timeline.points;
    let columns = columns.into_iter().filter(|(_, of, _)| points.iter().any(|point| of(point) > 0));
    let columns: Vec<Column> = columns.collect();
    let row = |(at, point): (usize, &Point)| {
        let values = columns.iter().map(|(_, of, show)| show(of(point) as f64));
        let until = (timeline.step * (at as u32 + 1)).min(outcome.whole);
        std::iter::once(duration(until)).chain(values).collect()
    };
    // A single step has no course.
    let rows = points.iter().enumerate().filter(|_| points.len() > 1).map(row).collect();
    (std::iter::once("until").chain(columns.iter().map(|column| column.0)).collect(), rows)
}

fn host_facts(outcome: &Outcome) -> Rows {
    let host = &outcome.environment;
    let facts = [
        ("whole run", duration(outcome.whole)),
        ("system", host.system.clone()),
        ("processor", format!("{} × {}", host.cores, plain(&host.processor))),
        ("memory", bytes(host.memory_bytes as f64)),
        ("open files per process", grouped(host.files as u64)),
        ("ports, somaxconn", format!("{}, {}", host.port_range, host.somaxconn)),
        ("seed", outcome.plan.seed.unwrap_or_default().to_string()),
    ];
    facts.map(|(name, value)| vec![name.to_string(), value]).into()
}

fn server_facts(server: &Server) -> Rows {
    let more = |grown: Option<u64>| {
        let grown = grown.filter(|grown| *grown > 0);
        grown.map(|grown| format!("{} more than before the run", bytes(grown as f64)))
    };
    let between = server.open.zip(server.base);
    let kernel = |of: fn(&Cost) -> u64| {
        more(between.map(|(open, base)| of(&open).saturating_sub(of(&base))))
    };
    let facts = [
        ("CPU time, measured", server.divisible_cpu().map(duration)),
        ("user memory, all connected", more(server.user_bytes(server.open))),
        ("user memory at the end", more(server.user_bytes(server.end.or(server.close)))),
        ("resident", server.open.map(|open| bytes(open.resident_bytes as f64))),
        ("descriptors", server.open.map(|open| grouped(open.descriptors))),
        ("kernel, TCP socket buffers", kernel(|cost| cost.socket_bytes)),
        ("kernel, slab", kernel(|cost| cost.slab_bytes)),
    ];
    let known = facts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    known.map(|(name, value)| vec![name.to_string(), value]).collect()
}
