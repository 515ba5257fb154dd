//! A relay of datagrams that runs out of descriptors. In a process of its own: the limit is the
//! process's.
#![allow(clippy::unwrap_used)]
#![cfg(unix)]

use std::fs::File;
use std::os::fd::AsRawFd;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use test_loop::{TestLoop, at, client, receive};

#[allow(dead_code)]
#[path = "datagrams/test_loop.rs"]
mod test_loop;

#[test]
fn without_a_descriptor_a_new_flow_is_dropped_and_the_others_go_on() {
    let target = client();
    let address = target.local_addr().unwrap();
    let (mut test, listener) =
        TestLoop::with(&format!("udp://127.0.0.1:0=relay:udp://{address},udp-flows=1"));
    let (first, second) = (client(), client());
    first.send_to(b"first", listener).unwrap();
    test.until(|_| receive(&target));

    let limit = getrlimit(Resource::Nofile);
    let next = File::open("/dev/null").unwrap().as_raw_fd() as u64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(next), ..limit }).unwrap();
    second.send_to(b"second", listener).unwrap();
    test.until_event(
        1,
        &format!("dropped 6 from {}: send failed (Too many open files)", at(&second)),
    );
    test.turn(std::time::Duration::ZERO);
    assert_eq!((test.datagrams.len(), test.datagrams.queued()), (1, 0), "it spins");
    assert_eq!(test.facts.count("evicted"), 0, "a flow made room for nothing");
    first.send_to(b"goes on", listener).unwrap();
    assert_eq!(test.until(|_| receive(&target)).0, b"goes on");

    setrlimit(Resource::Nofile, limit).unwrap();
    second.send_to(b"again", listener).unwrap();
    assert_eq!(test.until(|_| receive(&target)).0, b"again");
    assert_eq!(test.facts.conn_ids("closed evicted"), [1]);
}
