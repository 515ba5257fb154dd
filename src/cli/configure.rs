//! Builds the plans of the commands that work with configuration files: serve, check and plan.

use super::Command;
use super::args::{Arg, ParsedArgs};
use super::error::UsageError;
use crate::config::parse::shown;
use crate::config::{ComparePlan, ServePlan};

pub fn serve(args: ParsedArgs) -> Result<Command, UsageError> {
    if let Some(word) = args.words.first() {
        let error = UsageError::at(word.at, format!("unexpected argument: {}", shown(&word.text)));
        return Err(error.detail("what to serve is in the file: oneloop serve --config FILE"));
    }
    let serve = args.settings.serve;
    Ok(Command::ServeFile(ServePlan {
        file: serve.file,
        log: args.settings.log,
        print: serve.print,
    }))
}

pub fn check(args: ParsedArgs) -> Result<Command, UsageError> {
    match args.words.as_slice() {
        [file] => Ok(Command::Check(file.text.clone().into())),
        [] => Err(needs_file("check", "oneloop check oneloop.toml")),
        [_, extra, ..] => Err(unexpected(extra)),
    }
}

pub fn plan(args: ParsedArgs) -> Result<Command, UsageError> {
    let (file, against) = match args.words.as_slice() {
        [file] => (file, None),
        [file, against] => (file, Some(against.text.clone())),
        [] => return Err(needs_file("plan", "oneloop plan oneloop.toml")),
        [_, _, extra, ..] => return Err(unexpected(extra)),
    };
    Ok(Command::Compare(ComparePlan {
        file: file.text.clone().into(),
        against,
        token_file: args.settings.ctl.token_file,
        color: args.settings.log.color,
    }))
}

fn needs_file(command: &str, example: &str) -> UsageError {
    let error = UsageError::missing(format!("{command} needs a configuration file"));
    error.detail(format!("for example: {example}"))
}

fn unexpected(word: &Arg) -> UsageError {
    UsageError::at(word.at, format!("unexpected argument: {}", shown(&word.text)))
}
