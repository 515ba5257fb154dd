//! Tests on facts of imagined machines: verdicts, summaries, and the printed report.

use super::checks::check;
use super::demand::{Demand, Role, TargetClass};
use super::facts::{Fact, Facts, Ports};
use super::finding::{Finding, Limit};
use crate::config::Address;

mod report;
pub mod tree;
mod verdicts;

/// A machine without limits below ten million connections.
fn large_machine() -> Facts {
    let plenty = || Fact::Known(1 << 50);
    Facts {
        nofile_soft: plenty(),
        nofile_hard: plenty(),
        nr_open: plenty(),
        file_max: plenty(),
        files_in_use: Fact::Known(500),
        epoll_watches: plenty(),
        memory_available: plenty(),
        cgroup: Fact::Absent,
        somaxconn: Fact::Known(4_096),
        syn_backlog: Fact::Known(8_192),
        syncookies: Fact::Known(1),
        tcp_pressure_pages: plenty(),
        tcp_pages_in_use: Fact::Known(200),
        conntrack_max: Fact::Absent,
        conntrack_in_use: Fact::Absent,
        ports: Fact::Known(Ports { low: 1_024, high: 65_535, reserved: Vec::new() }),
        ipv4_sources: Fact::Known(200),
        ipv6_sources: Fact::Known(200),
    }
}

fn unknown() -> Fact {
    Fact::Unknown("/proc/x: permission denied".to_string())
}

fn demand(conns: u64) -> Demand {
    Demand { conns: Some(conns), role: Role::Server, target: TargetClass::unnamed() }
}

fn client(conns: u64, target: &str) -> Demand {
    let target = TargetClass::of(&Address::parse(target).unwrap());
    Demand { role: Role::Client, target, ..demand(conns) }
}

fn find(facts: &Facts, demand: &Demand, limit: Limit) -> Finding {
    let found = check(facts, demand);
    found.into_iter().find(|found| found.limit == limit).unwrap()
}

fn commands(found: &Finding) -> Vec<&str> {
    found.fix.iter().map(|fix| fix.command.as_str()).collect()
}
