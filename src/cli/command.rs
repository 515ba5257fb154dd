//! The table of commands: name, help text and the function that builds the plan.

use super::Command;
use super::args::{Arg, ParsedArgs};
use super::error::UsageError;
use super::{build, configure, ctl, foreign, top, trace};
use crate::config::Service;
use crate::config::parse::{self, shown};

/// One command.
pub struct Spec {
    pub name: &'static str,
    pub group: CommandGroup,
    /// The usage line after the command's name.
    pub arguments: &'static str,
    /// Summary: lower case and without a full stop.
    pub about: &'static str,
    /// Name and description of each argument.
    pub words: &'static [(&'static str, &'static str)],
    /// Further paragraphs.
    pub notes: &'static [&'static str],
    /// Command line and description.
    pub examples: &'static [(&'static str, &'static str)],
    pub build: fn(ParsedArgs) -> Result<Command, UsageError>,
}

/// The heading under which the overview lists a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandGroup {
    Serve,
    Talk,
    Tools,
}

/// Finds a command by name.
pub fn find(word: &Arg) -> Result<&'static Spec, UsageError> {
    let found = COMMANDS.iter().find(|spec| spec.name == word.text);
    found.ok_or_else(|| unknown(word))
}

fn unknown(word: &Arg) -> UsageError {
    let error = UsageError::at(word.at, format!("unknown command: {}", shown(&word.text)));
    if let Some(ours) = foreign::command(&word.text) {
        return error.detail(format!("use {ours}"));
    }
    let names = COMMANDS.iter().map(|spec| spec.name);
    match parse::nearest(&word.text, names) {
        Some(name) => error.detail(format!("did you mean {name}?")),
        None if word.text.contains('=') => {
            error.detail("routes need the run command: oneloop run :7=echo")
        }
        None => error,
    }
}

const LISTEN: (&str, &str) = ("LISTEN...", "addresses to listen on");
const ON_DATAGRAMS: &str =
    "Each datagram gets one reply, which is never larger than the datagram itself.";

/// Defaults of a service command.
const SMALL: Spec = Spec {
    name: "",
    group: CommandGroup::Serve,
    arguments: "[OPTIONS] LISTEN...",
    about: "",
    words: &[LISTEN],
    notes: &[],
    examples: &[],
    build: |_| Err(UsageError::missing("not built")),
};

pub const COMMANDS: [Spec; 20] = [
    Spec {
        name: "echo",
        arguments: "[OPTIONS] [LISTEN...]",
        about: "send back everything received (RFC 862)",
        words: &[("LISTEN...", "addresses to listen on [default: 127.0.0.1:7007]")],
        notes: &["Datagrams are echoed one by one. Loops between two echo servers are broken."],
        examples: &[
            ("oneloop echo", "echo server on 127.0.0.1:7007"),
            ("oneloop echo :7 udp://:7 unix:/run/echo.sock", "three listeners, one event loop"),
            ("oneloop echo -vv --explain", "log every step of the event loop, with reasons"),
        ],
        build: |args| build::small(args, Service::Echo),
        ..SMALL
    },
    Spec {
        name: "discard",
        about: "read and discard everything received (RFC 863)",
        examples: &[("oneloop discard :9 udp://:9", "discard on TCP and UDP")],
        build: |args| build::small(args, Service::Discard),
        ..SMALL
    },
    Spec {
        name: "chargen",
        about: "send an endless stream of characters (RFC 864)",
        notes: &[ON_DATAGRAMS],
        examples: &[("oneloop chargen 127.0.0.1:19", "a source of bytes for testing")],
        build: |args| build::small(args, Service::Chargen),
        ..SMALL
    },
    Spec {
        name: "daytime",
        about: "send the date and time as a line of text and close (RFC 867)",
        notes: &[ON_DATAGRAMS],
        examples: &[("oneloop daytime :13", "the time as text")],
        build: |args| build::small(args, Service::Daytime),
        ..SMALL
    },
    Spec {
        name: "time",
        about: "send the seconds since 1900 as four bytes and close (RFC 868)",
        notes: &[ON_DATAGRAMS],
        examples: &[("oneloop time :37 udp://:37", "the time in binary, on TCP and UDP")],
        build: |args| build::small(args, Service::Time),
        ..SMALL
    },
    Spec {
        name: "whoami",
        about: "send the peer its own address, the local address and the transport",
        notes: &[ON_DATAGRAMS],
        examples: &[("oneloop whoami :7010", "test it: oneloop connect 127.0.0.1:7010")],
        build: |args| build::small(args, Service::Whoami),
        ..SMALL
    },
    Spec {
        name: "greet",
        arguments: "[OPTIONS] --text TEXT LISTEN...",
        about: "send a text, optionally read one message, and close",
        notes: &[
            "Placeholders in TEXT: {peer} {peer.ip} {peer.port} {local} {local.ip} {local.port} \
             {service} {time}. Write \\{ for a brace. Streams only.",
        ],
        examples: &[
            ("oneloop greet :7008 --text 'welcome {peer.ip}\\n'", "send a line and close"),
            (
                "oneloop greet :7008 --text 'your name? ' --read-one",
                "send a prompt, read one line and log it",
            ),
        ],
        build: build::greet,
        ..SMALL
    },
    Spec {
        name: "relay",
        arguments: "[OPTIONS] LISTEN TARGET...",
        about: "relay TCP and Unix streams, or UDP and Unix datagrams, to one or more targets",
        words: &[
            ("LISTEN", "address to listen on"),
            ("TARGET...", "target addresses: round robin, with failover to the next"),
        ],
        notes: &[
            "FIN, half-close, reset and refusal are propagated unchanged in both directions.",
            "tcp:// and unix: may be combined, and so may udp:// and unix-dgram:.",
        ],
        examples: &[
            (
                "oneloop relay :5432 unix:/run/postgresql/.s.PGSQL.5432",
                "expose a Unix socket on TCP",
            ),
            ("oneloop relay :80 10.0.0.1:80 10.0.0.2:80", "round robin over two targets"),
            ("oneloop relay udp://:53 udp://10.0.0.1:53", "UDP, with one flow per source"),
        ],
        build: build::relay,
        ..SMALL
    },
    Spec {
        name: "hub",
        about: "send each message of a client to all other clients",
        notes: &[
            "All addresses share one hub. A message never comes back to its sender. Streams only.",
            "A client that does not read never delays the others: when it is a whole buffer \
             behind, it skips the missed messages, or is disconnected.",
        ],
        examples: &[
            ("oneloop hub :7008 /run/hub.sock", "join it: oneloop connect HOST:7008"),
            (
                "oneloop hub :7008 --frame len32 --max-message 1M --hub-buffer 16M",
                "binary messages",
            ),
        ],
        build: build::hub,
        ..SMALL
    },
    Spec {
        name: "run",
        arguments: "[OPTIONS] LISTEN=SERVICE...",
        about: "serve several routes in one event loop",
        words: &[("LISTEN=SERVICE...", "routes: address to listen on and service")],
        notes: &[
            "SERVICE is one of:",
            "  echo, discard, chargen, daytime, time, whoami",
            "  relay:TARGET[,TARGET...]",
            "  greet:TEXT",
            "  greet,read-one:TEXT",
            "  hub, hub:NAME (routes with the same NAME, or with none, share one hub)",
            "",
            "A route can override the options below, without the dashes and after commas:",
            "  echo,idle-timeout=5m",
            "  relay:10.0.0.1:80,10.0.0.2:80,connect-timeout=1s",
            "  greet,max-lifetime=10s:welcome {peer.ip}\\n",
            "  hub:NAME,frame=len32",
            "The text of greet extends to the end of the argument, so its options precede the \
             colon.",
        ],
        examples: &[
            ("oneloop run :7=echo :9=discard", "two services, one event loop"),
            (
                "oneloop run unix:/run/x.sock,mode=0660=relay:127.0.0.1:5432",
                "expose a TCP service on a Unix socket",
            ),
            (
                "oneloop run ':23=greet:welcome {peer.ip}\\n' --max-lifetime 1m",
                "a limit for all routes",
            ),
        ],
        build: build::run,
        ..SMALL
    },
    Spec {
        name: "serve",
        arguments: "[OPTIONS]",
        about: "serve the routes of a configuration file; reload it without ending a connection",
        words: &[],
        notes: &[
            "HUP, or oneloop ctl reload, reads the file again. A file with errors changes nothing. \
             Connections stay open, unless the key \"existing\" of their route says otherwise.",
            "Every other command that serves prints its own arguments as such a file: \
             oneloop relay :80 10.0.0.1:80 --print-config",
        ],
        examples: &[
            ("oneloop serve --config oneloop.toml", "serve the routes of this file"),
            ("oneloop serve", "the same with /etc/oneloop/oneloop.toml"),
        ],
        build: configure::serve,
        ..SMALL
    },
    Spec {
        name: "connect",
        group: CommandGroup::Talk,
        arguments: "[OPTIONS] TARGET",
        about: "connect standard input and output to a socket",
        words: &[("TARGET", "address to connect to"), ("HOST PORT", "the same as two arguments")],
        notes: &[
            "At the end of the input, connect shuts down its side of the connection and reads the \
             answer to its end. On a terminal, it also exits when the peer closes.",
            "With datagrams, each read of the input is sent as one datagram: one line from a \
             terminal, as much as is available from a pipe or a file.",
        ],
        examples: &[
            ("oneloop connect 127.0.0.1:7007", "interactive session"),
            (
                "printf 'ping\\n' | oneloop connect localhost 7007 --timing",
                "send, read the answer and report timings",
            ),
            ("oneloop connect -z -w 1s db.example:5432", "test whether a port accepts connections"),
            ("oneloop connect -u 127.0.0.1:53 < query", "send a datagram over UDP"),
        ],
        build: build::connect,
    },
    Spec {
        name: "chat",
        group: CommandGroup::Talk,
        about: "send your lines to all connected clients and show theirs",
        notes: &[
            "Each line received is shown with the address of its client. A client that does not \
             read never delays the others.",
            "^D on a terminal ends the chat. Other input is read while at least one client is \
             connected; the chat continues after it ends.",
        ],
        examples: &[("oneloop chat :7009", "join it: oneloop connect HOST:7009")],
        build: build::chat,
        ..SMALL
    },
    Spec {
        name: "check",
        group: CommandGroup::Tools,
        arguments: "[OPTIONS] FILE",
        about: "check a configuration file, and list all of its errors",
        words: &[("FILE", "the configuration file")],
        notes: &["Opens no socket: an address that is in use is found when the file is served."],
        examples: &[("oneloop check oneloop.toml", "exit code 0: it can be served")],
        build: configure::check,
    },
    Spec {
        name: "plan",
        group: CommandGroup::Tools,
        arguments: "[OPTIONS] FILE [OTHER]",
        about: "show what a reload of a configuration file would change",
        words: &[
            ("FILE", "the configuration file"),
            (
                "OTHER",
                "what it is compared with: the address of an admin endpoint, or another file \
                 [default: $ONELOOP_ADMIN, or the socket of a local daemon]",
            ),
        ],
        notes: &["Changes nothing. With a running daemon, the connections that are concerned are \
             counted."],
        examples: &[
            ("oneloop plan oneloop.toml", "what ctl reload would do now"),
            ("oneloop plan new.toml old.toml", "compare two files"),
        ],
        build: configure::plan,
    },
    Spec {
        name: "doctor",
        group: CommandGroup::Tools,
        arguments: "[OPTIONS] [TARGET]",
        about: "show which system limit is reached first, and how to raise it",
        words: &[("TARGET", "connect to this address once, and report its limits as a client")],
        notes: &[
            "Reads /proc and /sys and changes nothing. Run it where the daemon will run: limits \
             differ between users, containers and systemd units.",
        ],
        examples: &[
            ("oneloop doctor", "maximum number of connections on this machine"),
            ("oneloop doctor --conns 1m", "which limits are too low for a million connections"),
            ("oneloop doctor --conns 100k 10.0.0.1:80", "the same as a client of one address"),
        ],
        build: build::doctor,
    },
    Spec {
        name: "ctl",
        group: CommandGroup::Tools,
        arguments: "[OPTIONS] COMMAND [ARGUMENT]",
        about: "look into a running daemon, and control it",
        words: &[],
        notes: &[
            "The daemon needs an admin endpoint: oneloop echo --admin /run/oneloop/admin.sock. \
             Without --admin and $ONELOOP_ADMIN, ctl uses /run/oneloop/admin.sock or \
             $XDG_RUNTIME_DIR/oneloop/admin.sock.",
            "Commands that change something need a Unix socket of the same user, or \
             --token-file. Tables that are too wide for the terminal leave out columns; --json \
             has every field.",
        ],
        examples: &[
            ("oneloop ctl connections --sort idle --limit 10", "ten connections by idle time"),
            ("oneloop ctl connection 7", "what connection 7 waits for, and where its bytes are"),
            ("oneloop ctl --admin 127.0.0.1:9900 ready", "a probe: exit code 0 or 1"),
            ("oneloop ctl level info,oneloop::loop=trace", "log every step of the event loop"),
        ],
        build: ctl::build,
    },
    Spec {
        name: "top",
        group: CommandGroup::Tools,
        arguments: "[OPTIONS] [ADDRESS]",
        about: "watch a running daemon: its connections, routes, listeners and event loop",
        words: &[(
            "ADDRESS",
            "the admin endpoint [default: $ONELOOP_ADMIN, or the socket of a local daemon]",
        )],
        notes: &[
            "The daemon needs an admin endpoint: oneloop echo --admin /run/oneloop/admin.sock. It \
             is polled once per interval, and not at all while the display is frozen. The key ? \
             lists the keys. If it records, the key [ steps back in time.",
        ],
        examples: &[
            ("oneloop top", "watch the daemon of this machine"),
            ("oneloop top 127.0.0.1:9900 --sort idle", "the longest idle connections first"),
            ("oneloop top --once --view loop", "one frame as text"),
        ],
        build: top::build,
    },
    Spec {
        name: "trace",
        group: CommandGroup::Tools,
        arguments: "[OPTIONS] RECORDING WHAT [N]",
        about: "convert a recording of the event loop",
        words: &[
            (
                "RECORDING",
                "a file, the name of numbered files, or the address of an admin endpoint",
            ),
            ("WHAT", "what to convert it into"),
        ],
        notes: &[
            "WHAT is one of:",
            "  log        the lines that the log would have had, with --level and --explain",
            "  explain N  the life of connection N, as a sequence diagram with sentences",
            "  flags      what went wrong or took long, worst first",
            "  jsonl      each event as one line of JSON",
            "  pcapng     packets for Wireshark, made up from events",
            "  perfetto   tracks of turns and connections, for ui.perfetto.dev",
            "",
            "A daemon records with --record, or after: oneloop ctl record 16M",
        ],
        examples: &[
            ("oneloop echo --record run.rec,limit=256M", "record everything, in files"),
            ("oneloop trace run.rec flags", "where to look first"),
            ("oneloop trace run.rec explain 7", "what happened on connection 7"),
            ("oneloop trace /run/oneloop/admin.sock pcapng -o run.pcapng", "for Wireshark"),
            ("oneloop trace run.rec perfetto -o run.pftrace", "for ui.perfetto.dev"),
        ],
        build: trace::build,
    },
    Spec {
        name: "stress",
        group: CommandGroup::Tools,
        arguments: "[OPTIONS] TARGET...",
        about: "generate load, verify every byte and report what it cost the server",
        words: &[("TARGET...", "any servers; connections are distributed round robin")],
        notes: &[
            "idle    open connections, hold them and report those that are closed",
            "echo    send a message, wait for the echo, repeat",
            "churn   connect, exchange one message, close, repeat",
            "stream  bulk transfer at full speed",
            "",
            "Loads can be combined: --load idle=10k,echo=16. --burst and --abort modify every load \
             that they fit, echo+burst, churn+burst and churn+abort only that load. INT ends a run \
             early; the report is still printed.",
        ],
        examples: &[
            ("oneloop stress 127.0.0.1:7007", "64 echo connections for ten seconds"),
            (
                "oneloop stress :7007 --load idle --conns 100k --hold 10m --active-conns 16",
                "hold idle connections and measure latency beside them",
            ),
            (
                "oneloop stress :7007 --rate 50k/s --size 1k --report run.html",
                "fixed rate, with latencies corrected for coordinated omission",
            ),
            (
                "oneloop stress :7007 --load churn --burst --conns 2k",
                "all clients connect at once, again and again",
            ),
            ("oneloop stress udp://:7007 --depth 16", "datagrams, with a count of lost ones"),
        ],
        build: build::stress,
    },
];
