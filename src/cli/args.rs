//! The arguments of a command: positional arguments with their numbers, and option values.

use std::ffi::OsString;

use super::error::UsageError;
use super::values::OptionValues;
use crate::config::parse::shown;
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
    pub values: OptionValues,
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
