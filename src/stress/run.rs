//! One run from beginning to end: prepare, make load, report.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::StressPlan;
use crate::core::random::mix;
use crate::net::CannotListen;
use crate::net::limits::raise_files;
use crate::text::escape::{escaped, plain};
use crate::text::paint::Paint;
use crate::text::terminal::stdout_columns;

#[cfg(unix)]
use super::coordinator::Coordinator;
use super::cost::Meter;
use super::dial::{Dialer, Place, resolve};
use super::environment::Environment;
use super::files::ReportFile;
use super::find_process::find_process;
use super::outcome::Outcome;
use super::partition::processes;
use super::pattern::Pattern;
use super::progress::Progress;
use super::report;
use super::runner::Runner;
use super::server_usage::ServerUsage;
use super::worker;

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Well,
    /// A connection, an answer or a byte was not as it should be.
    Failed,
}

/// Why a run could not be made, or not be told of.
#[derive(Debug)]
pub struct StressError {
    what: String,
    error: Option<io::Error>,
}

/// Makes the load that was planned, and reports to `out` and to the files of the plan.
/// What is to be known meanwhile goes to `notes`.
pub fn run(
    plan: &StressPlan,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<Verdict, StressError> {
    let began = SystemTime::now();
    let plan = StressPlan { seed: Some(seed(plan, began)), ..plan.clone() };
    let files = raise_files().files;
    let places = resolve(&plan.targets)
        .map_err(|error| StressError::new("cannot resolve the target", error))?;
    if plan.worker.is_some() {
        let runner = prepare(&plan, places, ServerUsage::default())?;
        worker::run(runner, out).map_err(failed)?;
        return Ok(Verdict::Well);
    }
    let server_usage = server_usage(&plan, &places)?;
    let reports = Reports::open(&plan)?;
    let host = Environment::read(files);
    let outcome = match processes(&plan, files) {
        1 => run_here(&plan, places, server_usage, notes)?.in_environment(host, began),
        count => run_processes(&plan, count, server_usage)?.in_environment(host, began),
    };
    reports.write(&outcome, out)?;
    Ok(if outcome.is_ok() { Verdict::Well } else { Verdict::Failed })
}

/// Makes the load in this process.
fn run_here(
    plan: &StressPlan,
    places: Vec<Place>,
    server_usage: ServerUsage,
    notes: &mut dyn Write,
) -> Result<Outcome, StressError> {
    let mut runner = prepare(plan, places, server_usage)?;
    for address in &runner.sink_addresses {
        // If nobody reads it, there is nobody to tell.
        let _ = writeln!(notes, "oneloop: sink listening at {}", plain(address));
    }
    let mut progress = Progress::new(plan.color);
    while runner.turn().map_err(failed)? {
        progress.show(runner.now(), || runner.snapshot());
    }
    progress.clear();
    Ok(Outcome::of(runner))
}

fn prepare(
    plan: &StressPlan,
    places: Vec<Place>,
    server_usage: ServerUsage,
) -> Result<Runner, StressError> {
    let pattern = Rc::new(Pattern::new(plan.seed.unwrap_or_default()));
    let mut dialer = Dialer::new(places, &plan.sources);
    let conns = plan.groups().iter().map(|(_, conns)| conns).sum();
    dialer.expect(conns, plan.worker.map_or(0, |worker| worker.index));
    if plan.gso {
        dialer.set_segment_size(plan.size);
    }
    let mut runner = Runner::new(plan, dialer, pattern, server_usage).map_err(failed)?;
    runner.handle_signals().map_err(failed)?;
    if let Some(listen) = &plan.sink {
        runner.open_sink(listen)?;
    }
    Ok(runner)
}

/// Makes the load in so many processes.
#[cfg(unix)]
fn run_processes(
    plan: &StressPlan,
    count: usize,
    server_usage: ServerUsage,
) -> Result<Outcome, StressError> {
    let workers = Coordinator::start(plan, count, server_usage)
        .map_err(|error| StressError::new("cannot start worker processes", error))?;
    let run_processes = workers.run().map_err(failed)?;
    Ok(Outcome::combine(plan, run_processes, count))
}

#[cfg(not(unix))]
fn run_processes(_: &StressPlan, count: usize, _: ServerUsage) -> Result<Outcome, StressError> {
    let what = format!("{count} processes needed, but this system supports only one");
    Err(StressError { what, error: None })
}

fn failed(error: io::Error) -> StressError {
    StressError::new("event loop failed", error)
}

/// What is measured of the server: of who serves the first target, if that can be found out.
fn server_usage(plan: &StressPlan, places: &[Place]) -> Result<ServerUsage, StressError> {
    let meter = match plan.pid {
        Some(pid) => match Meter::of(pid) {
            Some(meter) => Some(meter),
            None => {
                let what = format!("no such process: {pid}");
                return Err(StressError { what, error: None });
            }
        },
        None => places.first().and_then(find_process).and_then(Meter::of),
    };
    // Only of one target it is certain that all connections are its own.
    let is_acceptor = plan.pid.is_none() && places.len() == 1;
    let places = if plan.is_datagram() { &[] } else { places };
    Ok(ServerUsage::new(meter).watching(places, is_acceptor))
}

/// The seed that was given, or one that was not there before.
fn seed(plan: &StressPlan, began: SystemTime) -> u64 {
    let nanos = began.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    // What people read and type again had better be short.
    let drawn = mix(nanos ^ u64::from(std::process::id()) << 32) >> 32;
    plan.seed.unwrap_or(drawn)
}

/// The files of the plan, open.
struct Reports {
    json: Option<ReportFile>,
    page: Option<ReportFile>,
}

impl Reports {
    fn open(plan: &StressPlan) -> Result<Reports, StressError> {
        let open = |path: &Option<PathBuf>| {
            let opened = path
                .as_deref()
                .map(|path| ReportFile::open(path).map_err(|error| cannot_write(path, error)));
            opened.transpose()
        };
        Ok(Reports { json: open(&plan.json)?, page: open(&plan.report)? })
    }

    /// Writes the report in every form that is wanted. A form that fails costs no other one.
    fn write(mut self, outcome: &Outcome, out: &mut dyn Write) -> Result<(), StressError> {
        let on_stdout = |file: &Option<ReportFile>| file.as_ref().is_some_and(|it| it.is_stdout());
        let summary = match on_stdout(&self.json) || on_stdout(&self.page) {
            true => Ok(()),
            false => write_summary(outcome, out),
        };
        let json = || report::json::json(outcome).pretty(2) + "\n";
        let json = write(self.json.as_mut(), json, out);
        let page = write(self.page.as_mut(), || report::page::page(outcome), out);
        let failed = [summary, json, page].into_iter().filter_map(Result::err);
        failed.reduce(StressError::and).map_or(Ok(()), Err)
    }
}

fn write(
    file: Option<&mut ReportFile>,
    text: impl FnOnce() -> String,
    out: &mut dyn Write,
) -> Result<(), StressError> {
    let Some(file) = file else { return Ok(()) };
    file.write(&text(), out).map_err(|error| cannot_write(&file.path, error))
}

fn write_summary(outcome: &Outcome, out: &mut dyn Write) -> Result<(), StressError> {
    let paint = Paint(outcome.plan.color.suits(&io::stdout()));
    let text = report::summary::summary(outcome, paint, stdout_columns());
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A reader that has gone is no failure of the run.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(StressError::new("cannot write the summary", error))
        }
        _ => Ok(()),
    }
}

fn cannot_write(path: &Path, error: io::Error) -> StressError {
    StressError::new(format!("cannot write {}", escaped(&path.display())), error)
}

impl StressError {
    fn new(what: impl Into<String>, error: io::Error) -> StressError {
        StressError { what: what.into(), error: Some(error) }
    }

    /// Both of two.
    fn and(self, other: StressError) -> StressError {
        StressError { what: format!("{self}; {other}"), error: None }
    }
}

impl From<CannotListen> for StressError {
    fn from(error: CannotListen) -> StressError {
        StressError { what: error.to_string(), error: None }
    }
}

impl fmt::Display for StressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.error {
            Some(error) => write!(f, "{}: {error}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl std::error::Error for StressError {}
