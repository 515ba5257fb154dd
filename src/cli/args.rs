//! Separates the arguments of a command into options and positional arguments, which keep their
//! numbers for error messages.

use std::ffi::OsString;
use std::slice::Iter;

use super::error::UsageError;
use super::foreign;
use crate::config::options::{self, Field, OptionSpec, Settings, Takes};
use crate::config::parse::{self, Spanned, shown};
use crate::config::{Address, Listen, ParseError};

/// An argument and its number, counted from 1 after the program's name.
#[derive(Clone, Debug)]
pub struct Arg {
    pub text: String,
    pub at: usize,
}

/// The parsed arguments of a command.
#[derive(Debug)]
pub struct ParsedArgs {
    pub words: Vec<Arg>,
    pub settings: Settings,
}

impl Arg {
    /// Parses an address to listen on.
    pub fn listen(&self) -> Result<Listen, UsageError> {
        Listen::parse(&self.text).map_err(|parse_error| self.parse_error(&parse_error))
    }

    /// Parses an address to connect to.
    pub fn target(&self) -> Result<Address, UsageError> {
        Address::parse_target(&self.text).map_err(|parse_error| self.parse_error(&parse_error))
    }

    /// Parses the address of a stream socket.
    pub fn stream_target(&self) -> Result<Address, UsageError> {
        Address::parse_stream_target(&self.text)
            .map_err(|parse_error| self.parse_error(&parse_error))
    }

    /// Returns a usage error for this argument.
    pub fn parse_error(&self, parse_error: &ParseError) -> UsageError {
        UsageError::parse_error(self.at, parse_error)
    }
}

/// Decodes the arguments as UTF-8: other bytes could not be shown or compared.
pub fn decode(args: impl IntoIterator<Item = OsString>) -> Result<Vec<Arg>, UsageError> {
    let decoded = args.into_iter().zip(1..).map(|(arg, at)| match arg.into_string() {
        Ok(text) => Ok(Arg { text, at }),
        Err(arg) => {
            let wrong = format!("not valid UTF-8: {}", shown(&arg.to_string_lossy()));
            Err(UsageError::at(at, wrong))
        }
    });
    decoded.collect()
}

/// The result of parsing. `--help` and `--version` end it.
#[derive(Debug)]
pub enum Parsed {
    Help,
    Version,
    Args(Box<ParsedArgs>),
}

/// Parses the arguments of a command. `commands` are the names of all.
pub fn parse_args(
    command: &'static str,
    commands: &[&'static str],
    args: &[Arg],
) -> Result<Parsed, UsageError> {
    let mut parser = Parser {
        command,
        commands,
        rest: args.iter(),
        args: ParsedArgs { words: Vec::new(), settings: Settings::default() },
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
    commands: &'a [&'static str],
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
        let option = self.find(name, word.at)?;
        match (option.takes, value) {
            (Takes::Nothing, Some(_)) => {
                Err(UsageError::at(word.at, format!("{name} takes no value")).of(self.command))
            }
            (Takes::Value(_) | Takes::OptionalValue, Some(value)) => {
                self.set(option, name, value, word.at)
            }
            (_, None) => self.take(option, name, word.at),
        }
    }

    /// `-x`, several as `-xyz`, and with a value `-w5` or `-w 5`.
    fn short(&mut self, word: &Arg) -> Result<Option<Parsed>, UsageError> {
        for (place, ch) in word.text.char_indices().skip(1) {
            let name = format!("-{ch}");
            let option = self.find(&name, word.at)?;
            let rest = &word.text[place + ch.len_utf8()..];
            if option.value().is_some() && !rest.is_empty() {
                return self.set(option, &name, rest, word.at);
            }
            if let Some(early) = self.take(option, &name, word.at)? {
                return Ok(Some(early));
            }
        }
        Ok(None)
    }

    fn find(&self, name: &str, at: usize) -> Result<&'static OptionSpec, UsageError> {
        let mut known = options::all().filter(|option| option.scope.has_command(self.command));
        known
            .find(|option| is_called(option, name))
            .ok_or_else(|| unknown_option(self.command, self.commands, name, at))
    }

    /// Sets an option; its value, if it takes one, is the next argument.
    fn take(
        &mut self,
        option: &OptionSpec,
        name: &str,
        at: usize,
    ) -> Result<Option<Parsed>, UsageError> {
        let Some(value) = option.value() else {
            return self.set(option, name, "", at);
        };
        match self.rest.next() {
            Some(word) => self.set(option, name, &word.text, word.at),
            None => {
                let wrong = format!("{name} takes a value: {name} {value}");
                Err(UsageError::at(at, wrong).of(self.command))
            }
        }
    }

    fn set(
        &mut self,
        option: &OptionSpec,
        name: &str,
        value: &str,
        at: usize,
    ) -> Result<Option<Parsed>, UsageError> {
        if let Field::Help = option.field {
            return Ok(Some(Parsed::Help));
        }
        if let Field::Version = option.field {
            return Ok(Some(Parsed::Version));
        }
        let done = option.set(&mut self.args.settings, Spanned::whole(value));
        done.map(|()| None).map_err(|span_error| {
            let parse_error = ParseError::new(format!("value for {name}"), value, span_error);
            UsageError::parse_error(at, &parse_error).of(self.command)
        })
    }
}

/// Returns the name of an option as it is typed.
pub fn dashed(option: &OptionSpec) -> String {
    format!("--{}", option.name)
}

/// Whether `name`, with its dashes, names this option.
pub fn is_called(option: &OptionSpec, name: &str) -> bool {
    match name.strip_prefix("--") {
        Some(long) => long == option.name,
        None => option.short.is_some_and(|short| name.chars().eq(['-', short])),
    }
}

fn unknown_option(
    command: &'static str,
    commands: &[&'static str],
    name: &str,
    at: usize,
) -> UsageError {
    let error = UsageError::at(at, format!("unknown option: {}", shown(name))).of(command);
    if let Some(hint) = foreign::option(command, name) {
        return error.detail(hint);
    }
    let called: Vec<_> = options::all().filter(|option| is_called(option, name)).collect();
    if !called.is_empty() {
        let has = |name: &&str| called.iter().any(|option| option.scope.has_command(name));
        let on: Vec<&str> = commands.iter().copied().filter(has).collect();
        return error.detail(format!("only available with {}", on.join(", ")));
    }
    let known: Vec<String> =
        options::all().filter(|option| option.scope.has_command(command)).map(dashed).collect();
    match parse::nearest(name, known.iter().map(String::as_str)) {
        Some(name) => error.detail(format!("did you mean {name}?")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::COMMANDS;
    use super::super::{UsageError, parse};
    use super::*;

    fn refused(arguments: &[&str]) -> UsageError {
        parse(arguments.iter().map(OsString::from)).unwrap_err()
    }

    #[test]
    fn a_duration_without_a_unit_is_refused_everywhere() {
        const HINT: &str = "a duration needs a unit; did you mean 5s?";
        let takes_time = |option: &&OptionSpec| option.takes == Takes::Value("TIME");
        let mut checked = 0;
        for spec in &COMMANDS {
            let is_on = |option: &&OptionSpec| option.scope.has_command(spec.name);
            for option in options::all().filter(is_on).filter(takes_time) {
                let error = refused(&[spec.name, &format!("{}=5", dashed(option))]);
                assert_eq!(error.wrong, format!("bad value for {}: 5", dashed(option)));
                assert!(error.details.iter().any(|line| line.ends_with(HINT)), "{error}");
                checked += 1;
            }
        }
        let is_policy = |option: &&OptionSpec| matches!(option.field, Field::Policy(..));
        for option in options::all().filter(is_policy).filter(takes_time) {
            let error = refused(&["run", &format!(":7=relay,{}=5:a:1", option.name)]);
            assert!(error.details.iter().any(|line| line.ends_with(HINT)), "{error}");
            checked += 1;
        }
        assert!(checked > 60, "only {checked} were checked");
        let error = refused(&["connect", "a:1", "-w5"]);
        assert!(error.details.iter().any(|line| line.ends_with(HINT)), "{error}");
    }
}
