//! Tables of the page: times, failures, host and server costs.

use std::fmt::Write;
use std::time::Duration;

use crate::config::StressPlan;
use crate::stress::histogram::Histogram;
use crate::stress::idle_probe::ProbeResult;
use crate::stress::load_stats::{DeathCause, Deaths, LoadStats};
use crate::stress::outcome::{Outcome, Server};
use crate::text::digits::grouped;
use crate::text::escape::plain;
use crate::text::html::escape;

use super::figures::{
    accept_line, cpu_per_unit, load_line, mode_lines, partial_line, user_bytes_each,
};
use super::format::{bytes, duration, percent};
use super::page::HtmlPage;

impl HtmlPage {
    pub(super) fn times(&mut self, outcome: &Outcome) {
        let mut rows = Vec::new();
        for load in &outcome.loads {
            let stats = &load.stats;
            let corrected = load.corrected().unwrap_or_default();
            let named = [
                ("latency", &stats.latency),
                ("latency, corrected", &corrected),
                ("connect", &stats.connect),
                ("lifetime", &stats.life),
                ("round", &stats.rounds),
            ];
            for (name, histogram) in named.iter().filter(|(_, histogram)| !histogram.is_empty()) {
                rows.push(time_row(&format!("{}: {name}", load.name()), histogram));
            }
        }
        if rows.is_empty() {
            return;
        }
        let head = ["", "count", "min", "p50", "p90", "p99", "p99.9", "max"];
        self.raw("<h2>Times</h2>\n");
        self.table(&head, &rows);
    }

    /// Adds the trials of the search for an idle timeout.
    pub(super) fn idle_times(&mut self, result: &ProbeResult) {
        let row = |(idle_time, died): (Duration, Option<DeathCause>)| {
            let end = died.map_or("alive".to_string(), |how| format!("died by {}", how.name()));
            vec![duration(idle_time), end]
        };
        let rows: Vec<Vec<String>> = result.by_idle_time().into_iter().map(row).collect();
        self.raw("<h2>Idle times tried</h2>\n");
        let mode = mode_lines(result).join("; ");
        self.raw(&format!("<p class=\"key\">{}</p>\n", escape(&mode)));
        self.table(&["idle for", "then"], &rows);
    }

    pub(super) fn failures(&mut self, outcome: &Outcome) {
        let mut rows = Vec::new();
        for load in &outcome.loads {
            rows.extend(failure_rows(load.name(), &load.stats, &outcome.plan));
        }
        if let Some(text) = outcome.server.as_ref().and_then(accept_line) {
            let name = "server: never accepted".to_string();
            let never = outcome.never_accepted();
            rows.extend((never > 0).then(|| [name, grouped(never), text]));
        }
        if rows.is_empty() {
            return;
        }
        self.raw("<h2>Failures</h2>\n<div class=\"card\"><table><tbody>\n");
        for [name, count, words] in rows {
            let (name, words) = (escape(&name), escape(&words));
            self.raw(&format!(
                "<tr><td>{name}</td><td>{count}</td><td class=\"words\">{words}</td></tr>\n"
            ));
        }
        self.raw("</tbody></table></div>\n");
    }

    pub(super) fn costs(&mut self, outcome: &Outcome) {
        self.raw("<div class=\"pair\"><section><h2>Run and host</h2>\n");
        let (host, busy) = (&outcome.environment, &outcome.busy);
        let mut facts = Vec::new();
        for load in &outcome.loads {
            facts.push((load.name(), load_line(load, &outcome.plan)));
        }
        facts.push(("connected in", duration(outcome.ramp)));
        facts.push((
            "generator",
            format!(
                "busy {} of the time, {}",
                percent(busy.busy_share()),
                match outcome.processes {
                    1 => "one process".to_string(),
                    many => format!("{many} processes"),
                }
            ),
        ));
        facts.push(("system", host.system.clone()));
        facts.push(("processor", format!("{} × {}", host.cores, plain(&host.processor))));
        facts.push(("memory", bytes(host.memory_bytes as f64)));
        facts.push(("open files per process", grouped(host.files as u64)));
        facts.push(("ports, somaxconn", format!("{}, {}", host.port_range, host.somaxconn)));
        facts.push(("seed", outcome.plan.seed.unwrap_or_default().to_string()));
        self.facts(&facts);
        self.raw("</section>");
        if let Some(server) = &outcome.server {
            self.raw("<section><h2>Server</h2>\n");
            let facts = server_facts(server, outcome);
            self.facts(&facts);
            self.raw("</section>");
        }
        self.raw("</div>\n");
    }

    fn facts(&mut self, facts: &[(&str, String)]) {
        self.raw("<div class=\"card\"><table class=\"facts\"><tbody>\n");
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            let (name, value) = (escape(name), escape(value));
            self.raw(&format!("<tr><td>{name}</td><td class=\"words\">{value}</td></tr>\n"));
        }
        self.raw("</tbody></table></div>\n");
    }

    fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.raw("<div class=\"card\"><table><thead><tr>");
        head.iter().for_each(|cell| self.raw(&format!("<th>{}</th>", escape(cell))));
        self.raw("</tr></thead><tbody>\n");
        for row in rows {
            self.raw("<tr>");
            row.iter().for_each(|cell| self.raw(&format!("<td>{}</td>", escape(cell))));
            self.raw("</tr>\n");
        }
        self.raw("</tbody></table></div>\n");
    }
}

/// Lists the failures of one load: name, count and meaning.
fn failure_rows(load: &str, stats: &LoadStats, plan: &StressPlan) -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    for (failure, count) in &stats.failures {
        rows.push([format!("{load}: {failure}"), grouped(*count), failure.explained()]);
    }
    let deaths = &stats.deaths;
    for (how, count) in deaths.kinds() {
        let name = format!("{load}: died by {}", how.name());
        rows.push([name, grouped(count), died_after(deaths, how)]);
    }
    let plain = [
        ("unanswered", stats.unanswered, "messages without an answer"),
        ("lost", stats.lost, "datagrams not echoed in time"),
        ("late", stats.late, "datagrams echoed after the timeout"),
    ];
    for (name, count, what) in plain.into_iter().filter(|(_, count, _)| *count > 0) {
        rows.push([format!("{load}: {name}"), grouped(count), what.to_string()]);
    }
    if stats.partial.count > 0 {
        let name = format!("{load}: incomplete answers");
        rows.push([name, grouped(stats.partial.count), partial_line(&stats.partial, plan)]);
    }
    let integrity_errors = &stats.integrity_errors;
    if integrity_errors.count > 0 {
        let name = format!("{load}: integrity errors");
        rows.push([name, grouped(integrity_errors.count), integrity_errors.list.join("; ")]);
    }
    rows
}

/// Formats the idle times of deaths with this cause, and when they happened.
fn died_after(deaths: &Deaths, how: DeathCause) -> String {
    let of = || deaths.list.iter().filter(|death| death.how == how);
    let (mut idle, mut at) = (Histogram::new(), Histogram::new());
    of().for_each(|death| idle.record(death.idle));
    of().for_each(|death| at.record(death.at));
    let span = |histogram: &Histogram| (duration(histogram.min()), duration(histogram.max()));
    let ((least, most), (first, last)) = (span(&idle), span(&at));
    format!("idle for {least} to {most}, {first} to {last} into the run")
}

fn time_row(name: &str, histogram: &Histogram) -> Vec<String> {
    let mut row = vec![name.to_string(), grouped(histogram.count()), duration(histogram.min())];
    row.extend([0.5, 0.9, 0.99, 0.999].map(|share| duration(histogram.at(share))));
    row.push(duration(histogram.max()));
    row
}

fn server_facts(server: &Server, outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut facts = vec![("process", format!("{} ({})", plain(&server.name), server.pid))];
    facts.extend(accept_line(server).map(|text| ("connections", text)));
    if let Some(cpu) = server.divisible_cpu() {
        let share = server.cpu_share().map_or(String::new(), percent);
        facts.push(("CPU time", format!("{}, {share} of a core", duration(cpu))));
    }
    if let Some((each, noun)) = cpu_per_unit(server, outcome) {
        facts.push(("per unit", format!("{} per {noun}", duration(each))));
    }
    if let Some(user) = server.user_bytes(server.open) {
        let mut text = format!("{} more than before the run", bytes(user as f64));
        if let Some(each) = user_bytes_each(server, outcome) {
            let _ = write!(text, ", {} per connection", bytes(each));
        }
        facts.push(("user memory, all connected", text));
    }
    if let Some(user) = server.user_bytes(server.end.or(server.close)) {
        facts.push((
            "user memory at the end",
            format!("{} more than before the run", bytes(user as f64)),
        ));
    }
    if let Some(open) = server.open {
        facts.push(("resident", bytes(open.resident_bytes as f64)));
        facts.push(("descriptors", grouped(open.descriptors)));
    }
    if let Some((open, base)) = server.open.zip(server.base) {
        let slab = open.slab_bytes.saturating_sub(base.slab_bytes) as f64;
        let data = open.socket_bytes.saturating_sub(base.socket_bytes) as f64;
        let more = |grown: f64| match grown > 0.0 {
            true => format!("{} more than before the run", bytes(grown)),
            false => String::new(),
        };
        facts.push(("kernel, TCP socket buffers", more(data)));
        facts.push(("kernel, slab", more(slab)));
    }
    facts
}
