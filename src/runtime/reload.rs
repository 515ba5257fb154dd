//! Reloads the configuration file while the loop runs. A helper thread reads and checks the file,
//! and resolves the names of its listeners; the loop applies the result within one turn, or changes
//! nothing.
//!
//! One reload runs at a time. Requests that arrive meanwhile are folded into one more, which begins
//! when the first has ended: the file may have changed after it was read.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::SystemTime;

use mio::Waker;

use crate::config::file::FILE_BYTES_MAX;
use crate::config::{Change, DaemonConfig, Diff, print_config};
use crate::net::bind::ListenNames;
use crate::net::config_file;

/// The configuration of the loop, and its reloads.
#[derive(Default)]
pub(super) struct Reload {
    /// None: the daemon has none, and cannot reload.
    pub file: Option<PathBuf>,
    pub config: DaemonConfig,
    /// The configuration as a file.
    pub text: Arc<str>,
    loading: Option<Receiver<Result<Loaded, ReloadFailure>>>,
    /// Another reload was asked for while one was running.
    pub again: bool,
    pub counts: ReloadCounts,
    /// When the present configuration was applied.
    pub applied_at: Option<SystemTime>,
    pub verdict: Option<Result<ReloadSummary, ReloadFailure>>,
}

/// A file that was read and checked.
pub(super) struct Loaded {
    pub config: DaemonConfig,
    pub text: Arc<str>,
    pub names: ListenNames,
}

/// How the reloads up to now ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReloadCounts {
    pub applied: u64,
    pub failed: u64,
}

/// What a reload has changed. A route with several addresses counts once for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReloadSummary {
    pub added: usize,
    pub changed: usize,
    pub removed: usize,
    pub unchanged: usize,
    /// What the operator should know, one sentence each.
    pub warnings: Vec<String>,
}

/// Why a reload has changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReloadFailure {
    /// All errors, one line each.
    pub errors: Vec<String>,
    /// The same with the lines of the file, for a terminal.
    pub report: String,
}

impl ReloadSummary {
    /// Counts what differs.
    pub(super) fn of(diff: &Diff) -> ReloadSummary {
        let mut summary = ReloadSummary { removed: diff.removed.len(), ..ReloadSummary::default() };
        for change in &diff.routes {
            match change {
                Change::Added => summary.added += 1,
                Change::Unchanged(_) => summary.unchanged += 1,
                Change::Changed(_) | Change::Replaced(_) | Change::Rebound(_) => {
                    summary.changed += 1;
                }
            }
        }
        summary
    }
}

impl Reload {
    /// Whether the helper thread may have an answer.
    pub fn is_loading(&self) -> bool {
        self.loading.is_some()
    }

    /// Number of reloads that have ended.
    pub fn ended(&self) -> u64 {
        self.counts.applied + self.counts.failed
    }

    /// Starts to read the file, or has it read again when the present reload has ended. Returns
    /// the number of the reload that reads what the file contains now.
    pub fn request(&mut self, file: PathBuf, waker: Arc<Waker>) -> u64 {
        if self.loading.is_some() {
            self.again = true;
            return self.ended() + 2;
        }
        let (answer, loading) = sync_channel(1);
        let read = move || {
            // The loop may be gone by now.
            let _ = answer.send(load(&file));
            let _ = waker.wake();
        };
        // Without a thread the sender is dropped, and the loop finds no answer.
        let _ = thread::Builder::new().name("reload".into()).spawn(read);
        self.loading = Some(loading);
        self.ended() + 1
    }

    /// Takes the answer of the helper thread. None: there is none yet.
    pub fn take_loaded(&mut self) -> Option<Result<Loaded, ReloadFailure>> {
        let loaded = match self.loading.as_ref()?.try_recv() {
            Ok(loaded) => loaded,
            Err(TryRecvError::Empty) => return None,
            Err(TryRecvError::Disconnected) => {
                Err(ReloadFailure::of("the thread that reads the file could not run"))
            }
        };
        self.loading = None;
        Some(loaded)
    }
}

impl ReloadFailure {
    pub(super) fn of(error: impl ToString) -> ReloadFailure {
        let report = error.to_string();
        ReloadFailure { errors: vec![report.clone()], report }
    }
}

/// Reads and checks the file, and resolves the names of its listeners. It blocks.
fn load(file: &Path) -> Result<Loaded, ReloadFailure> {
    let text = config_file::read(file, FILE_BYTES_MAX).map_err(ReloadFailure::of)?;
    let config = DaemonConfig::parse(&file.display().to_string(), text).map_err(|errors| {
        ReloadFailure { errors: errors.lines().collect(), report: errors.to_string() }
    })?;
    let names = ListenNames::resolve(config.plan.routes.iter().map(|route| &route.listen));
    let text = print_config(&config).into();
    Ok(Loaded { config, text, names })
}
