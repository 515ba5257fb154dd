//! What mends a limit that is too small: the exact command, with the number that is needed.

use super::demand::Demand;
use super::facts::{Facts, WIDEST_PORTS};
use super::finding::{Finding, Limit, Mend, Verdict};
use crate::text::digits::grouped;
use crate::text::shell::quoted;

/// The commands for one finding; none where nothing is known to be wrong.
pub fn commands(found: &Finding, facts: &Facts, demand: &Demand) -> Vec<Mend> {
    let is_small = found.now.known().zip(found.needs).is_some_and(|(now, needs)| *now < needs);
    let is_ill = !matches!(found.verdict, Verdict::Unasked | Verdict::Fits);
    let Some(needs) = found.needs.filter(|_| is_small && is_ill) else { return Vec::new() };
    match found.limit {
        Limit::NrOpen => vec![sysctl("fs.nr_open", needs)],
        Limit::NofileHard => nofile(needs),
        // The commands for the hard limit set the soft one too.
        Limit::NofileSoft => Vec::new(),
        Limit::FileMax => vec![sysctl("fs.file-max", roomy(needs))],
        Limit::EpollWatches => vec![sysctl("fs.epoll.max_user_watches", roomy(needs))],
        Limit::Memory => vec![mend("", "no setting adds memory: add some, or hold fewer")],
        Limit::CgroupMemory => cgroup(roomy(needs), facts),
        Limit::Conntrack => vec![sysctl("net.netfilter.nf_conntrack_max", roomy(needs))],
        Limit::TcpMem => vec![tcp_mem(roomy(needs))],
        Limit::Somaxconn => vec![sysctl("net.core.somaxconn", needs)],
        Limit::SynBacklog => syn_backlog(needs),
        Limit::Ports => ports(facts, demand),
    }
}

fn mend(command: impl Into<String>, remark: impl Into<String>) -> Mend {
    Mend { command: command.into(), remark: remark.into() }
}

fn sysctl(name: &str, value: u64) -> Mend {
    mend(format!("sysctl -w {name}={value}"), "")
}

/// A quarter more, where others take their share too and that share moves.
fn roomy(needs: u64) -> u64 {
    needs.saturating_add(needs / 4).div_ceil(1024).saturating_mul(1024)
}

fn nofile(needs: u64) -> Vec<Mend> {
    vec![
        mend(format!("ulimit -n {needs}"), "as root, in the shell that starts it"),
        mend(format!("LimitNOFILE={needs}"), "or under [Service] in the systemd unit"),
    ]
}

fn cgroup(needs: u64, facts: &Facts) -> Vec<Mend> {
    let Some(group) = facts.cgroup.known() else { return Vec::new() };
    let mut lines = vec![mend(format!("echo {needs} > {}", quoted(&group.file)), "as root")];
    let unit = group.file.rsplit('/').nth(1).unwrap_or_default();
    let is_unit = [".service", ".scope", ".slice"].iter().any(|kind| unit.ends_with(kind));
    if is_unit {
        let command = format!("systemctl set-property {} MemoryMax={needs}", quoted(unit));
        lines.push(mend(command, "or this, which stays"));
    }
    lines
}

/// Pressure begins at the middle number; the others keep the ratio that the kernel chooses.
fn tcp_mem(pages: u64) -> Mend {
    let (low, high) = (pages / 4 * 3, pages.saturating_add(pages / 2));
    mend(format!("sysctl -w net.ipv4.tcp_mem=\"{low} {pages} {high}\""), "")
}

fn syn_backlog(needs: u64) -> Vec<Mend> {
    let other = mend("sysctl -w net.ipv4.tcp_syncookies=1", "or this");
    vec![sysctl("net.ipv4.tcp_max_syn_backlog", needs), other]
}

/// First the widest range, then more addresses to connect from.
fn ports(facts: &Facts, demand: &Demand) -> Vec<Mend> {
    let Some(ports) = facts.ports.known() else { return Vec::new() };
    let mut lines = Vec::new();
    let (low, high) = WIDEST_PORTS;
    let widest = ports.usable_at_widest();
    if ports.usable() < widest {
        let command = format!("sysctl -w net.ipv4.ip_local_port_range=\"{low} {high}\"");
        lines.push(mend(command, ""));
    }
    let sources = demand.target.sources(facts).count();
    let wanted = demand.conns.unwrap_or_default().div_ceil(widest.max(1));
    if wanted > sources {
        let remark = format!("{} sources, or more targets", grouped(wanted));
        lines.push(mend("ip address add ADDRESS dev DEVICE", remark));
    }
    lines
}
