//! The plans of the commands that work with configuration files: serve, check and plan.

use std::path::{Path, PathBuf};

use super::{Color, LogPlan};

/// The levels of the log in a file, as `quiet` and the verbosity of `LogPlan`.
pub(super) const LOG_LEVELS: [(&str, (bool, u8)); 4] =
    [("warn", (true, 0)), ("info", (false, 0)), ("debug", (false, 1)), ("trace", (false, 2))];

/// Where `serve` finds its file, unless told otherwise.
const DEFAULT_FILE: &str = "/etc/oneloop/oneloop.toml";

/// What the options for configuration files set.
#[derive(Clone, Debug, PartialEq)]
pub struct ServeSettings {
    pub file: PathBuf,
    /// Print the configuration instead of applying it.
    pub print: bool,
}

/// A daemon whose plan is in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct ServePlan {
    pub file: PathBuf,
    /// What the command line says of the log. It overrides the file.
    pub log: LogPlan,
    pub print: bool,
}

/// A comparison of a file with a running daemon, or with another file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparePlan {
    pub file: PathBuf,
    /// A file, or the address of an admin endpoint. None: the daemon of this machine.
    pub against: Option<String>,
    pub token_file: Option<PathBuf>,
    pub color: Color,
}

impl Default for ServeSettings {
    fn default() -> ServeSettings {
        ServeSettings { file: Path::new(DEFAULT_FILE).into(), print: false }
    }
}

impl ServePlan {
    /// Returns the log of the file, with what the command line says about it.
    pub fn log(&self, file: &LogPlan) -> LogPlan {
        let mut log = file.clone();
        let own = LogPlan::default();
        if (self.log.quiet, self.log.verbosity) != (own.quiet, own.verbosity) {
            (log.quiet, log.verbosity) = (self.log.quiet, self.log.verbosity);
        }
        if self.log.explain != own.explain {
            log.explain = self.log.explain;
        }
        if self.log.color != own.color {
            log.color = self.log.color;
        }
        log
    }
}
