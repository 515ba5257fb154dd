//! The outcome as one page, complete in itself: no script, no font and no picture from elsewhere.

use std::fmt::Write;
use std::time::UNIX_EPOCH;

use crate::stress::outcome::{GIBIBYTE, Outcome, Server, Unit};
use crate::stress::spread::Spread;

use super::chart::escape;
use super::charts::charts;
use super::figures::{cpu_per_unit, load_line};
use super::time::utc;
use super::words::{bytes, count, digits, duration, percent, plural, thousands};

/// From so many connections on memory is told for each.
const MANY: u64 = 200;

const STYLE: &str = include_str!("style.css");

pub fn page(outcome: &Outcome) -> String {
    let mut page = Page { text: String::new() };
    let targets: Vec<String> = outcome.plan.targets.iter().map(ToString::to_string).collect();
    let title = targets.join(" ");
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw(&format!("<title>oneloop stress {}</title>\n", escape(&title)));
    page.raw(&format!("<style>\n{STYLE}</style></head>\n<body><main>\n"));
    page.header(outcome, &title);
    page.tiles(outcome);
    page.raw("<h2>Charts</h2>\n");
    if outcome.measured.is_some() {
        page.raw("<p class=\"key\">Shaded: the time in which the loads were measured.</p>\n");
    }
    page.raw(&format!("<div class=\"charts\">\n{}</div>\n", charts(outcome)));
    page.times(outcome);
    page.faults(outcome);
    page.costs(outcome);
    page.raw(&format!(
        "<h2>Again</h2>\n<div class=\"card\"><pre>{}</pre></div>\n",
        escape(&outcome.command())
    ));
    page.raw(
        "<footer>Latency is corrected for coordinated omission by measure where a rate was \
         given; else it is computed as if the next message had gone out one mean latency after \
         the one before. User memory is the server's own; the kernel's share is not in it.\
         </footer>\n</main></body></html>\n",
    );
    page.text
}

struct Page {
    text: String,
}

impl Page {
    fn raw(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn header(&mut self, outcome: &Outcome, title: &str) {
        let began = outcome.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let when = utc(began).replace('T', " ").replace('Z', " UTC");
        let took = duration(outcome.whole);
        let early = if outcome.early { ", ended early" } else { "" };
        let (class, verdict) = match outcome.is_well() {
            true => ("good", "all went well"),
            false => ("bad", "not all went well"),
        };
        self.raw(&format!(
            "<header><small>oneloop stress {} · {when} · {took}{early}</small><h1>{}</h1>\
             <span class=\"verdict {class}\">{verdict}</span></header>\n",
            env!("CARGO_PKG_VERSION"),
            escape(title)
        ));
        if outcome.busy.is_bottleneck() {
            self.raw(&format!(
                "<p class=\"note\">The generator was awake {} of the time: the figures may be its \
                 limit, not the server's.</p>\n",
                percent(outcome.busy.awake())
            ));
        }
    }

    fn tiles(&mut self, outcome: &Outcome) {
        self.raw("<div class=\"tiles\">\n");
        for load in &outcome.loads {
            let word = load.word();
            match load.unit() {
                Unit::None => self.tile(word, &count(load.tally.open as f64), "alive at the end"),
                Unit::Message | Unit::Connection => {
                    let (done, unit) = match load.unit() {
                        Unit::Message => (load.tally.answered, "messages/s"),
                        _ => (load.tally.exchanged, "connections/s"),
                    };
                    self.tile(word, &count(load.tally.per_second(done)), unit);
                    if !load.tally.latency.is_empty() {
                        let latency = &load.tally.latency;
                        self.tile(&format!("{word} p50"), &duration(latency.at(0.5)), "");
                        self.tile(&format!("{word} p99"), &duration(latency.at(0.99)), "");
                    }
                }
                Unit::Gibibyte => {
                    let ways = [("up", load.tally.bytes_out), ("down", load.tally.bytes_in)];
                    for (way, moved) in ways.into_iter().filter(|(_, moved)| *moved > 0) {
                        let gib = digits(load.tally.per_second(moved) / GIBIBYTE);
                        self.tile(&format!("{word} {way}"), &gib, "GiB/s");
                    }
                }
            }
        }
        let stayed = outcome.stayed();
        if stayed > 0 {
            self.tile("connections", &count(stayed as f64), "opened to stay");
        }
        if let Some(server) = &outcome.server {
            self.server_tiles(server, outcome);
        }
        self.raw("</div>\n");
    }

    fn server_tiles(&mut self, server: &Server, outcome: &Outcome) {
        let stayed = outcome.stayed();
        // Memory grows in pages: of a few connections it says nothing.
        let user = server.user_bytes(server.open).filter(|_| stayed >= MANY);
        if let Some(user) = user {
            let each = bytes(user as f64 / stayed as f64);
            self.tile("server memory", &each, "a connection");
        }
        if let Some((each, noun)) = cpu_per_unit(server, outcome) {
            self.tile("server processor", &duration(each), &format!("a {noun}"));
        }
    }

    fn tile(&mut self, name: &str, value: &str, unit: &str) {
        let (name, value, unit) = (escape(name), escape(value), escape(unit));
        self.raw(&format!(
            "<div class=\"tile\"><span>{name}</span><b>{value}</b><em>{unit}</em></div>\n"
        ));
    }

    fn times(&mut self, outcome: &Outcome) {
        let mut rows = Vec::new();
        for load in &outcome.loads {
            let tally = &load.tally;
            let corrected = match load.unit() {
                Unit::Message => tally.corrected(),
                _ => Spread::new(),
            };
            let named = [
                ("latency", &tally.latency),
                ("latency, corrected", &corrected),
                ("connect", &tally.connect),
                ("lifetime", &tally.life),
                ("round", &tally.rounds),
            ];
            for (name, spread) in named.iter().filter(|(_, spread)| !spread.is_empty()) {
                rows.push(time_row(&format!("{}: {name}", load.word()), spread));
            }
        }
        if rows.is_empty() {
            return;
        }
        let head = ["", "count", "min", "p50", "p90", "p99", "p99.9", "max"];
        self.raw("<h2>Times</h2>\n");
        self.table(&head, &rows);
    }

    fn faults(&mut self, outcome: &Outcome) {
        let mut rows = Vec::new();
        for load in &outcome.loads {
            let word = load.word();
            for (failure, count) in &load.tally.failures {
                let limit = failure.limit().map_or(String::new(), |it| format!("; limit: {it}"));
                rows.push([
                    format!("{word}: {failure}"),
                    thousands(*count),
                    format!("{}{limit}", failure.meaning()),
                ]);
            }
            let deaths = &load.tally.deaths;
            let kinds =
                [("FIN", deaths.fin), ("RST", deaths.rst), ("black hole", deaths.black_hole)];
            for (how, count) in kinds.iter().filter(|(_, count)| *count > 0) {
                let what = "idle connections that ended by themselves".to_string();
                rows.push([format!("{word}: died by {how}"), thousands(*count), what]);
            }
            let plain = [
                ("unanswered", load.tally.unanswered, "messages without an answer"),
                ("lost", load.tally.lost, "datagrams that did not come back in time"),
                ("late", load.tally.late, "datagrams that came back after they were given up"),
            ];
            for (name, count, what) in plain.iter().filter(|(_, count, _)| *count > 0) {
                rows.push([format!("{word}: {name}"), thousands(*count), what.to_string()]);
            }
            let wrongs = &load.tally.wrongs;
            for words in &wrongs.list {
                let name = format!("{word}: integrity error");
                rows.push([name, String::new(), words.clone()]);
            }
        }
        if rows.is_empty() {
            return;
        }
        self.raw("<h2>What went wrong</h2>\n<div class=\"card\"><table><tbody>\n");
        for [name, count, words] in rows {
            let (name, words) = (escape(&name), escape(&words));
            self.raw(&format!(
                "<tr><td>{name}</td><td>{count}</td><td class=\"words\">{words}</td></tr>\n"
            ));
        }
        self.raw("</tbody></table></div>\n");
    }

    fn costs(&mut self, outcome: &Outcome) {
        self.raw("<div class=\"pair\"><section><h2>Run and host</h2>\n");
        let (host, busy) = (&outcome.host, &outcome.busy);
        let mut facts = Vec::new();
        for load in &outcome.loads {
            facts.push((load.word(), load_line(load, &outcome.plan)));
        }
        facts.push(("connected in", duration(outcome.ramp)));
        facts.push((
            "generator",
            format!(
                "awake {} of the time, {}",
                percent(busy.awake()),
                plural(outcome.processes as u64, "process").replace("processs", "processes")
            ),
        ));
        facts.push(("system", host.system.clone()));
        facts.push(("processor", format!("{} × {}", host.cores, host.processor)));
        facts.push(("memory", bytes(host.memory_bytes as f64)));
        facts.push(("open files a process", thousands(host.files as u64)));
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
        self.raw("<div class=\"card\"><table><tbody>\n");
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

fn time_row(name: &str, spread: &Spread) -> Vec<String> {
    let mut row = vec![name.to_string(), thousands(spread.count()), duration(spread.min())];
    row.extend([0.5, 0.9, 0.99, 0.999].map(|share| duration(spread.at(share))));
    row.push(duration(spread.max()));
    row
}

fn server_facts(server: &Server, outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut facts = vec![("process", format!("{} ({})", server.name, server.pid))];
    if let Some(cpu) = server.cpu() {
        let share = server.running().map_or(String::new(), percent);
        facts.push(("processor time", format!("{}, {share} of a core", duration(cpu))));
    }
    if let Some((each, noun)) = cpu_per_unit(server, outcome) {
        facts.push(("of that", format!("{} a {noun}", duration(each))));
    }
    let stayed = outcome.stayed().max(1) as f64;
    let grown =
        [("memory when open", server.open), ("memory at the end", server.end.or(server.close))];
    for (name, read) in grown {
        if let Some(user) = server.user_bytes(read) {
            let mut text = String::new();
            let _ = write!(text, "{} more", bytes(user as f64));
            if outcome.stayed() >= MANY {
                let _ = write!(text, ", {} a connection", bytes(user as f64 / stayed));
            }
            facts.push((name, text));
        }
    }
    if let Some(open) = server.open {
        facts.push(("resident", bytes(open.resident_bytes as f64)));
        facts.push(("descriptors", thousands(open.descriptors)));
    }
    if let Some((open, base)) = server.open.zip(server.base) {
        let slab = open.slab_bytes.saturating_sub(base.slab_bytes) as f64;
        facts.push(("kernel objects, whole machine", format!("{} more", bytes(slab))));
        facts.push(("kernel socket data", bytes(open.socket_bytes as f64)));
    }
    facts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::report::example::example;

    #[test]
    fn the_page_is_complete_in_itself() {
        let text = page(&example());
        for foreign in ["http:", "https:", "<script", "<link", "src=", "url(", "@import"] {
            assert!(!text.contains(foreign), "{foreign}");
        }
        for own in ["<!doctype html>", "prefers-color-scheme: dark", "<svg", "</html>"] {
            assert!(text.contains(own), "{own}");
        }
    }

    #[test]
    fn the_page_says_what_was_done_and_what_went_wrong() {
        let text = page(&example());
        for words in
            ["not all went well", "talk: no answer", "died by FIN", "oneloop stress tcp://"]
        {
            assert!(text.contains(words), "{words}");
        }
        let charts = ["Open connections", "Rate", "Latency of echo by percentile", "Deaths"];
        for chart in charts {
            assert!(text.contains(&format!("<b>{chart}</b>")), "{chart}");
        }
    }
}
