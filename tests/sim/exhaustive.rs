//! Exhaustive test: two joined sockets, and every order of a few steps of their two peers.

use std::collections::VecDeque;

use oneloop::core::timers::Timeouts;

use crate::net::script::Op;
use crate::net::{Faults, Mix, Model, World};
use crate::or_name_the_seed;

/// The steps of a peer: send one byte, send more than a pipe holds, read what has arrived (until
/// then writes to it would block), send an end of file, reset.
const OPS: [Op; 5] = [Op::Say(1), Op::Say(PIPE + 1), Op::Hear(1), Op::Fin, Op::Reset];

const PIPE: u64 = 2;

/// Maximum number of steps of one peer, and of both together.
const EACH: usize = 4;
const TOGETHER: usize = 6;

/// A peer without a script.
const WAITS: Op = Op::Nap(u64::MAX);

#[test]
fn every_order_of_few_steps_keeps_the_promises_on_the_bare_contract() {
    every_order(Model::Bare);
}

#[test]
fn every_order_of_few_steps_keeps_the_promises_with_the_edges_of_epoll() {
    every_order(Model::Epoll);
}

fn every_order(model: Model) {
    let mut steps = Vec::new();
    let mut runs = 0;
    explore(model, &mut steps, &mut runs);
    println!("{model:?}: {runs} orders");
    assert!(runs > 10_000, "only {runs} orders");
}

/// Extends the run by each step that is still possible, and plays it where none is. Each prefix is
/// checked turn by turn.
fn explore(model: Model, steps: &mut Vec<(usize, Op)>, runs: &mut u64) {
    let mut leaf = true;
    for side in [0, 1] {
        for op in OPS {
            if possible(steps, side, op) {
                leaf = false;
                steps.push((side, op));
                explore(model, steps, runs);
                steps.pop();
            }
        }
    }
    if leaf {
        or_name_the_seed(&format!("{model:?} {steps:?}"), || play(model, steps));
        *runs += 1;
    }
}

fn possible(steps: &[(usize, Op)], side: usize, op: Op) -> bool {
    let own: Vec<Op> = steps.iter().filter(|step| step.0 == side).map(|step| step.1).collect();
    let says = matches!(op, Op::Say(_) | Op::Fin);
    let over = own.contains(&Op::Reset) || own.contains(&Op::Fin) && says;
    steps.len() < TOGETHER && own.len() < EACH && !over
}

/// Plays the steps, one per turn. Then both peers end in order.
fn play(model: Model, steps: &[(usize, Op)]) {
    let mut world = world(model);
    let conn_id = world.join(PIPE as usize, VecDeque::from([WAITS]));
    for (side, op) in steps {
        let Some(talk) = world.talks.get_mut(&conn_id) else { break };
        let peer = &mut talk.peers[*side];
        peer.script.insert(peer.script.len() - 1, *op);
        world.turn();
    }
    if let Some(talk) = world.talks.get_mut(&conn_id) {
        for (side, peer) in talk.peers.iter_mut().enumerate() {
            peer.script.pop_back();
            if !steps.contains(&(side, Op::Fin)) {
                peer.script.push_back(Op::Fin);
            }
            peer.script.extend([Op::HearEnd, Op::Close]);
        }
    }
    world.run();
}

fn world(model: Model) -> World {
    let mix = Mix {
        model,
        faults: Faults { minimal: true, ..Faults::default() },
        talks: 0,
        slots: 1,
        batch: 4,
        scratch: PIPE as usize,
        splice: 5,
        pipe: PIPE as usize,
        say: 1,
        unix: 0,
        kinds: Vec::new(),
        timeouts: vec![Timeouts::default()],
        drain: None,
        cut: None,
        unsafe_turns: 0,
        rude: 0,
        refuse: 0,
        pace: 0,
    };
    World::new(1, mix)
}
