//! One client of the admin endpoint: what it is being sent, and until when it may take how long.

use std::time::Duration;

use crate::core::Moment;
use crate::runtime::admin_port::AdminClient;
use crate::runtime::clock::unix_seconds;

use super::body::{Answer, Body};
use super::find::FindJob;
use super::http::method::Method;
use super::http::problem::{Problem, Status};
use super::http::request::HttpRequest;
use super::http::response::{Framing, Persistence, Response, write};
use super::recording::StartJob;
use super::viewer::{STREAM_START, Viewer};
use super::watching::WatchJob;
use crate::observe::Watch;
use crate::observe::taps::TapId;

/// Time for a request to arrive completely, from the accept or from its first byte.
pub const REQUEST_TIME: Duration = Duration::from_secs(5);

/// Time that a client may keep its connection open without a request.
const KEEP_ALIVE_TIME: Duration = Duration::from_secs(60);

/// Time in which a client must accept some of its answer.
const STALL_TIME: Duration = Duration::from_secs(10);

/// Time between two signs of life on a stream of events without events.
pub const HEARTBEAT_TIME: Duration = Duration::from_secs(15);

/// A client.
pub struct Client {
    pub facts: AdminClient,
    /// Bytes to send, of which those before `sent` were accepted.
    pub out: Vec<u8>,
    pub sent: usize,
    pub work: Work,
    /// The request that is being answered.
    pub request: RequestFacts,
    /// When what it does now began: waiting for a request, or for room in its socket.
    pub since: Moment,
    /// It has sent a part of a request.
    pub has_begun: bool,
    /// It has had an answer: it may wait for a while before the next request.
    pub has_answer: bool,
    pub queued: bool,
    /// Its output was waiting for room in the socket when it was last sent.
    pub was_blocked: bool,
}

/// What of a request is needed until it is answered.
#[derive(Clone, Debug)]
pub struct RequestFacts {
    pub method: &'static str,
    pub path: String,
    /// It was meant to change something.
    pub changes: bool,
    head_only: bool,
    keep_alive: bool,
}

/// What produces the bytes of a client.
pub enum Work {
    /// The next request.
    Request,
    /// A body that is produced in parts.
    Body(Body, Framing),
    /// A connection is looked up; the answer follows.
    Find(FindJob),
    /// The reload with this number; its result follows.
    Reload(u64),
    /// A recording is started; the answer follows.
    Start(StartJob),
    /// A watch is started; the answer follows.
    Watch(Box<WatchJob>),
    /// The packets of a connection.
    Tap(TapId, Framing),
    /// The stream of events.
    Events(Viewer, Framing),
    /// Nothing more follows.
    Closing,
}

/// What happens when the time of a client is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUp {
    /// It gets the answer "408 Request Timeout".
    Answer,
    /// Its idle connection is closed.
    Close,
    /// It does not read: its connection is reset.
    Reset,
    /// It gets a sign of life.
    Heartbeat,
}

impl Default for RequestFacts {
    /// A request that cannot be understood.
    fn default() -> RequestFacts {
        RequestFacts {
            method: "invalid",
            path: "request".to_owned(),
            changes: false,
            head_only: false,
            keep_alive: false,
        }
    }
}

impl Client {
    pub fn new(facts: AdminClient, now: Moment) -> Client {
        Client {
            facts,
            out: Vec::new(),
            sent: 0,
            work: Work::Request,
            request: RequestFacts::default(),
            since: now,
            has_begun: false,
            has_answer: false,
            queued: false,
            was_blocked: false,
        }
    }

    /// Whether bytes wait for room in the socket.
    pub fn is_blocked(&self) -> bool {
        self.sent < self.out.len()
    }

    /// Whether it waits for nothing: its connection may be closed to make room.
    pub fn is_idle(&self) -> bool {
        matches!(self.work, Work::Request) && !self.is_blocked() && !self.has_begun
    }

    /// Whether it goes on only while there is time for parts.
    pub fn needs_time(&self) -> bool {
        let is_in_parts =
            matches!(self.work, Work::Body(..) | Work::Find(_) | Work::Start(_) | Work::Watch(_));
        is_in_parts || self.is_stream()
    }

    pub fn is_stream(&self) -> bool {
        matches!(self.work, Work::Events(..) | Work::Tap(..))
    }

    /// When its time is up, and what happens then.
    pub fn deadline(&self) -> Option<(Moment, TimeUp)> {
        let (time, what) = match &self.work {
            _ if self.is_blocked() => (STALL_TIME, TimeUp::Reset),
            Work::Request if self.has_begun => (REQUEST_TIME, TimeUp::Answer),
            Work::Request if self.has_answer => (KEEP_ALIVE_TIME, TimeUp::Close),
            Work::Request => (REQUEST_TIME, TimeUp::Answer),
            Work::Events(..) | Work::Tap(..) => (HEARTBEAT_TIME, TimeUp::Heartbeat),
            Work::Closing => (STALL_TIME, TimeUp::Reset),
            Work::Body(..) | Work::Find(_) | Work::Reload(_) | Work::Start(_) | Work::Watch(_) => {
                return None;
            }
        };
        Some((self.since.after(time), what))
    }

    /// Starts to answer a request.
    pub fn begin(&mut self, request: &HttpRequest) {
        self.request = RequestFacts {
            method: request.method.name(),
            path: request.path.clone(),
            changes: !request.method.is_safe(),
            head_only: request.method == Method::Head,
            keep_alive: request.keep_alive,
        };
    }

    /// Starts to answer what is no request. The connection is closed after it.
    pub fn begin_invalid(&mut self) {
        self.request = RequestFacts::default();
    }

    /// Puts an answer into the output. Returns its status, unless it is not known yet.
    pub fn put(&mut self, answer: Answer, watch: &mut Watch) -> Option<Status> {
        let RequestFacts { head_only, keep_alive, .. } = self.request;
        let persistence = if keep_alive { Persistence::KeepAlive } else { Persistence::Close };
        let now = unix_seconds();
        let (work, status) = match answer {
            Answer::Find(find) => return self.wait_for(Work::Find(find)),
            Answer::Reload(number) => return self.wait_for(Work::Reload(number)),
            Answer::Start(start) => return self.wait_for(Work::Start(start)),
            Answer::Watch(job) => return self.wait_for(Work::Watch(job)),
            Answer::Response(response) => {
                write(&response, &mut self.out, head_only, persistence, now);
                (Work::Request, response.status)
            }
            Answer::Body(body, head) => {
                let persistence = head.persistence(keep_alive);
                head.write(&mut self.out, persistence, now);
                self.request.keep_alive = persistence == Persistence::KeepAlive;
                let work = if head_only { Work::Request } else { Work::Body(body, head.framing) };
                (work, Status::Ok)
            }
            Answer::Tap(id, head) => {
                head.write(&mut self.out, Persistence::Close, now);
                self.request.keep_alive = false;
                if head_only {
                    watch.taps.close(id);
                }
                let work = if head_only { Work::Request } else { Work::Tap(id, head.framing) };
                (work, Status::Ok)
            }
            Answer::Events(filter, last_id, head) => {
                head.write(&mut self.out, Persistence::Close, now);
                self.request.keep_alive = false;
                let work = match head_only {
                    true => Work::Request,
                    false => {
                        watch.events.join();
                        let viewer = Viewer::new(filter, last_id.as_deref(), &watch.events);
                        head.framing.chunk(&mut self.out, STREAM_START.as_bytes());
                        Work::Events(viewer, head.framing)
                    }
                };
                (work, Status::Ok)
            }
        };
        self.work = work;
        if matches!(self.work, Work::Request) {
            self.finish();
        }
        Some(status)
    }

    /// The answer follows from this work, and so does its status.
    fn wait_for(&mut self, work: Work) -> Option<Status> {
        self.work = work;
        None
    }

    /// Appends a part of a body, and its end.
    pub fn put_part(&mut self, part: &[u8], is_complete: bool) {
        let (Work::Body(_, framing) | Work::Events(_, framing) | Work::Tap(_, framing)) =
            &self.work
        else {
            return;
        };
        let framing = *framing;
        framing.chunk(&mut self.out, part);
        if is_complete {
            framing.last_chunk(&mut self.out);
            self.request.keep_alive &= framing == Framing::Chunked;
            self.finish();
        }
    }

    /// Ends an answer: the next request follows, or nothing.
    fn finish(&mut self) {
        self.work = if self.request.keep_alive { Work::Request } else { Work::Closing };
        (self.has_begun, self.has_answer) = (false, true);
    }

    /// Puts a problem into the output that no request has caused, and closes the connection.
    pub fn refuse(&mut self, problem: Problem) {
        let response = Response::from(problem);
        write(&response, &mut self.out, false, Persistence::Close, unix_seconds());
        self.work = Work::Closing;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::scrape::Scrape;
    use crate::admin::viewer::EventSelection;
    use crate::core::{Key, Peer};
    use crate::observe::event_stream::EventStream;
    use crate::runtime::admin_port::AdminRole;

    fn client() -> Client {
        let facts = AdminClient {
            key: Key::new(1, 0).at(1),
            role: AdminRole::Admin,
            peer: Peer::Unix(None),
            port: None,
            is_loopback: true,
            is_trusted: true,
        };
        Client::new(facts, Moment(0))
    }

    #[test]
    fn the_truth_table_of_what_a_client_may_take_how_long_for() {
        let within = |change: fn(&mut Client)| {
            let mut client = client();
            change(&mut client);
            client.deadline().map(|(at, what)| (at.since(Moment(0)), what))
        };
        let viewer = |client: &mut Client| {
            let viewer = Viewer::new(EventSelection::default(), None, &EventStream::default());
            client.work = Work::Events(viewer, Framing::Chunked);
        };
        let body = |client: &mut Client| {
            client.work = Work::Body(Body::Metrics(Scrape::default()), Framing::Chunked);
        };
        assert_eq!(within(|_| {}), Some((REQUEST_TIME, TimeUp::Answer)), "no request yet");
        assert_eq!(
            within(|client| client.has_answer = true),
            Some((KEEP_ALIVE_TIME, TimeUp::Close))
        );
        let begun = |client: &mut Client| (client.has_answer, client.has_begun) = (true, true);
        assert_eq!(within(begun), Some((REQUEST_TIME, TimeUp::Answer)));
        assert_eq!(within(viewer), Some((HEARTBEAT_TIME, TimeUp::Heartbeat)));
        assert_eq!(within(body), None, "it is our turn");
        let blocked = |client: &mut Client| client.out = b"rest".to_vec();
        assert_eq!(within(blocked), Some((STALL_TIME, TimeUp::Reset)));
        let closing = |client: &mut Client| client.work = Work::Closing;
        assert_eq!(within(closing), Some((STALL_TIME, TimeUp::Reset)));
    }

    #[test]
    fn only_a_client_that_waits_for_nothing_is_idle() {
        let mut client = client();
        assert!(client.is_idle());
        client.has_begun = true;
        assert!(!client.is_idle());
        (client.has_begun, client.out) = (false, b"rest".to_vec());
        assert!(!client.is_idle());
    }
}
