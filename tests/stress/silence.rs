//! Idle connections that are asked, and the silence that kills them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use oneloop::plan::{LoadKind, StressPlan};
use oneloop::stress::tally::How;

use crate::tool::{Spare, echo, plan, run, server};

#[test]
fn idle_connections_that_answer_are_alive_and_those_that_do_not_are_black_holes() {
    let probing = |serve, timeout| {
        let timeout = Some(timeout);
        run(&StressPlan { probe: true, timeout, ..plan(server(serve), LoadKind::Idle, 10) })
    };
    let outcome = probing(echo, Duration::from_secs(20));
    let tally = &outcome.loads[0].tally;
    assert!(outcome.is_well() && tally.answered == 10 && tally.open == 10, "{tally:?}");
    let deaf = |mut stream: TcpStream| while let Ok(1..) = stream.read(&mut [0; 100]) {};
    let outcome = probing(deaf, Duration::from_millis(300));
    let tally = &outcome.loads[0].tally;
    assert!(!outcome.is_well() && tally.deaths.black_hole == 10, "{tally:?}");
}

#[test]
fn a_search_where_nobody_answers_well_comes_to_an_end() {
    let garble = |mut stream: TcpStream| {
        let mut room = [0; 64];
        while stream.read_exact(&mut room).is_ok() {
            let _ = stream.write_all(&[0; 64]);
        }
    };
    let mute = |mut stream: TcpStream| while let Ok(1..) = stream.read(&mut [0; 100]) {};
    let vacant = Spare::new();
    for to in [server(garble), server(mute), vacant.address()] {
        let find_timeout = Some(Duration::from_millis(1600));
        let timeout = Some(Duration::from_millis(300));
        let outcome = run(&StressPlan { find_timeout, timeout, ..plan(to, LoadKind::Idle, 1) });
        assert!(!outcome.is_well() && outcome.found.unwrap().trials.is_empty());
    }
}

/// Echoes until nothing came for 600 ms; then it ends, in order.
fn impatient(mut stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_millis(600))).unwrap();
    let mut room = [0; 1000];
    while let Ok(bytes @ 1..) = stream.read(&mut room) {
        stream.write_all(&room[..bytes]).unwrap();
    }
}

#[test]
fn the_silence_that_kills_is_found() {
    let find = |serve| {
        let find_timeout = Some(Duration::from_millis(2400));
        let timeout = Some(Duration::from_secs(20));
        let plan = StressPlan { find_timeout, timeout, ..plan(server(serve), LoadKind::Idle, 1) };
        let outcome = run(&plan);
        assert!(outcome.is_well(), "{outcome:?}");
        outcome.found.unwrap()
    };
    let found = find(impatient);
    let (died, how) = found.died.unwrap();
    assert_eq!(how, How::Fin);
    // It counts from when it has read, and we from when its answer has come; and of two that are
    // silent for different times, either may be told first.
    assert!(died >= Duration::from_millis(300) && died < Duration::from_secs(5), "{found:?}");
    let found = find(echo);
    assert_eq!((found.died, found.survived), (None, Some(Duration::from_millis(2400))));
}
