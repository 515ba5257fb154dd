//! Steps back in time: which time is shown, and the recording of the daemon that covers it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::past::{PastConnections, PastLines, PastRow};
use crate::core::Moment;
use crate::recording::{ReplayReport, replay_files};

/// Maximum bytes of a recording: four times the usual ring. top holds one at most, and replays it
/// for each step.
pub const RECORDING_BYTES: u64 = 64 << 20;

/// A step forward that leads nearer to the end of the recording returns to now.
const NEAR_END: Duration = Duration::from_secs(1);

/// An earlier time that is shown.
#[derive(Clone, Debug, Default)]
pub struct TimeTravel {
    /// Steps that were asked for and are not taken yet, in seconds. Negative: back.
    steps: i64,
    /// None before the first step is taken.
    at: Option<Moment>,
    recording: Option<Vec<u8>>,
    opened: Option<u32>,
    /// None: the recording was not replayed, or the time or the opened row has changed since.
    shown: Option<PastView>,
}

/// What the recording shows of one time.
#[derive(Clone, Debug)]
pub struct PastView {
    pub at: Moment,
    pub rows: Vec<PastRow>,
    /// The last lines of the opened row.
    pub lines: Vec<String>,
    pub report: ReplayReport,
    /// When the loop was created.
    pub start: SystemTime,
}

/// Where steps have led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// At an earlier time.
    Past,
    /// At the first event of the recording, which was nearer than the steps.
    Beginning,
    /// At the present.
    Now,
    /// Nowhere: the bytes are no recording, or one of another process.
    Foreign,
}

impl TimeTravel {
    /// Asks for a step. They are taken together, since each replays the recording.
    pub fn step(&mut self, seconds: i64) {
        self.steps = self.steps.saturating_add(seconds);
    }

    /// Receives the recording.
    pub fn load(&mut self, recording: Vec<u8>) {
        self.recording = Some(recording);
        self.shown = None;
    }

    pub fn needs_recording(&self) -> bool {
        self.recording.is_none()
    }

    pub fn opened(&self) -> Option<u32> {
        self.opened
    }

    /// Opens a row, or closes it.
    pub fn open(&mut self, id: Option<u32>) {
        self.opened = id;
        self.shown = None;
    }

    /// Returns what is known of the time. None until the recording is there.
    pub fn shown(&self) -> Option<&PastView> {
        self.shown.as_ref()
    }

    /// Returns how long ago the time is.
    pub fn ago(&self, present: Moment) -> Duration {
        self.at.map_or(Duration::ZERO, |at| present.since(at))
    }

    /// Takes the steps, and replays the recording if it is there and another time or row is shown.
    pub fn prepare(&mut self, present: Moment, pid: u32) -> Arrival {
        let at = self.at.unwrap_or(present).0;
        let steps = std::mem::take(&mut self.steps);
        let at = Moment(at.saturating_add_signed(steps.saturating_mul(1_000_000)));
        let end = self.shown.as_ref().map_or(present, |shown| shown.report.to);
        if at >= present || steps > 0 && at.after(NEAR_END) > end {
            return Arrival::Now;
        }
        if self.at.replace(at) != Some(at) {
            self.shown = None;
        }
        let Some(recording) = self.recording.as_ref().filter(|_| self.shown.is_none()) else {
            return Arrival::Past;
        };
        let view = PastView::new(recording, at, self.opened);
        if view.report.head.as_ref().is_none_or(|head| head.pid != pid) {
            return Arrival::Foreign;
        }
        let from = view.report.from;
        if from <= at {
            self.shown = Some(view);
            return Arrival::Past;
        }
        self.at = Some(from);
        self.shown = Some(PastView::new(recording, from, self.opened));
        Arrival::Beginning
    }
}

impl PastView {
    /// Replays a recording.
    fn new(recording: &[u8], at: Moment, opened: Option<u32>) -> PastView {
        let mut connections = PastConnections::new(at, opened);
        let report = replay_files(&[recording], &mut connections);
        let micros = report.head.as_ref().map_or(0, |head| head.wall_micros_of(Moment(0)));
        let start = UNIX_EPOCH + Duration::from_micros(micros);
        let (rows, events) = connections.finish();
        let lines = opened.map_or_else(Vec::new, |id| {
            let mut lines = PastLines::new(id, at, events, start);
            replay_files(&[recording], &mut lines);
            lines.finish()
        });
        PastView { at, rows, lines, report, start }
    }
}

#[cfg(test)]
#[path = "travel_tests.rs"]
pub mod tests;
