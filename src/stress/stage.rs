//! The stages of a run, and what belongs into each.

use std::time::Duration;

use crate::plan::LoadKind;

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
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
    Find,
    /// What is left ends.
    Close {
        until: Duration,
    },
    Over,
}

impl Stage {
    /// Whether connections of this load are opened now.
    pub fn opens(self, kind: LoadKind) -> bool {
        match self {
            Stage::Ramp => kind.stays(),
            Stage::Warm { .. } | Stage::Load { .. } => !kind.stays(),
            _ => false,
        }
    }

    pub fn measures(self) -> bool {
        matches!(self, Stage::Load { .. } | Stage::Serve { .. })
    }

    /// Messages begin now.
    pub fn speaks(self) -> bool {
        matches!(self, Stage::Warm { .. } | Stage::Load { .. })
    }

    /// All connections end now, by our will.
    pub fn closes(self) -> bool {
        matches!(self, Stage::Close { .. } | Stage::Over)
    }

    /// When it is over at the latest.
    pub fn due(self) -> Option<Duration> {
        match self {
            Stage::Ramp | Stage::Serve { .. } | Stage::Find | Stage::Over => None,
            Stage::Settle { until }
            | Stage::Warm { until, .. }
            | Stage::Load { until, .. }
            | Stage::Finish { until }
            | Stage::Hold { until, .. }
            | Stage::Probe { until }
            | Stage::Close { until } => Some(until),
        }
    }

    /// When it began and when it will be over, of those that have a time.
    pub fn span(self) -> Option<(Duration, Duration)> {
        match self {
            Stage::Warm { since, until }
            | Stage::Load { since, until }
            | Stage::Hold { since, until } => Some((since, until)),
            _ => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Stage::Ramp => "connect",
            Stage::Settle { .. } => "settle",
            Stage::Warm { .. } => "warm up",
            Stage::Load { .. } => "measure",
            Stage::Serve { .. } => "serve",
            Stage::Finish { .. } => "finish",
            Stage::Hold { .. } => "hold",
            Stage::Probe { .. } => "ask",
            Stage::Find => "find",
            Stage::Close { .. } | Stage::Over => "close",
        }
    }

    pub fn is_due(self, now: Duration) -> bool {
        self.due().is_some_and(|until| now >= until)
    }
}
