//! Carries out one run: prepares it, runs the load in one or more processes, and reports.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::config::StressPlan;
use crate::core::random::mix;
use crate::net::CannotListen;
use crate::net::limits::raise_files;
use crate::text::escape::{escaped, plain};
use crate::text::terminal::Paint;
use crate::text::terminal::stdout_columns;

#[cfg(unix)]
use super::coordinator::Coordinator;
use super::cost::Meter;
use super::dial::{LoadDialer, ResolvedTarget, resolve};
use super::environment::Environment;
use super::find_process::find_process;
use super::outcome::Outcome;
use super::partition::processes;
use super::pattern::Pattern;
use super::progress::Progress;
use super::protocol::Message;
use super::report;
use super::runner::Runner;
use super::server_usage::ServerUsage;

/// The verdict on a run, which becomes the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunVerdict {
    Passed,
    /// A connection, an answer or a byte was wrong.
    Failed,
}

/// The reason why a run could not be carried out or not be reported.
#[derive(Debug)]
pub struct StressError(String);

/// Runs the plan, and reports to `out` and to the files of the plan. Messages during the run go to
/// `notes`.
pub fn run(
    plan: &StressPlan,
    out: &mut dyn Write,
    notes: &mut dyn Write,
) -> Result<RunVerdict, StressError> {
    let began = SystemTime::now();
    let plan = StressPlan { seed: Some(seed(plan, began)), ..plan.clone() };
    let files = raise_files().files;
    let targets = resolve(&plan.targets)
        .map_err(|error| StressError::new("cannot resolve the target", error))?;
    if plan.worker.is_some() {
        let runner = prepare(&plan, targets, ServerUsage::default())?;
        run_worker(runner, out).map_err(failed)?;
        return Ok(RunVerdict::Passed);
    }
    let server_usage = server_usage(&plan, &targets)?;
    let reports = Reports::open(&plan)?;
    let environment = Environment::read(files);
    let outcome = match processes(&plan, files) {
        1 => run_here(&plan, targets, server_usage, notes)?,
        count => run_processes(&plan, count, server_usage)?,
    };
    let outcome = Outcome { environment, began, ..outcome };
    reports.write(&outcome, out)?;
    Ok(if outcome.is_ok() { RunVerdict::Passed } else { RunVerdict::Failed })
}

/// Runs the load in this process.
fn run_here(
    plan: &StressPlan,
    targets: Vec<ResolvedTarget>,
    server_usage: ServerUsage,
    notes: &mut dyn Write,
) -> Result<Outcome, StressError> {
    let mut runner = prepare(plan, targets, server_usage)?;
    for address in runner.sink_addresses() {
        // A failure to print this must not end the run.
        let _ = writeln!(notes, "oneloop: sink listening at {}", plain(address));
    }
    let mut progress = Progress::new(plan.color);
    while runner.turn().map_err(failed)? {
        progress.show(runner.now(), || runner.snapshot());
    }
    progress.clear();
    Ok(Outcome::of(runner))
}

/// Interval between two progress messages of a worker.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the load in this worker process, and writes messages for the coordinator to `out`.
fn run_worker(mut runner: Runner, out: &mut dyn Write) -> io::Result<()> {
    let mut send = |message: Message| {
        let mut line = serde_json::to_vec(&message)?;
        line.push(b'\n');
        out.write_all(&line)?;
        out.flush()
    };
    let (mut ready, mut next_progress) = (false, Duration::ZERO);
    runner.connect_parent()?;
    while runner.turn()? {
        if !ready && !runner.is_ramping() {
            ready = true;
            // The coordinator needs the number of connections when it starts the loads.
            send(Message::Progress(runner.snapshot()))?;
            send(Message::Ready)?;
        }
        let now = runner.now();
        if now >= next_progress {
            next_progress = now + PROGRESS_INTERVAL;
            send(Message::Progress(runner.snapshot()))?;
        }
    }
    send(Message::Done(Box::new(runner.finish().into_worker_result())))
}

/// Creates the runner of this process, with signals and sink.
fn prepare(
    plan: &StressPlan,
    targets: Vec<ResolvedTarget>,
    server_usage: ServerUsage,
) -> Result<Runner, StressError> {
    let pattern = Rc::new(Pattern::new(plan.seed.unwrap_or_default()));
    let mut dialer = LoadDialer::new(targets, &plan.sources);
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

/// Runs the load in `count` worker processes.
#[cfg(unix)]
fn run_processes(
    plan: &StressPlan,
    count: usize,
    server_usage: ServerUsage,
) -> Result<Outcome, StressError> {
    let workers = Coordinator::start(plan, count, server_usage)
        .map_err(|error| StressError::new("cannot start worker processes", error))?;
    let combined = workers.run().map_err(|error| StressError::new("run failed", error))?;
    Ok(Outcome::combine(plan, combined, count))
}

#[cfg(not(unix))]
fn run_processes(_: &StressPlan, count: usize, _: ServerUsage) -> Result<Outcome, StressError> {
    Err(StressError(format!("{count} processes needed, but this system supports only one")))
}

fn failed(error: io::Error) -> StressError {
    StressError::new("event loop failed", error)
}

/// Prepares measuring the server: the process given by `--pid`, or the one that listens on the
/// first target, if it is found.
fn server_usage(plan: &StressPlan, targets: &[ResolvedTarget]) -> Result<ServerUsage, StressError> {
    let meter = match plan.pid {
        Some(pid) => match Meter::of(pid) {
            Some(meter) => Some(meter),
            None => return Err(StressError(format!("no such process: {pid}"))),
        },
        None => targets.first().and_then(find_process).and_then(Meter::of),
    };
    // With several targets, other processes may accept some of the connections.
    let is_acceptor = plan.pid.is_none() && targets.len() == 1;
    let targets = if plan.is_datagram() { &[] } else { targets };
    Ok(ServerUsage::new(meter).watching(targets, is_acceptor))
}

/// Returns the given seed, or a new one.
fn seed(plan: &StressPlan, began: SystemTime) -> u64 {
    let nanos = began.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    // 32 bits: users read it and type it again.
    let drawn = mix(nanos ^ u64::from(std::process::id()) << 32) >> 32;
    plan.seed.unwrap_or(drawn)
}

/// The open report files of the plan.
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

    /// Writes the report in every requested form. A failure of one does not prevent the others.
    fn write(mut self, outcome: &Outcome, out: &mut dyn Write) -> Result<(), StressError> {
        let on_stdout = |file: &Option<ReportFile>| file.as_ref().is_some_and(|it| it.is_stdout());
        let summary = match on_stdout(&self.json) || on_stdout(&self.page) {
            true => Ok(()),
            false => write_summary(outcome, out),
        };
        let json = write(self.json.as_mut(), || report::json::text(outcome), out);
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
        // A closed pipe is not a failure of the run.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(StressError::new("cannot write the summary", error))
        }
        _ => Ok(()),
    }
}

/// The destination of a report.
struct ReportFile {
    path: PathBuf,
    /// `None`: standard output.
    file: Option<File>,
}

impl ReportFile {
    /// Opens or creates the file. Its old contents stay until the report is written.
    fn open(path: &Path) -> io::Result<ReportFile> {
        let file = match is_stdout(path) {
            true => None,
            false => Some(OpenOptions::new().write(true).create(true).truncate(false).open(path)?),
        };
        Ok(ReportFile { path: path.to_path_buf(), file })
    }

    fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Replaces the contents of the file with the report.
    fn write(&mut self, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            out.write_all(text.as_bytes())?;
            return out.flush();
        };
        // A pipe or a device cannot be truncated.
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        file.write_all(text.as_bytes())
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}

fn cannot_write(path: &Path, error: io::Error) -> StressError {
    StressError::new(&format!("cannot write {}", escaped(&path.display())), error)
}

impl StressError {
    fn new(context: &str, error: io::Error) -> StressError {
        StressError(format!("{context}: {error}"))
    }

    /// Combines two errors.
    fn and(self, other: StressError) -> StressError {
        StressError(format!("{self}; {other}"))
    }
}

impl From<CannotListen> for StressError {
    fn from(error: CannotListen) -> StressError {
        StressError(error.to_string())
    }
}

impl fmt::Display for StressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for StressError {}
