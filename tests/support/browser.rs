//! Loads pages in headless Chromium, where it is installed.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::kept::Kept;
use crate::scratch::Scratch;

/// What a browser has made of a page.
pub struct Loaded {
    /// The elements after all scripts.
    pub dom: String,
    /// The lines of the console.
    pub console: Vec<String>,
}

/// Maximum time to load a page on a busy machine.
const LOAD_MAX: Duration = Duration::from_secs(120);

/// Loads the page at this URL in a window of this width. `None`, with a printed reason: there is no
/// browser.
pub fn load(url: &str, width: u32) -> Option<Loaded> {
    let is_there = |name: &&str| {
        let found = Command::new(name).arg("--version").stderr(Stdio::null()).output();
        found.is_ok_and(|output| output.status.success())
    };
    let Some(browser) =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(is_there)
    else {
        println!("skipped: Chromium is not installed");
        return None;
    };
    let scratch = Scratch::new();
    let [dom, log] = ["dom", "log"].map(|name| scratch.path(name));
    let mut command = Command::new(browser);
    command.args(["--headless", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]);
    // A container of a test has no sandbox of its own, and the page is ours.
    command.arg("--no-sandbox").arg(format!("--window-size={width},800"));
    command.arg(format!("--user-data-dir={}", scratch.path("profile").display()));
    // It would ask its maker for updates.
    command.args(["--no-first-run", "--disable-background-networking"]);
    command.args(["--disable-component-update", "--disable-sync"]);
    command.arg(url).stdin(Stdio::null());
    command.stdout(File::create(&dom).unwrap()).stderr(File::create(&log).unwrap());
    let mut browser = Kept(command.spawn().unwrap());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = browser.0.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < LOAD_MAX, "the page is not loaded");
        thread::sleep(Duration::from_millis(50));
    };
    let log = String::from_utf8_lossy(&fs::read(&log).unwrap()).to_string();
    assert!(status.success(), "{status}: {log}");
    let console = log.lines().filter(|line| line.contains(":CONSOLE")).map(str::to_string);
    let dom = String::from_utf8(fs::read(&dom).unwrap()).unwrap();
    Some(Loaded { dom, console: console.collect() })
}
