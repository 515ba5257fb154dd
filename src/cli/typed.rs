//! What was typed behind a command: words, each with its number, and what the options said.

use std::ffi::OsString;

use super::draft::Draft;
use super::error::UsageError;
use crate::plan::misread::shown;
use crate::plan::{Address, Listen, Misread};

/// One argument and its number, counted from 1 behind the program's name.
#[derive(Clone, Debug)]
pub struct Word {
    pub text: String,
    pub at: usize,
}

/// What was typed behind a command.
#[derive(Debug)]
pub struct Typed {
    pub words: Vec<Word>,
    pub draft: Draft,
}

impl Word {
    /// An address to listen at.
    pub fn listen(&self) -> Result<Listen, UsageError> {
        Listen::parse(&self.text).map_err(|misread| self.misread(&misread))
    }

    /// An address to connect to.
    pub fn target(&self) -> Result<Address, UsageError> {
        Address::parse_target(&self.text).map_err(|misread| self.misread(&misread))
    }

    /// What is wrong with it, as an error that names it.
    pub fn misread(&self, misread: &Misread) -> UsageError {
        UsageError::misread(self.at, misread)
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
