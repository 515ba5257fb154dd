//! Findings: for each limit the current value, the value needed, and a verdict.

use serde::Serialize;

use super::facts::Fact;

/// The limits checked, in the order of the report and of the fixes: a limit follows those that it
/// depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    NrOpen,
    NofileHard,
    NofileSoft,
    FileMax,
    EpollWatches,
    Memory,
    CgroupMemory,
    Conntrack,
    TcpMem,
    Somaxconn,
    SynBacklog,
    Ports,
}

impl Limit {
    /// The full name, for JSON.
    pub fn name(self) -> &'static str {
        match self {
            Limit::NrOpen => "fs.nr_open",
            Limit::NofileHard => "RLIMIT_NOFILE, hard",
            Limit::NofileSoft => "RLIMIT_NOFILE, soft",
            Limit::FileMax => "fs.file-max",
            Limit::EpollWatches => "fs.epoll.max_user_watches",
            Limit::Memory => "available memory",
            Limit::CgroupMemory => "cgroup memory",
            Limit::Conntrack => "net.netfilter.nf_conntrack_max",
            Limit::TcpMem => "net.ipv4.tcp_mem, in pages",
            Limit::Somaxconn => "net.core.somaxconn",
            Limit::SynBacklog => "net.ipv4.tcp_max_syn_backlog",
            Limit::Ports => "ip_local_port_range × sources",
        }
    }

    /// The name in a sentence.
    pub fn sentence_name(self) -> &'static str {
        match self {
            Limit::NofileHard | Limit::NofileSoft => "RLIMIT_NOFILE",
            _ => self.table_name(),
        }
    }

    /// The name in the table, at most 19 columns wide.
    pub fn table_name(self) -> &'static str {
        match self {
            Limit::NofileHard => "RLIMIT_NOFILE hard",
            Limit::NofileSoft => "RLIMIT_NOFILE soft",
            Limit::EpollWatches => "max_user_watches",
            Limit::Conntrack => "nf_conntrack_max",
            Limit::TcpMem => "tcp_mem (pages)",
            Limit::Somaxconn => "somaxconn",
            Limit::SynBacklog => "tcp_max_syn_backlog",
            Limit::Ports => "ip_local_port_range",
            _ => self.name(),
        }
    }

    pub fn unit(self) -> LimitUnit {
        match self {
            Limit::Memory | Limit::CgroupMemory => LimitUnit::Bytes,
            _ => LimitUnit::Count,
        }
    }

    /// Whether it bounds the number of connections. The others slow down bursts or heavy traffic.
    pub fn is_bound(self) -> bool {
        !matches!(self, Limit::TcpMem | Limit::Somaxconn | Limit::SynBacklog)
    }

    pub fn section(self) -> LimitSection {
        match self {
            Limit::Somaxconn | Limit::SynBacklog => LimitSection::Server,
            Limit::Ports => LimitSection::Client,
            _ => LimitSection::Every,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitUnit {
    Count,
    Bytes,
}

/// The connections that a limit applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LimitSection {
    /// All connections, accepted or opened.
    Every,
    /// Accepted connections.
    Server,
    /// Connections to a target.
    Client,
}

impl LimitSection {
    pub const ALL: [LimitSection; 3] =
        [LimitSection::Every, LimitSection::Server, LimitSection::Client];
}

/// The worst one is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    TooSmall,
    /// Could not be determined. Never counted as sufficient.
    Unknown,
    /// Too small for a burst or heavy traffic; the connections still fit.
    Slows,
    Fits,
    /// No N was given.
    Unasked,
}

/// The result of checking one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub limit: Limit,
    pub now: Fact,
    /// Minimum value, including the current use by others. None: no N was given, or any value is
    /// sufficient.
    pub needs: Option<u64>,
    /// Number of connections it allows. Absent: it does not bound their number.
    pub holds: Fact,
    pub verdict: Verdict,
    pub note: String,
    pub fix: Vec<Fix>,
}

/// A command (or a line for a configuration file) and a remark about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fix {
    pub command: String,
    pub remark: String,
}

/// The summary of all limits of one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleSummary {
    /// Number of connections that fit, and the limit reached first. None: no limit is known.
    pub limiting: Option<(u64, Limit)>,
    /// Number of bounds that are unknown.
    pub unknown: usize,
    /// Whether any bound is known.
    pub known: bool,
    /// Whether N connections fit. None: no N was given, or too little is known.
    pub fits: Option<bool>,
}

impl RoleSummary {
    pub fn of(findings: &[Finding]) -> RoleSummary {
        let mine: Vec<&Finding> = findings.iter().filter(|found| found.limit.is_bound()).collect();
        let count = |verdict| mine.iter().filter(|found| found.verdict == verdict).count();
        let bound = |found: &&Finding| Some((*found.holds.known()?, found.limit));
        RoleSummary {
            limiting: mine.iter().filter_map(bound).min_by_key(|(holds, _)| *holds),
            unknown: count(Verdict::Unknown),
            known: count(Verdict::Unknown) < mine.len(),
            fits: match (count(Verdict::TooSmall), count(Verdict::Unknown), count(Verdict::Fits)) {
                (1.., _, _) => Some(false),
                (0, 0, 1..) => Some(true),
                _ => None,
            },
        }
    }
}
