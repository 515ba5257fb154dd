//! What is logged, and in which form. `RUST_LOG`, where it is set, wins over what is said here.

use std::io::IsTerminal;

/// What the log shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPlan {
    /// 0: start, stop and totals; 1: the life of each connection; 2: each step of each turn.
    pub verbosity: u8,
    /// Warnings and errors only. Never set together with a verbosity.
    pub quiet: bool,
    pub explain: Explain,
    /// One line for each connection at its end, in this format.
    pub access: Option<AccessFormat>,
    pub color: Color,
}

/// Which lines say why they are so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Explain {
    #[default]
    Off,
    /// The first line of a kind.
    First,
    /// Each line.
    Always,
}

impl Explain {
    /// The empty word is `--explain` without a value.
    pub const WORDS: [(&'static str, Explain); 2] =
        [("", Explain::First), ("always", Explain::Always)];
}

/// How an access line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessFormat {
    Logfmt,
    Json,
    /// As HAProxy writes its tcplog.
    Haproxy,
}

/// Whether what is written is coloured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into a pipe or a file, and whatever `NO_COLOR` says.
    Always,
    Never,
}

impl Color {
    pub const WORDS: [(&'static str, Color); 3] =
        [("auto", Color::Auto), ("always", Color::Always), ("never", Color::Never)];

    /// Colour is for people: on a terminal that knows it, unless they said otherwise.
    pub fn suits(self, out: &impl IsTerminal) -> bool {
        match self {
            Color::Always => return true,
            Color::Never => return false,
            Color::Auto => {}
        }
        let says = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        out.is_terminal() && !says("NO_COLOR") && !is_dumb
    }
}

impl LogPlan {
    /// The level that is shown, as `RUST_LOG` names it.
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
    pub const WORDS: [(&'static str, AccessFormat); 3] = [
        ("logfmt", AccessFormat::Logfmt),
        ("json", AccessFormat::Json),
        ("haproxy", AccessFormat::Haproxy),
    ];
}
