//! The phases of a turn, and what the time of a turn was spent on.

use std::time::Duration;

/// A phase of a turn, as docs/turn.md calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Mark,
    Accept,
    Dial,
    Run,
    Expire,
    Datagrams,
    Admin,
}

impl Phase {
    /// All phases, in the order of a turn.
    pub const ALL: [Phase; 7] = [
        Phase::Mark,
        Phase::Accept,
        Phase::Dial,
        Phase::Run,
        Phase::Expire,
        Phase::Datagrams,
        Phase::Admin,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Mark => "mark",
            Phase::Accept => "accept",
            Phase::Dial => "dial",
            Phase::Run => "run",
            Phase::Expire => "expire",
            Phase::Datagrams => "datagrams",
            Phase::Admin => "admin",
        }
    }
}

/// What the time of one turn was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnDetail {
    /// The time of each phase, in the order of `Phase::ALL`.
    pub phases: [Duration; Phase::ALL.len()],
    /// The connection that took most of the phase `run`, and how long.
    pub connection: Option<(u32, Duration)>,
    /// Time in which the thread did not run, although nothing in a turn waits. None where the
    /// system does not measure it.
    pub not_scheduled: Option<Duration>,
}

impl TurnDetail {
    /// Returns the phase that took most of the turn, and how long.
    pub fn slowest(&self) -> (Phase, Duration) {
        let phases = Phase::ALL.into_iter().zip(self.phases);
        let first = (Phase::Mark, self.phases[0]);
        phases.fold(first, |most, phase| if phase.1 > most.1 { phase } else { most })
    }

    /// Whether the thread did not run for most of a turn that took this long.
    pub fn is_mostly_not_scheduled(&self, took: Duration) -> bool {
        self.not_scheduled.is_some_and(|time| time > took / 2)
    }

    /// Returns the connection that took most of the slowest phase, and how long. None if that
    /// phase runs no connections.
    pub fn slowest_connection(&self) -> Option<(u32, Duration)> {
        self.connection.filter(|_| self.slowest().0 == Phase::Run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_matters_only_if_its_phase_does() {
        let micros = Duration::from_micros;
        let mut detail = TurnDetail { connection: Some((7, micros(80))), ..TurnDetail::default() };
        assert_eq!(detail.slowest(), (Phase::Mark, Duration::ZERO));
        detail.phases[3] = micros(90);
        assert_eq!(detail.slowest(), (Phase::Run, micros(90)));
        assert_eq!(detail.slowest_connection(), Some((7, micros(80))));
        detail.phases[6] = micros(91);
        assert_eq!(detail.slowest(), (Phase::Admin, micros(91)));
        assert_eq!(detail.slowest_connection(), None);
    }
}
