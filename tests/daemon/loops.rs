//! Connections that would come back to where they began: TCP self-connects, and relays whose target
//! is one of their own listeners.

use crate::command::oneloop_after;
use crate::scratch::Scratch;
use crate::stand::{Daemon, ended};

/// The words of a shell that run a command in a network of its own, where this is the only port to
/// connect from. None: this system does not allow it.
fn with_one_port(port: u16) -> Option<String> {
    let range = "/proc/sys/net/ipv4/ip_local_port_range";
    let script = format!("ip link set lo up && echo {port} {port} > {range} && exec \"$@\"");
    let words = format!("exec unshare -rn sh -c '{script}' sh \"$@\";");
    let may = ended(oneloop_after(&words, "--version"));
    if may.code != Some(0) {
        println!("skipped: {}", may.err.trim());
    }
    (may.code == Some(0)).then_some(words)
}

#[test]
fn a_tcp_self_connect_is_a_refusal_for_a_relay() {
    let Some(words) = with_one_port(40_000) else { return };
    let scratch = Scratch::new();
    let line = format!("relay {} 127.0.0.1:40000 -v", scratch.unix("x"));
    let daemon = Daemon::run(oneloop_after(&words, &line));
    for round in 1..=3 {
        let mut client = daemon.client(0);
        client.send(b"must not come back");
        assert_eq!(client.ending().0, b"");
        let fault = "TCP self-connect, nothing listens on its port";
        daemon.says_often(round, &format!("closed: no target took it ({fault}), target first"));
        daemon.says_often(round, &format!("not connected to tcp://127.0.0.1:40000: {fault}"));
    }
}

#[test]
fn a_tcp_self_connect_is_a_refusal_for_connect_and_stress() {
    let Some(words) = with_one_port(40_000) else { return };
    for line in ["connect 127.0.0.1:40000", "connect -z 127.0.0.1:40000"] {
        let refused = ended(oneloop_after(&words, line));
        assert_eq!(refused.code, Some(7), "{refused:?}");
        assert!(refused.err.contains("self-connect"), "{refused:?}");
    }
    let line = "stress 127.0.0.1:40000 --conns 1 --duration 300ms";
    let refused = ended(oneloop_after(&words, line));
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let told = refused.out + &refused.err;
    assert!(told.contains("self-connect"), "{told}");
}
