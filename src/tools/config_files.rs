//! Reads configuration files for the commands that check, compare or serve them.

use std::error::Error;
use std::path::Path;

use crate::admin::settings::ServerSettings;
use crate::config::DaemonConfig;
use crate::config::file::FILE_BYTES_MAX;
use crate::net::config_file;

/// Reads a configuration file. The error says what is wrong, and where.
pub fn read(path: &Path) -> Result<DaemonConfig, Box<dyn Error>> {
    let text = config_file::read(path, FILE_BYTES_MAX)?;
    Ok(DaemonConfig::parse(&path.display().to_string(), text)?)
}

/// The same, and checks the token file that it names, as the daemon does when it starts.
pub fn check(path: &Path) -> Result<DaemonConfig, Box<dyn Error>> {
    let text = config_file::read(path, FILE_BYTES_MAX)?;
    let name = path.display().to_string();
    Ok(DaemonConfig::check(&name, text, |plan| ServerSettings::of(plan).map(|_| ()))?)
}
