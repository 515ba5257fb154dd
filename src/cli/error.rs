//! A command line that cannot be understood: one message that names the wrong argument.

use std::error::Error;
use std::fmt;

use super::command::COMMANDS;
use super::flag::Flag;
use super::typed::Word;
use crate::plan::Misread;
use crate::plan::guess;
use crate::plan::misread::shown;

/// Says what is wrong, with which argument, and where help is. Whoever prints it puts the name of
/// the program and a colon before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    /// What is wrong, in one line.
    pub wrong: String,
    /// The number of the wrong argument, from 1. None, if one is missing.
    pub argument: Option<usize>,
    /// More lines: the place in the argument, what is accepted, what may have been meant.
    pub details: Vec<String>,
    /// The command whose help says more. None: the help of all.
    pub command: Option<&'static str>,
}

impl UsageError {
    pub(super) fn missing(wrong: impl Into<String>) -> UsageError {
        UsageError { wrong: wrong.into(), argument: None, details: Vec::new(), command: None }
    }

    pub(super) fn at(argument: usize, wrong: impl Into<String>) -> UsageError {
        UsageError { argument: Some(argument), ..UsageError::missing(wrong) }
    }

    pub(super) fn misread(argument: usize, misread: &Misread) -> UsageError {
        let text = misread.to_string();
        let mut lines = text.lines();
        let wrong = lines.next().unwrap_or_default();
        // All lines but the first are set in by two columns, as details are.
        let details = lines.map(|line| line.get(2..).unwrap_or(line).to_string());
        UsageError { details: details.collect(), ..UsageError::at(argument, wrong) }
    }

    pub(super) fn detail(mut self, line: impl Into<String>) -> UsageError {
        self.details.push(line.into());
        self
    }

    pub(super) fn of(mut self, command: &'static str) -> UsageError {
        self.command = self.command.or(Some(command));
        self
    }

    pub(super) fn no_command() -> UsageError {
        let names: Vec<&str> = COMMANDS.iter().map(|spec| spec.name).collect();
        UsageError::missing("no command")
            .detail("usage: oneloop COMMAND [ARGUMENT…] [OPTION…]")
            .detail(format!("commands: {}", names.join(", ")))
    }

    pub(super) fn option_alone(word: &Word) -> UsageError {
        UsageError::at(word.at, format!("an option without a command: {}", shown(&word.text)))
            .detail("for example: oneloop echo --explain")
    }

    pub(super) fn unknown_command(word: &Word) -> UsageError {
        let error = UsageError::at(word.at, format!("unknown command: {}", shown(&word.text)));
        let names = COMMANDS.iter().map(|spec| spec.name);
        match guess::nearest(&word.text, names) {
            Some(name) => error.detail(format!("did you mean {name}?")),
            None if word.text.contains('=') => error.detail("routes follow the word run"),
            None => error,
        }
    }

    pub(super) fn unknown_option(command: &'static str, typed: &str, at: usize) -> UsageError {
        let error = UsageError::at(at, format!("unknown option: {}", shown(typed))).of(command);
        if let Some(flag) = Flag::all().find(|flag| flag.is_called(typed)) {
            let on: Vec<&str> =
                COMMANDS.iter().map(|spec| spec.name).filter(|name| flag.is_on(name)).collect();
            return error.detail(format!("it is an option of {}, not of {command}", on.join(", ")));
        }
        let known: Vec<String> =
            Flag::all().filter(|flag| flag.is_on(command)).map(|flag| flag.dashed()).collect();
        match guess::nearest(typed, known.iter().map(String::as_str)) {
            Some(name) => error.detail(format!("did you mean {name}?")),
            None => error,
        }
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.wrong)?;
        if let Some(argument) = self.argument {
            write!(f, " (argument {argument})")?;
        }
        for line in &self.details {
            write!(f, "\n  {line}")?;
        }
        match self.command {
            Some(command) => write!(f, "\n  see: oneloop {command} --help"),
            None => f.write_str("\n  see: oneloop --help"),
        }
    }
}

impl Error for UsageError {}
