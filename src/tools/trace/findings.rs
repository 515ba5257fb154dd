//! Findings of a trace: collecting the worst of each kind, ordering them, and writing them as
//! numbered sentences.

use std::io::{self, Write};

use crate::core::Moment;
use crate::text::count::plural;
use crate::text::wrap::{COLUMNS, fit};

/// Findings of one kind that are written. The others are counted.
const SHOWN: usize = 3;
/// Findings of one kind that are kept until then: not more than a few, whatever the recording.
const KEPT: usize = 64;

/// How much a finding matters. The order is that of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingLevel {
    /// Peers noticed it.
    Problem,
    /// Peers may have noticed it.
    Warning,
    /// Explains what would look strange elsewhere.
    Note,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceFinding {
    pub level: FindingLevel,
    /// When it began. None: it has no time.
    pub at: Option<Moment>,
    /// The larger, the worse, among findings of its kind.
    pub weight: u64,
    /// Whole sentences.
    pub text: String,
    /// The arguments of `oneloop trace FILE` that show more.
    pub more: Option<String>,
}

/// The findings of one kind.
#[derive(Default)]
pub(super) struct Worst {
    found: Vec<TraceFinding>,
    count: u64,
}

impl Worst {
    pub fn push(&mut self, finding: TraceFinding) {
        self.count += 1;
        self.found.push(finding);
        if self.found.len() >= 2 * KEPT {
            self.sort();
            self.found.truncate(KEPT);
        }
    }

    pub fn extend(&mut self, found: Option<TraceFinding>) {
        found.into_iter().for_each(|finding| self.push(finding));
    }

    /// Counts findings that were not kept.
    pub fn raise_count(&mut self, count: u64) {
        self.count = self.count.max(count);
    }

    /// Returns the findings that were kept, in any order.
    pub fn into_kept(self) -> Vec<TraceFinding> {
        self.found
    }

    /// Returns the findings to write, the worst first. The last one counts the others.
    pub fn into_shown(mut self) -> Vec<TraceFinding> {
        self.sort();
        self.found.truncate(SHOWN);
        let left = self.count - self.found.len() as u64;
        if let (Some(last), 1..) = (self.found.last_mut(), left) {
            let verb = if left == 1 { "is" } else { "are" };
            last.text +=
                &format!(" {} of this kind {verb} not shown.", plural(left, "more finding"));
        }
        self.found
    }

    fn sort(&mut self) {
        self.found.sort_by_key(|finding| (finding.level, std::cmp::Reverse(finding.weight)));
    }
}

/// Writes the findings in order, numbered.
pub(super) fn write(
    findings: &[TraceFinding],
    file: &str,
    start: Moment,
    out: &mut dyn Write,
) -> io::Result<()> {
    for (number, finding) in (1..).zip(findings) {
        let level = match finding.level {
            FindingLevel::Problem => "problem",
            FindingLevel::Warning => "warning",
            FindingLevel::Note => "note",
        };
        let at = finding.at.map_or(String::new(), |at| {
            let micros = at.since(start).as_micros();
            format!(", at {}.{:03} ms", micros / 1000, micros % 1000)
        });
        let mut text = format!("{number:>2}. {level}{at}\n    {}\n", finding.text);
        if let Some(more) = &finding.more {
            text += &format!("    more: oneloop trace {file} {more}\n");
        }
        out.write_all(fit(&text, COLUMNS).as_bytes())?;
    }
    Ok(())
}
