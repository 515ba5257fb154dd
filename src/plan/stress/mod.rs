//! The plan of a stress run: which loads, how many connections, how long, and what is reported.

use std::path::PathBuf;
use std::time::Duration;

use super::parse_error::{Piece, SpanError};
use super::source::Source;
use super::unit::{self, Rate};
use super::{Address, Color, Listen, word};

mod check;
pub mod options;

#[cfg(test)]
mod tests;

/// All that `oneloop stress` was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct StressPlan {
    /// Connections are spread over them in turn. None only beside a sink.
    pub targets: Vec<Address>,
    /// None: an echo.
    pub loads: Vec<LoadPlan>,
    /// Connections of a load that does not say how many.
    pub conns: usize,
    /// So many more connections play ping-pong beside the others.
    pub active: usize,
    /// None: `CONNECT_RATE` for connections that stay, no limit for those that come and go.
    pub connect_rate: Option<Rate>,
    /// How long idle connections are held.
    pub hold: Duration,
    /// How long the loads that speak are measured.
    pub duration: Duration,
    /// They run so long before they are measured.
    pub warmup: Duration,
    /// Bytes in a message.
    pub size: usize,
    /// Messages of one connection that are on the way at once.
    pub depth: usize,
    /// Messages in a second over all connections, sent whether answers come or not.
    pub rate: Option<Rate>,
    pub way: Way,
    /// A stream's bytes are counted, and nobody looks at them.
    pub unverified: bool,
    /// From one pulse to the next.
    pub every: Duration,
    /// How connections are tested after a silence.
    pub probe: Probe,
    /// Find the silence after which a connection dies, up to this one.
    pub find_timeout: Option<Duration>,
    /// No answer for so long is a failure; a datagram counts as lost.
    /// None: `TIMEOUT`, or `DATAGRAM_TIMEOUT`.
    pub timeout: Option<Duration>,
    pub sources: Vec<Source>,
    /// None: as many as the limit of open files demands.
    pub processes: Option<usize>,
    /// This run is one of several processes.
    pub worker: Option<Worker>,
    /// Send many datagrams with one call, where the system can cut them.
    pub gso: bool,
    /// The server's process, for what it costs. None: found by its port.
    pub pid: Option<u32>,
    pub json: Option<PathBuf>,
    pub report: Option<PathBuf>,
    /// None: drawn anew.
    pub seed: Option<u64>,
    /// Be the far end of a bulk stream here.
    pub sink: Option<Listen>,
    /// Of the summary.
    pub color: Color,
}

/// One load, and over how many connections. None: as many as the plan says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadPlan {
    pub kind: LoadKind,
    pub conns: Option<usize>,
}

/// What the connections of a load do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadKind {
    /// Open, hold, watch.
    Idle,
    /// Each sends, waits for the answer, and sends again.
    Echo,
    /// Each connects, exchanges one message, closes, and begins again.
    Churn,
    /// Bulk, as much as goes through.
    Stream,
    /// All connect at once, exchange one message and close, again and again.
    Storm,
    /// All are idle but at one instant, when they all speak.
    Pulse,
    /// Each connects, exchanges one message, vanishes with a reset, and begins again.
    Reset,
}

/// Which way a bulk stream flows, and so what the far end must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The far end sends back what it receives.
    Echo,
    /// The far end is a sink of ours, which counts and verifies.
    Up,
    /// The far end is a source of ours.
    Down,
    /// It is both at once.
    Both,
    /// The far end swallows all, and says nothing.
    Discard,
}

/// How a connection is tested after a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A search for an idle timeout sends one message first; if it comes back, as `Echo`, otherwise
    /// as `None`. A load of idle connections is not tested.
    Auto,
    /// The connection must send one message back.
    Echo,
    /// Nothing is sent: only what the server closes is seen.
    None,
}

/// Which of how many processes this is, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    pub index: usize,
    pub count: usize,
}

impl StressPlan {
    /// Connections that are to stay are opened at this rate, if no other is given: most servers
    /// keep up with it, and none of their queues overflows.
    pub const CONNECT_RATE: Rate = Rate { count: 10_000, per: Duration::from_secs(1) };

    /// What takes longer has failed.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// Nobody sends a lost datagram again, so its loss had better be known soon.
    pub const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(1);

    /// Each process is started and runs a loop of its own: beyond the processors of any machine
    /// this is meant for, more of them only compete.
    pub const PROCESSES_MAX: usize = 256;

    pub fn timeout(&self) -> Duration {
        let usual = match self.is_datagram() {
            true => StressPlan::DATAGRAM_TIMEOUT,
            false => StressPlan::TIMEOUT,
        };
        self.timeout.unwrap_or(usual)
    }

    /// How long an end may take: as long as anything, and longer where many end at once.
    pub fn closing_timeout(&self) -> Duration {
        let conns: usize = self.groups().iter().map(|(_, conns)| conns).sum();
        self.timeout() + CLOSING_EACH * u32::try_from(conns).unwrap_or(u32::MAX)
    }

    /// Whether a load has connections that are opened once, and stay.
    pub fn keeps_connections(&self) -> bool {
        self.groups().iter().any(|(kind, _)| kind.stays())
    }

    pub fn is_datagram(&self) -> bool {
        self.targets.iter().any(Address::is_datagram)
    }

    /// The loads with their numbers of connections, the ping-pong ones of `active` among them.
    pub fn groups(&self) -> Vec<(LoadKind, usize)> {
        if self.targets.is_empty() {
            return Vec::new();
        }
        if self.find_timeout.is_some() {
            // The search opens them as it needs them.
            return vec![(LoadKind::Idle, 0)];
        }
        let echo = [LoadPlan { kind: LoadKind::Echo, conns: None }];
        let loads = if self.loads.is_empty() { &echo[..] } else { &self.loads };
        let asked = loads.iter().map(|load| (load.kind, load.conns.unwrap_or(self.conns)));
        let active = (self.active > 0).then_some((LoadKind::Echo, self.active));
        asked.chain(active).filter(|(_, conns)| *conns > 0).collect()
    }
}

/// A slow server ends 2,000 connections in a second.
const CLOSING_EACH: Duration = Duration::from_micros(500);

impl Default for StressPlan {
    fn default() -> StressPlan {
        StressPlan {
            targets: Vec::new(),
            loads: Vec::new(),
            conns: 64,
            active: 0,
            connect_rate: None,
            hold: Duration::from_secs(10),
            duration: Duration::from_secs(10),
            warmup: Duration::ZERO,
            size: 64,
            depth: 1,
            rate: None,
            way: Way::Echo,
            unverified: false,
            every: Duration::from_secs(1),
            probe: Probe::Auto,
            find_timeout: None,
            timeout: None,
            sources: Vec::new(),
            processes: None,
            worker: None,
            gso: false,
            pid: None,
            json: None,
            report: None,
            seed: None,
            sink: None,
            color: Color::default(),
        }
    }
}

impl LoadKind {
    pub const WORDS: [(&'static str, LoadKind); 7] = [
        ("idle", LoadKind::Idle),
        ("echo", LoadKind::Echo),
        ("churn", LoadKind::Churn),
        ("stream", LoadKind::Stream),
        ("storm", LoadKind::Storm),
        ("pulse", LoadKind::Pulse),
        ("reset", LoadKind::Reset),
    ];

    pub fn name(self) -> &'static str {
        word::of(&LoadKind::WORDS, self)
    }

    /// Its connections are opened once, before anything is measured. The others come and go.
    pub fn stays(self) -> bool {
        match self {
            LoadKind::Idle | LoadKind::Echo | LoadKind::Stream | LoadKind::Pulse => true,
            LoadKind::Churn | LoadKind::Storm | LoadKind::Reset => false,
        }
    }
}

impl Probe {
    pub const WORDS: [(&'static str, Probe); 3] =
        [("auto", Probe::Auto), ("echo", Probe::Echo), ("none", Probe::None)];

    pub fn name(self) -> &'static str {
        word::of(&Probe::WORDS, self)
    }
}

impl Way {
    pub const WORDS: [(&'static str, Way); 5] = [
        ("echo", Way::Echo),
        ("up", Way::Up),
        ("down", Way::Down),
        ("both", Way::Both),
        ("discard", Way::Discard),
    ];

    pub fn name(self) -> &'static str {
        word::of(&Way::WORDS, self)
    }
}

/// `idle`, `idle=10k`, several with commas between them.
pub(super) fn read_loads(piece: Piece<'_>) -> Result<Vec<LoadPlan>, SpanError> {
    let read = |load: Piece<'_>| {
        let (word, conns) = load.split('=');
        let kind = word::read(word, &LoadKind::WORDS)?;
        let conns = conns.map(unit::read_limit).transpose()?;
        Ok(LoadPlan { kind, conns })
    };
    piece.parts(',').map(read).collect()
}

pub(super) fn show_loads(loads: &[LoadPlan]) -> String {
    let shown = loads.iter().map(|load| match load.conns {
        Some(conns) => format!("{}={conns}", load.kind.name()),
        None => load.kind.name().to_string(),
    });
    shown.collect::<Vec<_>>().join(",")
}
