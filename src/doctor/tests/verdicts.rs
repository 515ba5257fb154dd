//! Every verdict, by tables: a fact and a number of connections in, a finding out.

use super::*;
use crate::doctor::facts::CgroupLimit;
use crate::doctor::finding::Verdict::{self, Fits, Slows, TooSmall, Unasked, Unknown};

#[test]
fn on_a_large_machine_all_limits_fit() {
    let found = check(&large_machine(), &client(1_000_000, "10.0.0.1:7"));
    assert_eq!(found.len(), 10);
    for found in found {
        assert_eq!((found.verdict, &*found.fix), (Fits, &[][..]), "{:?}", found.limit);
    }
}

/// A demand in a role that the limit concerns.
fn concerned(limit: Limit, conns: Option<u64>) -> Demand {
    let role = if limit == Limit::Ports { Role::Client } else { Role::Server };
    Demand { conns, role, ..demand(1) }
}

/// Makes a large machine smaller in one point.
type Change = fn(&mut Facts);

/// A change to a large machine, and the finding expected for 1,000 connections.
struct Case {
    limit: Limit,
    change: Change,
    verdict: Verdict,
    needs: Option<u64>,
    holds: Option<u64>,
    command: &'static str,
}

const fn case(limit: Limit, change: Change, verdict: Verdict) -> Case {
    Case { limit, change, verdict, needs: None, holds: None, command: "" }
}

/// Each limit with the value that is just too small, and with the one that just fits.
#[rustfmt::skip]
const EDGES: &[Case] = &[
    Case { needs: Some(1_033), holds: Some(999), command: "sysctl -w fs.nr_open=1033",
        ..case(Limit::NrOpen, |m| m.nr_open = Fact::Known(1_032), TooSmall) },
    Case { needs: Some(1_033), holds: Some(1_000),
        ..case(Limit::NrOpen, |m| m.nr_open = Fact::Known(1_033), Fits) },
    Case { needs: Some(1_033), holds: Some(999), command: "ulimit -n 1033",
        ..case(Limit::NofileHard, |m| m.nofile_hard = Fact::Known(1_032), TooSmall) },
    Case { needs: Some(1_033), holds: Some(1_000),
        ..case(Limit::NofileHard, |m| m.nofile_hard = Fact::Known(1_033), Fits) },
    Case { needs: Some(1_033),
        ..case(Limit::NofileHard, |m| m.nofile_hard = Fact::Unlimited, Fits) },
    Case { needs: Some(1_500), holds: Some(999), command: "sysctl -w fs.file-max=2048",
        ..case(Limit::FileMax, |m| m.file_max = Fact::Known(1_499), TooSmall) },
    Case { needs: Some(1_500), holds: Some(1_000),
        ..case(Limit::FileMax, |m| m.file_max = Fact::Known(1_500), Fits) },
    Case { needs: Some(1_000), holds: Some(999),
        command: "sysctl -w fs.epoll.max_user_watches=2048",
        ..case(Limit::EpollWatches, |m| m.epoll_watches = Fact::Known(999), TooSmall) },
    Case { needs: Some(4_000_000), holds: Some(999),
        ..case(Limit::Memory, |m| m.memory_available = Fact::Known(3_999_999), TooSmall) },
    Case { needs: Some(4_000_000), holds: Some(1_000),
        ..case(Limit::Memory, |m| m.memory_available = Fact::Known(4_000_000), Fits) },
    Case { needs: Some(1_100), holds: Some(999),
        command: "sysctl -w net.netfilter.nf_conntrack_max=2048",
        ..case(Limit::Conntrack, |m| conntrack(m, 1_099, 100), TooSmall) },
    Case { needs: Some(1_100), holds: Some(1_000),
        ..case(Limit::Conntrack, |m| conntrack(m, 1_100, 100), Fits) },
    Case { needs: Some(1_000), command: "sysctl -w net.netfilter.nf_conntrack_max=2048",
        ..case(Limit::Conntrack, |m| conntrack(m, 999, 0), Unknown) },
    Case { needs: Some(1_000),
        ..case(Limit::Conntrack, |m| conntrack(m, 1_000, 0), Fits) },
    Case { needs: Some(1_200), command: "sysctl -w net.ipv4.tcp_mem=\"1536 2048 3072\"",
        ..case(Limit::TcpMem, |m| m.tcp_pressure_pages = Fact::Known(1_199), Slows) },
    Case { needs: Some(1_000), command: "sysctl -w net.core.somaxconn=1000",
        ..case(Limit::Somaxconn, |m| m.somaxconn = Fact::Known(999), Slows) },
    Case { ..case(Limit::SynBacklog, |m| m.syn_backlog = Fact::Known(1), Fits) },
    Case { needs: Some(1_334), command: "sysctl -w net.ipv4.tcp_max_syn_backlog=1334",
        ..case(Limit::SynBacklog, |m| without_cookies(m, 1_333), Slows) },
    Case { needs: Some(1_334),
        ..case(Limit::SynBacklog, |m| without_cookies(m, 1_334), Fits) },
    Case { needs: Some(1_000), holds: Some(10),
        command: "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"",
        ..case(Limit::Ports, |m| m.ports = range(2_000, 2_009), TooSmall) },
];

fn conntrack(machine: &mut Facts, max: u64, used: u64) {
    machine.conntrack_max = Fact::Known(max);
    machine.conntrack_in_use = Fact::Known(used);
}

fn without_cookies(machine: &mut Facts, backlog: u64) {
    machine.syncookies = Fact::Known(0);
    machine.syn_backlog = Fact::Known(backlog);
}

fn range(low: u16, high: u16) -> Fact<Ports> {
    Fact::Known(Ports { low, high, reserved: Vec::new() })
}

#[test]
fn each_limit_applies_at_its_edge_and_names_its_fix() {
    for row in EDGES {
        let mut machine = large_machine();
        (row.change)(&mut machine);
        let found = find(&machine, &concerned(row.limit, Some(1_000)), row.limit);
        let name = format!("{found:?}");
        assert_eq!(found.verdict, row.verdict, "{name}");
        assert_eq!(found.needs, row.needs, "{name}");
        assert_eq!(found.holds.known().copied(), row.holds, "{name}");
        assert_eq!(commands(&found).first().copied().unwrap_or_default(), row.command, "{name}");
    }
}

#[test]
fn no_other_limit_is_reported() {
    for row in EDGES.iter().filter(|row| row.limit != Limit::NofileHard) {
        let mut machine = large_machine();
        (row.change)(&mut machine);
        for found in check(&machine, &demand(1_000)) {
            assert!(found.limit == row.limit || found.verdict == Fits, "{found:?}");
        }
    }
}

#[test]
fn what_cannot_be_read_is_unknown_and_never_enough() {
    let unread: &[(Limit, Change)] = &[
        (Limit::NrOpen, |m| m.nr_open = unknown()),
        (Limit::NofileHard, |m| m.nofile_hard = unknown()),
        (Limit::NofileSoft, |m| m.nofile_soft = unknown()),
        (Limit::FileMax, |m| m.file_max = unknown()),
        (Limit::FileMax, |m| m.files_in_use = unknown()),
        (Limit::EpollWatches, |m| m.epoll_watches = unknown()),
        (Limit::Memory, |m| m.memory_available = unknown()),
        (Limit::CgroupMemory, |m| m.cgroup = Fact::Unknown("why".to_string())),
        (Limit::Conntrack, |m| m.conntrack_max = unknown()),
        (Limit::TcpMem, |m| m.tcp_pressure_pages = unknown()),
        (Limit::Somaxconn, |m| m.somaxconn = unknown()),
        (Limit::SynBacklog, |m| m.syn_backlog = unknown()),
        (Limit::Ports, |m| m.ports = Fact::Unknown("why".to_string())),
    ];
    for (limit, change) in unread {
        let mut machine = large_machine();
        change(&mut machine);
        for conns in [None, Some(1)] {
            let found = find(&machine, &concerned(*limit, conns), *limit);
            assert_eq!(found.verdict, Unknown, "{limit:?}");
            assert!(!found.note.is_empty() && found.fix.is_empty(), "{found:?}");
        }
    }
}

#[test]
fn unknown_cookies_leave_a_small_backlog_unknown() {
    let mut machine = Facts { syncookies: unknown(), ..large_machine() };
    assert_eq!(find(&machine, &demand(1_000), Limit::SynBacklog).verdict, Fits);
    machine.syn_backlog = Fact::Known(10);
    assert_eq!(find(&machine, &demand(1_000), Limit::SynBacklog).verdict, Unknown);
}

#[test]
fn the_soft_limit_is_raised_as_far_as_the_hard_one_allows() {
    let mut machine = Facts { nofile_soft: Fact::Known(1_024), ..large_machine() };
    let found = find(&machine, &demand(5_000), Limit::NofileSoft);
    assert_eq!((found.verdict, &*found.note), (Fits, "raised"));
    machine.nofile_hard = Fact::Known(4_096);
    let found = find(&machine, &demand(5_000), Limit::NofileSoft);
    assert_eq!((found.verdict, found.holds), (TooSmall, Fact::Known(4_063)));
    machine.nofile_hard = unknown();
    let found = find(&machine, &demand(5_000), Limit::NofileSoft);
    assert_eq!((found.verdict, found.holds), (TooSmall, Fact::Known(991)));
}

#[test]
fn a_group_bounds_by_what_it_has_left_and_is_named() {
    let file = "/sys/fs/cgroup/x.service/memory.max".to_string();
    let group = CgroupLimit { file, limit: 10_000_000, used: 6_000_001 };
    let machine = Facts { cgroup: Fact::Known(group), ..large_machine() };
    let found = find(&machine, &demand(1_000), Limit::CgroupMemory);
    assert_eq!((found.verdict, &found.holds), (TooSmall, &Fact::Known(999)));
    let expected = [
        "echo 12500992 > /sys/fs/cgroup/x.service/memory.max",
        "systemctl set-property x.service MemoryMax=12500992",
    ];
    assert_eq!(commands(&found), expected);
}

#[test]
fn a_cgroup_named_to_run_a_command_is_quoted() {
    let file = "/sys/fs/cgroup/$(id)\x1b.service/memory.max".to_string();
    let group = CgroupLimit { file, limit: 10_000_000, used: 6_000_001 };
    let machine = Facts { cgroup: Fact::Known(group), ..large_machine() };
    let expected = [
        "echo 12500992 > $'/sys/fs/cgroup/$(id)\\x1b.service/memory.max'",
        "systemctl set-property $'$(id)\\x1b.service' MemoryMax=12500992",
    ];
    assert_eq!(commands(&find(&machine, &demand(1_000), Limit::CgroupMemory)), expected);
}

#[test]
fn a_burst_is_never_larger_than_the_backlog_we_ask_for() {
    let machine = Facts { somaxconn: Fact::Known(4_096), ..large_machine() };
    let found = find(&machine, &demand(1_000_000), Limit::Somaxconn);
    assert_eq!((found.verdict, found.needs), (Fits, Some(4_096)));
    let machine = Facts { syncookies: Fact::Known(0), ..machine };
    let found = find(&machine, &demand(1_000_000), Limit::SynBacklog);
    assert_eq!((found.verdict, found.needs), (Fits, Some(5_462)));
}

#[test]
fn a_relay_takes_two_of_what_is_counted_by_ends() {
    let machine = Facts { nofile_hard: Fact::Known(20_000), ..large_machine() };
    let demand = Demand { role: Role::Relay, ..demand(10_000) };
    let found = find(&machine, &demand, Limit::NofileHard);
    assert_eq!((found.needs, found.holds), (Some(20_161), Fact::Known(9_919)));
    assert_eq!(find(&machine, &demand, Limit::Memory).needs, Some(80_000_000));
    assert_eq!(find(&machine, &demand, Limit::Ports).needs, Some(10_000));
}

#[test]
fn ports_count_once_for_each_source_address() {
    let mut machine = Facts { ports: range(32_768, 60_999), ..large_machine() };
    (machine.ipv4_sources, machine.ipv6_sources) = (Fact::Known(3), unknown());
    let cases = [
        ("10.0.0.1:7", 3 * 28_232, "3 sources"),
        ("udp://10.0.0.1:7", 3 * 28_232, "3 sources"),
        ("name:7", 3 * 28_232, "3 sources"),
        ("[2001:db8::1]:7", 28_232, "1 source?"),
        ("[fe80::1%eth0]:7", 28_232, "1 source"),
        ("[::1]:7", 28_232, "1 source"),
    ];
    for (target, ports, note) in cases {
        let found = find(&machine, &client(1, target), Limit::Ports);
        assert_eq!((found.holds, &*found.note), (Fact::Known(ports), note), "{target}");
    }
}

#[test]
fn ports_do_not_bound_a_client_on_loopback() {
    let machine = Facts { ports: range(32_768, 60_999), ..large_machine() };
    for target in ["127.0.0.9:7", "[::ffff:127.0.0.1]:7", "LocalHost:7", ":7"] {
        let found = find(&machine, &client(1_000_000, target), Limit::Ports);
        assert_eq!(
            (&found.now, &found.holds),
            (&Fact::Known(28_232), &Fact::Unlimited),
            "{target}"
        );
        assert_eq!((found.verdict, &*found.note, found.needs), (Fits, "loopback", None));
        assert!(found.fix.is_empty());
        let relay = Demand {
            role: Role::Relay,
            target: client(1, target).target.with_one_source(),
            ..demand(28_233)
        };
        let found = find(&machine, &relay, Limit::Ports);
        assert_eq!((found.verdict, &found.holds), (TooSmall, &Fact::Known(28_232)), "{target}");
    }
}

#[test]
fn the_doctor_promises_what_the_daemon_grants() {
    use crate::net::limits::{Descriptors, max_connections};
    for files in [40, 80, 256, 1_024, 4_096, 20_000, 1_048_576] {
        let machine = Facts { nofile_hard: Fact::Known(files), ..large_machine() };
        for role in [Role::Server, Role::Relay] {
            let found = find(&machine, &Demand { role, ..demand(1) }, Limit::NofileHard);
            let granted = match role {
                Role::Relay => Descriptors::RELAY,
                Role::Server | Role::Client => Descriptors::SERVER,
            };
            let granted = max_connections(None, files as usize, granted).unwrap();
            assert_eq!(found.holds, Fact::Known(granted as u64), "{files} {role:?}");
        }
    }
}

#[test]
fn more_sources_are_asked_for_only_where_the_widest_range_is_not_enough() {
    let machine = Facts { ports: range(32_768, 60_999), ..large_machine() };
    let range = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"";
    let address = "ip address add ADDRESS dev DEVICE";
    let found = find(&machine, &client(64_512, "[::1]:7"), Limit::Ports);
    assert_eq!(commands(&found), [range]);
    let found = find(&machine, &client(64_513, "[::1]:7"), Limit::Ports);
    assert_eq!(commands(&found), [range, address]);
    assert!(found.fix[1].remark.starts_with("2 sources"), "{:?}", found.fix);
    let found = find(&large_machine(), &client(64_513, "[::1]:7"), Limit::Ports);
    assert_eq!(commands(&found), [address]);
}

#[test]
fn a_target_without_ports_is_not_bounded_by_them() {
    let relay = |target| Demand { role: Role::Relay, ..client(1, target) };
    let limits = |target| check(&large_machine(), &relay(target)).len();
    assert_eq!(
        ["10.0.0.1:7", "udp://10.0.0.1:7", "/x", "unix-dgram:/x"].map(limits),
        [12, 10, 8, 8]
    );
}

#[test]
fn no_number_is_no_verdict() {
    let demand = Demand { conns: None, ..demand(1) };
    for found in check(&super::tree::facts_of_a_small_machine(), &demand) {
        assert_eq!((found.verdict, found.needs), (Unasked, None), "{:?}", found.limit);
    }
}

#[test]
fn a_number_beyond_all_numbers_does_not_overflow() {
    for found in check(&super::tree::facts_of_a_small_machine(), &demand(u64::MAX)) {
        assert_ne!(found.verdict, Unknown, "{found:?}");
    }
}
