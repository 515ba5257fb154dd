//! The lines above the list and the one below it: the daemon, its totals and rates, and what keys
//! do.

use super::super::ctl::view::{View, cut_end, first_fit, safe, seconds};
use super::past_view;
use super::sample::{ROWS, Sample};
use super::screen::{Freshness, TopScreen};
use super::travel::TimeTravel;
use crate::admin::resources::ListenerRow;
use crate::config::unit::show_duration;
use crate::config::{TopSort, TopView};
use crate::text::count::{grouped, plural};
use crate::text::quantity::{bytes, digits, duration, percent, short_age};
use crate::text::terminal::Paint;
use crate::text::wrap::width;

/// A line and its rank: lines of a higher one are left out first on a small terminal.
pub type RankedLine = (u8, String);

/// Draws the lines of the head.
pub fn lines(screen: &TopScreen, columns: usize, paint: Paint, now: f64) -> Vec<RankedLine> {
    let mut lines = vec![(0, title(screen, columns, paint, now))];
    if let Some(past) = screen.past() {
        let view = View { paint, columns };
        let summary = |shown| (1, past_view::summary(shown, &view));
        lines.extend(past.shown().map(summary));
    } else if let Some(sample) = &screen.sample {
        lines.push((2, connections(screen, sample, columns)));
        lines.push((3, event_loop(screen, sample, columns)));
        if screen.view == TopView::Connections {
            lines.push((5, listeners(sample, columns, paint)));
        }
    }
    lines.push((4, views(screen, columns, paint)));
    if screen.is_list() {
        lines.push((1, sorts(screen, columns, paint)));
    }
    lines
}

/// Joins two texts with a gap that aligns the second with the right edge. The first is cut.
fn spread(left: &str, right: &str, columns: usize) -> (String, String) {
    let left = cut_end(left, columns.saturating_sub(width(right) + 2).max(1));
    let gap = columns.saturating_sub(width(&left) + width(right));
    (left, " ".repeat(gap))
}

fn title(screen: &TopScreen, columns: usize, paint: Paint, now: f64) -> String {
    let about = match &screen.sample {
        Some(Sample { version, .. }) => {
            let state = match version.state.as_str() {
                "running" => String::new(),
                state => format!(" {}", safe(state)),
            };
            let (up, pid) = (short_age(seconds(version.up_seconds)), version.pid);
            let (version, address) = (safe(&version.version), safe(&screen.address));
            format!("oneloop {version}{state}, up {up}, process {pid}, {address}")
        }
        None => format!("oneloop, {}", safe(&screen.address)),
    };
    let age = |age: f64| short_age(seconds(age.max(0.0)));
    let (status, color): (String, fn(Paint, &str) -> String) = match screen.freshness(now) {
        Freshness::Live => (format!("every {}", show_duration(screen.interval)), Paint::fine),
        Freshness::Recorded(_) if screen.past().is_some_and(TimeTravel::needs_recording) => {
            ("reading the recording".to_string(), Paint::inverse)
        }
        Freshness::Recorded(ago) => (format!("{ago:.1} s ago (recorded)"), Paint::inverse),
        Freshness::Frozen(since) => (format!("frozen for {}", age(since)), Paint::warning),
        Freshness::Gone(since) => (format!("gone for {}", age(since)), Paint::bad),
    };
    let (about, gap) = spread(&about, &status, columns);
    format!("{}{gap}{}", paint.bold(&about), color(paint, &status))
}

fn connections(screen: &TopScreen, sample: &Sample, columns: usize) -> String {
    let sum = |count: fn(&crate::admin::resources::RouteRow) -> u64| -> u64 {
        sample.routes.iter().map(count).sum()
    };
    let mut open = format!("connections  {} open", grouped(sum(|row| row.active as u64)));
    if let flows @ 1.. = sum(|row| row.flows as u64) {
        open += &format!(", {}", plural(flows, "flow"));
    }
    let accepted = format!("{} accepted", grouped(sum(|row| row.accepted)));
    let Some(rates) = &screen.rates else {
        return cut_end(&format!("{open}, {accepted}"), columns);
    };
    let rate = digits(rates.accepted_per_second);
    let received = bytes(rates.received_bytes_per_second);
    let moved = format!("in {received}/s, out {}/s", bytes(rates.sent_bytes_per_second));
    let texts = [
        format!("{open}, {accepted}, {rate}/s, {moved}"),
        format!("{open}, {rate} accepted/s, {moved}"),
        format!("{open}, {rate} new/s, {moved}"),
        format!("{open}, {rate} new/s"),
    ];
    first_fit(&texts, columns)
}

fn event_loop(screen: &TopScreen, sample: &Sample, columns: usize) -> String {
    let text = match &screen.rates {
        Some(rates) => format!(
            "loop         {} turns/s, {} events/s, {} in poll",
            digits(rates.turns_per_second),
            digits(rates.events_per_second),
            percent(rates.poll_share)
        ),
        None => format!("loop         {} turns", grouped(sample.event_loop.turns)),
    };
    let Some(turn) = &sample.event_loop.longest_turn else { return cut_end(&text, columns) };
    let took = duration(seconds(turn.seconds));
    let ago = short_age(seconds(turn.ended_seconds_ago));
    let texts = [
        format!("{text}, longest {took}, {ago} ago"),
        format!("{text}, max {took}, {ago} ago"),
        format!("{text}, longest {took}"),
        text,
    ];
    first_fit(&texts, columns)
}

/// Formats the listeners briefly: all by number, then each with its queue.
fn listeners(sample: &Sample, columns: usize, paint: Paint) -> String {
    let is_paused = |row: &&ListenerRow| row.state == "paused";
    let paused = sample.listeners.iter().filter(is_paused).count();
    let mut text = format!("listeners    {}", grouped(sample.listeners.len() as u64));
    if paused > 0 {
        text += &format!(", {} paused", grouped(paused as u64));
    }
    let brief = |row: &ListenerRow| {
        let address = safe(&row.address);
        let state = match (row.state.as_str(), row.queue) {
            ("accepting", Some(waiting @ 1..)) => format!(" {} waiting", grouped(waiting.into())),
            ("accepting" | "receiving", _) => String::new(),
            (state, Some(waiting)) => {
                format!(" {}, {} waiting", safe(state), grouped(waiting.into()))
            }
            (state, None) => format!(" {}", safe(state)),
        };
        address + &state
    };
    let mut briefs: Vec<(bool, String)> =
        sample.listeners.iter().map(|row| (!is_paused(&row), brief(row))).collect();
    // What is paused must not be cut off.
    briefs.sort_by_key(|(is_serving, _)| *is_serving);
    let briefs: Vec<String> = briefs.into_iter().map(|(_, text)| text).collect();
    let text = cut_end(&format!("{text}: {}", briefs.join(", ")), columns);
    if paused > 0 { paint.warning(&text) } else { text }
}

/// Formats the views with their keys; the current one is in brackets.
fn views(screen: &TopScreen, columns: usize, paint: Paint) -> String {
    let mut text = String::from("view  ");
    for ((name, view), number) in TopView::NAMES.iter().zip(1..) {
        text += &choice(&format!("{number} {name}"), *view == screen.view, paint);
    }
    let filter = match screen.filter.text() {
        "" => String::new(),
        filter => paint.warning(&format!("filter /{}", safe(filter))),
    };
    let gap = columns.saturating_sub(width(&text) + width(&filter));
    format!("{text}{}{filter}", " ".repeat(gap.max(1)))
}

/// Formats the sort keys, and how many rows there are.
fn sorts(screen: &TopScreen, columns: usize, paint: Paint) -> String {
    let mut text = String::from("sort  ");
    for (name, sort) in TopSort::NAMES {
        let key = name.chars().next().unwrap_or_default();
        text += &choice(&format!("{key} {name}"), sort == screen.sort, paint);
    }
    let polled = screen.sample.as_ref().filter(|_| screen.past().is_none());
    let (shown, listed) = match screen.past() {
        Some(past) => (screen.past_rows().len(), past.shown().map_or(0, |shown| shown.rows.len())),
        None => (screen.connections().len(), polled.map_or(0, |sample| sample.connections.len())),
    };
    let shown = shown as u64;
    let left = columns.saturating_sub(width(&text) + 1);
    let count = match polled.map(|sample| sample.sort) {
        Some(sort) if listed >= ROWS => {
            let (shown, first) = (grouped(shown), grouped(ROWS as u64));
            let sort = sort.name();
            let by = format!("{shown} of the first {first} by {sort}");
            first_fit(&[by, format!("{shown} of first {first}")], left)
        }
        _ if shown as usize == listed => plural(shown, "row"),
        _ => format!("{} of {}", grouped(shown), plural(listed as u64, "row")),
    };
    let gap = columns.saturating_sub(width(&text) + width(&count));
    format!("{text}{}{count}", " ".repeat(gap.max(1)))
}

fn choice(text: &str, is_current: bool, paint: Paint) -> String {
    match is_current {
        true => format!("[{}] ", paint.bold(text)),
        false => format!(" {text}  "),
    }
}

/// Draws the last line: what is typed, what is wrong, or what keys do.
pub fn foot(screen: &TopScreen, paint: Paint) -> String {
    if screen.is_typing() {
        let filter = safe(screen.filter.text());
        return format!("/{filter}_   {}", paint.dim("enter: keep  esc: undo"));
    }
    let line = |text: &str| safe(&text.replace('\n', " "));
    if let Some(error) = screen.error.as_ref().filter(|_| !screen.is_still()) {
        return paint.bad(&line(error));
    }
    if let Some(notice) = &screen.notice {
        return paint.warning(&line(notice));
    }
    let is_past = screen.past().is_some();
    let has_text = screen.shows_help || screen.opened.is_some() || is_past && !screen.is_list();
    let keys = match (has_text, screen.is_list()) {
        (true, _) if is_past => "q quit  esc back  space now  [ ] step 1 s",
        (true, _) => "q quit  esc back  space freeze  arrows scroll",
        (false, true) if is_past => "q quit  ? help  esc now  [ ] step 1 s  { } 10 s  enter open",
        (false, true) => "q quit  ? help  / filter  space freeze  [ step back  enter open",
        (false, false) => "q quit  ? help  / filter  space freeze  tab next view",
    };
    paint.dim(keys)
}
