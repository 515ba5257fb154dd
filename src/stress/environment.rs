//! Facts about the machine of a run that help to explain its figures.

use serde::Serialize;

use crate::net::proc;

/// Facts for the report. Unknown values are empty or zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Environment {
    pub system: String,
    pub processor: String,
    pub cores: usize,
    pub memory_bytes: u64,
    /// Maximum open files per process.
    #[serde(rename = "open_files")]
    pub files: usize,
    pub port_range: String,
    pub somaxconn: String,
}

impl Environment {
    /// Reads the facts. `files` is the open-file limit.
    pub fn read(files: usize) -> Environment {
        let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
        Environment { cores, files, ..read_system() }
    }
}

/// Reads the facts that depend on the system.
#[cfg(target_os = "linux")]
fn read_system() -> Environment {
    let text = |path: &str| proc::read(path).unwrap_or_default();
    let words = |path: &str| text(path).split_whitespace().collect::<Vec<_>>().join(" ");
    let model = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split_once(':').map(|(_, name)| name.trim().to_string())
    };
    let range = port_range().map(|(first, last)| format!("{first}-{last}"));
    let release = words("/proc/sys/kernel/osrelease");
    Environment {
        system: format!("Linux {release}").trim_end().to_string(),
        processor: model(&text("/proc/cpuinfo")).unwrap_or_default(),
        memory_bytes: super::cost::bytes(&text("/proc/meminfo"), "MemTotal:").unwrap_or(0),
        port_range: range.unwrap_or_default(),
        somaxconn: words("/proc/sys/net/core/somaxconn"),
        ..Environment::default()
    }
}

#[cfg(not(target_os = "linux"))]
fn read_system() -> Environment {
    Environment { system: std::env::consts::OS.to_string(), ..Environment::default() }
}

/// Returns the first and last port that the system assigns to outgoing connections.
pub fn port_range() -> Option<(u16, u16)> {
    proc::port_range(&proc::read(format!("/{}", proc::PORT_RANGE)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_and_cores_of_this_machine_are_known() {
        let environment = Environment::read(1024);
        assert!(
            !environment.system.is_empty() && environment.cores > 0 && environment.files == 1024,
            "{environment:?}"
        );
        #[cfg(target_os = "linux")]
        assert!(
            environment.memory_bytes > 1 << 20 && environment.port_range.contains('-'),
            "{environment:?}"
        );
    }
}
