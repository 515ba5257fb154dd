//! Figures of this process from the operating system. Each is `None` where the system does not
//! offer it cheaply: they are read while the loop serves others.

use std::time::Duration;

/// Memory of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMemory {
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
}

/// CPU time of all threads, in user and system mode.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
pub fn cpu_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};

    clock_gettime(ClockId::ProcessCPUTime).try_into().ok()
}

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
pub fn cpu_time() -> Option<Duration> {
    None
}

#[cfg(target_os = "linux")]
pub fn memory() -> Option<ProcessMemory> {
    let statm = super::proc::read("/proc/self/statm").ok()?;
    let mut pages = statm.split_whitespace().map(|word| word.parse::<u64>().ok());
    let page = rustix::param::page_size() as u64;
    let mut bytes = || Some(pages.next()?? * page);
    let virtual_bytes = bytes()?;
    Some(ProcessMemory { resident_bytes: bytes()?, virtual_bytes })
}

#[cfg(not(target_os = "linux"))]
pub fn memory() -> Option<ProcessMemory> {
    None
}

/// Number of open descriptors. Linux reports it as the size of the directory since 6.2. Before
/// that the directory would have to be listed, which takes milliseconds with many descriptors.
#[cfg(target_os = "linux")]
pub fn open_files() -> Option<u64> {
    let files = std::fs::metadata("/proc/self/fd").ok()?.len();
    (files > 0).then_some(files)
}

#[cfg(not(target_os = "linux"))]
pub fn open_files() -> Option<u64> {
    None
}

/// The limit of open descriptors. `None` too if there is none.
#[cfg(unix)]
pub fn max_files() -> Option<u64> {
    use rustix::process::{Resource, getrlimit};

    getrlimit(Resource::Nofile).current
}

#[cfg(not(unix))]
pub fn max_files() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_figures_follow_what_the_process_does() {
        let (cpu, before) = (cpu_time().unwrap(), memory().unwrap());
        let held = vec![1u8; 64 << 20];
        let sum: u64 = held.iter().map(|byte| u64::from(*byte)).sum();
        let after = memory().unwrap();
        assert!(sum == 64 << 20 && cpu_time().unwrap() > cpu);
        assert!(after.resident_bytes > before.resident_bytes + (32 << 20), "{before:?} {after:?}");
        assert!(after.virtual_bytes > after.resident_bytes, "{after:?}");
        assert!(open_files().is_none_or(|files| files >= 3));
        assert!(max_files().is_none_or(|files| files >= 3));
    }
}
