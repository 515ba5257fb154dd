//! pcapng: what the programs of Wireshark read in the file.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use oneloop::core::event::DropReason;
use oneloop::core::{
    Close, CloseKind, Event, Key, Moment, Observer, Peer, ReadHint, Reason, ServiceKind, Side,
};
use oneloop::tools::trace::PcapngConverter;

use crate::jsonl::every_event;
use crate::live;

fn file(run: impl FnOnce(&mut dyn Observer)) -> Vec<u8> {
    let mut out = Vec::new();
    let start = UNIX_EPOCH + Duration::from_secs(1_795_191_118);
    let mut converter = PcapngConverter::new(&mut out, start);
    run(&mut converter);
    converter.finish().unwrap();
    out
}

/// Returns what a program of Wireshark prints of a file, or None if it is not here.
fn read_with(program: &str, args: &[&str], bytes: &[u8]) -> Option<String> {
    let name = format!("oneloop-{}-{:?}.pcapng", std::process::id(), std::thread::current().id());
    let path: PathBuf = std::env::temp_dir().join(name.replace(['(', ')'], ""));
    fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    let args = args.iter().map(|arg| arg.replace("FILE", path.to_str().unwrap()));
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    fs::remove_file(&path).unwrap();
    match output {
        Err(error) => {
            println!("skipped: {program} is not here: {error}");
            None
        }
        Ok(output) => {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{program}: {errors}");
            assert!(!errors.contains("rror"), "{program}: {errors}");
            Some(String::from_utf8(output.stdout).unwrap())
        }
    }
}

fn tshark(args: &[&str], bytes: &[u8]) -> Option<Vec<String>> {
    let args: Vec<&str> = ["-r", "FILE"].iter().chain(args).copied().collect();
    let text = read_with("tshark", &args, bytes)?;
    Some(text.lines().map(str::to_string).collect())
}

/// Asserts that nothing looks wrong to Wireshark.
fn assert_clean(bytes: &[u8]) {
    for filter in ["tcp.analysis.flags", "_ws.malformed", "ip.checksum.status == \"Bad\""] {
        let suspicious = tshark(&["-o", "ip.check_checksum:TRUE", "-Y", filter], bytes);
        assert_eq!(suspicious.unwrap_or_default(), [""; 0], "{filter}");
    }
    read_with("capinfos", &["FILE"], bytes);
}

/// The interface, flags, payload and relative sequence number of each segment of connection 1.
fn segments(bytes: &[u8]) -> Option<Vec<String>> {
    let fields = ["frame.interface_id", "tcp.flags.str", "tcp.len", "tcp.seq"];
    let mut args = vec!["-Y", "tcp", "-T", "fields", "-E", "separator=,"];
    fields.iter().for_each(|field| args.extend(["-e", field]));
    let lines = tshark(&args, bytes)?;
    Some(lines.iter().map(|line| line.replace(['\u{b7}', '.'], "")).collect())
}

#[test]
fn a_half_close_has_its_handshakes_its_bytes_and_its_fins() {
    let bytes = file(|observer| live::half_close(observer));
    assert_clean(&bytes);
    let Some(segments) = segments(&bytes) else { return };
    let expected = [
        "0,S,0,0", "0,AS,0,0", "0,A,0,1", "1,S,0,0", "1,AS,0,0", "1,A,0,1", "0,AP,5,1", "1,AP,5,1",
        "0,AF,0,6", "0,A,0,1", "1,AF,0,6", "1,A,0,1", "1,AP,6,1", "0,AP,6,1", "1,AF,0,7",
        "1,A,0,7", "0,AF,0,7", "0,A,0,7",
    ];
    assert_eq!(segments, expected);
    let comments = tshark(&["-T", "fields", "-e", "frame.comment"], &bytes).unwrap().join("\n");
    for sentence in [
        "#1.a read 5 -- ",
        "#1.b wrote 5, 0 unsent -- the kernel took all bytes: no buffer is kept",
        "#1.b shut down -- no more data will come for this end",
    ] {
        assert!(comments.contains(sentence), "{sentence:?} is not in {comments}");
    }
}

#[test]
fn a_reset_is_a_rst_on_both_sides() {
    let bytes = file(|observer| live::reset(observer));
    assert_clean(&bytes);
    let Some(segments) = segments(&bytes) else { return };
    assert_eq!(segments[segments.len() - 2..], ["0,AR,0,6", "1,AR,0,6"]);
    let args = ["-Y", "tcp.flags.reset==1", "-T", "fields", "-e", "frame.p2p_dir"];
    // Wireshark's numbers: 1 is inbound, from the client; 0 is outbound, to the target.
    assert_eq!(tshark(&args, &bytes).unwrap(), ["1", "0"]);
}

#[test]
fn large_reads_are_split_and_every_byte_is_counted() {
    let bytes = file(|observer| live::bulk_relay(observer, 3_000_000));
    assert_clean(&bytes);
    let Some(segments) = segments(&bytes) else { return };
    let sum = |interface: &str| -> u64 {
        let lines = segments.iter().filter(|line| line.starts_with(interface));
        lines.map(|line| line.split(',').nth(2).unwrap().parse::<u64>().unwrap()).sum()
    };
    assert_eq!((sum("0,"), sum("1,")), (3_000_000, 3_000_000));
    let largest = segments.iter().map(|line| line.split(',').nth(2).unwrap().len()).max();
    assert_eq!(largest, Some(5), "no packet exceeds the maximum of IP");
    let lengths = tshark(&["-Y", "tcp.len > 60000", "-T", "fields", "-e", "frame.cap_len"], &bytes);
    assert!(lengths.unwrap().iter().all(|length| length == "40"), "only headers are written");
}

#[test]
fn unix_sockets_have_names_and_families_do_not_mix() {
    let run = |observer: &mut dyn Observer| {
        observer.begin_turn(Moment(1));
        let listens = ["unix:/run/a.sock", "tcp://[::]:7", "tcp://0.0.0.0:7"];
        let clients = [
            Peer::Unix(None),
            Peer::Inet("10.0.0.9:5000".parse().unwrap()),
            Peer::Inet("[2001:db8::9]:5000".parse().unwrap()),
        ];
        let targets = ["tcp://[::1]:9", "unix:/run/b\x1b.sock", "tcp://127.0.0.1:9"];
        for (id, ((listen, peer), target)) in
            (1..).zip(listens.into_iter().zip(&clients).zip(targets))
        {
            let key = Key::new(id, id as usize);
            let service = ServiceKind::Relay;
            observer.on(key, &Event::Opened { route: 0, service, listen, peer });
            observer.on(key.at(1), &Event::Dialing { target, attempt: 1 });
            observer.on(key.at(1), &Event::Connected { after: Duration::ZERO });
            let hint = ReadHint::Full;
            observer.on(key, &Event::Read { bytes: 262_144, room: 262_144, hint });
            observer.on(key.at(1), &Event::Wrote { bytes: 262_144, left: 0 });
            let reason = Reason::Admin;
            let ending = Close { reason, first: Side::Proxy, by: CloseKind::Rst };
            let lasted = Duration::ZERO;
            observer.on(key, &Event::Closed { ending, up: 0, down: 0, lasted });
        }
    };
    let bytes = file(run);
    assert_clean(&bytes);
    let Some(lines) = tshark(&["-N", "n"], &bytes) else { return };
    let text = lines.join("\n");
    for name in ["unix:/run/a.sock", "unix:/run/b\\x1b.sock", "10.0.0.9", "2001:db8::9", "100::"] {
        assert!(text.contains(name), "{name:?} is not in {text}");
    }
}

#[test]
fn datagrams_are_udp_packets_of_their_true_length() {
    let bytes = file(|observer| live::datagrams(observer));
    assert_clean(&bytes);
    let fields = ["-T", "fields", "-e", "udp.length", "-e", "frame.comment"];
    let Some(lines) = tshark(&[&["-Y", "udp"], &fields[..]].concat(), &bytes) else { return };
    let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    // 1,000 bytes and the header: received from the client, and the echo.
    assert_eq!(count("1008\t"), 2, "{lines:?}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("udp://127.0.0.1:") && line.contains(" received 1000 from ")),
        "{lines:?}"
    );
}

#[test]
fn decisions_about_a_flow_precede_that_of_its_next_datagram() {
    let run = |observer: &mut dyn Observer| {
        observer.begin_turn(Moment(1));
        let (a, peer) = (Key::flow(3, 0), &Peer::Inet("10.0.0.9:5000".parse().unwrap()));
        let (b, service, listen) = (a.at(1), ServiceKind::Relay, "udp://127.0.0.1:7");
        let refused = DropReason::Refused(ErrorKind::ConnectionRefused.into());
        observer.on(a, &Event::Opened { route: 0, service, listen, peer });
        observer.on(b, &Event::Dialing { target: "udp://10.0.0.7:9", attempt: 1 });
        observer.on(a, &Event::Received { bytes: 5, from: peer });
        observer.on(b, &Event::Dropped { bytes: None, from: None, why: refused });
        observer.on(a, &Event::Received { bytes: 5, from: peer });
    };
    let bytes = file(run);
    assert_clean(&bytes);
    let args = ["-T", "fields", "-E", "aggregator=|", "-e", "frame.comment"];
    let Some(lines) = tshark(&args, &bytes) else { return };
    let starts: Vec<Vec<&str>> = lines
        .iter()
        .map(|line| line.split('|').map(|comment| comment.split(" -- ").next().unwrap()).collect())
        .collect();
    let received = "#3.a received 5 from 10.0.0.9:5000";
    let opened = "#3 opened: 10.0.0.9:5000 -> udp://127.0.0.1:7, relay";
    let dropped = "#3.b dropped an earlier datagram: refused (connection refused)";
    assert_eq!(starts.len(), 2);
    assert_eq!(starts[0], [opened, "#3.b dialing udp://10.0.0.7:9, attempt 1", received]);
    assert_eq!(starts[1], [dropped, received]);
}

#[test]
fn every_event_can_be_converted() {
    assert_clean(&file(every_event));
    assert_clean(&file(|_| {}));
}
