//! Slow readers and fast writers: they delay only their own connection, and memory is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use socket2::{Domain, SockRef, Socket, Type};

use crate::pattern::{byte, bytes};
use crate::relay::{KINDS, RelayedPair, pair};
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::{PATIENCE, until};

/// Maximum unsent bytes of one flow.
const HELD_BYTES: u64 = 64 * 1024;

/// Memory that the rest of the daemon may need meanwhile, in bytes.
const SLACK_BYTES: u64 = 1 << 20;

#[test]
fn a_reader_that_stops_stops_its_writer_and_nobody_else() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    let mut other = daemon.client(0);
    let mut client = daemon.client(0);
    let sent = client.flood(&daemon, |at| byte(1, at));
    daemon.dump();
    daemon.says("a readable+read off, "); // More data does not wake the loop.
    (0..300).for_each(|_| other.echo(b"undisturbed"));
    daemon.client(0).echo(b"a new one too");
    // When it reads again, no byte is missing.
    client.finish();
    assert!(client.rest() == bytes(1, sent));
}

#[test]
fn a_relayed_reader_that_stops_stops_the_writer_behind_the_relay() {
    for kinds in KINDS {
        let RelayedPair { mut client, mut target, relay } = pair(kinds, "");
        let sent = client.flood(&relay.daemon, |at| byte(1, at));
        let answered = target.flood(&relay.daemon, |at| byte(2, at));
        let mut second = relay.daemon.client(0);
        let mut beside = relay.listener.accept();
        for number in 0..100 {
            second.send(&bytes(number, 100));
            assert!(beside.get(100) == bytes(number, 100));
        }
        client.finish();
        target.finish();
        assert!(target.rest() == bytes(1, sent), "{kinds:?}");
        assert!(client.rest() == bytes(2, answered), "{kinds:?}");
    }
}

#[test]
fn memory_is_bounded_whatever_the_readers_do() {
    const READERS: u64 = 16;
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    daemon.client(0).echo(b"warm");
    let before = daemon.memory();
    let mut clients: Vec<TestStream> = (0..READERS).map(|_| daemon.client(0)).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.flood(&daemon, |at| byte(number as u64, at));
    }
    let grown = daemon.memory().saturating_sub(before);
    assert!(grown <= READERS * HELD_BYTES + SLACK_BYTES, "{grown} bytes for {READERS} readers");
    assert!(daemon.dump().contains(&format!("memory: {READERS} buffers in use")));
    clients.into_iter().for_each(TestStream::reset);
    until("all is given back", || daemon.dump().contains(" 0 bytes unsent").then_some(()));
}

#[test]
fn a_long_transfer_needs_no_more_memory_than_a_short_one() {
    const LENGTH: usize = 100 << 20;
    for line in ["discard 127.0.0.1:0", "echo 127.0.0.1:0"] {
        let daemon = TestDaemon::start(line);
        let mut first = daemon.client(0);
        first.send(&[0; 1 << 16]);
        first.finish();
        first.rest();
        let before = daemon.status("VmHWM:");
        let mut client = daemon.client(0);
        let mut writer = client.duplicate();
        let writing = thread::spawn(move || {
            let piece = [7; 1 << 16];
            (0..LENGTH / piece.len()).for_each(|_| writer.send(&piece));
            writer.finish();
        });
        let back = client.rest().len();
        writing.join().unwrap();
        assert_eq!(back, if line.starts_with("echo") { LENGTH } else { 0 });
        let grown = daemon.status("VmHWM:") - before;
        assert!(grown * 1024 <= SLACK_BYTES, "{grown} KiB for {LENGTH} bytes");
    }
}

#[test]
fn beside_floods_a_small_echo_waits_for_a_few_budgets_and_no_more() {
    const FLOODS: usize = 3;
    let daemon = TestDaemon::start("run 127.0.0.1:0=chargen 127.0.0.1:0=echo");
    let (taken, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let flood = || {
        let (mut client, taken, over) = (daemon.client(0), taken.clone(), over.clone());
        thread::spawn(move || {
            let mut room = vec![0; 1 << 18];
            while !over.load(Ordering::Relaxed) {
                let bytes = std::io::Read::read(&mut client, &mut room).unwrap();
                taken.fetch_add(bytes as u64, Ordering::Relaxed);
            }
        })
    };
    let floods: Vec<_> = (0..FLOODS).map(|_| flood()).collect();
    until("all floods flow", || (taken.load(Ordering::Relaxed) > 100 << 20).then_some(()));
    let mut client = daemon.client(1);
    let mut waits: Vec<u64> = Vec::new();
    for _ in 0..100 {
        let before = taken.load(Ordering::Relaxed);
        client.echo(b"small");
        waits.push(taken.load(Ordering::Relaxed) - before);
    }
    over.store(true, Ordering::Relaxed);
    floods.into_iter().for_each(|flood| flood.join().unwrap());
    waits.sort_unstable();
    // A budget is 1 MiB, and an echo takes two turns; the rest was sent before.
    assert!(waits[50] <= 40 << 20, "half of them waited for {} bytes and more", waits[50]);
}

#[test]
fn the_smallest_buffers_lose_nothing() {
    const LENGTH: usize = 1_000_000;
    let RelayedPair { client, mut target, relay } = pair(("tcp", "tcp"), "");
    drop(client);
    assert_eq!(target.rest(), b"");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    socket.connect(&relay.daemon.at(0).into()).unwrap();
    let mut client = TestStream::Tcp(socket.into());
    client.set_patience(Some(PATIENCE));
    let mut target = relay.listener.accept();
    SockRef::from(&target).set_send_buffer_size(1).unwrap();
    let writing = thread::spawn(move || {
        target.send(&bytes(9, LENGTH));
        target.finish();
        target
    });
    let mut got = Vec::new();
    let mut room = [0; 777];
    loop {
        match std::io::Read::read(&mut client, &mut room).unwrap() {
            0 => break,
            length => got.extend_from_slice(&room[..length]),
        }
    }
    assert!(got == bytes(9, LENGTH), "{} bytes", got.len());
    writing.join().unwrap();
}

#[test]
fn while_one_floods_others_are_let_in_and_out() {
    let daemon = TestDaemon::start("echo 127.0.0.1:0");
    let over = Arc::new(AtomicBool::new(false));
    let (mut writer, until_over) = (daemon.client(0), over.clone());
    let mut reader = writer.duplicate();
    let writing = thread::spawn(move || {
        while !until_over.load(Ordering::Relaxed) {
            writer.send(&[1; 1 << 16]);
        }
        writer.finish();
    });
    let reading = thread::spawn(move || reader.rest().len());
    for number in 0..200 {
        let mut client = daemon.client(0);
        client.echo(&bytes(number, 100));
        client.finish();
        assert_eq!(client.rest(), b"");
    }
    over.store(true, Ordering::Relaxed);
    writing.join().unwrap();
    assert!(reading.join().unwrap() > 0);
}
