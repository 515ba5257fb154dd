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
use crate::config::{self, Change, DaemonConfig, Diff, print_config};
use crate::core::{Event, Key, Turn};
use crate::net::bind::ListenNames;
use crate::net::config_file;

use super::reactor::Reactor;

/// The configuration of the loop, and its reloads.
#[derive(Default)]
pub(super) struct Reload {
    /// None: the daemon has none, and cannot reload.
    file: Option<PathBuf>,
    config: DaemonConfig,
    /// The configuration as a file.
    text: Arc<str>,
    loading: Option<Receiver<Result<Loaded, ReloadFailure>>>,
    /// Another reload was asked for while one was running.
    again: bool,
    counts: ReloadCounts,
    /// When the present configuration was applied.
    applied_at: Option<SystemTime>,
    verdict: Option<Result<ReloadSummary, ReloadFailure>>,
}

/// A file that was read and checked.
struct Loaded {
    config: DaemonConfig,
    text: Arc<str>,
    names: ListenNames,
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
    fn ended(&self) -> u64 {
        self.counts.applied + self.counts.failed
    }

    /// Starts to read the file, or has it read again when the present reload has ended. Returns
    /// the number of the reload that reads what the file contains now.
    fn request(&mut self, file: PathBuf, waker: Arc<Waker>) -> u64 {
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
    fn take_loaded(&mut self) -> Option<Result<Loaded, ReloadFailure>> {
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
    fn of(error: impl ToString) -> ReloadFailure {
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

impl Reactor {
    /// Sets what the loop serves and logs, and the file that contains it, if there is one.
    pub fn set_config(&mut self, config: DaemonConfig, file: Option<PathBuf>) {
        self.reload.text = print_config(&config).into();
        self.reload.config = config;
        self.reload.file = file;
        self.reload.applied_at = Some(SystemTime::now());
    }

    /// The configuration that is in force, as a file.
    pub fn config_text(&self) -> Arc<str> {
        self.reload.text.clone()
    }

    /// The configuration that is in force.
    pub fn config(&self) -> &DaemonConfig {
        &self.reload.config
    }

    /// When the configuration was applied.
    pub fn config_applied_at(&self) -> SystemTime {
        self.reload.applied_at.unwrap_or(self.started)
    }

    pub fn reload_counts(&self) -> ReloadCounts {
        self.reload.counts
    }

    /// Number of reloads that have ended.
    pub fn reloads_ended(&self) -> u64 {
        self.reload.ended()
    }

    /// How the last reload ended.
    pub fn reload_verdict(&self) -> Option<&Result<ReloadSummary, ReloadFailure>> {
        self.reload.verdict.as_ref()
    }

    /// Starts a reload. Returns its number, which `reloads_ended` reaches when it has ended. None:
    /// the daemon has no file, or is being stopped.
    pub fn request_reload(&mut self, turn: &mut Turn<'_>) -> Option<u64> {
        let file = self.reload.file.clone().filter(|_| !self.drain.is_started())?;
        if !self.reload.is_loading() {
            turn.on(Key::LOOP, &Event::Reloading { file: &file.display().to_string() });
        }
        Some(self.reload.request(file, self.event_loop.waker()))
    }

    /// Whether the daemon has a configuration file.
    pub fn has_config_file(&self) -> bool {
        self.reload.file.is_some()
    }

    /// Applies what the helper thread has read, if it has.
    #[cold]
    pub(super) fn finish_reload(&mut self, turn: &mut Turn<'_>) {
        let Some(loaded) = self.reload.take_loaded() else { return };
        let result = loaded.and_then(|loaded| self.apply_loaded(loaded, turn));
        match &result {
            Ok(summary) => {
                self.reload.counts.applied += 1;
                let ReloadSummary { added, changed, removed, unchanged, .. } = *summary;
                turn.on(Key::LOOP, &Event::Reloaded { added, changed, removed, unchanged });
            }
            Err(failure) => {
                self.reload.counts.failed += 1;
                for error in &failure.errors {
                    turn.on(Key::LOOP, &Event::ReloadFailed { error });
                }
            }
        }
        self.reload.verdict = Some(result);
        if std::mem::take(&mut self.reload.again) {
            self.request_reload(turn);
        }
    }

    fn apply_loaded(
        &mut self,
        loaded: Loaded,
        turn: &mut Turn<'_>,
    ) -> Result<ReloadSummary, ReloadFailure> {
        let Loaded { config, text, names } = loaded;
        let mut summary = self.apply(&config.plan, &names, turn).map_err(ReloadFailure::of)?;
        let kept = config::needs_restart(&self.reload.config, &config);
        summary.warnings.extend(kept.iter().map(|setting| {
            format!("{setting} differs in the file, but needs a restart; it stays as it is")
        }));
        (self.reload.config, self.reload.text) = match kept.is_empty() {
            true => (config, text),
            false => {
                let config = config::in_force(&self.reload.config, config);
                let text = print_config(&config).into();
                (config, text)
            }
        };
        self.reload.applied_at = Some(SystemTime::now());
        Ok(summary)
    }
}
