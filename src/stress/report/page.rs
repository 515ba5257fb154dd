//! Writes the outcome as one self-contained HTML page: every figure as text, and the values from
//! which a script draws the charts.

use std::time::{Duration, UNIX_EPOCH};

use crate::stress::failure::Stage;
use crate::stress::idle_probe::ProbeResult;
use crate::stress::load_stats::{GIBIBYTE, LoadStats, RATE_WINDOW_MIN, WorkUnit};
use crate::stress::outcome::{LoadOutcome, Outcome};
use crate::text::count::plural;
use crate::text::escape::{escaped, html, script_json};
use crate::text::{CHARTS_CSS, CHARTS_JS};

use super::charts::chart_values;
use super::figures::{cpu_per_unit, deaths_line, load_names, partial_line, user_bytes_each};
use super::format::{bytes, count, digits, duration, near, percent, utc};
use super::tables::tables;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

pub fn page(outcome: &Outcome) -> String {
    let began = utc(outcome.began.duration_since(UNIX_EPOCH).unwrap_or_default());
    let began = began.replace('T', " ").replace('Z', " UTC");
    let interrupted = if outcome.interrupted { ", interrupted" } else { "" };
    let targets = outcome.plan.targets.iter().map(|target| escaped(target));
    let sink = outcome.plan.sink.iter().map(|sink| format!("--sink {}", escaped(sink)));
    let title = targets.chain(sink).collect::<Vec<_>>().join(" ");
    let values = chart_values(outcome).to_string();
    let parts = [
        ("title", html(&title)),
        ("style", format!("{CHARTS_CSS}{STYLE}")),
        ("version", env!("CARGO_PKG_VERSION").to_string()),
        ("when", format!("{began} · {}{interrupted}", duration(outcome.whole))),
        ("grade", grade(outcome).to_string()),
        ("verdict", html(&outcome.verdict())),
        ("notes", notes(outcome)),
        ("tiles", tiles(outcome)),
        ("tables", tables(outcome)),
        ("command", html(&outcome.command())),
        ("values", script_json(&values)),
        ("script", format!("{CHARTS_JS}{SCRIPT}")),
    ];
    fill(TEMPLATE, &parts)
}

/// Replaces each `{{name}}` of a template. Text that was put in is not searched again.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let mut pieces = template.split("{{");
    let mut page = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        let part = parts.iter().find(|(known, _)| *known == name);
        debug_assert!(part.is_some(), "nothing replaces {name}");
        page.push_str(part.map_or("", |(_, text)| text));
        page.push_str(rest);
    }
    page
}

/// Returns the CSS class of the verdict.
fn grade(outcome: &Outcome) -> &'static str {
    match (outcome.is_ok(), outcome.lost()) {
        (true, 0) => "good",
        (true, _) => "fair",
        (false, _) => "bad",
    }
}

/// Formats the notes at the top: failures, and a generator that was the bottleneck.
fn notes(outcome: &Outcome) -> String {
    let note = |class: &str, heading: &str, sentences: &[String]| {
        let item = |sentence: &String| format!("<li>{}</li>\n", html(sentence));
        let items: String = sentences.iter().map(item).collect();
        let note = format!("<section class=\"note {class}\"><h2>{heading}</h2><ul>\n{items}");
        if items.is_empty() { items } else { note + "</ul></section>\n" }
    };
    let heading = if outcome.is_ok() { "Losses" } else { "Failures" };
    let failures = note(grade(outcome), heading, &failures(outcome));
    if !outcome.busy.is_bottleneck() {
        return failures;
    }
    let busy = percent(outcome.busy.busy_share());
    let limited = "the results may be limited by it, not by the server";
    let generator = format!("The generator was busy {busy} of the time: {limited}.");
    failures + &note("fair", "Generator", &[generator])
}

/// Describes each kind of failure in a sentence with its count.
fn failures(outcome: &Outcome) -> Vec<String> {
    let mut sentences = Vec::new();
    for (load, name) in outcome.loads.iter().zip(load_names(outcome)) {
        let LoadStats { failures, deaths, partial, integrity_errors, .. } = &load.stats;
        let conns = |count| plural(count, &format!("{name} connection"));
        for (failure, count) in failures {
            let stage = match failure.stage {
                Stage::Connect => "failed to connect",
                Stage::Exchange => "failed in an exchange",
                Stage::Close => "failed to close",
            };
            let (conns, meaning) = (conns(*count), failure.explained());
            let comma = if meaning.is_empty() { "" } else { ", " };
            sentences.push(format!("{conns} {stage}: {}{comma}{meaning}.", failure.name));
        }
        for (how, count) in deaths.kinds() {
            let (conns, after) = (conns(count), deaths_line(deaths, how));
            sentences.push(format!("{conns} died by {}: {after}.", how.name()));
        }
        let partly = partial_line(partial, &outcome.plan);
        let differ = format!("differed from what was sent: {}", integrity_errors.list.join("; "));
        let counted = [
            (load.stats.unanswered, "message", "got no answer"),
            (load.stats.lost, "datagram", "got lost: no echo arrived in time"),
            (load.stats.late, "datagram", "came back after the timeout"),
            (partial.count, "answer", &format!("came incomplete: {partly}")),
            (integrity_errors.count, "answer", &differ),
        ];
        for (count, noun, what) in counted.into_iter().filter(|(count, ..)| *count > 0) {
            sentences.push(format!("{} of {name} {what}.", plural(count, noun)));
        }
    }
    let never = Some(outcome.never_accepted()).filter(|never| *never > 0);
    sentences.extend(
        never.map(|never| format!("The server never accepted {}.", plural(never, "connection"))),
    );
    sentences
}

/// A main figure: its name, its value and its unit.
type Tile = (String, String, String);

fn tiles(outcome: &Outcome) -> String {
    let mut tiles: Vec<Tile> = Vec::new();
    let mut add = |name: &str, value: String, unit: String| {
        tiles.push((name.to_string(), value, unit));
    };
    match &outcome.probe {
        Some(ProbeResult { died: Some((idle_time, how)), .. }) => {
            let by = format!("without data, by {}", how.name());
            add("connections die after", near(*idle_time), by);
        }
        Some(ProbeResult { survived, .. }) => {
            let longest = near(survived.unwrap_or_default());
            add("connections survive", longest, "without data".to_string());
        }
        None => {
            let loads = outcome.loads.iter().zip(load_names(outcome));
            for (name, value, unit) in loads.flat_map(|(load, name)| load_tiles(load, &name)) {
                add(&name, value, unit);
            }
        }
    }
    let persistent = outcome.persistent_opened();
    if persistent > 0 {
        add("connections", count(persistent as f64), "persistent".to_string());
    }
    let server = outcome.server.as_ref();
    if let Some(each) = server.and_then(|server| user_bytes_each(server, outcome)) {
        add("server memory", bytes(each), "per connection".to_string());
    }
    if let Some((each, noun)) = server.and_then(|server| cpu_per_unit(server, outcome)) {
        add("server CPU time", duration(each), format!("per {noun}"));
    }
    let tile = |(name, value, unit): &Tile| {
        let (name, value, unit) = (html(name), html(value), html(unit));
        format!("<div class=\"tile\"><span>{name}</span><b>{value}</b><em>{unit}</em></div>\n")
    };
    tiles.iter().map(tile).collect()
}

fn load_tiles(load: &LoadOutcome, name: &str) -> Vec<Tile> {
    let LoadStats { answered, exchanged, bytes_out, bytes_in, window, ref latency, .. } =
        load.stats;
    // A rate, or the total if the time was too short for a rate.
    let done = |way: &str, done: f64, noun: &str, show: fn(f64) -> String| {
        let (value, unit) = match window {
            Duration::ZERO => (done, format!("{noun}, not measured")),
            window if window < RATE_WINDOW_MIN => (done, format!("{noun} in {}", duration(window))),
            _ => (done / window.as_secs_f64(), format!("{noun}/s")),
        };
        (format!("{name}{way}"), show(value), unit)
    };
    let mut tiles = match load.unit() {
        WorkUnit::None => {
            let open = count(load.stats.open as f64);
            return vec![(name.to_string(), open, "alive at the end".to_string())];
        }
        WorkUnit::Message => vec![done("", answered as f64, "messages", count)],
        WorkUnit::Connection => vec![done("", exchanged as f64, "connections", count)],
        WorkUnit::Gibibyte => {
            let ways = [(" up", bytes_out), (" down", bytes_in)];
            let moved = ways.into_iter().filter(|(_, moved)| *moved > 0);
            moved.map(|(way, moved)| done(way, moved as f64 / GIBIBYTE, "GiB", digits)).collect()
        }
    };
    let percentiles = [(0.5, "p50"), (0.99, "p99")].into_iter().filter(|_| !latency.is_empty());
    tiles.extend(percentiles.map(|(share, percentile)| {
        (format!("{name} {percentile}"), duration(latency.at(share)), String::new())
    }));
    tiles
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::Address;
    use crate::stress::failure::LoadFailure;
    use crate::stress::idle_probe::Mode;
    use crate::stress::load_stats::DeathCause;
    use crate::stress::report::example::example;
    use crate::stress::report::summary::summary;
    use crate::text::terminal::Paint;

    /// Returns the text of a page as it is read without a script. Panics if an element is not
    /// closed in order.
    fn text_of(page: &str) -> String {
        let mut open: Vec<&str> = Vec::new();
        let mut text = String::new();
        let mut rest = page;
        while let Some((before, after)) = rest.split_once('<') {
            assert!(!before.contains('>'), "a > outside of a tag: {before}");
            text.push_str(before);
            let (tag, after) = after.split_once('>').expect("a tag ends");
            rest = after;
            let name = tag.split([' ', '\n']).next().unwrap();
            match name.strip_prefix('/') {
                Some(name) => assert_eq!(open.pop(), Some(name), "in {before}<{tag}>"),
                None if ["!doctype", "meta"].contains(&name) => {}
                None => open.push(name),
            }
            if ["script", "style"].contains(&name) {
                let (raw, after) = rest.split_once(&format!("</{name}")).expect("it is closed");
                assert!(!raw.contains("<script") && !raw.contains("<!--"), "{raw}");
                let end = open.pop().unwrap();
                rest = after.strip_prefix('>').unwrap_or_else(|| panic!("</{end} is not closed"));
            }
            text.push(' ');
        }
        assert!(open.is_empty() && rest.trim().is_empty(), "not closed: {open:?}, then {rest}");
        let entities =
            [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
        entities.iter().fold(text, |text, (entity, mark)| text.replace(entity, mark))
    }

    fn probe() -> Outcome {
        let (survived, died) = (Duration::from_millis(2950), Duration::from_millis(3051));
        let probe = ProbeResult {
            mode: Some(Mode::Echo),
            reply: None,
            survived: Some(survived),
            died: Some((died, DeathCause::Rst)),
            trials: vec![(survived, None), (died, Some(DeathCause::Rst))],
        };
        Outcome { probe: Some(probe), ..example() }
    }

    fn healthy() -> Outcome {
        let mut outcome = example();
        for load in &mut outcome.loads {
            (load.stats.failures, load.stats.deaths, load.stats.unanswered) = Default::default();
        }
        outcome
    }

    #[test]
    fn the_page_is_self_contained() {
        let page = page(&example()).replace("\"http://www.w3.org/2000/svg\"", "");
        let foreign = ["http:", "https:", "<link", "src=", "url(", "@import", "import ", "import("];
        for foreign in foreign.iter().chain(&["fetch", "XMLHttpRequest", "WebSocket", "eval", "{{"])
        {
            assert!(!page.contains(foreign), "{foreign}");
        }
        for own in
            ["<!doctype html>", "default-src 'none'", "prefers-color-scheme: dark", "@media print"]
        {
            assert!(page.contains(own), "{own}");
        }
    }

    #[test]
    fn every_value_of_the_summary_is_in_the_page_without_a_script() {
        let mut busy = example();
        busy.busy.window = Duration::from_secs(1);
        for outcome in [example(), probe(), healthy(), busy] {
            let text = text_of(&page(&outcome));
            let values = |text: &str| -> HashSet<String> {
                let words = text.split(|c: char| c.is_whitespace() || "(),;".contains(c));
                let words = words.map(|word| word.trim_end_matches(['.', ':']).to_string());
                words.filter(|word| word.contains(|c: char| c.is_ascii_digit())).collect()
            };
            let summary = summary(&outcome, Paint(false), 10_000);
            let (known, wanted) = (values(&text), values(&summary));
            assert!(wanted.len() > 20, "{wanted:?}");
            let missing: Vec<_> = wanted.difference(&known).collect();
            assert!(missing.is_empty(), "{missing:?} of {summary} in {text}");
        }
    }

    #[test]
    fn failures_stand_first_in_whole_sentences() {
        let mut outcome = example();
        let stats = &mut outcome.loads[1].stats;
        stats.failures.insert(LoadFailure::new(Stage::Connect, "EMFILE"), 7);
        stats.partial.add(63, Duration::from_secs(5));
        (stats.lost, stats.late) = (3, 1);
        let server = outcome.server.as_mut().unwrap();
        (server.backlog.conns, server.backlog.queue, server.queue_at_close) =
            (1000, Some(9), Some(9));
        let text = text_of(&page(&outcome));
        let sentences = [
            "2 idle connections died by FIN: idle for ",
            "limit: open files per process (RLIMIT_NOFILE).",
            "1 echo connection failed in an exchange: no answer, no data arrived within the tim",
            "1 message of echo got no answer.",
            "3 datagrams of echo got lost: no echo arrived in time.",
            "1 datagram of echo came back after the timeout.",
            "1 answer of echo came incomplete: 63 of 64 bytes arrived, then nothing for 5.00 s.",
            "The server never accepted 9 connections.",
        ];
        let charts = text.find("Charts").unwrap();
        for sentence in sentences {
            assert!(text.find(sentence).is_some_and(|at| at < charts), "{sentence} in {text}");
        }
        let text = text_of(&page(&healthy()));
        assert!(text.contains("no errors") && !text.contains("Failures"), "{text}");
    }

    #[test]
    fn a_generator_that_was_the_bottleneck_is_reported_before_the_charts() {
        let mut outcome = healthy();
        outcome.busy.window = Duration::from_secs(1);
        let text = text_of(&page(&outcome));
        let at = text.find("The generator was busy 100 % of the time: the results may be limited");
        assert!(at.is_some_and(|at| at < text.find("Charts").unwrap()), "{text}");
    }

    #[test]
    fn an_aborted_run_has_no_rate_and_shows_how_short_it_was() {
        let mut outcome = healthy();
        outcome.loads[1].stats.window = Duration::from_millis(7);
        let text = text_of(&page(&outcome));
        assert!(text.contains("messages in 7.00 ms") && !text.contains("messages/s"), "{text}");
        outcome.loads[1].stats.window = Duration::ZERO;
        assert!(text_of(&page(&outcome)).contains("messages, not measured"));
    }

    #[test]
    fn of_two_loads_with_the_same_name_each_has_its_connections() {
        let mut outcome = healthy();
        outcome.loads.push(outcome.loads[1].clone());
        outcome.loads[2].conns = 3000;
        let text = text_of(&page(&outcome));
        for name in ["echo (16) p50", "echo (3,000): latency", "idle: connect"] {
            let is_known = text.contains(name) || name.starts_with("idle");
            assert!(is_known && !text.contains("idle ("), "{name} in {text}");
        }
    }

    #[test]
    fn foreign_text_cannot_inject_markup() {
        let evil = "</td></script><script>alert('x')</script><!--\u{2028}\"&{{values}}";
        let mut outcome = example();
        outcome.environment.processor = evil.to_string();
        outcome.environment.system = evil.to_string();
        outcome.loads[1].stats.integrity_errors.add(evil.to_string());
        outcome.loads[1].stats.fail(LoadFailure::new(Stage::Exchange, evil));
        outcome.server.as_mut().unwrap().name = evil.to_string();
        outcome.plan.json = Some(evil.into());
        outcome.plan.targets = vec![Address::parse_target(&format!("unix:/run/{evil}")).unwrap()];
        let (page, plain) = (page(&outcome), page(&example()));
        for mark in ["<script", "</script", "<!--", "</td>", "default-src 'none'"] {
            let counts = [&page, &plain].map(|text| text.matches(mark).count());
            // A failure adds a sentence, and no cell of a table.
            assert_eq!(counts[0], counts[1], "{mark}");
        }
        assert!(!page.contains('\u{2028}') && page.matches("&lt;script").count() >= 7);
        assert!(text_of(&page).contains("alert('x')</script><!--"));
        assert_eq!(page.matches("\"persistent\":").count(), 1, "a placeholder in foreign text");
    }
}
