//! The flight recorder over HTTP: starts and stops it, and sends what it has recorded in parts.

use std::sync::Arc;

use crate::config::RecordPlan;
use crate::observe::{Recorder, Watch};
use crate::recording::Segment;
use crate::runtime::reactor::Reactor;

use super::http::problem::{Problem, Status};
use super::http::request::HttpRequest;
use super::resources::{RecordRequest, RecordResource};

/// Bytes per part of a download.
const PART_BYTES: usize = 64 * 1024;

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

/// Starts a recording in memory, or changes the limit of the present one.
pub fn start(
    request: &HttpRequest,
    reactor: &Reactor,
    watch: &mut Watch,
) -> Result<RecordResource, Problem> {
    let expected = "the body must be {\"limit\":\"16M\"}";
    let body: Result<RecordRequest, _> = serde_json::from_slice(&request.body);
    let Ok(RecordRequest { limit }) = body else { return Err(Problem::bad_request(expected)) };
    let plan = RecordPlan::in_memory(&limit);
    let plan = plan.map_err(|error| Problem::bad_request(error.wrong_and_accepted()))?;
    let RecordPlan::Memory { limit } = plan else { return Err(Problem::bad_request(expected)) };
    match &mut watch.recorder {
        None => {
            let recorder = Recorder::start(&plan, reactor.woke());
            let recorder = recorder.map_err(|error| Problem::bad_request(error.to_string()))?;
            watch.recorder = Some(recorder);
        }
        Some(recorder) => {
            if !recorder.set_limit(limit) {
                let detail = "the recording is written to files; DELETE /record ends it";
                return Err(Problem::new(Status::Conflict, detail));
            }
        }
    }
    Ok(state(watch))
}

/// Ends the recording, if there is one.
pub fn stop(watch: &mut Watch) -> RecordResource {
    if let Some(recorder) = watch.recorder.take() {
        recorder.stop();
    }
    state(watch)
}

/// Returns what was recorded so far, to be sent.
pub fn download(watch: &mut Watch) -> Result<Download, Problem> {
    let Some(recorder) = &mut watch.recorder else {
        let detail = "nothing is recorded; POST /record {\"limit\":\"16M\"} starts a recording";
        return Err(Problem::new(Status::NotFound, detail));
    };
    let Some(segments) = recorder.segments() else {
        let detail = "the recording is not in memory, but in files";
        return Err(Problem::new(Status::NotFound, detail));
    };
    Ok(Download { segments, at: 0, sent: 0 })
}

fn state(watch: &Watch) -> RecordResource {
    let record = watch.recorder.as_ref().map(|recorder| recorder.plan().to_string());
    RecordResource { record }
}
