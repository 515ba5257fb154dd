//! The options of connect, chat and doctor.

use super::{Field, OptionSpec, PLAIN, Scope, Takes};
use crate::config::parse::put;
use crate::config::unit::{self, show_timeout};

const CONNECT: OptionSpec = OptionSpec { scope: Scope::Only(&["connect"]), ..PLAIN };
const CHAT: OptionSpec = OptionSpec { scope: Scope::Only(&["chat"]), ..PLAIN };
const DOCTOR: OptionSpec = OptionSpec { scope: Scope::Only(&["doctor"]), ..PLAIN };

pub(super) const OPTIONS: [OptionSpec; 14] = [
    // ---- connect -------------------------------------------------------------------------------
    OptionSpec {
        name: "crlf",
        short: Some('C'),
        help: "send line ends as CR LF",
        field: Field::Connect(
            |connect, _| put(&mut connect.plan.crlf, Ok(true)),
            |connect| connect.plan.crlf.then(String::new),
        ),
        ..CONNECT
    },
    OptionSpec {
        name: "wait",
        short: Some('w'),
        takes: Takes::Value("TIME"),
        help: "give up connecting after this long",
        field: Field::Connect(
            |connect, value| put(&mut connect.plan.wait, unit::read_timeout(value)),
            |connect| Some(show_timeout(connect.plan.wait)),
        ),
        ..CONNECT
    },
    OptionSpec {
        name: "idle-timeout",
        short: Some('i'),
        takes: Takes::Value("TIME"),
        help: "close connections idle for this long",
        field: Field::Connect(
            |connect, value| put(&mut connect.plan.idle, unit::read_timeout(value)),
            |connect| Some(show_timeout(connect.plan.idle)),
        ),
        ..CONNECT
    },
    OptionSpec {
        name: "probe",
        short: Some('z'),
        help: "only test whether the target accepts a connection",
        field: Field::Connect(
            |connect, _| put(&mut connect.plan.probe, Ok(true)),
            |connect| connect.plan.probe.then(String::new),
        ),
        ..CONNECT
    },
    OptionSpec {
        name: "timing",
        help: "report how long each step took, and how the connection ended",
        field: Field::Connect(
            |connect, _| put(&mut connect.plan.timing, Ok(true)),
            |connect| connect.plan.timing.then(String::new),
        ),
        ..CONNECT
    },
    OptionSpec {
        name: "no-half-close",
        help: "do not shut down the local side at the end of the input",
        field: Field::Connect(
            |connect, _| put(&mut connect.plan.half_close, Ok(false)),
            |connect| (!connect.plan.half_close).then(String::new),
        ),
        ..CONNECT
    },
    OptionSpec {
        name: "linger",
        takes: Takes::Value("TIME"),
        default: "off; 1s for datagrams",
        help: "wait at most this long for the peer after the input ends",
        field: Field::Connect(
            |connect, value| put(&mut connect.linger, unit::read_timeout(value).map(Some)),
            |connect| connect.linger.map(show_timeout),
        ),
        ..CONNECT
    },
    OptionSpec {
        name: "udp",
        short: Some('u'),
        help: "use UDP; same as udp://TARGET",
        field: Field::Connect(
            |connect, _| put(&mut connect.udp, Ok(true)),
            |connect| connect.udp.then(String::new),
        ),
        ..CONNECT
    },
    OptionSpec {
        name: "unix",
        short: Some('U'),
        help: "use a Unix socket; same as unix:TARGET",
        field: Field::Connect(
            |connect, _| put(&mut connect.unix, Ok(true)),
            |connect| connect.unix.then(String::new),
        ),
        ..CONNECT
    },
    // ---- chat ----------------------------------------------------------------------------------
    OptionSpec {
        name: "crlf",
        short: Some('C'),
        help: "send line ends as CR LF",
        field: Field::Chat(
            |plan, _| put(&mut plan.crlf, Ok(true)),
            |plan| plan.crlf.then(String::new),
        ),
        ..CHAT
    },
    OptionSpec {
        name: "idle-timeout",
        short: Some('i'),
        takes: Takes::Value("TIME"),
        help: "close connections idle for this long",
        field: Field::Chat(
            |plan, value| put(&mut plan.idle, unit::read_timeout(value)),
            |plan| Some(show_timeout(plan.idle)),
        ),
        ..CHAT
    },
    OptionSpec {
        name: "max-clients",
        short: Some('m'),
        takes: Takes::Value("N"),
        help: "maximum concurrent clients",
        field: Field::Chat(
            |plan, value| put(&mut plan.max_clients, unit::read_limit(value)),
            |plan| Some(plan.max_clients.to_string()),
        ),
        ..CHAT
    },
    // ---- doctor --------------------------------------------------------------------------------
    OptionSpec {
        name: "conns",
        short: Some('n'),
        takes: Takes::Value("N"),
        default: "report the maximum",
        help: "check whether this many connections fit, as a server, client and relay",
        field: Field::Doctor(
            |plan, value| put(&mut plan.conns, unit::read_limit(value).map(Some)),
            |plan| plan.conns.map(|count| count.to_string()),
        ),
        ..DOCTOR
    },
    OptionSpec {
        name: "json",
        help: "print one JSON object",
        field: Field::Doctor(
            |plan, _| put(&mut plan.json, Ok(true)),
            |plan| plan.json.then(String::new),
        ),
        ..DOCTOR
    },
];
