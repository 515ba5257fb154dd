//! A daemon that serves a file, and the commands that work with it.

use std::path::PathBuf;
use std::{fs, net::SocketAddr};

use crate::command::{oneloop, oneloop_after};
use crate::scratch::Scratch;
use crate::test_daemon::{Ended, TestDaemon, ended};

/// A daemon with an admin socket, whose file can be replaced.
pub struct FileDaemon {
    pub daemon: TestDaemon,
    scratch: Scratch,
}

impl FileDaemon {
    /// Serves this text, to which the table of the admin endpoint is added.
    pub fn start(text: &str) -> FileDaemon {
        FileDaemon::start_after("", text)
    }

    /// The same after these words of a shell, such as `ulimit -n 64;`.
    pub fn start_after(words: &str, text: &str) -> FileDaemon {
        let scratch = Scratch::new();
        let file = scratch.path("oneloop.toml");
        fs::write(&file, with_admin(&scratch, text)).unwrap();
        let line = format!("serve -v --config {}", file.display());
        let daemon = TestDaemon::run(match words {
            "" => oneloop(&line),
            words => oneloop_after(words, &line),
        });
        FileDaemon { daemon, scratch }
    }

    pub fn file(&self) -> PathBuf {
        self.scratch.path("oneloop.toml")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.scratch.path(name)
    }

    /// Replaces the file in one step.
    pub fn write(&self, text: &str) {
        let new = self.scratch.path("new.toml");
        fs::write(&new, with_admin(&self.scratch, text)).unwrap();
        fs::rename(&new, self.file()).unwrap();
    }

    /// Replaces the file and reloads it.
    pub fn reload(&self, text: &str) -> Ended {
        self.write(text);
        self.ctl("reload")
    }

    /// Replaces the file, and expects that it is applied. Returns the verdict.
    pub fn applies(&self, text: &str) -> String {
        let ended = self.reload(text);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{text}");
        ended.out
    }

    /// Runs a command of ctl.
    pub fn ctl(&self, command: &str) -> Ended {
        ended(oneloop(&format!("ctl --admin {} {command}", self.admin())))
    }

    pub fn admin(&self) -> String {
        self.path("admin").display().to_string()
    }

    /// The address of the listener that was reported as the `number`th one, from 0.
    pub fn at(&self, number: usize) -> SocketAddr {
        let lines = self.daemon.lines();
        let mut listening = lines.iter().filter_map(|line| line.split_once(" listening on tcp://"));
        let (_, rest) = listening.nth(number).unwrap_or_else(|| panic!("{lines:#?}"));
        rest.split_once(": ").unwrap().0.parse().unwrap()
    }

    /// The value of a metric without labels, or with these.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.ctl("GET /metrics").out;
        let mut lines = text.lines().filter_map(|line| line.rsplit_once(' '));
        let (_, value) =
            lines.find(|(found, _)| *found == name).unwrap_or_else(|| panic!("{text}"));
        value.parse::<f64>().unwrap() as u64
    }
}

fn with_admin(scratch: &Scratch, text: &str) -> String {
    format!("{text}\n[admin]\nlisten = \"{}\"\n", scratch.path("admin").display())
}
