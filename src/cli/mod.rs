//! What was typed becomes a `Command`. Parsing does nothing else: nothing is opened, printed or
//! looked up.
//!
//! `command` and `flag` are the two tables: a new command or option is a new entry there, and help,
//! parsing and the guesses of errors follow. `sort` sorts arguments into options and words, `values`
//! collects what the options say, `args` holds both, and `serve`, `talk` and `tools` make a
//! command of it.

use std::ffi::OsString;

use crate::plan::parse_error::shown;
use crate::plan::{ChatPlan, ConnectPlan, DoctorPlan, LogPlan, Plan, StressPlan};

pub mod error;

mod args;
mod command;
mod flag;
mod foreign;
mod help;
mod serve;
mod sort;
mod talk;

mod tools;
mod values;

#[cfg(test)]
mod tests;

use args::Word;
use command::{COMMANDS, Spec};
pub use error::UsageError;
pub use help::Help;
use sort::Sorted;

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
    Help(Help),
    Version(String),
}

/// Makes a command of the arguments that follow the program's name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, UsageError> {
    let words = args::decode(args)?;
    let Some((first, rest)) = words.split_first() else {
        return Err(no_command());
    };
    match first.text.as_str() {
        "--help" | "-h" => return Ok(Command::Help(Help::Overview)),
        "--version" | "-V" => return Ok(Command::Version(help::version())),
        "help" => return help_about(rest),
        _ => {}
    }
    let (spec, rest) = command(&words)?;
    let args = match sort::sort(spec, &rest)? {
        Sorted::Help => return Ok(Command::Help(Help::About(spec.name))),
        Sorted::Version => return Ok(Command::Version(help::version())),
        Sorted::ParsedArgs(args) => args,
    };
    (spec.build)(*args).map_err(|error| error.of(spec.name))
}

/// The command and what belongs to it. Options may stand before it: then it is the first word that
/// is the name of one.
fn command(words: &[Word]) -> Result<(&'static Spec, Vec<Word>), UsageError> {
    let is_option = |word: &Word| word.text.starts_with('-');
    let at = match is_option(&words[0]) {
        true => words.iter().position(|word| command::find(word).is_ok()),
        false => Some(0),
    };
    let Some(at) = at else {
        let unknown = words.iter().find(|word| !is_option(word)).map(command::find);
        return Err(match unknown {
            Some(Err(error)) => error,
            _ => option_alone(&words[0]),
        });
    };
    let (before, behind) = words.split_at(at);
    let spec = command::find(&behind[0])?;
    Ok((spec, before.iter().chain(&behind[1..]).cloned().collect()))
}

fn help_about(words: &[Word]) -> Result<Command, UsageError> {
    match words.first() {
        None => Ok(Command::Help(Help::Overview)),
        Some(word) => Ok(Command::Help(Help::About(command::find(word)?.name))),
    }
}

fn no_command() -> UsageError {
    let names: Vec<&str> = COMMANDS.iter().map(|spec| spec.name).collect();
    UsageError::missing("no command")
        .detail("usage: oneloop COMMAND [ARGUMENT…] [OPTION…]")
        .detail(format!("commands: {}", names.join(", ")))
}

fn option_alone(word: &Word) -> UsageError {
    UsageError::at(word.at, format!("an option without a command: {}", shown(&word.text)))
        .detail("for example: oneloop echo --explain")
}
