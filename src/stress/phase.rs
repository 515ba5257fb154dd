//! The phases of a run: which connections each opens, and whether it sends, measures or closes.

use std::time::Duration;

use crate::config::LoadKind;

/// A phase of a run. Times count from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Persistent connections are opened.
    Ramp,
    /// The server gets time to accept all connections before its memory is read.
    Settle {
        until: Duration,
    },
    /// The loads run, but nothing is measured yet.
    Warm {
        since: Duration,
        until: Duration,
    },
    /// The loads run and are measured.
    Load {
        since: Duration,
        until: Duration,
    },
    /// Only the sink runs: the load comes from other processes.
    Serve {
        since: Duration,
    },
    /// Loads that send receive their last answers and close.
    Finish {
        until: Duration,
    },
    /// Idle connections are held.
    Hold {
        since: Duration,
        until: Duration,
    },
    /// Each idle connection must answer once.
    Probe {
        until: Duration,
    },
    /// The search for the server's idle timeout runs.
    IdleProbe,
    /// All remaining connections are closed.
    Close {
        until: Duration,
    },
    Done,
}

impl Phase {
    /// Whether connections of this kind of load are opened.
    pub fn opens(self, kind: LoadKind) -> bool {
        match self {
            Phase::Ramp => kind.stays(),
            Phase::Warm { .. } | Phase::Load { .. } => !kind.stays(),
            _ => false,
        }
    }

    /// Whether results count.
    pub fn measures(self) -> bool {
        matches!(self, Phase::Load { .. } | Phase::Serve { .. })
    }

    /// Whether new messages are sent.
    pub fn sends(self) -> bool {
        matches!(self, Phase::Warm { .. } | Phase::Load { .. })
    }

    /// Whether this process is closing all connections.
    pub fn closes(self) -> bool {
        matches!(self, Phase::Close { .. } | Phase::Done)
    }

    /// Returns when the phase ends at the latest.
    pub fn due(self) -> Option<Duration> {
        match self {
            Phase::Ramp | Phase::Serve { .. } | Phase::IdleProbe | Phase::Done => None,
            Phase::Settle { until }
            | Phase::Warm { until, .. }
            | Phase::Load { until, .. }
            | Phase::Finish { until }
            | Phase::Hold { until, .. }
            | Phase::Probe { until }
            | Phase::Close { until } => Some(until),
        }
    }

    /// Returns start and end of a phase with a fixed duration.
    pub fn span(self) -> Option<(Duration, Duration)> {
        match self {
            Phase::Warm { since, until }
            | Phase::Load { since, until }
            | Phase::Hold { since, until } => Some((since, until)),
            _ => None,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Phase::Ramp => "connect",
            Phase::Settle { .. } => "settle",
            Phase::Warm { .. } => "warm up",
            Phase::Load { .. } => "measure",
            Phase::Serve { .. } => "serve",
            Phase::Finish { .. } => "finish",
            Phase::Hold { .. } => "hold",
            Phase::Probe { .. } => "probe",
            Phase::IdleProbe => "idle",
            Phase::Close { .. } | Phase::Done => "close",
        }
    }

    /// Whether its time is over.
    pub fn is_due(self, now: Duration) -> bool {
        self.due().is_some_and(|until| now >= until)
    }
}
