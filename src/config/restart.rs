//! Settings of a daemon that a reload cannot change.

use super::DaemonConfig;
use super::options::OptionSpec;

/// Keys that a running daemon takes over, besides those of routes and policies.
const RELOADED: [&str; 6] =
    ["max-connections", "drain-timeout", "drain-idle", "busy-poll", "level", "explain"];

/// Returns what is in force when a daemon with the configuration `old` has applied `new`: the
/// settings that need a restart keep their values.
pub fn in_force(old: &DaemonConfig, mut new: DaemonConfig) -> DaemonConfig {
    new.plan.admin = old.plan.admin.clone();
    new.plan.record = old.plan.record.clone();
    new.plan.record_bytes = old.plan.record_bytes;
    new.log.access = old.log.access;
    new.log.color = old.log.color;
    new
}

/// Whether a running daemon keeps the value that an option of the process had at the start.
pub(super) fn is_set_at_start(option: &OptionSpec) -> bool {
    !RELOADED.contains(&option.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file::keys_of;
    use crate::config::needs_restart;
    use crate::config::options::ConfigTable;

    #[test]
    fn what_needs_a_restart_keeps_its_value_and_all_else_is_taken_over() {
        let config = |text: &str| DaemonConfig::parse("x.toml", text.to_owned()).unwrap();
        let route = "[route.a]\nlisten = \":7\"\necho = true\n";
        let old = config(route);
        let rest = "[process]\nmax-connections = 5\n[log]\nlevel = \"debug\"\nexplain = true\n";
        let at_start = "color = \"never\"\naccess-log = \"json\"\nrecord = \"16M\"\n\
                        record-bytes = true\n[admin]\nlisten = \"/x\"\nmetrics = \":9\"\n\
                        hosts = [\"a.example\"]\ntoken-file = \"/t\"\n";
        let new = config(&format!("{rest}{at_start}{route}"));
        // Each key that needs a restart is in the text above.
        let tables = [ConfigTable::Process, ConfigTable::Log, ConfigTable::Admin];
        let keys = tables.into_iter().flat_map(keys_of);
        let at_start = keys.filter(|(_, option)| is_set_at_start(option)).count();
        assert_eq!(needs_restart(&old, &new).len(), at_start);
        let kept = in_force(&old, new.clone());
        assert_eq!(needs_restart(&old, &kept), [""; 0]);
        assert_eq!(kept, config(&format!("{rest}{route}")));
        assert_eq!(in_force(&new, old.clone()).plan.admin, new.plan.admin);
    }
}
