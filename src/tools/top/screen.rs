//! The state of the display: what keys and polls change. It neither polls nor draws, and its times
//! are seconds since top was started.

use std::time::Duration;

use super::keys::TopKey;
use super::past::PastRow;
use super::rows::Filter;
use super::sample::{PollRequest, Rates, Sample};
use super::travel::{Arrival, TimeTravel};
use crate::admin::resources::{ConnectionResource, ConnectionRow};
use crate::config::{TopPlan, TopSort, TopView};

/// Maximum characters of a filter.
const FILTER_CHARS: usize = 64;
/// Steps in time of the small and the large keys, in seconds.
const STEP: i64 = 1;
const LARGE_STEP: i64 = 10;
/// Time without an answer after which the daemon counts as gone.
const PATIENCE: f64 = 2.0;

/// Everything that a frame shows.
#[derive(Clone, Debug)]
pub struct TopScreen {
    /// The address of the daemon, for the title.
    pub address: String,
    pub interval: Duration,
    pub view: TopView,
    pub sort: TopSort,
    pub filter: Filter,
    /// The filter is being typed: the one before it.
    typing: Option<Filter>,
    is_frozen: bool,
    /// An earlier time is shown.
    past: Option<TimeTravel>,
    /// A recording was requested, and its answer is outstanding.
    is_downloading: bool,
    pub shows_help: bool,
    pub opened: Option<OpenedRow>,
    cursor: Cursor,
    /// The first line shown of a list or a text.
    pub first: usize,
    pub sample: Option<Sample>,
    pub rates: Option<Rates>,
    /// When the poll in progress was started.
    asked_at: Option<f64>,
    /// Why the last poll failed.
    pub error: Option<String>,
    /// What the user should know, until a key is pressed.
    pub notice: Option<String>,
    is_over: bool,
}

/// A connection whose report is shown.
#[derive(Clone, Debug)]
pub struct OpenedRow {
    pub row: ConnectionRow,
    /// None until a poll has brought it.
    pub report: Option<Box<ConnectionResource>>,
    pub is_closed: bool,
}

/// The marked row. It stays at its place until it is moved, and then on its connection.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    index: usize,
    id: Option<u32>,
}

/// How old the data is, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Freshness {
    Live,
    /// Frozen for so many seconds.
    Frozen(f64),
    /// Of so many seconds ago, from a recording.
    Recorded(f64),
    /// No answer for so many seconds.
    Gone(f64),
}

impl TopScreen {
    pub fn new(plan: &TopPlan, address: String) -> TopScreen {
        TopScreen {
            address,
            interval: plan.interval,
            view: plan.view,
            sort: plan.sort,
            filter: Filter::new(&plan.filter),
            typing: None,
            is_frozen: false,
            past: None,
            is_downloading: false,
            shows_help: false,
            opened: None,
            cursor: Cursor::default(),
            first: 0,
            sample: None,
            rates: None,
            asked_at: None,
            error: None,
            notice: None,
            is_over: false,
        }
    }

    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Whether the data stays as it is: nothing is polled.
    pub fn is_still(&self) -> bool {
        self.is_frozen || self.past.is_some()
    }

    pub fn past(&self) -> Option<&TimeTravel> {
        self.past.as_ref()
    }

    /// Whether a filter is being typed.
    pub fn is_typing(&self) -> bool {
        self.typing.is_some()
    }

    /// Whether a poll is in progress.
    pub fn is_polling(&self) -> bool {
        self.asked_at.is_some()
    }

    /// Starts a poll: returns what to ask for.
    pub fn poll(&mut self, now: f64) -> PollRequest {
        self.asked_at = Some(now);
        PollRequest {
            sort: self.sort,
            connection: self.opened.as_ref().map(|opened| opened.row.id),
        }
    }

    /// Whether a recording is to be downloaded now. It is requested once.
    pub fn download(&mut self) -> bool {
        let needs = self.past.as_ref().is_some_and(TimeTravel::needs_recording);
        let is_wanted = needs && !self.is_downloading;
        self.is_downloading |= is_wanted;
        is_wanted
    }

    /// Receives a recording, or why there is none. It is dropped if the display returned to now
    /// meanwhile.
    pub fn on_recording(&mut self, recording: Result<Vec<u8>, String>) {
        self.is_downloading = false;
        match (recording, &mut self.past) {
            (Ok(recording), Some(past)) => past.load(recording),
            (Err(error), Some(_)) => self.leave_past(Some(error)),
            (_, None) => {}
        }
    }

    /// Takes the steps in time since the last frame.
    pub fn prepare(&mut self, now: f64) {
        let (Some(past), Some(sample)) = (&mut self.past, &self.sample) else { return };
        let was_shown = past.shown().is_some();
        let arrival = past.prepare(sample.moment(now), sample.version.pid);
        if !was_shown && past.shown().is_some() && past.opened().is_some() {
            // The newest lines are the last ones.
            self.first = usize::MAX;
        }
        match arrival {
            Arrival::Past => {}
            Arrival::Beginning => self.notice = Some("the recording begins here".to_string()),
            Arrival::Now => self.leave_past(None),
            Arrival::Foreign => {
                let notice = "the answer is no recording of this daemon, which may have restarted";
                self.leave_past(Some(notice.to_string()));
            }
        }
        self.follow();
    }

    /// Returns to now, and drops the recording.
    fn leave_past(&mut self, notice: Option<String>) {
        self.past = None;
        self.is_frozen = false;
        self.notice = notice;
        self.first = 0;
        self.follow();
    }

    /// Receives the answers of a poll. They are ignored if the display was frozen meanwhile.
    pub fn on_sample(&mut self, sample: Sample) {
        self.asked_at = None;
        if self.is_still() {
            return;
        }
        self.error = None;
        if let Some(before) = &self.sample {
            self.rates = Rates::between(before, &sample);
            if !before.is_same_process(&sample) {
                self.on_restart(before.version.pid, sample.version.pid);
            }
        }
        if let (Some(opened), Some(report)) = (&mut self.opened, &sample.report)
            && opened.row.id == report.id
        {
            opened.is_closed = report.connection.is_none();
            // The last report of a closed connection stays.
            opened.report = report.connection.clone().or(opened.report.take());
        }
        self.sample = Some(sample);
        self.follow();
    }

    /// The numbers of connections start again, so that the old ones mean others.
    fn on_restart(&mut self, before: u32, after: u32) {
        self.notice = Some(format!("the daemon was restarted: process {before} became {after}"));
        self.cursor = Cursor::default();
        self.opened = None;
        self.first = 0;
    }

    /// Receives the error of a poll. The data of the last one stays.
    pub fn on_error(&mut self, error: String) {
        self.asked_at = None;
        if !self.is_still() {
            self.error = Some(error);
        }
    }

    pub fn freshness(&self, now: f64) -> Freshness {
        let age = self.sample.as_ref().map_or(now, |sample| now - sample.taken_at);
        if let (Some(past), Some(sample)) = (&self.past, &self.sample) {
            return Freshness::Recorded(past.ago(sample.moment(now)).as_secs_f64());
        }
        let is_late = self.asked_at.is_some_and(|asked_at| now - asked_at > PATIENCE);
        match (self.is_frozen, self.error.is_some() || is_late) {
            (true, _) => Freshness::Frozen(age),
            (false, true) => Freshness::Gone(age),
            (false, false) => Freshness::Live,
        }
    }

    /// Returns the connections to list.
    pub fn connections(&self) -> Vec<&ConnectionRow> {
        let rows = self.sample.as_ref().map_or(&[][..], |sample| &sample.connections);
        self.filter.connections(rows, self.sort)
    }

    /// Returns the connections of the earlier time, if one is shown and known.
    pub fn past_rows(&self) -> Vec<&PastRow> {
        let shown = self.past.as_ref().and_then(TimeTravel::shown);
        shown.map_or_else(Vec::new, |shown| self.filter.past(&shown.rows, self.sort))
    }

    /// Returns the numbers of the connections that are listed.
    fn listed(&self) -> Vec<u32> {
        match self.past {
            Some(_) => self.past_rows().iter().map(|row| row.id).collect(),
            None => self.connections().iter().map(|row| row.id).collect(),
        }
    }

    /// Returns the line of the cursor, if the display is a list of connections.
    pub fn marked(&self) -> Option<usize> {
        self.is_list().then_some(self.cursor.index)
    }

    pub fn is_list(&self) -> bool {
        let opened = self.past.as_ref().and_then(TimeTravel::opened);
        let is_opened = self.opened.is_some() || opened.is_some();
        self.view == TopView::Connections && !is_opened && !self.shows_help
    }

    /// Adjusts the first line: `lines` exist, and `page` of them fit. The cursor is visible.
    pub fn fit(&mut self, page: usize, lines: usize) {
        if self.is_list() {
            let last = self.cursor.index;
            self.first = self.first.min(last).max((last + 1).saturating_sub(page));
        }
        self.first = self.first.min(lines.saturating_sub(page));
    }

    /// Handles a key. `page` is the number of lines that fit.
    pub fn on_key(&mut self, key: TopKey, page: usize) {
        self.notice = None;
        if self.typing.is_some() {
            return self.on_typed(key);
        }
        match key {
            TopKey::Up => self.scroll(-1),
            TopKey::Down => self.scroll(1),
            TopKey::PageUp => self.scroll(-signed(page)),
            TopKey::PageDown => self.scroll(signed(page)),
            TopKey::Home => self.scroll(isize::MIN),
            TopKey::End => self.scroll(isize::MAX),
            TopKey::Enter => self.open(),
            TopKey::Escape | TopKey::Backspace => self.back(),
            TopKey::Tab => self.show(next_view(self.view)),
            TopKey::Char(ch) => self.on_char(ch),
            // The session draws anew, and stops the process.
            TopKey::Redraw | TopKey::Suspend => {}
        }
    }

    fn on_char(&mut self, ch: char) {
        match ch {
            'q' => self.is_over = true,
            '?' | 'h' => {
                self.shows_help = !self.shows_help;
                self.first = 0;
            }
            ' ' if self.past.is_some() => self.leave_past(None),
            ' ' => self.is_frozen = !self.is_frozen,
            '[' => self.step(-STEP),
            ']' => self.step(STEP),
            '{' => self.step(-LARGE_STEP),
            '}' => self.step(LARGE_STEP),
            '/' => {
                self.shows_help = false;
                self.opened = None;
                if let Some(past) = &mut self.past {
                    past.open(None);
                }
                self.typing = Some(self.filter.clone());
            }
            'j' => self.scroll(1),
            'k' => self.scroll(-1),
            'r' => self.sort_by(TopSort::Received),
            's' => self.sort_by(TopSort::Sent),
            'u' => self.sort_by(TopSort::Unsent),
            'a' => self.sort_by(TopSort::Age),
            'i' => self.sort_by(TopSort::Idle),
            '1'..='9' => {
                let number = ch as usize - '1' as usize;
                if let Some((_, view)) = TopView::NAMES.get(number) {
                    self.show(*view);
                }
            }
            _ => {}
        }
    }

    fn on_typed(&mut self, key: TopKey) {
        let mut text = self.filter.text().to_string();
        match key {
            TopKey::Enter => self.typing = None,
            TopKey::Escape => self.filter = self.typing.take().unwrap_or_default(),
            TopKey::Backspace => {
                text.pop();
                self.filter = Filter::new(&text);
            }
            TopKey::Char(ch) if text.chars().count() < FILTER_CHARS => {
                text.push(ch);
                self.filter = Filter::new(&text);
            }
            TopKey::Char(_)
            | TopKey::Up
            | TopKey::Down
            | TopKey::PageUp
            | TopKey::PageDown
            | TopKey::Home
            | TopKey::End
            | TopKey::Tab
            | TopKey::Redraw
            | TopKey::Suspend => {}
        }
        self.reset_cursor();
    }

    /// Moves the cursor in a list, and the first line elsewhere.
    fn scroll(&mut self, lines: isize) {
        if !self.is_list() {
            self.first = self.first.saturating_add_signed(lines);
            return;
        }
        let ids = self.listed();
        let index = self.cursor.index.saturating_add_signed(lines);
        let index = index.min(ids.len().saturating_sub(1));
        // At the top the cursor stays with the place: there are the rows of most interest.
        let id = ids.get(index).copied().filter(|_| index > 0);
        self.cursor = Cursor { index, id };
    }

    /// Moves the cursor to its connection, which may have another place now, or may be gone.
    fn follow(&mut self) {
        // While an earlier time is read, nothing is listed yet.
        if self.past.as_ref().is_some_and(|past| past.shown().is_none()) {
            return;
        }
        let ids = self.listed();
        let place = self.cursor.id.and_then(|id| ids.iter().position(|other| *other == id));
        self.cursor = match place {
            Some(index) => Cursor { index, ..self.cursor },
            None => {
                let index = self.cursor.index.min(ids.len().saturating_sub(1));
                let followed = self.cursor.id.and(ids.get(index).copied());
                Cursor { index, id: followed }
            }
        };
    }

    fn sort_by(&mut self, sort: TopSort) {
        if self.is_list() {
            self.sort = sort;
            self.reset_cursor();
        }
    }

    fn reset_cursor(&mut self) {
        self.cursor = Cursor::default();
        self.first = 0;
    }

    /// Steps in time. The first step back leaves the present: a recording is needed.
    fn step(&mut self, seconds: i64) {
        if self.past.is_none() && seconds < 0 {
            let mut past = TimeTravel::default();
            past.open(self.opened.take().map(|opened| opened.row.id));
            self.past = Some(past);
            self.view = TopView::Connections;
        }
        if let Some(past) = &mut self.past {
            past.step(seconds);
            self.shows_help = false;
        }
    }

    fn show(&mut self, view: TopView) {
        if self.past.is_some() && view != TopView::Connections {
            let notice = "a recording shows connections only; esc returns to now";
            self.notice = Some(notice.to_string());
            return;
        }
        if let Some(past) = &mut self.past {
            past.open(None);
        }
        self.view = view;
        self.opened = None;
        self.shows_help = false;
        self.first = 0;
    }

    /// Opens the marked row.
    fn open(&mut self) {
        if !self.is_list() {
            return;
        }
        let id = self.listed().get(self.cursor.index).copied();
        if let Some(past) = &mut self.past {
            self.cursor.id = id;
            past.open(id);
            return;
        }
        let row = self.connections().get(self.cursor.index).map(|row| (*row).clone());
        if let Some(row) = row {
            self.cursor.id = Some(row.id);
            self.opened = Some(OpenedRow { row, report: None, is_closed: false });
            self.first = 0;
        }
    }

    /// Closes what was opened last: help, a row, an earlier time, the filter.
    fn back(&mut self) {
        if self.shows_help {
            self.shows_help = false;
        } else if let Some(past) = &mut self.past {
            match past.opened() {
                Some(_) => past.open(None),
                None => self.leave_past(None),
            }
        } else if self.opened.take().is_none() {
            self.filter = Filter::default();
        }
        self.first = 0;
        self.follow();
    }
}

fn signed(page: usize) -> isize {
    isize::try_from(page.max(1)).unwrap_or(isize::MAX)
}

fn next_view(view: TopView) -> TopView {
    let at = TopView::NAMES.iter().position(|(_, other)| *other == view).unwrap_or_default();
    TopView::NAMES[(at + 1) % TopView::NAMES.len()].1
}

#[cfg(test)]
#[path = "screen_tests.rs"]
mod tests;
