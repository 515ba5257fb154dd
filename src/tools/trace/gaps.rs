//! What is missing in a recording, as findings.

use super::findings::{FindingLevel, TraceFinding};
use crate::recording::ReplayReport;
use crate::text::count::plural;

/// What the replay reports of the recording itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordingGaps {
    /// Events that were lost while it was recorded.
    pub lost: u64,
    /// Records of a kind that this version does not know.
    pub unknown: u64,
    /// Bytes that could not be read.
    pub damaged: u64,
    /// It ends in the middle of a record.
    pub is_truncated: bool,
    /// Events before its first one, which it does not have.
    pub before: u64,
}

impl RecordingGaps {
    pub fn of(report: &ReplayReport) -> RecordingGaps {
        RecordingGaps {
            lost: report.lost,
            unknown: report.unknown,
            damaged: report.damaged,
            is_truncated: report.truncated,
            before: report.first,
        }
    }

    /// Returns a finding for each kind of gap.
    pub(super) fn findings(&self) -> Vec<TraceFinding> {
        let problem = |text: String| TraceFinding {
            level: FindingLevel::Problem,
            at: None,
            weight: 0,
            text,
            more: None,
        };
        let mut all = Vec::new();
        if self.lost > 0 {
            all.push(problem(format!(
                "The recording is incomplete: {} lost. What follows may \
                 be incomplete, too.",
                plural(self.lost, "event: was")
            )));
        }
        if self.before > 0 {
            let text = format!(
                "The recording does not begin at the start of the loop: {} before it were dropped.",
                plural(self.before, "event")
            );
            all.push(TraceFinding { level: FindingLevel::Note, ..problem(text) });
        }
        if self.damaged > 0 {
            all.push(problem(format!(
                "The recording is damaged: {} skipped, up to the next part that can be read.",
                plural(self.damaged, "byte: was")
            )));
        }
        if self.is_truncated {
            all.push(problem("The recording ends in the middle of a record.".to_string()));
        }
        if self.unknown > 0 {
            let text = format!(
                "{} skipped: this version of oneloop does not know the kind.",
                plural(self.unknown, "record")
            );
            all.push(TraceFinding { level: FindingLevel::Warning, ..problem(text) });
        }
        all
    }
}
