//! The phases of a run, and what belongs into each.

use std::time::Duration;

use crate::config::LoadKind;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The connections that stay are opened.
    Ramp,
    /// The server gets time to take in all that were opened, before its memory is read.
    Settle {
        until: Duration,
    },
    /// The loads run, and nothing is measured yet.
    Warm {
        since: Duration,
        until: Duration,
    },
    /// The loads are measured.
    Load {
        since: Duration,
        until: Duration,
    },
    /// There is no load here, only the far end of others'.
    Serve {
        since: Duration,
    },
    /// They say their last words.
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
    /// The silence is looked for that kills a connection.
    IdleProbe,
    /// What is left ends.
    Close {
        until: Duration,
    },
    Over,
}

impl Phase {
    /// Whether connections of this load are opened now.
    pub fn opens(self, kind: LoadKind) -> bool {
        match self {
            Phase::Ramp => kind.stays(),
            Phase::Warm { .. } | Phase::Load { .. } => !kind.stays(),
            _ => false,
        }
    }

    pub fn measures(self) -> bool {
        matches!(self, Phase::Load { .. } | Phase::Serve { .. })
    }

    /// Messages begin now.
    pub fn speaks(self) -> bool {
        matches!(self, Phase::Warm { .. } | Phase::Load { .. })
    }

    /// All connections end now, by our will.
    pub fn closes(self) -> bool {
        matches!(self, Phase::Close { .. } | Phase::Over)
    }

    /// When it is over at the latest.
    pub fn due(self) -> Option<Duration> {
        match self {
            Phase::Ramp | Phase::Serve { .. } | Phase::IdleProbe | Phase::Over => None,
            Phase::Settle { until }
            | Phase::Warm { until, .. }
            | Phase::Load { until, .. }
            | Phase::Finish { until }
            | Phase::Hold { until, .. }
            | Phase::Probe { until }
            | Phase::Close { until } => Some(until),
        }
    }

    /// When it began and when it will be over, of those that have a time.
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
            Phase::Close { .. } | Phase::Over => "close",
        }
    }

    pub fn is_due(self, now: Duration) -> bool {
        self.due().is_some_and(|until| now >= until)
    }
}
