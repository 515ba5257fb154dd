//! Tests of the command line: accepted forms and error messages.

use std::ffi::OsString;
use std::time::Duration;

use super::command::COMMANDS;
use super::{Command, UsageError, parse};
use crate::config::options;
use crate::config::tests::Dice;
use crate::config::{
    AccessFormat, Address, AdminPlan, Color, Explain, LogPlan, Plan, Policy, Service,
};
use crate::core::{Frame, HubSettings};

/// A command line, split at spaces; `_` in an argument stands for a space.
fn split(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(|arg| arg.replace('_', " ").into()).collect()
}

fn command(line: &str) -> Command {
    parse(split(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn served(line: &str) -> (Plan, LogPlan) {
    match command(line) {
        Command::Serve(daemon) => (daemon.plan, daemon.log),
        other => panic!("{line}: {other:?}"),
    }
}

fn policy(line: &str) -> Policy {
    served(line).0.routes[0].policy.clone()
}

fn refused(line: &str) -> UsageError {
    parse(split(line)).map_or_else(|error| error, |command| panic!("{line}: {command:?}"))
}

#[test]
fn echo_listens_on_the_loopback_if_nothing_is_said() {
    let (plan, log) = served("echo");
    assert_eq!(plan.routes.len(), 1);
    assert_eq!(plan.routes[0].listen.to_string(), "tcp://127.0.0.1:7007");
    assert_eq!(plan.routes[0].service, Service::Echo);
    assert_eq!(plan.routes[0].policy, Policy::default());
    assert_eq!((plan.max_connections, plan.drain_timeout), (None, Plan::DRAIN_TIMEOUT));
    assert_eq!(log, LogPlan::default());
}

#[test]
fn each_small_service_listens_at_all_its_addresses() {
    for word in ["echo", "discard", "chargen", "daytime", "time", "whoami"] {
        let (plan, _) = served(&format!("{word} :7 udp://:7 unix:/run/x,mode=0600"));
        let listens: Vec<String> = plan.routes.iter().map(|r| r.listen.to_string()).collect();
        assert_eq!(listens, ["tcp://:7", "udp://:7", "unix:/run/x,mode=0600"]);
        assert!(plan.routes.iter().all(|route| route.service.name() == word));
    }
}

#[test]
fn greet_has_a_text_and_may_read_one_message() {
    let greeting = |line| match &served(line).0.routes[0].service {
        Service::Greet { text, read_one } => (text.to_string(), *read_one),
        other => panic!("{other:?}"),
    };
    assert_eq!(greeting("greet :1 --text hi_{peer.ip}\\n"), ("hi {peer.ip}\\n".into(), false));
    assert_eq!(greeting("greet :1 --text= --read-one"), (String::new(), true));
}

#[test]
fn the_listeners_of_hub_share_one() {
    let (plan, _) = served("hub :1 unix:/x --frame len32 --max-message 1k -m5");
    let settings = HubSettings { frame: Frame::Len32, max_message: 1024, ..HubSettings::default() };
    let hub = Service::Hub { name: String::new(), settings };
    assert!(plan.routes.iter().all(|route| route.service == hub));
    assert_eq!((plan.routes.len(), plan.max_connections), (2, Some(5)));
    let (run, _) =
        served("run :1=hub,frame=len32,max-message=1k unix:/x=hub,frame=len32,max-message=1k -m5");
    assert_eq!(run, plan);
}

#[test]
fn relay_has_a_listener_and_targets() {
    let (plan, _) = served("relay :80 a:1 unix:/b --connect-timeout 1s");
    let targets = ["tcp://a:1", "unix:/b"].map(|text| Address::parse(text).unwrap());
    assert_eq!(plan.routes.len(), 1);
    assert_eq!(plan.routes[0].service, Service::Relay(targets.to_vec()));
    assert_eq!(plan.routes[0].policy.connect_timeout, Duration::from_secs(1));
}

#[test]
fn run_has_routes_and_options_for_all_that_each_may_overrule() {
    let (plan, _) = served("run :7=echo,idle-timeout=9s :80=relay:a:1 --idle-timeout 5s -m 1k");
    let idle: Vec<_> = plan.routes.iter().map(|route| route.policy.idle_timeout).collect();
    assert_eq!(idle, [Some(Duration::from_secs(9)), Some(Duration::from_secs(5))]);
    assert_eq!(plan.max_connections, Some(1000));
}

#[test]
fn each_option_of_a_server_is_heard() {
    let seconds = Duration::from_secs;
    let line = "run :7=echo --idle-timeout 1m --half-close-timeout=2m --max-lifetime 3m \
         --connect-timeout 4m --udp-timeout 5m --udp-flows 6 --udp-allow-low-ports \
         --max-connections 7 --drain-timeout 0 --access-log haproxy --explain --color never";
    let expected = Policy {
        idle_timeout: Some(seconds(60)),
        half_close_timeout: Some(seconds(120)),
        max_lifetime: Some(seconds(180)),
        connect_timeout: seconds(240),
        udp_timeout: seconds(300),
        udp_flows: 6,
        udp_allow_low_ports: true,
        ..Policy::default()
    };
    let (plan, log) = served(line);
    assert_eq!(plan.routes[0].policy, expected);
    assert_eq!((plan.max_connections, plan.drain_timeout), (Some(7), Duration::ZERO));
    assert_eq!(log.access, Some(AccessFormat::Haproxy));
    assert!(log.explain == Explain::First && log.color == Color::Never);
    assert_eq!(policy("echo --idle-timeout off"), Policy::default());
}

#[test]
fn every_server_may_have_listeners_for_operators_and_scrapers() {
    let options =
        "--admin /run/x --metrics :9 --admin-token-file /t --admin-host a --admin-host ::1";
    for command in ["echo", "relay :80 a:1", "hub :1", "greet :1 --text x", "run :7=echo"] {
        let admin = served(&format!("{command} {options}")).0.admin;
        assert_eq!(admin.admin, Some("/run/x,mode=0600".parse().unwrap()));
        assert_eq!(admin.metrics, Some(":9".parse().unwrap()));
        assert_eq!(admin.token_file, Some("/t".into()));
        assert_eq!(admin.hosts, ["a", "[::1]"]);
    }
    assert_eq!(served("echo").0.admin, AdminPlan::default());
    assert!(refused("connect a:1 --admin :9").details[0].starts_with("only available with echo"));
}

#[test]
fn an_admin_listener_that_would_be_open_to_all_is_refused() {
    let error = refused("echo --admin :9");
    let wrong = "--admin tcp://:9 accepts connections from other machines, so it needs \
                 --admin-token-file";
    assert_eq!(error.wrong, wrong);
    assert_eq!(error.details, ["or listen on localhost, 127.0.0.1, [::1] or a Unix socket"]);
    assert_eq!(served("echo --admin :9 --admin-token-file x").0.admin.hosts, [""; 0]);
    assert_eq!(refused("echo --metrics udp://:9").wrong, "bad value for --metrics: udp://:9");
    let twice = refused("echo --admin 127.0.0.1:9 --admin /x");
    assert!(twice.details[1].ends_with("--admin is given twice: there is one such listener"));
}

#[test]
fn the_last_word_on_the_log_counts() {
    let level = |line| served(line).1.level();
    assert_eq!(level("echo"), "info");
    assert_eq!(level("echo -v"), "debug");
    assert_eq!(level("echo -vv"), "trace");
    assert_eq!(level("echo -v --verbose -v"), "trace");
    assert_eq!(level("echo -q"), "warn");
    assert_eq!(level("echo -vvq"), "warn");
    assert_eq!(level("echo -qv"), "debug");
}

#[test]
fn options_stand_anywhere_until_two_dashes_end_them() {
    let listens = |line| served(line).0.routes.iter().map(|r| r.listen.to_string()).collect();
    let pair: Vec<String> = vec!["tcp://:1".into(), "tcp://:2".into()];
    assert_eq!(pair, Vec::<String>::from_iter::<Vec<_>>(listens("echo :1 -v :2")));
    assert_eq!(pair, Vec::<String>::from_iter::<Vec<_>>(listens("echo -m5 -- :1 :2")));
    assert_eq!(command("echo --"), command("echo"));
    assert_eq!(refused("echo -- -v").wrong, "bad address: -v");
    assert_eq!(
        policy("echo --max-lifetime 1s --max-lifetime=2s").max_lifetime,
        Some(Duration::from_secs(2))
    );
}

#[test]
fn every_example_of_help_is_understood() {
    for (line, _) in COMMANDS.iter().flat_map(|spec| spec.examples) {
        let args = line.rsplit("oneloop ").next().unwrap_or_default();
        let args = args.split(" <").next().unwrap_or_default();
        // What stands in quotes is one argument.
        let parts = args.split('\'').enumerate();
        let args =
            parts.map(|(n, part)| if n % 2 == 1 { part.replace(' ', "_") } else { part.into() });
        command(&args.collect::<String>());
    }
}

#[test]
fn no_two_options_of_a_command_have_the_same_name() {
    for spec in &COMMANDS {
        let is_on = |option: &&options::OptionSpec| option.scope.has_command(spec.name);
        let known: Vec<_> = options::all().filter(is_on).collect();
        for (n, option) in known.iter().enumerate() {
            let same = |other: &&options::OptionSpec| {
                other.name == option.name || (other.short.is_some() && other.short == option.short)
            };
            assert!(!known[..n].iter().any(same), "{} {}", spec.name, option.name);
        }
    }
    assert!(Service::NAMES.iter().all(|word| COMMANDS.iter().any(|spec| spec.name == *word)));
}

/// Whole messages: what was typed, and each line of the answer.
const REFUSALS: [(&str, &[&str]); 13] = [
    (
        "",
        &[
            "no command",
            "  usage: oneloop COMMAND [OPTIONS] [ARGUMENTS]",
            "  commands: echo, discard, chargen, daytime, time, whoami, greet, relay, hub, \
             run, serve, connect, chat, check, plan, doctor, ctl, top, trace, stress",
            "  see: oneloop --help",
        ],
    ),
    (
        "echo --port=7007",
        &[
            "unknown option: --port (argument 2)",
            "  the port is part of the address, as in :7007 or 127.0.0.1:7007",
            "  see: oneloop echo --help",
        ],
    ),
    ("bench :7", &["unknown command: bench (argument 1)", "  use stress", "  see: oneloop --help"]),
    (
        "ecoh",
        &["unknown command: ecoh (argument 1)", "  did you mean echo?", "  see: oneloop --help"],
    ),
    (
        ":7=echo",
        &[
            "unknown command: :7=echo (argument 1)",
            "  routes need the run command: oneloop run :7=echo",
            "  see: oneloop --help",
        ],
    ),
    (
        "echo :7 --idel-timeout 5",
        &[
            "unknown option: --idel-timeout (argument 3)",
            "  did you mean --idle-timeout?",
            "  see: oneloop echo --help",
        ],
    ),
    (
        "echo :7 --text x",
        &[
            "unknown option: --text (argument 3)",
            "  only available with greet",
            "  see: oneloop echo --help",
        ],
    ),
    (
        "echo 127.0.0.1:99999",
        &[
            "bad address: 127.0.0.1:99999 (argument 2)",
            "  127.0.0.1:99999",
            "            ^^^^^ a port is a number from 0 to 65535",
            "  accepted: 7007, :7007, 127.0.0.1:7007, [::1]:7007, name:7007, tcp://…, udp://…,",
            "            /path, unix:/path, unix:@name, unix-dgram:/path",
            "  see: oneloop echo --help",
        ],
    ),
    (
        "echo --max-lifetime=5x",
        &[
            "bad value for --max-lifetime: 5x (argument 2)",
            "  5x",
            "   ^ unknown unit",
            "  accepted: 100us, 500ms, 5s, 2m, 1h, 1d, off",
            "  see: oneloop echo --help",
        ],
    ),
    (
        "echo --busy-poll 10",
        &[
            "bad value for --busy-poll: 10 (argument 3)",
            "  10",
            "    ^ a duration needs a unit; did you mean 10s?",
            "  accepted: 100us, 500ms, 5s, 2m, 1h, 1d, off",
            "  see: oneloop echo --help",
        ],
    ),
    (
        "run :7=relay:a:1,connect-timeout=10",
        &[
            "bad route: :7=relay:a:1,connect-timeout=10 (argument 2)",
            "  :7=relay:a:1,connect-timeout=10",
            "                                 ^ a duration needs a unit; did you mean 10s?",
            "  accepted: 100us, 500ms, 5s, 2m, 1h, 1d",
            "  see: oneloop run --help",
        ],
    ),
    (
        "run :7=echo :9=discrad",
        &[
            "bad route: :9=discrad (argument 3)",
            "  :9=discrad",
            "     ^^^^^^^ unknown service; did you mean discard?",
            "  accepted: echo, discard, chargen, daytime, time, whoami, greet, relay, hub",
            "  see: oneloop run --help",
        ],
    ),
    (
        "greet :1 --text hi_{peer.pi}",
        &[
            "bad value for --text: hi {peer.pi} (argument 4)",
            "  hi {peer.pi}",
            "      ^^^^^^^ unknown placeholder; did you mean {peer.ip}?",
            "  accepted: {peer} {peer.ip} {peer.port} {local} {local.ip} {local.port}",
            "            {service} {time}, \\{ for a brace",
            "  see: oneloop greet --help",
        ],
    ),
];

#[test]
fn a_refusal_names_the_argument_its_number_and_the_way_to_help() {
    for (line, expected) in REFUSALS {
        assert_eq!(refused(line).to_string(), expected.join("\n"), "{line}");
    }
}

#[test]
fn options_may_stand_before_the_command() {
    let parsed = |line: &str| format!("{:?}", parse(line.split_whitespace().map(OsString::from)));
    for (before, behind) in [
        ("-v echo :7", "echo :7 -v"),
        ("-vv --max-connections 5 echo :7 -q", "echo :7 -vv --max-connections 5 -q"),
        ("-z connect a:1", "connect a:1 -z"),
        ("--json doctor", "doctor --json"),
        ("-h echo", "-h"),
    ] {
        assert_eq!(parsed(before), parsed(behind));
    }
    assert!(parsed("-v echo").starts_with("Ok("));
}

#[test]
fn every_kind_of_wrong_command_line_is_refused() {
    let cases = [
        ("-v", Some(1), "option without a command: -v"),
        ("-v -m 5 ehco", Some(3), "unknown command: 5"),
        ("-v ehco", Some(2), "unknown command: ehco"),
        ("-u echo", Some(1), "unknown option: -u"),
        ("--", Some(1), "option without a command: --"),
        ("echo --drain-timeout off", Some(3), "bad value for --drain-timeout: off"),
        ("help ecoh", Some(2), "unknown command: ecoh"),
        ("echo -x", Some(2), "unknown option: -x"),
        ("echo -vx", Some(2), "unknown option: -x"),
        ("echo -ä", Some(2), "unknown option: -ä"),
        ("echo --explain=yes", Some(2), "bad value for --explain: yes"),
        ("echo --max-lifetime", Some(2), "--max-lifetime takes a value: --max-lifetime TIME"),
        ("echo -m", Some(2), "-m takes a value: -m N"),
        ("echo -m=5", Some(2), "bad value for -m: =5"),
        ("echo -m 0", Some(3), "bad value for -m: 0"),
        ("echo --udp-flows 3", Some(2), "unknown option: --udp-flows"),
        ("relay :1 a:2 --udp-allow-low-ports", Some(4), "unknown option: --udp-allow-low-ports"),
        ("echo --access-log xml", Some(3), "bad value for --access-log: xml"),
        ("echo --color yes", Some(3), "bad value for --color: yes"),
        ("proxy :1 a:2", Some(1), "unknown command: proxy"),
        ("echo :7 :7", Some(3), "tcp://:7 is used by two routes"),
        ("discard", None, "discard needs an address to listen on"),
        ("greet :7", None, "greet needs --text TEXT"),
        ("greet --text x", None, "greet needs an address to listen on"),
        ("greet udp://:7 --text x", Some(2), "bad address: udp://:7"),
        ("hub", None, "hub needs an address to listen on"),
        ("hub udp://:7", Some(2), "bad address: udp://:7"),
        ("hub :7 --frame xml", Some(4), "bad value for --frame: xml"),
        (
            "hub :7 --frame raw --on-lag skip",
            None,
            "a raw stream cannot skip: its reader would not notice the gap",
        ),
        (
            "hub :7 --hub-buffer 64k",
            None,
            "max-message 64k needs a hub-buffer of at least 65553b, not 64k",
        ),
        (
            "run :1=hub:a :2=hub:b,frame=raw :3=hub:a,frame=len32",
            Some(4),
            "two routes share the hub a, with different options",
        ),
        (
            "run :1=hub :2=hub,max-message=1",
            Some(3),
            "two routes share the hub without a name, with different options",
        ),
        ("relay", None, "relay needs an address to listen on and a target"),
        ("relay :7", None, "relay needs a target after the address to listen on"),
        ("relay :7 localhost:7", Some(3), "bad target: localhost:7"),
        ("relay :7 a:1 udp://b:1", Some(4), "bad target: udp://b:1"),
        ("relay :7 a:0", Some(3), "bad address: a:0"),
        ("run", None, "run needs a route: LISTEN=SERVICE"),
        (
            "run :1=relay:[::1]:2 :2=relay:[::1]:1",
            Some(2),
            "the relay at tcp://:1 would connect to itself through other routes",
        ),
        ("connect", None, "connect needs a target"),
        ("connect a:1 b c", Some(4), "unexpected argument: c"),
        ("connect -U /x y", Some(4), "unexpected argument: y"),
        ("connect a b", Some(2), "bad address: a:b"),
        ("connect a:0", Some(2), "bad address: a:0"),
        ("connect tcp://a:1 -u", Some(2), "-u conflicts with tcp://a:1"),
        ("connect udp://a:1 -U", Some(2), "-U conflicts with udp://a:1"),
        ("connect a:1 -w 0", Some(4), "bad value for -w: 0"),
        ("connect a:1 --access-log json", Some(3), "unknown option: --access-log"),
        ("chat", None, "chat needs an address to listen on"),
        ("chat udp://:1", Some(2), "bad address: udp://:1"),
        ("chat :1 --max-lifetime 5s", Some(3), "unknown option: --max-lifetime"),
    ];
    for (line, argument, wrong) in cases {
        let error = refused(line);
        assert_eq!((error.argument, error.wrong.as_str()), (argument, wrong), "{line}");
    }
}

#[test]
#[cfg(unix)]
fn arguments_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let error = parse(["echo".into(), OsString::from_vec(b"/tmp/\xff\x1b".to_vec())]).unwrap_err();
    assert_eq!(
        error.to_string().lines().next(),
        Some("not valid UTF-8: /tmp/\u{fffd}? (argument 2)")
    );
}

#[test]
fn any_command_line_is_understood_or_refused_in_order() {
    let mut dice = Dice::throw();
    let lines = [
        "echo :7 udp://:7 -vv --idle-timeout=5s --max-connections 10k",
        "relay :80 a:1 unix:/b --connect-timeout 1s -q",
        "greet :1 --text hi_{peer.ip}\\n --read-one",
        "run :7=echo,idle-timeout=9s /x,mode=0660=relay:a:1 -m5",
        "connect -zCu -w5s -i 3s localhost 80 --timing",
        "hub :1 --frame len32 --max-message 1k --hub-buffer=1M --on-lag skip",
        "chat :1 -m 7 --",
    ];
    for _ in 0..10_000 {
        let line = dice.text(&lines);
        if let Err(error) = parse(split(&line)) {
            let text = error.to_string();
            assert!(text.contains("\n  see: oneloop "), "{text}");
            assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        }
    }
}
