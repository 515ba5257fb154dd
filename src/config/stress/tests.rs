//! The options of a stress run, read and printed back.

use super::options::OPTIONS;
use super::{Direction, LoadKind, LoadPlan, StressPlan, read_loads, show_loads};
use crate::config::Address;
use crate::config::parse::Spanned;

pub(super) fn read(arguments: &[&str]) -> StressPlan {
    let mut plan = StressPlan::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix("--") {
            None => plan.targets.push(Address::parse_target(argument).unwrap()),
            Some(name) => {
                let option = OPTIONS.iter().find(|option| option.name == name).expect(name);
                let value = option.value.and_then(|_| rest.next()).copied().unwrap_or("");
                (option.set)(&mut plan, Spanned::whole(value)).expect(name);
            }
        }
    }
    plan
}

#[test]
fn the_defaults_in_help_are_the_ones_in_force() {
    let untouched = StressPlan::default();
    for option in &OPTIONS {
        let Some(shown) = (option.show)(&untouched) else { continue };
        assert!(!option.default.is_empty(), "{}", option.name);
        let mut plan = StressPlan::default();
        (option.set)(&mut plan, Spanned::whole(option.default)).expect(option.name);
        assert_eq!((option.show)(&plan), Some(shown), "{}", option.name);
        assert_eq!(plan, untouched, "{}", option.name);
    }
}

#[test]
fn a_plan_prints_as_arguments_that_give_it_again() {
    assert_eq!(read(&["127.0.0.1:7"]).arguments(), ["tcp://127.0.0.1:7"]);
    let all = "tcp://127.0.0.1:7 unix:/x --load idle=18000,stream --conns 9 --active-conns 3 \
        --connect-rate 2000/s --duration 2s --hold 10m --warmup 500ms --size 1200 \
        --depth 16 --rate 600/m --direction both --no-verify --burst-interval 5s --probe none \
        --find-idle-timeout 1h --timeout 1s --source 127.0.0.0/28,::1 --processes 4 --gso \
        --sink tcp://:9000 --pid 17 --json - --report r.html --seed \
        18446744073709551615 --worker 1/4";
    let arguments: Vec<&str> = all.split_whitespace().collect();
    let plan = read(&arguments);
    assert_eq!(plan.arguments(), arguments);
    assert_eq!(plan.direction, Direction::Both);
    assert_eq!(plan.loads[0].kind, LoadKind::Idle);
}

#[test]
fn each_option_sets_its_own_field_and_no_other() {
    let values = [
        ("LOAD[=N],...", "reset"),
        ("N", "77"),
        ("RATE", "77/s"),
        ("TIME", "77s"),
        ("SIZE", "77"),
        ("DIR", "down"),
        ("PROBE", "none"),
        ("ADDRESS[/BITS],...", "::1"),
        ("LISTEN", ":77"),
        ("PID", "77"),
        ("FILE", "x"),
        ("N/N", "0/7"),
    ];
    let mut distinct = vec![StressPlan::default()];
    for option in &OPTIONS {
        let known = values.iter().find(|(name, _)| Some(*name) == option.value);
        let mut plan = StressPlan::default();
        let value = known.map_or("", |(_, value)| value);
        (option.set)(&mut plan, Spanned::whole(value)).expect(option.name);
        assert!(!distinct.contains(&plan), "{} sets the same field as another option", option.name);
        distinct.push(plan);
    }
}

#[test]
fn a_wrong_value_is_shown_at_its_place() {
    let wrong = [
        ("rate", "0/s", "0/s"),
        ("size", "64q", "q"),
        ("size", "2G", "2G"),
        ("pid", "-1", "-1"),
        ("processes", "257", "257"),
        ("worker", "4/4", "4/4"),
        ("source", "127.0.0.0/99", "99"),
        ("direction", "upp", "upp"),
        ("probe", "ehco", "ehco"),
    ];
    for (name, value, place) in wrong {
        let option = OPTIONS.iter().find(|option| option.name == name).unwrap();
        let span_error =
            (option.set)(&mut StressPlan::default(), Spanned::whole(value)).unwrap_err();
        assert_eq!(&value[span_error.span], place, "{name}");
    }
}

#[test]
fn more_processes_than_make_sense_are_refused_with_the_bound_and_the_reason() {
    let option = OPTIONS.iter().find(|option| option.name == "processes").unwrap();
    let mut plan = StressPlan::default();
    (option.set)(&mut plan, Spanned::whole("256")).unwrap();
    assert_eq!(plan.processes, Some(StressPlan::PROCESSES_MAX));
    for value in ["257", "100k"] {
        let span_error = (option.set)(&mut plan, Spanned::whole(value)).unwrap_err();
        assert_eq!(span_error.wrong, "more than 256 processes");
        assert!(span_error.accepted.starts_with("1 to 256: each process runs"), "{span_error:?}");
    }
}

#[test]
fn a_search_may_be_off_and_every_other_time_has_an_end() {
    let times = OPTIONS.iter().filter(|option| option.value == Some("TIME"));
    for option in times {
        let mut plan = StressPlan::default();
        let read =
            (option.set)(&mut plan, Spanned::whole("off")).map_err(|span_error| span_error.wrong);
        match option.name {
            "find-idle-timeout" => assert_eq!((read, plan), (Ok(()), StressPlan::default())),
            name => assert_eq!(read, Err("cannot be off".to_string()), "{name}"),
        }
    }
}

fn plan(targets: &[&str]) -> StressPlan {
    let targets = targets.iter().map(|text| Address::parse_target(text).unwrap()).collect();
    StressPlan { targets, ..StressPlan::default() }
}

#[test]
fn loads_are_words_with_perhaps_a_number() {
    let read = |text| read_loads(Spanned::whole(text));
    let loads = read("idle=18k,echo").unwrap();
    let (idle, echo) = (LoadKind::Idle, LoadKind::Echo);
    let expected = [(idle, Some(18_000)), (echo, None)];
    assert_eq!(loads, expected.map(|(kind, conns)| LoadPlan { kind, conns }));
    assert_eq!(show_loads(&loads), "idle=18000,echo");
    let span_error = read("idle,ehco").unwrap_err();
    assert_eq!(
        (span_error.span, span_error.wrong.as_str()),
        (5..9, "unknown value; did you mean echo?")
    );
    assert_eq!(read("idle=0").unwrap_err().span, 5..6);
}

#[test]
fn loads_and_sources_given_one_by_one_add_up() {
    let plan = read(&["127.0.0.1:7", "--load", "echo=2", "--load", "idle=5,churn=1"]);
    let groups = [(LoadKind::Echo, 2), (LoadKind::Idle, 5), (LoadKind::Churn, 1)];
    assert_eq!(plan.groups(), groups);
    let plan = read(&["127.0.0.1:7", "--source", "127.0.0.1", "--source", "127.0.0.2,127.0.0.3"]);
    assert_eq!((plan.sources.len(), plan.groups().len()), (3, 1));
}

#[test]
fn active_connections_are_one_more_group() {
    let loads = read_loads(Spanned::whole("idle=5,churn")).unwrap();
    let plan = StressPlan { loads, active_conns: 3, conns: 7, ..plan(&["127.0.0.1:7"]) };
    let groups = [(LoadKind::Idle, 5), (LoadKind::Churn, 7), (LoadKind::Echo, 3)];
    assert_eq!(plan.groups(), groups);
}

#[test]
fn conflicting_options_are_refused() {
    let wrong = |plan: StressPlan| plan.check().unwrap_err();
    let loads = |text| read_loads(Spanned::whole(text)).unwrap();
    assert_eq!(plan(&["127.0.0.1:7", "unix:/x"]).check(), Ok(()));
    assert_eq!(wrong(plan(&[])), "missing target");
    assert!(wrong(plan(&["127.0.0.1:7", "udp://127.0.0.1:7"])).contains("cannot be combined"));
    let udp = || plan(&["udp://127.0.0.1:7"]);
    assert!(wrong(StressPlan { loads: loads("churn"), ..udp() }).contains("only --load echo"));
    assert!(wrong(StressPlan { size: 70_000, ..udp() }).contains("65507"));
    assert!(wrong(StressPlan { size: 0, ..udp() }).starts_with("--size 0"));
    let churn = StressPlan { size: 0, loads: loads("churn"), ..plan(&["127.0.0.1:7"]) };
    assert_eq!(churn.check(), Ok(()));
}

#[test]
fn many_ends_at_once_are_waited_for_longer() {
    let few = read(&["127.0.0.1:7", "--timeout", "3s"]);
    assert_eq!(few.closing_timeout().as_millis(), 3032);
    let many = read(&["127.0.0.1:7", "--load", "idle=100k", "--active-conns", "2"]);
    assert_eq!(many.closing_timeout().as_secs(), 60);
}
