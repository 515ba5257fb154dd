//! The table of commands: what each is called, what help says of it, and what makes a plan of it.

use super::Command;
use super::args::{ParsedArgs, Word};
use super::error::UsageError;
use super::{foreign, serve, talk, tools};
use crate::plan::parse_error::shown;
use crate::plan::{Service, guess};

/// One command.
pub struct Spec {
    pub name: &'static str,
    pub group: Group,
    /// What follows the name.
    pub arguments: &'static str,
    /// One line.
    pub about: &'static str,
    /// What each argument is.
    pub words: &'static [(&'static str, &'static str)],
    /// What else is to be said, a paragraph each.
    pub notes: &'static [&'static str],
    /// A command line and what it does.
    pub examples: &'static [(&'static str, &'static str)],
    pub build: fn(ParsedArgs) -> Result<Command, UsageError>,
}

/// Under which heading the overview shows a command, and which parts of help concern it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Serve,
    Talk,
    Tools,
}

pub fn find(word: &Word) -> Result<&'static Spec, UsageError> {
    let found = COMMANDS.iter().find(|spec| spec.name == word.text);
    found.ok_or_else(|| unknown(word))
}

fn unknown(word: &Word) -> UsageError {
    let error = UsageError::at(word.at, format!("unknown command: {}", shown(&word.text)));
    if let Some(ours) = foreign::command(&word.text) {
        return error.detail(format!("it is called {ours} here"));
    }
    let names = COMMANDS.iter().map(|spec| spec.name);
    match guess::nearest(&word.text, names) {
        Some(name) => error.detail(format!("did you mean {name}?")),
        None if word.text.contains('=') => error.detail("routes follow the word run"),
        None => error,
    }
}

const LISTEN: (&str, &str) = ("LISTEN…", "where to listen: one or more addresses");
const ON_DATAGRAMS: &str =
    "On datagrams each is answered by one, never by more bytes than came in.";

/// A small service, to be completed.
const SMALL: Spec = Spec {
    name: "",
    group: Group::Serve,
    arguments: "LISTEN… [OPTION…]",
    about: "",
    words: &[LISTEN],
    notes: &[],
    examples: &[],
    build: |_| Err(UsageError::missing("not built")),
};

pub const COMMANDS: [Spec; 13] = [
    Spec {
        name: "echo",
        arguments: "[LISTEN…] [OPTION…]",
        about: "send back what comes in (RFC 862)",
        words: &[("LISTEN…", "where to listen: one or more addresses; 127.0.0.1:7007 if none")],
        notes: &["On datagrams each is answered by itself; a loop of two echoes is broken."],
        examples: &[
            ("oneloop echo", "echo on 127.0.0.1:7007"),
            ("oneloop echo :7 udp://:7 unix:/run/echo.sock", "three doors, one loop"),
            ("oneloop echo -vv --explain", "watch the loop work, and why"),
        ],
        build: |args| serve::small(args, Service::Echo),
        ..SMALL
    },
    Spec {
        name: "discard",
        about: "read what comes in and forget it (RFC 863)",
        examples: &[("oneloop discard :9 udp://:9", "swallow on TCP and UDP")],
        build: |args| serve::small(args, Service::Discard),
        ..SMALL
    },
    Spec {
        name: "chargen",
        about: "send characters without end (RFC 864)",
        notes: &[ON_DATAGRAMS],
        examples: &[("oneloop chargen 127.0.0.1:19", "a source to read from")],
        build: |args| serve::small(args, Service::Chargen),
        ..SMALL
    },
    Spec {
        name: "daytime",
        about: "send the date and time as a line, and close (RFC 867)",
        notes: &[ON_DATAGRAMS],
        examples: &[("oneloop daytime :13", "what time is it there?")],
        build: |args| serve::small(args, Service::Daytime),
        ..SMALL
    },
    Spec {
        name: "time",
        about: "send the seconds since 1900 in four bytes, and close (RFC 868)",
        notes: &[ON_DATAGRAMS],
        examples: &[("oneloop time :37 udp://:37", "time for machines")],
        build: |args| serve::small(args, Service::Time),
        ..SMALL
    },
    Spec {
        name: "whoami",
        about: "tell the peer how it is seen: its address, ours, the transport",
        notes: &[ON_DATAGRAMS],
        examples: &[("oneloop whoami :7010", "then: oneloop connect 127.0.0.1:7010")],
        build: |args| serve::small(args, Service::Whoami),
        ..SMALL
    },
    Spec {
        name: "greet",
        arguments: "LISTEN… --text TEXT [--read-one] [OPTION…]",
        about: "send a text; read one message if asked to; close",
        notes: &[
            "TEXT may hold {peer} {peer.ip} {peer.port} {local} {local.ip} {local.port} {service} \
             {time}; \\{ is a brace. Streams only.",
        ],
        examples: &[
            ("oneloop greet :7008 --text 'welcome {peer.ip}\\n'", "greet and close"),
            ("oneloop greet :7008 --text 'your name? ' --read-one", "greet, read a line, log it"),
        ],
        build: serve::greet,
        ..SMALL
    },
    Spec {
        name: "relay",
        arguments: "LISTEN TARGET… [OPTION…]",
        about: "pass on to a target, faithfully in both directions",
        words: &[
            ("LISTEN", "where to listen"),
            ("TARGET…", "where to connect to; of several each in turn, the next if one fails"),
        ],
        notes: &[
            "tcp:// and unix: may be mixed, and so may udp:// and unix-dgram:. End, half-close and \
             reset come out on the other side as what they were.",
        ],
        examples: &[
            ("oneloop relay :5432 unix:/run/postgresql/.s.PGSQL.5432", "a Unix socket on TCP"),
            ("oneloop relay :80 10.0.0.1:80 10.0.0.2:80", "two targets, in turn"),
            ("oneloop relay udp://:53 udp://10.0.0.1:53", "datagrams, a flow for each source"),
        ],
        build: serve::relay,
        ..SMALL
    },
    Spec {
        name: "run",
        arguments: "LISTEN=SERVICE… [OPTION…]",
        about: "serve several routes in one loop",
        words: &[("LISTEN=SERVICE…", "one or more routes: an address, =, and what is done there")],
        notes: &[
            "SERVICE is one of",
            "  echo  discard  chargen  daytime  time  whoami",
            "  relay:TARGET[,TARGET…]",
            "  greet:TEXT",
            "  greet,read-one:TEXT",
            "and may have options of its own after commas, by the names of the options below:",
            "  echo,idle-timeout=5m",
            "  relay:10.0.0.1:80,10.0.0.2:80,connect-timeout=1s",
            "The text of a greeting runs to the end, so its options stand before the colon:",
            "  greet,max-lifetime=10s:welcome {peer.ip}\\n",
        ],
        examples: &[
            ("oneloop run :7=echo :9=discard", "two services, one loop"),
            ("oneloop run unix:/run/x.sock,mode=0660=relay:127.0.0.1:5432", "TCP on a Unix socket"),
            (
                "oneloop run ':23=greet:welcome {peer.ip}\\n' --max-lifetime 1m",
                "a limit for all routes",
            ),
        ],
        build: serve::run,
        ..SMALL
    },
    Spec {
        name: "connect",
        group: Group::Talk,
        arguments: "TARGET [OPTION…]",
        about: "join standard input and output to a socket",
        words: &[("TARGET", "where to connect to"), ("HOST PORT", "the same in two words")],
        notes: &[
            "When the input ends, our side is closed for writing, and what still comes is read to \
             the end. At a terminal the end of the other side ends it too. Over datagrams what one \
             read finds is one datagram: a line of a terminal, as much as a pipe or a file has.",
        ],
        examples: &[
            ("oneloop connect 127.0.0.1:7007", "talk to an echo"),
            ("printf 'ping\\n' | oneloop connect localhost 7007 --timing", "send, read, and tell"),
            ("oneloop connect -z -w 1s db.example:5432", "is there anybody?"),
            ("oneloop connect -u 127.0.0.1:53 < query", "over UDP"),
        ],
        build: talk::connect,
    },
    Spec {
        name: "chat",
        group: Group::Talk,
        about: "talk to all who connect: your lines go to everyone",
        notes: &[
            "What clients say is shown with who said it. A client that does not read holds up no \
             other. A ^D typed at a terminal ends the chat. Other input is read while somebody is \
             there to hear it, and when it ends, the chat goes on.",
        ],
        examples: &[("oneloop chat :7009", "then, elsewhere: oneloop connect HOST:7009")],
        build: talk::chat,
        ..SMALL
    },
    Spec {
        name: "doctor",
        group: Group::Tools,
        arguments: "[TARGET] [OPTION…]",
        about: "tell which limit of this machine bites first, and what mends it",
        words: &[("TARGET", "count as a client of this address, and connect to it once")],
        notes: &[
            "Reads files of the system and changes nothing. Run it where the daemon will run: \
             limits differ between users, containers and units. A target is connected to once.",
        ],
        examples: &[
            ("oneloop doctor", "how many connections does this machine hold?"),
            ("oneloop doctor --conns 1m", "does it hold a million, and if not, why?"),
            ("oneloop doctor --conns 100k 10.0.0.1:80", "can so many go out to one address?"),
        ],
        build: tools::doctor,
    },
    Spec {
        name: "stress",
        group: Group::Tools,
        arguments: "TARGET… [OPTION…]",
        about: "make connections and load, verify every byte, and tell what it cost the server",
        words: &[("TARGET…", "any server; connections are spread over several in turn")],
        notes: &[
            "idle    opens connections, holds them, and watches them die",
            "echo    each sends, waits for the answer, and sends again",
            "churn   each connects, exchanges one message, closes, and begins again",
            "reset   the same, but vanishes with a reset",
            "stream  bulk, as much as goes through",
            "storm   all connect at once, exchange one message and close, again and again",
            "pulse   all are silent, and all speak at one instant, again and again",
            "",
            "Loads run together: --load idle=10k,echo=16. INT ends a run early and still reports.",
        ],
        examples: &[
            ("oneloop stress 127.0.0.1:7007", "64 connections play ping-pong for ten seconds"),
            (
                "oneloop stress :7007 --load idle --conns 100k --hold 10m --active-conns 16",
                "hold many, watch them, and play ping-pong beside them",
            ),
            (
                "oneloop stress :7007 --rate 50k/s --size 1k --report run.html",
                "a given rate, with latencies that leave no late answer out",
            ),
            ("oneloop stress udp://:7007 --depth 16", "datagrams, and how many are lost"),
        ],
        build: tools::stress,
    },
];
