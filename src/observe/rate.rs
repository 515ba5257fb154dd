//! Warnings that may come in floods: at most one of a kind in ten seconds, and the count of the
//! others.

use std::time::Duration;

/// How long a kind of warning is silent after it was told.
pub const QUIET: Duration = Duration::from_secs(10);

/// The last telling of each kind. A kind is a word of ours, so there are only a few.
#[derive(Debug, Default)]
pub struct Rate(Vec<(&'static str, Kind)>);

#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    told: Option<Duration>,
    withheld: u64,
}

impl Rate {
    /// Whether a warning of this kind may be told `now`; if so, how many were withheld since the
    /// last.
    pub fn pass(&mut self, kind: &'static str, now: Duration) -> Option<u64> {
        let kind = self.kind(kind);
        if kind.told.is_some_and(|told| now.saturating_sub(told) < QUIET) {
            kind.withheld += 1;
            return None;
        }
        kind.told = Some(now);
        Some(std::mem::take(&mut kind.withheld))
    }

    fn kind(&mut self, word: &'static str) -> &mut Kind {
        let at = self.0.iter().position(|(known, _)| *known == word).unwrap_or_else(|| {
            self.0.push((word, Kind::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_of_a_kind_is_told_at_once_and_the_next_after_ten_seconds_with_a_count() {
        let mut rate = Rate::default();
        assert_eq!(rate.pass("a", Duration::ZERO), Some(0));
        for second in 1..10 {
            assert_eq!(rate.pass("a", second * SECOND), None);
        }
        assert_eq!(rate.pass("a", 10 * SECOND), Some(9));
        assert_eq!(rate.pass("a", 30 * SECOND), Some(0));
    }

    #[test]
    fn kinds_do_not_silence_each_other() {
        let mut rate = Rate::default();
        assert_eq!(rate.pass("a", SECOND), Some(0));
        assert_eq!(rate.pass("b", SECOND), Some(0));
        assert_eq!(rate.pass("b", SECOND), None);
    }
}
