//! Slow turns of a real loop: the phase, the connection, and time without the processor. The
//! observer of the test makes a turn slow.

use std::io::Write;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use oneloop::core::{Event, Key, Moment, Observer, Phase, TurnDetail, Wants};
use oneloop::tools::trace::{FlagsConverter, RecordingGaps};

use crate::live::TracedLoop;

const DELAY: Duration = Duration::from_millis(8);

/// Delays each read of one connection.
struct Delays {
    connection: u32,
    delay: fn(),
    flags: FlagsConverter,
    slow: Vec<(u64, Duration, TurnDetail)>,
    turn: u64,
    /// The turns with such a read.
    delayed: Vec<u64>,
}

impl Observer for Delays {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.flags.on(key, event);
        match *event {
            Event::Turn { number, .. } => self.turn = number,
            Event::Read { bytes: 5, .. } if key.id == self.connection => {
                self.delayed.push(self.turn);
                (self.delay)();
            }
            Event::SlowTurn { number, took, detail } => {
                assert_eq!(number, self.turn, "it is reported in its own turn");
                self.slow.push((number, took, *detail));
            }
            _ => {}
        }
    }

    fn begin_turn(&mut self, now: Moment) -> Wants {
        self.flags.begin_turn(now)
    }
}

/// Serves three clients. Reading from the second one is slow.
fn run(delay: fn()) -> Delays {
    let (flags, slow, delayed) = (FlagsConverter::default(), Vec::new(), Vec::new());
    let mut delays = Delays { connection: 2, delay, flags, slow, turn: 0, delayed };
    let mut traced = TracedLoop::start(&["tcp://127.0.0.1:0=echo"], &mut delays);
    let mut clients = [(); 3].map(|()| traced.client(1));
    // The first turn of a trace is not measured.
    (0..3).for_each(|_| traced.turn());
    for client in &mut clients {
        client.write_all(b"hello").unwrap();
    }
    for client in &mut clients {
        assert_eq!(traced.read(client, 5), b"hello");
    }
    // A turn is reported before the sleep that ends it.
    traced.turn();
    drop(traced);
    delays
}

fn the_slow_one(delays: &Delays) -> (Duration, TurnDetail) {
    assert_eq!(delays.delayed.len(), 1);
    let found = delays.slow.iter().find(|(number, ..)| *number == delays.delayed[0]);
    let (_, took, detail) = found.expect("the turn with the delay is not reported");
    println!("{took:?} {detail:?}");
    assert_eq!(detail.slowest().0, Phase::Run);
    let (id, longest) = detail.slowest_connection().unwrap();
    assert_eq!(id, 2);
    let sum: Duration = detail.phases.iter().sum();
    assert_eq!(sum, *took, "no time is missing");
    assert!(DELAY <= longest && longest <= detail.slowest().1 && detail.slowest().1 <= *took);
    (*took, *detail)
}

fn sentences(flags: FlagsConverter) -> String {
    let mut out = Vec::new();
    flags.finish("FILE", &RecordingGaps::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    println!("{text}");
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[test]
fn a_turn_that_computes_is_reported_with_its_phase_and_connection() {
    let delays = run(|| {
        let ran = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
        let begin = ran();
        while ran() - begin < DELAY {}
    });
    let (took, detail) = the_slow_one(&delays);
    let waited = detail.not_scheduled.unwrap();
    assert!(waited + DELAY <= took, "the thread ran");
    // A busy machine may have kept the thread waiting for even longer.
    if !detail.is_mostly_not_scheduled(took) {
        let text = sentences(delays.flags);
        assert!(text.contains("of it passed in the phase run, "), "{text}");
        assert!(text.contains("of that for connection 2."), "{text}");
        assert!(text.contains("more: oneloop trace FILE explain 2"), "{text}");
    }
}

#[test]
fn a_turn_in_which_the_thread_does_not_run_is_no_fault_of_the_loop() {
    let delays = run(|| std::thread::sleep(DELAY));
    let (took, detail) = the_slow_one(&delays);
    assert!(detail.is_mostly_not_scheduled(took));
    let text = sentences(delays.flags);
    assert!(text.contains("of it the thread was not scheduled by the kernel. The"), "{text}");
    assert!(!text.contains("connection 2"), "{text}");
}
