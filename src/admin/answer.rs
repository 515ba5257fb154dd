//! Answers requests: finds the resource, checks who asks for it, and builds the answer or the job
//! that produces it.

use crate::core::{EventLevel, Key, Turn};
use crate::observe::taps::TAPS;
use crate::observe::{PeerFilter, Recorder, Watch, format};
use crate::runtime::admin_port::{AdminClient, AdminRole};
use crate::runtime::reactor::Reactor;
use crate::text::json;

use super::body::{Answer, Body, resource, too_many_streams};
use super::commands;
use super::detail::connection_resource;
use super::endpoint::AdminResource;
use super::find::{FindJob, Then};
use super::http::access::{AccessRules, Via};
use super::http::method::Method;
use super::http::problem::{Problem, Status};
use super::http::request::HttpRequest;
use super::http::response::{Response, StreamHead, content_type};
use super::known::with_known;
use super::list::{ListJob, RowFilter, SORTED_ROWS, SortKey, read_token};
use super::recording;
use super::resources::{ClosedResource, LogLevelResource};
use super::scrape::Scrape;
use super::settings::ServerSettings;
use super::viewer::{EventSelection, STREAMS};
use super::views;
use super::watching::{self, WatchJob};
use crate::core::State;
use crate::runtime::inspect::FLOW_STATE;

/// What answering needs.
pub struct AnswerCx<'a> {
    pub settings: &'a ServerSettings,
    /// Number of viewers of events.
    pub streams: usize,
    pub client: &'a AdminClient,
    pub reactor: &'a mut Reactor,
    pub watch: &'a mut Watch,
}

impl AnswerCx<'_> {
    /// Answers a request.
    pub fn answer(self, request: &HttpRequest) -> Result<Answer, Problem> {
        let endpoint = self.find(request)?;
        let writes = !request.method.is_safe();
        let streams = matches!(endpoint, AdminResource::Events | AdminResource::Tap(_));
        let (via, role) = (self.via(), self.client.role);
        let is_private = self.is_private(endpoint);
        self.rules().check(request, via, role, writes || is_private, streams)?;
        if request.method == Method::Options {
            let allow = Method::list(endpoint.methods());
            return Ok(Response::no_content().with_header("Allow", allow).into());
        }
        if !endpoint.has_parameters() {
            request.query.reader().finish()?;
        }
        self.answer_for(endpoint, request, writes)
    }

    fn answer_for(
        mut self,
        endpoint: AdminResource,
        request: &HttpRequest,
        writes: bool,
    ) -> Result<Answer, Problem> {
        match endpoint {
            AdminResource::Connections => self.list(request),
            AdminResource::Events => self.events(request),
            AdminResource::Metrics => Ok(Answer::Body(
                Body::Metrics(Scrape::default()),
                StreamHead::new(content_type::METRICS, request.version),
            )),
            AdminResource::Connection(id) => {
                let then = if writes { Then::Close } else { Then::Show };
                Ok(Answer::Find(FindJob::new(id, then)))
            }
            AdminResource::Tap(id) => {
                let head = StreamHead::new(content_type::PCAPNG, request.version);
                Ok(Answer::Find(FindJob::new(id, Then::Tap(head))))
            }
            AdminResource::LogLevel if writes => self.set_level(request),
            AdminResource::Pause | AdminResource::Resume => {
                let paused = endpoint == AdminResource::Pause;
                resource(&commands::set_paused(self.reactor, self.watch, request, paused)?)
            }
            AdminResource::Drain => resource(&commands::drain(self.reactor, self.watch)),
            AdminResource::Record => self.record(request),
            AdminResource::Reload => commands::reload(self.reactor, self.watch).map(Answer::Reload),
            AdminResource::Watch => self.watch(request),
            AdminResource::Readyz if self.reactor.inspect().is_draining() => {
                let body = json::line(&views::health(true)) + "\n";
                Ok(Response::new(Status::ServiceUnavailable, content_type::JSON, body)
                    .with_header("Retry-After", 1)
                    .into())
            }
            AdminResource::Livez | AdminResource::Readyz => resource(&views::health(false)),
            AdminResource::Index => resource(&views::index()),
            AdminResource::Version => resource(&views::version(self.reactor)),
            AdminResource::Config => Ok(Answer::Body(
                Body::Text(self.reactor.config_text(), 0),
                StreamHead::new(content_type::TOML, request.version),
            )),
            AdminResource::Routes => resource(&views::routes(self.reactor)),
            AdminResource::Listeners => resource(&views::listeners(self.reactor.inspect())),
            AdminResource::Loop => {
                self.reactor.watch_phases();
                resource(&views::event_loop(self.reactor))
            }
            AdminResource::Timers => resource(&views::timers(self.reactor)),
            AdminResource::Limits => resource(&views::limits(self.streams, self.reactor.inspect())),
            AdminResource::Reasons => resource(&views::reasons(self.reactor)),
            AdminResource::LogLevel => resource(&LogLevelResource { level: self.watch.filter() }),
        }
    }

    /// Answers a request for a connection that was found.
    pub fn found(self, key: Key, then: Then) -> Result<Answer, Problem> {
        match then {
            Then::Show => match self.reactor.inspect().view(key) {
                Some(view) => resource(&connection_resource(&view)),
                None => Err(gone(key)),
            },
            Then::Tap(head) => self.tap(key, head),
            Then::Close => {
                let turn = &mut Turn::new(self.reactor.woke(), self.watch);
                match self.reactor.close_by_operator(key, turn) {
                    true => resource(&ClosedResource { id: key.id, reason: "admin".to_owned() }),
                    false => Err(gone(key)),
                }
            }
        }
    }

    /// Opens a tap of a connection that was found.
    fn tap(self, key: Key, head: StreamHead) -> Result<Answer, Problem> {
        if self.streams >= STREAMS {
            return Err(too_many_streams());
        }
        let started = self.reactor.started();
        let Some(view) = self.reactor.inspect().view(key) else { return Err(gone(key)) };
        let watch = &mut *self.watch;
        let opened = with_known(&view, |known| watch.open_tap(key, known, started));
        match opened {
            None => Err(gone(key)),
            Some(None) => {
                let detail = format!("{TAPS} connections are tapped");
                Err(Problem::new(Status::Conflict, detail))
            }
            Some(Some(id)) => Ok(Answer::Tap(id, head)),
        }
    }

    fn find(&self, request: &HttpRequest) -> Result<AdminResource, Problem> {
        let missing = || Problem::new(Status::NotFound, "no such resource; GET / lists them");
        let endpoint = AdminResource::find(&request.path).ok_or_else(missing)?;
        if self.client.role == AdminRole::Metrics && !endpoint.is_open() {
            let detail = "this listener has /livez, /readyz and /metrics only";
            return Err(Problem::new(Status::NotFound, detail));
        }
        if request.method == Method::Other {
            return Err(Problem::new(Status::NotImplemented, "unknown method"));
        }
        match endpoint.methods().contains(&request.method) {
            true => Ok(endpoint),
            false => Err(Problem::method_not_allowed(endpoint.methods())),
        }
    }

    /// Whether it shows the payload of connections: then reading needs the right to change
    /// something.
    fn is_private(&self, endpoint: AdminResource) -> bool {
        let recorder = self.watch.recorder.as_ref();
        match endpoint {
            AdminResource::Tap(_) => true,
            AdminResource::Record => recorder.is_some_and(Recorder::has_bytes),
            _ => false,
        }
    }

    fn rules(&self) -> AccessRules {
        let settings = self.settings;
        AccessRules {
            hosts: settings.hosts.clone(),
            port: self.client.port,
            token: settings.token.clone(),
        }
    }

    fn via(&self) -> Via {
        match self.client.port {
            Some(_) => Via::Tcp { loopback: self.client.is_loopback },
            None => Via::Unix { trusted: self.client.is_trusted },
        }
    }

    fn list(&self, request: &HttpRequest) -> Result<Answer, Problem> {
        let mut query = request.query.reader();
        let mut states = State::ALL.map(|state| (state.name(), state.name())).to_vec();
        states.push((FLOW_STATE, FLOW_STATE));
        let filter = RowFilter {
            route: query.text("route").map(str::to_owned),
            peer: query.text("peer").map(PeerFilter::parse),
            state: query.choice("state", &states)?.map(str::to_owned),
            idle_longer: query.duration("idle_longer")?,
        };
        let sort = query.choice("sort", &SortKey::NAMES)?;
        let max = if sort.is_some() { SORTED_ROWS as u64 } else { u64::from(u32::MAX) };
        let limit = query.count("limit", max)?.map(|limit| limit as usize);
        let after = match query.opaque("after")? {
            None => None,
            Some(_) if sort.is_some() => {
                let detail = "after cannot be combined with sort: a sorted list has one part";
                return Err(Problem::bad_request(detail));
            }
            Some(token) => Some(read_token(token).ok_or_else(|| {
                Problem::bad_request("after must be the value of next in an earlier answer")
            })?),
        };
        query.finish()?;
        let list = ListJob::new(filter, sort, limit, after.unwrap_or_default());
        let head = StreamHead::new(content_type::JSON, request.version);
        Ok(Answer::Body(Body::List(Box::new(list)), head))
    }

    fn events(&self, request: &HttpRequest) -> Result<Answer, Problem> {
        const LEVELS: [(&str, EventLevel); 3] = [
            ("lifecycle", EventLevel::Lifecycle),
            ("notice", EventLevel::Notice),
            ("warning", EventLevel::Warning),
        ];
        let mut query = request.query.reader();
        let names = query.text("event").unwrap_or_default();
        let names = names.split(',').filter(|name| !name.is_empty());
        let filter = EventSelection {
            names: names.map(str::to_owned).collect(),
            level: query.choice("level", &LEVELS)?,
            connection: query.count("connection", u64::from(u32::MAX))?.map(|id| id as u32),
        };
        query.finish()?;
        let head = StreamHead::new(content_type::EVENTS, request.version);
        // A proxy in between must not collect events.
        let head = head.with_header("X-Accel-Buffering", "no");
        Ok(Answer::Events(filter, request.last_event_id.clone(), head))
    }

    fn record(&mut self, request: &HttpRequest) -> Result<Answer, Problem> {
        match request.method {
            Method::Post => Ok(Answer::Start(recording::start(request, self.reactor, self.watch)?)),
            Method::Delete => {
                request.query.reader().finish()?;
                resource(&recording::stop(self.watch))
            }
            Method::Get
            | Method::Head
            | Method::Options
            | Method::Put
            | Method::Patch
            | Method::Other => {
                request.query.reader().finish()?;
                let download = recording::download(self.watch)?;
                let head = StreamHead::new(content_type::RECORDING, request.version);
                Ok(Answer::Body(Body::Recording(download), head))
            }
        }
    }

    fn watch(&mut self, request: &HttpRequest) -> Result<Answer, Problem> {
        match request.method {
            Method::Post => {
                let job = WatchJob::of(request, self.reactor.inspect())?;
                Ok(Answer::Watch(Box::new(job)))
            }
            Method::Delete => resource(&watching::stop(request, self.reactor, self.watch)?),
            Method::Get
            | Method::Head
            | Method::Options
            | Method::Put
            | Method::Patch
            | Method::Other => {
                request.query.reader().finish()?;
                resource(&watching::state(self.watch, self.reactor.now()))
            }
        }
    }

    fn set_level(&mut self, request: &HttpRequest) -> Result<Answer, Problem> {
        let expected = "the body must be {\"level\":\"…\"}, with a filter as RUST_LOG has it";
        let body: Result<LogLevelResource, _> = serde_json::from_slice(&request.body);
        let Ok(LogLevelResource { level }) = body else {
            return Err(Problem::bad_request(expected));
        };
        // RUST_LOG takes any other word for the name of a program part, and shows nothing else.
        let words = level.split('/').next().unwrap_or_default().split(',');
        if let Some(word) = words.map(str::trim).find(|word| !is_directive(word)) {
            let word = json::line(&word);
            let accepted = "off, error, warn, info, debug, trace, or oneloop::loop=trace";
            return Err(Problem::bad_request(format!("{word} is no level; use {accepted}")));
        }
        match self.watch.set_filter(&level) {
            Ok(()) => resource(&LogLevelResource { level: self.watch.filter() }),
            Err(invalid) => Err(Problem::bad_request(invalid.to_string())),
        }
    }
}

/// Whether a directive of a filter is a level, or names a log target of this program.
fn is_directive(word: &str) -> bool {
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    levels.iter().any(|level| word.eq_ignore_ascii_case(level))
        || word.starts_with("oneloop")
        || word.split('=').next() == Some(format::ACCESS)
}

fn gone(key: Key) -> Problem {
    Problem::new(Status::NotFound, format!("connection {} is closed", key.id))
}
