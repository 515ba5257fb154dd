//! What the server spends, read from outside: memory, descriptors and processor time of its process
//! and of the processes it has started, and what the kernel holds for sockets.

use std::time::Duration;

/// Reads of a server on this machine what it has spent.
#[derive(Debug)]
pub struct Meter {
    pid: u32,
    pub name: String,
}

/// What a server has spent so far, or holds now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// When it was read, since the run began.
    pub at: Duration,
    /// Processor time, in the steps of a clock tick, with that of threads and children that are
    /// gone.
    pub cpu_ticked: Duration,
    /// Processor time to the nanosecond, of the threads that are there.
    pub cpu_fine: Duration,
    /// Memory of its own that is not backed by a file.
    pub user_bytes: u64,
    pub resident_bytes: u64,
    pub descriptors: u64,
    /// What the kernel holds for the data of all TCP sockets of the machine.
    pub socket_bytes: u64,
    /// What the kernel holds in small objects, sockets among them, on the whole machine.
    pub slab_bytes: u64,
}

impl Meter {
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

impl Cost {
    /// Processor time between two readings. The fine clock forgets threads and children that have
    /// ended, and then falls behind the coarse one by more than its steps.
    pub fn cpu_since(&self, earlier: &Cost) -> Duration {
        let ticked = self.cpu_ticked.saturating_sub(earlier.cpu_ticked);
        let fine = self.cpu_fine.saturating_sub(earlier.cpu_fine);
        match fine + STEPS >= ticked {
            true => fine,
            false => ticked,
        }
    }
}

/// Two steps of the coarse clock.
const STEPS: Duration = Duration::from_millis(20);

#[cfg(not(target_os = "linux"))]
impl Meter {
    /// Only Linux tells all this of another process.
    pub fn of(_: u32) -> Option<Meter> {
        None
    }

    pub fn descriptors(&self) -> u64 {
        0
    }

    pub fn read(&self, at: Duration) -> Cost {
        Cost { at, ..Cost::default() }
    }

    pub fn glance(&self, at: Duration, _: &Cost) -> Cost {
        self.read(at)
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;
    use std::time::Duration;

    use super::{Cost, Meter};
    use crate::stress::proc;

    impl Meter {
        /// None, if there is no such process.
        pub fn of(pid: u32) -> Option<Meter> {
            let name = proc::text(&format!("/proc/{pid}/comm"))?;
            Some(Meter { pid, name: name.strip_suffix('\n').unwrap_or(&name).to_string() })
        }

        /// How many files the process has open, without its children.
        pub fn descriptors(&self) -> u64 {
            count(&format!("/proc/{}/fd", self.pid))
        }

        /// Reads everything, however long that takes.
        pub fn read(&self, at: Duration) -> Cost {
            self.sum(at, count)
        }

        /// The same while latencies are measured. A kernel that does not tell how many files there
        /// are is not made to list them, which takes it half a second for a million: then there are
        /// as many as `before`.
        pub fn glance(&self, at: Duration, before: &Cost) -> Cost {
            let cost = self.sum(at, told);
            match cost.descriptors {
                0 => Cost { descriptors: before.descriptors, ..cost },
                _ => cost,
            }
        }

        fn sum(&self, at: Duration, files: fn(&str) -> u64) -> Cost {
            let mut cost = Cost { at, ..kernel() };
            for pid in family(self.pid) {
                add(&mut cost, pid, files);
            }
            cost
        }
    }

    /// A process and all that descend from it.
    fn family(pid: u32) -> Vec<u32> {
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

    /// The numbers of `/proc/PID/stat` behind the name and the state: the first is the parent.
    fn stat(pid: u32) -> Option<Vec<u64>> {
        let text = proc::text(&format!("/proc/{pid}/stat"))?;
        // The name may hold anything, brackets and spaces too.
        let (_, rest) = text.rsplit_once(')')?;
        let words = rest.split_whitespace().skip(1);
        Some(words.map(|word| word.parse().unwrap_or(0)).collect())
    }

    /// Where the times of the process itself stand in `stat`, and those of children it has waited
    /// for: user and system of each.
    const TIMES: std::ops::Range<usize> = 10..14;

    fn add(cost: &mut Cost, pid: u32, files: fn(&str) -> u64) {
        let ticks: u64 = stat(pid).and_then(|all| Some(all.get(TIMES)?.iter().sum())).unwrap_or(0);
        cost.cpu_ticked += Duration::from_secs(ticks) / tick_rate();
        cost.cpu_fine += Duration::from_nanos(threads_nanos(pid));
        cost.descriptors += files(&format!("/proc/{pid}/fd"));
        let rollup = proc::text(&format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        match kilobytes(&rollup, "Pss_Anon:") {
            Some(anonymous) => {
                cost.user_bytes +=
                    1024 * (anonymous + kilobytes(&rollup, "Pss_Shmem:").unwrap_or(0));
                cost.resident_bytes += 1024 * kilobytes(&rollup, "Rss:").unwrap_or(0);
            }
            None => {
                let status = proc::text(&format!("/proc/{pid}/status")).unwrap_or_default();
                cost.user_bytes += 1024 * kilobytes(&status, "RssAnon:").unwrap_or(0);
                cost.resident_bytes += 1024 * kilobytes(&status, "VmRSS:").unwrap_or(0);
            }
        }
    }

    fn tick_rate() -> u32 {
        (rustix::param::clock_ticks_per_second() as u32).max(1)
    }

    fn threads_nanos(pid: u32) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let nanos = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        nanos.sum()
    }

    /// Newer kernels tell it as the size of the folder; of others the entries are counted.
    fn count(folder: &str) -> u64 {
        match told(folder) {
            0 => fs::read_dir(folder).map_or(0, |entries| entries.count() as u64),
            told => told,
        }
    }

    fn told(folder: &str) -> u64 {
        fs::metadata(folder).map_or(0, |folder| folder.len())
    }

    /// The number behind a label that begins a line.
    fn kilobytes(text: &str, label: &str) -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(label))?;
        line.split_whitespace().next()?.parse().ok()
    }

    fn kernel() -> Cost {
        let sockets = proc::text("/proc/net/sockstat").unwrap_or_default();
        let memory = proc::text("/proc/meminfo").unwrap_or_default();
        let pages = sockets.lines().find_map(|line| line.strip_prefix("TCP:")).and_then(|line| {
            line.split_whitespace().skip_while(|word| *word != "mem").nth(1)?.parse::<u64>().ok()
        });
        Cost {
            socket_bytes: pages.unwrap_or(0) * rustix::param::page_size() as u64,
            slab_bytes: 1024 * kilobytes(&memory, "Slab:").unwrap_or(0),
            ..Cost::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fine_clock_is_believed_unless_it_has_forgotten_something() {
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
    fn a_process_tells_what_it_spends() {
        let meter = Meter::of(std::process::id()).unwrap();
        let before = meter.read(Duration::ZERO);
        let glance = meter.glance(Duration::ZERO, &Cost { descriptors: 7, ..before });
        assert!(glance.descriptors > 2 && glance.user_bytes > 0);
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
