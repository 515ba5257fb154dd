//! What the doctor finds out: for each limit the present value, what is needed, and a verdict.

use super::facts::Fact;

/// The limits that are looked at. The order is that of the report, and of mending: a limit stands
/// behind those that it depends on.
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
    /// Its full name, for machines.
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

    /// Its name in a sentence.
    pub fn word(self) -> &'static str {
        match self {
            Limit::NofileHard | Limit::NofileSoft => "RLIMIT_NOFILE",
            _ => self.short(),
        }
    }

    /// Its name in the table, at most 19 columns wide.
    pub fn short(self) -> &'static str {
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

    pub fn unit(self) -> Unit {
        match self {
            Limit::Memory | Limit::CgroupMemory => Unit::Bytes,
            _ => Unit::Count,
        }
    }

    /// Whether it bounds how many connections there can be. The others slow a burst, or much
    /// traffic at once.
    pub fn is_bound(self) -> bool {
        !matches!(self, Limit::TcpMem | Limit::Somaxconn | Limit::SynBacklog)
    }

    pub fn section(self) -> Section {
        match self {
            Limit::Somaxconn | Limit::SynBacklog => Section::Server,
            Limit::Ports => Section::Client,
            _ => Section::Every,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Bytes,
}

/// Whom a limit concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Every connection, whoever opened it.
    Every,
    /// Only a server, which accepts.
    Server,
    /// Only a client, which connects.
    Client,
}

impl Section {
    pub const ALL: [Section; 3] = [Section::Every, Section::Server, Section::Client];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No number was asked for.
    Unasked,
    Fits,
    TooSmall,
    /// Too small for a burst or for much traffic at once; the connections are held all the same.
    Slows,
    /// It could not be judged. Never taken for enough.
    Unknown,
}

/// One limit, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub limit: Limit,
    pub now: Fact,
    /// What the value must be at least, with what others use now. None: nothing was asked for, or
    /// any value will do.
    pub needs: Option<u64>,
    /// How many connections it lets through. Absent: it does not bound their number.
    pub holds: Fact,
    pub verdict: Verdict,
    pub note: String,
    pub mend: Vec<Mend>,
}

/// A line to type (or to write into a file), and what must be known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mend {
    pub command: String,
    pub remark: String,
}

/// What all limits of one role come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How many connections fit, and the limit that says so. None: no limit is known to bite.
    pub bites: Option<(u64, Limit)>,
    /// Of how many bounds nothing is known.
    pub unknown: usize,
    /// Whether any bound is known.
    pub known: bool,
    /// Whether the number asked for fits. None: none was asked for, or too little is known.
    pub fits: Option<bool>,
}

impl Sum {
    pub fn of(findings: &[Finding]) -> Sum {
        let mine: Vec<&Finding> = findings.iter().filter(|found| found.limit.is_bound()).collect();
        let count = |verdict| mine.iter().filter(|found| found.verdict == verdict).count();
        let bite = |found: &&Finding| Some((*found.holds.known()?, found.limit));
        Sum {
            bites: mine.iter().filter_map(bite).min_by_key(|(holds, _)| *holds),
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
