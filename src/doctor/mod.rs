//! Tells which limit of this machine bites first for so many connections. Reads only.
//!
//! `read` collects facts from /proc and /sys, `checks` makes findings of facts and a demand,
//! `print` and `json` show them. Only `root` touches the world, and from a folder of the caller's
//! choice.

use std::io::{self, Write};

use crate::plan::DoctorPlan;
use demand::Demand;
use facts::Facts;
use finding::{Finding, Section, Sum};
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
mod json;
mod print;
mod show;
mod target;
#[cfg(test)]
mod tests;

/// Examines this machine and writes the report. True if the number asked for is known to fit, or if
/// none was asked for: without a target as a server, with one as a client of it.
pub fn run(plan: &DoctorPlan, out: &mut dyn Write) -> io::Result<bool> {
    examine(plan, &Root::new("/"), out)
}

fn examine(plan: &DoctorPlan, root: &Root, out: &mut dyn Write) -> io::Result<bool> {
    let report = Report::new(plan, &read::facts(root));
    let mut text = Vec::new();
    match plan.json {
        true => json::write(&report, &mut text)?,
        false => print::write(&report, plan.color.suits(&io::stdout()), &mut text)?,
    }
    out.write_all(&text)?;
    out.flush()?;
    Ok(plan.conns.is_none() || report.fits() == Some(true))
}

/// All that is to be told, in no form yet.
pub struct Report {
    /// The target as it prints, if one was given.
    pub target: Option<String>,
    pub conns: Option<u64>,
    pub findings: Vec<Finding>,
    /// The role that was asked about comes first, and decides.
    pub roles: Vec<(Role, Sum)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Server,
    Client,
    /// Accepts and connects: two ends of ours for each connection.
    Relay,
}

impl Report {
    pub fn new(plan: &DoctorPlan, facts: &Facts) -> Report {
        let target = plan.target.as_ref().map_or_else(Target::unnamed, Target::of);
        let conns = plan.conns.map(|conns| conns as u64);
        let demand = Demand { conns, ends: 1, target };
        let findings = checks::check(facts, &demand);
        // A relay does not choose the address it comes from.
        let target = demand.target.with_one_source();
        let relay = checks::check(facts, &Demand { ends: 2, target, ..demand });
        let server = (Role::Server, Sum::of(&findings, &[Section::Every, Section::Server]));
        let client = (Role::Client, Sum::of(&findings, &[Section::Every, Section::Client]));
        let relay = (Role::Relay, Sum::of(&relay, &Section::ALL));
        let roles = match plan.target {
            Some(_) => vec![client, relay],
            None => vec![server, client, relay],
        };
        let target = plan.target.as_ref().map(|target| target.to_string());
        Report { target, conns, findings, roles }
    }

    /// Whether the number asked for fits the role that was asked about.
    pub fn fits(&self) -> Option<bool> {
        self.roles.first().and_then(|(_, sum)| sum.fits)
    }

    /// The sections of the table: with a target, those of its client.
    pub fn sections(&self) -> &'static [Section] {
        match self.target {
            Some(_) => &[Section::Every, Section::Client],
            None => &Section::ALL,
        }
    }

    /// The findings of these sections.
    pub fn shown(&self) -> impl Iterator<Item = &Finding> {
        let mine = |found: &&Finding| self.sections().contains(&found.limit.section());
        self.findings.iter().filter(mine)
    }
}
