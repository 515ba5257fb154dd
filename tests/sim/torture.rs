//! Fault injection: every call of a working conversation is made to fail, in every way. The
//! invariants hold each time, and nothing leaks.

use std::io::ErrorKind;

use oneloop::core::timers::Timeouts;

use crate::net::talk::KINDS;
use crate::net::{Faults, Mix, Model, World};
use crate::or_name_the_seed;

const ERRORS: [ErrorKind; 6] = [
    ErrorKind::ConnectionReset,
    ErrorKind::BrokenPipe,
    ErrorKind::TimedOut,
    ErrorKind::OutOfMemory,
    ErrorKind::Interrupted,
    ErrorKind::WouldBlock,
];

/// Number of conversations of each kind, in each model.
const SCENARIOS: u64 = 4;

#[test]
fn each_call_may_fail_in_each_way() {
    let (mut runs, mut calls) = (0, 0);
    for model in [Model::Bare, Model::Epoll] {
        for seed in 0..SCENARIOS * KINDS.len() as u64 {
            let unspoiled = world(seed, model).run().calls;
            calls += unspoiled;
            for at in 1..=unspoiled {
                for error in ERRORS {
                    or_name_the_seed(&format!("call {at} of scenario {seed}: {error}"), || {
                        let mut world = world(seed, model);
                        world.net.borrow_mut().fail = Some((at, error));
                        world.run()
                    });
                    runs += 1;
                }
            }
        }
    }
    println!("{runs} runs, {calls} calls");
    assert!(runs > 5000, "only {runs} runs");
}

/// One conversation of the seed's kind. Only the seed's script is random.
fn world(seed: u64, model: Model) -> World {
    let (kinds, size) = (KINDS.len() as u64, seed / KINDS.len() as u64);
    let lifetime = (size == 3).then_some(600);
    let mix = Mix {
        model,
        faults: Faults { fin_hides_reset: seed.is_multiple_of(2), ..Faults::default() },
        talks: 1,
        slots: 1,
        batch: 8,
        scratch: [3, 16, 64, 64][size as usize],
        splice: 5,
        pipe: [2, 64, 16, 64][size as usize],
        say: [8, 50, 100, 150][size as usize],
        unix: 0,
        kinds: vec![(seed % kinds) as u8],
        timeouts: vec![Timeouts { connect: Some(50), lifetime, ..Timeouts::default() }],
        drain: None,
        cut: None,
        unsafe_turns: 20,
        rude: 0,
        refuse: 30,
        pace: 1000,
    };
    World::new(seed, mix)
}
