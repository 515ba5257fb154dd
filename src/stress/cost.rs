//! Reads the costs of a server process and its descendants from /proc: memory, descriptors and CPU
//! time, and the kernel memory of the machine.

use std::time::Duration;

use serde::Serialize;

use super::seconds;

/// Reads the costs of one server process on this machine.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    pub name: String,
}

/// A reading of the costs: CPU time so far, and current memory and descriptors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cost {
    /// Time of the reading, from the start of the run.
    #[serde(rename = "at_s", with = "seconds")]
    pub at: Duration,
    /// CPU time in clock ticks, including threads and children that have ended.
    #[serde(skip)]
    pub cpu_ticked: Duration,
    /// CPU time in nanoseconds, of running threads only.
    #[serde(skip)]
    pub cpu_fine: Duration,
    /// Own memory that is not backed by a file.
    pub user_bytes: u64,
    pub resident_bytes: u64,
    pub descriptors: u64,
    /// Kernel memory for the data of all TCP sockets of the machine.
    #[serde(rename = "kernel_socket_bytes")]
    pub socket_bytes: u64,
    /// Kernel slab memory of the machine, which includes sockets.
    #[serde(rename = "kernel_slab_bytes")]
    pub slab_bytes: u64,
}

impl Meter {
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Cost {
    /// Returns the CPU time between two readings. If threads or children have ended in between, the
    /// fine clock falls behind the ticks by more than their resolution; then the ticks are used.
    pub fn cpu_since(&self, earlier: &Cost) -> Duration {
        let ticked = self.cpu_ticked.saturating_sub(earlier.cpu_ticked);
        let fine = self.cpu_fine.saturating_sub(earlier.cpu_fine);
        match fine + TICKS >= ticked {
            true => fine,
            false => ticked,
        }
    }
}

/// Two clock ticks: the maximum error of a difference.
const TICKS: Duration = Duration::from_millis(20);

/// Returns the bytes that a line with this label states in kilobytes.
#[cfg(target_os = "linux")]
pub fn bytes(text: &str, label: &str) -> Option<u64> {
    Some(1024 * crate::net::proc::word(text, label, 0)?.parse::<u64>().ok()?)
}

#[cfg(not(target_os = "linux"))]
impl Meter {
    /// Always `None`: only Linux offers these figures of another process.
    pub fn of(_: u32) -> Option<Meter> {
        None
    }

    pub fn descriptors(&self) -> u64 {
        0
    }

    pub fn read(&self, at: Duration) -> Cost {
        Cost { at, ..Cost::default() }
    }

    pub fn read_quickly(&self, at: Duration, _: &Cost) -> Cost {
        self.read(at)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;
    use std::time::Duration;

    use super::{Cost, Meter, bytes};
    use crate::net::proc;

    impl Meter {
        /// Creates a meter. `None`: there is no such process.
        pub fn of(pid: u32) -> Option<Meter> {
            let name = proc::read(format!("/proc/{pid}/comm")).ok()?;
            Some(Meter { pid, name: name.strip_suffix('\n').unwrap_or(&name).to_string() })
        }

        /// Returns the number of open descriptors of the process, without its descendants.
        pub fn descriptors(&self) -> u64 {
            count(&format!("/proc/{}/fd", self.pid))
        }

        /// Reads everything, even if it takes long.
        pub fn read(&self, at: Duration) -> Cost {
            self.sum(at, count)
        }

        /// Reads the costs while latencies are measured. Listing a million descriptors takes half a
        /// second, so on kernels that do not report their number that of `before` is kept.
        pub fn read_quickly(&self, at: Duration, before: &Cost) -> Cost {
            let cost = self.sum(at, reported_count);
            match cost.descriptors {
                0 => Cost { descriptors: before.descriptors, ..cost },
                _ => cost,
            }
        }

        fn sum(&self, at: Duration, files: fn(&str) -> u64) -> Cost {
            let mut cost = Cost { at, ..kernel() };
            for pid in process_tree(self.pid) {
                add(&mut cost, pid, files);
            }
            cost
        }
    }

    /// Returns a process and all its descendants.
    fn process_tree(pid: u32) -> Vec<u32> {
        let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(child) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(parent) = stat(child).and_then(|stat| stat.first().copied()) {
                children.entry(parent as u32).or_default().push(child);
            }
        }
        let mut found = vec![pid];
        let mut at = 0;
        while at < found.len() {
            found.extend(children.remove(&found[at]).unwrap_or_default());
            at += 1;
        }
        found
    }

    /// Returns the numbers of `/proc/PID/stat` after name and state. The first is the parent.
    fn stat(pid: u32) -> Option<Vec<u64>> {
        let text = proc::read(format!("/proc/{pid}/stat")).ok()?;
        // The name may contain any bytes, including parentheses and spaces.
        let (_, rest) = text.rsplit_once(')')?;
        let fields = rest.split_whitespace().skip(1);
        Some(fields.map(|field| field.parse().unwrap_or(0)).collect())
    }

    /// Indexes in `stat` of user and system time, of the process and of children it has waited for.
    const TIMES: std::ops::Range<usize> = 10..14;

    /// Adds the costs of one process.
    fn add(cost: &mut Cost, pid: u32, files: fn(&str) -> u64) {
        let ticks: u64 = stat(pid).and_then(|all| Some(all.get(TIMES)?.iter().sum())).unwrap_or(0);
        cost.cpu_ticked += Duration::from_secs(ticks) / tick_rate();
        cost.cpu_fine += Duration::from_nanos(threads_nanos(pid));
        cost.descriptors += files(&format!("/proc/{pid}/fd"));
        let rollup = proc::read(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        match bytes(&rollup, "Pss_Anon:") {
            Some(anonymous) => {
                cost.user_bytes += anonymous + bytes(&rollup, "Pss_Shmem:").unwrap_or(0);
                cost.resident_bytes += bytes(&rollup, "Rss:").unwrap_or(0);
            }
            None => {
                let status = proc::read(format!("/proc/{pid}/status")).unwrap_or_default();
                cost.user_bytes += bytes(&status, "RssAnon:").unwrap_or(0);
                cost.resident_bytes += bytes(&status, "VmRSS:").unwrap_or(0);
            }
        }
    }

    fn tick_rate() -> u32 {
        (rustix::param::clock_ticks_per_second() as u32).max(1)
    }

    /// Returns the CPU time of all threads, in nanoseconds.
    fn threads_nanos(pid: u32) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let nanos = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        nanos.sum()
    }

    /// Returns the number of entries of a directory.
    fn count(directory: &str) -> u64 {
        match reported_count(directory) {
            0 => fs::read_dir(directory).map_or(0, |entries| entries.count() as u64),
            count => count,
        }
    }

    /// Returns the number of descriptors that newer kernels report as the size of the directory.
    /// Zero: not reported.
    fn reported_count(directory: &str) -> u64 {
        fs::metadata(directory).map_or(0, |directory| directory.len())
    }

    /// Reads the kernel memory of the machine.
    fn kernel() -> Cost {
        let sockets = proc::read("/proc/net/sockstat").unwrap_or_default();
        let memory = proc::read("/proc/meminfo").unwrap_or_default();
        let pages = proc::tcp_pages(&sockets).and_then(|pages| pages.parse::<u64>().ok());
        Cost {
            socket_bytes: pages.unwrap_or(0) * rustix::param::page_size() as u64,
            slab_bytes: bytes(&memory, "Slab:").unwrap_or(0),
            ..Cost::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fine_clock_is_used_unless_threads_have_ended() {
        let millis = Duration::from_millis;
        let cost = |ticked, fine| Cost {
            cpu_ticked: millis(ticked),
            cpu_fine: millis(fine),
            ..Cost::default()
        };
        assert_eq!(cost(110, 105).cpu_since(&cost(0, 0)), millis(105));
        assert_eq!(cost(110, 50).cpu_since(&cost(0, 0)), millis(110));
        assert_eq!(cost(110, 40).cpu_since(&cost(10, 50)), millis(100));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_costs_of_a_process_are_read() {
        let meter = Meter::of(std::process::id()).unwrap();
        let before = meter.read(Duration::ZERO);
        let quick = meter.read_quickly(Duration::ZERO, &Cost { descriptors: 7, ..before });
        assert!(quick.descriptors > 2 && quick.user_bytes > 0);
        assert!(before.descriptors > 2 && before.user_bytes > 0 && before.resident_bytes > 0);
        let began = std::time::Instant::now();
        let (mut held, mut sum) = (vec![1u8; 8 << 20], 0u64);
        while began.elapsed() < Duration::from_millis(100) {
            sum = held.iter_mut().fold(sum, |sum, byte| {
                *byte = byte.wrapping_add(1);
                sum + u64::from(*byte)
            });
        }
        let after = meter.read(Duration::ZERO);
        assert!(sum > 0 && after.cpu_since(&before) > Duration::from_millis(5));
        assert!(after.user_bytes >= before.user_bytes + (4 << 20), "{before:?} {after:?}");
        assert!(Meter::of(u32::MAX).is_none());
    }
}
