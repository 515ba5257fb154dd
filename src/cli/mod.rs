//! What was typed becomes a `Command`. Parsing does nothing else: nothing is opened, printed or
//! looked up.
//!
//! `command` and `flag` are the two tables: a new command or option is a new entry there, and help,
//! parsing and the guesses of errors follow. `typed` sorts arguments into options and words,
//! `draft` collects what the options say, and `serve`, `talk` and `examine` make a command of
//! both.

use std::ffi::OsString;

use crate::plan::{ChatPlan, ConnectPlan, DoctorPlan, LogPlan, Plan, StressPlan};

pub mod error;

mod command;
mod draft;
mod examine;
mod flag;
mod help;
mod serve;
mod talk;
mod typed;

#[cfg(test)]
mod tests;

pub use error::UsageError;

/// All that can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Serve {
        plan: Plan,
        log: LogPlan,
    },
    Connect(ConnectPlan),
    Chat(ChatPlan),
    Doctor(DoctorPlan),
    Stress(Box<StressPlan>),
    /// A text to print, and that is all.
    Help(String),
    Version(String),
}

/// Makes a command of the arguments that follow the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let words = typed::decode(args)?;
    let Some((first, rest)) = words.split_first() else {
        return Err(UsageError::no_command());
    };
    match first.text.as_str() {
        "--help" | "-h" => return Ok(Command::Help(help::overview())),
        "--version" | "-V" => return Ok(Command::Version(help::version())),
        "help" => return help_about(rest),
        text if text.starts_with('-') => return Err(UsageError::option_first(first)),
        _ => {}
    }
    let spec = command::find(first)?;
    let typed = match typed::sort(spec, rest)? {
        typed::Sorted::Help => return Ok(Command::Help(help::about(spec))),
        typed::Sorted::Version => return Ok(Command::Version(help::version())),
        typed::Sorted::Typed(typed) => typed,
    };
    (spec.build)(*typed).map_err(|error| error.of(spec.name))
}

fn help_about(words: &[typed::Word]) -> Result<Command, UsageError> {
    match words.first() {
        None => Ok(Command::Help(help::overview())),
        Some(word) => Ok(Command::Help(help::about(command::find(word)?))),
    }
}
