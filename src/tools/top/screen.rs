//! The state of the display: what keys and polls change. It neither polls nor draws, and its times
//! are seconds since top was started.

use std::time::Duration;

use super::keys::TopKey;
use super::rows::Filter;
use super::sample::{PollRequest, Rates, Sample};
use crate::admin::resources::{ConnectionResource, ConnectionRow};
use crate::config::{TopPlan, TopSort, TopView};

/// Maximum characters of a filter.
const FILTER_CHARS: usize = 64;
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

    pub fn is_frozen(&self) -> bool {
        self.is_frozen
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

    /// Receives the answers of a poll. They are ignored if the display was frozen meanwhile.
    pub fn on_sample(&mut self, sample: Sample) {
        self.asked_at = None;
        if self.is_frozen {
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
        if !self.is_frozen {
            self.error = Some(error);
        }
    }

    pub fn freshness(&self, now: f64) -> Freshness {
        let age = self.sample.as_ref().map_or(now, |sample| now - sample.taken_at);
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

    /// Returns the line of the cursor, if the display is a list of connections.
    pub fn marked(&self) -> Option<usize> {
        self.is_list().then_some(self.cursor.index)
    }

    pub fn is_list(&self) -> bool {
        self.view == TopView::Connections && self.opened.is_none() && !self.shows_help
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
            ' ' => self.is_frozen = !self.is_frozen,
            '/' => {
                self.shows_help = false;
                self.opened = None;
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
        let ids: Vec<u32> = self.connections().iter().map(|row| row.id).collect();
        let index = self.cursor.index.saturating_add_signed(lines);
        let index = index.min(ids.len().saturating_sub(1));
        // At the top the cursor stays with the place: there are the rows of most interest.
        let id = ids.get(index).copied().filter(|_| index > 0);
        self.cursor = Cursor { index, id };
    }

    /// Moves the cursor to its connection, which may have another place now, or may be gone.
    fn follow(&mut self) {
        let ids: Vec<u32> = self.connections().iter().map(|row| row.id).collect();
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

    fn show(&mut self, view: TopView) {
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
        let row = self.connections().get(self.cursor.index).map(|row| (*row).clone());
        if let Some(row) = row {
            self.cursor.id = Some(row.id);
            self.opened = Some(OpenedRow { row, report: None, is_closed: false });
            self.first = 0;
        }
    }

    /// Closes what was opened last: help, a row, the filter.
    fn back(&mut self) {
        if self.shows_help {
            self.shows_help = false;
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
mod tests {
    use super::super::sample::RequestedReport;
    use super::super::sample::tests::{connection, sample};
    use super::*;

    fn screen(rows: Vec<ConnectionRow>) -> TopScreen {
        let mut screen = TopScreen::new(&TopPlan::default(), "tcp://127.0.0.1:9900".to_string());
        screen.on_sample(sample(0.0, rows));
        screen
    }

    fn type_in(screen: &mut TopScreen, text: &str) {
        text.chars().for_each(|ch| screen.on_key(TopKey::Char(ch), 10));
    }

    fn ids(screen: &TopScreen) -> Vec<u32> {
        screen.connections().iter().map(|row| row.id).collect()
    }

    fn marked_id(screen: &TopScreen) -> u32 {
        ids(screen)[screen.marked().unwrap()]
    }

    #[test]
    fn frozen_data_is_neither_polled_nor_replaced_and_still_sorted_and_filtered() {
        let mut screen = screen(vec![connection(1, 20), connection(2, 30), connection(3, 10)]);
        screen.poll(1.0);
        type_in(&mut screen, " ");
        assert!(screen.is_frozen());
        screen.on_sample(sample(1.0, vec![connection(9, 1)]));
        assert!(!screen.is_polling(), "the late answer ends the poll");
        assert_eq!(ids(&screen), [2, 1, 3], "and changes nothing");
        screen.on_error("gone".to_string());
        assert_eq!(screen.freshness(5.0), Freshness::Frozen(5.0));
        type_in(&mut screen, "a");
        assert_eq!(ids(&screen), [3, 2, 1]);
        type_in(&mut screen, "/0.0.2:");
        assert_eq!(ids(&screen), [2]);
        screen.on_key(TopKey::Enter, 10);
        screen.on_key(TopKey::Enter, 10);
        assert_eq!(screen.opened.as_ref().map(|opened| opened.row.id), Some(2));
        type_in(&mut screen, " ");
        assert!(!screen.is_frozen());
        screen.on_sample(sample(6.0, vec![connection(9, 1)]));
        assert_eq!(screen.sample.as_ref().map(|sample| sample.taken_at), Some(6.0));
    }

    #[test]
    fn a_filter_is_applied_while_it_is_typed_and_undone_by_escape() {
        let mut screen = screen(vec![connection(1, 20), connection(2, 30)]);
        type_in(&mut screen, "/10.0.0.1q");
        assert!(ids(&screen).is_empty() && !screen.is_over(), "q is a letter of the filter");
        screen.on_key(TopKey::Backspace, 10);
        assert_eq!(ids(&screen), [1]);
        screen.on_key(TopKey::Enter, 10);
        assert_eq!((screen.filter.text(), screen.is_typing()), ("10.0.0.1", false));
        type_in(&mut screen, "/xyz");
        screen.on_key(TopKey::Escape, 10);
        assert_eq!(screen.filter.text(), "10.0.0.1");
        screen.on_key(TopKey::Escape, 10);
        assert_eq!(ids(&screen), [2, 1], "without a row opened, escape removes the filter");
        type_in(&mut screen, &format!("/{}", "x".repeat(200)));
        assert_eq!(screen.filter.text().len(), FILTER_CHARS);
    }

    #[test]
    fn the_cursor_stays_at_the_top_until_it_is_moved_and_then_with_its_connection() {
        let mut screen = screen(vec![connection(1, 30), connection(2, 20), connection(3, 10)]);
        assert_eq!(marked_id(&screen), 1);
        screen
            .on_sample(sample(1.0, vec![connection(1, 30), connection(2, 50), connection(3, 10)]));
        assert_eq!(marked_id(&screen), 2);
        screen.on_key(TopKey::Down, 10);
        assert_eq!(marked_id(&screen), 1);
        screen.on_sample(sample(2.0, vec![connection(1, 5), connection(2, 50), connection(3, 10)]));
        assert_eq!((marked_id(&screen), screen.marked()), (1, Some(2)));
        screen.on_sample(sample(3.0, vec![connection(2, 50), connection(3, 10)]));
        assert_eq!(screen.marked(), Some(1), "its connection is closed");
        screen.on_key(TopKey::PageUp, 10);
        screen.on_key(TopKey::Up, 10);
        assert_eq!(screen.marked(), Some(0));
        screen.on_sample(sample(4.0, Vec::new()));
        screen.on_key(TopKey::Down, 10);
        screen.on_key(TopKey::Enter, 10);
        assert!(screen.marked() == Some(0) && screen.opened.is_none());
    }

    #[test]
    fn a_restart_is_announced_and_forgets_the_numbers_of_connections() {
        let mut screen = screen(vec![connection(1, 30), connection(2, 20)]);
        screen.on_sample(sample(1.0, vec![connection(1, 30), connection(2, 20)]));
        assert!(screen.rates.is_some());
        screen.on_key(TopKey::Down, 10);
        screen.on_key(TopKey::Enter, 10);
        screen.on_error("cannot connect".to_string());
        assert_eq!(screen.freshness(4.0), Freshness::Gone(3.0));
        assert_eq!(ids(&screen), [1, 2], "the last data stays");
        let mut restarted = sample(5.0, vec![connection(1, 1), connection(2, 2)]);
        restarted.version.pid = 5000;
        screen.on_sample(restarted);
        assert_eq!(screen.freshness(5.0), Freshness::Live);
        assert!(screen.rates.is_none() && screen.opened.is_none() && screen.error.is_none());
        assert!(screen.notice.as_ref().is_some_and(|notice| notice.contains("4711 became 5000")));
        screen.on_key(TopKey::Tab, 10);
        assert_eq!(screen.notice, None);
    }

    #[test]
    fn a_daemon_that_does_not_answer_counts_as_gone() {
        let mut screen = screen(Vec::new());
        screen.poll(1.0);
        assert_eq!(screen.freshness(2.5), Freshness::Live);
        assert_eq!(screen.freshness(3.5), Freshness::Gone(3.5));
    }

    #[test]
    fn an_opened_row_is_polled_and_keeps_its_last_report() {
        let mut screen = screen(vec![connection(7, 30)]);
        assert_eq!(screen.poll(1.0).connection, None);
        screen.on_key(TopKey::Enter, 10);
        assert_eq!(screen.poll(1.0).connection, Some(7));
        let resource = ConnectionResource {
            row: connection(7, 31),
            opened_at: "2026".to_string(),
            closed_first: None,
            timers: Vec::new(),
            ends: Vec::new(),
            flows: Vec::new(),
            verdict: "waits".to_string(),
        };
        let report = |id, connection| Some(RequestedReport { id, connection });
        let other = Sample { report: report(8, None), ..sample(1.0, vec![connection(7, 31)]) };
        screen.on_sample(other);
        assert!(screen.opened.as_ref().is_some_and(|opened| !opened.is_closed));
        let found = report(7, Some(Box::new(resource)));
        screen.on_sample(Sample { report: found, ..sample(2.0, Vec::new()) });
        screen.on_sample(Sample { report: report(7, None), ..sample(3.0, Vec::new()) });
        let opened = screen.opened.as_ref().unwrap();
        assert!(opened.is_closed && opened.report.is_some());
        screen.on_key(TopKey::Escape, 10);
        assert!(screen.opened.is_none());
    }

    #[test]
    fn views_are_chosen_by_number_and_tab_and_sort_keys_belong_to_connections() {
        let mut screen = screen(Vec::new());
        for (key, view) in [
            ('2', TopView::Routes),
            ('3', TopView::Listeners),
            ('4', TopView::Loop),
            ('1', TopView::Connections),
        ] {
            type_in(&mut screen, &key.to_string());
            assert_eq!(screen.view, view);
        }
        screen.on_key(TopKey::Tab, 10);
        assert_eq!(screen.view, TopView::Routes);
        type_in(&mut screen, "i9");
        assert_eq!((screen.sort, screen.view), (TopSort::Received, TopView::Routes));
        type_in(&mut screen, "1i");
        assert_eq!(screen.sort, TopSort::Idle);
        type_in(&mut screen, "?");
        assert!(screen.shows_help);
        screen.on_key(TopKey::Escape, 10);
        assert!(!screen.shows_help && !screen.is_over());
        type_in(&mut screen, "q");
        assert!(screen.is_over());
    }

    #[test]
    fn the_marked_row_is_always_on_the_page() {
        let mut screen = screen((1..=50).map(|id| connection(id, u64::from(100 - id))).collect());
        let keys = [TopKey::End, TopKey::Up, TopKey::PageUp, TopKey::Home, TopKey::PageDown];
        for key in keys.into_iter().cycle().take(40) {
            for page in [1, 7, 50, 80] {
                screen.on_key(key, page);
                screen.fit(page, 50);
                let marked = screen.marked().unwrap();
                assert!((screen.first..screen.first + page).contains(&marked), "{key:?} {page}");
                assert!(screen.first <= 50_usize.saturating_sub(page));
            }
        }
    }
}
