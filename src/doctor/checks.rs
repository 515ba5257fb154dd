//! Checks facts against a demand and returns findings. Does no I/O, so that tests can cover every
//! case.

use super::demand::{Demand, Protocol, SourceCount};
use super::facts::{Fact, Facts};
use super::finding::{Finding, Limit, Verdict};
use super::fix;
use crate::net::bind;

/// Kernel memory per idle end of a connection, in bytes, measured with up to 1,000,000 connections
/// (docs/doctor.md).
pub const KERNEL_BYTES_PER_END: u64 = 3_900;
/// Maximum user memory per idle end, in bytes.
pub const USER_BYTES_PER_END: u64 = 100;
/// The backlog of oneloop's listeners: no more connections can wait in an accept queue.
const BACKLOG: u64 = bind::BACKLOG as u64;

/// Checks every limit that applies to the role and the protocol.
pub fn check(facts: &Facts, demand: &Demand) -> Vec<Finding> {
    let is_tcp = demand.target.protocol == Protocol::Tcp;
    let is_inet = demand.target.protocol != Protocol::Unix;
    let mut found = vec![descriptors(Limit::NrOpen, &facts.nr_open, demand)];
    found.extend(nofile(facts, demand));
    found.push(file_max(facts, demand));
    found.push(epoll_watches(facts, demand));
    found.push(memory(facts, demand));
    found.push(cgroup(facts, demand));
    found.extend(is_inet.then(|| conntrack(facts, demand)));
    found.extend(is_tcp.then(|| tcp_mem(facts, demand)));
    found.push(somaxconn(facts, demand));
    found.extend(is_tcp.then(|| syn_backlog(facts, demand)));
    found.extend(is_inet.then(|| ports(facts, demand)));
    found.retain(|finding| demand.role.has(finding.limit.section()));
    for finding in &mut found {
        finding.fix = fix::commands(finding, facts, demand);
    }
    found
}

/// A limit of which each connection uses `each`, and others use `used`.
struct Share<'a> {
    limit: Limit,
    now: &'a Fact,
    each: u64,
    used: &'a Fact,
}

const NONE_USED: Fact = Fact::Known(0);

impl Share<'_> {
    fn finding(self, demand: &Demand) -> Finding {
        let used = match self.used {
            Fact::Known(used) => Fact::Known(*used),
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::Unlimited | Fact::Absent => NONE_USED,
        };
        let holds = match (self.now, &used) {
            (Fact::Known(now), Fact::Known(used)) => {
                Fact::Known(now.saturating_sub(*used) / self.each)
            }
            (Fact::Unknown(why), _) => Fact::Unknown(why.clone()),
            (Fact::Known(_), Fact::Unknown(why)) => Fact::Unknown(why.clone()),
            (Fact::Absent, _) => Fact::Absent,
            _ => Fact::Unlimited,
        };
        let needs = demand
            .conns
            .zip(used.known())
            .map(|(conns, used)| conns.saturating_mul(self.each).saturating_add(*used));
        let verdict = verdict(&holds, demand);
        let note = if let Fact::Unknown(why) = &holds { why.clone() } else { String::new() };
        Finding {
            limit: self.limit,
            now: self.now.clone(),
            needs,
            holds,
            verdict,
            note,
            fix: vec![],
        }
    }
}

fn verdict(holds: &Fact, demand: &Demand) -> Verdict {
    match (holds, demand.conns) {
        (Fact::Unknown(_), _) => Verdict::Unknown,
        (_, None) => Verdict::Unasked,
        (Fact::Known(holds), Some(conns)) if *holds < conns => Verdict::TooSmall,
        _ => Verdict::Fits,
    }
}

/// Checks a limit on the descriptors of one process, counted as the daemon does at start.
fn descriptors(limit: Limit, now: &Fact, demand: &Demand) -> Finding {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let descriptors = demand.role.descriptors();
    let holds = now.map(|files| descriptors.capacity(number(*files)) as u64);
    Finding {
        limit,
        now: now.clone(),
        needs: demand.conns.map(|conns| descriptors.files_for(number(conns)) as u64),
        verdict: verdict(&holds, demand),
        note: if let Fact::Unknown(why) = &holds { why.clone() } else { String::new() },
        holds,
        fix: vec![],
    }
}

/// The hard limit applies: oneloop raises the soft limit to it at start.
fn nofile(facts: &Facts, demand: &Demand) -> [Finding; 2] {
    let hard = descriptors(Limit::NofileHard, &facts.nofile_hard, demand);
    let mut soft = descriptors(Limit::NofileSoft, &facts.nofile_soft, demand);
    let is_unknown = [&soft, &hard].iter().any(|found| found.verdict == Verdict::Unknown);
    if !is_unknown && soft.holds != hard.holds {
        soft.holds = hard.holds.clone();
        soft.verdict = hard.verdict;
        soft.note = "raised".to_string();
    }
    [hard, soft]
}

/// Checks the limit on the descriptors of all processes.
fn file_max(facts: &Facts, demand: &Demand) -> Finding {
    let (now, used) = (&facts.file_max, &facts.files_in_use);
    let finding =
        Share { limit: Limit::FileMax, now, each: demand.role.ends(), used }.finding(demand);
    in_use(finding, used)
}

/// Each descriptor registered with epoll by a user is one watch.
fn epoll_watches(facts: &Facts, demand: &Demand) -> Finding {
    let now = &facts.epoll_watches;
    Share { limit: Limit::EpollWatches, now, each: demand.role.ends(), used: &NONE_USED }
        .finding(demand)
}

fn bytes_each(demand: &Demand) -> u64 {
    demand.role.ends() * (KERNEL_BYTES_PER_END + USER_BYTES_PER_END)
}

fn memory(facts: &Facts, demand: &Demand) -> Finding {
    let (now, each) = (&facts.memory_available, bytes_each(demand));
    Share { limit: Limit::Memory, now, each, used: &NONE_USED }.finding(demand)
}

/// Sockets are charged to the control group of the process that opened them.
fn cgroup(facts: &Facts, demand: &Demand) -> Finding {
    let now = facts.cgroup.map(|group| group.limit);
    let used = facts.cgroup.map(|group| group.used);
    let share =
        Share { limit: Limit::CgroupMemory, now: &now, each: bytes_each(demand), used: &used };
    in_use(share.finding(demand), &used)
}

/// Each connection has one entry. A table without entries tracks nothing now, but a new firewall
/// rule can change that: if it is too small, the verdict is unknown.
fn conntrack(facts: &Facts, demand: &Demand) -> Finding {
    let (now, used) = (&facts.conntrack_max, &facts.conntrack_in_use);
    let mut found = Share { limit: Limit::Conntrack, now, each: 1, used }.finding(demand);
    if found.now == Fact::Absent {
        found.note = "not loaded".to_string();
    } else if *used == Fact::Known(0) {
        let why = "no entries".to_string();
        found.holds = Fact::Unknown(why.clone());
        found.note = why;
        if found.verdict == Verdict::TooSmall {
            found.verdict = Verdict::Unknown;
        }
    }
    in_use(found, used)
}

/// Idle connections use no pages; each with queued bytes uses at least one. Above the pressure
/// threshold the kernel shrinks buffers, so this limit slows traffic but bounds no connections.
fn tcp_mem(facts: &Facts, demand: &Demand) -> Finding {
    let (now, used) = (&facts.tcp_pressure_pages, &facts.tcp_pages_in_use);
    let found = Share { limit: Limit::TcpMem, now, each: demand.role.ends(), used }.finding(demand);
    slows(in_use(found, used))
}

/// The kernel silently truncates the backlog of every listener to this value.
fn somaxconn(facts: &Facts, demand: &Demand) -> Finding {
    burst(Limit::Somaxconn, &facts.somaxconn, demand, |burst| burst)
}

/// Half-open connections. With SYN cookies a full table refuses nothing; without them, its last
/// quarter is reserved for known peers.
fn syn_backlog(facts: &Facts, demand: &Demand) -> Finding {
    let entries = |burst: u64| (4 * burst).div_ceil(3);
    let mut found = burst(Limit::SynBacklog, &facts.syn_backlog, demand, entries);
    match facts.syncookies {
        Fact::Known(0) => {}
        Fact::Known(_) => {
            found.needs = None;
            found.note = "cookies on".to_string();
            if found.verdict == Verdict::Slows {
                found.verdict = Verdict::Fits;
            }
        }
        _ if found.verdict == Verdict::Slows => {
            found.verdict = Verdict::Unknown;
            found.note = "SYN cookies: unknown".to_string();
        }
        _ => {}
    }
    found
}

/// Checks a limit on connections that arrive at the same moment: at most N, or the backlog.
/// `entries` maps the size of a burst to the value it needs.
fn burst(limit: Limit, now: &Fact, demand: &Demand, entries: fn(u64) -> u64) -> Finding {
    let conns = demand.conns.map(|conns| entries(conns.min(BACKLOG)));
    let demand = Demand { conns, ..demand.clone() };
    slows(Share { limit, now, each: 1, used: &NONE_USED }.finding(&demand))
}

/// Converts a finding for a limit that slows but does not bound connections.
fn slows(found: Finding) -> Finding {
    let verdict = if found.verdict == Verdict::TooSmall { Verdict::Slows } else { found.verdict };
    let holds =
        if let Fact::Unknown(why) = found.holds { Fact::Unknown(why) } else { Fact::Absent };
    Finding { holds, verdict, ..found }
}

/// Each connection to one address and port needs its own local port per source address.
fn ports(facts: &Facts, demand: &Demand) -> Finding {
    let sources = demand.target.sources(facts);
    let now = facts.ports.map(|ports| ports.usable().saturating_mul(sources.count()));
    let mut found =
        Share { limit: Limit::Ports, now: &now, each: 1, used: &NONE_USED }.finding(demand);
    if now.known().is_none() {
        return found;
    }
    found.note = sources.describe();
    if sources == SourceCount::Loopback {
        found.holds = Fact::Unlimited;
        found.verdict = verdict(&found.holds, demand);
        found.needs = None;
    }
    found
}

/// Notes the current use by others, unless there is another note.
fn in_use(found: Finding, used: &Fact) -> Finding {
    match used.known() {
        Some(used @ 1..) if found.note.is_empty() => {
            let note = format!("{} used", found.limit.unit().format(*used));
            Finding { note, ..found }
        }
        _ => found,
    }
}
