//! The machine a run was made on, as far as it explains the figures.

/// Facts for the report. What the system does not tell is empty or zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    pub system: String,
    pub processor: String,
    pub cores: usize,
    pub memory_bytes: u64,
    /// Open files that each process may have.
    pub files: usize,
    pub port_range: String,
    pub somaxconn: String,
}

impl Environment {
    /// Reads the facts; `files` is known already.
    pub fn read(files: usize) -> Environment {
        let cores = std::thread::available_parallelism().map_or(0, |cores| cores.get());
        Environment { cores, files, ..read_system() }
    }
}

#[cfg(target_os = "linux")]
fn read_system() -> Environment {
    let text = |path: &str| super::proc::text(path).unwrap_or_default();
    let words = |path: &str| text(path).split_whitespace().collect::<Vec<_>>().join(" ");
    let model = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        line.split_once(':').map(|(_, name)| name.trim().to_string())
    };
    let memory = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    let range = port_range().map(|(first, last)| format!("{first}-{last}"));
    let release = words("/proc/sys/kernel/osrelease");
    Environment {
        system: format!("Linux {release}").trim_end().to_string(),
        processor: model(&text("/proc/cpuinfo")).unwrap_or_default(),
        memory_bytes: 1024 * memory(&text("/proc/meminfo")).unwrap_or(0),
        port_range: range.unwrap_or_default(),
        somaxconn: words("/proc/sys/net/core/somaxconn"),
        ..Environment::default()
    }
}

#[cfg(not(target_os = "linux"))]
fn read_system() -> Environment {
    Environment { system: std::env::consts::OS.to_string(), ..Environment::default() }
}

/// The ports that the system gives to connections, first and last.
pub fn port_range() -> Option<(u16, u16)> {
    #[cfg(target_os = "linux")]
    {
        let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let mut ports = text.split_whitespace().map(|word| word.parse().ok());
        ports.next().flatten().zip(ports.next().flatten())
    }
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_a_system_and_a_processor_at_least() {
        let host = Environment::read(1024);
        assert!(!host.system.is_empty() && host.cores > 0 && host.files == 1024, "{host:?}");
        #[cfg(target_os = "linux")]
        assert!(host.memory_bytes > 1 << 20 && host.port_range.contains('-'), "{host:?}");
    }
}
