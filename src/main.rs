//! Runs the parsed command with its observers, and owns the exit code.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use log::{info, warn};
use oneloop::admin::server::AdminServer;
use oneloop::admin::settings::ServerSettings;
use oneloop::cli::{self, Command};
use oneloop::config::{
    ComparePlan, CtlPlan, DaemonConfig, LogPlan, Plan, ServePlan, TopPlan, TracePlan, print_config,
};
use oneloop::core::Moment;
use oneloop::doctor;
use oneloop::net::signals;
use oneloop::observe::{self, Recorder, Watch};
use oneloop::runtime::reactor::{Outcome, Reactor};
use oneloop::runtime::start;
use oneloop::stress;
use oneloop::talk::{self, SessionError};
use oneloop::text::count::Count;
use oneloop::text::escape;
use oneloop::text::terminal::{stderr_columns, stdout_columns};
use oneloop::text::wrap::fit;
use oneloop::tools::{config_files, ctl, plan, top, trace};

/// Exit code of success.
const EXIT_OK: u8 = 0;
/// Exit code of a runtime error: cannot bind, permission denied, event loop failure.
const EXIT_RUNTIME_ERROR: u8 = 1;
/// Exit code of a usage error.
const EXIT_USAGE: u8 = 2;
/// Exit code of `plan` if a reload would change something.
const EXIT_CHANGES: u8 = 2;

fn main() -> ExitCode {
    // Not fatal: unblocked, the signal kills the process only at a write beyond RLIMIT_FSIZE.
    let _ = signals::block_file_size_signal();
    let code = match cli::parse(std::env::args_os().skip(1)) {
        Ok(command) => run(command),
        Err(error) => {
            let text = format!("oneloop: {error}\n");
            let _ = io::stderr().write_all(fit(&text, stderr_columns()).as_bytes());
            EXIT_USAGE
        }
    };
    ExitCode::from(code)
}

fn run(command: Command) -> u8 {
    match command {
        Command::Serve(daemon) => serve(*daemon, None),
        Command::ServeFile(plan) => serve_file(&plan),
        Command::PrintConfig(text) => print(&text),
        Command::Check(file) => check_file(&file),
        Command::Compare(plan) => compare_file(&plan),
        Command::Help(help) => print(&help.text(stdout_columns())),
        Command::Version(text) => print(&text),
        Command::Doctor(plan) => match doctor::run(&plan, &mut io::stdout().lock()) {
            Ok(true) => EXIT_OK,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => EXIT_OK,
            Ok(false) | Err(_) => EXIT_RUNTIME_ERROR,
        },
        Command::Ctl(plan) => control(&plan),
        Command::Top(plan) => watch_daemon(&plan),
        Command::Trace(plan) => trace_recording(&plan),
        Command::Stress(plan) => {
            match stress::run(&plan, &mut io::stdout().lock(), &mut io::stderr()) {
                Ok(stress::RunVerdict::Passed) => EXIT_OK,
                Ok(stress::RunVerdict::Failed) => EXIT_RUNTIME_ERROR,
                Err(error) => {
                    print_error(&error);
                    EXIT_RUNTIME_ERROR
                }
            }
        }
        Command::Connect(plan) => session(&plan.log, |watch| talk::connect::run(&plan, watch)),
        Command::Chat(plan) => session(&plan.log, |watch| talk::chat::run(&plan, watch)),
    }
}

/// Serves what a configuration file says, or prints it. Returns the exit code.
fn serve_file(plan: &ServePlan) -> u8 {
    match config_files::read(&plan.file) {
        Ok(daemon) if plan.print => print(&print_config(&daemon)),
        Ok(daemon) => serve(daemon, Some(plan)),
        Err(error) => {
            print_lines(&error);
            EXIT_RUNTIME_ERROR
        }
    }
}

/// Checks a configuration file. Returns the exit code.
fn check_file(file: &Path) -> u8 {
    match config_files::check(file) {
        Ok(daemon) => {
            let routes = Count(daemon.plan.routes.len(), "address");
            print(&format!(
                "{}: {routes} to listen on, no errors\n",
                escape::escaped(&file.display())
            ))
        }
        Err(error) => {
            print_lines(&error);
            EXIT_RUNTIME_ERROR
        }
    }
}

/// Shows what a reload would change. Returns the exit code.
fn compare_file(plan: &ComparePlan) -> u8 {
    let environment = ctl::Environment::read(|name| std::env::var_os(name));
    let changes = plan::run(plan, &environment, &mut io::stdout().lock());
    exit_code(changes.map(|changes| if changes { EXIT_CHANGES } else { EXIT_OK }))
}

/// Runs the daemon until a signal stops it. Returns the exit code.
fn serve(daemon: DaemonConfig, file: Option<&ServePlan>) -> u8 {
    let log = file.map_or_else(|| daemon.log.clone(), |file| file.log(&daemon.log));
    let plan = &daemon.plan;
    // `connect` and `chat` keep the default: a background job that writes to its terminal stops.
    let _ = signals::block_terminal_output_signal();
    let mut watch = observe::start(&log);
    let settings = match ServerSettings::of(plan) {
        Ok(settings) => settings,
        Err(error) => {
            print_error(&error);
            return EXIT_RUNTIME_ERROR;
        }
    };
    info!("oneloop {} started, pid {}", env!("CARGO_PKG_VERSION"), std::process::id());
    if let Err(error) = start_recording(plan, &mut watch) {
        print_error(&error);
        return EXIT_RUNTIME_ERROR;
    }
    let (mut reactor, warnings) = match start::bind(plan, &mut watch) {
        Ok(bound) => bound,
        Err(error) => {
            print_error(&error);
            return EXIT_RUNTIME_ERROR;
        }
    };
    let path = file.map(|file| file.file.clone());
    info!("limits: {}", reactor.limits());
    for warning in warnings {
        warn!("{warning}");
    }
    reactor.set_config(daemon, path);
    let server = reactor.admin().is_some().then(|| AdminServer::new(settings));
    let ended = run_loop(&mut reactor, &mut watch, server, file);
    // The rest of the recording is on disk before the last line says that the daemon has stopped.
    watch.recorder = None;
    watch.log_totals();
    match ended {
        Ok(Outcome::Drained { cut }) => {
            let how = match cut {
                0 => "all connections closed".to_owned(),
                _ => format!("{} cut by the drain timeout", Count(cut, "connection")),
            };
            info!("stopped after {}, {how}", Count(reactor.turns() as usize, "turn"));
            EXIT_OK
        }
        Ok(Outcome::CutShort(signal)) => {
            info!("stopped at once: second {}", signal.name());
            signal.status()
        }
        Err(error) => {
            print_error(&format_args!("event loop failed: {error}"));
            EXIT_RUNTIME_ERROR
        }
    }
}

/// Runs the loop until a signal or a command stops it. What a reload changes about the log is
/// applied here.
fn run_loop(
    reactor: &mut Reactor,
    watch: &mut Watch,
    mut server: Option<AdminServer>,
    file: Option<&ServePlan>,
) -> io::Result<Outcome> {
    let mut log = reactor.config().log.clone();
    loop {
        let outcome = match &mut server {
            Some(server) => server.run(reactor, watch)?,
            None => reactor.run(watch)?,
        };
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
        if let (Some(file), Some(Ok(summary))) = (file, reactor.reload_verdict()) {
            summary.warnings.iter().for_each(|warning| warn!("{}", escape::plain(warning)));
            let new = &reactor.config().log;
            watch.change_log(&file.log(&log), &file.log(new));
            log = new.clone();
        }
    }
}

/// Starts the recording that the plan asks for.
fn start_recording(plan: &Plan, watch: &mut Watch) -> Result<(), String> {
    let Some(record) = &plan.record else { return Ok(()) };
    let recorder = Recorder::start(record, Moment::default());
    let mut recorder = recorder.map_err(|error| format!("cannot record to {record}: {error}"))?;
    recorder.set_bytes(plan.record_bytes);
    watch.recorder = Some(recorder);
    Ok(())
}

/// Runs `connect` or `chat` and prints its error after the last line of the log. Returns the exit
/// code.
fn session(log: &LogPlan, run: impl FnOnce(&mut Watch) -> Result<u8, SessionError>) -> u8 {
    let result = run(&mut observe::start(log));
    result.unwrap_or_else(|error| {
        print_error(&error);
        error.status() as u8
    })
}

/// Runs one command of ctl. Returns the exit code.
fn control(plan: &CtlPlan) -> u8 {
    let environment = ctl::Environment::read(|name| std::env::var_os(name));
    exit_code(ctl::run(plan, &environment, &mut io::stdout().lock()).map(|()| EXIT_OK))
}

/// Runs top. Returns the exit code.
fn watch_daemon(plan: &TopPlan) -> u8 {
    let environment = ctl::Environment::read(|name| std::env::var_os(name));
    exit_code(top::run(plan, &environment, &mut io::stdout().lock()))
}

/// Converts a recording. Returns the exit code.
fn trace_recording(plan: &TracePlan) -> u8 {
    exit_code(trace::run(plan, &mut io::stdout().lock()).map(|outcome| {
        if let Some(warning) = outcome.warning {
            print_error(&warning);
        }
        if outcome.is_found { EXIT_OK } else { EXIT_RUNTIME_ERROR }
    }))
}

/// Prints the error of a client of the admin endpoint, if any. Returns the exit code.
fn exit_code(result: Result<u8, ctl::CtlError>) -> u8 {
    match result {
        Ok(code) => code,
        Err(error) if error.is_closed_output() => EXIT_OK,
        Err(error) => {
            print_error(&error);
            match error {
                ctl::CtlError::Usage(_) => EXIT_USAGE,
                ctl::CtlError::Failed(_) | ctl::CtlError::Output(_) => EXIT_RUNTIME_ERROR,
            }
        }
    }
}

/// Prints help or the version. A closed reader is not an error.
fn print(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => EXIT_RUNTIME_ERROR,
        _ => EXIT_OK,
    }
}

/// Prints several lines on standard error, which are safe to show.
fn print_lines(text: &dyn Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Prints a message on standard error. There is no place to report a failure of that.
fn print_error(error: &dyn Display) {
    let _ = writeln!(io::stderr(), "oneloop: {}", escape::message(&error.to_string()));
}
