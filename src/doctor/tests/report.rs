//! What the report says, and how it looks.

use super::tree::facts_of_a_small_machine;
use super::*;
use crate::doctor::{Report, examine, json, print, run};
use crate::plan::DoctorPlan;

fn report(facts: &Facts, conns: Option<usize>, target: Option<&str>) -> Report {
    let target = target.map(|target| Address::parse(target).unwrap());
    Report::new(&DoctorPlan { conns, target, ..DoctorPlan::default() }, facts)
}

fn printed(report: &Report, colour: bool) -> String {
    let mut out = Vec::new();
    print::write(report, colour, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn first_line(facts: &Facts, conns: Option<usize>, target: Option<&str>) -> String {
    printed(&report(facts, conns, target), false).lines().next().unwrap().to_string()
}

/// A machine whose limit of open files bites first.
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
        "This machine holds 19,936 connections as a server: RLIMIT_NOFILE bites first."
    );
    assert_eq!(
        line(Some(10_001), None),
        "This machine holds 10,001 connections as a server, up to 19,936: \
         RLIMIT_NOFILE bites first."
    );
    assert_eq!(
        line(Some(19_937), None),
        "This machine does not hold 19,937 connections as a server: \
         RLIMIT_NOFILE bites first, at 19,936."
    );
    assert_eq!(
        line(None, Some("[::1]:7")),
        "This machine holds 10,000 connections as a client of tcp://[::1]:7: \
         ip_local_port_range bites first."
    );
}

#[test]
fn the_role_that_was_asked_about_decides() {
    let machine = common_machine();
    assert_eq!(report(&machine, Some(19_936), None).fits(), Some(true));
    assert_eq!(report(&machine, Some(19_937), None).fits(), Some(false));
    assert_eq!(report(&machine, Some(10_001), Some("[::1]:7")).fits(), Some(false));
    assert_eq!(report(&machine, Some(19_936), Some("127.0.0.1:7")).fits(), Some(true));
    assert_eq!(report(&machine, None, None).fits(), None);
}

#[test]
fn what_slows_does_not_decide() {
    let machine = Facts { somaxconn: Fact::Known(1), ..common_machine() };
    let report = report(&machine, Some(10_000), None);
    assert_eq!(report.fits(), Some(true));
    assert!(printed(&report, false).contains("\nslow  net.core.somaxconn"));
}

#[test]
fn an_unknown_that_could_only_slow_does_not_decide() {
    let machine = Facts { somaxconn: unknown(), ..common_machine() };
    let report = report(&machine, Some(10_000), None);
    assert_eq!((report.fits(), report.roles[0].1.unknown), (Some(true), 0));
    assert!(printed(&report, false).contains("\n   ?  net.core.somaxconn"));
}

#[test]
fn a_relay_comes_from_one_address_only() {
    let machine = Facts { ipv4_sources: Fact::Known(9), ..common_machine() };
    let report = report(&Facts { nofile_hard: Fact::Endless, ..machine }, None, Some("10.0.0.1:7"));
    let holds = |role: usize| report.roles[role].1.bites;
    assert_eq!(holds(0), Some((90_000, Limit::Ports)));
    assert_eq!(holds(1), Some((10_000, Limit::Ports)));
}

#[test]
fn what_others_use_and_what_is_raised_is_noted() {
    let text = printed(&report(&facts_of_a_small_machine(), Some(9), None), false);
    for (limit, note) in [("RLIMIT_NOFILE, soft", "raised at start"), ("fs.file-max", "486 in use")]
    {
        let row = text.lines().find(|line| line.contains(limit)).unwrap();
        assert!(row.ends_with(note), "{row}");
    }
}

#[test]
fn an_unknown_limit_is_said_and_does_not_fit() {
    let machine = Facts { nr_open: unknown(), ..common_machine() };
    let asked = report(&machine, Some(10_000), None);
    assert_eq!(asked.fits(), None);
    let text = printed(&asked, false);
    assert!(text.starts_with("It is not known whether"), "{text}");
    assert!(text.contains("One limit is not known (?), and may bite earlier.\n"), "{text}");
    assert!(text.contains("\n   ?  fs.nr_open"), "{text}");
    assert!(text.contains("  /proc/x: permission denied\n"), "{text}");
    assert_eq!(report(&machine, Some(20_000), None).fits(), Some(false), "the known one is enough");
    let text = printed(&report(&machine, None, None), false);
    assert!(text.starts_with("This machine holds 19,936 ") && text.contains("(?)"), "{text}");
}

#[test]
fn a_machine_that_tells_nothing_is_not_praised() {
    let plan = DoctorPlan { conns: Some(1), ..DoctorPlan::default() };
    let mut out = Vec::new();
    assert!(!examine(&plan, &tree::Tree::empty().root(), &mut out).unwrap());
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("How many connections this machine holds as a server is not known"));
    assert!(!text.contains("ok  "), "{text}");
}

#[test]
fn the_table_is_aligned_and_fits_a_terminal() {
    let machine = facts_of_a_small_machine();
    for (conns, target) in [(Some(200_000), None), (None, Some("10.0.0.1:7")), (Some(9), None)] {
        let text = printed(&report(&machine, conns, target), false);
        let table = text.split("\n\n").nth(1).unwrap();
        let end = table.lines().next().unwrap().chars().count();
        for row in table.lines().filter(|line| !line.starts_with("  a") && line.len() > 40) {
            let cell: String = row.chars().take(end).collect();
            assert!(!cell.ends_with(' '), "{row:?}");
            assert!([None, Some(' ')].contains(&row.chars().nth(end)), "{row:?}");
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 100 && line.trim_end() == line, "{line:?}");
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
fn machines_are_told_the_same() {
    let mut out = Vec::new();
    let report = report(&facts_of_a_small_machine(), Some(200_000), None);
    json::write(&report, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let parts = [
        "  \"conns\": 200000,\n  \"target\": null,\n  \"fits\": false,\n",
        "{\"role\": \"server\", \"holds\": 8000, \"bites_first\": \
         \"net.netfilter.nf_conntrack_max\", \"unknown\": 0, \"fits\": false}",
        "{\"limit\": \"fs.file-max\", \"concerns\": \"every\", \"unit\": \"count\", \
         \"state\": \"no limit\", \"now\": null, \"needs\": 200486, \"holds\": null, \
         \"verdict\": \"ok\", \"note\": \"486 in use\", \"mend\": []}",
        "{\"command\": \"sysctl -w net.ipv4.ip_local_port_range=\\\"1024 65535\\\"\", \
         \"remark\": \"\"}",
    ];
    for part in parts {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let count = |mark: char| text.matches(mark).count();
    assert_eq!((count('{'), count('[')), (count('}'), count(']')));
}

#[test]
fn the_answer_of_a_whole_tree_is_the_exit_code() {
    let tree = tree::Tree::of_a_small_machine();
    for (conns, fits) in [(None, true), (Some(8_000), true), (Some(8_001), false)] {
        let plan = DoctorPlan { conns, ..DoctorPlan::default() };
        assert_eq!(examine(&plan, &tree.root(), &mut Vec::new()).unwrap(), fits, "{conns:?}");
    }
}

#[test]
fn this_machine_is_examined_to_the_end() {
    let mut out = Vec::new();
    let plan = DoctorPlan { conns: Some(1), ..DoctorPlan::default() };
    run(&plan, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("\n  every connection\n"));
    let plan = DoctorPlan { json: true, ..DoctorPlan::default() };
    assert!(run(&plan, &mut Vec::new()).unwrap(), "no number was asked for");
}
