//! `check`: what it refuses is what the daemon would refuse at its start.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::command::oneloop;
use crate::file_daemon::FileDaemon;
use crate::scratch::Scratch;
use crate::test_daemon::{Ended, TestDaemon, ended, fails};
use crate::wait::until;

fn checked(scratch: &Scratch, text: &str) -> Ended {
    let path = scratch.path("a.toml");
    fs::write(&path, text).unwrap();
    ended(oneloop(&format!("check {}", path.display())))
}

/// Pairs of listeners on one port, and whether the system refuses the second one.
const PAIRS: [(&str, &str, bool); 14] = [
    (":PORT", "127.0.0.1:PORT", true),
    ("127.0.0.1:PORT", ":PORT", true),
    (":PORT", "[::1]:PORT", true),
    (":PORT,v6only", "[::1]:PORT", true),
    (":PORT,v6only", "127.0.0.1:PORT", false),
    ("0.0.0.0:PORT", "127.0.0.1:PORT", true),
    ("0.0.0.0:PORT", "[::]:PORT", true),
    ("0.0.0.0:PORT", "[::]:PORT,v6only", false),
    ("127.0.0.1:PORT", "[::ffff:127.0.0.1]:PORT", true),
    ("127.0.0.1:PORT", "127.0.0.1:PORT,reuseport", true),
    (":PORT,reuseport", "127.0.0.1:PORT,reuseport", false),
    ("udp://:PORT", "udp://127.0.0.1:PORT", true),
    ("udp://127.0.0.1:PORT", "127.0.0.1:PORT", false),
    ("udp://:PORT,reuseport", "udp://127.0.0.1:PORT", true),
];

#[test]
fn check_refuses_two_listeners_exactly_if_the_system_does() {
    let scratch = Scratch::new();
    let has_v6 = TcpListener::bind("[::1]:0").is_ok();
    for (first, second, is_refused) in PAIRS {
        if !has_v6 && (first.contains("v6only") || second.contains('[')) {
            continue;
        }
        let [first, second] = until("a port that nobody else takes meanwhile", || {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let pair = [first, second].map(|text| text.replace("PORT", &port.to_string()));
            let _first = TestDaemon::try_start(&format!("discard {}", pair[0]))?;
            let second = TestDaemon::try_start(&format!("discard {}", pair[1]));
            (second.is_none() == is_refused).then_some(pair)
        });
        let text = format!("[route.a]\nlisten = [\"{first}\", \"{second}\"]\ndiscard = true\n");
        let check = checked(&scratch, &text);
        assert_eq!(check.code, Some(i32::from(is_refused)), "{first} {second}: {}", check.err);
        if is_refused {
            let refused = ended(oneloop(&format!("discard {first} {second}")));
            assert_eq!(refused.code, Some(2), "{}", refused.err);
            assert!(refused.err.contains("(argument 3)"), "{}", refused.err);
        }
    }
}

#[test]
fn the_reason_of_a_hangup_is_true_with_and_without_a_file() {
    let reason = "a daemon with a configuration file reads it again, any other goes on unchanged";
    let text = "[log]\nexplain = \"always\"\n[route.a]\nlisten = \"127.0.0.1:0\"\necho = true\n";
    let file = FileDaemon::start(text);
    let plain = TestDaemon::start("echo 127.0.0.1:0 --explain=always");
    for daemon in [&file.daemon, &plain] {
        daemon.signal(Signal::HUP);
        assert!(daemon.says("received SIGHUP").contains(reason));
    }
    file.daemon.says("reloaded: 0 added");
}

#[test]
fn check_reads_the_token_file_as_the_start_does() {
    let scratch = Scratch::new();
    let token = scratch.path("token");
    let text = format!(
        "[admin]\nlisten = \"{}\"\ntoken-file = \"{}\"\n[route.a]\nlisten = \":0\"\necho = true\n",
        scratch.path("admin").display(),
        token.display()
    );
    let refused = |reason: &str| {
        let ended = checked(&scratch, &text);
        let start = format!("{}:3:14: ", scratch.path("a.toml").display());
        assert_eq!(ended.code, Some(1));
        assert!(ended.err.starts_with(&start) && ended.err.contains(reason), "{}", ended.err);
        let line = format!("serve -c {}", scratch.path("a.toml").display());
        assert!(fails(&line).1.contains(reason), "{reason}");
    };
    refused("No such file or directory");
    fs::write(&token, "x".repeat(31)).unwrap();
    refused("lets other users in");
    fs::set_permissions(&token, Permissions::from_mode(0o600)).unwrap();
    refused("a token has from 32 to 1024 characters; this one has 31");
    let errors = checked(&scratch, &(text.clone() + "idle = 3\n")).err;
    assert!(errors.contains(":3:14: ") && errors.contains(":7:1: unknown key"), "{errors}");
    fs::write(&token, "x".repeat(32)).unwrap();
    assert_eq!(checked(&scratch, &text).code, Some(0));
}
