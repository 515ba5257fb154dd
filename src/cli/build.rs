//! Builds the plan of each command from its settings and positional arguments.

use super::Command;
use super::args::{Arg, ParsedArgs};
use super::error::UsageError;
use crate::config::check::{self, Place};
use crate::config::options::Settings;
use crate::config::parse::{SpanError, Spanned, shown};
use crate::config::tools::ConnectSettings;
use crate::config::{
    self, Address, ChatPlan, ConnectPlan, DaemonConfig, DoctorPlan, LogPlan, ParseError, Plan,
    Route, Service, UnixName,
};

/// Default address of echo: local only, and without privileges.
const ECHO_LISTEN: &str = "127.0.0.1:7007";

/// Builds a service that needs only addresses to listen on.
pub fn small(mut args: ParsedArgs, service: Service) -> Result<Command, UsageError> {
    if args.words.is_empty() && service == Service::Echo {
        args.words.push(Arg { text: ECHO_LISTEN.to_string(), at: 0 });
    }
    let example = match service {
        Service::Discard => ":9",
        Service::Chargen => ":19",
        Service::Daytime => ":13",
        Service::Time => ":37",
        _ => ":7010",
    };
    same(args, &service, &format!("oneloop {} {example}", service.name()))
}

pub fn greet(mut args: ParsedArgs) -> Result<Command, UsageError> {
    const EXAMPLE: &str = "oneloop greet :7008 --text 'welcome {peer.ip}\\n'";
    let Some(text) = args.settings.route.greeting.text.take() else {
        let error = UsageError::missing("greet needs --text TEXT");
        return Err(error.detail(format!("for example: {EXAMPLE}")));
    };
    let service = Service::Greet { text, read_one: args.settings.route.greeting.read_one };
    same(args, &service, EXAMPLE)
}

pub fn hub(args: ParsedArgs) -> Result<Command, UsageError> {
    let settings = args.settings.route.hub.settings("hub-buffer").map_err(UsageError::missing)?;
    same(args, &Service::Hub { name: String::new(), settings }, "oneloop hub :7008")
}

pub fn relay(args: ParsedArgs) -> Result<Command, UsageError> {
    let needs = |what: &str| {
        let error = UsageError::missing(format!("relay needs {what}"));
        Err(error.detail("for example: oneloop relay :80 10.0.0.1:80"))
    };
    let Some((first, rest)) = args.words.split_first() else {
        return needs("an address to listen on and a target");
    };
    let listen = first.listen()?;
    if rest.is_empty() {
        return needs("a target after the address to listen on");
    }
    let mut targets = Vec::new();
    for word in rest {
        let target = word.target()?;
        let fits = check::target(&listen, &target, Spanned::whole(&word.text));
        fits.map_err(|span_error| misfit("target", word, span_error))?;
        targets.push(target);
    }
    let service = Service::Relay(targets);
    let route = Route::unnamed(listen, service, args.settings.route.policy.clone());
    plan(args.settings, vec![route], &args.words)
}

pub fn run(args: ParsedArgs) -> Result<Command, UsageError> {
    if args.words.is_empty() {
        let error = UsageError::missing("run needs a route: LISTEN=SERVICE");
        return Err(error.detail("for example: oneloop run :7=echo :9=discard"));
    }
    let route = |word: &Arg| {
        let route = Route::parse(&word.text, &args.settings.route.policy);
        route.map_err(|parse_error| word.parse_error(&parse_error))
    };
    let routes = args.words.iter().map(route).collect::<Result<_, _>>()?;
    plan(args.settings, routes, &args.words)
}

/// Builds one route per address, all with the same service.
fn same(args: ParsedArgs, service: &Service, example: &str) -> Result<Command, UsageError> {
    if args.words.is_empty() {
        let wrong = format!("{} needs an address to listen on", service.name());
        return Err(UsageError::missing(wrong).detail(format!("for example: {example}")));
    }
    let mut routes = Vec::new();
    for word in &args.words {
        let listen = word.listen()?;
        let fits = check::service(&listen, service, Spanned::whole(&word.text));
        fits.map_err(|span_error| misfit("address", word, span_error))?;
        let (service, policy) = (service.clone(), args.settings.route.policy.clone());
        routes.push(Route::unnamed(listen, service, policy));
    }
    plan(args.settings, routes, &args.words)
}

/// Builds the plan of these routes, one per argument, unless they conflict.
fn plan(settings: Settings, routes: Vec<Route>, words: &[Arg]) -> Result<Command, UsageError> {
    let mut plan = Plan { routes, ..settings.daemon };
    config::number_names(&mut plan.routes);
    if let Some(misfit) = check::plan(&plan, |name| format!("--{name}")).into_iter().next() {
        let error = match misfit.at {
            Place::Route(route) => UsageError::at(words[route].at, misfit.wrong),
            Place::Option(_) => UsageError::missing(misfit.wrong),
        };
        return Err(match misfit.remedy {
            "" => error,
            remedy => error.detail(remedy),
        });
    }
    let daemon = DaemonConfig { plan, log: settings.log };
    Ok(match settings.serve.print {
        true => Command::PrintConfig(config::print_config(&daemon)),
        false => Command::Serve(Box::new(daemon)),
    })
}

fn misfit(subject: &str, word: &Arg, span_error: SpanError) -> UsageError {
    word.parse_error(&ParseError::new(subject, word.text.as_str(), span_error))
}

pub fn connect(args: ParsedArgs) -> Result<Command, UsageError> {
    let settings = args.settings;
    let target = match args.words.as_slice() {
        [] => {
            let error = UsageError::missing("connect needs a target");
            return Err(error.detail("for example: oneloop connect 127.0.0.1:7007"));
        }
        [word] => target(word, &settings.connect)?,
        [host, port] if !settings.connect.unix => target(&joined(host, port), &settings.connect)?,
        [_, .., last] => {
            let wrong = format!("unexpected argument: {}", shown(&last.text));
            return Err(UsageError::at(last.at, wrong)
                .detail("connect takes one target, or a host and a port"));
        }
    };
    // By default the log would interfere with the conversation.
    let log = LogPlan { quiet: settings.log.verbosity == 0, ..settings.log };
    Ok(Command::Connect(ConnectPlan { log, ..settings.connect.connect_to(target) }))
}

pub fn chat(args: ParsedArgs) -> Result<Command, UsageError> {
    if args.words.is_empty() {
        let error = UsageError::missing("chat needs an address to listen on");
        return Err(error.detail("for example: oneloop chat :7009"));
    }
    let mut listens = Vec::new();
    for word in &args.words {
        let listen = word.listen()?;
        if listen.address.is_datagram() {
            let span_error = Spanned::whole(&word.text)
                .wrong("chat needs a stream address")
                .or_accepts("tcp://…, unix:… to listen on");
            let parse_error = ParseError::new("address", word.text.as_str(), span_error);
            return Err(word.parse_error(&parse_error));
        }
        listens.push(listen);
    }
    let settings = args.settings;
    Ok(Command::Chat(ChatPlan { listens, log: settings.log, ..settings.chat }))
}

/// Joins `HOST PORT` into one argument, numbered as the host.
fn joined(host: &Arg, port: &Arg) -> Arg {
    let bare_v6 = host.text.contains(':') && !host.text.contains(['[', '/']);
    let text = match bare_v6 {
        true => format!("[{}]:{}", host.text, port.text),
        false => format!("{}:{}", host.text, port.text),
    };
    Arg { text, at: host.at }
}

/// Parses the target and applies `-u` and `-U`, which must not contradict the address.
fn target(word: &Arg, options: &ConnectSettings) -> Result<Address, UsageError> {
    let bare = !word.text.contains("://") && !word.text.contains('@');
    let path = options.unix && bare && !word.text.starts_with("unix");
    let text = if path { format!("unix:{}", word.text) } else { word.text.clone() };
    let address = Arg { text, at: word.at }.target()?;
    let conflict = |option: &str| {
        let wrong = format!("{option} conflicts with {}", shown(&word.text));
        Err(UsageError::at(word.at, wrong))
    };
    match address {
        Address::Tcp(..) | Address::Udp(..) if options.unix => conflict("-U"),
        Address::Tcp(host, port) if options.udp && bare => Ok(Address::Udp(host, port)),
        Address::Unix(name) if options.udp && (path || is_path(&name, word)) => {
            Ok(Address::UnixDatagram(name))
        }
        Address::Tcp(..) | Address::Unix(_) if options.udp => conflict("-u"),
        address => Ok(address),
    }
}

/// Whether the argument is a bare path.
fn is_path(name: &UnixName, word: &Arg) -> bool {
    matches!(name, UnixName::Path(_)) && !word.text.starts_with("unix")
}

pub fn doctor(args: ParsedArgs) -> Result<Command, UsageError> {
    let target = match args.words.as_slice() {
        [] => None,
        [word] => Some(word.target()?),
        [.., last] => {
            let wrong = format!("unexpected argument: {}", shown(&last.text));
            return Err(UsageError::at(last.at, wrong).detail("doctor takes at most one target"));
        }
    };
    let (doctor, color) = (args.settings.doctor, args.settings.log.color);
    Ok(Command::Doctor(DoctorPlan { target, color, ..doctor }))
}

pub fn stress(args: ParsedArgs) -> Result<Command, UsageError> {
    let mut plan = args.settings.stress;
    plan.color = args.settings.log.color;
    for word in &args.words {
        plan.targets.push(word.target()?);
    }
    plan.check().map_err(UsageError::missing)?;
    Ok(Command::Stress(Box::new(plan)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use super::super::parse;
    use super::*;
    use crate::config::{Color, Probe};

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn connected(line: &str) -> ConnectPlan {
        match parsed(line) {
            Ok(Command::Connect(plan)) => plan,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn a_target_is_said_in_one_word_or_two() {
        let cases = [
            ("connect a:1", "tcp://a:1"),
            ("connect a 1", "tcp://a:1"),
            ("connect ::1 80", "tcp://[::1]:80"),
            ("connect [::1] 80", "tcp://[::1]:80"),
            ("connect 7007", "tcp://:7007"),
            ("connect udp://a:1", "udp://a:1"),
            ("connect -u a:1", "udp://a:1"),
            ("connect -u a 1", "udp://a:1"),
            ("connect -u udp://a:1", "udp://a:1"),
            ("connect udp://a 1", "udp://a:1"),
            ("connect /run/x", "unix:/run/x"),
            ("connect -U /run/x", "unix:/run/x"),
            ("connect -U x", "unix:x"),
            ("connect -U a:1", "unix:a:1"),
            ("connect -U unix:@x", "unix:@x"),
            ("connect -uU x", "unix-dgram:x"),
            ("connect -u ./x", "unix-dgram:./x"),
            ("connect -u unix-dgram:@x", "unix-dgram:@x"),
        ];
        for (line, target) in cases {
            assert_eq!(connected(line).target.to_string(), target, "{line}");
        }
    }

    #[test]
    fn each_option_of_connect_is_heard() {
        let plan = connected("connect a:1 -Cz -w 2s -i3s --timing --no-half-close --linger 4s -v");
        assert!(plan.crlf && plan.probe && plan.timing && !plan.half_close);
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!((plan.wait, plan.idle, plan.linger), (seconds(2), seconds(3), seconds(4)));
        assert_eq!(plan.log.level(), "debug");
        assert_eq!(connected("connect a:1 -w off").wait, None);
    }

    #[test]
    fn connect_waits_a_little_for_datagrams_and_logs_warnings_only() {
        let plan = connected("connect udp://a:1");
        assert_eq!(plan.linger, Some(ConnectPlan::DATAGRAM_LINGER));
        assert_eq!(connected("connect udp://a:1 --linger off").linger, None);
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(connected("connect udp://a:1 -i 7s").linger, seconds(7));
        assert_eq!(connected("connect udp://a:1 -i 7s --linger 2s").linger, seconds(2));
        assert_eq!(connected("connect tcp://a:1 -i 7s").linger, None);
        let plain = ConnectPlan::to(Address::parse("a:1").unwrap());
        let quiet = LogPlan { quiet: true, ..LogPlan::default() };
        assert_eq!(connected("connect a:1"), ConnectPlan { log: quiet, ..plain });
    }

    #[test]
    fn chat_has_listeners_and_a_limit() {
        let chat = |line| match parsed(line) {
            Ok(Command::Chat(plan)) => plan,
            other => panic!("{line}: {other:?}"),
        };
        let plan = chat("chat :1 /x -m 2k -i 1m -C");
        let listens: Vec<String> = plan.listens.iter().map(|listen| listen.to_string()).collect();
        assert_eq!(listens, ["tcp://:1", "unix:/x"]);
        assert_eq!((plan.max_clients, plan.idle), (2000, Some(Duration::from_secs(60))));
        assert!(plan.crlf && !plan.log.quiet);
        assert_eq!(chat("chat :1").max_clients, ChatPlan::MAX_CLIENTS);
    }

    #[test]
    fn the_doctor_has_a_plan_with_or_without_a_number_and_a_target() {
        let planned = |line| match parsed(line) {
            Ok(Command::Doctor(plan)) => plan,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(planned("doctor"), DoctorPlan::default());
        let expected = DoctorPlan {
            conns: Some(100_000),
            target: Some(Address::parse("10.0.0.1:80").unwrap()),
            json: true,
            color: Color::Never,
        };
        assert_eq!(planned("doctor --conns 100k 10.0.0.1:80 --json --color never"), expected);
        assert_eq!(planned("doctor -n 5").conns, Some(5));
        assert_eq!(planned("doctor --color always").color, Color::Always);
    }

    #[test]
    fn a_stress_run_has_targets_and_options() {
        let line =
            "stress --load idle=10k,echo :7 unix:/x --conns 2k --rate 50k/s --json - --probe echo";
        let Ok(Command::Stress(plan)) = parsed(line) else { panic!("{line}") };
        assert_eq!((plan.targets.len(), plan.loads.len(), plan.conns), (2, 2, 2000));
        assert_eq!(plan.probe, Probe::Echo);
        assert!(plan.rate.is_some() && plan.json.is_some());
    }

    #[test]
    fn a_stress_run_that_makes_no_sense_is_refused() {
        let cases = [
            ("stress", None, "missing target"),
            ("stress :7 --load ehco", Some(4), "bad value for --load: ehco"),
            ("stress :7 udp://:7", None, "stream and datagram targets cannot be combined"),
            ("stress :7 -v", Some(3), "unknown option: -v"),
        ];
        for (line, argument, wrong) in cases {
            let error = parsed(line).unwrap_err();
            assert_eq!((error.argument, error.wrong.as_str()), (argument, wrong), "{line}");
        }
    }

    #[test]
    fn what_the_doctor_does_not_understand_is_refused() {
        let cases = [
            ("doctor a:1 b:2", Some(3), "unexpected argument: b:2"),
            ("doctor a:0", Some(2), "bad address: a:0"),
            ("doctor --conns many", Some(3), "bad value for --conns: many"),
            ("doctor --conns 0", Some(3), "bad value for --conns: 0"),
            ("doctor -v", Some(2), "unknown option: -v"),
            ("echo --json", Some(2), "unknown option: --json"),
        ];
        for (line, argument, wrong) in cases {
            let error = parsed(line).unwrap_err();
            assert_eq!((error.argument, error.wrong.as_str()), (argument, wrong), "{line}");
        }
    }
}
