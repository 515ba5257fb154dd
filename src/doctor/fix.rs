//! Builds the commands that raise a limit, with the value needed.

use super::demand::Demand;
use super::facts::{Facts, WIDEST_PORTS};
use super::finding::{Finding, Fix, Limit, Verdict};
use crate::text::count::grouped;
use crate::text::escape::shell_quoted;

/// Returns the commands for one finding; none if the limit is known to be sufficient.
pub fn commands(found: &Finding, facts: &Facts, demand: &Demand) -> Vec<Fix> {
    let is_small = found.now.known().zip(found.needs).is_some_and(|(now, needs)| *now < needs);
    let is_judged_small = !matches!(found.verdict, Verdict::Unasked | Verdict::Fits);
    let Some(needs) = found.needs.filter(|_| is_small && is_judged_small) else {
        return Vec::new();
    };
    match found.limit {
        Limit::NrOpen => vec![sysctl("fs.nr_open", needs)],
        Limit::NofileHard => nofile(needs),
        // The commands for the hard limit set the soft one too.
        Limit::NofileSoft => Vec::new(),
        Limit::FileMax => vec![sysctl("fs.file-max", with_margin(needs))],
        Limit::EpollWatches => vec![sysctl("fs.epoll.max_user_watches", with_margin(needs))],
        Limit::Memory => {
            vec![fix("", "no setting adds memory: add some, or hold fewer connections")]
        }
        Limit::CgroupMemory => cgroup(with_margin(needs), facts),
        Limit::Conntrack => vec![sysctl("net.netfilter.nf_conntrack_max", with_margin(needs))],
        Limit::TcpMem => vec![tcp_mem(with_margin(needs))],
        Limit::Somaxconn => vec![sysctl("net.core.somaxconn", needs)],
        Limit::SynBacklog => syn_backlog(needs),
        Limit::Ports => ports(facts, demand),
    }
}

fn fix(command: impl Into<String>, remark: impl Into<String>) -> Fix {
    Fix { command: command.into(), remark: remark.into() }
}

fn sysctl(name: &str, value: u64) -> Fix {
    fix(format!("sysctl -w {name}={value}"), "")
}

/// Adds a quarter to values that other processes use up too, in changing amounts.
fn with_margin(needs: u64) -> u64 {
    needs.saturating_add(needs / 4).div_ceil(1024).saturating_mul(1024)
}

fn nofile(needs: u64) -> Vec<Fix> {
    vec![
        fix(format!("ulimit -n {needs}"), "as root, in the shell that starts it"),
        fix(format!("LimitNOFILE={needs}"), "or under [Service] in the systemd unit"),
    ]
}

fn cgroup(needs: u64, facts: &Facts) -> Vec<Fix> {
    let Some(group) = facts.cgroup.known() else { return Vec::new() };
    let mut lines = vec![fix(format!("echo {needs} > {}", shell_quoted(&group.file)), "as root")];
    let unit = group.file.rsplit('/').nth(1).unwrap_or_default();
    let is_unit = [".service", ".scope", ".slice"].iter().any(|kind| unit.ends_with(kind));
    if is_unit {
        let command = format!("systemctl set-property {} MemoryMax={needs}", shell_quoted(unit));
        lines.push(fix(command, "or this, which survives a reboot"));
    }
    lines
}

/// Memory pressure begins at the middle value; the others keep the ratio that the kernel chooses.
fn tcp_mem(pages: u64) -> Fix {
    let (low, high) = (pages / 4 * 3, pages.saturating_add(pages / 2));
    fix(format!("sysctl -w net.ipv4.tcp_mem=\"{low} {pages} {high}\""), "")
}

fn syn_backlog(needs: u64) -> Vec<Fix> {
    let other = fix("sysctl -w net.ipv4.tcp_syncookies=1", "or this");
    vec![sysctl("net.ipv4.tcp_max_syn_backlog", needs), other]
}

/// Widens the port range first, then adds source addresses.
fn ports(facts: &Facts, demand: &Demand) -> Vec<Fix> {
    let Some(ports) = facts.ports.known() else { return Vec::new() };
    let mut lines = Vec::new();
    let (low, high) = WIDEST_PORTS;
    let widest = ports.usable_at_widest();
    if ports.usable() < widest {
        let command = format!("sysctl -w net.ipv4.ip_local_port_range=\"{low} {high}\"");
        lines.push(fix(command, ""));
    }
    let sources = demand.target.sources(facts).count();
    let wanted = demand.conns.unwrap_or_default().div_ceil(widest.max(1));
    if wanted > sources {
        let remark = format!("{} sources, or more targets", grouped(wanted));
        lines.push(fix("ip address add ADDRESS dev DEVICE", remark));
    }
    lines
}
