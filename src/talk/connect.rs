//! `oneloop connect`: what is typed goes to one target, what it answers is shown.
//!
//! The exit status: 0 if it ended in order, 1 if no connection was made or if it was lost, and 128
//! and the number of the signal if one ended it.

use std::io;
use std::time::Duration;

use super::failure::Failure;
use super::notice::Notices;
use super::turns::status;
use super::watch::{Facts, millis};
use super::{courier, stream};
use crate::core::{Fault, Observer, Reason, Side};
use crate::observe::escape::plain;
use crate::plan::{ConnectPlan, unit::show_duration};

/// Talks until the other side, the input or a signal ends it. What is returned is the exit status.
pub fn run(plan: &ConnectPlan, seen: &mut dyn Observer) -> Result<u8, Failure> {
    let (signal, facts) = match plan.target.is_datagram() {
        true => courier::talk(plan, seen)?,
        false => stream::talk(plan, seen)?,
    };
    let mut notices = Notices::new();
    if plan.timing {
        facts.timing().lines().for_each(|line| notices.say(line));
    }
    if let Some(signal) = signal {
        return Ok(status(signal));
    }
    verdict(plan, &facts)?;
    if plan.probe {
        notices.say(format_args!("{}: {}", plain(&facts.target), found(plan, &facts)));
    }
    Ok(0)
}

/// What a probe has found out.
fn found(plan: &ConnectPlan, facts: &Facts) -> String {
    match (facts.first_byte, facts.connected) {
        (Some(at), _) => format!("answered after {}", millis(at)),
        (None, Some(at)) if !waited(facts) => format!("connected after {}", millis(at)),
        _ => format!("neither an answer nor a refusal within {}", time(Some(patience(plan)))),
    }
}

/// Whether the time for an answer has run out. (Only then has a probe said its last word itself.)
fn waited(facts: &Facts) -> bool {
    facts.closed.as_ref().is_some_and(|closed| closed.ending.reason == Reason::Served)
}

/// How long a probe waits for what a datagram brings back.
pub fn patience(plan: &ConnectPlan) -> Duration {
    plan.linger.unwrap_or(ConnectPlan::DATAGRAM_LINGER)
}

/// What the end of the connection means to whoever started us.
fn verdict(plan: &ConnectPlan, facts: &Facts) -> Result<(), Failure> {
    let Some(closed) = &facts.closed else { return Ok(()) };
    let target = plan.target.to_string();
    let (why, connected) = match closed.ending.reason {
        Reason::Reset { by: Side::Client, fault } | Reason::Abandoned { fault } => {
            return ours(fault);
        }
        Reason::Reset { fault, .. } => (fault.to_string(), true),
        Reason::IdleTimeout => (format!("nothing moved for {}", time(plan.idle)), true),
        Reason::Refused { fault } | Reason::Exhausted { fault } => (refusal(facts, fault), false),
        Reason::ConnectTimeout => (format!("no answer within {}", time(plan.wait)), false),
        _ => return Ok(()),
    };
    Err(match connected {
        true => Failure::Lost { target, why },
        false => Failure::CannotConnect { target, why },
    })
}

/// Our own input or output failed. That whoever read us has had enough is no failure.
fn ours(fault: Fault) -> Result<(), Failure> {
    match fault.kind {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(Failure::Stdio(fault)),
    }
}

/// If nothing was ever dialled, it is the name that was at fault.
fn refusal(facts: &Facts, fault: Fault) -> String {
    match facts.resolved.as_ref().map(|resolved| &resolved.found) {
        Some(Err(error)) if facts.target.is_empty() => error.clone(),
        _ => fault.to_string(),
    }
}

fn time(limit: Option<Duration>) -> String {
    limit.map_or("the time the system allows".to_string(), show_duration)
}
