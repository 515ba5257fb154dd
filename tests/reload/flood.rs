//! Two thousand live relayed connections and two hundred datagram flows, a flood whose bytes are
//! verified, and clients that connect all the time, through two hundred random reloads, a third of
//! them broken.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::file_daemon::FileDaemon;
use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;
use crate::wait::PATIENCE;

const RELOADS: usize = 200;
const TCP: usize = 1000;
const UNIX: usize = 1000;
const FLOWS: usize = 200;

/// A generator of small numbers, from a seed that is printed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}

/// Draws a file in which the three relays stay, with other policies, among other routes.
fn draw(dice: &mut Dice, places: &[String; 3], targets: &[String; 3]) -> String {
    let mut text = String::new();
    for (index, (place, target)) in places.iter().zip(targets).enumerate() {
        let idle = 60 + dice.below(600);
        text += &format!("[route.relay-{index}]\nlisten = \"{place}\"\nrelay = [\"{target}\"]\n");
        // Half of the time the targets differ, but lead to the same place.
        if dice.below(2) == 0 {
            text += &format!("max-lifetime = \"{}h\"\n", 1 + dice.below(9));
        }
        text += &format!("idle-timeout = \"{idle}s\"\n");
    }
    for number in 0..dice.below(6) {
        let service = ["echo", "discard", "whoami"][dice.below(3) as usize];
        let host = 10 + dice.below(8);
        text +=
            &format!("[route.more-{number}]\nlisten = \"127.0.0.{host}:0\"\n{service} = true\n");
    }
    if dice.below(3) == 0 {
        let broken =
            ["[route.x]\n", "x = \n", "[log]\nlevel = \"loud\"\n", "[route.y]\necho = 1\n"];
        text += broken[dice.below(4) as usize];
    }
    text
}

#[test]
fn two_hundred_reloads_cost_no_byte_no_connection_and_nothing_is_left() {
    let seed = std::env::var("ONELOOP_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}: replay it with ONELOOP_SEED={seed}");
    let mut dice = Dice(seed);
    let target = TestDaemon::start("echo 127.0.0.1:0 udp://127.0.0.1:0");
    let targets = [0, 0, 1].map(|listener| target.address(listener).to_owned());
    let scratch = crate::scratch::Scratch::new();
    let unix = scratch.path("relay").display().to_string();
    let places = ["127.0.0.1:0".to_owned(), unix.clone(), "udp://127.0.0.1:0".to_owned()];
    let whole =
        |text: &str| !["[route.x]", "x = ", "loud", "[route.y]"].iter().any(|b| text.contains(b));
    let first = loop {
        let text = draw(&mut dice, &places, &targets);
        if whole(&text) {
            break text;
        }
    };
    let file = FileDaemon::start(&first);
    let at = file.at(0);
    let udp = file.daemon.says("listening on udp://");
    let udp = udp.split_once("udp://").unwrap().1.split_once(": ").unwrap().0.to_owned();
    let mut clients: Vec<TestStream> = (0..TCP)
        .map(|_| TestStream::connect(&format!("tcp://{at}")))
        .chain((0..UNIX).map(|_| TestStream::connect(&format!("unix:{unix}"))))
        .collect();
    let flows: Vec<UdpSocket> = (0..FLOWS).map(|_| flow(&udp)).collect();
    clients.iter_mut().for_each(|client| client.echo(b"before"));
    let mut datagrams = 0;
    flows.iter().for_each(|flow| echo(flow, &mut datagrams));
    let stop = AtomicBool::new(false);
    let [flooded, connected] = [(); 2].map(|()| AtomicUsize::new(0));
    let (files, memory) = thread::scope(|scope| {
        // Whatever fails here ends the others, too.
        let guard = StopAtEnd(&stop);
        scope.spawn(|| flood(at, &stop, &flooded));
        scope.spawn(|| connect_often(at, &stop, &connected));
        let mut applied = 0;
        let mut early = (0, 0);
        for number in 0..RELOADS {
            let text = draw(&mut dice, &places, &targets);
            let ended = file.reload(&text);
            assert_eq!(ended.code == Some(0), whole(&text), "{text}{ended:?}");
            applied += usize::from(whole(&text));
            let client = dice.below(clients.len() as u64) as usize;
            clients[client].echo(format!("reload {number}").as_bytes());
            echo(&flows[dice.below(FLOWS as u64) as usize], &mut datagrams);
            if number == RELOADS / 4 {
                early = (file.daemon.files(), file.daemon.memory());
            }
        }
        assert!((RELOADS / 3..RELOADS).contains(&applied), "{applied}");
        drop(guard);
        early
    });
    clients.iter_mut().for_each(|client| client.echo(b"after"));
    flows.iter().for_each(|flow| echo(flow, &mut datagrams));
    let [flooded, connected] = [flooded, connected].map(AtomicUsize::into_inner);
    println!("{flooded} bytes verified, {connected} connections");
    assert!(flooded > 1 << 20 && connected > RELOADS, "{flooded} bytes, {connected} connections");
    let (now, grown) = (file.daemon.files(), file.daemon.memory());
    // Each drawn file has up to five more listeners than the one before.
    assert!(now <= files + 16, "{files} descriptors after 50 reloads, {now} after {RELOADS}");
    assert!(grown <= memory + (1 << 20), "{memory} bytes after 50 reloads, {grown} after all");
    let closed = "oneloop_connections_closed_total{reason=\"reload\"}";
    assert_eq!(file.metric(closed), 0);
    assert_eq!(file.daemon.status("Threads:"), 1);
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn flow(to: &str) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(to).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Sends a datagram that no flow has sent before, and expects it back: the target takes what comes
/// again and again for a loop.
fn echo(flow: &UdpSocket, number: &mut u32) {
    *number += 1;
    let bytes = format!("datagram {number}");
    flow.send(bytes.as_bytes()).unwrap();
    let mut buffer = [0; 100];
    let length = flow.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], bytes.as_bytes());
}

/// Sends numbered bytes through one connection for as long as the reloads go on, and expects each
/// of them back.
fn flood(at: SocketAddr, stop: &AtomicBool, flooded: &AtomicUsize) {
    const BLOCK: usize = 64 * 1024;
    let byte = |at: usize| ((at * 31) >> 3) as u8;
    let stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let mut reader = stream;
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut sent = 0;
            while !stop.load(Ordering::Relaxed) {
                let block: Vec<u8> = (sent..sent + BLOCK).map(byte).collect();
                writer.write_all(&block).unwrap();
                sent += BLOCK;
            }
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        });
        let (mut received, mut buffer) = (0, vec![0; BLOCK]);
        loop {
            let count = reader.read(&mut buffer).unwrap();
            if count == 0 {
                break;
            }
            let right = buffer[..count].iter().enumerate().all(|(n, b)| *b == byte(received + n));
            assert!(right, "other bytes come back after {received}");
            received += count;
            flooded.store(received, Ordering::Relaxed);
        }
        assert_eq!(received % BLOCK, 0, "the last block is whole");
    });
}

/// Opens connections one after the other. Each must be served.
fn connect_often(at: SocketAddr, stop: &AtomicBool, connected: &AtomicUsize) {
    while !stop.load(Ordering::Relaxed) {
        let mut stream = TcpStream::connect(at).expect("a refused connect");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"hello").unwrap();
        let mut back = [0; 5];
        stream.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"hello");
        connected.fetch_add(1, Ordering::Relaxed);
    }
}
