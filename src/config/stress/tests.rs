//! The options of a stress run, read and printed back.

use super::{Direction, LoadKind, LoadMode, LoadPlan, StressPlan, read_loads, show_loads};
use crate::config::Address;
use crate::config::options::{self, OptionSpec, Settings, stress_arguments};
use crate::config::parse::Spanned;

pub(super) fn read(arguments: &[&str]) -> StressPlan {
    let mut settings = Settings::default();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix("--") {
            None => settings.stress.targets.push(Address::parse_target(argument).unwrap()),
            Some(name) => {
                let is_on = |option: &&OptionSpec| option.scope.has_command("stress");
                let option = options::all().filter(is_on).find(|option| option.name == name);
                let option = option.expect(name);
                let value = option.value().and_then(|_| rest.next()).copied().unwrap_or("");
                option.set(&mut settings, Spanned::whole(value)).expect(name);
            }
        }
    }
    settings.stress
}

#[test]
fn a_plan_prints_as_arguments_that_give_it_again() {
    assert_eq!(stress_arguments(&read(&["127.0.0.1:7"])), ["tcp://127.0.0.1:7"]);
    let all = "tcp://127.0.0.1:7 unix:/x --load idle=18000,stream,churn+burst+abort=3,echo+burst \
        --conns 9 --active-conns 3 --connect-rate 2000/s --duration 2s --hold 10m \
        --warmup 500ms --size 1200 --depth 16 --rate 600/m --direction both --no-verify \
        --burst --burst-interval 5s --abort --probe none --find-idle-timeout 1h --timeout 1s \
        --source 127.0.0.0/28,::1 --processes 4 --gso --sink tcp://:9000 --pid 17 --json - \
        --report r.html --seed 18446744073709551615 --worker 1/4";
    let arguments: Vec<&str> = all.split_whitespace().collect();
    let plan = read(&arguments);
    assert_eq!(stress_arguments(&plan), arguments);
    assert_eq!(plan.direction, Direction::Both);
    assert_eq!(plan.loads[0].mode, LoadKind::Idle.into());
}

const BURST: LoadMode = LoadMode { kind: LoadKind::Echo, burst: true, abort: false };

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
    assert_eq!(loads, expected.map(|(kind, conns)| LoadPlan { mode: kind.into(), conns }));
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
    let groups =
        [(LoadKind::Echo, 2), (LoadKind::Idle, 5), (LoadKind::Churn, 1)].map(without_modifiers);
    assert_eq!(plan.groups(), groups);
    let plan = read(&["127.0.0.1:7", "--source", "127.0.0.1", "--source", "127.0.0.2,127.0.0.3"]);
    assert_eq!((plan.sources.len(), plan.groups().len()), (3, 1));
}

#[test]
fn active_connections_are_one_more_group() {
    let loads = read_loads(Spanned::whole("idle=5,churn")).unwrap();
    let plan = StressPlan { loads, active_conns: 3, conns: 7, ..plan(&["127.0.0.1:7"]) };
    let groups =
        [(LoadKind::Idle, 5), (LoadKind::Churn, 7), (LoadKind::Echo, 3)].map(without_modifiers);
    assert_eq!(plan.groups(), groups);
}

fn without_modifiers((kind, conns): (LoadKind, usize)) -> (LoadMode, usize) {
    (kind.into(), conns)
}

#[test]
fn modifiers_are_those_of_the_load_and_those_of_the_plan_that_fit_it() {
    let plan = read(&["127.0.0.1:7", "--load", "idle=5,echo+burst=2,churn=1,echo=4"]);
    let echo = (LoadKind::Echo.into(), 4);
    let churn = |burst, abort| (LoadMode { kind: LoadKind::Churn, burst, abort }, 1);
    let idle = (LoadKind::Idle.into(), 5);
    assert_eq!(plan.groups(), [idle, (BURST, 2), churn(false, false), echo]);
    let plan = StressPlan { burst: true, abort: true, active_conns: 4, ..plan };
    assert_eq!(plan.groups(), [idle, (BURST, 2), churn(true, true), (BURST, 4), echo]);
}

#[test]
fn a_modifier_that_does_not_fit_is_refused_with_the_reason() {
    let cases = [
        ("echo,idle+burst=2k", 10..15, "idle connections send nothing"),
        ("stream+burst", 7..12, "a stream sends without a pause"),
        ("echo+burst+abort", 11..16, "only churn closes a connection after its exchange"),
        ("idle+abort", 5..10, "abort does not apply to idle"),
        ("churn+bust", 6..10, "did you mean burst?"),
        ("churn+", 6..6, "unknown value"),
        ("churn=2+burst", 7..13, "unknown unit"),
    ];
    for (text, span, words) in cases {
        let span_error = read_loads(Spanned::whole(text)).expect_err(text);
        assert_eq!(span_error.span, span, "{text}: {span_error:?}");
        assert!(span_error.wrong.contains(words), "{text}: {span_error:?}");
    }
}

#[test]
fn names_of_other_tools_lead_to_a_load_that_exists() {
    for (elsewhere, here) in super::OTHER_NAMES {
        let span_error = read_loads(Spanned::whole(elsewhere)).unwrap_err();
        assert_eq!(span_error.wrong, format!("unknown value; did you mean {here}?"));
        assert_eq!(show_loads(&read_loads(Spanned::whole(here)).unwrap()), here);
    }
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
