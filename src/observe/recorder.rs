//! The flight recorder: encodes events into a recording in memory or on disk: all, or those of the
//! connections that are watched.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::config::RecordPlan;
use crate::core::{Event, Key, Moment, Observer, ServiceKind, Wants};
use crate::recording::{Encoder, KnownConnection, Segment, SegmentFiles, SegmentRing};
use crate::text::count::Count;
use crate::text::escape::plain;

use super::event_log::{LIFECYCLE, LogObserver};

/// Age at which a segment is written to disk although it is not complete, so that a crash costs
/// little.
const WRITE_AFTER: Duration = Duration::from_secs(5);

/// What a recording receives beside the other events: everything.
pub(super) const WANTS: Wants = Wants { steps: true, stalls: true };

/// How long the recording of a watch stays readable after the watch.
const KEEP: Duration = Duration::from_secs(600);

/// Memory for the recording of a watch, in bytes, if nothing else is recorded.
pub const WATCH_BYTES: usize = 16 << 20;

/// A recording that is going on.
pub struct Recorder {
    plan: RecordPlan,
    /// None: it receives every event. Otherwise those of the connections that are watched.
    watched: Option<WatchedOnly>,
    /// It receives the payload of every connection.
    takes_bytes: bool,
    /// It contains payload, or did.
    has_bytes: bool,
    encoder: Encoder,
    output: Output,
    /// When the first event of the present segment was recorded, or before.
    begun: Moment,
    /// For the next segment: that of one that is of no more use.
    buffer: Vec<u8>,
    /// The time of the turn, while the connections that are open are added. Nothing is recorded
    /// before all are known.
    starting: Option<Moment>,
    /// An error of the disk that was not logged yet.
    failure: Option<io::Error>,
}

/// A recording that exists because something is watched.
#[derive(Default)]
struct WatchedOnly {
    /// A turn has begun, and no event of it was recorded.
    turn: Option<Moment>,
    /// Nothing is watched any more, and the recording ends at this time.
    until: Option<Moment>,
}

/// Where the segments go.
enum Output {
    Memory(SegmentRing),
    Files(SegmentFiles, String),
}

impl Recorder {
    /// Begins a recording.
    pub fn start(plan: &RecordPlan, now: Moment) -> io::Result<Recorder> {
        let output = match plan {
            RecordPlan::Memory { limit } => Output::Memory(SegmentRing::new(*limit)),
            RecordPlan::Files { path, limit } => {
                let files = SegmentFiles::start(Path::new(path), *limit)?;
                Output::Files(files, path.display().to_string())
            }
        };
        let (plan, encoder) = (plan.clone(), Encoder::new(now));
        Ok(Recorder {
            plan,
            watched: None,
            takes_bytes: false,
            has_bytes: false,
            encoder,
            output,
            begun: now,
            buffer: Vec::new(),
            starting: None,
            failure: None,
        })
    }

    /// Prepares a recording while connections are open: they are added first.
    pub fn prepare(plan: &RecordPlan, now: Moment) -> io::Result<Recorder> {
        let mut recorder = Recorder::start(plan, now)?;
        recorder.starting = Some(now);
        Ok(recorder)
    }

    /// Whether connections are still to be added: nothing is recorded yet.
    pub fn is_starting(&self) -> bool {
        self.starting.is_some()
    }

    /// Makes room for this many connections.
    pub fn reserve(&mut self, connections: usize) {
        self.encoder.reserve(connections);
    }

    /// Adds a connection that was opened before the recording.
    pub fn add_connection(&mut self, key: Key, known: &KnownConnection<'_>) {
        self.encoder.add_connection(key, known);
    }

    /// Adds a listener that was bound before the recording.
    pub fn add_listener(&mut self, key: Key, service: ServiceKind, address: &str) {
        self.encoder.add_listener(key, service, address);
    }

    /// Begins a recording that was prepared.
    pub fn begin(&mut self, now: Moment) {
        if self.starting.take().is_some() {
            self.encoder.restart(now);
            self.begun = now;
        }
    }

    /// Begins a recording in memory that receives the events of watched connections only.
    pub fn of_watched(now: Moment) -> io::Result<Recorder> {
        let mut recorder = Recorder::start(&RecordPlan::Memory { limit: WATCH_BYTES }, now)?;
        recorder.watched = Some(WatchedOnly::default());
        Ok(recorder)
    }

    /// Whether it receives the events of watched connections only.
    #[inline]
    pub fn is_of_watched(&self) -> bool {
        self.watched.is_some()
    }

    /// Sets whether it receives the payload of every connection.
    pub fn set_bytes(&mut self, takes_bytes: bool) {
        self.takes_bytes = takes_bytes;
        self.has_bytes |= takes_bytes;
    }

    /// Notes that it receives the payload of some connections.
    pub fn note_bytes(&mut self) {
        self.has_bytes = true;
    }

    /// Whether it receives the payload of every connection.
    pub fn takes_bytes(&self) -> bool {
        self.takes_bytes && self.watched.is_none()
    }

    /// Whether it contains payload, or did.
    pub fn has_bytes(&self) -> bool {
        self.has_bytes
    }

    /// Sets whether something is watched. Without that, the recording of a watch is kept for a
    /// while.
    pub fn set_watching(&mut self, is_on: bool, now: Moment) {
        if let Some(watched) = &mut self.watched {
            watched.until = (!is_on).then(|| now.after(KEEP));
        }
    }

    /// When the recording ends, if it is kept after a watch.
    pub fn kept_until(&self) -> Option<Moment> {
        self.watched.as_ref().and_then(|watched| watched.until)
    }

    /// Forgets connections that are no longer watched.
    pub fn forget(&mut self, keys: &[Key]) {
        if self.is_of_watched() {
            keys.iter().for_each(|key| self.encoder.forget(*key));
        }
    }

    /// Returns what was planned: where the recording goes, and its limit.
    pub fn plan(&self) -> &RecordPlan {
        &self.plan
    }

    /// Returns the segments of a recording in memory, oldest first, without copying them. None if
    /// it is on disk.
    pub fn segments(&mut self) -> Option<Vec<Arc<Segment>>> {
        if matches!(self.output, Output::Files(..)) {
            return None;
        }
        self.end_segment();
        match &self.output {
            Output::Memory(ring) => Some(ring.segments().cloned().collect()),
            Output::Files(..) => None,
        }
    }

    /// Changes the limit of a recording in memory. Returns false if it is on disk.
    pub fn set_limit(&mut self, limit: usize) -> bool {
        let Output::Memory(ring) = &mut self.output else { return false };
        ring.set_limit(limit);
        self.plan = RecordPlan::Memory { limit };
        true
    }

    /// Ends the recording while the loop goes on: its last segment is handed over like any other,
    /// and nobody waits for the disk.
    pub fn stop(mut self) {
        let last = self.encoder.next_segment(Vec::new());
        if let Output::Files(files, _) = &mut self.output {
            files.push(last);
            files.release();
        }
    }

    fn end_segment(&mut self) {
        let segment = self.encoder.next_segment(std::mem::take(&mut self.buffer));
        self.buffer = match &mut self.output {
            Output::Memory(ring) => ring.push(segment),
            Output::Files(files, _) => files.push(segment),
        };
        self.find_failure();
    }

    fn find_failure(&mut self) {
        if let Output::Files(files, _) = &self.output
            && let Some(error) = files.take_error()
        {
            self.failure = Some(error);
        }
    }

    /// Logs an error of the disk, if there was one.
    #[inline]
    pub fn log_failure(&mut self, log: &mut LogObserver) {
        if let Some(error) = self.failure.take()
            && let Output::Files(files, path) = &self.output
        {
            log.recording_failed(path, &error, files.lost());
        }
    }
}

impl Observer for Recorder {
    #[inline]
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if let Some(now) = self.starting {
            return self.encoder.track(key, event, now);
        }
        if let Some(watched) = &mut self.watched
            && let Some(now) = watched.turn.take()
        {
            self.encoder.begin_turn(now);
        }
        self.encoder.on(key, event);
        if self.encoder.is_full() {
            self.end_segment();
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        if let Some(starting) = &mut self.starting {
            *starting = now;
            return Wants::default();
        }
        if let Some(watched) = &mut self.watched {
            // Most turns have no event of a watched connection, and take no space.
            watched.turn = Some(now);
            return Wants::default();
        }
        let is_old = now.since(self.begun) >= WRITE_AFTER && !self.encoder.is_empty();
        if is_old && matches!(self.output, Output::Files(..)) {
            self.end_segment();
        }
        if self.encoder.is_empty() {
            self.begun = now;
        }
        self.encoder.begin_turn(now);
        WANTS
    }
}

/// Writes the rest to disk, however the run ended.
impl Drop for Recorder {
    fn drop(&mut self) {
        let Output::Files(files, path) = &mut self.output else { return };
        files.finish(self.encoder.next_segment(Vec::new()));
        let (path, lost) = (plain(path), Count(files.lost() as usize, "event"));
        match files.take_error().or(self.failure.take()) {
            Some(error) => {
                log::warn!(target: LIFECYCLE, "recording to {path}: {error}; {lost} lost");
            }
            None if lost.0 > 0 => log::warn!(target: LIFECYCLE, "recording to {path}: {lost} lost"),
            None => {}
        }
    }
}
