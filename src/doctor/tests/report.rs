//! Tests of the report.

use super::tree::facts_of_a_small_machine;
use super::*;
use crate::config::DoctorPlan;
use crate::doctor::connect::{ConnectAttempt, Connected};
use crate::doctor::{Report, json, print, run, write_report};
use crate::text::wrap::{COLUMNS, width};

fn report(facts: &Facts, conns: Option<usize>, target: Option<&str>) -> Report {
    let target = target.map(|target| Address::parse(target).unwrap());
    Report::new(&DoctorPlan { conns, target, ..DoctorPlan::default() }, None, facts)
}

fn printed(report: &Report, colour: bool) -> String {
    print::report(report, colour, COLUMNS)
}

fn first_line(facts: &Facts, conns: Option<usize>, target: Option<&str>) -> String {
    printed(&report(facts, conns, target), false).lines().next().unwrap().to_string()
}

/// A machine limited by open files.
fn common_machine() -> Facts {
    let hard = Fact::Known(20_000);
    let ports = Fact::Known(Ports { low: 50_001, high: 60_000, reserved: Vec::new() });
    Facts { nofile_hard: hard.clone(), nofile_soft: hard, ports, ..large_machine() }
}

#[test]
fn the_first_sentence_answers() {
    let machine = common_machine();
    let line = |conns, target| first_line(&machine, conns, target);
    assert_eq!(
        line(None, None),
        "As a server: up to 19,967 connections, limited by RLIMIT_NOFILE."
    );
    assert_eq!(
        line(Some(19_967), None),
        "  ok  As a server: 19,967 connections fit, up to 19,967 (RLIMIT_NOFILE)."
    );
    assert_eq!(
        line(Some(19_968), None),
        "  NO  As a server: 19,968 connections do not fit, only 19,967 (RLIMIT_NOFILE)."
    );
    assert_eq!(
        line(None, Some("[::1]:7")),
        "      As a client of tcp://[::1]:7: up to 10,000 connections, limited by"
    );
}

#[test]
fn each_role_is_judged_and_gets_its_own_fix() {
    let machine = common_machine();
    let fits = |conns, target| {
        let report = report(&machine, Some(conns), target);
        let roles: Vec<_> =
            report.roles.iter().map(|role_report| role_report.summary.fits).collect();
        (report.fits(), roles)
    };
    let (yes, no) = (Some(true), Some(false));
    assert_eq!(fits(9_919, None), (yes, vec![yes, yes, yes]));
    assert_eq!(fits(9_920, None), (no, vec![yes, yes, no]));
    assert_eq!(fits(10_001, None), (no, vec![yes, no, no]));
    assert_eq!(fits(19_937, Some("127.0.0.1:7")), (no, vec![no, no]));
    assert_eq!(fits(9_919, Some("127.0.0.1:7")), (yes, vec![yes, yes]));
    assert_eq!(report(&machine, None, None).fits(), None);
    let text = printed(&report(&machine, Some(19_968), None), false);
    for (role, files) in [("server", 20_001), ("client", 20_032), ("relay", 40_097)] {
        let title = format!("\nTo hold 19,968 connections as a {role}:\n");
        let (_, fix) = text.split_once(&title).unwrap_or_else(|| panic!("no {role} in {text}"));
        assert!(fix.starts_with(&format!("  ulimit -n {files}  # ")), "{fix}");
    }
}

#[test]
fn the_result_of_the_connect_is_printed() {
    let reported = |target: &str, result: Result<Connected, String>| {
        let plan =
            DoctorPlan { target: Some(Address::parse(target).unwrap()), ..DoctorPlan::default() };
        let took = std::time::Duration::from_micros(1_500);
        let addresses = vec!["127.0.0.1:7".parse().unwrap()];
        let attempt = ConnectAttempt { addresses, took, result };
        let report = Report::new(&plan, Some(attempt), &common_machine());
        (printed(&report, false), json::text(&report))
    };
    let connected = || {
        let from = Some("127.0.0.1:4000".parse().unwrap());
        let inet = Some("127.0.0.1:7".parse().unwrap());
        Ok(Connected { to: "127.0.0.1:7".to_string(), from, inet })
    };
    let (text, machine) = reported("name:7", connected());
    assert!(
        text.contains("  ok  Connect to tcp://name:7: connected to 127.0.0.1:7 from"),
        "{text}"
    );
    assert!(text.contains(" loopback\n"), "the address that was resolved is counted: {text}");
    let part = "  \"connect\": {\n    \"ok\": true,\n    \"resolved\": [\"127.0.0.1:7\"],\n    \
                \"to\": \"127.0.0.1:7\",\n    \"from\": \"127.0.0.1:4000\",\n    \
                \"took_us\": 1500,\n    \"error\": null\n  },\n";
    assert!(machine.contains(part), "{machine}");
    let (text, _) = reported("udp://name:7", connected());
    assert!(text.contains("  ok  Datagrams to udp://name:7: routed to 127.0.0.1:7"), "{text}");
    let (text, machine) = reported("name:7", Err("connection refused, 127.0.0.1:7".to_string()));
    assert!(text.contains("  NO  Connect to tcp://name:7 failed: connection refused, "), "{text}");
    assert!(machine.contains("\"ok\": false") && machine.contains("\"to\": null"), "{machine}");
}

#[test]
fn a_limit_that_only_slows_does_not_decide() {
    let machine = Facts { somaxconn: Fact::Known(1), ..common_machine() };
    let report = report(&machine, Some(9_000), None);
    assert_eq!(report.fits(), Some(true));
    assert!(printed(&report, false).contains("\nslow somaxconn"));
}

#[test]
fn an_unknown_that_could_only_slow_does_not_decide() {
    let machine = Facts { somaxconn: unknown(), ..common_machine() };
    let report = report(&machine, Some(9_000), None);
    assert_eq!((report.fits(), report.roles[0].summary.unknown), (Some(true), 0));
    assert!(printed(&report, false).contains("\n   ? somaxconn"));
}

#[test]
fn a_relay_comes_from_one_address_only() {
    let machine = Facts { ipv4_sources: Fact::Known(9), ..common_machine() };
    let report =
        report(&Facts { nofile_hard: Fact::Unlimited, ..machine }, None, Some("10.0.0.1:7"));
    let holds = |role: usize| report.roles[role].summary.limiting;
    assert_eq!(holds(0), Some((90_000, Limit::Ports)));
    assert_eq!(holds(1), Some((10_000, Limit::Ports)));
}

#[test]
fn what_others_use_and_what_is_raised_is_noted() {
    let text = printed(&report(&facts_of_a_small_machine(), Some(9), None), false);
    for (limit, note) in [("RLIMIT_NOFILE soft", "raised"), ("fs.file-max", "486 used")] {
        let row = text.lines().find(|line| line.contains(limit)).unwrap();
        assert!(row.ends_with(note), "{row}");
    }
}

#[test]
fn an_unknown_limit_is_printed_and_does_not_fit() {
    let machine = Facts { nr_open: unknown(), ..common_machine() };
    let asked = report(&machine, Some(9_000), None);
    assert_eq!(asked.fits(), None);
    let text = printed(&asked, false);
    let first = "   ?  As a server: unknown whether 9,000 connections fit; RLIMIT_NOFILE allows\n";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("      19,967; 1 limit unknown.\n"), "{text}");
    assert!(text.contains("\n   ? fs.nr_open"), "{text}");
    assert!(text.contains("  /proc/x: permission denied\n"), "{text}");
    assert_eq!(report(&machine, Some(20_000), None).fits(), Some(false), "the known one is enough");
    let text = printed(&report(&machine, None, None), false);
    assert!(text.starts_with("As a server: up to 19,967 ") && text.contains("; 1 limit unknown."));
}

#[test]
fn a_machine_without_facts_is_not_ok() {
    let plan = DoctorPlan { conns: Some(1), ..DoctorPlan::default() };
    let mut out = Vec::new();
    assert!(!write_report(&plan, None, &tree::Tree::empty().root(), &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("   ?  As a server: unknown.\n"));
    assert!(!text.contains("ok "), "{text}");
}

/// Reports of several machines and questions.
fn examples() -> Vec<Report> {
    let huge = Facts { nofile_hard: Fact::Known(1 << 30), nr_open: unknown(), ..large_machine() };
    let mut reports = Vec::new();
    for machine in [facts_of_a_small_machine(), common_machine(), large_machine(), huge] {
        for conns in [None, Some(9), Some(200_000), Some(1 << 40)] {
            reports.push(report(&machine, conns, None));
            reports.push(report(&machine, conns, Some("10.0.0.1:7")));
            reports.push(report(&machine, conns, Some("127.0.0.1:7")));
            reports.push(report(&machine, conns, Some("a-name-of-a-host.of-some.example:7")));
        }
    }
    reports
}

#[test]
fn no_line_of_a_report_is_wider_than_80_columns() {
    for report in examples() {
        for line in printed(&report, true).lines() {
            assert!(width(line) <= 80 && line.trim_end() == line, "{line:?}");
        }
        for line in print::report(&report, false, 40).lines() {
            // A command to type is never broken.
            let command =
                ["  sysctl", "  ulimit", "  LimitNOFILE", "  echo", "  systemctl", "  ip "];
            let is_command = command.iter().any(|start| line.starts_with(start));
            assert!(width(line) <= 40 || is_command, "{line:?}");
        }
    }
}

#[test]
fn on_a_narrow_terminal_each_number_has_its_name() {
    let report = report(&common_machine(), Some(9_920), None);
    let text = print::report(&report, false, 50);
    let rows = "\n  NO RLIMIT_NOFILE hard: now 20,000, server 9,953,\n  \
                client 9,984, relay 20,001 (limiting)\n";
    assert!(text.contains(rows), "{text}");
}

#[test]
fn the_table_is_aligned() {
    for report in examples() {
        let text = printed(&report, false);
        let table = text.split("\n\n").nth(1).unwrap();
        let head = table.lines().nth(1).unwrap();
        let ends = |line: &str| line.chars().count();
        for row in table.lines().skip(2).filter(|line| line.starts_with("     ")) {
            let note = row.chars().skip(ends(head)).collect::<String>();
            assert!(note.is_empty() || note.starts_with("  "), "{row:?}\n{text}");
        }
    }
}

#[test]
fn colour_changes_nothing_but_colour() {
    let report = report(&facts_of_a_small_machine(), Some(200_000), None);
    let (plain, mut bare) = (printed(&report, false), printed(&report, true));
    assert!(!plain.contains('\x1b') && bare.contains("\x1b[1;31m  NO\x1b[0m"));
    for code in ["1", "2", "32", "33", "1;31", "0"] {
        bare = bare.replace(&format!("\x1b[{code}m"), "");
    }
    assert_eq!(bare, plain);
}

#[test]
fn the_json_contains_the_same() {
    let text = json::text(&report(&facts_of_a_small_machine(), Some(200_000), None));
    let parts = [
        "  \"conns\": 200000,\n  \"target\": null,\n  \"connect\": null,\n  \"fits\": false,\n",
        "{\"role\": \"server\", \"holds\": 8000, \"limiting\": \
         \"net.netfilter.nf_conntrack_max\", \"unknown\": 0, \"fits\": false, \"limits\": [\n",
        "{\"limit\": \"fs.file-max\", \"concerns\": \"every\", \"unit\": \"count\", \
         \"state\": \"no limit\", \"now\": null, \"needs\": 200486, \"holds\": null, \
         \"verdict\": \"ok\", \"note\": \"486 used\", \"fix\": []}",
        "{\"command\": \"sysctl -w net.ipv4.ip_local_port_range=\\\"1024 65535\\\"\", \
         \"remark\": \"\"}",
    ];
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
}

#[test]
fn the_answer_of_a_whole_tree_is_the_exit_code() {
    let tree = tree::Tree::of_a_small_machine();
    for (conns, fits) in [(None, true), (Some(8_000), true), (Some(8_001), false)] {
        let plan = DoctorPlan { conns, ..DoctorPlan::default() };
        assert_eq!(
            write_report(&plan, None, &tree.root(), &mut Vec::new()).unwrap(),
            fits,
            "{conns:?}"
        );
    }
}

#[test]
fn this_machine_is_reported_to_the_end() {
    let mut out = Vec::new();
    let plan = DoctorPlan { conns: Some(1), ..DoctorPlan::default() };
    run(&plan, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("\n  every connection\n"));
    let plan = DoctorPlan { json: true, ..DoctorPlan::default() };
    assert!(run(&plan, &mut Vec::new()).unwrap(), "no N was given");
}
