//! Finds the system limit that is reached first, and connects once to a target if one is given.
//! Changes nothing.
//!
//! `read` collects facts from /proc and /sys, `checks` turns facts and a demand into findings,
//! `print` and `json` write them. Only `root` and `connect` do I/O; the caller chooses the
//! directory that `root` reads.

use std::io::{self, Write};

use crate::config::{Address, DoctorPlan};
use crate::text::terminal::stdout_columns;
use connect::ConnectAttempt;
use demand::{Demand, Role, TargetClass};
use facts::Facts;
use finding::{Finding, RoleSummary};
use root::Root;

pub(crate) mod checks;
pub(crate) mod demand;
pub(crate) mod facts;
pub(crate) mod finding;
pub(crate) mod fix;
pub(crate) mod read;
pub(crate) mod root;

mod cgroup;
mod connect;
mod json;
mod print;
#[cfg(test)]
mod tests;

/// Checks this machine and writes the report. Returns true if N connections are known to fit in
/// each role, or no N was given, and the connect to the target succeeded, or none was given.
pub fn run(plan: &DoctorPlan, out: &mut dyn Write) -> io::Result<bool> {
    let attempt = plan.target.as_ref().map(connect::attempt);
    write_report(plan, attempt, &Root::new("/"), out)
}

/// Writes the report for a tree of facts. Returns as `run` does.
fn write_report(
    plan: &DoctorPlan,
    attempt: Option<ConnectAttempt>,
    root: &Root,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let report = Report::new(plan, attempt, &read::facts(root));
    let text = match plan.json {
        true => json::text(&report),
        false => print::report(&report, plan.color.suits(&io::stdout()), stdout_columns()),
    };
    out.write_all(text.as_bytes())?;
    out.flush()?;
    let connects = report.attempt.as_ref().is_none_or(|attempt| attempt.result.is_ok());
    Ok(connects && (plan.conns.is_none() || report.fits() == Some(true)))
}

/// The content of the report.
pub struct Report {
    /// The target as printed, if one was given.
    pub target: Option<String>,
    /// The result of the connect to the target.
    pub attempt: Option<ConnectAttempt>,
    pub conns: Option<u64>,
    /// With a target: client and relay only.
    pub roles: Vec<RoleReport>,
}

/// The findings of one role.
pub struct RoleReport {
    pub role: Role,
    pub findings: Vec<Finding>,
    pub summary: RoleSummary,
}

impl Report {
    pub fn new(plan: &DoctorPlan, attempt: Option<ConnectAttempt>, facts: &Facts) -> Report {
        let resolve = |target: &Address| match &attempt {
            Some(attempt) => TargetClass::of(&attempt.resolved(target)),
            None => TargetClass::of(target),
        };
        let target = plan.target.as_ref().map_or_else(TargetClass::unnamed, resolve);
        let conns = plan.conns.map(|conns| conns as u64);
        let check_role = |role: Role| {
            let target = match role {
                Role::Server | Role::Client => target.clone(),
                // A relay does not choose the address it connects from.
                Role::Relay => target.with_one_source(),
            };
            let findings = checks::check(facts, &Demand { conns, role, target });
            let summary = RoleSummary::of(&findings);
            RoleReport { role, findings, summary }
        };
        let roles: &[Role] = match plan.target {
            Some(_) => &[Role::Client, Role::Relay],
            None => &[Role::Server, Role::Client, Role::Relay],
        };
        let target = plan.target.as_ref().map(|target| target.to_string());
        Report { target, attempt, conns, roles: roles.iter().copied().map(check_role).collect() }
    }

    /// Whether N connections fit in each role. None: unknown for one of them.
    pub fn fits(&self) -> Option<bool> {
        let any = |fits| self.roles.iter().any(|role_report| role_report.summary.fits == fits);
        match (any(Some(false)), any(None)) {
            (true, _) => Some(false),
            (false, true) => None,
            (false, false) => Some(true),
        }
    }
}
