//! Formats the outcome as a short text summary.

use std::time::Duration;

use crate::config::LoadKind;
use crate::stress::histogram::Histogram;
use crate::stress::idle_probe::{Mode, ProbeResult};
use crate::stress::load_stats::{DeathCause, LoadStats};
use crate::stress::outcome::{LoadOutcome, Outcome, Server};
use crate::text::count::plural;
use crate::text::escape::{escaped, plain};
use crate::text::terminal::Paint;
use crate::text::wrap::fit;

use super::figures::{
    accept_line, cpu_per_unit, kernel_bytes_each, load_line, mode_lines, partial_line, rate,
    user_bytes_each,
};
use super::format::{bytes, count, duration, near, percent};

/// Formats the summary, wrapped at `columns`.
pub fn summary(outcome: &Outcome, paint: Paint, columns: usize) -> String {
    let mut summary = SummaryText::new(paint);
    summary.head(outcome);
    summary.results(outcome);
    summary.verdict(outcome);
    fit(&summary.text, columns)
}

/// Returns the lines of the summary with results: names and texts. Without a name, a line belongs
/// to the one before.
pub fn summary_lines(outcome: &Outcome) -> Vec<(String, String)> {
    let mut summary = SummaryText::new(Paint(false));
    summary.results(outcome);
    summary.lines
}

/// The summary written so far. Lines start with a name column.
struct SummaryText {
    text: String,
    /// The names and texts of the lines, without tables.
    lines: Vec<(String, String)>,
    paint: Paint,
    /// Whether the percentile columns already have a header line.
    has_header: bool,
}

/// Maximum number of integrity errors shown one by one.
const ERRORS_SHOWN: usize = 4;

/// Width of the name column.
const NAME_COLUMNS: usize = 11;

impl SummaryText {
    fn new(paint: Paint) -> SummaryText {
        SummaryText { text: String::new(), lines: Vec::new(), paint, has_header: false }
    }

    fn results(&mut self, outcome: &Outcome) {
        match &outcome.probe {
            Some(result) => self.idle_probe(result),
            None => outcome.loads.iter().for_each(|load| self.load(load, outcome)),
        }
        self.ramp(outcome);
        if let Some(server) = &outcome.server {
            self.server(server, outcome);
        }
        self.generator(outcome);
    }

    fn line(&mut self, name: &str, text: &str) {
        self.lines.push((name.to_string(), text.to_string()));
        self.write_line(name, text);
    }

    fn write_line(&mut self, name: &str, text: &str) {
        let name = format!("{name:NAME_COLUMNS$}");
        let name = if name.trim().is_empty() { name } else { self.paint.bold(&name) };
        self.text.push_str(&format!("  {name}{text}\n"));
    }

    fn head(&mut self, outcome: &Outcome) {
        let targets = outcome.plan.targets.iter().map(|target| escaped(target));
        let sink = outcome.plan.sink.iter().map(|sink| format!("--sink {}", escaped(sink)));
        let targets = targets.chain(sink).collect::<Vec<_>>().join(" ");
        self.text.push_str(&format!("\n{} {targets}\n\n", self.paint.bold("oneloop stress")));
    }

    fn load(&mut self, load: &LoadOutcome, outcome: &Outcome) {
        let stats = &load.stats;
        self.has_header = false;
        self.line(load.name(), &load_line(load, &outcome.plan));
        if let Some(rate) = rate(load) {
            self.line("", &self.paint.strong(&rate));
        }
        self.histogram("latency", &stats.latency);
        if let Some(corrected) = load.corrected() {
            self.histogram("corrected", &corrected);
        }
        self.histogram("lifetime", &stats.life);
        self.histogram("rounds", &stats.rounds);
        if load.mode.kind == LoadKind::Idle {
            self.line("", &format!("{} alive at the end", plural(stats.open, "connection")));
        }
        self.text.push('\n');
    }

    fn histogram(&mut self, name: &str, histogram: &Histogram) {
        if histogram.is_empty() {
            return;
        }
        if !self.has_header {
            let heads = PERCENTILES.map(|(head, _)| head);
            self.write_line("", &self.paint.dim(&columns("", heads.map(str::to_string))));
            self.has_header = true;
        }
        let values = PERCENTILES.map(|(_, share)| match share {
            Some(share) => brief(histogram.at(share)),
            None => brief(histogram.max()),
        });
        self.write_line("", &columns(name, values));
    }

    fn idle_probe(&mut self, result: &ProbeResult) {
        let text = match result.died {
            Some((idle_time, how)) => {
                format!("connections die after {} without data, by {}", near(idle_time), how.name())
            }
            None => match result.survived {
                Some(idle_time) if result.mode == Some(Mode::Silent) => {
                    format!("no connection was closed within {} without data", near(idle_time))
                }
                Some(idle_time) => format!("connections survive {} without data", near(idle_time)),
                None => "no result".to_string(),
            },
        };
        self.line("idle", &self.paint.strong(&text));
        mode_lines(result).iter().for_each(|text| self.line("", text));
        if let (Some(idle_time), Some(_)) = (result.survived, result.died) {
            let text = format!("longest time survived: {}", near(idle_time));
            self.line("", &text);
        }
        for (idle_time, died) in result.by_idle_time() {
            let how = died.map_or("alive", DeathCause::name);
            self.write_line("", &format!("{:>9}  {how}", near(idle_time)));
        }
        self.text.push('\n');
    }

    fn ramp(&mut self, outcome: &Outcome) {
        let mut connect = Histogram::new();
        self.has_header = false;
        outcome.loads.iter().for_each(|load| connect.merge(&load.stats.connect));
        let wanted = outcome.persistent_planned();
        if wanted > 0 {
            let (opened, took) = (counted(outcome.persistent_opened()), duration(outcome.ramp));
            let rate = outcome.ramp_rate().map(|rate| format!(", {}/s", count(rate)));
            let (wanted, rate) = (counted(wanted as u64), rate.unwrap_or_default());
            self.line("connect", &format!("{opened} of {wanted} in {took}{rate}"));
        } else {
            self.line("connect", &plural(outcome.opened(), "connection"));
        }
        self.histogram("time", &connect);
    }

    fn server(&mut self, server: &Server, outcome: &Outcome) {
        let name = format!("{} (process {})", plain(&server.name), server.pid);
        let mut parts = vec![name];
        parts.extend(server.cpu_share().map(|share| format!("{} of a core", percent(share))));
        self.line("server", &parts.join(", "));
        if let Some((each, noun)) = cpu_per_unit(server, outcome) {
            self.line("", &format!("{} of CPU time per {noun}", duration(each)));
        }
        if let Some(text) = accept_line(server) {
            self.line("", &self.paint.warning(&text));
        }
        let stayed = outcome.persistent_opened();
        if let (Some(user), Some(open)) = (server.user_bytes(server.open), server.open) {
            let all = bytes(user as f64);
            let files = plural(open.descriptors, "descriptor");
            let text = match (stayed, user_bytes_each(server, outcome)) {
                (0, _) => return,
                _ if user == 0 => format!("no additional user memory, {files}"),
                (_, None) => format!("{all} of additional user memory, {files}"),
                (_, Some(each)) => {
                    let each = bytes(each);
                    format!("{each} of user memory per connection ({all} in total), {files}")
                }
            };
            self.line("", &text);
        }
        if let Some(each) = kernel_bytes_each(server, outcome) {
            let text = format!("{} of kernel memory per connection, both ends", bytes(each));
            self.line("", &text);
        }
    }

    fn generator(&mut self, outcome: &Outcome) {
        let busy = &outcome.busy;
        let processes = match outcome.processes {
            1 => String::new(),
            many => format!(", {many} processes"),
        };
        if busy.window.is_zero() {
            if outcome.processes > 1 {
                self.line("generator", processes.trim_start_matches(", "));
            }
            return;
        }
        let busy_share = format!("busy {} of the time{processes}", percent(busy.busy_share()));
        match busy.is_bottleneck() {
            true => {
                let warning =
                    format!("{busy_share}: the results may be limited by it, not by the server");
                self.line("generator", &self.paint.warning(&warning));
            }
            false => self.line("generator", &busy_share),
        }
    }

    fn verdict(&mut self, outcome: &Outcome) {
        self.text.push('\n');
        let seed = outcome.plan.seed.unwrap_or_default();
        let whole = duration(outcome.whole);
        if outcome.is_ok() {
            let after = if outcome.interrupted { "after " } else { "" };
            let verdict = outcome.verdict();
            let verdict = match outcome.lost() {
                0 => self.paint.good(&format!("✔ {verdict}")),
                _ => self.paint.warning(&format!("! {verdict}")),
            };
            self.text.push_str(&format!("  {verdict}  {after}{whole}, seed {seed}\n\n"));
            return;
        }
        let interrupted = if outcome.interrupted { "interrupted after " } else { "" };
        let bad = self.paint.bad(&format!("✘ {}", outcome.verdict()));
        self.text.push_str(&format!("  {bad}  {interrupted}{whole}, seed {seed}\n"));
        for load in outcome.loads.iter().filter(|load| !load.is_ok()) {
            self.failures(load, outcome);
        }
        if outcome.never_accepted() > 0 {
            let conns = plural(outcome.never_accepted(), "connection");
            self.line("server", &format!("{conns} never accepted"));
        }
        self.text.push('\n');
    }

    fn failures(&mut self, load: &LoadOutcome, outcome: &Outcome) {
        let LoadStats { failures, deaths, integrity_errors, .. } = &load.stats;
        let kind = load.name();
        for (failure, count) in failures {
            let (stage, name, words) = (failure.stage.name(), &failure.name, failure.explained());
            let text = format!("{} × {stage} {name}: {words}", counted(*count));
            self.line(kind, &text);
        }
        if deaths.count() > 0 {
            let part =
                |(how, count): (DeathCause, u64)| format!("{} by {}", counted(count), how.name());
            let parts: Vec<String> = deaths.kinds().map(part).collect();
            let mut idle = Histogram::new();
            deaths.list.iter().for_each(|death| idle.record(death.idle));
            let (least, most) = (duration(idle.min()), duration(idle.max()));
            let text = format!(
                "{} died: {}; idle for {least} to {most}",
                plural(deaths.count(), "connection"),
                parts.join(", ")
            );
            self.line(kind, &text);
        }
        if load.stats.lost > 0 {
            self.line(kind, &format!("{} lost", plural(load.stats.lost, "datagram")));
        }
        if load.stats.unanswered > 0 {
            self.line(kind, &format!("{} unanswered", plural(load.stats.unanswered, "message")));
        }
        if load.stats.partial.count > 0 {
            let partial = partial_line(&load.stats.partial, &outcome.plan);
            let answers = plural(load.stats.partial.count, "answer");
            self.line(kind, &format!("{answers} incomplete: {partial}"));
        }
        if integrity_errors.count > 0 {
            let text = format!("{}:", plural(integrity_errors.count, "integrity error"));
            self.line(kind, &text);
            let shown = integrity_errors.list.iter().take(ERRORS_SHOWN);
            shown.for_each(|words| self.line("", words));
            if integrity_errors.count > ERRORS_SHOWN as u64 {
                let more = counted(integrity_errors.count - ERRORS_SHOWN as u64);
                self.line("", &format!("and {more} more"));
            }
            if load.stats.answered == 0 && !load.far {
                self.line("", "every answer was wrong: does the target echo what it receives?");
            }
        }
    }
}

/// Columns of a percentile table. `None` is the maximum.
const PERCENTILES: [(&str, Option<f64>); 5] = [
    ("p50", Some(0.5)),
    ("p90", Some(0.9)),
    ("p99", Some(0.99)),
    ("p99.9", Some(0.999)),
    ("max", None),
];

fn columns(name: &str, cells: [String; 5]) -> String {
    let [a, b, c, d, e] = cells;
    format!("{name:<10}{a:>11}{b:>11}{c:>11}{d:>11}{e:>11}")
}

/// Formats a duration for a table: at most 10 columns wide.
fn brief(value: Duration) -> String {
    let text = duration(value);
    match value.as_secs() {
        0..100 => text,
        _ => text.replace(" min", "m").replace(" s", "s").replace(" h", "h"),
    }
}

fn counted(value: u64) -> String {
    count(value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;
    use crate::stress::failure::{LoadFailure, NO_ANSWER, Stage};
    use crate::stress::report::example::example;
    use crate::stress::server_usage::{Backlog, LoopUsage};
    use crate::text::wrap::width;

    #[test]
    fn a_summary_shows_results_costs_and_failures() {
        let text = summary(&example(), Paint(false), 80);
        let all = [
            "1,000 connections, held 2.00 s",
            "998 connections alive at the end",
            "10.0 k messages/s",
            "\n             corrected ",
            "p50        p90        p99      p99.9        max\n",
            "30.0 µs of CPU time per message",
            "39 B of user memory per connection",
            "✘ failed: 1 error, 2 connections died",
            "2 connections died: 2 by FIN; idle for",
            "1 × exchange no answer: no data arrived within the timeout",
        ];
        for words in all {
            assert!(text.contains(words), "{words} in {text}");
        }
        let (mut interrupted, mut failed) = (example(), example());
        interrupted.loads.clear();
        (interrupted.interrupted, failed.interrupted) = (true, true);
        let text_of = |outcome| summary(outcome, Paint(false), 80);
        assert!(text_of(&interrupted).contains("✔ no errors until interrupted  after 2.40 s"));
        assert!(
            text_of(&failed)
                .contains("✘ failed: 1 error, 2 connections died  interrupted after 2.40 s")
        );
        assert!(!text.contains('\x1b') && !text.contains("may be limited"), "{text}");
    }

    #[test]
    fn a_generator_that_was_the_bottleneck_is_reported() {
        let mut busy = LoopUsage::default();
        busy.window = Duration::from_secs(1);
        let text = summary(&Outcome { busy, ..example() }, Paint(false), 80);
        assert!(
            text.contains("busy 100 % of the time: the results may be limited by it"),
            "{text}"
        );
    }

    #[test]
    fn no_line_of_a_summary_is_wider_than_the_terminal() {
        let mut outcome = example();
        let targets =
            ["127.0.0.1:7007", "unix:/run/a-long-name/of-a-socket.sock", "name.example:7"];
        outcome.plan.targets = targets.map(|target| Address::parse(target).unwrap()).to_vec();
        outcome.processes = 17;
        outcome.busy.window = Duration::from_secs(1);
        for load in &mut outcome.loads {
            for seconds in [1, 99, 101, 3_599, 86_399, 360_000] {
                load.stats.life.record(Duration::from_secs(seconds));
                load.stats.latency.record(Duration::from_secs(seconds));
            }
            load.stats.integrity_errors.count = 1;
            load.stats.integrity_errors.list.push("a".repeat(200));
        }
        for columns in [80, 60, 40] {
            for line in summary(&outcome, Paint(true), columns).lines() {
                assert!(width(line) <= columns, "{columns}: {line}");
            }
        }
    }

    #[test]
    fn an_aborted_run_has_no_rate_and_shows_how_short_it_was() {
        let mut outcome = example();
        let stats = &mut outcome.loads[1].stats;
        (stats.window, stats.answered, stats.bytes_in) = (Duration::from_millis(7), 152, 19_500);
        outcome.ramp = Duration::from_millis(2);
        if let Some(server) = &mut outcome.server {
            server.end = server.begin;
        }
        let text = summary(&outcome, Paint(false), 120);
        for words in [
            "measured 7.00 ms of 10.0 s",
            "152 messages, 19.5 kB in both directions; too short for a rate",
            "1,016 of 1,016 in 2.00 ms\n",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
        for words in ["/s", " 0 ns", "per message", "of a core"] {
            assert!(!text.contains(words), "{words} in {text}");
        }
    }

    #[test]
    fn lost_datagrams_are_in_the_verdict_without_a_tick() {
        let mut outcome = example();
        outcome.loads.remove(0);
        let stats = &mut outcome.loads[0].stats;
        (stats.failures, stats.unanswered) = Default::default();
        (stats.lost, stats.answered) = (300, 700);
        let verdict = |outcome: &Outcome| summary(outcome, Paint(false), 120);
        let text = verdict(&outcome);
        assert!(text.contains("  ! no errors, but 300 datagrams lost (30 %)  2.40 s"), "{text}");
        assert!(!text.contains('✔') && !text.contains("failed") && outcome.is_ok());
        outcome.plan.warmup = Duration::from_secs(1);
        outcome.interrupted = true;
        let words = "! no errors until interrupted, but 300 datagrams lost  after 2.40 s";
        assert!(verdict(&outcome).contains(words), "{}", verdict(&outcome));
        outcome.loads[0].stats.fail(LoadFailure::new(Stage::Exchange, NO_ANSWER));
        assert!(verdict(&outcome).contains("echo       300 datagrams lost\n"));
    }

    #[test]
    fn of_an_incomplete_answer_the_received_bytes_are_shown() {
        let mut outcome = example();
        outcome.loads[1].stats.partial.add(63, Duration::from_secs(5));
        let text = summary(&outcome, Paint(false), 120);
        let words = "1 answer incomplete: 63 of 64 bytes arrived, then nothing for 5.00 s\n";
        assert!(text.contains(words), "{text}");
        outcome.loads[1].stats.partial.add(7, Duration::from_secs(4));
        let text = summary(&outcome, Paint(false), 120);
        let words =
            "2 answers incomplete: 7 to 63 of 64 bytes arrived, then nothing for 4.00 s to 5.00 s";
        assert!(text.contains(words), "{text}");
    }

    #[test]
    fn memory_per_connection_is_not_shown_while_connections_are_not_accepted() {
        let mut outcome = example();
        outcome.loads[0].stats.deaths = Default::default();
        outcome.loads.truncate(1);
        let summary_of = |outcome: &mut Outcome, queue, queue_at_close| {
            let server = outcome.server.as_mut().unwrap();
            server.backlog = Backlog { conns: 1000, queue, gained: Some(100) };
            server.queue_at_close = queue_at_close;
            summary(outcome, Paint(false), 120)
        };
        let text = summary_of(&mut outcome, Some(900), Some(900));
        let accepted =
            "900 of 1,000 connections are waiting in the accept queue; 100 descriptors opened\n";
        for words in [
            accepted,
            "✘ failed: 900 connections never accepted  ",
            "server     900 connections never accepted",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
        assert!(!text.contains("memory per connection") && !text.contains('✔'), "{text}");
        // Slow, but in the end all were accepted.
        let text = summary_of(&mut outcome, Some(900), Some(0));
        assert!(text.contains("✔ no errors") && !text.contains("memory per conn"), "{text}");
        let text = summary_of(&mut outcome, Some(0), Some(0));
        assert!(text.contains("memory per connection") && !text.contains("accept queue"), "{text}");
    }
}
