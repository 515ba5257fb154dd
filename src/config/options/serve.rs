//! The options of the commands that serve: those of greet and hub, the limits of the daemon, and
//! the policy of its routes.

use super::file::{GREET, HUB_TABLE, POLICY, PROCESS};
use super::{Field, FileKey, OptionSpec, PLAIN, Scope, Section, Services, Takes};
use crate::config::parse::{choice, choice_name, put};
use crate::config::template;
use crate::config::unit::{self, show_duration, show_size, show_timeout};
use crate::core::{Frame, HubSettings, OnLag};

/// The limits of the daemon.
const LIMIT: OptionSpec = OptionSpec { section: Section::Limits, scope: Scope::Servers, ..PLAIN };

const HUB: OptionSpec = OptionSpec { scope: Scope::Service("hub"), ..PLAIN };

pub(super) const OPTIONS: [OptionSpec; 17] = [
    // ---- greet ---------------------------------------------------------------------------------
    OptionSpec {
        name: "text",
        in_file: Some(FileKey { name: "text", ..GREET }),
        takes: Takes::Value("TEXT"),
        help: "text to send, with \\n \\r \\t \\xNN and placeholders (see above)",
        scope: Scope::Only(&["greet"]),
        field: Field::Greeting(
            |greeting, value| put(&mut greeting.text, template::read(value).map(Some)),
            |greeting| greeting.text.as_ref().map(ToString::to_string),
        ),
        ..PLAIN
    },
    OptionSpec {
        name: "read-one",
        in_file: Some(FileKey { name: "read-one", ..GREET }),
        help: "then read one message, up to a newline or end of file, and log it",
        scope: Scope::Service("greet"),
        field: Field::Greeting(
            |greeting, value| put(&mut greeting.read_one, Ok(value.text != "false")),
            |greeting| greeting.read_one.then(String::new),
        ),
        ..PLAIN
    },
    // ---- hub -----------------------------------------------------------------------------------
    OptionSpec {
        name: "frame",
        in_file: Some(FileKey { name: "frame", ..HUB_TABLE }),
        takes: Takes::Value("FRAME"),
        help: "message format: line, len32 (4-byte big-endian length, then payload) or raw (as \
               received)",
        field: Field::Hub(
            |hub, value| put(&mut hub.frame, choice(value, &Frame::NAMES)),
            |hub| Some(choice_name(&Frame::NAMES, hub.frame).to_string()),
        ),
        ..HUB
    },
    OptionSpec {
        name: "max-message",
        in_file: Some(FileKey { name: "max-message", ..HUB_TABLE }),
        takes: Takes::Value("SIZE"),
        help: "maximum message size; the sender of a longer message is disconnected",
        field: Field::Hub(
            |hub, value| {
                let size = unit::read_size_up_to(HubSettings::MESSAGE_MAX, value);
                put(&mut hub.max_message, size)
            },
            |hub| Some(show_size(hub.max_message)),
        ),
        ..HUB
    },
    OptionSpec {
        name: "hub-buffer",
        in_file: Some(FileKey { name: "buffer", ..HUB_TABLE }),
        takes: Takes::Value("SIZE"),
        help: "memory for messages that some client has not received yet",
        field: Field::Hub(
            |hub, value| {
                put(&mut hub.buffer, unit::read_size_up_to(HubSettings::BUFFER_MAX, value))
            },
            |hub| Some(show_size(hub.buffer)),
        ),
        ..HUB
    },
    OptionSpec {
        name: "on-lag",
        in_file: Some(FileKey { name: "on-lag", ..HUB_TABLE }),
        takes: Takes::Value("ACTION"),
        default: "skip; close if raw",
        help: "for a client that is a whole buffer behind: skip the missed messages, or close it",
        field: Field::Hub(
            |hub, value| put(&mut hub.on_lag, choice(value, &OnLag::NAMES).map(Some)),
            |hub| hub.on_lag.map(|on_lag| choice_name(&OnLag::NAMES, on_lag).to_string()),
        ),
        ..HUB
    },
    // ---- the daemon as a whole -----------------------------------------------------------------
    OptionSpec {
        name: "max-connections",
        in_file: Some(FileKey { name: "max-connections", ..PROCESS }),
        short: Some('m'),
        takes: Takes::Value("N"),
        default: "from the open-file limit",
        help: "maximum concurrent connections; others wait in the accept queue",
        field: Field::Daemon(
            |plan, value| put(&mut plan.max_connections, unit::read_limit(value).map(Some)),
            |plan| plan.max_connections.map(|count| count.to_string()),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "drain-timeout",
        in_file: Some(FileKey { name: "drain-timeout", ..PROCESS }),
        takes: Takes::Value("TIME"),
        help: "time for connections in progress to finish after TERM or INT",
        field: Field::Daemon(
            |plan, value| put(&mut plan.drain_timeout, unit::read_bounded(value)),
            |plan| Some(show_duration(plan.drain_timeout)),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "drain-idle",
        in_file: Some(FileKey { name: "drain-idle", ..PROCESS }),
        takes: Takes::Value("TIME"),
        default: "1s, at most half of --drain-timeout",
        help: "during a drain, close connections at rest after this long",
        field: Field::Daemon(
            |plan, value| put(&mut plan.drain_idle, unit::read_bounded(value).map(Some)),
            |plan| plan.drain_idle.map(show_duration),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "busy-poll",
        in_file: Some(FileKey { name: "busy-poll", ..PROCESS }),
        takes: Takes::Value("TIME"),
        help: "poll without sleeping for this long before each sleep: lower latency, one busy core",
        field: Field::Daemon(
            |plan, value| put(&mut plan.busy_poll, unit::read_timeout(value)),
            |plan| Some(show_timeout(plan.busy_poll)),
        ),
        ..LIMIT
    },
    // ---- policy --------------------------------------------------------------------------------
    OptionSpec {
        name: "idle-timeout",
        in_file: Some(FileKey { name: "idle-timeout", ..POLICY }),
        takes: Takes::Value("TIME"),
        help: "close connections idle for this long",
        scope: Scope::Services(Services::All),
        field: Field::Policy(
            |policy, value| put(&mut policy.idle_timeout, unit::read_timeout(value)),
            |policy| Some(show_timeout(policy.idle_timeout)),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "half-close-timeout",
        in_file: Some(FileKey { name: "half-close-timeout", ..POLICY }),
        takes: Takes::Value("TIME"),
        help: "close half-closed connections idle for this long",
        scope: Scope::Services(Services::All),
        field: Field::Policy(
            |policy, value| put(&mut policy.half_close_timeout, unit::read_timeout(value)),
            |policy| Some(show_timeout(policy.half_close_timeout)),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "max-lifetime",
        in_file: Some(FileKey { name: "max-lifetime", ..POLICY }),
        takes: Takes::Value("TIME"),
        help: "close connections at this age",
        scope: Scope::Services(Services::All),
        field: Field::Policy(
            |policy, value| put(&mut policy.max_lifetime, unit::read_timeout(value)),
            |policy| Some(show_timeout(policy.max_lifetime)),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "connect-timeout",
        in_file: Some(FileKey { name: "connect-timeout", ..POLICY }),
        takes: Takes::Value("TIME"),
        help: "give up on a target and try the next",
        scope: Scope::Services(Services::Relay),
        field: Field::Policy(
            |policy, value| {
                let reason = "an unresponsive target must fail over to the next";
                put(&mut policy.connect_timeout, unit::read_wait_because(value, reason))
            },
            |policy| Some(show_duration(policy.connect_timeout)),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "udp-timeout",
        in_file: Some(FileKey { name: "udp-timeout", ..POLICY }),
        takes: Takes::Value("TIME"),
        default: "60s",
        help: "close datagram flows idle for this long",
        scope: Scope::Services(Services::Relay),
        field: Field::Policy(
            |policy, value| {
                let reason = "a datagram flow has no end of file";
                put(&mut policy.udp_timeout, unit::read_wait_because(value, reason))
            },
            |policy| Some(show_duration(policy.udp_timeout)),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "udp-flows",
        in_file: Some(FileKey { name: "udp-flows", ..POLICY }),
        takes: Takes::Value("N"),
        help: "maximum datagram flows; a new one replaces the oldest",
        scope: Scope::Services(Services::Relay),
        field: Field::Policy(
            |policy, value| put(&mut policy.udp_flows, unit::read_limit(value)),
            |policy| Some(policy.udp_flows.to_string()),
        ),
        ..LIMIT
    },
    OptionSpec {
        name: "udp-allow-low-ports",
        in_file: Some(FileKey { name: "udp-allow-low-ports", ..POLICY }),
        help: "also answer datagrams from ports below 1024",
        scope: Scope::Services(Services::Small),
        field: Field::Policy(
            |policy, value| put(&mut policy.udp_allow_low_ports, Ok(value.text != "false")),
            |policy| policy.udp_allow_low_ports.then(String::new),
        ),
        ..LIMIT
    },
];
