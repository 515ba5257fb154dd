//! Draws the state of the display as lines of text, and composes a frame of them. Text of the
//! daemon is escaped by the tables and reports of ctl, or here.

use super::super::ctl::view::{View, pair, pairs, safe, seconds};
use super::super::ctl::{details, facts, lists};
use super::head::{self, RankedLine};
use super::past_view;
use super::screen::{OpenedRow, TopScreen};
use super::travel::TimeTravel;
use crate::admin::resources::{ConnectionRow, ListenersResource, RoutesResource};
use crate::config::TopView;
use crate::text::quantity::duration;
use crate::text::terminal::Paint;
use crate::text::wrap::{COLUMNS, COLUMNS_MIN, width};

/// Lines of a list that the head leaves room for. With less, lines of the head are left out.
const BODY_LINES_MIN: usize = 5;
/// Columns before a row of the list: the mark, and a space.
const GUTTER: usize = 2;

/// Columns that no line needs, but for a list of very many listeners.
const WHOLE_COLUMNS: usize = 4000;

/// Starts a frame: the terminal shows it as a whole when it is complete.
const BEGIN: &str = "\x1b[?2026h";
const END: &str = "\x1b[?2026l";

/// The abilities of the terminal.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub paint: Paint,
    /// It shows ASCII only.
    pub is_ascii: bool,
}

/// The size of the terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameSize {
    pub columns: usize,
    pub rows: usize,
}

/// The lines of a display, before they are fitted into its rows.
struct Page {
    head: Vec<RankedLine>,
    /// Titles of a table, which are not scrolled.
    titles: Option<String>,
    body: Vec<String>,
    foot: String,
}

/// Draws a frame, as it is written to the terminal. Returns it, and the number of lines of a page.
pub fn frame(screen: &mut TopScreen, size: FrameSize, look: Look, now: f64) -> (String, usize) {
    let columns = size.columns.saturating_sub(if screen.is_list() { GUTTER } else { 0 });
    let page = Page::new(screen, size.columns, columns, look, now);
    let (head, rows) = page.layout(size.rows);
    screen.fit(rows, page.body.len());
    let mark = screen.marked().filter(|_| page.titles.is_some());
    let mut lines: Vec<String> = head;
    let gutter = if screen.is_list() { "  " } else { "" };
    lines.extend(page.titles.iter().map(|titles| format!("{gutter}{titles}")));
    let shown = page.body.iter().enumerate().skip(screen.first).take(rows);
    lines.extend(shown.map(|(at, line)| match mark == Some(at) {
        true => marked(line, size.columns, look.paint),
        false => format!("{gutter}{line}"),
    }));
    if size.rows > 1 {
        lines.resize(size.rows - 1, String::new());
        lines.push(page.foot);
    }
    lines.resize(size.rows, String::new());
    (compose(&lines, size.columns, look), rows)
}

/// Draws everything as plain lines, without what only a terminal needs.
pub fn text(screen: &TopScreen, columns: usize, look: Look, now: f64) -> String {
    let page = Page::new(screen, columns, columns, look, now);
    let lines = page.head.iter().map(|(_, line)| line).chain(&page.titles).chain(&page.body);
    let lines = lines.map(|line| clipped(line, columns, look).trim_end().to_string() + "\n");
    lines.collect()
}

/// Draws the same for a reader that is no terminal: no line is cut, and what a terminal shows at
/// its right edge is at that of a usual one, or behind the rest.
pub fn whole_text(screen: &TopScreen, look: Look, now: f64) -> String {
    let gap = " ".repeat(WHOLE_COLUMNS / 2);
    let aligned = |line: &str| match line.split_once(&gap) {
        Some((left, right)) => {
            let right = right.trim_start_matches(' ');
            let gap = COLUMNS.saturating_sub(width(left) + width(right)).max(2);
            format!("{left}{}{right}\n", " ".repeat(gap))
        }
        None => format!("{line}\n"),
    };
    text(screen, WHOLE_COLUMNS, look, now).lines().map(aligned).collect()
}

/// Composes a frame of lines: each replaces the one that was there.
fn compose(lines: &[String], columns: usize, look: Look) -> String {
    let mut frame = BEGIN.to_string();
    for (line, row) in lines.iter().zip(1..) {
        let line = clipped(line, columns, look);
        // Erased first: after a full line, the last column would be erased.
        frame += &format!("\x1b[{row};1H\x1b[K{line}\x1b[0m");
    }
    frame + END
}

/// Formats the row of the cursor. Its own colors would end the inverse ones.
fn marked(line: &str, columns: usize, paint: Paint) -> String {
    let bare = format!("> {}", without_colors(line));
    match paint.0 {
        true => {
            let pad = " ".repeat(columns.saturating_sub(width(&bare)));
            format!("\x1b[7m{bare}{pad}")
        }
        false => bare,
    }
}

/// Cuts a line after its columns. Escape sequences have no width.
fn clipped(line: &str, columns: usize, look: Look) -> String {
    let mut text = String::with_capacity(line.len());
    let mut left = columns;
    let mut is_escape = false;
    for ch in line.chars() {
        is_escape |= ch == '\x1b';
        if is_escape {
            text.push(ch);
            is_escape = ch != 'm';
        } else if left > 0 {
            left -= 1;
            text.push(if look.is_ascii { ascii(ch) } else { ch });
        }
    }
    text
}

/// Returns a character of ASCII in place of another, as wide as it.
fn ascii(ch: char) -> char {
    match ch {
        ch if ch.is_ascii() => ch,
        '…' => '~',
        'µ' => 'u',
        _ => '?',
    }
}

fn without_colors(line: &str) -> String {
    let mut is_escape = false;
    let is_kept = |ch: &char| {
        let is_part = is_escape || *ch == '\x1b';
        is_escape = is_part && *ch != 'm';
        !is_part
    };
    line.chars().filter(is_kept).collect()
}

impl Page {
    /// `columns` are those of the terminal, and `inner` those of the rows.
    fn new(screen: &TopScreen, columns: usize, inner: usize, look: Look, now: f64) -> Page {
        let view = View { paint: look.paint, columns: inner.max(COLUMNS_MIN) };
        let (text, has_titles) = body(screen, &view);
        let mut lines = text.lines().map(str::to_string);
        let titles = if has_titles { lines.next() } else { None };
        let head = head::lines(screen, columns, look.paint, now);
        let foot = head::foot(screen, look.paint);
        Page { head, titles, body: lines.collect(), foot }
    }

    /// Chooses the lines of the head, and how many rows are left for the body.
    fn layout(&self, rows: usize) -> (Vec<String>, usize) {
        let around = usize::from(self.titles.is_some()) + usize::from(rows > 1);
        let room = rows.saturating_sub(around + self.body.len().min(BODY_LINES_MIN)).max(1);
        let mut head: Vec<_> = self.head.iter().collect();
        while head.len() > room {
            let spare = head.iter().enumerate().max_by_key(|(_, (spare, _))| *spare);
            let Some((at, _)) = spare else { break };
            head.remove(at);
        }
        let left = rows.saturating_sub(around + head.len());
        (head.into_iter().map(|(_, line)| line.clone()).collect(), left)
    }
}

/// Returns the text below the head, and whether its first line has the titles of a table.
fn body(screen: &TopScreen, view: &View) -> (String, bool) {
    if screen.shows_help {
        return (help(view), false);
    }
    if let Some(past) = screen.past() {
        return past_body(screen, past, view);
    }
    if let Some(opened) = &screen.opened {
        return (report(opened, view), false);
    }
    let Some(sample) = &screen.sample else { return (String::new(), false) };
    match screen.view {
        TopView::Connections => {
            let rows: Vec<ConnectionRow> = screen.connections().into_iter().cloned().collect();
            match rows.is_empty() {
                true => ("no connections\n".to_string(), false),
                false => (lists::connections(&rows, view), true),
            }
        }
        TopView::Routes => {
            let mut routes = sample.routes.clone();
            routes.retain(|row| screen.filter.has_route(row));
            (lists::routes(&RoutesResource { routes }, view), true)
        }
        TopView::Listeners => {
            let mut listeners = sample.listeners.clone();
            listeners.retain(|row| screen.filter.has_listener(row));
            (lists::listeners(&ListenersResource { listeners }, view), true)
        }
        TopView::Loop => (facts::event_loop(&sample.event_loop, view), false),
    }
}

/// Returns the same of an earlier time.
fn past_body(screen: &TopScreen, past: &TimeTravel, view: &View) -> (String, bool) {
    let Some(shown) = past.shown() else { return (String::new(), false) };
    if let Some(id) = past.opened() {
        return (past_view::report(shown, id, view), false);
    }
    let rows = screen.past_rows();
    match rows.is_empty() {
        true => ("no connections in the recording at this time\n".to_string(), false),
        false => (past_view::connections(&rows, shown.at, view), true),
    }
}

/// Formats an opened row: the report as ctl prints it, or what the list knows until a poll has
/// brought it.
fn report(opened: &OpenedRow, view: &View) -> String {
    let id = opened.row.id;
    let mut text = String::new();
    if opened.is_closed {
        let last = if opened.report.is_some() { "its last report:" } else { "its last row:" };
        text += &format!("{}\n\n", view.paint.warning(&format!("#{id} is closed; {last}")));
    }
    match &opened.report {
        Some(report) => text + &details::connection(report, view),
        None if opened.is_closed => text + &row_facts(&opened.row, view),
        None => {
            let line = format!("#{id}: its report is part of the next poll\n");
            text + &line + &row_facts(&opened.row, view)
        }
    }
}

fn row_facts(row: &ConnectionRow, view: &View) -> String {
    let unknown = || "unknown".to_string();
    let mut facts = vec![
        pair("route", format!("{}, {}", safe(&row.route), safe(&row.service))),
        pair("client", row.peer.as_deref().map_or_else(unknown, safe)),
    ];
    facts.extend(row.target.as_deref().map(|target| pair("target", safe(target))));
    facts.push(pair("state", safe(&row.state)));
    facts.push(pair("age", duration(seconds(row.age_seconds))));
    facts.push(pair("idle", duration(seconds(row.idle_seconds))));
    facts.push(pair("received", details::size(row.received_bytes)));
    facts.push(pair("sent", details::size(row.sent_bytes)));
    facts.push(pair("unsent", details::size(row.unsent_bytes)));
    pairs(&facts, view)
}

const KEYS: [(&str, &str); 13] = [
    ("1 2 3 4, tab", "connections, routes, listeners, loop"),
    ("r s u a i", "sort by received, sent, unsent, age, idle"),
    ("/", "filter by a text of the row; esc removes it"),
    ("space", "freeze: no more polls; sort, filter and open rows go on"),
    ("[ ] { }", "back or forward in the recording, by 1 s or 10 s"),
    ("up, down, k, j", "move the cursor, or scroll"),
    ("pgup, pgdn", "a page up or down"),
    ("home, end", "first or last row; at the first, the cursor stays there"),
    ("enter", "open the row: the report of the connection"),
    ("esc", "back; from an earlier time to now, as space"),
    ("^L", "draw anew"),
    ("^Z", "stop the process"),
    ("q", "quit"),
];

fn help(view: &View) -> String {
    let rows: Vec<_> = KEYS.iter().map(|(key, effect)| pair(key, *effect)).collect();
    format!("{}\n{}", view.paint.bold("Keys"), pairs(&rows, view))
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
