//! `oneloop connect`: sends standard input to one target and prints what it receives.
//!
//! Exit code: 0 if the session ended in order, 128 plus the number of a signal, or a `Status`.

use std::io;
use std::time::Duration;

use super::failure::{Failure, Status};
use super::notice::StatusLines;
use super::watch::{Facts, millis};
use super::{datagram_session, stream};
use crate::config::{ConnectPlan, unit::show_duration};
use crate::core::{Observer, Reason, Side, SysError};
use crate::text::escape::plain;

/// Runs until the peer, the input or a signal ends the session. Returns the exit code.
pub fn run(plan: &ConnectPlan, seen: &mut dyn Observer) -> Result<u8, Failure> {
    let (signal, facts) = match plan.target.is_datagram() {
        true => datagram_session::talk(plan, seen)?,
        false => stream::talk(plan, seen)?,
    };
    let mut notices = StatusLines::new();
    if plan.timing {
        facts.timing().lines().for_each(|line| notices.say(line));
    }
    if let Some(signal) = signal {
        return Ok(signal.status());
    }
    let status = verdict(plan, &facts)?;
    if let Some(found) = found(&facts).filter(|_| plan.probe) {
        notices.say(format_args!("{}: {found}", plain(&facts.target)));
    }
    Ok(status)
}

/// Translates the end of the connection into an exit code or a failure.
fn verdict(plan: &ConnectPlan, facts: &Facts) -> Result<u8, Failure> {
    let target = plan.target.to_string();
    let lost =
        |why: String, status: Status| Err(Failure::Lost { target: target.clone(), why, status });
    let no_way = |why: String, status: Status| {
        Err(Failure::CannotConnect { target: target.clone(), why, status })
    };
    match facts.closed.as_ref().map_or(Reason::Finished, |closed| closed.ending.reason) {
        Reason::Reset { by: Side::Client, fault } | Reason::Abandoned { fault } => ours(fault),
        Reason::Reset { fault, .. } => lost(fault.to_string(), Status::Lost),
        Reason::Served | Reason::IdleTimeout if plan.probe => {
            let why =
                format!("no reply or refusal within {}", time(datagram_session::patience(plan)));
            Err(Failure::NoAnswer { target, why })
        }
        // Datagrams have no end of file: silence after an answer is an ordinary end.
        Reason::IdleTimeout if facts.datagrams && facts.first_byte.is_some() => Ok(0),
        Reason::IdleTimeout => {
            let why = format!("no data for {}", time(plan.idle));
            match facts.datagrams {
                true => Err(Failure::NoAnswer { target, why }),
                false => lost(why, Status::TimedOut),
            }
        }
        Reason::ConnectTimeout if facts.target.is_empty() => {
            let why = format!("name not resolved within {}", time(plan.wait));
            no_way(why, Status::TimedOut)
        }
        Reason::ConnectTimeout => {
            no_way(format!("no answer within {}", time(plan.wait)), Status::TimedOut)
        }
        Reason::Unreachable { fault: fault @ SysError::UNRESOLVED } => {
            no_way(unresolved(facts, fault), Status::Unresolved)
        }
        Reason::Refused { fault } | Reason::Unreachable { fault } => {
            no_way(fault.to_string(), Status::NotConnected)
        }
        Reason::Exhausted { fault } => no_way(fault.to_string(), Status::CouldNot),
        _ => Ok(0),
    }
}

/// Formats the result of `-z`.
fn found(facts: &Facts) -> Option<String> {
    match (facts.first_byte, facts.connected) {
        (Some(at), _) => Some(format!("answered after {}", millis(at))),
        (None, at) => at.map(|at| format!("connected after {}", millis(at))),
    }
}

/// Handles a failure of standard input or output. A closed reader of the output is no failure.
fn ours(fault: SysError) -> Result<u8, Failure> {
    match fault.kind {
        io::ErrorKind::BrokenPipe => Ok(0),
        _ => Err(Failure::Stdio(fault)),
    }
}

/// Returns why the name has no address, as reported by the system if possible.
fn unresolved(facts: &Facts, fault: SysError) -> String {
    match facts.resolved.as_ref().map(|resolved| &resolved.found) {
        Some(Err(error)) => error.clone(),
        _ => fault.to_string(),
    }
}

fn time(limit: Option<Duration>) -> String {
    limit.map_or("the system's timeout".to_string(), show_duration)
}
