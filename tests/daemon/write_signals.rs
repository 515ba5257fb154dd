//! Signals that the kernel sends to a process that writes: none of them ends or stops the daemon.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::command::oneloop_redirected;
use crate::kept::Kept;
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::until;

#[test]
fn a_log_file_that_reaches_its_size_limit_ends_nothing_and_lost_lines_are_counted() {
    let scratch = Scratch::new();
    let log = scratch.path("log");
    let line = format!("echo {} -vv", scratch.unix("x"));
    // 8 blocks of 512 bytes: the next byte would be answered by SIGXFSZ.
    let redirection = format!("2>{}", log.display());
    let child = oneloop_redirected("ulimit -f 8;", &line, &redirection).spawn().unwrap();
    let mut daemon = TestDaemon::silent(child, line);
    let mut client = until("it serves", || TestStream::try_connect(&scratch.unix("x")).ok());
    for _ in 0..500 {
        client.echo(b"each of these makes lines");
    }
    assert_eq!(log.metadata().unwrap().len(), 8 * 512);
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(), Some(0));
}

/// A process that is killed by its id, because it is not a child of this one.
struct Job(Pid);

impl Drop for Job {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::KILL);
    }
}

#[test]
fn a_background_job_writes_its_log_to_a_terminal_that_stops_others_for_it() {
    let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let name = ptsname(&keyboard, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = || Stdio::from(open(&name, flags, Mode::empty()).unwrap());
    let script = "set -m; stty tostop; \"$@\" & echo job $!.; wait";
    let mut command = Command::new("setsid");
    command.args(["-c", "sh", "-c", script, "sh", env!("CARGO_BIN_EXE_oneloop")]);
    command.args(["echo", "127.0.0.1:0"]).env_remove("RUST_LOG");
    command.stdin(terminal()).stdout(terminal()).stderr(terminal());
    let _shell = Kept(command.spawn().unwrap());
    drop(command);
    let mut screen = File::from(keyboard);
    let (mut text, mut job) = (String::new(), None);
    until("the log is on the terminal", || {
        if !is_readable(&screen) {
            return None;
        }
        let mut room = [0; 4096];
        let bytes = screen.read(&mut room).unwrap();
        text.push_str(&String::from_utf8_lossy(&room[..bytes]));
        if job.is_none()
            && let Some((_, rest)) = text.split_once("job ")
            && let Some((pid, _)) = rest.split_once('.')
        {
            job = Pid::from_raw(pid.parse().unwrap()).map(Job);
        }
        (job.is_some() && text.contains(" limits: ")).then_some(())
    });
}

fn is_readable(file: &File) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [PollFd::new(file, PollFlags::IN)];
    let none = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&none)).unwrap() > 0
}
