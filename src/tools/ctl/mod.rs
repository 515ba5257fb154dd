//! ctl: prints what a running daemon says of itself, and controls it. A command is one request to
//! the admin endpoint, except that long lists are requested in pages.
//!
//! `environment` chooses the address, `endpoint` and `reply` speak HTTP, the others print.

use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::admin::resources::{LogLevelResource, RecordRequest};
use crate::config::unit::show_duration;
use crate::config::{Address, CtlCommand, CtlPlan, EventFilter, RecordCommand};
use crate::config::{WatchCommand, WatchSettings, WatchSubject};
use crate::text::json;
use crate::text::terminal::{Paint, stdout_table_columns};

mod connections;
pub(super) mod details;
pub(super) mod endpoint;
mod environment;
pub(super) mod error;
mod events;
pub(super) mod facts;
pub(super) mod lists;
mod reply;
pub(super) mod table;
pub(super) mod view;

use endpoint::{AdminRequest, Endpoint};
pub use environment::Environment;
pub use error::CtlError;
use view::View;

/// Bytes of one read of a body that is copied.
const COPY_BYTES: usize = 64 * 1024;

/// Runs one command and prints its result.
pub fn run(plan: &CtlPlan, environment: &Environment, out: &mut dyn Write) -> Result<(), CtlError> {
    let address = environment.choose(plan.admin.as_ref(), Path::try_exists)?;
    let endpoint = Endpoint::new(address, plan.token_file.as_deref())?;
    let view =
        View { paint: Paint(plan.color.suits(&io::stdout())), columns: stdout_table_columns() };
    let mut session = Session { endpoint, is_json: plan.json, view, out };
    session.run(&plan.command)?;
    session.out.flush().map_err(CtlError::Output)
}

/// Where requests go to, and how their answers are printed.
struct Session<'a> {
    endpoint: Endpoint,
    is_json: bool,
    view: View,
    out: &'a mut dyn Write,
}

impl Session<'_> {
    fn run(&mut self, command: &CtlCommand) -> Result<(), CtlError> {
        match command {
            CtlCommand::Connections(filter) if self.is_json => {
                connections::print_json(&self.endpoint, filter, self.out)
            }
            CtlCommand::Connections(filter) => {
                connections::print_table(&self.endpoint, filter, &self.view, self.out)
            }
            CtlCommand::Connection(id) => {
                self.show(&AdminRequest::get(format!("/connections/{id}")), details::connection)
            }
            CtlCommand::Close(id) => {
                self.show(&AdminRequest::delete(format!("/connections/{id}")), facts::closed)
            }
            CtlCommand::Routes => self.show(&AdminRequest::get("/routes"), lists::routes),
            CtlCommand::Listeners => self.show(&AdminRequest::get("/listeners"), lists::listeners),
            CtlCommand::Loop => self.show(&AdminRequest::get("/loop"), facts::event_loop),
            CtlCommand::Timers => self.show(&AdminRequest::get("/timers"), facts::timers),
            CtlCommand::Limits => self.show(&AdminRequest::get("/limits"), facts::limits),
            CtlCommand::Reasons => self.show(&AdminRequest::get("/reasons"), lists::reasons),
            CtlCommand::Level(level) => self.show(&log_level(level.as_ref()), facts::log_level),
            CtlCommand::Pause(listen) => {
                self.show(&on_listeners("/pause", listen.as_ref()), facts::paused)
            }
            CtlCommand::Resume(listen) => {
                self.show(&on_listeners("/resume", listen.as_ref()), facts::resumed)
            }
            CtlCommand::Reload => self.show(&AdminRequest::post("/reload", None), facts::reloaded),
            CtlCommand::Drain => self.show(&AdminRequest::post("/drain", None), facts::draining),
            CtlCommand::Record(record) => self.record(record),
            CtlCommand::Watch(watch) => self.show(&watch_request(watch), facts::watches),
            CtlCommand::Ready => self.endpoint.ready(),
            CtlCommand::Version => self.show(&AdminRequest::get("/version"), facts::version),
            CtlCommand::Config => self.copy(&AdminRequest::get("/config")),
            CtlCommand::Events(filter) => self.events(filter),
            CtlCommand::Get(target) => self.copy(&AdminRequest::get(target.as_str())),
        }
    }

    /// Prints one resource.
    fn show<T: DeserializeOwned>(
        &mut self,
        request: &AdminRequest,
        print: fn(&T, &View) -> String,
    ) -> Result<(), CtlError> {
        let body = self.endpoint.fetch(request)?;
        self.print(&body, print)
    }

    fn print<T: DeserializeOwned>(
        &mut self,
        body: &str,
        print: fn(&T, &View) -> String,
    ) -> Result<(), CtlError> {
        let shown = match self.is_json {
            true => json::report_of(body),
            false => serde_json::from_str(body).map(|resource| print(&resource, &self.view)),
        };
        let text = shown.map_err(|error| unexpected(&self.endpoint, &error))?;
        self.out.write_all(text.as_bytes()).map_err(CtlError::Output)
    }

    /// Copies the recording, or starts or stops it.
    fn record(&mut self, record: &RecordCommand) -> Result<(), CtlError> {
        const PATH: &str = "/record";
        match record {
            RecordCommand::Copy if io::stdout().is_terminal() => {
                let text = "a recording is not text; redirect the output into a file";
                Err(CtlError::Usage(text.to_owned()))
            }
            RecordCommand::Copy => self.copy(&AdminRequest::get(PATH)),
            RecordCommand::Start { limit, bytes } => {
                let body = json::line(&RecordRequest { limit: limit.clone() });
                let request = AdminRequest::post(PATH, Some(body));
                let request = request.with("bytes", bytes.then_some("yes"));
                let begun = self.endpoint.start_recording(&request)?;
                self.print(&begun, facts::recording)
            }
            RecordCommand::Stop => self.show(&AdminRequest::delete(PATH), facts::recording),
        }
    }

    fn events(&mut self, filter: &EventFilter) -> Result<(), CtlError> {
        let connection = filter.connection.map(|id| id.to_string());
        let request = AdminRequest::get("/events")
            .with("event", filter.event.as_deref())
            .with("level", filter.level.as_deref())
            .with("connection", connection.as_deref());
        let stream = self.endpoint.stream_of_events(&request)?;
        let failed = |error: &io::Error| self.endpoint.failed(error);
        events::print(stream, self.is_json, &self.view, self.out, failed)
    }

    /// Copies the body of an answer to the output, whatever it is.
    fn copy(&mut self, request: &AdminRequest) -> Result<(), CtlError> {
        let mut body = self.endpoint.stream(request)?;
        let mut buffer = vec![0; COPY_BYTES];
        loop {
            match body.read(&mut buffer).map_err(|error| self.endpoint.failed(&error))? {
                0 => return Ok(()),
                count => {
                    // A reader in a pipe sees each part as it comes.
                    let written = self.out.write_all(&buffer[..count]);
                    written.and_then(|()| self.out.flush()).map_err(CtlError::Output)?;
                }
            }
        }
    }
}

/// Returns the request that reads the log level, or sets it.
fn log_level(level: Option<&String>) -> AdminRequest {
    const PATH: &str = "/log/level";
    match level {
        None => AdminRequest::get(PATH),
        Some(level) => {
            let body = json::line(&LogLevelResource { level: level.clone() });
            AdminRequest::post(PATH, Some(body))
        }
    }
}

/// Returns the request that starts or ends watches, or shows them.
fn watch_request(watch: &WatchCommand) -> AdminRequest {
    const PATH: &str = "/watch";
    match watch {
        WatchCommand::Show => AdminRequest::get(PATH),
        WatchCommand::Stop { all } => {
            AdminRequest::delete(PATH).with("record", all.then_some("off"))
        }
        WatchCommand::Start(subject, WatchSettings { time, bytes, .. }) => {
            let (name, value) = match subject {
                WatchSubject::Connection(id) => ("connection", id.to_string()),
                WatchSubject::Peer(peer) => ("peer", peer.clone()),
                WatchSubject::Route(route) => ("route", route.clone()),
            };
            let time = time.map(show_duration);
            AdminRequest::post(PATH, None)
                .with(name, Some(&value))
                .with("for", time.as_deref())
                .with("bytes", bytes.then_some("yes"))
        }
    }
}

fn on_listeners(path: &str, listen: Option<&Address>) -> AdminRequest {
    let listen = listen.map(ToString::to_string);
    AdminRequest::post(path, None).with("listener", listen.as_deref())
}

/// Returns the error of an answer that has another form than this version knows.
pub(super) fn unexpected(endpoint: &Endpoint, error: &serde_json::Error) -> CtlError {
    endpoint.error(&format!("unexpected answer: {error}"))
}
