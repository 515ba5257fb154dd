//! What a request is answered with: a whole answer, or what produces it in parts.

use std::sync::Arc;

use serde::Serialize;

use super::find::FindJob;
use super::http::problem::{Problem, Status};
use super::http::response::{Response, StreamHead, content_type};
use super::list::ListJob;
use super::metrics::MetricsCx;
use super::recording::{Download, StartJob};
use super::scrape::Scrape;
use super::viewer::EventSelection;
use super::watching::WatchJob;
use crate::observe::taps::TapId;
use crate::text::json;

/// An answer, or what produces it.
pub enum Answer {
    Response(Response),
    Body(Body, StreamHead),
    Find(FindJob),
    /// The result of the reload with this number, when it has ended.
    Reload(u64),
    Start(StartJob),
    /// A watch is started; the answer follows.
    Watch(Box<WatchJob>),
    /// The packets of a connection, of a tap that was opened.
    Tap(TapId, StreamHead),
    Events(EventSelection, Option<String>, StreamHead),
}

/// Bytes per part of a long text.
const TEXT_PART_BYTES: usize = 16 * 1024;

/// A body that is produced in parts.
pub enum Body {
    List(Box<ListJob>),
    Metrics(Scrape),
    Recording(Download),
    /// A long text, and how much of it was sent.
    Text(Arc<str>, usize),
}

impl From<Response> for Answer {
    fn from(response: Response) -> Answer {
        Answer::Response(response)
    }
}

impl Body {
    /// Returns the next part, and whether it is the last one.
    pub fn part(&mut self, cx: &MetricsCx<'_>) -> (Vec<u8>, bool) {
        let mut text = String::new();
        let is_complete = match self {
            Body::List(list) => list.part(cx.reactor.inspect(), &mut text),
            Body::Metrics(scrape) => scrape.part(cx, &mut text),
            Body::Text(whole, sent) => {
                let rest = &whole.as_bytes()[*sent..];
                let part = &rest[..rest.len().min(TEXT_PART_BYTES)];
                *sent += part.len();
                return (part.to_vec(), *sent == whole.len());
            }
            Body::Recording(download) => {
                let mut bytes = Vec::new();
                let is_complete = download.part(&mut bytes);
                return (bytes, is_complete);
            }
        };
        (text.into_bytes(), is_complete)
    }
}

/// Seconds after which a refused client may come back.
pub const RETRY_SECONDS: u32 = 5;

/// The answer to a client that asks for one more stream than there may be.
pub fn too_many_streams() -> Problem {
    Problem::unavailable("too many streams of events", RETRY_SECONDS)
}

/// Returns the answer that shows a resource.
pub fn resource(value: &impl Serialize) -> Result<Answer, Problem> {
    let body = json::line(value) + "\n";
    Ok(Response::new(Status::Ok, content_type::JSON, body).into())
}
