//! What the system knows of a running daemon: its wake-ups, its time on the processor, its memory,
//! its open files.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::stand::Daemon;
use crate::wait::until;

/// Linux counts the time of processes in hundredths of a second, whatever its own clock does.
const MILLIS_PER_TICK: u64 = 10;

impl Daemon {
    /// A number from its status: `Threads:`, `voluntary_ctxt_switches:`, `VmHWM:` in KiB.
    pub fn status(&self, field: &str) -> u64 {
        let text = self.proc("status");
        let line = text.lines().find(|line| line.starts_with(field));
        let value = line.and_then(|line| line.split_whitespace().nth(1));
        value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{field}: {text}"))
    }

    /// Whether it runs, sleeps or is stopped: a letter.
    pub fn state(&self) -> String {
        let text = self.proc("stat");
        text.rsplit_once(") ").unwrap().1.to_string()
    }

    /// Whether it waits for something to happen, and nothing has.
    pub fn is_asleep(&self) -> bool {
        self.state().starts_with('S')
    }

    /// How often it went to sleep.
    pub fn sleeps(&self) -> u64 {
        self.status("voluntary_ctxt_switches:")
    }

    /// How often it goes to sleep in this time; to do so it must have been woken. It must be asleep
    /// at the end: one that is not has no reason to be, but spins.
    pub fn sleeps_in(&self, time: Duration) -> u64 {
        // What was asked of it last may still be going on.
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

    /// What all its threads have used of the processors.
    pub fn cpu(&self) -> Duration {
        let text = self.proc("stat");
        // The name in brackets may hold anything; what follows it are numbers.
        let (_, numbers) = text.rsplit_once(')').unwrap();
        let ticks = numbers.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * MILLIS_PER_TICK)
    }

    /// What it uses of the processors while nothing is asked of it, in a second. One that spins
    /// uses all that it gets.
    pub fn cpu_in_a_second(&self) -> Duration {
        let before = self.cpu();
        sleep(Duration::from_secs(1));
        self.cpu() - before
    }

    /// How many files it has open.
    pub fn files(&self) -> usize {
        self.descriptors().len()
    }

    /// The numbers of its open files.
    pub fn descriptors(&self) -> Vec<u64> {
        let files = fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.map(|name| name.parse().unwrap()).collect()
    }

    /// The memory that it has written to, in bytes. The pages of its program do not count, however
    /// fresh they are: those that a compiler has just written are dirty too until they reach the
    /// disk.
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
