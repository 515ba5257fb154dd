//! Entry points for fuzzers: each parses text from outside, and must neither panic nor hang. Not
//! part of the interface of the crate.

use std::ffi::OsString;

use crate::cli;
use crate::config::{Address, Listen, Policy, Route, Template, unit};
use crate::observe::filter::Filter;
use crate::stress::protocol::Message;

/// A parser and its name.
pub type Parser = (&'static str, fn(&str));

/// All parsers of this module.
pub const PARSERS: [Parser; 7] = [
    ("arguments", arguments),
    ("listen", listen),
    ("route", route),
    ("template", template),
    ("units", units),
    ("worker_message", worker_message),
    ("log_filter", log_filter),
];

/// Parses a command line, one argument per line.
pub fn arguments(text: &str) {
    match cli::parse(text.lines().map(OsString::from)) {
        Ok(command) => drop(command),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses a listening address and a target. What is accepted must print back.
pub fn listen(text: &str) {
    match Listen::parse(text) {
        Ok(listen) => assert_eq!(Listen::parse(&listen.to_string()), Ok(listen)),
        Err(error) => drop(error.to_string()),
    }
    match Address::parse_target(text) {
        Ok(address) => assert_eq!(Address::parse(&address.to_string()), Ok(address)),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses an argument of `run`.
pub fn route(text: &str) {
    if let Err(error) = Route::parse(text, &Policy::default()) {
        drop(error.to_string());
    }
}

/// Parses the text of a greeting.
pub fn template(text: &str) {
    match Template::parse(text) {
        Ok(template) => drop(template.render(|placeholder| placeholder.to_string())),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses a time, a count, a size and a rate.
pub fn units(text: &str) {
    if let Ok(time) = unit::duration(text) {
        assert_eq!(unit::duration(&unit::show_duration(time)), Ok(time));
    }
    let errors = [
        unit::timeout(text).err(),
        unit::count(text).err(),
        unit::size(text).err(),
        unit::rate(text).err(),
    ];
    errors.into_iter().flatten().for_each(|error| drop(error.to_string()));
}

/// Parses a line that a worker process of `stress` sends.
pub fn worker_message(text: &str) {
    match serde_json::from_str::<Message>(text) {
        Ok(message) => drop(serde_json::to_string(&message)),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses a filter of the log.
pub fn log_filter(text: &str) {
    match Filter::parse(text) {
        Ok(filter) => drop(filter),
        Err(error) => drop(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::Dice;

    /// Texts that the parsers accept, where the mutations start.
    const SEEDS: [&str; 14] = [
        "relay\n:80\n:81\n--idle-timeout\n30s\n--drain-timeout=5s",
        "stress\n:7\n--load\necho=9,idle\n--rate=2k/s",
        "run\n:7=echo,idle-timeout=2s\nudp://:53=relay:udp://10.0.0.1:53",
        "hub\n:7\n--frame=len32\n--max-message\n1k\n--on-lag=close",
        ":7=hub,frame=raw:lobby,hub-buffer=2M",
        ":7=relay:10.0.0.1:80,[::1]:80,connect-timeout=1s",
        "unix:/run/x.sock,mode=0660",
        "welcome {peer.ip}\\r\\n{{}}",
        "1.25h",
        "2k/s",
        r#""ready""#,
        r#"{"progress":{"phase":"r\u00e4\n","share":0.5,"open":12,"wanted":20,"answered":-2.5e3,
            "exchanged":0.0,"bytes":1e300,"errors":0,"p50":{"secs":0,"nanos":7},
            "p99":{"secs":1,"nanos":0}}}"#,
        "info,oneloop::loop=trace",
        "oneloop=debug/x.*y",
    ];

    #[test]
    fn no_text_makes_a_parser_panic() {
        let mut dice = Dice::throw();
        for _ in 0..2_000 {
            let text = dice.text(&SEEDS);
            for (name, parse) in PARSERS {
                let parsed = std::panic::catch_unwind(|| parse(&text));
                assert!(parsed.is_ok(), "{name} panics at {text:?}");
            }
        }
    }
}
