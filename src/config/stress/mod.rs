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
    /// Additional echo connections, without modifiers.
    pub active_conns: usize,
    /// Modifiers of every load that they fit.
    pub burst: bool,
    pub abort: bool,
    /// Time between the starts of two bursts. None: one follows the other.
    pub burst_interval: Option<Duration>,
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
    pub mode: LoadMode,
    pub conns: Option<usize>,
}

/// What the connections of a load do: its kind, and the modifiers of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadMode {
    pub kind: LoadKind,
    /// All connections send, or connect, at the same instant, repeatedly.
    pub burst: bool,
    /// Connections close with RST.
    pub abort: bool,
}

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
        self.groups().iter().any(|(mode, _)| mode.kind.stays())
    }

    pub fn is_datagram(&self) -> bool {
        self.targets.iter().any(Address::is_datagram)
    }

    /// Returns the loads with all their modifiers and their numbers of connections, including those
    /// of `active_conns`.
    pub fn groups(&self) -> Vec<(LoadMode, usize)> {
        if self.targets.is_empty() {
            return Vec::new();
        }
        if self.find_idle_timeout.is_some() {
            // The search opens connections on demand.
            return vec![(LoadKind::Idle.into(), 0)];
        }
        let echo = LoadMode::from(LoadKind::Echo);
        let default = [LoadPlan { mode: echo, conns: None }];
        let loads = if self.loads.is_empty() { &default[..] } else { &self.loads };
        let planned = loads.iter().map(|LoadPlan { mode, conns }| {
            let burst = mode.burst || self.burst && Modifier::Burst.misfit(mode.kind).is_none();
            let abort = mode.abort || self.abort && Modifier::Abort.misfit(mode.kind).is_none();
            (LoadMode { burst, abort, ..*mode }, conns.unwrap_or(self.conns))
        });
        planned.chain([(echo, self.active_conns)]).filter(|(_, conns)| *conns > 0).collect()
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
            burst: false,
            abort: false,
            burst_interval: None,
            connect_rate: None,
            hold: Duration::from_secs(10),
            duration: Duration::from_secs(10),
            warmup: Duration::ZERO,
            size: 64,
            depth: 1,
            rate: None,
            direction: Direction::Echo,
            no_verify: false,
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
    pub const NAMES: [(&'static str, LoadKind); 4] = [
        ("idle", LoadKind::Idle),
        ("echo", LoadKind::Echo),
        ("churn", LoadKind::Churn),
        ("stream", LoadKind::Stream),
    ];

    pub fn name(self) -> &'static str {
        parse::choice_name(&LoadKind::NAMES, self)
    }

    /// Whether its connections are opened once, before the measurement.
    pub fn stays(self) -> bool {
        self != LoadKind::Churn
    }
}

impl From<LoadKind> for LoadMode {
    fn from(kind: LoadKind) -> LoadMode {
        LoadMode { kind, burst: false, abort: false }
    }
}

/// A modifier of a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Modifier {
    Burst,
    Abort,
}

impl Modifier {
    const NAMES: [(&'static str, Modifier); 2] =
        [("burst", Modifier::Burst), ("abort", Modifier::Abort)];

    /// Returns why the modifier does not fit this kind of load. None: it fits.
    fn misfit(self, kind: LoadKind) -> Option<&'static str> {
        match (self, kind) {
            (Modifier::Burst, LoadKind::Idle) => Some("idle connections send nothing"),
            (Modifier::Burst, LoadKind::Stream) => Some("a stream sends without a pause"),
            (Modifier::Abort, LoadKind::Idle | LoadKind::Echo | LoadKind::Stream) => {
                Some("only churn closes a connection after its exchange")
            }
            (Modifier::Burst, LoadKind::Echo | LoadKind::Churn)
            | (Modifier::Abort, LoadKind::Churn) => None,
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

/// What a load is called elsewhere, and what it is here.
const OTHER_NAMES: [(&str, &str); 3] =
    [("storm", "churn+burst"), ("pulse", "echo+burst"), ("reset", "churn+abort")];

/// Reads a comma-separated list such as `idle=10k,churn+burst,echo`.
pub(super) fn read_loads(input: Spanned<'_>) -> Result<Vec<LoadPlan>, SpanError> {
    let read = |load: Spanned<'_>| {
        let (mode, conns) = load.split('=');
        let mode = read_mode(mode).map_err(|span_error| {
            span_error.or_accepts("idle, echo[+burst], churn[+burst][+abort], stream")
        })?;
        Ok(LoadPlan { mode, conns: conns.map(unit::read_limit).transpose()? })
    };
    input.parts(',').map(read).collect()
}

/// Reads the kind of a load, and modifiers after it.
fn read_mode(input: Spanned<'_>) -> Result<LoadMode, SpanError> {
    let (word, modifiers) = input.split('+');
    if let Some((_, here)) = OTHER_NAMES.iter().find(|(elsewhere, _)| *elsewhere == word.text) {
        return Err(word.wrong(format!("unknown value; did you mean {here}?")));
    }
    let kind = parse::choice(word, &LoadKind::NAMES)?;
    let mut mode = LoadMode::from(kind);
    for word in modifiers.into_iter().flat_map(|modifiers| modifiers.parts('+')) {
        let modifier = parse::choice(word, &Modifier::NAMES)?;
        if let Some(reason) = modifier.misfit(kind) {
            let wrong = format!("{} does not apply to {}: {reason}", word.text, kind.name());
            return Err(word.wrong(wrong));
        }
        match modifier {
            Modifier::Burst => mode.burst = true,
            Modifier::Abort => mode.abort = true,
        }
    }
    Ok(mode)
}

pub(super) fn show_loads(loads: &[LoadPlan]) -> String {
    let shown = loads.iter().map(|LoadPlan { mode, conns }| {
        let burst = if mode.burst { "+burst" } else { "" };
        let abort = if mode.abort { "+abort" } else { "" };
        let conns = conns.map_or(String::new(), |conns| format!("={conns}"));
        format!("{}{burst}{abort}{conns}", mode.kind.name())
    });
    shown.collect::<Vec<_>>().join(",")
}
