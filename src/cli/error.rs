//! Usage errors: one message that names the argument.

use std::error::Error;
use std::fmt;

use crate::config::ParseError;

/// A usage error: the reason, the argument, and where to find help. The caller prints the name of
/// the program and a colon before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    /// The reason, in one line.
    pub wrong: String,
    /// The number of the argument, from 1. None: an argument is missing.
    pub argument: Option<usize>,
    /// More lines: the position in the argument, what is accepted, a suggestion.
    pub details: Vec<String>,
    /// The command whose help applies. None: the overview.
    pub command: Option<&'static str>,
}

impl UsageError {
    pub(super) fn missing(wrong: impl Into<String>) -> UsageError {
        UsageError { wrong: wrong.into(), argument: None, details: Vec::new(), command: None }
    }

    pub(super) fn at(argument: usize, wrong: impl Into<String>) -> UsageError {
        UsageError { argument: Some(argument), ..UsageError::missing(wrong) }
    }

    pub(super) fn parse_error(argument: usize, parse_error: &ParseError) -> UsageError {
        let text = parse_error.to_string();
        let mut lines = text.lines();
        let wrong = lines.next().unwrap_or_default();
        // All lines but the first are indented by two columns, as details are.
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
