//! One load at work: its connections, how many are wanted, and what they came to.

use std::rc::Rc;
use std::time::Duration;

use crate::core::time::ticks;
use crate::core::{Key, Timeouts};
use crate::plan::{LoadKind, StressPlan};

use super::datagram_echo::DatagramEcho;
use super::echo::Echo;
use super::load::{Load, Pace};
use super::load_stats::LoadStats;
use super::pacer::Pacer;
use super::script::{Script, Talk};

/// One load, on the loop's side.
pub struct Group {
    pub kind: LoadKind,
    pub wanted: usize,
    pub load: Rc<Load>,
    /// Connections that were tried: of those that stay, or of the present storm.
    pub tried: usize,
    /// Connections that are being made, and that are there.
    pub opening: usize,
    pub open: usize,
    /// Those that stay and speak.
    pub keys: Vec<Key>,
    pub tally: LoadStats,
    /// No connection is tried before: the last one failed.
    pub rests_until: Duration,
    /// When the connections last spoke all at once, or the present storm began.
    pub round: Duration,
    /// Answers that are missing in the present round.
    pub missing: usize,
    /// Of a load that the clock paces, once it speaks.
    pub pacer: Option<Pacer>,
    /// New connections of a search for an idle timeout send a message.
    pub sends: bool,
}

/// After a connection failed, its load tries no other one for so long: a server that refuses all
/// would keep the loop busy with nothing else.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(10);

impl Group {
    pub fn new(kind: LoadKind, wanted: usize, mut load: Load) -> Group {
        load.ends_after = match kind {
            kind if !kind.stays() => Some(u64::from(load.size > 0)),
            // If they are asked at all.
            LoadKind::Idle if load.pace != Pace::Loop => Some(1),
            _ => None,
        };
        // Who comes and goes speaks at once; the others wait until all are there.
        load.going.set(!kind.stays());
        Group {
            kind,
            wanted,
            load: Rc::new(load),
            tried: 0,
            opening: 0,
            open: 0,
            keys: Vec::new(),
            tally: LoadStats::default(),
            rests_until: Duration::ZERO,
            round: Duration::ZERO,
            missing: 0,
            pacer: None,
            sends: false,
        }
    }

    /// Connections are opened once, before anything is measured.
    pub fn stays(&self) -> bool {
        self.kind.stays()
    }

    /// How many connections it lacks now.
    pub fn lacks(&self) -> usize {
        match self.kind {
            LoadKind::Churn | LoadKind::Reset if self.load.ending.get() => 0,
            LoadKind::Churn | LoadKind::Reset => self.wanted - (self.opening + self.open),
            _ => self.wanted - self.tried,
        }
    }

    /// For how long one of its connections has been silent, if it is so old.
    pub fn silence(&self, now: Duration, age: Duration) -> Duration {
        match self.kind {
            LoadKind::Pulse => age.min(now.saturating_sub(self.round)),
            _ => age,
        }
    }

    /// A connection failed: one that would come in its place waits a little.
    pub fn rest(&mut self, now: Duration) {
        if !self.stays() {
            self.rests_until = now + REST_AFTER_FAILURE;
        }
    }

    /// What a new connection says; none if it is only held.
    pub fn script(&self, key: Key) -> Option<Box<Script>> {
        let script = match self.kind {
            LoadKind::Idle if self.sends => self.asked(key),
            LoadKind::Idle => return None,
            LoadKind::Stream => Script::bulk(&self.load, key),
            _ if self.load.datagrams => {
                Script::new(&self.load, key, Talk::DatagramEcho(DatagramEcho::default()))
            }
            _ => Script::new(&self.load, key, Talk::Echo(Echo::default())),
        };
        Some(Box::new(script))
    }

    /// One that may send a message at once, and others when the loop allows it.
    fn asked(&self, key: Key) -> Script {
        Script::new(&self.load, key, Talk::Echo(Echo::allowing(1)))
    }

    /// Whether these bytes end within an answer.
    pub fn is_partial(&self, down: u64) -> bool {
        down.checked_rem(self.load.size as u64).is_some_and(|bytes| bytes > 0)
    }

    /// How many messages were begun and how many answered, by the bytes that went each way.
    pub fn messages(&self, up: u64, down: u64) -> (u64, u64) {
        match self.load.size as u64 {
            0 => (0, 0),
            _ if self.kind == LoadKind::Stream || self.load.datagrams => (0, 0),
            size => (up.div_ceil(size), down / size),
        }
    }
}

/// What lets messages of this load begin.
pub fn pace(kind: LoadKind, plan: &StressPlan) -> Pace {
    match kind {
        LoadKind::Pulse => Pace::Loop,
        LoadKind::Idle if plan.find_timeout.is_some() => Pace::Loop,
        LoadKind::Echo if plan.rate.is_some() => Pace::Loop,
        LoadKind::Echo => Pace::Answers(plan.depth as u64),
        _ => Pace::Answers(1),
    }
}

/// The engine's timeouts for a load. Those that stay may be silent for long: the loop itself looks
/// after the answers that they wait for.
pub fn timeouts(kind: LoadKind, plan: &StressPlan) -> Timeouts {
    let timeout = Some(ticks(plan.timeout()));
    let idle = timeout.filter(|_| !kind.stays());
    let half_close = Some(ticks(plan.closing_timeout()));
    Timeouts { connect: timeout, idle, half_close, lifetime: None }
}
