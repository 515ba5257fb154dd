//! What keys and polls change.

use super::super::sample::RequestedReport;
use super::super::sample::tests::{connection, sample};
use super::super::travel::tests as travel;
use super::*;
use crate::core::Peer;

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
    assert!(screen.is_still());
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
    assert!(!screen.is_still());
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
    screen.on_sample(sample(1.0, vec![connection(1, 30), connection(2, 50), connection(3, 10)]));
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

/// A display of a daemon that has been up for two minutes, as the recording of the tests needs.
fn old_screen(rows: Vec<ConnectionRow>) -> TopScreen {
    let mut screen = screen(rows);
    let mut sample = sample(1.0, vec![connection(2, 9)]);
    (sample.version.pid, sample.version.up_seconds) = (travel::pid(), 120.0);
    screen.on_sample(sample);
    screen
}

#[test]
fn a_step_back_downloads_the_recording_once_and_polls_nothing() {
    let mut screen = old_screen(Vec::new());
    type_in(&mut screen, "]");
    assert!(!screen.is_still() && !screen.download(), "no step leads beyond now");
    type_in(&mut screen, "2[");
    screen.prepare(1.0);
    assert!(screen.is_still() && screen.download() && !screen.download());
    assert_eq!(
        (screen.view, screen.freshness(3.0)),
        (TopView::Connections, Freshness::Recorded(3.0))
    );
    screen.on_sample(sample(1.5, vec![connection(9, 1)]));
    assert_eq!(ids(&screen), [2], "a late poll changes nothing");
    screen.on_recording(Ok(travel::recording(&Peer::Stdio)));
    screen.prepare(1.0);
    type_in(&mut screen, "{");
    screen.prepare(1.0);
    let past = |screen: &TopScreen| screen.past_rows().iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(past(&screen), [1, 2], "the first has received more");
    type_in(&mut screen, "i");
    assert_eq!(past(&screen), [2, 1]);
    type_in(&mut screen, "3");
    assert!(screen.notice.is_some() && screen.view == TopView::Connections);
    screen.on_key(TopKey::Enter, 10);
    screen.prepare(1.0);
    assert_eq!(screen.past().unwrap().opened(), Some(2));
    screen.on_key(TopKey::Escape, 10);
    assert!(screen.is_list());
    type_in(&mut screen, "{{");
    screen.prepare(1.0);
    assert_eq!(screen.notice.as_deref(), Some("the recording begins here"));
    screen.on_key(TopKey::Escape, 10);
    assert!(!screen.is_still() && screen.past().is_none());
    assert!(!screen.download());
}

#[test]
fn a_recording_that_comes_too_late_or_not_at_all_leaves_the_display_at_now() {
    let mut screen = old_screen(Vec::new());
    type_in(&mut screen, " [");
    assert!(screen.download());
    type_in(&mut screen, " ");
    assert!(!screen.is_still(), "space returns to now from both");
    type_in(&mut screen, "[");
    assert!(!screen.download(), "the first answer is outstanding");
    type_in(&mut screen, " ");
    screen.on_recording(Ok(travel::recording(&Peer::Stdio)));
    assert!(screen.past().is_none());
    type_in(&mut screen, "[");
    assert!(screen.download());
    screen.on_recording(Err("nothing is recorded".to_string()));
    assert_eq!((screen.is_still(), screen.notice.as_deref()), (false, Some("nothing is recorded")));
}

#[test]
fn a_row_that_is_open_stays_open_on_the_way_back() {
    let mut screen = old_screen(Vec::new());
    screen.on_key(TopKey::Enter, 10);
    type_in(&mut screen, "[");
    assert!(screen.opened.is_none());
    assert_eq!(screen.past().unwrap().opened(), Some(2));
    screen.on_recording(Ok(travel::recording(&Peer::Stdio)));
    screen.prepare(1.0);
    let shown = screen.past().unwrap().shown().unwrap();
    assert_eq!((shown.lines.len(), screen.first), (1, usize::MAX));
}
