//! The options of configuration files: where they are, and what only they can say.

use super::{ConfigTable, Field, FileKey, OptionSpec, PLAIN, Scope, Takes};
use crate::config::Existing;
use crate::config::parse::{choice, choice_name, put};
use crate::config::serve::LOG_LEVELS;

/// Keys of each table. The rows of the option table start from them.
pub(super) const PROCESS: FileKey = key(ConfigTable::Process);
pub(super) const LOG_TABLE: FileKey = key(ConfigTable::Log);
pub(super) const ADMIN_TABLE: FileKey = key(ConfigTable::Admin);
pub(super) const POLICY: FileKey = key(ConfigTable::Policy);
pub(super) const GREET: FileKey = key(ConfigTable::Greet);
pub(super) const HUB_TABLE: FileKey = key(ConfigTable::Hub);

const fn key(table: ConfigTable) -> FileKey {
    FileKey { table, name: "", is_list: false }
}

pub(super) const OPTIONS: [OptionSpec; 4] = [
    OptionSpec {
        name: "config",
        short: Some('c'),
        takes: Takes::Value("FILE"),
        help: "the configuration file",
        scope: Scope::Only(&["serve"]),
        field: Field::Serve(
            |serve, value| match value.is_empty() {
                true => Err(value.lacks("missing file name")),
                false => put(&mut serve.file, Ok(value.text.into())),
            },
            |serve| Some(serve.file.display().to_string()),
        ),
        ..PLAIN
    },
    OptionSpec {
        name: "print-config",
        help: "print the configuration as a file for serve, and exit",
        scope: Scope::Daemons,
        field: Field::Serve(
            |serve, _| put(&mut serve.print, Ok(true)),
            |serve| serve.print.then(String::new),
        ),
        ..PLAIN
    },
    OptionSpec {
        name: "existing",
        in_file: Some(FileKey { name: "existing", ..POLICY }),
        takes: Takes::Value("WHAT"),
        help: "connections of a route that a reload removes, or gives another service or other \
               targets: keep, cut, or \"after 5m\" (cut them after this time)",
        scope: Scope::File,
        field: Field::Policy(
            |policy, value| put(&mut policy.existing, Existing::read(value)),
            |policy| Some(policy.existing.to_string()),
        ),
        ..PLAIN
    },
    OptionSpec {
        name: "level",
        in_file: Some(FileKey { name: "level", ..LOG_TABLE }),
        takes: Takes::Value("LEVEL"),
        help: "what to log: warn, info, debug (the lifecycle of each connection) or trace (every \
               step of the event loop); RUST_LOG, -v and -q override it",
        scope: Scope::File,
        field: Field::Log(
            |log, value| {
                let (quiet, verbosity) = choice(value, &LOG_LEVELS)?;
                (log.quiet, log.verbosity) = (quiet, verbosity);
                Ok(())
            },
            |log| Some(choice_name(&LOG_LEVELS, (log.quiet, log.verbosity)).to_string()),
        ),
        ..PLAIN
    },
];
