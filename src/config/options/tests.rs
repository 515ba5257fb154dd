//! Tests of the option table as a whole, and of the values of single options.

use std::collections::HashSet;

use super::*;
use crate::config::tests::Dice;

/// Returns the name of the plan that an option sets a field of.
fn plan_of(option: &OptionSpec) -> &'static str {
    match option.field {
        Field::Daemon(..) => "daemon",
        Field::Policy(..) => "policy",
        Field::Greeting(..) => "greeting",
        Field::Hub(..) => "hub",
        Field::Log(..) => "log",
        Field::Connect(..) => "connect",
        Field::Chat(..) => "chat",
        Field::Doctor(..) => "doctor",
        Field::Ctl(..) => "ctl",
        Field::Top(..) => "top",
        Field::Trace(..) => "trace",
        Field::Serve(..) => "serve",
        Field::Stress(..) => "stress",
        Field::Help | Field::Version => "none",
    }
}

fn find(plan: &str, name: &str) -> &'static OptionSpec {
    let found = all().find(|option| (plan_of(option), option.name) == (plan, name));
    found.unwrap_or_else(|| panic!("{plan} has no {name}"))
}

/// Returns the settings after one option.
fn with(option: &OptionSpec, value: &str) -> Settings {
    let mut settings = Settings::default();
    option.set(&mut settings, Spanned::whole(value)).unwrap_or_else(|error| panic!("{error:?}"));
    settings
}

/// Returns the error of a value.
fn refused(option: &OptionSpec, value: &str) -> SpanError {
    let done = option.set(&mut Settings::default(), Spanned::whole(value));
    done.expect_err(&format!("{} {value}", option.name))
}

/// Options that set a field, with two values that are neither equal nor the default.
fn settable() -> impl Iterator<Item = (&'static OptionSpec, [&'static str; 2])> {
    let values = |option: &OptionSpec| match (option.name, option.value()) {
        ("explain", _) => ["", "always"],
        (_, None) => ["", ""],
        (_, Some("N")) => ["77", "78"],
        (_, Some("TIME")) => ["77s", "78s"],
        (_, Some("RATE")) => ["77/s", "78/m"],
        (_, Some("SIZE")) => ["77", "78"],
        ("record", _) => ["77M", "/x,limit=8M"],
        (_, Some("TEXT")) => ["{peer}", "x"],
        (_, Some("FRAME")) => ["len32", "raw"],
        (_, Some("ACTION")) => ["skip", "close"],
        (_, Some("FORMAT")) => ["json", "haproxy"],
        (_, Some("WHEN")) => ["never", "always"],
        (_, Some("LOAD[=N],...")) => ["churn+abort", "idle=5,churn+burst"],
        (_, Some("DIR")) => ["down", "up"],
        (_, Some("PROBE")) => ["none", "echo"],
        (_, Some("ADDRESS[/BITS],...")) => ["::1", "127.0.0.0/28"],
        (_, Some("LISTEN")) => [":77", "unix:/x,mode=0600"],
        (_, Some("NAME")) => ["a.example,[::1]", "b.example"],
        (_, Some("ADDRESS")) => ["tcp://127.0.0.1:77", "unix:/x"],
        ("level", Some("LEVEL")) if matches!(option.field, Field::Log(..)) => ["debug", "warn"],
        (_, Some("WHAT")) => ["cut", "after 5m"],
        (_, Some("ROUTE" | "PEER" | "STATE" | "KEY" | "EVENT" | "LEVEL")) => ["x", "y"],
        (_, Some("VIEW")) => ["loop", "routes"],
        (_, Some("COLUMN")) => ["idle", "age"],
        (_, Some("PID" | "ID")) => ["77", "78"],
        (_, Some("FILE")) => ["x", "-"],
        (_, Some("N/N")) => ["0/7", "1/7"],
        (_, Some(other)) => panic!("{} takes {other}", option.name),
    };
    let fields = all().filter(|option| !matches!(option.field, Field::Help | Field::Version));
    fields.map(move |option| (option, values(option)))
}

#[test]
fn an_option_is_named_once_for_each_plan() {
    let names: HashSet<_> = all().map(|option| (plan_of(option), option.name)).collect();
    assert_eq!(names.len(), all().count());
}

#[test]
fn the_defaults_in_help_are_the_ones_in_force() {
    for (option, _) in settable() {
        let Some(shown) = option.show(&Settings::default()) else { continue };
        let default = option.default_text().expect(option.name);
        assert_eq!(with(option, &default), Settings::default(), "{}", option.name);
        assert_eq!(option.show(&with(option, &default)), Some(shown), "{}", option.name);
    }
}

#[test]
fn a_default_is_shown_by_every_option_with_a_value_but_a_required_and_a_hidden_one() {
    let without = all().filter(|option| option.value().is_some());
    let without = without.filter(|option| option.default_text().is_none());
    assert_eq!(without.map(|option| option.name).collect::<Vec<_>>(), ["text", "worker"]);
}

#[test]
fn each_option_sets_its_own_field_and_no_other() {
    let mut distinct = vec![Settings::default()];
    for (option, [value, _]) in settable() {
        // In a file, the level of the log is what `verbose` and `quiet` are on a command line.
        if option.name == "level" && matches!(option.field, Field::Log(..)) {
            continue;
        }
        let settings = with(option, value);
        assert!(!distinct.contains(&settings), "{} sets the field of another", option.name);
        distinct.push(settings);
    }
}

/// Whether two options may show the same field: in a file, the level of the log is what `verbose`
/// and `quiet` are on a command line.
fn is_one_with(option: &OptionSpec, other: &OptionSpec) -> bool {
    let is_level = |option: &OptionSpec| ["level", "verbose", "quiet"].contains(&option.name);
    option.name == other.name || !(is_level(option) && is_level(other))
}

#[test]
fn a_value_prints_as_a_text_that_gives_it_again() {
    for (option, values) in settable() {
        for value in values {
            let settings = with(option, value);
            let shown = option.show(&settings).expect(option.name);
            let typed = if option.takes == Takes::Nothing { "" } else { &shown };
            assert_eq!(with(option, typed), settings, "{} {value}", option.name);
            let changed: Vec<_> = all()
                .filter(|other| is_one_with(option, other))
                .filter_map(|other| {
                    let shown = other.show(&settings);
                    (shown != other.show(&Settings::default())).then_some(other.name)
                })
                .collect();
            assert_eq!(changed, [option.name], "{value}");
        }
    }
}

#[test]
fn the_last_value_counts_but_for_options_that_add_up() {
    for (option, [first, last]) in settable() {
        let mut settings = with(option, first);
        let set = option.set(&mut settings, Spanned::whole(last));
        if matches!((plan_of(option), option.name), ("daemon", "admin" | "metrics")) {
            // A replaced listener would be missing without a word.
            assert!(set.is_err() && settings == with(option, first), "{}", option.name);
            continue;
        }
        set.expect(option.name);
        let adds_up = ["verbose", "load", "source", "admin-host"].contains(&option.name);
        assert_eq!(settings != with(option, last), adds_up, "{}", option.name);
    }
}

#[test]
fn a_route_sets_what_its_service_reads() {
    for service in Service::NAMES {
        for (option, fits) in route_options(service) {
            let mut settings = RouteSettings::default();
            let value = settable().find(|(other, _)| other.name == option.name).unwrap().1[0];
            let text = match option.value() {
                Some(_) => format!("{}={value}", option.name),
                None => option.name.to_string(),
            };
            let read = read_route_option(Spanned::whole(&text), service, &mut settings);
            assert_eq!(read.is_ok(), fits, "{service},{text}");
            assert_eq!(settings != RouteSettings::default(), fits, "{service},{text}");
        }
    }
}

#[test]
fn off_is_understood_or_refused_with_the_reason() {
    for name in ["idle-timeout", "half-close-timeout", "max-lifetime"] {
        assert_eq!(with(find("policy", name), "off"), Settings::default(), "{name}");
    }
    let reasons = [
        ("connect-timeout", "an unresponsive target must fail over to the next"),
        ("udp-timeout", "a datagram flow has no end of file"),
    ];
    for (name, reason) in reasons {
        let wrong = format!("cannot be off: {reason}");
        assert_eq!(refused(find("policy", name), "off").wrong, wrong, "{name}");
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
        assert_eq!(&value[refused(find("stress", name), value).span], place, "{name}");
    }
}

#[test]
fn more_processes_than_make_sense_are_refused_with_the_bound_and_the_reason() {
    let option = find("stress", "processes");
    assert_eq!(with(option, "256").stress.processes, Some(StressPlan::PROCESSES_MAX));
    for value in ["257", "100k"] {
        let span_error = refused(option, value);
        assert_eq!(span_error.wrong, "more than 256 processes");
        assert!(span_error.accepted.starts_with("1 to 256: each process runs"), "{span_error:?}");
    }
}

#[test]
fn a_search_may_be_off_and_every_other_time_of_a_run_has_an_end() {
    let times = all().filter(|option| option.takes == Takes::Value("TIME"));
    for option in times.filter(|option| plan_of(option) == "stress") {
        match option.name {
            "find-idle-timeout" => assert_eq!(with(option, "off"), Settings::default()),
            name => assert_eq!(refused(option, "off").wrong, "cannot be off", "{name}"),
        }
    }
}

#[test]
fn any_value_is_refused_in_order() {
    let mut dice = Dice::throw();
    for _ in 0..200 {
        for (option, values) in settable() {
            let text = dice.text(&values);
            if let Err(error) = option.set(&mut Settings::default(), Spanned::whole(&text)) {
                assert!(text.get(error.span.clone()).is_some(), "{} {text:?}", option.name);
            }
        }
    }
}
