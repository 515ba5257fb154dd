//! What every test stands on: the command of the binary, waits with a limit, and a directory.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes on the busiest machine: what has not come by then never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// So long a condition that is asked for again and again rests in between.
const PAUSE: Duration = Duration::from_millis(2);

/// The command of the binary with these arguments, which are split at spaces; nothing of the
/// environment speaks into its log.
pub fn oneloop(line: &str) -> Command {
    tidy(Command::new(env!("CARGO_BIN_EXE_oneloop")), line)
}

/// The same behind a few words of the shell, which become the binary itself: `ulimit -n 64;`.
pub fn oneloop_after(words: &str, line: &str) -> Command {
    oneloop_redirected(words, line, "")
}

/// And with redirections behind its arguments: `<&-`.
pub fn oneloop_redirected(words: &str, line: &str, redirections: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = format!("{words} exec \"$@\" {redirections}");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_oneloop")]);
    tidy(command, line)
}

fn tidy(mut command: Command, line: &str) -> Command {
    command.args(line.split_whitespace());
    command.env_remove("RUST_LOG").env_remove("NO_COLOR");
    command
}

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it never comes: {what}");
        thread::sleep(PAUSE);
    }
}

/// A directory of the test's own, which goes away with it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("oneloop-talk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The address of a Unix socket in it.
    pub fn unix(&self, name: &str) -> String {
        format!("unix:{}", self.path(name).display())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
