//! What was typed behind a command: words, each with its number, and what the options said.

use std::ffi::OsString;

use super::error::UsageError;
use super::values::OptionValues;
use crate::plan::parse_error::shown;
use crate::plan::{Address, Listen, ParseError};

/// One argument and its number, counted from 1 behind the program's name.
#[derive(Clone, Debug)]
pub struct Word {
    pub text: String,
    pub at: usize,
}

/// What was typed behind a command.
#[derive(Debug)]
pub struct ParsedArgs {
    pub words: Vec<Word>,
    pub values: OptionValues,
}

impl Word {
    /// An address to listen at.
    pub fn listen(&self) -> Result<Listen, UsageError> {
        Listen::parse(&self.text).map_err(|parse_error| self.parse_error(&parse_error))
    }

    /// An address to connect to.
    pub fn target(&self) -> Result<Address, UsageError> {
        Address::parse_target(&self.text).map_err(|parse_error| self.parse_error(&parse_error))
    }

    /// What is wrong with it, as an error that names it.
    pub fn parse_error(&self, parse_error: &ParseError) -> UsageError {
        UsageError::parse_error(self.at, parse_error)
    }
}

/// Arguments are text: addresses and names in other bytes could not be shown or compared.
pub fn decode(args: impl IntoIterator<Item = OsString>) -> Result<Vec<Word>, UsageError> {
    let decoded = args.into_iter().zip(1..).map(|(arg, at)| match arg.into_string() {
        Ok(text) => Ok(Word { text, at }),
        Err(arg) => {
            let wrong = format!("not valid UTF-8: {}", shown(&arg.to_string_lossy()));
            Err(UsageError::at(at, wrong))
        }
    });
    decoded.collect()
}
