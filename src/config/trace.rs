//! The plan of trace: which recording to convert, and into what.

use std::path::PathBuf;

use super::Explain;

/// One conversion of a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePlan {
    /// A file, the common name of numbered files, or the address of an admin endpoint.
    pub source: String,
    pub what: TraceKind,
    /// None: standard output.
    pub output: Option<PathBuf>,
    /// The filter of `log`: a level, or directives as in RUST_LOG.
    pub level: String,
    /// Which lines of `log` include their reason.
    pub explain: Explain,
    pub token_file: Option<PathBuf>,
}

/// What a recording is converted into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceKind {
    /// The lines that the log would have had.
    #[default]
    Log,
    /// The life of the connection with this number.
    Explain(u32),
    Flags,
    Jsonl,
    Pcapng,
    Perfetto,
}

impl TracePlan {
    /// The default filter of `log`: everything that was recorded.
    pub const LEVEL: &str = "trace";
}

impl Default for TracePlan {
    fn default() -> TracePlan {
        TracePlan {
            source: String::new(),
            what: TraceKind::default(),
            output: None,
            level: TracePlan::LEVEL.to_owned(),
            explain: Explain::Off,
            token_file: None,
        }
    }
}
