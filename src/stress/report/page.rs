//! Writes the outcome as one self-contained HTML page: no script, no external font or image.

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use crate::config::StressPlan;
use crate::stress::histogram::Histogram;
use crate::stress::idle_probe::ProbeResult;
use crate::stress::load_stats::{DeathCause, Deaths, LoadStats, RATE_WINDOW_MIN};
use crate::stress::load_stats::{GIBIBYTE, WorkUnit};
use crate::stress::outcome::{LoadOutcome, Outcome, Server};
use crate::text::count::grouped;
use crate::text::escape::{escaped, html, plain};

use super::charts::charts;
use super::figures::{
    accept_line, cpu_per_unit, load_line, mode_lines, partial_line, user_bytes_each,
};
use super::format::{bytes, count, digits, duration, percent, utc};

const STYLE: &str = include_str!("style.css");

pub fn page(outcome: &Outcome) -> String {
    let mut page = HtmlPage { text: String::new() };
    let targets: Vec<String> = outcome.plan.targets.iter().map(|target| escaped(target)).collect();
    let title = targets.join(" ");
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw(&format!("<title>oneloop stress {}</title>\n", html(&title)));
    page.raw(&format!("<style>\n{STYLE}</style></head>\n<body><main>\n"));
    page.header(outcome, &title);
    page.tiles(outcome);
    page.raw("<h2>Charts</h2>\n");
    if outcome.measured.is_some() {
        page.raw("<p class=\"key\">Shaded: the measured interval.</p>\n");
    }
    page.raw(&format!("<div class=\"charts\">\n{}</div>\n", charts(outcome)));
    if let Some(result) = &outcome.probe {
        page.idle_times(result);
    }
    page.times(outcome);
    page.failures(outcome);
    page.costs(outcome);
    page.raw(&format!(
        "<h2>Repeat this run</h2>\n<div class=\"card\"><pre>{}</pre></div>\n",
        html(&outcome.command())
    ));
    page.raw(
        "<footer>Corrected latency: with a rate, measured from when each message was due; \
         otherwise computed as if messages had been sent at intervals of the mean latency. \
         User memory is the server's own; kernel memory is not included.\
         </footer>\n</main></body></html>\n",
    );
    page.text
}

/// The page written so far.
struct HtmlPage {
    text: String,
}

impl HtmlPage {
    fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn header(&mut self, outcome: &Outcome, title: &str) {
        let began = outcome.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let when = utc(began).replace('T', " ").replace('Z', " UTC");
        let took = duration(outcome.whole);
        let interrupted = if outcome.interrupted { ", interrupted" } else { "" };
        let class = match (outcome.is_ok(), outcome.lost()) {
            (true, 0) => "good",
            (true, _) => "fair",
            (false, _) => "bad",
        };
        let verdict = html(&outcome.verdict());
        self.raw(&format!(
            "<header><small>oneloop stress {} · {when} · {took}{interrupted}</small><h1>{}</h1>\
             <span class=\"verdict {class}\">{verdict}</span></header>\n",
            env!("CARGO_PKG_VERSION"),
            html(title)
        ));
        if outcome.busy.is_bottleneck() {
            self.raw(&format!(
                "<p class=\"note\">The generator was busy {} of the time: the results may be \
                 limited by it, not by the server.</p>\n",
                percent(outcome.busy.busy_share())
            ));
        }
    }

    fn tiles(&mut self, outcome: &Outcome) {
        self.raw("<div class=\"tiles\">\n");
        if let Some(result) = &outcome.probe {
            match result.died {
                Some((idle_time, how)) => {
                    let by = format!("without data, by {}", how.name());
                    self.tile("connections die after", &duration(idle_time), &by);
                }
                None => {
                    let longest = result.survived.unwrap_or_default();
                    self.tile("connections survive", &duration(longest), "without data");
                }
            }
        }
        let loads = outcome.loads.iter().filter(|_| outcome.probe.is_none());
        for load in loads {
            let name = load.name();
            match load.unit() {
                WorkUnit::None => {
                    self.tile(name, &count(load.stats.open as f64), "alive at the end")
                }
                WorkUnit::Message | WorkUnit::Connection => {
                    let (done, unit) = match load.unit() {
                        WorkUnit::Message => (load.stats.answered, "messages"),
                        _ => (load.stats.exchanged, "connections"),
                    };
                    self.done(name, load, done as f64, (unit, count));
                    if !load.stats.latency.is_empty() {
                        let latency = &load.stats.latency;
                        self.tile(&format!("{name} p50"), &duration(latency.at(0.5)), "");
                        self.tile(&format!("{name} p99"), &duration(latency.at(0.99)), "");
                    }
                }
                WorkUnit::Gibibyte => {
                    let ways = [("up", load.stats.bytes_out), ("down", load.stats.bytes_in)];
                    for (way, moved) in ways.into_iter().filter(|(_, moved)| *moved > 0) {
                        let gib = moved as f64 / GIBIBYTE;
                        self.done(&format!("{name} {way}"), load, gib, ("GiB", digits));
                    }
                }
            }
        }
        let stayed = outcome.persistent_opened();
        if stayed > 0 {
            self.tile("connections", &count(stayed as f64), "persistent");
        }
        if let Some(server) = &outcome.server {
            self.server_tiles(server, outcome);
        }
        self.raw("</div>\n");
    }

    /// Adds a tile with the rate, or with the total if the time was too short for a rate.
    fn done(&mut self, name: &str, load: &LoadOutcome, done: f64, unit: (&str, fn(f64) -> String)) {
        let window = load.stats.window;
        let (unit, show) = unit;
        match window < RATE_WINDOW_MIN {
            true => self.tile(name, &show(done), &format!("{unit} in {}", duration(window))),
            false => self.tile(name, &show(done / window.as_secs_f64()), &format!("{unit}/s")),
        }
    }

    fn server_tiles(&mut self, server: &Server, outcome: &Outcome) {
        if let Some(each) = user_bytes_each(server, outcome) {
            self.tile("server memory", &bytes(each), "per connection");
        }
        if let Some((each, noun)) = cpu_per_unit(server, outcome) {
            self.tile("server CPU time", &duration(each), &format!("per {noun}"));
        }
    }

    fn tile(&mut self, name: &str, value: &str, unit: &str) {
        let (name, value, unit) = (html(name), html(value), html(unit));
        self.raw(&format!(
            "<div class=\"tile\"><span>{name}</span><b>{value}</b><em>{unit}</em></div>\n"
        ));
    }
}

/// Tables.
impl HtmlPage {
    fn times(&mut self, outcome: &Outcome) {
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
    fn idle_times(&mut self, result: &ProbeResult) {
        let row = |(idle_time, died): (Duration, Option<DeathCause>)| {
            let end = died.map_or("alive".to_string(), |how| format!("died by {}", how.name()));
            vec![duration(idle_time), end]
        };
        let rows: Vec<Vec<String>> = result.by_idle_time().into_iter().map(row).collect();
        self.raw("<h2>Idle times tried</h2>\n");
        let mode = mode_lines(result).join("; ");
        self.raw(&format!("<p class=\"key\">{}</p>\n", html(&mode)));
        self.table(&["idle for", "then"], &rows);
    }

    fn failures(&mut self, outcome: &Outcome) {
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
            let (name, words) = (html(&name), html(&words));
            self.raw(&format!(
                "<tr><td>{name}</td><td>{count}</td><td class=\"words\">{words}</td></tr>\n"
            ));
        }
        self.raw("</tbody></table></div>\n");
    }

    fn costs(&mut self, outcome: &Outcome) {
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
            let (name, value) = (html(name), html(value));
            self.raw(&format!("<tr><td>{name}</td><td class=\"words\">{value}</td></tr>\n"));
        }
        self.raw("</tbody></table></div>\n");
    }

    fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.raw("<div class=\"card\"><table><thead><tr>");
        head.iter().for_each(|cell| self.raw(&format!("<th>{}</th>", html(cell))));
        self.raw("</tr></thead><tbody>\n");
        for row in rows {
            self.raw("<tr>");
            row.iter().for_each(|cell| self.raw(&format!("<td>{}</td>", html(cell))));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::report::example::example;

    #[test]
    fn the_page_is_self_contained() {
        let text = page(&example());
        for foreign in ["http:", "https:", "<script", "<link", "src=", "url(", "@import"] {
            assert!(!text.contains(foreign), "{foreign}");
        }
        for own in ["<!doctype html>", "prefers-color-scheme: dark", "<svg", "</html>"] {
            assert!(text.contains(own), "{own}");
        }
    }

    #[test]
    fn foreign_text_cannot_inject_markup() {
        let mut outcome = example();
        let evil = "</td><script>alert('x')</script>\"";
        outcome.environment.processor = evil.to_string();
        outcome.loads[1].stats.integrity_errors.add(evil.to_string());
        if let Some(server) = &mut outcome.server {
            server.name = evil.to_string();
        }
        outcome.plan.json = Some(evil.into());
        let text = page(&outcome);
        assert!(!text.contains("<script") && text.matches("&lt;script").count() >= 4);
    }

    #[test]
    fn the_page_shows_results_and_failures() {
        let text = page(&example());
        for words in
            ["failed: 1 error", "exchange: no answer", "died by FIN", "oneloop stress tcp://"]
        {
            assert!(text.contains(words), "{words}");
        }
        let charts = ["Open connections", "Rate", "Latency of echo by percentile", "Deaths"];
        for chart in charts {
            assert!(text.contains(&format!("<b>{chart}</b>")), "{chart}");
        }
    }
}
