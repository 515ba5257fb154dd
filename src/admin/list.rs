//! The list of connections: one sweep over all slots, in parts. Each part reads some rows in one
//! turn, so the list is not a snapshot: a connection that is opened in a slot already visited is
//! not in it, and one that stays open is in it exactly once.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::core::Moment;
use crate::observe::PeerFilter;
use crate::runtime::inspect::{ConnView, Inspect};
use crate::runtime::sweep::SweepCursor;
use crate::text::json;

use super::resources::ConnectionRow;
use super::rows::{connection_row, is_meant};

/// Maximum rows per part. Each asks the system for an address: together about 15 us.
pub const ROWS_PER_PART: usize = 8;

/// Maximum slots visited per part, and maximum connections among them that are compared.
const SLOTS_PER_PART: usize = 16 * 1024;
const COMPARED_PER_PART: usize = 256;

/// Maximum rows of a sorted list.
pub const SORTED_ROWS: usize = 1000;

/// What a row must match. None: anything.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowFilter {
    pub route: Option<String>,
    pub peer: Option<PeerFilter>,
    pub state: Option<String>,
    pub idle_longer: Option<Duration>,
}

/// The order of a sorted list: the largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortKey {
    Age,
    Idle,
    Received,
    Sent,
    Unsent,
}

impl SortKey {
    /// All keys and their names.
    pub const NAMES: [(&'static str, SortKey); 5] = [
        ("age", SortKey::Age),
        ("idle", SortKey::Idle),
        ("received", SortKey::Received),
        ("sent", SortKey::Sent),
        ("unsent", SortKey::Unsent),
    ];

    fn of(self, view: &ConnView<'_>) -> u64 {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match self {
            SortKey::Age => u64::MAX - view.opened_at().0,
            SortKey::Idle => micros(view.idle()),
            SortKey::Received => view.moved().0,
            SortKey::Sent => view.moved().1,
            SortKey::Unsent => view.unsent().iter().sum(),
        }
    }
}

/// A list in progress.
pub struct ListJob {
    filter: RowFilter,
    limit: usize,
    cursor: SweepCursor,
    rows: usize,
    sorted: Option<SortedRows>,
    /// When the first part was produced.
    begun: Option<Moment>,
}

/// The largest rows seen so far, the smallest on top.
struct SortedRows {
    key: SortKey,
    heap: BinaryHeap<Reverse<SortedRow>>,
    /// Complete, in order, the next row last.
    ready: Vec<ConnectionRow>,
    swept: bool,
}

struct SortedRow {
    value: u64,
    row: ConnectionRow,
}

impl PartialEq for SortedRow {
    fn eq(&self, other: &SortedRow) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for SortedRow {}

impl PartialOrd for SortedRow {
    fn partial_cmp(&self, other: &SortedRow) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SortedRow {
    /// By value; of equal ones the older connection is larger.
    fn cmp(&self, other: &SortedRow) -> Ordering {
        self.value.cmp(&other.value).then(other.row.id.cmp(&self.row.id))
    }
}

impl ListJob {
    /// Starts a list at `after`. `limit`: maximum number of rows.
    pub fn new(
        filter: RowFilter,
        sort: Option<SortKey>,
        limit: Option<usize>,
        after: SweepCursor,
    ) -> ListJob {
        let most = if sort.is_some() { SORTED_ROWS } else { usize::MAX };
        let sorted = sort.map(|key| SortedRows {
            key,
            heap: BinaryHeap::new(),
            ready: Vec::new(),
            swept: false,
        });
        let limit = limit.unwrap_or(most).min(most);
        ListJob { filter, limit, cursor: after, rows: 0, sorted, begun: None }
    }

    /// Appends the next part of the JSON text. Returns whether it is complete.
    pub fn part(&mut self, mut inspect: Inspect<'_>, out: &mut String) -> bool {
        if self.begun.is_none() {
            out.push_str("{\"snapshot\":false,\"connections\":[");
        }
        let begun = *self.begun.get_or_insert(inspect.now);
        if self.sorted.is_some() {
            // Of one moment, or a row of a later part would seem to be older.
            inspect.now = begun;
        }
        let next = match &mut self.sorted {
            None => match self.sweep(inspect, out) {
                None => return false,
                Some(next) => next,
            },
            Some(sorted) if !sorted.swept => {
                sorted.sweep(&self.filter, self.limit, &mut self.cursor, inspect);
                return false;
            }
            Some(sorted) => {
                for _ in 0..ROWS_PER_PART {
                    let Some(row) = sorted.ready.pop() else { break };
                    push_row(&row, &mut self.rows, out);
                }
                if !sorted.ready.is_empty() {
                    return false;
                }
                None
            }
        };
        let next =
            next.map_or_else(|| "null".to_owned(), |cursor| format!("\"{}\"", token(cursor)));
        out.push_str(&format!("\n],\"count\":{},\"next\":{next}}}\n", self.rows));
        true
    }

    /// Appends matching rows. Returns None if more are to be visited, else where a list that
    /// continues this one begins.
    fn sweep(&mut self, inspect: Inspect<'_>, out: &mut String) -> Option<Option<SweepCursor>> {
        let (mut left, mut compared) = (ROWS_PER_PART, 0);
        for _ in 0..SLOTS_PER_PART {
            let before = self.cursor;
            let Some(slot) = inspect.visit(&mut self.cursor) else { return Some(None) };
            let Some(view) = slot else { continue };
            compared += 1;
            if !self.filter.matches(&view) {
                if compared == COMPARED_PER_PART {
                    break;
                }
                continue;
            }
            if self.rows == self.limit {
                return Some(Some(before));
            }
            push_row(&connection_row(&view), &mut self.rows, out);
            left -= 1;
            if left == 0 {
                break;
            }
        }
        None
    }
}

impl SortedRows {
    fn sweep(
        &mut self,
        filter: &RowFilter,
        limit: usize,
        cursor: &mut SweepCursor,
        inspect: Inspect<'_>,
    ) {
        let (mut left, mut compared) = (ROWS_PER_PART, 0);
        for _ in 0..SLOTS_PER_PART {
            if compared == COMPARED_PER_PART {
                return;
            }
            let Some(slot) = inspect.visit(cursor) else {
                let heap = std::mem::take(&mut self.heap).into_sorted_vec();
                // Reversed, so ascending order has the largest first; rows are popped from the end.
                self.ready = heap.into_iter().rev().map(|Reverse(sorted)| sorted.row).collect();
                self.swept = true;
                return;
            };
            let Some(view) = slot else { continue };
            compared += 1;
            if !filter.matches(&view) {
                continue;
            }
            let (value, id) = (self.key.of(&view), view.key.id);
            let is_full = self.heap.len() >= limit;
            let is_larger = |least: &SortedRow| (value, least.row.id) > (least.value, id);
            if is_full && !self.heap.peek().is_some_and(|Reverse(least)| is_larger(least)) {
                continue;
            }
            if is_full {
                self.heap.pop();
            }
            self.heap.push(Reverse(SortedRow { value, row: connection_row(&view) }));
            left -= 1;
            if left == 0 {
                return;
            }
        }
    }
}

impl RowFilter {
    /// Whether a connection matches. What is cheap is compared first.
    fn matches(&self, view: &ConnView<'_>) -> bool {
        let Some(state) = &self.state else { return self.matches_rest(view) };
        view.state() == *state && self.matches_rest(view)
    }

    fn matches_rest(&self, view: &ConnView<'_>) -> bool {
        self.idle_longer.is_none_or(|least| view.idle() >= least)
            && self.route.as_ref().is_none_or(|name| is_meant(view.route().name(), name))
            && self.peer.as_ref().is_none_or(|peer| view.peer().is_some_and(|is| peer.matches(&is)))
    }
}

fn push_row(row: &ConnectionRow, rows: &mut usize, out: &mut String) {
    out.push_str(if *rows == 0 { "\n" } else { ",\n" });
    out.push_str(&json::line(row));
    *rows += 1;
}

/// The opaque form of a cursor.
fn token(cursor: SweepCursor) -> String {
    format!("{}{:x}", if cursor.in_flows { 'f' } else { 'c' }, cursor.slot)
}

/// Reads the opaque form of a cursor.
pub fn read_token(text: &str) -> Option<SweepCursor> {
    let (kind, slot) = text.split_at_checked(1)?;
    let in_flows = match kind {
        "f" => true,
        "c" => false,
        _ => return None,
    };
    let is_hex = !slot.is_empty() && slot.len() <= 8 && slot.bytes().all(|c| c.is_ascii_hexdigit());
    let slot = is_hex.then(|| usize::from_str_radix(slot, 16).ok())??;
    Some(SweepCursor { in_flows, slot })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back_to_its_cursor_and_nothing_else_is_one() {
        for cursor in [
            SweepCursor::default(),
            SweepCursor { in_flows: false, slot: 0xbeef },
            SweepCursor { in_flows: true, slot: 7 },
        ] {
            assert_eq!(read_token(&token(cursor)), Some(cursor));
        }
        for bad in ["", "c", "x1", "c-1", "c+1", "c123456789", "f 1", "é1"] {
            assert_eq!(read_token(bad), None, "{bad}");
        }
    }
}
