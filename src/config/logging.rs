//! The plan of the log. `RUST_LOG`, if set, overrides it.

use std::io::IsTerminal;

/// What the log shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPlan {
    /// 0: start, stop and totals; 1: lifecycle of each connection; 2: each step of each turn.
    pub verbosity: u8,
    /// Warnings and errors only. Never set together with a verbosity.
    pub quiet: bool,
    pub explain: Explain,
    /// Log one line when a connection ends, in this format.
    pub access: Option<AccessFormat>,
    pub color: Color,
}

/// Which lines include their reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    #[default]
    Off,
    /// The first line of each kind.
    First,
    /// Every line.
    Always,
}

impl Explain {
    /// The empty name is `--explain` without a value.
    pub const NAMES: [(&'static str, Explain); 2] =
        [("", Explain::First), ("always", Explain::Always)];
}

/// Format of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    Logfmt,
    Json,
    /// HAProxy's tcplog format.
    Haproxy,
}

/// When to color output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into a pipe or a file, regardless of `NO_COLOR`.
    Always,
    Never,
}

impl Color {
    pub const NAMES: [(&'static str, Color); 3] =
        [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];

    /// Whether to color what is written to `out`.
    pub fn suits(self, out: &impl IsTerminal) -> bool {
        match self {
            Color::Always => return true,
            Color::Never => return false,
            Color::Auto => {}
        }
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        out.is_terminal() && !is_set("NO_COLOR") && !is_dumb
    }
}

impl LogPlan {
    /// Returns the level as a `RUST_LOG` filter.
    pub fn level(&self) -> &'static str {
        match (self.quiet, self.verbosity) {
            (true, _) => "warn",
            (false, 0) => "info",
            (false, 1) => "debug",
            (false, _) => "trace",
        }
    }
}

impl AccessFormat {
    pub const NAMES: [(&'static str, AccessFormat); 3] = [
        ("logfmt", AccessFormat::Logfmt),
        ("json", AccessFormat::Json),
        ("haproxy", AccessFormat::Haproxy),
    ];
}
