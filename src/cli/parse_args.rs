//! Separates the arguments of a command into options and positional arguments.

use std::slice::Iter;

use super::args::{Arg, ParsedArgs};
use super::command::{COMMANDS, Spec};
use super::error::UsageError;
use super::flag::{Flag, Set};
use super::foreign;
use super::values::OptionValues;
use crate::config::ParseError;
use crate::config::parse::{self, Spanned, shown};

/// The result of parsing. `--help` and `--version` end it.
#[derive(Debug)]
pub enum Parsed {
    Help,
    Version,
    Args(Box<ParsedArgs>),
}

pub fn parse_args(spec: &'static Spec, args: &[Arg]) -> Result<Parsed, UsageError> {
    let mut parser = Parser {
        command: spec.name,
        rest: args.iter(),
        args: ParsedArgs { words: Vec::new(), values: OptionValues::new() },
    };
    while let Some(word) = parser.rest.next() {
        let early = match word.text.as_str() {
            "--" => {
                parser.args.words.extend(parser.rest.by_ref().cloned());
                None
            }
            text if text.starts_with("--") => parser.long(word)?,
            text if text.starts_with('-') && text.len() > 1 => parser.short(word)?,
            _ => {
                parser.args.words.push(word.clone());
                None
            }
        };
        if let Some(parsed) = early {
            return Ok(parsed);
        }
    }
    Ok(Parsed::Args(Box::new(parser.args)))
}

struct Parser<'a> {
    command: &'static str,
    rest: Iter<'a, Arg>,
    args: ParsedArgs,
}

impl Parser<'_> {
    /// `--flag`, `--flag value`, `--flag=value`.
    fn long(&mut self, word: &Arg) -> Result<Option<Parsed>, UsageError> {
        let (name, value) = match word.text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word.text.as_str(), None),
        };
        let flag = self.find(name, word.at)?;
        match (flag.value, value) {
            (None, Some(value)) if matches!(flag.set, Set::Optional(_)) => {
                self.set(&flag, name, value, word.at)
            }
            (None, Some(_)) => {
                Err(UsageError::at(word.at, format!("{name} takes no value")).of(self.command))
            }
            (Some(_), Some(value)) => self.set(&flag, name, value, word.at),
            (_, None) => self.take(&flag, name, word.at),
        }
    }

    /// `-x`, several as `-xyz`, and with a value `-w5` or `-w 5`.
    fn short(&mut self, word: &Arg) -> Result<Option<Parsed>, UsageError> {
        for (place, ch) in word.text.char_indices().skip(1) {
            let name = format!("-{ch}");
            let flag = self.find(&name, word.at)?;
            let rest = &word.text[place + ch.len_utf8()..];
            if flag.value.is_some() && !rest.is_empty() {
                return self.set(&flag, &name, rest, word.at);
            }
            if let Some(early) = self.take(&flag, &name, word.at)? {
                return Ok(Some(early));
            }
        }
        Ok(None)
    }

    fn find(&self, name: &str, at: usize) -> Result<Flag, UsageError> {
        let mut known = Flag::all().filter(|flag| flag.is_on(self.command));
        known
            .find(|flag| flag.is_called(name))
            .ok_or_else(|| unknown_option(self.command, name, at))
    }

    /// Sets a flag; its value, if it takes one, is the next argument.
    fn take(&mut self, flag: &Flag, name: &str, at: usize) -> Result<Option<Parsed>, UsageError> {
        let Some(value) = flag.value else {
            return self.set(flag, name, "", at);
        };
        match self.rest.next() {
            Some(word) => self.set(flag, name, &word.text, word.at),
            None => {
                let wrong = format!("{name} takes a value: {name} {value}");
                Err(UsageError::at(at, wrong).of(self.command))
            }
        }
    }

    fn set(
        &mut self,
        flag: &Flag,
        name: &str,
        value: &str,
        at: usize,
    ) -> Result<Option<Parsed>, UsageError> {
        let values = &mut self.args.values;
        let done = match flag.set {
            Set::Help => return Ok(Some(Parsed::Help)),
            Set::Version => return Ok(Some(Parsed::Version)),
            Set::Policy(set) => set(&mut values.policy, Spanned::whole(value)),
            Set::OptionValues(set) | Set::Optional(set) => set(values, Spanned::whole(value)),
            Set::Stress(set) => set(&mut values.stress, Spanned::whole(value)),
        };
        done.map(|()| None).map_err(|span_error| {
            let parse_error = ParseError::new(format!("value for {name}"), value, span_error);
            UsageError::parse_error(at, &parse_error).of(self.command)
        })
    }
}

fn unknown_option(command: &'static str, args: &str, at: usize) -> UsageError {
    let error = UsageError::at(at, format!("unknown option: {}", shown(args))).of(command);
    if let Some(hint) = foreign::option(command, args) {
        return error.detail(hint);
    }
    if let Some(flag) = Flag::all().find(|flag| flag.is_called(args)) {
        let on: Vec<&str> =
            COMMANDS.iter().map(|spec| spec.name).filter(|name| flag.is_on(name)).collect();
        return error.detail(format!("only available with {}", on.join(", ")));
    }
    let known: Vec<String> =
        Flag::all().filter(|flag| flag.is_on(command)).map(|flag| flag.dashed()).collect();
    match parse::nearest(args, known.iter().map(String::as_str)) {
        Some(name) => error.detail(format!("did you mean {name}?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{UsageError, parse};
    use super::*;
    use crate::config::policy;

    fn refused(arguments: &[&str]) -> UsageError {
        parse(arguments.iter().map(OsString::from)).unwrap_err()
    }

    #[test]
    fn a_duration_without_a_unit_is_refused_everywhere() {
        const HINT: &str = "a duration needs a unit; did you mean 5s?";
        let mut checked = 0;
        for spec in &COMMANDS {
            let takes_time = |flag: &Flag| flag.is_on(spec.name) && flag.value == Some("TIME");
            for flag in Flag::all().filter(takes_time) {
                let error = refused(&[spec.name, &format!("{}=5", flag.dashed())]);
                assert_eq!(error.wrong, format!("bad value for {}: 5", flag.dashed()));
                assert!(error.details.iter().any(|line| line.ends_with(HINT)), "{error}");
                checked += 1;
            }
        }
        for option in policy::OPTIONS.iter().filter(|option| option.value == Some("TIME")) {
            let error = refused(&["run", &format!(":7=relay,{}=5:a:1", option.name)]);
            assert!(error.details.iter().any(|line| line.ends_with(HINT)), "{error}");
            checked += 1;
        }
        assert!(checked > 60, "only {checked} were checked");
        let error = refused(&["connect", "a:1", "-w5"]);
        assert!(error.details.iter().any(|line| line.ends_with(HINT)), "{error}");
    }
}
