//! Turns events into the log, the access log and the totals. Only this module and `main` log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log::LevelFilter;

use crate::config::LogPlan;
use crate::core::{Event, Key, Moment, Observer, Wants};
use crate::text::escape;
use crate::text::lossy_writer::LossyWriter;
use crate::text::nonblocking_out::standard_error;

pub(crate) mod access;
pub(crate) mod access_line;
pub(crate) mod bulk;
pub mod event_log;
pub mod event_stream;
pub(crate) mod explain;
pub(crate) mod filter;
pub(crate) mod format;
pub mod line;
pub mod line_sink;
pub(crate) mod rate;
pub mod recorder;
pub(crate) mod totals;

pub use access::AccessObserver;
pub use event_log::{LogObserver, replayed_log};
use event_stream::EventStream;
pub use filter::InvalidDirective;
use filter::{Filter, FilteredLog};
pub use recorder::Recorder;
pub use totals::Totals;

/// The observers of a run, as one observer.
pub struct Watch {
    pub totals: Totals,
    pub log: LogObserver,
    pub access: Option<AccessObserver>,
    /// What viewers of the admin endpoint read.
    pub events: EventStream,
    /// The flight recorder, while it is on.
    pub recorder: Option<Recorder>,
    logger: Arc<FilteredLog>,
    lost: Arc<AtomicU64>,
}

/// Starts the log on standard error. RUST_LOG, if set, overrides the level of `plan`.
pub fn start(plan: &LogPlan) -> Watch {
    let stderr = LossyWriter::new(standard_error(), format::lost_lines);
    let lost = stderr.lost();
    let color = plan.color.suits(&std::io::stderr());
    let out = env_logger::Builder::new()
        .format(move |out, record| format::write_record(out, record, color))
        .target(env_logger::Target::Pipe(Box::new(stderr)))
        .filter_level(LevelFilter::Trace)
        .build();
    let spec = std::env::var("RUST_LOG").unwrap_or_default();
    let (filter, invalid) = Filter::of_env(&spec, plan.level());
    let logger = Arc::new(FilteredLog::new(filter, out));
    // It fails if a logger is already set; that one stays.
    if log::set_boxed_logger(Box::new(Arc::clone(&logger))).is_ok() {
        log::set_max_level(logger.max_level());
    }
    for part in invalid {
        let part = escape::plain(part);
        log::warn!(target: event_log::LIFECYCLE, "RUST_LOG: invalid directive ignored: {part}");
    }
    Watch {
        totals: Totals::default(),
        log: LogObserver::new(plan.explain),
        access: plan.access.map(AccessObserver::new),
        events: EventStream::default(),
        recorder: None,
        logger,
        lost,
    }
}

impl Watch {
    /// Changes which lines are shown, as RUST_LOG does at start. From the next turn on, steps are
    /// reported if the new filter shows them. An invalid filter changes nothing.
    pub fn set_filter(&mut self, text: &str) -> Result<(), InvalidDirective> {
        self.logger.set(Filter::parse(text)?);
        log::set_max_level(self.logger.max_level());
        self.log.filter_changed();
        Ok(())
    }

    /// Changes the level of the log and its explanations, where two plans differ. What an operator
    /// has changed meanwhile stays, and so does what RUST_LOG says.
    pub fn change_log(&mut self, old: &LogPlan, new: &LogPlan) {
        if old.explain != new.explain {
            self.log.set_explain(new.explain);
        }
        let is_given = std::env::var_os("RUST_LOG").is_some_and(|filter| !filter.is_empty());
        if old.level() != new.level() && !is_given {
            // The names of levels are filters.
            let _ = self.set_filter(new.level());
        }
    }

    /// Returns the filter that decides which lines are shown.
    pub fn filter(&self) -> String {
        self.logger.text()
    }

    /// Returns the totals up to now.
    pub fn totals(&self) -> Totals {
        Totals { lost_lines: self.lost.load(Ordering::Relaxed), ..self.totals.clone() }
    }

    /// Logs the totals, at stop. Counts of suppressed warnings are logged first.
    pub fn log_totals(&mut self) {
        self.log.flush_suppressed();
        log::info!(target: event_log::LIFECYCLE, "totals: {}", self.totals());
    }

    /// Logs the totals for a dump, including `up` and `down` of open connections.
    fn dump_totals(&mut self, up: u64, down: u64) {
        self.log.flush_suppressed();
        let totals = self.totals();
        let totals = Totals { up: totals.up + up, down: totals.down + down, ..totals };
        log::info!(target: event_log::DUMP, "totals: {totals}");
    }
}

impl Observer for Watch {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.totals.on(key, event);
        self.log.on(key, event);
        self.events.on(key, event, &self.log);
        if let Some(access) = &mut self.access {
            access.on(key, event);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.on(key, event);
        }
        if let Event::InProgress { up, down, .. } = *event {
            self.dump_totals(up, down);
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        if self.events.is_on() {
            self.events.begin_turn(now);
        }
        let wants = self.log.begin_turn(now);
        match &mut self.recorder {
            Some(recorder) => wants.or(recorder.begin_turn(now)),
            None => wants,
        }
    }
}
