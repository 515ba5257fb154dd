//! Builds the plan of top.

use super::Command;
use super::args::ParsedArgs;
use super::error::UsageError;
use crate::config::TopPlan;
use crate::config::parse::shown;

pub fn build(args: ParsedArgs) -> Result<Command, UsageError> {
    let admin = match args.words.as_slice() {
        [] => None,
        [word] => Some(word.stream_target()?),
        [.., last] => {
            let wrong = format!("unexpected argument: {}", shown(&last.text));
            return Err(UsageError::at(last.at, wrong).detail("top watches one daemon"));
        }
    };
    let (color, token_file) = (args.settings.log.color, args.settings.ctl.token_file);
    Ok(Command::Top(Box::new(TopPlan { admin, token_file, color, ..args.settings.top })))
}
