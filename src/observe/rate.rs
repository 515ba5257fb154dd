//! Warnings that may come in floods: at most one of a kind in ten seconds, and the count of the
//! others.

use std::time::Duration;

/// How long a kind of warning is silent after it was told.
pub const QUIET: Duration = Duration::from_secs(10);

/// So many kinds are kept apart. They come from the plan and not from peers, so this is not met in
/// practice; if it is, the others of a word count as one kind.
const KINDS: usize = 256;

/// Which warnings count as the same: those with the same word about the same subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind<'a> {
    pub word: &'static str,
    /// A target, a name: what the plan knows several of. Empty if there is nothing to tell apart.
    pub subject: &'a str,
}

/// The last telling of each kind.
#[derive(Debug, Default)]
pub struct Rate(Vec<Told>);

#[derive(Debug)]
struct Told {
    word: &'static str,
    subject: String,
    at: Option<Duration>,
    withheld: u64,
}

impl Rate {
    /// Whether a warning of this kind may be told `now`; if so, how many were withheld since the
    /// last. One that is told elsewhere is not withheld.
    pub fn pass(&mut self, kind: Kind<'_>, now: Duration, elsewhere: bool) -> Option<u64> {
        let told = self.told(kind);
        if told.at.is_some_and(|at| now.saturating_sub(at) < QUIET) {
            told.withheld += u64::from(!elsewhere);
            return None;
        }
        told.at = Some(now);
        Some(std::mem::take(&mut told.withheld))
    }

    /// All kinds of which some are withheld, and how many: from now on they count as told.
    pub fn withheld(&mut self) -> impl Iterator<Item = (Kind<'_>, u64)> {
        self.0.iter_mut().filter(|told| told.withheld > 0).map(|told| {
            let kind = Kind { word: told.word, subject: &told.subject };
            (kind, std::mem::take(&mut told.withheld))
        })
    }

    fn told(&mut self, kind: Kind<'_>) -> &mut Told {
        let place = |all: &[Told], subject: &str| {
            all.iter().position(|told| told.word == kind.word && told.subject == subject)
        };
        let at = place(&self.0, kind.subject).unwrap_or_else(|| {
            let subject = if self.0.len() < KINDS { kind.subject } else { "" };
            place(&self.0, subject).unwrap_or_else(|| {
                let (word, subject) = (kind.word, subject.to_string());
                self.0.push(Told { word, subject, at: None, withheld: 0 });
                self.0.len() - 1
            })
        });
        &mut self.0[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const A: Kind<'_> = Kind { word: "a", subject: "" };

    #[test]
    fn the_first_of_a_kind_is_told_at_once_and_the_next_after_ten_seconds_with_a_count() {
        let mut rate = Rate::default();
        assert_eq!(rate.pass(A, Duration::ZERO, false), Some(0));
        for second in 1..10 {
            assert_eq!(rate.pass(A, second * SECOND, second == 5), None);
        }
        assert_eq!(rate.pass(A, 10 * SECOND, false), Some(8));
        assert_eq!(rate.pass(A, 30 * SECOND, false), Some(0));
    }

    #[test]
    fn neither_words_nor_subjects_silence_each_other() {
        let mut rate = Rate::default();
        for kind in [A, Kind { word: "b", ..A }, Kind { subject: "x", ..A }] {
            assert_eq!(rate.pass(kind, SECOND, false), Some(0));
            assert_eq!(rate.pass(kind, SECOND, false), None);
        }
    }

    #[test]
    fn what_was_withheld_is_given_out_once() {
        let mut rate = Rate::default();
        let x = Kind { subject: "x", ..A };
        for kind in [A, x, x, x] {
            rate.pass(kind, SECOND, false);
        }
        let withheld: Vec<(Kind<'_>, u64)> = rate.withheld().collect();
        assert_eq!(withheld, [(x, 2)]);
        assert_eq!(rate.withheld().count(), 0);
    }

    #[test]
    fn too_many_subjects_count_as_one() {
        let mut rate = Rate::default();
        for number in 0..2 * KINDS {
            rate.pass(Kind { subject: &number.to_string(), ..A }, SECOND, false);
        }
        assert_eq!(rate.0.len(), KINDS + 1);
        assert_eq!(rate.withheld().next(), Some((A, KINDS as u64 - 1)));
    }
}
