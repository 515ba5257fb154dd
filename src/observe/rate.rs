//! Limits the rate of warnings: at most one of a kind per ten seconds, with a count of the others.

use std::time::Duration;

use crate::core::Moment;

/// Minimum time between two warnings of one kind.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// Maximum number of kinds counted separately. Subjects come from the configuration, not from
/// peers, so this is not reached in practice. Further subjects of a message count as one kind.
const MAX_KINDS: usize = 256;

/// Identifies warnings that count as the same: same message, same subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind<'a> {
    pub message: &'static str,
    /// A target, a host name or a path. Empty if the message has no subject.
    pub subject: &'a str,
}

/// The state of each kind.
#[derive(Debug, Default)]
pub struct RateLimit(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    message: &'static str,
    subject: String,
    last: Option<Moment>,
    suppressed: u64,
}

impl RateLimit {
    /// Returns how many warnings of this kind were suppressed since the last one, or `None` if this
    /// one is suppressed. It is not counted if it is `logged_elsewhere`.
    pub fn pass(&mut self, kind: Kind<'_>, now: Moment, logged_elsewhere: bool) -> Option<u64> {
        let entry = self.entry(kind);
        if entry.last.is_some_and(|last| now.since(last) < INTERVAL) {
            entry.suppressed += u64::from(!logged_elsewhere);
            return None;
        }
        entry.last = Some(now);
        Some(std::mem::take(&mut entry.suppressed))
    }

    /// Returns each kind with suppressed warnings and their number, and resets the counts.
    pub fn take_suppressed(&mut self) -> impl Iterator<Item = (Kind<'_>, u64)> {
        self.0.iter_mut().filter(|entry| entry.suppressed > 0).map(|entry| {
            let kind = Kind { message: entry.message, subject: &entry.subject };
            (kind, std::mem::take(&mut entry.suppressed))
        })
    }

    fn entry(&mut self, kind: Kind<'_>) -> &mut Entry {
        let position = |all: &[Entry], subject: &str| {
            all.iter().position(|entry| entry.message == kind.message && entry.subject == subject)
        };
        let index = position(&self.0, kind.subject).unwrap_or_else(|| {
            let subject = if self.0.len() < MAX_KINDS { kind.subject } else { "" };
            position(&self.0, subject).unwrap_or_else(|| {
                let (message, subject) = (kind.message, subject.to_string());
                self.0.push(Entry { message, subject, last: None, suppressed: 0 });
                self.0.len() - 1
            })
        });
        &mut self.0[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Moment = Moment(1_000_000);
    const A: Kind<'_> = Kind { message: "a", subject: "" };

    fn at(seconds: u64) -> Moment {
        Moment(seconds * SECOND.0)
    }

    #[test]
    fn the_first_of_a_kind_passes_at_once_and_the_next_after_ten_seconds_with_a_count() {
        let mut rate = RateLimit::default();
        assert_eq!(rate.pass(A, Moment(0), false), Some(0));
        for second in 1..10 {
            assert_eq!(rate.pass(A, at(second), second == 5), None);
        }
        assert_eq!(rate.pass(A, at(10), false), Some(8));
        assert_eq!(rate.pass(A, at(30), false), Some(0));
    }

    #[test]
    fn neither_messages_nor_subjects_suppress_each_other() {
        let mut rate = RateLimit::default();
        for kind in [A, Kind { message: "b", ..A }, Kind { subject: "x", ..A }] {
            assert_eq!(rate.pass(kind, SECOND, false), Some(0));
            assert_eq!(rate.pass(kind, SECOND, false), None);
        }
    }

    #[test]
    fn suppressed_warnings_are_returned_once() {
        let mut rate = RateLimit::default();
        let x = Kind { subject: "x", ..A };
        for kind in [A, x, x, x] {
            rate.pass(kind, SECOND, false);
        }
        let suppressed: Vec<(Kind<'_>, u64)> = rate.take_suppressed().collect();
        assert_eq!(suppressed, [(x, 2)]);
        assert_eq!(rate.take_suppressed().count(), 0);
    }

    #[test]
    fn too_many_subjects_count_as_one() {
        let mut rate = RateLimit::default();
        for number in 0..2 * MAX_KINDS {
            rate.pass(Kind { subject: &number.to_string(), ..A }, SECOND, false);
        }
        assert_eq!(rate.0.len(), MAX_KINDS + 1);
        assert_eq!(rate.take_suppressed().next(), Some((A, MAX_KINDS as u64 - 1)));
    }
}
