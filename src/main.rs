//! The exit status; composes observers and runs what was asked for.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use log::{info, warn};
use oneloop::cli::{self, Command};
use oneloop::config::{LogPlan, Plan};
use oneloop::doctor;
use oneloop::net::signals;
use oneloop::observe::{self, Watch};
use oneloop::runtime::reactor::Outcome;
use oneloop::runtime::start;
use oneloop::stress;
use oneloop::talk;
use oneloop::text::count::Count;
use oneloop::text::escape;
use oneloop::text::terminal::{stderr_columns, stdout_columns};
use oneloop::text::wrap::fit;

/// It was done.
const DONE: u8 = 0;
/// It could not be done: an address that cannot be bound, a failure of the system.
const COULD_NOT: u8 = 1;
/// What was typed makes no sense.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    // Where it cannot be blocked, everything else works as well.
    let _ = signals::block_file_size_signal();
    let code = match cli::parse(std::env::args_os().skip(1)) {
        Ok(command) => run(command),
        Err(error) => {
            let text = format!("oneloop: {error}\n");
            let _ = io::stderr().write_all(fit(&text, stderr_columns()).as_bytes());
            WRONG_USAGE
        }
    };
    ExitCode::from(code)
}

fn run(command: Command) -> u8 {
    match command {
        Command::Serve { plan, log } => serve(&plan, &log),
        Command::Help(help) => print(&help.text(stdout_columns())),
        Command::Version(text) => print(&text),
        Command::Doctor(plan) => match doctor::run(&plan, &mut io::stdout().lock()) {
            Ok(true) => DONE,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => DONE,
            Ok(false) | Err(_) => COULD_NOT,
        },
        Command::Stress(plan) => {
            match stress::run(&plan, &mut io::stdout().lock(), &mut io::stderr()) {
                Ok(stress::Verdict::Well) => DONE,
                Ok(stress::Verdict::Failed) => COULD_NOT,
                Err(error) => {
                    complain(&error);
                    COULD_NOT
                }
            }
        }
        Command::Connect(plan) => watched(&plan.log, |watch| talk::connect::run(&plan, watch)),
        Command::Chat(plan) => watched(&plan.log, |watch| talk::chat::run(&plan, watch)),
    }
}

/// Runs the daemon until it is told to stop.
fn serve(plan: &Plan, log: &LogPlan) -> u8 {
    // Only here: `connect` and `chat` belong to their terminal and stop when it says so.
    let _ = signals::block_terminal_output_signal();
    let mut watch = observe::start(log);
    info!("oneloop {} started, pid {}", env!("CARGO_PKG_VERSION"), std::process::id());
    let mut reactor = match start::bind(plan, &mut watch) {
        Ok(reactor) => reactor,
        Err(error) => {
            complain(&error);
            return COULD_NOT;
        }
    };
    info!("limits: {}", reactor.limits());
    for warning in reactor.warnings() {
        warn!("{warning}");
    }
    let ended = reactor.run(&mut watch);
    watch.log_totals();
    match ended {
        Ok(Outcome::Drained { cut }) => {
            let how = match cut {
                0 => "all connections closed".to_owned(),
                _ => format!("{} cut by the drain timeout", Count(cut, "connection")),
            };
            info!("stopped after {}, {how}", Count(reactor.turns() as usize, "turn"));
            DONE
        }
        Ok(Outcome::CutShort(signal)) => {
            info!("stopped at once: second {}", signal.name());
            signal.status()
        }
        Err(error) => {
            complain(&format_args!("event loop failed: {error}"));
            COULD_NOT
        }
    }
}

/// Talks, and says what came of it when the log has told all.
fn watched(log: &LogPlan, talk: impl FnOnce(&mut Watch) -> Result<u8, talk::Failure>) -> u8 {
    let ended = talk(&mut observe::start(log));
    ended.unwrap_or_else(|failure| {
        complain(&failure);
        failure.status() as u8
    })
}

/// Prints what was asked for. A reader that has gone is no failure.
fn print(text: &str) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => COULD_NOT,
        _ => DONE,
    }
}

/// One message on standard error. If nobody takes it, there is nobody to tell.
fn complain(error: &dyn Display) {
    let _ = writeln!(io::stderr(), "oneloop: {}", escape::message(&error.to_string()));
}
