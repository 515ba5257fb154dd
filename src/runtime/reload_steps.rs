//! The steps of a reload in the turns of the loop: start it, apply what was read, and report how it
//! ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{self, DaemonConfig, print_config};
use crate::core::{Event, Key, Turn};

use super::reactor::Reactor;
use super::reload::{Loaded, ReloadCounts, ReloadFailure, ReloadSummary};

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
        let file = self.reload.file.clone()?;
        if self.drain.is_started() {
            self.reload.counts.failed += 1;
            let error = "the daemon is draining";
            turn.on(Key::LOOP, &Event::ReloadFailed { error });
            return None;
        }
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
