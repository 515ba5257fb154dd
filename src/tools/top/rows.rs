//! Which rows are shown, and in which order.

use std::cmp::Reverse;

use super::past::PastRow;
use crate::admin::resources::{ConnectionRow, ListenerRow, RouteRow};
use crate::config::TopSort;

/// A text that a row must contain. Case is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    text: String,
    lowercase: String,
}

impl Filter {
    pub fn new(text: &str) -> Filter {
        Filter { text: text.to_string(), lowercase: text.to_lowercase() }
    }

    /// Returns the text as it was typed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the connections that it admits, the largest first. Equal ones are in the order of
    /// their numbers, so that they do not change places with each poll.
    pub fn connections<'a>(
        &self,
        rows: &'a [ConnectionRow],
        sort: TopSort,
    ) -> Vec<&'a ConnectionRow> {
        let mut rows: Vec<_> = rows.iter().filter(|row| self.has_connection(row)).collect();
        rows.sort_by_key(|row| row.id);
        match sort {
            TopSort::Received => rows.sort_by_key(|row| Reverse(row.received_bytes)),
            TopSort::Sent => rows.sort_by_key(|row| Reverse(row.sent_bytes)),
            TopSort::Unsent => rows.sort_by_key(|row| Reverse(row.unsent_bytes)),
            TopSort::Age => rows.sort_by(|a, b| b.age_seconds.total_cmp(&a.age_seconds)),
            TopSort::Idle => rows.sort_by(|a, b| b.idle_seconds.total_cmp(&a.idle_seconds)),
        }
        rows
    }

    /// Returns the same of an earlier time. Rows whose idle time is not known are the last ones.
    pub fn past<'a>(&self, rows: &'a [PastRow], sort: TopSort) -> Vec<&'a PastRow> {
        let mut rows: Vec<_> = rows.iter().filter(|row| self.has_past(row)).collect();
        rows.sort_by_key(|row| row.id);
        match sort {
            TopSort::Received => rows.sort_by_key(|row| Reverse(row.received)),
            TopSort::Sent => rows.sort_by_key(|row| Reverse(row.sent)),
            TopSort::Unsent => rows.sort_by_key(|row| Reverse(row.unsent())),
            TopSort::Age => rows.sort_by_key(|row| row.opened),
            TopSort::Idle => rows.sort_by_key(|row| (row.moved().is_none(), row.moved())),
        }
        rows
    }

    fn has_past(&self, row: &PastRow) -> bool {
        let texts =
            [Some(row.listen.as_str()), Some(&row.peer), row.target.as_deref(), row.state()];
        texts.into_iter().flatten().any(|text| self.is_in(text))
    }

    fn has_connection(&self, row: &ConnectionRow) -> bool {
        let texts = [Some(&row.route), row.peer.as_ref(), row.target.as_ref(), Some(&row.state)];
        texts.into_iter().flatten().any(|text| self.is_in(text))
    }

    pub fn has_route(&self, row: &RouteRow) -> bool {
        let mut texts = [&row.name, &row.service].into_iter().chain(&row.targets);
        texts.any(|text| self.is_in(text))
    }

    pub fn has_listener(&self, row: &ListenerRow) -> bool {
        let texts =
            [Some(&row.address), Some(&row.route), Some(&row.state), row.paused_by.as_ref()];
        texts.into_iter().flatten().any(|text| self.is_in(text))
    }

    fn is_in(&self, text: &str) -> bool {
        self.lowercase.is_empty() || text.to_lowercase().contains(&self.lowercase)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::tests::{connection, sample};
    use super::*;

    fn ids(filter: &str, rows: &[ConnectionRow], sort: TopSort) -> Vec<u32> {
        Filter::new(filter).connections(rows, sort).iter().map(|row| row.id).collect()
    }

    #[test]
    fn the_largest_is_first_in_each_order() {
        let mut rows = vec![connection(1, 20), connection(2, 30), connection(3, 10)];
        rows[0].unsent_bytes = 7;
        assert_eq!(ids("", &rows, TopSort::Received), [2, 1, 3]);
        assert_eq!(ids("", &rows, TopSort::Sent), [3, 1, 2]);
        assert_eq!(ids("", &rows, TopSort::Unsent), [1, 2, 3]);
        assert_eq!(ids("", &rows, TopSort::Age), [3, 2, 1]);
        assert_eq!(ids("", &rows, TopSort::Idle), [1, 2, 3]);
        rows.reverse();
        assert_eq!(ids("", &rows, TopSort::Unsent), [1, 2, 3], "equal ones are in a stable order");
    }

    #[test]
    fn a_filter_is_compared_with_route_peer_target_and_state() {
        let mut rows = vec![connection(1, 1), connection(2, 1), connection(3, 1), connection(4, 1)];
        rows[0].route = "Web".to_string();
        rows[1].state = "half-closed".to_string();
        rows[2].target = Some("tcp://db:5432".to_string());
        for (filter, expected) in [
            ("wEB", vec![1]),
            ("half", vec![2]),
            ("db:", vec![3]),
            ("10.0.0.4", vec![4]),
            ("nothing", vec![]),
            ("", vec![1, 2, 3, 4]),
        ] {
            assert_eq!(ids(filter, &rows, TopSort::Received), expected, "{filter}");
        }
        let sample = sample(0.0, rows);
        assert!(Filter::new("ECHO").has_route(&sample.routes[0]));
        assert!(Filter::new("accept").has_listener(&sample.listeners[0]));
        assert!(!Filter::new("paused").has_listener(&sample.listeners[0]));
    }
}
