//! The progress line on a terminal: a bar and the current figures.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::Color;

use super::group::LoadGroups;
use super::histogram::Histogram;
use super::outcome::{GIBIBYTE, WorkUnit};
use super::phases::Phase;
use super::report::format::{bytes, count, digits, duration};
use super::results::Results;

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    pub phase: String,
    /// Completed part of the phase, from 0 to 1.
    pub share: f64,
    pub open: u64,
    pub wanted: u64,
    /// Answers, exchanges and bytes per second, in the last complete step.
    pub answered: f64,
    pub exchanged: f64,
    pub bytes: f64,
    pub errors: u64,
    pub p50: Duration,
    pub p99: Duration,
}

/// Shows snapshots, if standard error is a terminal.
pub struct Progress {
    bar: Option<ProgressBar>,
    next: Duration,
}

/// Interval between two updates.
const UPDATE_INTERVAL: Duration = Duration::from_millis(200);
/// Length of the bar in steps.
const BAR_STEPS: u64 = 1000;
const COLORED: &str = "  {prefix:<9.bold} {bar:32.cyan/blue.dim} {elapsed:>4}  {msg}";
const PLAIN: &str = "  {prefix:<9} {bar:32} {elapsed:>4}  {msg}";

impl Progress {
    /// Creates the line; it stays invisible unless standard error is a terminal.
    pub fn new(color: Color) -> Progress {
        let template = if color.suits(&io::stderr()) { COLORED } else { PLAIN };
        let bar = io::stderr().is_terminal().then(|| {
            let target = ProgressDrawTarget::stderr_with_hz(10);
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━━╌");
            ProgressBar::with_draw_target(Some(BAR_STEPS), target).with_style(style)
        });
        Progress { bar, next: Duration::ZERO }
    }

    /// Updates the line, a few times per second.
    pub fn show(&mut self, now: Duration, snapshot: impl FnOnce() -> Snapshot) {
        let Some(bar) = self.bar.as_ref().filter(|_| now >= self.next) else { return };
        self.next = now + UPDATE_INTERVAL;
        let snapshot = snapshot();
        bar.set_prefix(snapshot.phase.clone());
        bar.set_position((snapshot.share.clamp(0.0, 1.0) * BAR_STEPS as f64) as u64);
        bar.set_message(snapshot.figures());
    }

    /// Removes the line from the terminal.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Snapshot {
    /// Takes a snapshot of a run.
    pub fn of(phase: Phase, groups: &LoadGroups, results: &Results, now: Duration) -> Snapshot {
        let (last, step) = results.last_step();
        let step = step.as_secs_f64();
        let mut latency = Histogram::new();
        let counted = groups.iter().filter(|group| WorkUnit::of(group.kind()) != WorkUnit::None);
        counted.for_each(|group| latency.merge(&group.stats().latency));
        let errors = groups.iter().map(|group| {
            let stats = group.stats();
            stats.failed() + stats.deaths.count() + stats.integrity_errors.count
        });
        let (open, wanted) = (groups.open(), groups.persistent_planned());
        let share = match phase.span() {
            Some((since, until)) => {
                now.saturating_sub(since).as_secs_f64()
                    / until.saturating_sub(since).as_secs_f64().max(1e-9)
            }
            None if wanted > 0 => open as f64 / wanted as f64,
            None => 0.0,
        };
        Snapshot {
            phase: phase.name().to_string(),
            share,
            open,
            wanted,
            answered: last.answered as f64 / step,
            exchanged: last.exchanged as f64 / step,
            bytes: last.bytes as f64 / step,
            errors: errors.sum(),
            p50: latency.at(0.5),
            p99: latency.at(0.99),
        }
    }

    /// `9,000 of 10,000 open · 45.2 k/s · p50 85.1 µs p99 394 µs · 3 errors`.
    fn figures(&self) -> String {
        let mut parts = vec![match self.wanted {
            wanted if wanted == self.open || wanted == 0 => format!("{} open", self.open),
            wanted => format!("{} of {wanted} open", self.open),
        }];
        if self.answered > 0.0 {
            parts.push(format!("{} messages/s", count(self.answered)));
        }
        if self.exchanged > 0.0 {
            parts.push(format!("{} connections/s", count(self.exchanged)));
        }
        if self.answered == 0.0 && self.bytes > 0.0 {
            parts.push(match self.bytes / GIBIBYTE {
                gib if gib >= 0.1 => format!("{} GiB/s", digits(gib)),
                _ => format!("{}/s", bytes(self.bytes)),
            });
        }
        if self.p50 > Duration::ZERO {
            parts.push(format!("p50 {} p99 {}", duration(self.p50), duration(self.p99)));
        }
        if self.errors > 0 {
            let s = if self.errors == 1 { "" } else { "s" };
            parts.push(format!("{} error{s}", count(self.errors as f64)));
        }
        parts.join(" · ")
    }

    /// Adds the progress of another process.
    pub fn add(&mut self, other: &Snapshot) {
        self.open += other.open;
        self.wanted += other.wanted;
        self.answered += other.answered;
        self.exchanged += other.exchanged;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.p50 = self.p50.max(other.p50);
        self.p99 = self.p99.max(other.p99);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_figures_that_exist_are_shown() {
        let idle = Snapshot { open: 5, wanted: 9, ..Snapshot::default() };
        assert_eq!(idle.figures(), "5 of 9 open");
        let busy = Snapshot {
            open: 9,
            wanted: 9,
            answered: 45_210.0,
            bytes: 1e6,
            errors: 1,
            p50: Duration::from_micros(85),
            p99: Duration::from_micros(394),
            ..Snapshot::default()
        };
        assert_eq!(busy.figures(), "9 open · 45.2 k messages/s · p50 85.0 µs p99 394 µs · 1 error");
        let bulk = Snapshot { open: 1, wanted: 1, bytes: 2.0 * GIBIBYTE, ..Snapshot::default() };
        assert_eq!(bulk.figures(), "1 open · 2.00 GiB/s");
    }

    #[test]
    fn snapshots_of_processes_are_added() {
        let mut sum = Snapshot { open: 1, p99: Duration::from_secs(1), ..Snapshot::default() };
        sum.add(&Snapshot { open: 2, errors: 3, ..Snapshot::default() });
        assert_eq!((sum.open, sum.errors, sum.p99), (3, 3, Duration::from_secs(1)));
    }
}
