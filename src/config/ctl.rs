//! The plan of ctl: one request to the admin endpoint of a running daemon.

use std::path::PathBuf;
use std::time::Duration;

use super::{Address, Color};

/// A command, the daemon that receives it, and the form of the output.
#[derive(Clone, Debug, PartialEq)]
pub struct CtlPlan {
    pub command: CtlCommand,
    /// The address of the admin endpoint. None: from the environment, or the usual socket.
    pub admin: Option<Address>,
    pub token_file: Option<PathBuf>,
    /// Print the JSON of the daemon.
    pub json: bool,
    pub color: Color,
}

/// What to request.
#[derive(Clone, Debug, PartialEq)]
pub enum CtlCommand {
    Connections(ConnectionFilter),
    Connection(u32),
    Close(u32),
    Routes,
    Listeners,
    Loop,
    Timers,
    Limits,
    Reasons,
    /// Read the log level, or set it.
    Level(Option<String>),
    /// Pause a listener, or all.
    Pause(Option<Address>),
    Resume(Option<Address>),
    Drain,
    Reload,
    Record(RecordCommand),
    Watch(WatchCommand),
    Ready,
    Version,
    Config,
    Events(EventFilter),
    /// The path and query of any resource.
    Get(String),
}

/// What to do with the recording in memory.
#[derive(Clone, Debug, PartialEq)]
pub enum RecordCommand {
    /// Copy it to the output.
    Copy,
    /// Start it with this limit, or change its limit.
    Start {
        limit: String,
        /// With payload.
        bytes: bool,
    },
    Stop,
}

/// What to do with watches.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchCommand {
    Show,
    Start(WatchSubject, WatchSettings),
    /// End all. `all`: their recording, too.
    Stop {
        all: bool,
    },
}

/// Which connections to watch.
#[derive(Clone, Debug, PartialEq)]
pub enum WatchSubject {
    Connection(u32),
    Peer(String),
    Route(String),
}

/// The options of watches.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WatchSettings {
    /// How long. None: as long as the daemon chooses.
    pub time: Option<Duration>,
    pub all: bool,
    /// Record payload, too. It applies to `record` as well.
    pub bytes: bool,
}

/// Which connections to list, and in which order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionFilter {
    pub route: Option<String>,
    pub peer: Option<String>,
    pub state: Option<String>,
    /// Minimum idle time.
    pub idle_longer: Option<Duration>,
    pub sort: Option<String>,
    /// Maximum number of rows; 0: all. None: depends on the form of the output.
    pub limit: Option<u64>,
}

/// Which events to print.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventFilter {
    pub event: Option<String>,
    pub level: Option<String>,
    pub connection: Option<u32>,
}

/// The options of ctl, of all its commands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CtlSettings {
    pub admin: Option<Address>,
    pub token_file: Option<PathBuf>,
    pub json: bool,
    pub connections: ConnectionFilter,
    pub events: EventFilter,
    pub watch: WatchSettings,
}

impl ConnectionFilter {
    /// Default maximum of rows of a table: about what a person reads.
    pub const TABLE_ROWS: u64 = 50;
}
