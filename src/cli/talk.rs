//! Builds the plans of connect and chat.

use super::Command;
use super::args::{Arg, ParsedArgs};
use super::error::UsageError;
use super::values::OptionValues;
use crate::config::parse::{Spanned, shown};
use crate::config::{Address, ChatPlan, ConnectPlan, LogPlan, ParseError, UnixName};

pub fn connect(args: ParsedArgs) -> Result<Command, UsageError> {
    let values = args.values;
    let target = match args.words.as_slice() {
        [] => {
            let error = UsageError::missing("connect needs a target");
            return Err(error.detail("for example: oneloop connect 127.0.0.1:7007"));
        }
        [word] => target(word, &values)?,
        [host, port] if !values.unix => target(&joined(host, port), &values)?,
        [_, .., last] => {
            let wrong = format!("unexpected argument: {}", shown(&last.text));
            return Err(UsageError::at(last.at, wrong)
                .detail("connect takes one target, or a host and a port"));
        }
    };
    let plain = ConnectPlan::to(target);
    // An idle timeout also applies after the end of the input.
    let linger = plain.linger.map(|linger| values.idle.unwrap_or(linger));
    Ok(Command::Connect(ConnectPlan {
        wait: values.wait,
        idle: values.idle,
        crlf: values.crlf,
        probe: values.probe,
        timing: values.timing,
        half_close: values.half_close,
        linger: values.linger.unwrap_or(linger),
        // By default the log would interfere with the conversation.
        log: LogPlan { quiet: values.log.verbosity == 0, ..values.log },
        ..plain
    }))
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
    let OptionValues { max_clients, idle, crlf, log, .. } = args.values;
    Ok(Command::Chat(ChatPlan { listens, max_clients, idle, crlf, log }))
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
fn target(word: &Arg, values: &OptionValues) -> Result<Address, UsageError> {
    let bare = !word.text.contains("://") && !word.text.contains('@');
    let path = values.unix && bare && !word.text.starts_with("unix");
    let text = if path { format!("unix:{}", word.text) } else { word.text.clone() };
    let address = Arg { text, at: word.at }.target()?;
    let conflict = |option: &str| {
        let wrong = format!("{option} conflicts with {}", shown(&word.text));
        Err(UsageError::at(word.at, wrong))
    };
    match address {
        Address::Tcp(..) | Address::Udp(..) if values.unix => conflict("-U"),
        Address::Tcp(host, port) if values.udp && bare => Ok(Address::Udp(host, port)),
        Address::Unix(name) if values.udp && (path || is_path(&name, word)) => {
            Ok(Address::UnixDatagram(name))
        }
        Address::Tcp(..) | Address::Unix(_) if values.udp => conflict("-u"),
        address => Ok(address),
    }
}

/// Whether the argument is a bare path.
fn is_path(name: &UnixName, word: &Arg) -> bool {
    matches!(name, UnixName::Path(_)) && !word.text.starts_with("unix")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use super::super::parse;
    use super::*;

    fn args(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    fn connected(line: &str) -> ConnectPlan {
        match parse(args(line)) {
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
        let chat = |line| match parse(args(line)) {
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
}
