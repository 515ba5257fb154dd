//! Reads the facts from /proc and /sys, or from a copy of them in a test. Changes nothing.

use std::collections::BTreeSet;

use super::cgroup;
use super::facts::{Fact, Facts, Ports};
use super::root::{Root, column, found, labelled};
use crate::net::proc;

/// Reads all facts. A fact that cannot be read is unknown, with the reason.
pub fn facts(root: &Root) -> Facts {
    let (nofile_soft, nofile_hard) = nofile(root);
    Facts {
        nofile_soft,
        nofile_hard,
        nr_open: column(root, "proc/sys/fs/nr_open", 0),
        file_max: column(root, "proc/sys/fs/file-max", 0),
        files_in_use: column(root, "proc/sys/fs/file-nr", 0),
        epoll_watches: column(root, "proc/sys/fs/epoll/max_user_watches", 0),
        memory_available: memory_available(root),
        cgroup: cgroup::tightest(root),
        somaxconn: column(root, "proc/sys/net/core/somaxconn", 0),
        syn_backlog: column(root, "proc/sys/net/ipv4/tcp_max_syn_backlog", 0),
        syncookies: column(root, "proc/sys/net/ipv4/tcp_syncookies", 0),
        tcp_pressure_pages: column(root, "proc/sys/net/ipv4/tcp_mem", 1),
        tcp_pages_in_use: tcp_pages_in_use(root),
        conntrack_max: conntrack(root, "nf_conntrack_max"),
        conntrack_in_use: conntrack(root, "nf_conntrack_count"),
        ports: ports(root),
        ipv4_sources: ipv4_sources(root),
        ipv6_sources: ipv6_sources(root),
    }
}

/// Returns the soft and the hard limit of open files.
fn nofile(root: &Root) -> (Fact, Fact) {
    let path = "proc/self/limits";
    if root.is_real() && !root.has(path) {
        return nofile_from_getrlimit();
    }
    let column = |column| labelled(root, path, "Max open files", column);
    (column(0), column(1))
}

/// Reads the limit of open files on systems without /proc.
#[cfg(unix)]
fn nofile_from_getrlimit() -> (Fact, Fact) {
    use rustix::process::{Resource, getrlimit};
    let limit = getrlimit(Resource::Nofile);
    let fact = |number: Option<u64>| number.map_or(Fact::Unlimited, Fact::Known);
    (fact(limit.current), fact(limit.maximum))
}

#[cfg(not(unix))]
fn nofile_from_getrlimit() -> (Fact, Fact) {
    let why = || Fact::Unknown("not available on this system".to_string());
    (why(), why())
}

/// The kernel's estimate of the memory that can be used without swapping.
fn memory_available(root: &Root) -> Fact {
    labelled(root, "proc/meminfo", "MemAvailable:", 0)
        .map(|kilobytes| kilobytes.saturating_mul(1024))
}

fn tcp_pages_in_use(root: &Root) -> Fact {
    let pages = |text: &str| proc::tcp_pages(text).map(Fact::number);
    found(root, "proc/net/sockstat", "line of TCP memory", pages)
}

/// Absent if the connection tracking module is not loaded.
fn conntrack(root: &Root, name: &str) -> Fact {
    let path = format!("proc/sys/net/netfilter/{name}");
    match column(root, &path, 0) {
        Fact::Unknown(_) if !root.has(&path) && root.has("proc/sys/net") => Fact::Absent,
        fact => fact,
    }
}

fn ports(root: &Root) -> Fact<Ports> {
    let reserved = match root.text("proc/sys/net/ipv4/ip_local_reserved_ports") {
        Ok(text) => port_ranges(&text),
        Err(_) => Vec::new(),
    };
    found(root, proc::PORT_RANGE, "two ports", |text| {
        let (low, high) = proc::port_range(text)?;
        Some(Fact::Known(Ports { low, high, reserved }))
    })
}

/// `8080,9000-9010`: single ports and ranges.
fn port_ranges(text: &str) -> Vec<(u16, u16)> {
    let range = |word: &str| {
        let (low, high) = word.split_once('-').unwrap_or((word, word));
        Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
    };
    text.split(',').filter_map(range).collect()
}

/// Counts the IPv4 addresses of this machine in the kernel's routing trie: an address is on its own
/// line, followed by a line that marks it as local.
fn ipv4_sources(root: &Root) -> Fact {
    found(root, "proc/net/fib_trie", "addresses", |text| {
        let mut addresses = BTreeSet::new();
        let mut last = "";
        for line in text.lines().map(str::trim) {
            if let Some(address) = line.strip_prefix("|-- ") {
                last = address;
            } else if line.starts_with("/32 host LOCAL") && !last.starts_with("127.") {
                addresses.insert(last);
            }
        }
        Some(Fact::Known(addresses.len() as u64))
    })
}

/// Counts the global IPv6 addresses of this machine: the fourth column is the scope, 00 is global.
/// A kernel without IPv6 has no such file.
fn ipv6_sources(root: &Root) -> Fact {
    let path = "proc/net/if_inet6";
    if !root.has(path) && root.has("proc/net") {
        return Fact::Known(0);
    }
    found(root, path, "addresses", |text| {
        let is_global = |line: &&str| line.split_whitespace().nth(3) == Some("00");
        Some(Fact::Known(text.lines().filter(is_global).count() as u64))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree::Tree;
    use super::*;

    #[test]
    fn a_whole_tree_is_read() {
        let tree = Tree::of_a_small_machine();
        let facts = facts(&tree.root());
        assert_eq!(facts, super::super::tests::tree::facts_of_a_small_machine());
    }

    #[test]
    fn of_an_empty_tree_nothing_is_known() {
        let tree = Tree::empty();
        let facts = facts(&tree.root());
        let Fact::Unknown(why) = &facts.nofile_soft else { panic!("{:?}", facts.nofile_soft) };
        assert!(why.starts_with("/proc/self/limits: no such file"), "{why}");
        for fact in [&facts.nr_open, &facts.memory_available, &facts.ipv6_sources] {
            assert!(matches!(fact, Fact::Unknown(_)), "{fact:?}");
        }
        assert!(matches!(facts.conntrack_max, Fact::Unknown(_)), "{:?}", facts.conntrack_max);
        assert!(matches!(facts.cgroup, Fact::Unknown(_)), "{:?}", facts.cgroup);
    }

    #[test]
    fn what_is_not_loaded_is_absent_and_not_unknown() {
        let tree = Tree::empty().with("proc/sys/net/core/somaxconn", "4096\n");
        let facts = facts(&tree.root());
        assert_eq!(facts.somaxconn, Fact::Known(4096));
        assert_eq!(facts.conntrack_max, Fact::Absent);
    }

    #[test]
    fn nonsense_is_unknown_and_named() {
        let limits = "Max open files  many\n";
        let range = "proc/sys/net/ipv4/ip_local_port_range";
        let tree = Tree::empty().with("proc/self/limits", limits).with(range, "1 99999\n");
        let facts = facts(&tree.root());
        assert_eq!(facts.nofile_soft, Fact::Unknown("not a number: many".to_string()));
        let none = "/proc/self/limits: no Max open files".to_string();
        assert_eq!(facts.nofile_hard, Fact::Unknown(none));
        assert_eq!(facts.ports, Fact::Unknown(format!("/{range}: no two ports")));
    }

    #[test]
    fn local_addresses_are_counted_once_each() {
        let trie = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.0.0.2\n        /32 host LOCAL\n\
            |-- 127.0.0.1\n   /32 host LOCAL\n   |-- 10.0.0.255\n      /32 link BROADCAST\n\
            Local:\n     |-- 10.0.0.2\n        /32 host LOCAL\n     |-- 10.0.0.3\n        \
            /32 host LOCAL\n";
        let inet6 = "00000000000000000000000000000001 01 80 10 80       lo\n\
            fd000000000000000000000000000002 04 40 00 82     eth0\n\
            fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n";
        let tree = Tree::empty().with("proc/net/fib_trie", trie).with("proc/net/if_inet6", inet6);
        let facts = facts(&tree.root());
        assert_eq!(facts.ipv4_sources, Fact::Known(2));
        assert_eq!(facts.ipv6_sources, Fact::Known(1));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_limit_of_open_files_of_this_machine_is_read() {
        let facts = facts(&Root::new("/"));
        assert!(!matches!(facts.nofile_hard, Fact::Unknown(_)), "{:?}", facts.nofile_hard);
    }
}
