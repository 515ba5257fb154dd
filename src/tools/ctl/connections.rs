//! Lists connections page by page, so that any number of them needs little memory on both sides.

use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::endpoint::{AdminRequest, Endpoint};
use super::error::CtlError;
use super::view::View;
use super::{lists, unexpected};
use crate::admin::resources::ConnectionsResource;
use crate::config::ConnectionFilter;
use crate::config::unit::show_duration;
use crate::text::json;

/// Maximum rows of one answer: well below the maximum size of a body.
const PAGE_ROWS: u64 = 1000;

/// A page with its rows as they were sent.
#[derive(Deserialize)]
struct RawPage<'a> {
    #[serde(borrow)]
    connections: Vec<&'a RawValue>,
    next: Option<String>,
}

/// A list being requested page by page.
struct Pages<'a> {
    filter: &'a ConnectionFilter,
    /// Rows still wanted. None: all.
    left: Option<u64>,
    after: Option<String>,
}

impl Pages<'_> {
    fn new(filter: &ConnectionFilter, limit: u64) -> Pages<'_> {
        Pages { filter, left: (limit > 0).then_some(limit), after: None }
    }

    fn request(&self) -> AdminRequest {
        let filter = self.filter;
        let idle_longer = filter.idle_longer.map(show_duration);
        let limit = self.left.map_or(PAGE_ROWS, |left| left.min(PAGE_ROWS)).to_string();
        AdminRequest::get("/connections")
            .with("route", filter.route.as_deref())
            .with("peer", filter.peer.as_deref())
            .with("state", filter.state.as_deref())
            .with("idle_longer", idle_longer.as_deref())
            .with("sort", filter.sort.as_deref())
            .with("limit", Some(&limit))
            .with("after", self.after.as_deref())
    }

    /// Counts the rows of a page. Returns whether another page is wanted and exists.
    fn advance(&mut self, rows: usize, next: Option<String>) -> bool {
        self.left = self.left.map(|left| left.saturating_sub(rows as u64));
        // A page without rows may continue: the filter matched none in this part of the list. A
        // token that stays the same would not end.
        let is_new = next.is_some() && next != self.after;
        self.after = next;
        is_new && self.left != Some(0)
    }
}

/// Prints the table, one for each page.
pub fn print_table(
    endpoint: &Endpoint,
    filter: &ConnectionFilter,
    view: &View,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let limit = filter.limit.unwrap_or(ConnectionFilter::TABLE_ROWS);
    let mut pages = Pages::new(filter, limit);
    let mut printed = 0;
    loop {
        let text = endpoint.fetch(&pages.request())?;
        let page: ConnectionsResource =
            serde_json::from_str(&text).map_err(|error| unexpected(endpoint, &error))?;
        let rows = page.connections.len();
        let is_last = !pages.advance(rows, page.next);
        if rows > 0 || is_last && printed == 0 {
            write(out, &lists::connections(&page.connections, view))?;
        }
        printed += rows as u64;
        if is_last {
            break;
        }
    }
    // A sorted list has no continuation: if it is full, there may be more.
    let is_sorted = filter.sort.is_some();
    let more = match printed {
        PAGE_ROWS.. if is_sorted => "… there may be more: a sorted list has at most 1000 rows",
        1.. if pages.after.is_some() || is_sorted && printed == limit => {
            "… there may be more: --limit N, 0 for all"
        }
        _ => return Ok(()),
    };
    write(out, &(view.paint.dim(more) + "\n"))
}

/// Prints one JSON object: the answer, or the rows of all pages with the end of the last one.
pub fn print_json(
    endpoint: &Endpoint,
    filter: &ConnectionFilter,
    out: &mut dyn Write,
) -> Result<(), CtlError> {
    let mut pages = Pages::new(filter, filter.limit.unwrap_or(0));
    let mut count = 0;
    let mut is_first_row = true;
    for number in 0_u64.. {
        let text = endpoint.fetch(&pages.request())?;
        let page: RawPage<'_> =
            serde_json::from_str(&text).map_err(|error| unexpected(endpoint, &error))?;
        let continues = pages.advance(page.connections.len(), page.next);
        if number == 0 && !continues {
            let report = json::report_of(&text).map_err(|error| unexpected(endpoint, &error))?;
            return write(out, &report);
        }
        if number == 0 {
            write(out, "{\n  \"snapshot\": false,\n  \"connections\": [")?;
        }
        count += page.connections.len();
        for row in page.connections {
            let line =
                json::spaced_line_of(row.get()).map_err(|error| unexpected(endpoint, &error))?;
            let comma = if is_first_row { "" } else { "," };
            is_first_row = false;
            write(out, &format!("{comma}\n    {line}"))?;
        }
        if !continues {
            break;
        }
    }
    let next = json::line(&pages.after);
    write(out, &format!("\n  ],\n  \"count\": {count},\n  \"next\": {next}\n}}\n"))
}

fn write(out: &mut dyn Write, text: &str) -> Result<(), CtlError> {
    out.write_all(text.as_bytes()).map_err(CtlError::Output)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_request_has_the_filter_and_the_rows_left() {
        let filter = ConnectionFilter {
            route: Some("web".to_string()),
            peer: Some("10.0.0.9".to_string()),
            state: Some("half-closed".to_string()),
            idle_longer: Some(Duration::from_secs(300)),
            sort: Some("idle".to_string()),
            limit: None,
        };
        let mut pages = Pages::new(&filter, 1200);
        let target = "/connections?route=web&peer=10.0.0.9&state=half-closed&idle_longer=5m&\
             sort=idle&limit=";
        assert_eq!(pages.request().target, format!("{target}1000"));
        assert!(pages.advance(1000, Some("a=".to_string())));
        assert_eq!(pages.request().target, format!("{target}200&after=a%3D"));
        assert!(!pages.advance(200, Some("b".to_string())));
    }

    #[test]
    fn pages_end_with_the_list_or_the_limit() {
        let filter = ConnectionFilter::default();
        let token = |text: &str| Some(text.to_string());
        let mut all = Pages::new(&filter, 0);
        assert!(all.advance(0, token("a")) && all.advance(1000, token("b")));
        assert!(!all.advance(5, None));
        let mut stuck = Pages::new(&filter, 0);
        assert!(stuck.advance(1, token("a")));
        assert!(!stuck.advance(1, token("a")), "the same token again");
    }
}
