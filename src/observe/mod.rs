//! Turns events into the log, the access log, the totals, recordings, event streams and packets.
//! Only this module and `main` log.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use log::LevelFilter;

use crate::config::LogPlan;
use crate::core::{Event, Key, Moment, Observer, Wants};
use crate::recording::KnownConnection;
use crate::text::escape;
use crate::text::lossy_writer::LossyWriter;
use crate::text::nonblocking_out::standard_error;

pub(crate) mod access;
pub(crate) mod access_line;
pub(crate) mod bulk;
pub(crate) mod ending;
pub mod event_log;
pub mod event_stream;
pub(crate) mod explain;
pub(crate) mod filter;
pub(crate) mod format;
pub mod line;
pub mod line_sink;
pub mod pcapng;
pub(crate) mod peer_filter;
pub(crate) mod rate;
pub mod recorder;
pub mod taps;
pub(crate) mod totals;
pub mod watches;

pub use access::AccessObserver;
pub use ending::FarEnd;
pub use event_log::{LogObserver, replayed_log};
use event_stream::EventStream;
pub use filter::InvalidDirective;
use filter::{Filter, FilteredLog};
pub use peer_filter::PeerFilter;
pub use recorder::Recorder;
use taps::{TapId, Taps};
pub use totals::Totals;
use watches::{WatchList, WatchRule};

/// The observers of a run, as one observer.
pub struct Watch {
    pub totals: Totals,
    pub log: LogObserver,
    pub access: Option<AccessObserver>,
    /// What viewers of the admin endpoint read.
    pub events: EventStream,
    /// The flight recorder, while it is on.
    pub recorder: Option<Recorder>,
    watches: WatchList,
    /// Connections that viewers of the admin endpoint read as packets.
    pub taps: Taps,
    /// While something is watched: the log shows the steps of all connections.
    logs_steps: bool,
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
        watches: WatchList::default(),
        taps: Taps::default(),
        logs_steps: false,
        logger,
        lost,
    }
}

impl Watch {
    /// Changes which lines are shown, as RUST_LOG does at start. From the next turn on, steps are
    /// reported if the new filter shows them. An invalid filter changes nothing.
    pub fn set_filter(&mut self, text: &str) -> Result<(), InvalidDirective> {
        self.logger.set(Filter::parse(text)?);
        self.update_max_level();
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

    /// Lets the lines of watched connections reach the logger, which decides about all others.
    fn update_max_level(&self) {
        log::set_max_level(match self.watches.is_on() {
            true => LevelFilter::Trace,
            false => self.logger.max_level(),
        });
    }

    /// What is watched.
    pub fn watches(&self) -> &WatchList {
        &self.watches
    }

    /// Starts a watch, which a recording receives, too. Returns false if there are too many.
    pub fn start_watch(&mut self, rule: WatchRule) -> io::Result<bool> {
        if !self.watches.start(rule) {
            return Ok(false);
        }
        self.update_max_level();
        self.logs_steps = self.log.wants().steps;
        let now = self.log.now();
        if self.recorder.is_none() {
            self.recorder = Some(Recorder::of_watched(now)?);
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.set_watching(true, now);
            if self.watches.has_bytes() {
                recorder.note_bytes();
            }
        }
        Ok(true)
    }

    /// Watches a connection that was opened before.
    pub fn watch_open(&mut self, key: Key, known: &KnownConnection<'_>, rule: &WatchRule) {
        if self.watches.add_open(key, rule)
            && let Some(recorder) = &mut self.recorder
        {
            recorder.add_connection(key, known);
        }
    }

    /// Opens a tap of an open connection. `start`: when the loop was created. None: there are too
    /// many.
    pub fn open_tap(
        &mut self,
        key: Key,
        known: &KnownConnection<'_>,
        start: SystemTime,
    ) -> Option<TapId> {
        self.logs_steps = self.log.wants().steps;
        self.taps.open(key, known, start, self.log.now())
    }

    /// Ends all watches. The recording that one has started stays readable for a while.
    pub fn stop_watches(&mut self) {
        let ended = self.watches.stop();
        self.watches_ended(&ended);
    }

    fn watches_ended(&mut self, ended: &[Key]) {
        let (is_on, now) = (self.watches.is_on(), self.log.now());
        if let Some(recorder) = &mut self.recorder {
            recorder.forget(ended);
            recorder.set_watching(is_on, now);
        }
        if !is_on {
            self.update_max_level();
            self.log.filter_changed();
        }
    }

    /// Passes on an event while something is watched.
    #[cold]
    fn on_while_watching(&mut self, key: Key, event: &Event<'_>) {
        self.taps.on(key, event);
        let had_watches = self.watches.is_on();
        if self.watches.takes(key, event) {
            self.pass_turn();
            self.on_watched(key, event);
        } else {
            self.on_unwatched(key, event);
        }
        if had_watches && !self.watches.is_on() {
            // It was closed, and was the last.
            self.watches_ended(&[]);
        }
    }

    fn on_watched(&mut self, key: Key, event: &Event<'_>) {
        match self.logs_steps {
            true => self.log.on(key, event),
            false => self.log.on_watched(key, event),
        }
        self.record_watched(key, event);
    }

    fn record_watched(&mut self, key: Key, event: &Event<'_>) {
        if let Some(recorder) = self.recorder.as_mut().filter(|recorder| recorder.is_of_watched()) {
            recorder.on(key, event);
        }
    }

    /// Whether steps are reported for a few connections only.
    #[inline]
    fn is_watching(&self) -> bool {
        self.watches.is_on() || self.taps.is_on()
    }

    /// Starts a turn while something is watched.
    #[cold]
    fn begin_watched_turn(&mut self, now: Moment) -> Wants {
        if self.watches.is_on()
            && let Some(ended) = self.watches.begin_turn(now)
        {
            self.watches_ended(&ended);
        }
        self.logs_steps = self.log.wants().steps;
        let has_taps = self.taps.is_on();
        if has_taps {
            self.taps.begin_turn(now);
        }
        match self.watches.is_on() || has_taps {
            true => recorder::WANTS,
            false => Wants::default(),
        }
    }

    /// Passes on payload, which nothing but recordings receives.
    #[cold]
    fn on_payload(&mut self, key: Key, event: &Event<'_>) {
        self.taps.on(key, event);
        let is_watched = self.watches.takes_bytes(key);
        let Some(recorder) = &mut self.recorder else { return };
        if !is_watched && !recorder.takes_bytes() {
            return;
        }
        // A recording that is newer than the watch does not know that it is one with payload.
        recorder.note_bytes();
        if recorder.is_of_watched() {
            self.pass_turn();
            self.record_watched(key, event);
        } else {
            recorder.on(key, event);
        }
    }

    /// Passes on how the turn began, before the first event of it that is watched.
    fn pass_turn(&mut self) {
        if let Some(turn) = self.watches.take_turn() {
            if !self.logs_steps {
                self.log.on_watched(Key::LOOP, &turn);
            }
            self.record_watched(Key::LOOP, &turn);
        }
    }

    fn on_unwatched(&mut self, key: Key, event: &Event<'_>) {
        // The steps of connections that are not watched are reported, too.
        if self.logs_steps || !event.is_step() {
            self.log.on(key, event);
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
        if let Event::Payload { .. } = event {
            return self.on_payload(key, event);
        }
        self.totals.on(key, event);
        match self.is_watching() {
            true => self.on_while_watching(key, event),
            false => self.log.on(key, event),
        }
        self.events.on(key, event, &self.log);
        if let Some(access) = &mut self.access {
            access.on(key, event);
        }
        if let Some(recorder) = self.recorder.as_mut().filter(|recorder| !recorder.is_of_watched())
        {
            recorder.on(key, event);
        }
        if let Event::InProgress { up, down, .. } = *event {
            self.dump_totals(up, down);
        }
    }

    fn wants_payload(&self, key: Key) -> bool {
        self.recorder.as_ref().is_some_and(Recorder::takes_bytes)
            || self.watches.takes_bytes(key)
            || self.taps.takes(key)
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        if self.events.is_on() {
            self.events.begin_turn(now);
        }
        let wants = self.log.begin_turn(now);
        match self.recorder.is_some() || self.is_watching() {
            true => wants.or(self.begin_recorded_turn(now)),
            false => wants,
        }
    }
}

impl Watch {
    /// Starts a turn of which something is recorded or watched.
    #[inline(never)]
    fn begin_recorded_turn(&mut self, now: Moment) -> Wants {
        let wants = match self.is_watching() {
            true => self.begin_watched_turn(now),
            false => Wants::default(),
        };
        match &mut self.recorder {
            Some(recorder) if recorder.kept_until().is_some_and(|until| until <= now) => {
                self.recorder = None;
                wants
            }
            Some(recorder) => {
                let wants = wants.or(recorder.begin_turn(now));
                recorder.log_failure(&mut self.log);
                wants
            }
            None => wants,
        }
    }
}
