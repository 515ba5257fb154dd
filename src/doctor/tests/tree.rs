//! A folder that looks like /proc and /sys of some machine, gone when the test ends.

use std::fs;
use std::path::PathBuf;

use crate::doctor::facts::{CgroupLimit, Fact, Facts, Ports};
use crate::doctor::root::Root;

pub struct Tree(PathBuf);

/// The files of a small machine: path and text.
const SMALL_MACHINE: &[(&str, &str)] = &[
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units     \n\
         Max processes             96365                96365                processes \n\
         Max open files            1024                 20000                files     \n",
    ),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/fs/file-max", "9223372036854775807\n"),
    ("proc/sys/fs/file-nr", "486\t0\t9223372036854775807\n"),
    ("proc/sys/fs/epoll/max_user_watches", "5491511\n"),
    ("proc/meminfo", "MemTotal:        1000000 kB\nMemAvailable:     500000 kB\n"),
    ("proc/self/cgroup", "0::/oneloop.service\n"),
    ("proc/self/mountinfo", "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
    ("sys/fs/cgroup/oneloop.service/memory.max", "268435456\n"),
    ("sys/fs/cgroup/oneloop.service/memory.current", "12582912\n"),
    ("sys/fs/cgroup/oneloop.service/memory.stat", "active_file 1048576\ninactive_file 1048576\n"),
    ("proc/sys/net/core/somaxconn", "128\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "256\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
    ("proc/sys/net/ipv4/tcp_mem", "11000\t15000\t22000\n"),
    ("proc/net/sockstat", "sockets: used 13\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 223\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "8192\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "192\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "40000-40999,50000\n"),
    ("proc/net/fib_trie", "Local:\n     |-- 10.0.0.2\n        /32 host LOCAL\n"),
    ("proc/net/if_inet6", "fd000000000000000000000000000002 04 40 00 82     eth0\n"),
];

impl Tree {
    pub fn empty() -> Tree {
        let process = std::process::id();
        for number in 0.. {
            let folder = std::env::temp_dir().join(format!("oneloop-doctor-{process}-{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => return Tree(folder),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make {}: {error}", folder.display()),
            }
        }
        unreachable!()
    }

    pub fn of_a_small_machine() -> Tree {
        SMALL_MACHINE.iter().fold(Tree::empty(), |tree, (path, text)| tree.with(path, text))
    }

    pub fn with(self, path: &str, text: &str) -> Tree {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn root(&self) -> Root {
        Root::new(&self.0)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The facts that must be read from that tree.
pub fn facts_of_a_small_machine() -> Facts {
    Facts {
        nofile_soft: Fact::Known(1024),
        nofile_hard: Fact::Known(20_000),
        nr_open: Fact::Known(1_048_576),
        file_max: Fact::Unlimited,
        files_in_use: Fact::Known(486),
        epoll_watches: Fact::Known(5_491_511),
        memory_available: Fact::Known(512_000_000),
        cgroup: Fact::Known(CgroupLimit {
            file: "/sys/fs/cgroup/oneloop.service/memory.max".to_string(),
            limit: 256 << 20,
            used: 10 << 20,
        }),
        somaxconn: Fact::Known(128),
        syn_backlog: Fact::Known(256),
        syncookies: Fact::Known(1),
        tcp_pressure_pages: Fact::Known(15_000),
        tcp_pages_in_use: Fact::Known(223),
        conntrack_max: Fact::Known(8_192),
        conntrack_in_use: Fact::Known(192),
        ports: Fact::Known(Ports {
            low: 32_768,
            high: 60_999,
            reserved: vec![(40_000, 40_999), (50_000, 50_000)],
        }),
        ipv4_sources: Fact::Known(1),
        ipv6_sources: Fact::Known(1),
    }
}
