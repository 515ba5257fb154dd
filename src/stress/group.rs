//! One running load: its connections, how many it needs, and its statistics.

use std::rc::Rc;
use std::time::Duration;

use crate::config::{LoadKind, StressPlan};
use crate::core::time::ticks;
use crate::core::{Key, Timeouts};

use super::datagram_echo::DatagramEcho;
use super::load::{Load, Pace};
use super::load_stats::LoadStats;
use super::pacer::Pacer;
use super::script::{Script, ScriptKind};
use super::stream_echo::StreamEcho;

/// The loop's state of one load.
pub struct LoadGroup {
    pub kind: LoadKind,
    pub planned: usize,
    pub load: Rc<Load>,
    /// Connections attempted: all persistent ones, or those of the current storm.
    pub attempted: usize,
    /// Connections being established, and established ones.
    pub opening: usize,
    pub open: usize,
    /// Persistent connections that send.
    pub keys: Vec<Key>,
    pub stats: LoadStats,
    /// No connection is attempted before this time, since the last one failed.
    pub retry_at: Duration,
    /// When the last pulse was sent, or the current storm started.
    pub round: Duration,
    /// Answers missing in the current round.
    pub missing: usize,
    /// The pacer of a load with a rate, once it has started.
    pub pacer: Option<Pacer>,
    /// Whether new connections of an idle probe send a message.
    pub sends: bool,
}

/// Delay of the next connection of a load after a failed one, so that a server that refuses all
/// connections does not keep the loop busy.
const RETRY_DELAY: Duration = Duration::from_millis(10);

impl LoadGroup {
    pub fn new(kind: LoadKind, planned: usize, mut load: Load) -> LoadGroup {
        load.ends_after = match kind {
            kind if !kind.stays() => Some(u64::from(load.size > 0)),
            // Only with a probe.
            LoadKind::Idle if load.pace != Pace::Loop => Some(1),
            _ => None,
        };
        // Short connections send at once; persistent ones wait until all are open.
        load.started.set(!kind.stays());
        LoadGroup {
            kind,
            planned,
            load: Rc::new(load),
            attempted: 0,
            opening: 0,
            open: 0,
            keys: Vec::new(),
            stats: LoadStats::default(),
            retry_at: Duration::ZERO,
            round: Duration::ZERO,
            missing: 0,
            pacer: None,
            sends: false,
        }
    }

    /// Whether its connections are persistent: opened once, before measuring.
    pub fn is_persistent(&self) -> bool {
        self.kind.stays()
    }

    /// Number of connections still to open.
    pub fn unopened(&self) -> usize {
        match self.kind {
            LoadKind::Churn | LoadKind::Reset if self.load.ending.get() => 0,
            LoadKind::Churn | LoadKind::Reset => self.planned - (self.opening + self.open),
            _ => self.planned - self.attempted,
        }
    }

    /// How long a connection of this age has been idle.
    pub fn idle_time(&self, now: Duration, age: Duration) -> Duration {
        match self.kind {
            LoadKind::Pulse => age.min(now.saturating_sub(self.round)),
            _ => age,
        }
    }

    /// Delays the next connection after a failure.
    pub fn back_off(&mut self, now: Duration) {
        if !self.is_persistent() {
            self.retry_at = now + RETRY_DELAY;
        }
    }

    /// Creates the script of a new connection; `None` if it is only held.
    pub fn script(&self, key: Key) -> Option<Box<Script>> {
        let script = match self.kind {
            LoadKind::Idle if self.sends => self.probe_script(key),
            LoadKind::Idle => return None,
            LoadKind::Stream => Script::bulk(&self.load, key),
            _ if self.load.is_datagram => {
                Script::new(&self.load, key, ScriptKind::DatagramEcho(DatagramEcho::default()))
            }
            _ => Script::new(&self.load, key, ScriptKind::StreamEcho(StreamEcho::default())),
        };
        Some(Box::new(script))
    }

    /// Creates a script that may send one message at once, and more when the loop permits.
    fn probe_script(&self, key: Key) -> Script {
        Script::new(&self.load, key, ScriptKind::StreamEcho(StreamEcho::with_permits(1)))
    }

    /// Whether this many received bytes end inside an answer.
    pub fn is_partial(&self, down: u64) -> bool {
        down.checked_rem(self.load.size as u64).is_some_and(|bytes| bytes > 0)
    }

    /// Computes the numbers of started and answered messages from the bytes sent and received.
    pub fn messages(&self, up: u64, down: u64) -> (u64, u64) {
        match self.load.size as u64 {
            0 => (0, 0),
            _ if self.kind == LoadKind::Stream || self.load.is_datagram => (0, 0),
            size => (up.div_ceil(size), down / size),
        }
    }
}

/// Returns what triggers the messages of a load.
pub fn pace(kind: LoadKind, plan: &StressPlan) -> Pace {
    match kind {
        LoadKind::Pulse => Pace::Loop,
        LoadKind::Idle if plan.find_idle_timeout.is_some() => Pace::Loop,
        LoadKind::Echo if plan.rate.is_some() => Pace::Loop,
        LoadKind::Echo => Pace::Answers(plan.depth as u64),
        _ => Pace::Answers(1),
    }
}

/// Returns the engine's timeouts for a load. Persistent connections may be idle for long, so the
/// loop itself checks for missing answers.
pub fn timeouts(kind: LoadKind, plan: &StressPlan) -> Timeouts {
    let timeout = Some(ticks(plan.timeout()));
    let idle = timeout.filter(|_| !kind.stays());
    let half_close = Some(ticks(plan.closing_timeout()));
    Timeouts { connect: timeout, idle, half_close, lifetime: None }
}
