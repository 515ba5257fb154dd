//! Loads pages in headless Chromium, where it is installed.

use std::fs::{self, File};
use std::path::Path;
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

/// Loads a page in a window of this width. `None`, with a printed reason: there is no browser.
pub fn load(page: &Path, width: u32) -> Option<Loaded> {
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
    command.arg(format!("file://{}", page.display())).stdin(Stdio::null());
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

#[test]
fn charts_are_drawn_from_plain_data_and_read_out() {
    let scratch = Scratch::new();
    let page = scratch.path("charts.html");
    let style = include_str!("../../src/text/assets/charts.css");
    let charts = include_str!("../../src/text/assets/charts.js");
    // The checks have the end of a script element in strings.
    let checks = include_str!("charts_test.js").replace("</script", "<\\/script");
    let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    let html = format!(
        "<!doctype html><html><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\
         <style>{style}</style></head><body><script>{charts}</script>\
         <script>{checks}</script></body></html>"
    );
    fs::write(&page, html).unwrap();
    let Some(loaded) = load(&page, 1100) else { return };
    assert!(loaded.dom.contains("<p>All checks passed.</p>"), "{}", loaded.dom);
    // A console that shows this line would show an error as well.
    let is_expected = loaded.console.len() == 1 && loaded.console[0].contains("\"checked\"");
    assert!(is_expected, "{:?}", loaded.console);
}
