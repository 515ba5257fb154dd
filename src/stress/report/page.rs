//! Writes the outcome as one self-contained HTML page: no script, no external font or image.

use std::time::UNIX_EPOCH;

use crate::stress::load_stats::RATE_WINDOW_MIN;
use crate::stress::outcome::{GIBIBYTE, WorkUnit};
use crate::stress::outcome::{LoadOutcome, Outcome, Server};
use crate::text::escape::escaped;
use crate::text::html::escape;

use super::charts::charts;
use super::figures::{cpu_per_unit, user_bytes_each};
use super::format::utc;
use super::format::{bytes, count, digits, duration, percent};

const STYLE: &str = include_str!("style.css");

pub fn page(outcome: &Outcome) -> String {
    let mut page = HtmlPage { text: String::new() };
    let targets: Vec<String> = outcome.plan.targets.iter().map(|target| escaped(target)).collect();
    let title = targets.join(" ");
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw(&format!("<title>oneloop stress {}</title>\n", escape(&title)));
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
        escape(&outcome.command())
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
pub(super) struct HtmlPage {
    text: String,
}

impl HtmlPage {
    pub(super) fn raw(&mut self, text: &str) {
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
        let verdict = escape(&outcome.verdict());
        self.raw(&format!(
            "<header><small>oneloop stress {} · {when} · {took}{interrupted}</small><h1>{}</h1>\
             <span class=\"verdict {class}\">{verdict}</span></header>\n",
            env!("CARGO_PKG_VERSION"),
            escape(title)
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
        let (name, value, unit) = (escape(name), escape(value), escape(unit));
        self.raw(&format!(
            "<div class=\"tile\"><span>{name}</span><b>{value}</b><em>{unit}</em></div>\n"
        ));
    }
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
