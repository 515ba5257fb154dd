//! Configuration files in TOML: reads one into the plan of a daemon, finds all errors at once, and
//! prints a plan as a file.
//!
//! The keys are those of the option table, so a file, a command line and a route of `run` accept
//! the same values. A value keeps its position in the file: the readers of the command line put
//! their carets there.

use toml::de::DeTable;

use super::options::Settings;
use super::{LogPlan, Plan};

mod error;
mod print;
mod reader;
mod route;
mod value;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, ConfigErrors};
pub use print::print_config;
pub(super) use reader::keys as keys_of;

/// What a daemon serves, and what it logs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DaemonConfig {
    pub plan: Plan,
    pub log: LogPlan,
}

/// Maximum size of a file. Ten thousand routes are less.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// Reads the text of a configuration file. Returns every error, in the order of the text.
pub fn parse_config(text: &str) -> Result<DaemonConfig, Vec<ConfigError>> {
    parse_and_check(text, |_| Ok(()))
}

fn parse_and_check(text: &str, check_token: CheckToken) -> Result<DaemonConfig, Vec<ConfigError>> {
    let (document, syntax_errors) = DeTable::parse_recoverable(text);
    let mut reader = reader::Reader::new(text, syntax_errors);
    let config = reader.read(document.get_ref());
    let admin = &config.plan.admin;
    // Without the listener, the option is an error of its own.
    if admin.admin.is_some() && admin.token_file.is_some() {
        let checked = check_token(&config.plan);
        reader.keep(checked.map_err(|wrong| reader.error_of("admin-token-file", wrong)));
    }
    reader.finish().map(|()| config)
}

/// What is wrong with the token file that a plan names.
pub type CheckToken = fn(&Plan) -> Result<(), String>;

/// Returns the name of an option as it is written in a file: `admin.token-file`.
pub(super) fn typed_in_file(option: &'static str) -> String {
    let keys = super::options::all().filter(|known| known.name == option);
    let key = keys.filter_map(|known| known.in_file).next();
    key.map_or_else(|| option.to_owned(), |key| format!("{}.{}", key.table.name(), key.name))
}

impl DaemonConfig {
    /// Returns the settings that the option table shows, without those of routes.
    pub(super) fn settings(&self) -> Settings {
        let (daemon, log) = (self.plan.clone(), self.log.clone());
        Settings { daemon, log, ..Settings::default() }
    }

    /// Reads the text of the file with this name.
    pub fn parse(file: &str, text: String) -> Result<DaemonConfig, ConfigErrors> {
        DaemonConfig::check(file, text, |_| Ok(()))
    }

    /// Reads the text of the file with this name. The token file that it names is checked, too.
    pub fn check(
        file: &str,
        text: String,
        check_token: CheckToken,
    ) -> Result<DaemonConfig, ConfigErrors> {
        parse_and_check(&text, check_token).map_err(|errors| ConfigErrors {
            file: file.to_owned(),
            text,
            errors,
        })
    }
}
