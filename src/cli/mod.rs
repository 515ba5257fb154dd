//! Parses the command line into a `Command`. Opens, prints and resolves nothing.
//!
//! The options are the table of `config::options`, the commands that of `command`. `args` separates
//! options from positional arguments, `build` makes a plan of both, `help` lays out the tables, and
//! `foreign` knows the option names of other tools.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::config::parse::shown;
use crate::config::{
    ChatPlan, ComparePlan, ConnectPlan, CtlPlan, DaemonConfig, DoctorPlan, ServePlan, StressPlan,
    TopPlan, TracePlan,
};

pub(crate) mod error;

mod args;
mod build;
mod command;
mod configure;
mod ctl;
mod foreign;
mod help;
mod top;
mod trace;

#[cfg(test)]
mod tests;

use args::{Arg, Parsed};
use command::{COMMANDS, Spec};
pub use error::UsageError;
pub use help::Help;

/// A parsed command line.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Serve(Box<DaemonConfig>),
    /// Serve what a configuration file says.
    ServeFile(ServePlan),
    /// A configuration to print.
    PrintConfig(String),
    /// Check this configuration file.
    Check(PathBuf),
    Compare(ComparePlan),
    Connect(ConnectPlan),
    Chat(ChatPlan),
    Doctor(DoctorPlan),
    Ctl(Box<CtlPlan>),
    Top(Box<TopPlan>),
    Trace(Box<TracePlan>),
    Stress(Box<StressPlan>),
    /// A text to print.
    Help(Help),
    Version(String),
}

/// Parses the arguments after the program's name.
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
    let args = match args::parse_args(spec.name, &COMMANDS.map(|spec| spec.name), &rest)? {
        Parsed::Help => return Ok(Command::Help(Help::About(spec.name))),
        Parsed::Version => return Ok(Command::Version(help::version())),
        Parsed::Args(args) => args,
    };
    (spec.build)(*args).map_err(|error| error.of(spec.name))
}

/// Returns the command and its arguments. If options precede it, the command is the first argument
/// that is the name of one.
fn command(words: &[Arg]) -> Result<(&'static Spec, Vec<Arg>), UsageError> {
    let is_option = |word: &Arg| word.text.starts_with('-');
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

fn help_about(words: &[Arg]) -> Result<Command, UsageError> {
    match words.first() {
        None => Ok(Command::Help(Help::Overview)),
        Some(word) => Ok(Command::Help(Help::About(command::find(word)?.name))),
    }
}

fn no_command() -> UsageError {
    let names: Vec<&str> = COMMANDS.iter().map(|spec| spec.name).collect();
    UsageError::missing("no command")
        .detail("usage: oneloop COMMAND [OPTIONS] [ARGUMENTS]")
        .detail(format!("commands: {}", names.join(", ")))
}

fn option_alone(word: &Arg) -> UsageError {
    UsageError::at(word.at, format!("option without a command: {}", shown(&word.text)))
        .detail("for example: oneloop echo --explain")
}
