//! The facts about this machine, as plain numbers. `read` collects them, `checks` evaluates them.

/// A number, or why there is none. An unknown value is never counted as sufficient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<T = u64> {
    Known(T),
    /// There is no limit.
    Unlimited,
    /// The limit does not exist here: a kernel module is not loaded, there is no such group.
    Absent,
    /// It could not be read, for this reason.
    Unknown(String),
}

/// Larger numbers mean "no limit": the kernel prints 2^63, rounded down to pages.
const UNLIMITED_FROM: u64 = 1 << 62;

impl Fact {
    /// Parses a number printed by the kernel; some words and huge numbers mean no limit.
    pub fn number(text: &str) -> Fact {
        match text.trim() {
            "max" | "unlimited" => Fact::Unlimited,
            digits => match digits.parse() {
                Ok(UNLIMITED_FROM..) => Fact::Unlimited,
                Ok(number) => Fact::Known(number),
                Err(_) => Fact::Unknown(format!("not a number: {:.20}", digits.escape_default())),
            },
        }
    }
}

impl<T> Fact<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            _ => None,
        }
    }

    /// Names the state, for JSON and the table.
    pub fn state(&self) -> &'static str {
        match self {
            Fact::Known(_) => "known",
            Fact::Unlimited => "no limit",
            Fact::Absent => "none",
            Fact::Unknown(_) => "unknown",
        }
    }

    /// Maps a known value.
    pub fn map<U>(&self, make: impl FnOnce(&T) -> U) -> Fact<U> {
        match self {
            Fact::Known(value) => Fact::Known(make(value)),
            Fact::Unlimited => Fact::Unlimited,
            Fact::Absent => Fact::Absent,
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
        }
    }
}

/// The input of the checks. Sizes are in bytes unless the name states another unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    pub nofile_soft: Fact,
    pub nofile_hard: Fact,
    pub nr_open: Fact,
    pub file_max: Fact,
    /// Descriptors currently open in all processes.
    pub files_in_use: Fact,
    pub epoll_watches: Fact,
    pub memory_available: Fact,
    pub cgroup: Fact<CgroupLimit>,
    pub somaxconn: Fact,
    pub syn_backlog: Fact,
    /// 0: off, so that a full SYN backlog drops connections.
    pub syncookies: Fact,
    /// Memory pressure threshold of TCP (the middle value of tcp_mem).
    pub tcp_pressure_pages: Fact,
    pub tcp_pages_in_use: Fact,
    pub conntrack_max: Fact,
    pub conntrack_in_use: Fact,
    pub ports: Fact<Ports>,
    /// Source addresses of this machine, without loopback and link-local ones.
    pub ipv4_sources: Fact,
    pub ipv6_sources: Fact,
}

/// The control group with the least memory left: that of this process or an ancestor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupLimit {
    /// The file with the limit.
    pub file: String,
    pub limit: u64,
    /// Memory in use, without reclaimable page cache.
    pub used: u64,
}

/// The ports that the kernel uses for outgoing connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ports {
    pub low: u16,
    pub high: u16,
    /// Reserved ranges, inclusive.
    pub reserved: Vec<(u16, u16)>,
}

/// The widest useful range: lower ports are privileged.
pub const WIDEST_PORTS: (u16, u16) = (1024, 65535);

impl Ports {
    /// Returns the number of usable ports in the range.
    pub fn usable(&self) -> u64 {
        self.usable_within(self.low, self.high)
    }

    /// Returns the number of usable ports in the widest range.
    pub fn usable_at_widest(&self) -> u64 {
        self.usable_within(WIDEST_PORTS.0, WIDEST_PORTS.1)
    }

    fn usable_within(&self, low: u16, high: u16) -> u64 {
        let taken = |port: &u16| self.reserved.iter().any(|(a, b)| (a..=b).contains(&port));
        (low..=high).filter(|port| !taken(port)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_numbers_and_words_mean_no_limit() {
        for text in ["max\n", "unlimited", "9223372036854771712", "9223372036854775807\n"] {
            assert_eq!(Fact::number(text), Fact::Unlimited, "{text}");
        }
        assert_eq!(Fact::number("20000\n"), Fact::Known(20_000));
    }

    #[test]
    fn what_is_not_a_number_is_unknown() {
        for text in ["", "-1", "many", "1 2", "18446744073709551616"] {
            assert!(matches!(Fact::number(text), Fact::Unknown(_)), "{text}");
        }
    }

    #[test]
    fn reserved_ports_are_not_usable() {
        let mut ports = Ports { low: 32768, high: 60999, reserved: Vec::new() };
        assert_eq!((ports.usable(), ports.usable_at_widest()), (28_232, 64_512));
        ports.reserved = vec![(32768, 32769), (8080, 8080), (60999, 61000)];
        assert_eq!((ports.usable(), ports.usable_at_widest()), (28_229, 64_507));
        ports = Ports { low: 9, high: 8, reserved: Vec::new() };
        assert_eq!(ports.usable(), 0);
    }
}
