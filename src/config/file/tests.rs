//! Tests of configuration files: what is accepted, each error at its place, and printing.

use super::value::ValueForm;
use super::*;
use crate::config::options::{ConfigTable, OptionSpec};
use crate::config::tests::Dice;
use crate::config::{Existing, Policy, Route, Service};

fn parsed(text: &str) -> DaemonConfig {
    DaemonConfig::parse("x.toml", text.to_owned()).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Returns the errors of a text: what each one spans, and what is wrong.
fn errors(text: &str) -> Vec<(&str, String)> {
    let errors = parse_config(text).expect_err(text);
    errors.into_iter().map(|error| (&text[error.span.clone()], error.wrong)).collect()
}

fn one_error(text: &str) -> (&str, String) {
    let [error] = &errors(text)[..] else { panic!("{text}: {:?}", errors(text)) };
    error.clone()
}

/// Returns the routes of a plan, as `run` takes them, with their names.
fn shown(config: &DaemonConfig) -> Vec<String> {
    let routes = config.plan.routes.iter();
    routes.map(|route| format!("{} {route}", route.name)).collect()
}

#[test]
fn a_file_has_routes_with_a_service_each() {
    let config = parsed(
        r#"
[policy]
idle-timeout = "1h"
udp-allow-low-ports = true

[process]
max-connections = 10_000
drain-timeout = "30s"

[log]
level = "debug"
access-log = "json"
explain = true

[admin]
listen = "/run/x"
hosts = ["a.example", "::1"]

[route.back]
listen = [":7", "udp://:7"]
echo = true
idle-timeout = "off"
udp-allow-low-ports = false

[route.pg]
listen = "/run/pg,mode=0660"
relay = ["10.0.0.1:5432", "unix:/run/other"]
connect-timeout = "2s"
existing = "after 5m"

[route.hall]
listen = ":23"
greet = {text = "hello {peer.ip}\n", read-one = true}

[route."lobby of all"]
listen = ":9"
hub = {name = "all", frame = "len32", max-message = "1M", buffer = "4M"}
"#,
    );
    let expected = [
        "back tcp://:7=echo",
        "back udp://:7=echo",
        "pg unix:/run/pg,mode=0660=relay,idle-timeout=1h,connect-timeout=2s:\
         tcp://10.0.0.1:5432,unix:/run/other",
        "hall tcp://:23=greet,read-one,idle-timeout=1h:hello {peer.ip}\\n",
        "lobby of all tcp://:9=hub,frame=len32,max-message=1M,hub-buffer=4M,idle-timeout=1h:all",
    ];
    assert_eq!(shown(&config), expected);
    let plan = &config.plan;
    assert_eq!(plan.max_connections, Some(10_000));
    assert_eq!(plan.admin.admin.as_ref().unwrap().to_string(), "unix:/run/x,mode=0600");
    assert_eq!(plan.admin.hosts, ["a.example", "[::1]"]);
    assert_eq!(config.log.level(), "debug");
    assert!(plan.routes[2].policy.existing != Existing::Keep);
}

#[test]
fn each_error_is_found_at_its_place() {
    let route = |rest: &str| format!("[route.a]\nlisten = \":7\"\n{rest}\n");
    let cases = [
        ("[rout.a]\n".into(), "rout", "unknown table; did you mean [route]?"),
        ("[[x]]\n".into(), "x", "unknown table"),
        ("titel = \"x\"\n".into(), "titel", "unknown key: each key belongs to a table"),
        ("rout = \":7\"\n".into(), "rout", "unknown key; did you mean [route]?"),
        ("level = \"x\"\n".into(), "level", "level belongs to a table: [log]"),
        ("log = 1\n".into(), "1", "expected a table, found a whole number"),
        ("[route]\na = 1\n".into(), "a", "a route has a name: [route.NAME]"),
        (
            "[route]\nlisten = \":7\"\ngreet = {text = \"x\"}\n".into(),
            "listen",
            "a route has a name: [route.NAME]",
        ),
        (
            "[route.a]\nlisten = 7\necho = true\n".into(),
            "7",
            "expected a text in quotes or a list of them, found a whole number",
        ),
        ("[admin]\nlisten = \"udp://:7\"\n".into(), "udp://:7", "must be a stream address"),
        (route("ECHO = true"), "ECHO", "unknown key; did you mean echo?"),
        (
            route("hub = {max-message = \"2M\"}"),
            "{max-message = \"2M\"}",
            "max-message 2M needs a buffer of at least 2097169b, not 1M",
        ),
        ("[log]\nlevl = \"info\"\n".into(), "levl", "unknown key; did you mean level?"),
        ("[log]\nlevel = \"loud\"\n".into(), "loud", "unknown value"),
        ("[log]\nlevel = 3\n".into(), "3", "expected a text in quotes, found a whole number"),
        (route("ech = true"), "ech", "unknown key; did you mean echo?"),
        (route("echo = 1"), "1", "expected true, found a whole number"),
        (route("echo = false"), "false", "expected true, found false"),
        (route(""), "a", "the route has no service"),
        (
            route("echo = true\ndiscard = true"),
            "discard",
            "a route has one service, not echo and discard",
        ),
        (route("relay = []"), "[]", "a relay needs a target"),
        (route("relay = [\"a:1\", 2]"), "2", "expected a text in quotes, found a whole number"),
        (route("relay = [\"a:1\", \"b:x\"]"), "x", "a port is a number"),
        (route("relay = \"udp://a:1\""), "udp://a:1", "a datagram address, but"),
        (route("greet = {}"), "{}", "greet needs a text"),
        (route("greet = {text = \"{pear}\"}"), "pear", "unknown placeholder; did you mean {peer}?"),
        (route("greet = {text = \"a\", x = 1}"), "x", "unknown key"),
        (route("hub = 3"), "3", "expected true or a table, found a whole number"),
        (route("hub = {name = \"a b\"}"), "a b", "not the name of a hub"),
        (route("hub = {fram = \"raw\"}"), "fram", "unknown key; did you mean frame?"),
        (route("hub = true\nframe = \"raw\""), "frame", "frame belongs to hub: hub = {frame = …}"),
        (
            route("echo = true\nidle-timeout = 5"),
            "5",
            "expected a duration in quotes, as \"5s\", found a whole number; did you mean \"5s\"?",
        ),
        (
            route("echo = true\nidle-timeout = \"5\""),
            "",
            "a duration needs a unit; did you mean 5s?",
        ),
        (
            route("echo = true\nconnect-timeout = \"5s\""),
            "connect-timeout",
            "connect-timeout does not apply to echo",
        ),
        (route("echo = true\nexisting = \"kill\""), "kill", "unknown value"),
        (
            route("hub = {max-message = \"100\"}"),
            "\"100\"",
            "a size needs a unit; did you mean \"100b\"?",
        ),
        ("[route.a]\nlisten = \"7x\"\necho = true\n".into(), "", "missing port"),
        (
            "[route.\"(a\"]\nlisten = \":7\"\necho = true\n".into(),
            "\"(a\"",
            "not the name of a route",
        ),
    ];
    for (text, place, wrong) in cases {
        let (found, said) = one_error(&text);
        assert_eq!(found, place, "{text}: {said}");
        assert!(said.starts_with(wrong), "{text}: {said}");
    }
}

#[test]
fn all_errors_are_listed_in_the_order_of_the_text() {
    let text = "[process]\nmax-connections = \"many\"\n\n[route.a]\nlisten = \":7\"\necho = true\n\
                [route.b]\nlisten = \":7\"\nrelay = [\"a:1\", \"b\"]\nidle = \"1h\"\n";
    let found: Vec<_> = errors(text).into_iter().map(|(place, _)| place).collect();
    assert_eq!(found, ["\"many\"", "", "idle"]);
}

#[test]
fn the_lines_of_two_places_are_shown_and_escapes_span_the_whole_text() {
    let text = "[route.a]\nlisten = \":7\"\necho = true\n[route.b]\n  \
                listen = [\":9\", \"*:7\"]\n  \
                discard = true\n";
    let errors = DaemonConfig::parse("dir/x.toml", text.into()).unwrap_err().to_string();
    let expected = "dir/x.toml:5:19: tcp://:7 is used by two routes\n  \
                    5 |   listen = [\":9\", \"*:7\"]\n    |                   ^^^^^\n\
                    dir/x.toml:2:10: the other route\n  2 | listen = \":7\"\n    |          ^^^^";
    assert_eq!(errors, expected);
    let text = "[route.a]\nlisten = \":7\"\ngreet = {text = \"\\t{pear}\"}\n";
    assert_eq!(one_error(text).0, "\"\\t{pear}\"");
    let text = "[log]\nlevel = \"\\u001b[2J\"\n[route.a]\nlisten = \"\u{202e}\"\necho = true\n";
    let shown = DaemonConfig::parse("\x1b", text.into()).unwrap_err().to_string();
    assert!(!shown.chars().any(|c| c != '\n' && crate::text::escape::is_hidden(c)), "{shown}");
}

#[test]
fn what_is_accepted_has_every_form() {
    let text = "[log]\nexplain = \"sometimes\"\n[route.a]\nlisten = \":7\"\necho = true\n";
    let errors = parse_config(text).unwrap_err();
    assert_eq!((errors.len(), errors[0].accepted.as_str()), (1, "true, always"));
}

#[test]
fn a_tab_is_shown_as_a_space() {
    let text = "[route.a]\n\tlisten =\t\":x\"\n\techo = true\n";
    let shown = DaemonConfig::parse("x", text.into()).unwrap_err().to_string();
    assert!(shown.contains("\n  2 |  listen = \":x\"\n    |             ^\n"), "{shown}");
}

#[test]
fn an_address_twice_in_one_route_is_named_as_that() {
    let text = "[route.a]\nlisten = [\":7\", \"*:7\"]\necho = true\n";
    let errors = DaemonConfig::parse("x", text.into()).unwrap_err();
    let expected = "x:2:17: tcp://:7 is used twice; the other address: x:2:11";
    assert_eq!(errors.lines().collect::<Vec<_>>(), [expected]);
}

#[test]
fn every_loop_of_relays_is_shown_with_all_its_places() {
    let route = |name: &str, at: u16, to: u16| {
        format!("[route.{name}]\nlisten = \":{at}\"\nrelay = \"127.0.0.1:{to}\"\n")
    };
    let text = route("a", 1, 2) + &route("b", 2, 1);
    let text = text + &route("c", 3, 5) + &route("d", 4, 3) + &route("e", 5, 4);
    let errors = DaemonConfig::parse("x", text).unwrap_err();
    let wrong = "would connect to itself through other routes; the next relay: x";
    let lines = [
        format!("x:2:10: the relay at tcp://:1 {wrong}:5:10"),
        format!("x:8:10: the relay at tcp://:3 {wrong}:14:10; the next relay: x:11:10"),
    ];
    assert_eq!(errors.lines().collect::<Vec<_>>(), lines);
    let shown = errors.to_string();
    assert_eq!(shown.matches(": the next relay\n").count(), 3, "{shown}");
    let ring: String = (0..20).map(|n| route(&n.to_string(), n + 1, (n + 1) % 20 + 1)).collect();
    let shown = DaemonConfig::parse("x", ring).unwrap_err().to_string();
    assert!(shown.ends_with("\n  and 9 more"), "{shown}");
}

#[test]
fn a_line_of_the_log_has_the_whole_error() {
    let lines = |text: &str| {
        let errors = DaemonConfig::parse("x", text.to_owned()).unwrap_err();
        errors.lines().collect::<Vec<_>>()
    };
    let example = "[route.web] listen = \":80\" relay = [\"10.0.0.1:80\"]";
    assert_eq!(lines(""), [format!("x:1:1: no route; accepted: {example}")]);
    let [line] = &lines("[route.a]\nlisten = \"7x\"\necho = true\n")[..] else { panic!() };
    assert!(line.ends_with(" tcp://…, udp://…, /path, unix:/path, unix:@name, unix-dgram:/path"));
    let twice =
        "[route.a]\nlisten = \":7\"\necho = true\n[route.b]\nlisten = \":7\"\necho = true\n";
    assert_eq!(lines(twice), ["x:5:10: tcp://:7 is used by two routes; the other route: x:2:10"]);
    let many: String = (0..54).map(|number| format!("a{number} = 1\n")).collect();
    let lines = lines(&many);
    assert_eq!((lines.len(), lines[50].as_str()), (51, "x: and 4 more errors"));
}

#[test]
fn every_syntax_error_is_listed_and_nothing_is_missed_because_of_it() {
    let text =
        "[route.a]\nlisten = \":7\nrelay = [\"a:1\"]\n[log\n[route.b]\nlisten = :9\necho = true\n";
    let lines: Vec<_> = parse_config(text)
        .unwrap_err()
        .into_iter()
        .map(|error| ConfigError::line_and_column(text, error.span.start).0)
        .collect();
    assert_eq!(lines, [2, 4, 6]);
}

#[test]
fn a_file_without_routes_is_refused() {
    for text in ["", "# nothing\n", "[log]\nlevel = \"info\"\n", "[route]\n"] {
        assert_eq!(one_error(text), ("", "no route".to_owned()), "{text:?}");
    }
}

#[test]
fn the_plan_as_a_whole_is_checked() {
    let text = "[admin]\ntoken-file = \"/x\"\n[process]\ndrain-idle = \"20s\"\n\
                [route.a]\nlisten = \":1\"\nrelay = [\"127.0.0.1:2\"]\n\
                [route.b]\nlisten = \":2\"\nrelay = [\"127.0.0.1:1\"]\n";
    let found = errors(text);
    let expected = [
        ("\"/x\"", "admin.token-file has no effect without admin.listen"),
        ("\"20s\"", "process.drain-idle 20s must be shorter than process.drain-timeout 10s"),
        ("\":1\"", "the relay at tcp://:1 would connect to itself through other routes"),
    ];
    assert_eq!(found, expected.map(|(place, wrong)| (place, wrong.to_owned())));
}

#[test]
fn a_printed_plan_reads_as_the_same_plan() {
    let texts = [
        ":7=echo",
        "127.0.0.1:0=echo",
        "127.0.0.1:0=discard,max-lifetime=1s",
        "udp://:53=relay,udp-flows=5:udp://10.0.0.1:53",
        "/run/a b,mode=0600=relay,idle-timeout=90s:a:1,b:2",
        ":23=greet,read-one:say \"\\n\" or '{peer}'\\x00\\t",
        ":24=greet:\\\\ {time}\\n",
        ":9=hub,frame=raw:lobby",
        ":10=hub,max-message=1000,hub-buffer=100k,on-lag=close",
        "unix:/run/\u{e9}\"=whoami",
    ];
    let route = |text: &&str| Route::parse(text, &Policy::default()).unwrap();
    let mut routes: Vec<Route> = texts.iter().map(route).collect();
    crate::config::number_names(&mut routes);
    routes[0].policy.existing = Existing::After(std::time::Duration::from_secs(90));
    let mut config = DaemonConfig::default();
    config.plan.routes = routes;
    config.plan.admin.hosts = vec!["a.example".into(), "[::1]".into()];
    config.plan.admin.admin = Some("127.0.0.1:9900".parse().unwrap());
    config.plan.max_connections = Some(12);
    config.log.explain = crate::config::Explain::First;
    config.log.quiet = true;
    let printed = print_config(&config);
    assert_eq!(parsed(&printed), config, "{printed}");
    assert!(printed.contains("[route.\"tcp://127.0.0.1:0#2\"]\n"), "{printed}");
    assert!(printed.contains("greet = { text = '\\\\ {time}\\n' }\n"), "{printed}");
}

#[test]
fn routes_of_one_name_are_printed_together() {
    let text =
        "[route.a]\nlisten = [\"tcp://:7\", \"udp://:7\"]\necho = true\nidle-timeout = \"1h\"\n";
    assert_eq!(print_config(&parsed(text)), text);
}

#[test]
fn any_text_is_refused_in_order_or_prints_back() {
    let mut dice = Dice::throw();
    let seedlings = [
        "[route.a]\nlisten = \":80\"\nrelay = [\"a:1\", \"/run/b\"]\nidle-timeout = \"1h\"\n",
        "[policy]\nidle-timeout = \"1h\"\n[route.b]\n\
         listen = [\":7\", \"udp://:7\"]\necho = true\n",
        "[route.c]\nlisten = \":9\"\n\
         hub = {name = \"x\", frame = \"raw\"}\nexisting = \"after 1s\"\n",
        "[log]\nlevel = \"debug\"\n[admin]\nlisten = \"/x\"\n\
         [route.d]\nlisten = \":1\"\necho=true\n",
    ];
    let mut accepted = 0;
    for _ in 0..10_000 {
        let text = dice.text(&seedlings);
        match parse_config(&text) {
            Ok(config) => {
                accepted += 1;
                let printed = print_config(&config);
                assert_eq!(parse_config(&printed).as_ref(), Ok(&config), "{printed}");
                assert!(!config.plan.routes.is_empty());
            }
            Err(errors) => {
                assert!(errors.iter().all(|error| text.get(error.span.clone()).is_some()));
                assert!(errors.is_sorted_by_key(|error| error.span.start), "{text:?}");
                let shown = ConfigErrors { file: "x".into(), text, errors }.to_string();
                assert!(shown.contains("x:"), "{shown}");
            }
        }
    }
    assert!(accepted > 300, "only {accepted} were accepted: the test has lost its aim");
}

#[test]
fn a_small_service_is_true_and_nothing_else() {
    for service in Service::NAMES.into_iter().filter(|s| !["greet", "relay", "hub"].contains(s)) {
        let config = parsed(&format!("[route.a]\nlisten = \":7\"\n{service} = true\n"));
        assert_eq!(config.plan.routes[0].service.name(), service);
    }
}

/// The rows of the reference in docs/configuration.md for the keys of a table.
fn reference(table: ConfigTable) -> Vec<String> {
    let row = |(name, option): (&str, &OptionSpec)| {
        let default = option.default_text().unwrap_or_else(|| match ValueForm::of(option) {
            ValueForm::Flag | ValueForm::FlagOrText => "false".to_owned(),
            _ => "none".to_owned(),
        });
        let form = ValueForm::of(option).name();
        // A file has no dashes before the names of options.
        let [default, help] = [default.as_str(), option.help].map(|text| text.replace(" --", " "));
        let help = help.replace("(see above)", "").replace('|', "\\|");
        format!("| `{name}` | {form} | {default} | {} |", help.trim_end())
    };
    keys_of(table).map(row).collect()
}

#[test]
fn the_page_has_every_key_as_the_option_table_has_it() {
    let page = include_str!("../../../docs/configuration.md");
    let mut missing = String::new();
    for table in [
        ConfigTable::Policy,
        ConfigTable::Process,
        ConfigTable::Log,
        ConfigTable::Admin,
        ConfigTable::Greet,
        ConfigTable::Hub,
    ] {
        let rows = reference(table).join("\n");
        if !page.contains(&format!("\n{rows}\n")) {
            missing += &format!("[{}]\n{rows}\n", table.name());
        }
    }
    assert!(missing.is_empty(), "the page should have\n{missing}");
}

#[test]
fn the_page_has_ten_complete_examples() {
    let page = include_str!("../../../docs/configuration.md");
    let examples: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split_once("```").expect("the end of an example").0)
        .filter(|example| !example.starts_with("# A part"))
        .collect();
    assert_eq!(examples.len(), 10);
    for example in examples {
        let config = parsed(example);
        assert_eq!(parsed(&print_config(&config)), config, "{example}");
    }
}
