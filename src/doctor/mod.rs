//! Tells which limit of this machine bites first for so many connections, and connects once to a
//! target that is given. Changes nothing.
//!
//! `read` collects facts from /proc and /sys, `checks` makes findings of facts and a demand,
//! `print` and `json` show them. Only `root` and `connect` touch the world, and `root` from a
//! folder of the caller's choice.

use std::io::{self, Write};

use crate::plan::{Address, DoctorPlan};
use crate::text::terminal::stdout_columns;
use connect::Attempt;
use demand::{Demand, Role};
use facts::Facts;
use finding::{Finding, Sum};
use root::Root;
use target::Target;

pub mod checks;
pub mod demand;
pub mod facts;
pub mod finding;
pub mod mend;
pub mod read;
pub mod root;

mod cgroup;
mod connect;
mod json;
mod print;
mod show;
mod target;
#[cfg(test)]
mod tests;

/// Examines this machine and writes the report. True if the number asked for is known to fit in
/// each role, or none was asked for, and if the target could be connected to, or none was given.
pub fn run(plan: &DoctorPlan, out: &mut dyn Write) -> io::Result<bool> {
    let attempt = plan.target.as_ref().map(connect::attempt);
    examine(plan, attempt, &Root::new("/"), out)
}

fn examine(
    plan: &DoctorPlan,
    attempt: Option<Attempt>,
    root: &Root,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let report = Report::new(plan, attempt, &read::facts(root));
    let mut text = Vec::new();
    match plan.json {
        true => json::write(&report, &mut text)?,
        false => {
            let colour = plan.color.suits(&io::stdout());
            text.extend(print::report(&report, colour, stdout_columns()).into_bytes());
        }
    }
    out.write_all(&text)?;
    out.flush()?;
    let connects = report.attempt.as_ref().is_none_or(|attempt| attempt.result.is_ok());
    Ok(connects && (plan.conns.is_none() || report.fits() == Some(true)))
}

/// All that is to be told, in no form yet.
pub struct Report {
    /// The target as it prints, if one was given.
    pub target: Option<String>,
    /// What happened when it was connected to.
    pub attempt: Option<Attempt>,
    pub conns: Option<u64>,
    /// With a target there is no server among them.
    pub roles: Vec<Judged>,
}

/// The limits as they concern one role.
pub struct Judged {
    pub role: Role,
    pub findings: Vec<Finding>,
    pub sum: Sum,
}

impl Report {
    pub fn new(plan: &DoctorPlan, attempt: Option<Attempt>, facts: &Facts) -> Report {
        let resolve = |target: &Address| match &attempt {
            Some(attempt) => Target::of(&attempt.resolved(target)),
            None => Target::of(target),
        };
        let target = plan.target.as_ref().map_or_else(Target::unnamed, resolve);
        let conns = plan.conns.map(|conns| conns as u64);
        let judge = |role: Role| {
            let target = match role {
                Role::Server | Role::Client => target.clone(),
                // A relay does not choose the address it connects from.
                Role::Relay => target.with_one_source(),
            };
            let findings = checks::check(facts, &Demand { conns, role, target });
            let sum = Sum::of(&findings);
            Judged { role, findings, sum }
        };
        let roles: &[Role] = match plan.target {
            Some(_) => &[Role::Client, Role::Relay],
            None => &[Role::Server, Role::Client, Role::Relay],
        };
        let target = plan.target.as_ref().map(|target| target.to_string());
        Report { target, attempt, conns, roles: roles.iter().copied().map(judge).collect() }
    }

    /// Whether the number asked for fits in each role. None: in one of them it is not known.
    pub fn fits(&self) -> Option<bool> {
        let any = |fits| self.roles.iter().any(|judged| judged.sum.fits == fits);
        match (any(Some(false)), any(None)) {
            (true, _) => Some(false),
            (false, true) => None,
            (false, false) => Some(true),
        }
    }
}
