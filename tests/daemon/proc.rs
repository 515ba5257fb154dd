//! Figures of a running daemon from /proc: wake-ups, CPU time, memory, open files.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::test_daemon::TestDaemon;
use crate::wait::until;

/// Ticks per second in /proc/PID/stat, whatever the kernel's own clock rate.
const MILLIS_PER_TICK: u64 = 10;

impl TestDaemon {
    /// Returns a number from its status: `Threads:`, `voluntary_ctxt_switches:`, `VmHWM:` in KiB.
    pub fn status(&self, field: &str) -> u64 {
        let text = self.proc("status");
        let line = text.lines().find(|line| line.starts_with(field));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{field}: {text}"))
    }

    /// Returns its state: `R` running, `S` sleeping, `T` stopped.
    pub fn state(&self) -> String {
        let text = self.proc("stat");
        text.rsplit_once(") ").unwrap().1.to_string()
    }

    /// Whether it is sleeping in `poll`.
    pub fn is_asleep(&self) -> bool {
        self.state().starts_with('S')
    }

    /// Returns how often it went to sleep.
    pub fn sleeps(&self) -> u64 {
        self.status("voluntary_ctxt_switches:")
    }

    /// Returns how often it goes to sleep in this time, which is how often it was woken. It must be
    /// asleep at the end: otherwise it spins.
    pub fn sleeps_in(&self, time: Duration) -> u64 {
        // The last request may still be in progress.
        until("it comes to rest", || {
            let before = self.sleeps();
            sleep(Duration::from_millis(100));
            (self.is_asleep() && self.sleeps() == before).then_some(())
        });
        let before = self.sleeps();
        sleep(time);
        assert!(self.is_asleep(), "it does not rest");
        self.sleeps() - before
    }

    /// Returns the CPU time of all its threads.
    pub fn cpu(&self) -> Duration {
        let text = self.proc("stat");
        // The name in brackets may contain anything; after it are numbers.
        let (_, numbers) = text.rsplit_once(')').unwrap();
        let ticks = numbers.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * MILLIS_PER_TICK)
    }

    /// Returns the CPU time used in one second without requests. A loop that spins uses all of it.
    pub fn cpu_in_a_second(&self) -> Duration {
        let before = self.cpu();
        sleep(Duration::from_secs(1));
        self.cpu() - before
    }

    /// Returns the number of its open files.
    pub fn files(&self) -> usize {
        self.descriptors().len()
    }

    /// Returns its open descriptors.
    pub fn descriptors(&self) -> Vec<u64> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.map(|name| name.parse().unwrap()).collect()
    }

    /// Returns the memory it has written to, in bytes. Pages of the program file are not counted:
    /// just compiled, they are dirty until they reach the disk.
    pub fn memory(&self) -> u64 {
        let text = self.proc("smaps_rollup");
        let own = text.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        let kib = own.and_then(|own| own.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap() * 1024
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.pid())).unwrap()
    }
}
