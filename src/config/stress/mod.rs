//! The plan of `oneloop stress`: loads, connections, durations and reports.

use std::path::PathBuf;
use std::time::Duration;

use super::parse::{self, SpanError, Spanned};
use super::source::SourceBlock;
use super::unit::{self, Rate};
use super::{Address, Color, Listen};

mod check;

#[cfg(test)]
mod tests;

/// The plan of a stress run.
#[derive(Clone, Debug, PartialEq)]
pub struct StressPlan {
    /// Connections are distributed round robin. Empty only with a sink.
    pub targets: Vec<Address>,
    /// Empty: echo.
    pub loads: Vec<LoadPlan>,
    /// Connections of each load without a number of its own.
    pub conns: usize,
    /// Additional echo connections.
    pub active_conns: usize,
    /// None: `CONNECT_RATE` for persistent connections, no limit for the others.
    pub connect_rate: Option<Rate>,
    /// Time to hold idle connections.
    pub hold: Duration,
    /// Measurement time of loads that send.
    pub duration: Duration,
    /// Time to run before measuring.
    pub warmup: Duration,
    /// Message size in bytes.
    pub size: usize,
    /// Messages in flight per connection.
    pub depth: usize,
    /// Total rate of messages, independent of answers.
    pub rate: Option<Rate>,
    pub direction: Direction,
    /// Count the bytes of a stream without verifying them.
    pub no_verify: bool,
    /// Time between two pulses.
    pub burst_interval: Duration,
    /// Test of an idle connection.
    pub probe: Probe,
    /// Find the server's idle timeout, up to this one.
    pub find_idle_timeout: Option<Duration>,
    /// Maximum time for a connect or an answer; a later datagram counts as lost.
    /// None: `TIMEOUT`, or `DATAGRAM_TIMEOUT`.
    pub timeout: Option<Duration>,
    pub sources: Vec<SourceBlock>,
    /// None: from the open-file limit.
    pub processes: Option<usize>,
    /// Set in a worker process.
    pub worker: Option<Worker>,
    /// Send datagrams with UDP segmentation offload, where available.
    pub gso: bool,
    /// The server process to measure. None: found by its port.
    pub pid: Option<u32>,
    pub json: Option<PathBuf>,
    pub report: Option<PathBuf>,
    /// None: random.
    pub seed: Option<u64>,
    /// Listen here as the far end of streams.
    pub sink: Option<Listen>,
    /// Color of the summary.
    pub color: Color,
}

/// A load and its number of connections. None: `StressPlan::conns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadPlan {
    pub kind: LoadKind,
    pub conns: Option<usize>,
}

/// What the connections of a load do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadKind {
    /// Open, hold and watch.
    Idle,
    /// Send a message, wait for the echo, repeat.
    Echo,
    /// Connect, exchange one message, close, repeat.
    Churn,
    /// Bulk transfer at full speed.
    Stream,
    /// All connect at once, exchange one message and close, repeatedly.
    Storm,
    /// All are idle and send at the same instant, repeatedly.
    Pulse,
    /// Connect, exchange one message, close with RST, repeat.
    Reset,
}

/// Direction of a bulk stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The far end echoes.
    Echo,
    /// The far end is `--sink`, which counts and verifies.
    Up,
    /// The far end is `--sink`, which sends.
    Down,
    /// Both at once.
    Both,
    /// The far end reads and discards.
    Discard,
}

/// Test of an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A search for an idle timeout first sends one message: `Echo` if it comes back, otherwise
    /// `None`. Idle loads are not tested.
    Auto,
    /// The connection must send one message back.
    Echo,
    /// Nothing is sent: only a close by the server is detected.
    None,
}

/// Index of a worker process, from 0, and the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worker {
    pub index: usize,
    pub count: usize,
}

impl StressPlan {
    /// Default rate at which persistent connections are opened: most servers keep up with it, and
    /// their accept queues do not overflow.
    pub const CONNECT_RATE: Rate = Rate { count: 10_000, per: Duration::from_secs(1) };

    /// Default timeout of connects and answers.
    pub const TIMEOUT: Duration = Duration::from_secs(10);
    /// Default timeout of datagrams: shorter, since a lost datagram is not retransmitted.
    pub const DATAGRAM_TIMEOUT: Duration = Duration::from_secs(1);

    /// Maximum worker processes: more than CPUs only compete.
    pub const PROCESSES_MAX: usize = 256;

    pub fn timeout(&self) -> Duration {
        let usual = match self.is_datagram() {
            true => StressPlan::DATAGRAM_TIMEOUT,
            false => StressPlan::TIMEOUT,
        };
        self.timeout.unwrap_or(usual)
    }

    /// Returns the time limit for closing, which grows with the number of connections.
    pub fn closing_timeout(&self) -> Duration {
        let conns: usize = self.groups().iter().map(|(_, conns)| conns).sum();
        self.timeout() + CLOSING_EACH * u32::try_from(conns).unwrap_or(u32::MAX)
    }

    /// Whether a load has persistent connections.
    pub fn keeps_connections(&self) -> bool {
        self.groups().iter().any(|(kind, _)| kind.stays())
    }

    pub fn is_datagram(&self) -> bool {
        self.targets.iter().any(Address::is_datagram)
    }

    /// Returns the loads with their numbers of connections, including those of `active`.
    pub fn groups(&self) -> Vec<(LoadKind, usize)> {
        if self.targets.is_empty() {
            return Vec::new();
        }
        if self.find_idle_timeout.is_some() {
            // The search opens connections on demand.
            return vec![(LoadKind::Idle, 0)];
        }
        let echo = [LoadPlan { kind: LoadKind::Echo, conns: None }];
        let loads = if self.loads.is_empty() { &echo[..] } else { &self.loads };
        let planned = loads.iter().map(|load| (load.kind, load.conns.unwrap_or(self.conns)));
        let active = (self.active_conns > 0).then_some((LoadKind::Echo, self.active_conns));
        planned.chain(active).filter(|(_, conns)| *conns > 0).collect()
    }
}

/// Time to close one connection: a slow server closes 2,000 per second.
const CLOSING_EACH: Duration = Duration::from_micros(500);

impl Default for StressPlan {
    fn default() -> StressPlan {
        StressPlan {
            targets: Vec::new(),
            loads: Vec::new(),
            conns: 64,
            active_conns: 0,
            connect_rate: None,
            hold: Duration::from_secs(10),
            duration: Duration::from_secs(10),
            warmup: Duration::ZERO,
            size: 64,
            depth: 1,
            rate: None,
            direction: Direction::Echo,
            no_verify: false,
            burst_interval: Duration::from_secs(1),
            probe: Probe::Auto,
            find_idle_timeout: None,
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
    pub const NAMES: [(&'static str, LoadKind); 7] = [
        ("idle", LoadKind::Idle),
        ("echo", LoadKind::Echo),
        ("churn", LoadKind::Churn),
        ("stream", LoadKind::Stream),
        ("storm", LoadKind::Storm),
        ("pulse", LoadKind::Pulse),
        ("reset", LoadKind::Reset),
    ];

    pub fn name(self) -> &'static str {
        parse::choice_name(&LoadKind::NAMES, self)
    }

    /// Whether its connections are opened once, before the measurement.
    pub fn stays(self) -> bool {
        match self {
            LoadKind::Idle | LoadKind::Echo | LoadKind::Stream | LoadKind::Pulse => true,
            LoadKind::Churn | LoadKind::Storm | LoadKind::Reset => false,
        }
    }
}

impl Probe {
    pub const NAMES: [(&'static str, Probe); 3] =
        [("auto", Probe::Auto), ("echo", Probe::Echo), ("none", Probe::None)];

    pub fn name(self) -> &'static str {
        parse::choice_name(&Probe::NAMES, self)
    }
}

impl Direction {
    pub const NAMES: [(&'static str, Direction); 5] = [
        ("echo", Direction::Echo),
        ("up", Direction::Up),
        ("down", Direction::Down),
        ("both", Direction::Both),
        ("discard", Direction::Discard),
    ];

    pub fn name(self) -> &'static str {
        parse::choice_name(&Direction::NAMES, self)
    }
}

/// Reads a comma-separated list such as `idle=10k,echo`.
pub(super) fn read_loads(input: Spanned<'_>) -> Result<Vec<LoadPlan>, SpanError> {
    let read = |load: Spanned<'_>| {
        let (word, conns) = load.split('=');
        let kind = parse::choice(word, &LoadKind::NAMES)?;
        let conns = conns.map(unit::read_limit).transpose()?;
        Ok(LoadPlan { kind, conns })
    };
    input.parts(',').map(read).collect()
}

pub(super) fn show_loads(loads: &[LoadPlan]) -> String {
    let shown = loads.iter().map(|load| match load.conns {
        Some(conns) => format!("{}={conns}", load.kind.name()),
        None => load.kind.name().to_string(),
    });
    shown.collect::<Vec<_>>().join(",")
}
