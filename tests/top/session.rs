//! In a terminal: a program under a pseudoterminal, and an emulator of a terminal that shows what
//! it draws.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::{Winsize, tcgetattr, tcsetwinsize};

use crate::command::oneloop;
use crate::kept::Kept;
use crate::scratch::Scratch;
use crate::terminal_pair::open_terminal;
use crate::test_daemon::TestDaemon;
use crate::wait::until;

/// A running top, and the terminal in which it runs.
struct TestTop {
    child: Kept,
    keyboard: File,
    /// The side of the program, which keeps the terminal open.
    input: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
    mode_before: String,
}

fn mode(input: &OwnedFd) -> String {
    let mode = tcgetattr(input).unwrap();
    format!("{:?} {:?}", mode.local_modes, mode.special_codes)
}

impl TestTop {
    /// Starts top in a terminal of 80 columns and 24 rows. None: there are no terminals here.
    fn start(address: &str) -> Option<TestTop> {
        let (keyboard, input) = open_terminal()?;
        set_size(&input, 80, 24);
        let mode_before = mode(&input);
        let mut command = oneloop(&format!("top {address} --interval 100ms"));
        command.env("TERM", "xterm").env("LC_ALL", "C.UTF-8").stderr(Stdio::inherit());
        let side = || Stdio::from(input.try_clone().unwrap());
        let child = Kept(command.stdin(side()).stdout(side()).spawn().unwrap());
        drop(command);
        let screen = Arc::new(Mutex::new(vt100::Parser::new(24, 80, 0)));
        let (mut output, shown) = (keyboard.try_clone().unwrap(), screen.clone());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                shown.lock().unwrap().process(&buffer[..count]);
            }
        });
        Some(TestTop { child, keyboard, input, screen, mode_before })
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn text(&self) -> String {
        self.screen.lock().unwrap().screen().contents()
    }

    /// Waits until the terminal shows this.
    fn shows(&self, text: &str) {
        until(text, || self.text().contains(text).then_some(()));
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child.0)
    }

    /// Waits for its end. The terminal must be as before. Returns the exit code.
    fn ended(mut self) -> Option<i32> {
        let status = until("the end of top", || self.child.0.try_wait().unwrap());
        until("the screen before", || {
            let screen = self.screen.lock().unwrap();
            let is_restored = !screen.screen().alternate_screen() && !screen.screen().hide_cursor();
            is_restored.then_some(())
        });
        assert_eq!(mode(&self.input), self.mode_before);
        status.code()
    }
}

fn set_size(input: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(input, size).unwrap();
}

fn daemon(scratch: &Scratch) -> (TestDaemon, String) {
    let admin = scratch.path("admin.sock").display().to_string();
    (TestDaemon::start(&format!("echo 127.0.0.1:0 --admin {admin}")), admin)
}

#[test]
fn it_draws_obeys_keys_and_survives_a_restart_of_the_daemon() {
    let scratch = Scratch::new();
    let (daemon, address) = daemon(&scratch);
    let mut client = daemon.client(0);
    client.echo(b"hello");
    let Some(mut top) = TestTop::start(&address) else { return };
    top.shows("connections  1 open, 1 accepted, 0.00/s");
    assert!(top.screen.lock().unwrap().screen().alternate_screen());
    top.shows(">  1  streaming  127.0.0.1:");
    // The report of a connection, which a poll must bring.
    top.press("\r");
    top.shows("#1 waits for the client");
    client.echo(&[b'x'; 995]);
    top.shows("1.00 kB (1,000 B)");
    top.press("\x1b");
    top.shows(">  1  streaming");
    // A frozen display does not show the next client.
    top.press(" ");
    top.shows("frozen for");
    daemon.client(0).echo(b"brief");
    let mut second = daemon.client(0);
    second.echo(b"hello");
    top.press("a/127");
    top.shows("[a age]");
    top.shows("/127_");
    assert!(top.text().contains("connections  1 open"), "{}", top.text());
    top.press("\r ");
    top.shows("connections  2 open, 3 accepted");
    // The terminal becomes smaller.
    set_size(&top.input, 40, 10);
    top.screen.lock().unwrap().screen_mut().set_size(10, 40);
    kill_process(top.pid(), Signal::WINCH).unwrap();
    until("ten rows", || top.text().lines().nth(9).filter(|row| row.contains("q quit")).map(drop));
    set_size(&top.input, 80, 24);
    top.screen.lock().unwrap().screen_mut().set_size(24, 80);
    kill_process(top.pid(), Signal::WINCH).unwrap();
    let before = daemon.pid();
    daemon.signal(Signal::KILL);
    drop(daemon);
    top.shows("gone for");
    top.shows("cannot connect");
    let after = TestDaemon::start(&format!("echo 127.0.0.1:0 --admin {address}"));
    top.shows(&format!("the daemon was restarted: process {before} became {}", after.pid()));
    top.shows("every 100ms");
    top.press("q");
    assert_eq!(top.ended(), Some(0));
}

#[test]
fn every_signal_restores_the_terminal() {
    let scratch = Scratch::new();
    let (_daemon, address) = daemon(&scratch);
    let signals =
        [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129), (Signal::QUIT, 131)];
    for (signal, code) in signals {
        let Some(top) = TestTop::start(&address) else { return };
        top.shows("q quit");
        assert_ne!(mode(&top.input), top.mode_before, "the mode is that of top");
        kill_process(top.pid(), signal).unwrap();
        assert_eq!(top.ended(), Some(code), "{signal:?}");
    }
}

#[test]
fn a_daemon_that_does_not_answer_holds_up_no_key() {
    let scratch = Scratch::new();
    let (daemon, address) = daemon(&scratch);
    let Some(mut top) = TestTop::start(&address) else { return };
    top.shows("[1 connections]");
    daemon.signal(Signal::STOP);
    top.press("2");
    top.shows("[2 routes]");
    top.shows("gone for");
    top.press("q");
    assert_eq!(top.ended(), Some(0));
}

/// Returns the age of the only connection, in seconds.
fn age(top: &TestTop) -> Option<f64> {
    let text = top.text();
    let row = text.lines().find(|line| line.starts_with(">  1  "))?;
    row.split_whitespace().nth(4)?.parse().ok()
}

/// Steps back, and returns when the display shows an earlier time than before.
fn step_back(top: &mut TestTop, before: &str) -> String {
    top.press("[");
    until("an earlier time", || {
        let text = top.text();
        // The words depend on what fits into the line.
        let line = text.lines().find_map(|line| line.strip_prefix("recorded     "))?;
        let shown = line.trim_start_matches("shown ").split(' ').next()?.to_string();
        (shown != before).then_some(shown)
    })
}

#[test]
fn a_step_back_shows_a_closed_connection_as_it_was() {
    let scratch = Scratch::new();
    let admin = scratch.path("admin.sock").display().to_string();
    let daemon = TestDaemon::start(&format!("echo 127.0.0.1:0 --record 16M --admin {admin}"));
    let mut client = daemon.client(0);
    client.echo(b"hello");
    let Some(mut top) = TestTop::start(&admin) else { return };
    // Open for longer than a step, so that a step leads to a time at which it is open.
    until("an older connection", || age(&top).filter(|age| *age > 1.5));
    drop(client);
    top.shows("no connections");
    let mut shown = step_back(&mut top, "");
    while !top.text().contains(">  1  streaming  127.0.0.1:") {
        shown = step_back(&mut top, &shown);
    }
    assert!(top.text().contains(" s ago (recorded)") && top.text().contains("  5 B  5 B"));
    // What it did, and that it is open.
    top.press("\r");
    top.shows(" #1.a wrote 5, 0 unsent");
    top.shows("  state     streaming");
    assert!(!top.text().contains("#1 closed"), "{}", top.text());
    top.press("\x1b");
    top.shows(">  1  streaming");
    top.press("\x1b");
    top.shows("every 100ms");
    top.shows("no connections");
    // The keys that lead forward return to now, too.
    top.press("[");
    top.shows("(recorded)");
    top.press("}");
    top.shows("every 100ms");
    top.press("q");
    assert_eq!(top.ended(), Some(0));
}

#[test]
fn a_daemon_that_records_nothing_is_said_to_and_the_display_stays_at_now() {
    let scratch = Scratch::new();
    let (daemon, address) = daemon(&scratch);
    let Some(mut top) = TestTop::start(&address) else { return };
    top.shows("every 100ms");
    top.press("[");
    top.shows("nothing is recorded; oneloop ctl record 16M starts it");
    top.shows("every 100ms");
    daemon.client(0).echo(b"hello");
    top.shows("1 accepted");
    top.press("q");
    assert_eq!(top.ended(), Some(0));
}
