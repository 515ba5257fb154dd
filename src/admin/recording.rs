//! The flight recorder over HTTP: starts and stops it, and sends what it has recorded in parts.

use std::sync::Arc;

use crate::config::RecordPlan;
use crate::observe::{Recorder, Watch};
use crate::recording::Segment;
use crate::runtime::inspect::Inspect;
use crate::runtime::reactor::Reactor;
use crate::runtime::sweep::SweepCursor;

use super::http::problem::{Problem, Status};
use super::http::query::YES_OR_NO;
use super::http::request::HttpRequest;
use super::known::with_known;
use super::resources::{NOT_RECORDED, RecordRequest, RecordResource};

/// Bytes per part of a download.
const PART_BYTES: usize = 64 * 1024;

/// Maximum connections added per part. Each asks the system for its addresses: together about
/// 100 us. A sleep of the loop between two parts takes a millisecond at least, so smaller parts
/// would make the start of a recording longer.
const ADDED_PER_PART: usize = 64;

/// Maximum slots visited per part.
const SLOTS_PER_PART: usize = 16 * 1024;

/// A download. It shares the segments with the recording, which goes on meanwhile.
pub struct Download {
    segments: Vec<Arc<Segment>>,
    /// The segment that is being sent, and how much of it was sent.
    at: usize,
    sent: usize,
}

impl Download {
    /// Appends the next part. Returns whether it is complete.
    pub fn part(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(segment) = self.segments.get(self.at) else { return true };
        let rest = &segment.bytes[self.sent..];
        let length = rest.len().min(PART_BYTES);
        out.extend_from_slice(&rest[..length]);
        self.sent += length;
        if length == rest.len() {
            (self.at, self.sent) = (self.at + 1, 0);
        }
        self.at == self.segments.len()
    }
}

/// The start of a recording: the connections that are open are added to it in parts. Then it
/// begins, and the client has its answer.
#[derive(Default)]
pub struct StartJob {
    cursor: SweepCursor,
}

impl StartJob {
    /// Adds the next connections. Returns the answer when the recording has begun, or was ended
    /// meanwhile.
    pub fn part(&mut self, reactor: &Reactor, watch: &mut Watch) -> Option<RecordResource> {
        // A client that asked for the same may have been faster.
        if let Some(recorder) = watch.recorder.as_mut().filter(|recorder| recorder.is_starting()) {
            if self.add(recorder, reactor.inspect()) {
                return None;
            }
            recorder.begin(reactor.woke());
        }
        Some(state(watch))
    }

    /// Returns whether more connections are to be added.
    fn add(&mut self, recorder: &mut Recorder, inspect: Inspect<'_>) -> bool {
        let mut left = ADDED_PER_PART;
        for _ in 0..SLOTS_PER_PART {
            let Some(slot) = inspect.visit(&mut self.cursor) else { return false };
            let Some(view) = slot else { continue };
            with_known(&view, |known| recorder.add_connection(view.key, known));
            left -= 1;
            if left == 0 {
                break;
            }
        }
        true
    }
}

/// Drops a recording that has not begun: the client that asked for it has left.
pub fn abandon(watch: &mut Watch) {
    if watch.recorder.as_ref().is_some_and(Recorder::is_starting) {
        watch.recorder = None;
    }
}

/// Prepares a recording in memory, or changes the limit of the present one.
pub fn start(
    request: &HttpRequest,
    reactor: &Reactor,
    watch: &mut Watch,
) -> Result<StartJob, Problem> {
    let mut query = request.query.reader();
    let bytes = query.choice("bytes", &YES_OR_NO)?;
    query.finish()?;
    let expected = "the body must be {\"limit\":\"16M\"}";
    let body: Result<RecordRequest, _> = serde_json::from_slice(&request.body);
    let Ok(RecordRequest { limit }) = body else { return Err(Problem::bad_request(expected)) };
    let plan = RecordPlan::in_memory(&limit);
    let plan = plan.map_err(|error| Problem::bad_request(error.wrong_and_accepted()))?;
    let RecordPlan::Memory { limit } = plan else { return Err(Problem::bad_request(expected)) };
    // One of watched connections does not know the others.
    match watch.recorder.as_mut().filter(|recorder| !recorder.is_of_watched()) {
        None => {
            let recorder = Recorder::prepare(&plan, reactor.woke());
            let mut recorder = recorder.map_err(|error| Problem::bad_request(error.to_string()))?;
            let inspect = reactor.inspect();
            recorder.reserve(inspect.connections() + inspect.flows());
            for (key, address, route) in inspect.sources() {
                let service = inspect.routes()[route].config.service.kind();
                recorder.add_listener(key, service, address);
            }
            watch.recorder = Some(recorder);
        }
        Some(recorder) => {
            if !recorder.set_limit(limit) {
                let detail = "the recording is written to files; DELETE /record ends it";
                return Err(Problem::new(Status::Conflict, detail));
            }
        }
    }
    if let (Some(bytes), Some(recorder)) = (bytes, &mut watch.recorder) {
        recorder.set_bytes(bytes);
    }
    Ok(StartJob::default())
}

/// Ends all watches and the recording: a watch records, too. Nothing is kept.
pub fn stop(watch: &mut Watch) -> RecordResource {
    watch.stop_watches();
    end(watch);
    state(watch)
}

/// Ends the recording, if there is one.
pub fn end(watch: &mut Watch) {
    if let Some(recorder) = watch.recorder.take() {
        recorder.stop();
    }
}

/// Returns what was recorded so far, to be sent.
pub fn download(watch: &mut Watch) -> Result<Download, Problem> {
    let recorder = watch.recorder.as_mut().filter(|recorder| !recorder.is_starting());
    let Some(recorder) = recorder else {
        let detail =
            format!("{NOT_RECORDED}; POST /record {{\"limit\":\"16M\"}} starts a recording");
        return Err(Problem::new(Status::NotFound, detail));
    };
    let Some(segments) = recorder.segments() else {
        let detail = "the recording is not in memory, but in files";
        return Err(Problem::new(Status::NotFound, detail));
    };
    Ok(Download { segments, at: 0, sent: 0 })
}

/// Says what is recorded.
pub fn state(watch: &Watch) -> RecordResource {
    let recorder = watch.recorder.as_ref();
    RecordResource {
        record: recorder.map(|recorder| recorder.plan().to_string()),
        bytes: recorder.is_some_and(Recorder::has_bytes),
        of: recorder
            .map(|recorder| if recorder.is_of_watched() { "watched" } else { "all" }.to_owned()),
        watches: watch.watches().rules().len(),
    }
}
