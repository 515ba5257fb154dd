//! The progress line on a terminal: a bar and the current figures.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::Color;

use super::load_stats::GIBIBYTE;
use super::protocol::Snapshot;
use super::report::format::{bytes, count, digits, duration};

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
        bar.set_message(figures(&snapshot));
    }

    /// Removes the line from the terminal.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// `9,000 of 10,000 open · 45.2 k/s · p50 85.1 µs p99 394 µs · 3 errors`.
fn figures(snapshot: &Snapshot) -> String {
    let mut parts = vec![match snapshot.wanted {
        wanted if wanted == snapshot.open || wanted == 0 => format!("{} open", snapshot.open),
        wanted => format!("{} of {wanted} open", snapshot.open),
    }];
    if snapshot.answered > 0.0 {
        parts.push(format!("{} messages/s", count(snapshot.answered)));
    }
    if snapshot.exchanged > 0.0 {
        parts.push(format!("{} connections/s", count(snapshot.exchanged)));
    }
    if snapshot.answered == 0.0 && snapshot.bytes > 0.0 {
        parts.push(match snapshot.bytes / GIBIBYTE {
            gib if gib >= 0.1 => format!("{} GiB/s", digits(gib)),
            _ => format!("{}/s", bytes(snapshot.bytes)),
        });
    }
    if snapshot.p50 > Duration::ZERO {
        parts.push(format!("p50 {} p99 {}", duration(snapshot.p50), duration(snapshot.p99)));
    }
    if snapshot.errors > 0 {
        let s = if snapshot.errors == 1 { "" } else { "s" };
        parts.push(format!("{} error{s}", count(snapshot.errors as f64)));
    }
    parts.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_figures_that_exist_are_shown() {
        let idle = Snapshot { open: 5, wanted: 9, ..Snapshot::default() };
        assert_eq!(figures(&idle), "5 of 9 open");
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
        assert_eq!(figures(&busy), "9 open · 45.2 k messages/s · p50 85.0 µs p99 394 µs · 1 error");
        let bulk = Snapshot { open: 1, wanted: 1, bytes: 2.0 * GIBIBYTE, ..Snapshot::default() };
        assert_eq!(figures(&bulk), "1 open · 2.00 GiB/s");
    }
}
