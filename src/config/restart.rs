//! Settings of a daemon that a reload cannot change.

use super::DaemonConfig;
use super::file::keys_of;
use super::options::{ConfigTable, OptionSpec, Settings};

/// Keys that a running daemon takes over, besides those of routes and policies.
const RELOADED: [&str; 6] =
    ["max-connections", "drain-timeout", "drain-idle", "busy-poll", "level", "explain"];

/// Returns the settings that differ and need a restart, as they are written in a file:
/// `admin.listen`.
pub fn needs_restart(old: &DaemonConfig, new: &DaemonConfig) -> Vec<String> {
    let settings = |config: &DaemonConfig| Settings {
        daemon: config.plan.clone(),
        log: config.log.clone(),
        ..Settings::default()
    };
    let (old, new) = (settings(old), settings(new));
    let tables = [ConfigTable::Process, ConfigTable::Log, ConfigTable::Admin];
    let keys = tables.into_iter().flat_map(|table| {
        keys_of(table).map(move |(key, option)| (format!("{}.{key}", table.name()), option))
    });
    let differs = keys
        .filter(|(_, option)| is_set_at_start(option) && option.show(&old) != option.show(&new));
    differs.map(|(key, _)| key).collect()
}

/// Whether a running daemon keeps the value that an option of the process had at the start.
pub(super) fn is_set_at_start(option: &OptionSpec) -> bool {
    !RELOADED.contains(&option.name)
}
