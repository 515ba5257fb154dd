//! Lays out a table within the columns of the terminal. Texts are cut and the less important
//! columns are left out; no line is wrapped.

use super::view::{View, cut_end, cut_middle};
use crate::text::terminal::Paint;
use crate::text::wrap::width;

/// Columns between two columns.
const GAP: usize = 2;

/// One column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    pub kind: ColumnKind,
    /// Columns with a higher number are left out first if there is no room. 0: never.
    pub spare: u8,
}

/// How the cells of a column are aligned and cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Aligned right, never cut.
    Number,
    /// Aligned left, never cut.
    Name,
    /// Aligned left, cut in the middle to no fewer than these columns.
    Address(usize),
    /// Aligned left, cut at its end to no fewer than these columns.
    Text(usize),
}

/// The content of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    weight: CellWeight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CellWeight {
    Plain,
    /// Needs attention.
    Warning,
    /// Adds nothing: a column of such cells is left out.
    Blank,
}

impl Cell {
    pub fn new(text: impl Into<String>) -> Cell {
        Cell { text: text.into(), weight: CellWeight::Plain }
    }

    pub fn warning_if(is_warning: bool, text: impl Into<String>) -> Cell {
        let weight = if is_warning { CellWeight::Warning } else { CellWeight::Plain };
        Cell { text: text.into(), weight }
    }

    /// A cell of a column that is left out if all its cells are such.
    pub fn blank_if(is_blank: bool, text: impl Into<String>) -> Cell {
        let weight = if is_blank { CellWeight::Blank } else { CellWeight::Plain };
        Cell { text: text.into(), weight }
    }

    /// There is no value.
    pub fn none() -> Cell {
        Cell::blank_if(true, "-")
    }
}

/// Formats the rows, each with one cell per column, and a line of titles.
pub fn table(columns: &[Column], rows: &[Vec<Cell>], view: &View) -> String {
    let chosen = Layout::new(columns, rows, view.columns);
    let titles = columns.iter().map(|column| Cell::new(column.title)).collect();
    let mut text = view.paint.bold(&chosen.line(columns, &titles, view, false)) + "\n";
    for row in rows {
        text += &chosen.line(columns, row, view, true);
        text.push('\n');
    }
    text
}

/// The width of each column. None: left out.
struct Layout(Vec<Option<usize>>);

impl Layout {
    fn new(columns: &[Column], rows: &[Vec<Cell>], most: usize) -> Layout {
        let widest = |(at, column): (usize, &Column)| {
            let cells = rows.iter().filter_map(|row| row.get(at));
            let is_blank = |cell: &Cell| cell.weight == CellWeight::Blank;
            if !rows.is_empty() && cells.clone().all(is_blank) {
                return None;
            }
            Some(cells.map(|cell| width(&cell.text)).fold(width(column.title), usize::max))
        };
        let mut layout = Layout(columns.iter().enumerate().map(widest).collect());
        while layout.total() > most && !layout.shrink(columns, most) {
            let spare = |at: &usize| layout.0[*at].is_some() && columns[*at].spare > 0;
            let left_out = (0..columns.len()).filter(spare).max_by_key(|at| columns[*at].spare);
            let Some(at) = left_out else { break };
            layout.0[at] = None;
        }
        layout
    }

    fn total(&self) -> usize {
        let shown = self.0.iter().flatten();
        shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
    }

    /// Makes the columns that can be cut narrower, the widest first, until the table fits. Returns
    /// false, with the widths unchanged, if that is not possible.
    fn shrink(&mut self, columns: &[Column], most: usize) -> bool {
        let before = self.0.clone();
        while self.total() > most {
            let can_shrink = |(at, width): (usize, &Option<usize>)| {
                let least = least(columns[at]).filter(|least| width.is_some_and(|w| w > *least));
                least.and(*width).map(|width| (width, at))
            };
            let Some((width, at)) = self.0.iter().enumerate().filter_map(can_shrink).max() else {
                self.0 = before;
                return false;
            };
            self.0[at] = Some(width - 1);
        }
        true
    }

    fn line(&self, columns: &[Column], row: &Vec<Cell>, view: &View, is_row: bool) -> String {
        // A line that is wider than the terminal, whatever is left out, is cut, and has no colors.
        let paint = Paint(view.paint.0 && self.total() <= view.columns);
        let mut line = String::new();
        let mut end = 0;
        for ((column, cell), &most) in columns.iter().zip(row).zip(&self.0) {
            let Some(most) = most else { continue };
            let text = match column.kind {
                ColumnKind::Number | ColumnKind::Name => cell.text.clone(),
                ColumnKind::Address(_) => cut_middle(&cell.text, most),
                ColumnKind::Text(_) => cut_end(&cell.text, most),
            };
            let pad = " ".repeat(most.saturating_sub(width(&text)));
            let painted = match cell.weight {
                CellWeight::Warning if is_row => paint.warning(&text),
                CellWeight::Blank if is_row => paint.dim(&text),
                _ => text,
            };
            let gap = " ".repeat(if line.is_empty() { 0 } else { GAP });
            let (left, right) = match column.kind {
                ColumnKind::Number => (pad, String::new()),
                ColumnKind::Name | ColumnKind::Address(_) | ColumnKind::Text(_) => {
                    (String::new(), pad)
                }
            };
            line += &format!("{gap}{left}{painted}{right}");
            end = line.trim_end().len();
        }
        line.truncate(end);
        cut_end(&line, view.columns)
    }
}

/// Returns the minimum width of a column that can be cut.
fn least(column: Column) -> Option<usize> {
    match column.kind {
        ColumnKind::Number | ColumnKind::Name => None,
        ColumnKind::Address(least) | ColumnKind::Text(least) => {
            Some(least.max(width(column.title)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { title: "ID", kind: ColumnKind::Number, spare: 0 },
        Column { title: "PEER", kind: ColumnKind::Address(9), spare: 0 },
        Column { title: "ROUTE", kind: ColumnKind::Text(6), spare: 2 },
        Column { title: "UNSENT", kind: ColumnKind::Number, spare: 1 },
    ];

    fn rows() -> Vec<Vec<Cell>> {
        let row = |id: &str, peer: &str, route: &str, unsent: &str| {
            let unsent = Cell::blank_if(unsent == "0 B", unsent);
            vec![Cell::new(id), Cell::new(peer), Cell::new(route), unsent]
        };
        vec![
            row("7", "10.0.0.9:51234", "web", "0 B"),
            row("1207", "[2001:db8::1]:443", "a long name", "64 kB"),
        ]
    }

    fn laid_out(rows: &[Vec<Cell>], columns: usize) -> String {
        table(&COLUMNS, rows, &View { paint: Paint(false), columns })
    }

    #[test]
    fn texts_are_cut_first_and_then_columns_are_left_out() {
        let wide = "  ID  PEER               ROUTE        UNSENT\n   \
            7  10.0.0.9:51234     web             0 B\n\
            1207  [2001:db8::1]:443  a long name   64 kB\n";
        assert_eq!(laid_out(&rows(), 44), wide);
        let text = laid_out(&rows(), 39);
        assert!(text.lines().all(|line| width(line) <= 39), "{text}");
        assert!(text.contains("…") && text.contains("UNSENT") && text.contains("ROUTE"), "{text}");
        let without_route = "  ID  PEER             UNSENT\n   \
            7  10.0.0.9:51234      0 B\n\
            1207  [2001:d…:1]:443   64 kB\n";
        assert_eq!(laid_out(&rows(), 29), without_route);
        assert_eq!(laid_out(&rows(), 16).lines().next(), Some("  ID  PEER"));
        for columns in 1..60 {
            let text = laid_out(&rows(), columns);
            assert!(text.lines().all(|line| width(line) <= columns), "{columns}:\n{text}");
        }
    }

    #[test]
    fn a_column_that_adds_nothing_is_left_out() {
        let text = laid_out(&rows()[..1], 80);
        assert_eq!(text, "ID  PEER            ROUTE\n 7  10.0.0.9:51234  web\n");
        assert_eq!(laid_out(&[], 80), "ID  PEER  ROUTE  UNSENT\n");
    }

    #[test]
    fn colors_take_no_room() {
        let rows = [vec![Cell::warning_if(true, "7"), Cell::new("x"), Cell::none(), Cell::none()]];
        let text = table(&COLUMNS, &rows, &View { paint: Paint(true), columns: 80 });
        assert_eq!(text, "\x1b[1mID  PEER\x1b[0m\n \x1b[33m7\x1b[0m  x\n");
    }
}
