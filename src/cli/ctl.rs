//! The commands of ctl: their arguments and the options that each accepts.

use super::Command;
use super::args::{Arg, ParsedArgs, dashed};
use super::error::UsageError;
use crate::config::ctl::CtlSettings;
use crate::config::options;
use crate::config::parse::{self, Spanned, shown};
use crate::config::unit;
use crate::config::{CtlCommand, CtlPlan, ParseError, RecordCommand, RecordPlan};
use crate::config::{WatchCommand, WatchSubject};

/// One command of ctl.
pub struct CtlSpec {
    /// The name, and its argument: in brackets if it is optional.
    pub usage: &'static str,
    pub about: &'static str,
    /// Options in addition to those that all commands accept.
    options: &'static [&'static str],
    build: fn(Option<&Arg>, &CtlSettings) -> Result<CtlCommand, UsageError>,
}

/// Options of the connection to the daemon, which all commands accept.
const ALWAYS: &[&str] = &["admin", "token-file", "color"];
const JSON: &[&str] = &["json"];

const fn row(
    usage: &'static str,
    about: &'static str,
    options: &'static [&'static str],
    build: fn(Option<&Arg>, &CtlSettings) -> Result<CtlCommand, UsageError>,
) -> CtlSpec {
    CtlSpec { usage, about, options, build }
}

/// Every command, in the order of help.
pub const COMMANDS: [CtlSpec; 21] = [
    row(
        "connections",
        "list connections",
        &["json", "route", "peer", "state", "idle-longer", "sort", "limit"],
        |_, settings| Ok(CtlCommand::Connections(settings.connections.clone())),
    ),
    row("connection N", "what a connection waits for, and where its bytes are", JSON, |arg, _| {
        id(arg).map(CtlCommand::Connection)
    }),
    row("close N", "reset both ends of a connection", JSON, |arg, _| {
        id(arg).map(CtlCommand::Close)
    }),
    row("routes", "routes, with their connections and bytes", JSON, |_, _| Ok(CtlCommand::Routes)),
    row("listeners", "listeners, with their accept queues", JSON, |_, _| Ok(CtlCommand::Listeners)),
    row("loop", "turns of the event loop, and how long they take", JSON, |_, _| {
        Ok(CtlCommand::Loop)
    }),
    row("timers", "deadlines, and how late they fire", JSON, |_, _| Ok(CtlCommand::Timers)),
    row("limits", "limits, and how much of each is used", JSON, |_, _| Ok(CtlCommand::Limits)),
    row("reasons", "why connections were closed, and how many", JSON, |_, _| {
        Ok(CtlCommand::Reasons)
    }),
    row("level [LEVEL]", "show the log level, or set it, as RUST_LOG does", JSON, |arg, _| {
        Ok(CtlCommand::Level(arg.map(|arg| arg.text.clone())))
    }),
    row("pause [LISTEN]", "stop accepting on one listener, or on all", JSON, |arg, _| {
        arg.map(Arg::stream_target).transpose().map(CtlCommand::Pause)
    }),
    row("resume [LISTEN]", "accept again", JSON, |arg, _| {
        arg.map(Arg::stream_target).transpose().map(CtlCommand::Resume)
    }),
    row("drain", "stop accepting, finish connections in progress, exit", JSON, |_, _| {
        Ok(CtlCommand::Drain)
    }),
    row("reload", "read the configuration file again, and apply it", JSON, |_, _| {
        Ok(CtlCommand::Reload)
    }),
    row(
        "record [SIZE|off]",
        "print the recording in memory; SIZE: start to record; off: stop, and end watches",
        &["json", "bytes"],
        |arg, settings| record(arg, settings).map(CtlCommand::Record),
    ),
    row(
        "watch [N|peer=ADDRESS|route=NAME|off]",
        "log and record connections in full for a while; off: stop",
        &["json", "for", "all", "bytes"],
        |arg, settings| watch(arg, settings).map(CtlCommand::Watch),
    ),
    row("ready", "exit with 0 if the daemon accepts connections, with 1 if not", &[], |_, _| {
        Ok(CtlCommand::Ready)
    }),
    row("version", "version, process and uptime", JSON, |_, _| Ok(CtlCommand::Version)),
    row("config", "print the configuration in force, as a file", &[], |_, _| {
        Ok(CtlCommand::Config)
    }),
    row(
        "events",
        "print events as they happen, until interrupted",
        &["json", "event", "level", "connection"],
        |_, settings| Ok(CtlCommand::Events(settings.events.clone())),
    ),
    row("GET PATH", "print any resource as it is sent, as in GET /metrics", &[], |arg, _| {
        path(arg).map(CtlCommand::Get)
    }),
];

/// Reads the argument of `record`.
fn record(arg: Option<&Arg>, settings: &CtlSettings) -> Result<RecordCommand, UsageError> {
    let bytes = settings.watch.bytes;
    let Some(arg) = arg.filter(|arg| arg.text != "off") else {
        if bytes {
            return Err(UsageError::missing("--bytes only applies to the start of a recording"));
        }
        return Ok(arg.map_or(RecordCommand::Copy, |_| RecordCommand::Stop));
    };
    match RecordPlan::in_memory(&arg.text) {
        Ok(_) => Ok(RecordCommand::Start { limit: arg.text.clone(), bytes }),
        Err(error) => Err(UsageError::at(arg.at, error.wrong_and_accepted())),
    }
}

/// Reads the argument of `watch`, and refuses options that it would ignore.
fn watch(arg: Option<&Arg>, settings: &CtlSettings) -> Result<WatchCommand, UsageError> {
    let settings = &settings.watch;
    let word = arg.map(|arg| arg.text.as_str());
    let is_off = word == Some("off");
    let starts = word.is_some() && !is_off;
    for (is_given, applies, name, of) in [
        (settings.time.is_some(), starts, "--for", "the start of a watch"),
        (settings.bytes, starts, "--bytes", "the start of a watch"),
        (settings.all, is_off, "--all", "watch off"),
    ] {
        if is_given && !applies {
            return Err(UsageError::missing(format!("{name} only applies to {of}")));
        }
    }
    match word {
        None => Ok(WatchCommand::Show),
        Some("off") => Ok(WatchCommand::Stop { all: settings.all }),
        Some(word) => Ok(WatchCommand::Start(watch_subject(arg, word)?, settings.clone())),
    }
}

/// Reads which connections to watch.
fn watch_subject(arg: Option<&Arg>, word: &str) -> Result<WatchSubject, UsageError> {
    let Some((name, value)) = word.split_once('=') else {
        return id(arg).map(WatchSubject::Connection);
    };
    match name {
        _ if value.is_empty() => Err(UsageError::missing(format!("{} is empty", shown(name)))),
        "peer" => Ok(WatchSubject::Peer(value.to_owned())),
        "route" => Ok(WatchSubject::Route(value.to_owned())),
        _ => {
            let error = UsageError::missing(format!("cannot watch by {}", shown(name)));
            Err(error.detail("a number, peer=ADDRESS or route=NAME"))
        }
    }
}

/// Builds the plan of ctl.
pub fn build(args: ParsedArgs) -> Result<Command, UsageError> {
    let Some((word, rest)) = args.words.split_first() else {
        let error = UsageError::missing("ctl needs a command");
        let names: Vec<&str> = COMMANDS.iter().map(CtlSpec::name).collect();
        return Err(error.detail(format!("commands: {}", names.join(", "))));
    };
    let spec = find(word)?;
    let (argument, is_optional) = spec.argument();
    if rest.is_empty() && argument.is_some() && !is_optional {
        let error = UsageError::missing(format!("{} needs an argument", spec.name()));
        return Err(error.detail(format!("usage: oneloop ctl {}", spec.usage)));
    }
    if let Some(extra) = rest.get(usize::from(argument.is_some())) {
        let error =
            UsageError::at(extra.at, format!("unexpected argument: {}", shown(&extra.text)));
        return Err(error.detail(format!("usage: oneloop ctl {}", spec.usage)));
    }
    check_options(spec, &args)?;
    let command = (spec.build)(rest.first(), &args.settings.ctl)?;
    let CtlSettings { admin, token_file, json, .. } = args.settings.ctl;
    let color = args.settings.log.color;
    Ok(Command::Ctl(Box::new(CtlPlan { command, admin, token_file, json, color })))
}

/// Refuses options that this command would ignore.
fn check_options(spec: &CtlSpec, args: &ParsedArgs) -> Result<(), UsageError> {
    for (option, _) in options::changed("ctl", &args.settings) {
        if spec.accepts(option.name) {
            continue;
        }
        let wrong = format!("{} does not apply to ctl {}", dashed(option), spec.name());
        let on = COMMANDS.iter().filter(|other| other.accepts(option.name)).map(CtlSpec::name);
        let on = on.collect::<Vec<_>>().join(", ");
        return Err(UsageError::missing(wrong).detail(format!("only available with {on}")));
    }
    Ok(())
}

impl CtlSpec {
    fn name(&self) -> &'static str {
        self.usage.split(' ').next().unwrap_or_default()
    }

    /// Returns the name of its argument, and whether it is optional.
    fn argument(&self) -> (Option<&'static str>, bool) {
        let argument = self.usage.split(' ').nth(1);
        (argument, argument.is_some_and(|argument| argument.starts_with('[')))
    }

    fn accepts(&self, option: &str) -> bool {
        ALWAYS.contains(&option) || self.options.contains(&option)
    }
}

fn find(word: &Arg) -> Result<&'static CtlSpec, UsageError> {
    let is_named = |spec: &&CtlSpec| spec.name().eq_ignore_ascii_case(&word.text);
    COMMANDS.iter().find(is_named).ok_or_else(|| {
        let error = UsageError::at(word.at, format!("unknown command: ctl {}", shown(&word.text)));
        match parse::nearest(&word.text, COMMANDS.iter().map(CtlSpec::name)) {
            Some(name) => error.detail(format!("did you mean {name}?")),
            None => error,
        }
    })
}

/// Reads the number of a connection.
fn id(arg: Option<&Arg>) -> Result<u32, UsageError> {
    read(arg, "connection", unit::read_id)
}

/// Reads a path with its query. It becomes a part of the request line.
fn path(arg: Option<&Arg>) -> Result<String, UsageError> {
    read(arg, "path", |input| {
        if !input.text.starts_with('/') {
            return Err(input
                .wrong("must begin with /")
                .or_accepts("/metrics, /connections?limit=5"));
        }
        match input.text.find(|c: char| !c.is_ascii_graphic() || c == '#') {
            Some(at) => Err(input.from(at).wrong("must be percent-encoded").or_accepts("%20, %23")),
            None => Ok(input.text.to_string()),
        }
    })
}

fn read<T>(
    arg: Option<&Arg>,
    subject: &str,
    read: impl Fn(Spanned<'_>) -> Result<T, parse::SpanError>,
) -> Result<T, UsageError> {
    let Some(arg) = arg else { return Err(UsageError::missing(format!("missing {subject}"))) };
    read(Spanned::whole(&arg.text)).map_err(|span_error| {
        arg.parse_error(&ParseError::new(subject, arg.text.as_str(), span_error))
    })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use super::super::parse as parse_line;
    use super::*;
    use crate::config::{Address, Color, ConnectionFilter, EventFilter, WatchSettings};

    fn plan(line: &str) -> CtlPlan {
        match parse_line(line.split_whitespace().map(OsString::from)) {
            Ok(Command::Ctl(plan)) => *plan,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn refused(line: &str) -> UsageError {
        parse_line(line.split_whitespace().map(OsString::from)).expect_err(line)
    }

    #[test]
    fn each_command_is_understood() {
        let listen = || Some(Address::parse(":7").unwrap());
        let watching = |subject, seconds| {
            let time = Some(Duration::from_secs(seconds));
            let settings = WatchSettings { time, ..WatchSettings::default() };
            CtlCommand::Watch(WatchCommand::Start(subject, settings))
        };
        let cases = [
            ("connections", CtlCommand::Connections(ConnectionFilter::default())),
            ("connection 7", CtlCommand::Connection(7)),
            ("connection #4294967295", CtlCommand::Connection(u32::MAX)),
            ("close 7", CtlCommand::Close(7)),
            ("routes", CtlCommand::Routes),
            ("listeners", CtlCommand::Listeners),
            ("loop", CtlCommand::Loop),
            ("timers", CtlCommand::Timers),
            ("limits", CtlCommand::Limits),
            ("reasons", CtlCommand::Reasons),
            ("level", CtlCommand::Level(None)),
            ("level debug", CtlCommand::Level(Some("debug".to_string()))),
            ("pause", CtlCommand::Pause(None)),
            ("pause tcp://:7", CtlCommand::Pause(listen())),
            ("resume 7", CtlCommand::Resume(listen())),
            ("drain", CtlCommand::Drain),
            ("reload", CtlCommand::Reload),
            ("record", CtlCommand::Record(RecordCommand::Copy)),
            ("record off", CtlCommand::Record(RecordCommand::Stop)),
            (
                "record 16M",
                CtlCommand::Record(RecordCommand::Start { limit: "16M".to_string(), bytes: false }),
            ),
            ("watch", CtlCommand::Watch(WatchCommand::Show)),
            ("watch off", CtlCommand::Watch(WatchCommand::Stop { all: false })),
            ("watch off --all", CtlCommand::Watch(WatchCommand::Stop { all: true })),
            ("watch 7 --for 30s", watching(WatchSubject::Connection(7), 30)),
            (
                "watch peer=10.0.0.0/8 --for 1m",
                watching(WatchSubject::Peer("10.0.0.0/8".to_string()), 60),
            ),
            (
                "watch route=unix:/a=b --for 5s",
                watching(WatchSubject::Route("unix:/a=b".to_string()), 5),
            ),
            ("ready", CtlCommand::Ready),
            ("version", CtlCommand::Version),
            ("config", CtlCommand::Config),
            ("events", CtlCommand::Events(EventFilter::default())),
            ("GET /metrics", CtlCommand::Get("/metrics".to_string())),
            ("get /connections?limit=5", CtlCommand::Get("/connections?limit=5".to_string())),
        ];
        for (line, command) in &cases {
            assert_eq!(plan(&format!("ctl {line}")).command, *command, "{line}");
        }
        let is_tried = |spec: &CtlSpec| {
            cases.iter().any(|(line, _)| line.split(' ').next() == Some(spec.name()))
        };
        assert!(COMMANDS.iter().all(is_tried));
    }

    #[test]
    fn options_stand_anywhere() {
        let line = "ctl --admin 127.0.0.1:9900 connections --route web --peer 10.0.0.9 \
             --state half-closed --idle-longer 5m --sort idle --limit 1k --json --token-file /t \
             --color never";
        let filter = ConnectionFilter {
            route: Some("web".to_string()),
            peer: Some("10.0.0.9".to_string()),
            state: Some("half-closed".to_string()),
            idle_longer: Some(Duration::from_secs(300)),
            sort: Some("idle".to_string()),
            limit: Some(1000),
        };
        let expected = CtlPlan {
            command: CtlCommand::Connections(filter),
            admin: Some(Address::parse("127.0.0.1:9900").unwrap()),
            token_file: Some("/t".into()),
            json: true,
            color: Color::Never,
        };
        assert_eq!(plan(line), expected);
        let events = plan("ctl events --event closed --level notice --connection 7").command;
        let filter = EventFilter {
            event: Some("closed".to_string()),
            level: Some("notice".to_string()),
            connection: Some(7),
        };
        assert_eq!(events, CtlCommand::Events(filter));
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_reason() {
        let cases = [
            ("ctl", None, "ctl needs a command"),
            ("ctl conections", Some(2), "unknown command: ctl conections"),
            ("ctl connection", None, "connection needs an argument"),
            ("ctl connection x", Some(3), "bad connection: x"),
            ("ctl connection +7", Some(3), "bad connection: +7"),
            ("ctl connection 4294967296", Some(3), "bad connection: 4294967296"),
            ("ctl routes x", Some(3), "unexpected argument: x"),
            ("ctl level a b", Some(4), "unexpected argument: b"),
            ("ctl pause udp://:7", Some(3), "bad address: udp://:7"),
            ("ctl routes --peer x", None, "--peer does not apply to ctl routes"),
            ("ctl events --limit 5", None, "--limit does not apply to ctl events"),
            ("ctl ready --json", None, "--json does not apply to ctl ready"),
            ("ctl watch x", Some(3), "bad connection: x"),
            ("ctl watch target=x", None, "cannot watch by target"),
            ("ctl watch peer=", None, "peer is empty"),
            ("ctl watch --for 5s", None, "--for only applies to the start of a watch"),
            ("ctl record off --bytes", None, "--bytes only applies to the start of a recording"),
            ("ctl watch 7 --all", None, "--all only applies to watch off"),
            ("ctl GET metrics", Some(3), "bad path: metrics"),
            ("ctl GET /\u{e9}", Some(3), "bad path: /\u{e9}"),
            ("ctl routes --admin udp://:7", Some(4), "bad value for --admin: udp://:7"),
            ("ctl connections --route=", Some(3), "bad value for --route: \"\""),
            ("ctl routes -v", Some(3), "unknown option: -v"),
        ];
        for (line, argument, wrong) in cases {
            let error = refused(line);
            assert_eq!((error.argument, error.wrong.as_str()), (argument, wrong), "{line}");
            assert_eq!(error.command, Some("ctl"), "{line}");
        }
        let error = refused("ctl conections");
        assert_eq!(error.details, ["did you mean connections?"]);
        let error = refused("ctl routes --peer x");
        assert_eq!(error.details, ["only available with connections"]);
        let space = parse_line(["ctl", "GET", "/a b\r\nX: y"].map(OsString::from));
        assert!(space.unwrap_err().wrong.starts_with("bad path: "));
    }
}
