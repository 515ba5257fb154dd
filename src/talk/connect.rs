//! `oneloop connect`: sends standard input to one target and prints what it receives.
//!
//! Exit code: 0 if the session ended in order, 128 plus the number of a signal, or an `ExitStatus`.

use std::io;
use std::time::Duration;

use super::failure::{ExitStatus, SessionError};
use super::screen::StatusLines;
use super::watch::{SessionFacts, millis};
use super::{datagram_session, stream};
use crate::config::{ConnectPlan, unit::show_duration};
use crate::core::{Observer, Reason, Side, SysError};
use crate::text::escape::plain;

/// Runs until the peer, the input or a signal ends the session. Returns the exit code.
pub fn run(plan: &ConnectPlan, observer: &mut dyn Observer) -> Result<u8, SessionError> {
    let (signal, facts) = match plan.target.is_datagram() {
        true => datagram_session::run(plan, observer)?,
        false => stream::run(plan, observer)?,
    };
    let mut status_lines = StatusLines::new();
    if plan.timing {
        facts.timing().lines().for_each(|line| status_lines.print(line));
    }
    if let Some(signal) = signal {
        return Ok(signal.status());
    }
    let code = exit_code(plan, &facts)?;
    if let Some(result) = probe_result(&facts).filter(|_| plan.probe) {
        status_lines.print(format_args!("{}: {result}", plain(&facts.target)));
    }
    Ok(code)
}

/// Translates the end of the connection into an exit code or a failure.
fn exit_code(plan: &ConnectPlan, facts: &SessionFacts) -> Result<u8, SessionError> {
    let target = plan.target.to_string();
    let lost = |why: String, status: ExitStatus| {
        Err(SessionError::Lost { target: target.clone(), why, status })
    };
    let cannot_connect = |why: String, status: ExitStatus| {
        Err(SessionError::CannotConnect { target: target.clone(), why, status })
    };
    match facts.closed.as_ref().map_or(Reason::Finished, |closed| closed.ending.reason) {
        Reason::Reset { by: Side::Client, fault } | Reason::Abandoned { fault } => {
            stdio_failure(fault)
        }
        Reason::Reset { fault, .. } => lost(fault.to_string(), ExitStatus::Lost),
        Reason::Served | Reason::IdleTimeout if plan.probe => {
            let why = format!(
                "no reply or refusal within {}",
                limit(datagram_session::probe_timeout(plan))
            );
            Err(SessionError::NoAnswer { target, why })
        }
        // Datagrams have no end of file: silence after an answer is an ordinary end.
        Reason::IdleTimeout if facts.datagrams && facts.first_byte.is_some() => Ok(0),
        Reason::IdleTimeout => {
            let why = format!("no data for {}", limit(plan.idle));
            match facts.datagrams {
                true => Err(SessionError::NoAnswer { target, why }),
                false => lost(why, ExitStatus::TimedOut),
            }
        }
        Reason::ConnectTimeout if facts.target.is_empty() => {
            let why = format!("name not resolved within {}", limit(plan.wait));
            cannot_connect(why, ExitStatus::TimedOut)
        }
        Reason::ConnectTimeout => {
            cannot_connect(format!("no answer within {}", limit(plan.wait)), ExitStatus::TimedOut)
        }
        Reason::Unreachable { fault: fault @ SysError::UNRESOLVED } => {
            cannot_connect(unresolved(facts, fault), ExitStatus::Unresolved)
        }
        Reason::Refused { fault } | Reason::Unreachable { fault } => {
            cannot_connect(fault.to_string(), ExitStatus::NotConnected)
        }
        Reason::Exhausted { fault } => cannot_connect(fault.to_string(), ExitStatus::LocalError),
        _ => Ok(0),
    }
}

/// Formats the result of `-z`.
fn probe_result(facts: &SessionFacts) -> Option<String> {
    match (facts.first_byte, facts.connected) {
        (Some(at), _) => Some(format!("answered after {}", millis(at))),
        (None, at) => at.map(|at| format!("connected after {}", millis(at))),
    }
}

/// Handles a failure of standard input or output. A closed reader of the output is no failure.
fn stdio_failure(fault: SysError) -> Result<u8, SessionError> {
    match fault.kind {
        io::ErrorKind::BrokenPipe => Ok(0),
        _ => Err(SessionError::Stdio(fault)),
    }
}

/// Returns why the name has no address, as reported by the system if possible.
fn unresolved(facts: &SessionFacts, fault: SysError) -> String {
    match facts.resolved.as_ref().map(|resolved| &resolved.found) {
        Some(Err(error)) => error.clone(),
        _ => fault.to_string(),
    }
}

/// Formats a time limit. `None` is the limit of the system.
fn limit(time: Option<Duration>) -> String {
    time.map_or("the system's timeout".to_string(), show_duration)
}
