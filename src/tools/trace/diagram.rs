//! A sequence diagram in text: the time at the left, a lifeline for each party, and a sentence
//! beside each row. Does not decide what is shown.

use std::io::{self, Write};

use crate::text::wrap::{COLUMNS, fit, width};

/// Columns of the time, in milliseconds with three decimals.
const TIME_COLUMNS: usize = 10;
/// Columns between the time and the first lifeline: half of the name above it, and a space.
const MARGIN: usize = 4;
/// Columns between two lifelines.
const GAP: usize = 12;

/// An arrow between oneloop and the peer of one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrow {
    /// It points at oneloop.
    pub inward: bool,
    pub label: String,
}

/// One row: its time in microseconds, the arrow at each end, and what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DiagramRow {
    pub micros: u64,
    pub arrows: [Option<Arrow>; 2],
    pub text: String,
}

/// Writes the rows of one diagram.
pub(super) struct Diagram<'a> {
    out: &'a mut dyn Write,
    parties: Vec<&'a str>,
    /// The time of the last row, which is not repeated.
    last: Option<u64>,
}

impl<'a> Diagram<'a> {
    /// Writes the names of the parties. The second is oneloop, the first the peer of end a, the
    /// third, if there is one, that of end b.
    pub fn begin(out: &'a mut dyn Write, parties: Vec<&'a str>) -> io::Result<Diagram<'a>> {
        let mut head = format!("{:>TIME_COLUMNS$}", "ms");
        for (at, name) in parties.iter().enumerate() {
            let start = TIME_COLUMNS + MARGIN + at * (GAP + 1) - name.len() / 2;
            head.extend(std::iter::repeat_n(' ', start.saturating_sub(head.len())));
            head.push_str(name);
        }
        writeln!(out, "{head}")?;
        Ok(Diagram { out, parties, last: None })
    }

    pub fn row(&mut self, row: &DiagramRow) -> io::Result<()> {
        let time = match self.last.replace(row.micros) == Some(row.micros) {
            true => String::new(),
            false => format!("{}.{:03}", row.micros / 1000, row.micros % 1000),
        };
        self.write(&time, &row.arrows, &row.text)
    }

    /// Writes a row without a time: what was left out between the others.
    pub fn remark(&mut self, text: &str) -> io::Result<()> {
        self.last = None;
        self.write("...", &[None, None], text)
    }

    fn write(&mut self, time: &str, arrows: &[Option<Arrow>; 2], text: &str) -> io::Result<()> {
        let drawn = self.lifelines(arrows);
        let beside = COLUMNS - TIME_COLUMNS - MARGIN - width(&drawn) - 2;
        let empty = self.lifelines(&[None, None]);
        for (at, line) in fit(text, beside).lines().enumerate() {
            let (time, drawn) = if at == 0 { (time, &drawn) } else { ("", &empty) };
            let row = format!("{time:>TIME_COLUMNS$}{:MARGIN$}{drawn}  {line}", "");
            writeln!(self.out, "{}", row.trim_end())?;
        }
        Ok(())
    }

    fn lifelines(&self, arrows: &[Option<Arrow>; 2]) -> String {
        let mut drawn = "|".to_string();
        for (end, arrow) in arrows.iter().enumerate().take(self.parties.len() - 1) {
            let rightward = |inward: bool| inward == (end == 0);
            match arrow {
                None => drawn.extend(std::iter::repeat_n(' ', GAP)),
                Some(Arrow { inward, label }) => {
                    let shaft = format!("{label:-^width$}", width = GAP - 1);
                    match rightward(*inward) {
                        true => drawn.extend([shaft.as_str(), ">"]),
                        false => drawn.extend(["<", shaft.as_str()]),
                    }
                }
            }
            drawn.push('|');
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_time_once_arrows_and_a_text_of_80_columns_at_most() {
        let mut out = Vec::new();
        let mut diagram = Diagram::begin(&mut out, vec!["client", "oneloop", "target"]).unwrap();
        let arrow = |inward, label: &str| Some(Arrow { inward, label: label.to_string() });
        let text = "read 5 B from the client".to_string();
        let mut row = DiagramRow { micros: 1_002, arrows: [arrow(true, " 5 B "), None], text };
        diagram.row(&row).unwrap();
        row.arrows = [None, arrow(true, "")];
        row.text = "a sentence that is too long for the place beside the lifelines".to_string();
        diagram.row(&row).unwrap();
        diagram.remark("7 more reads").unwrap();
        let text = String::from_utf8(out).unwrap();
        let expected = [
            "        ms client       oneloop      target",
            "     1.002    |--- 5 B --->|            |  read 5 B from the client",
            "              |            |<-----------|  a sentence that is too long for the",
            "              |            |            |  place beside the lifelines",
            "       ...    |            |            |  7 more reads",
        ];
        assert_eq!(text.lines().collect::<Vec<&str>>(), expected);
    }
}
