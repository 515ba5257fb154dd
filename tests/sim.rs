//! The core under a simulated network, from seeds: whatever the network does, the promises hold.
//!
//! `ONELOOP_SEED=n cargo test --test sim -- --nocapture` replays one seed in both models and prints
//! all its events.
#![allow(clippy::print_stdout, clippy::expect_used)]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use net::recorded::Recorded;
use net::world::Outcome;
use net::{Mix, Model, World};

#[path = "sim/bench.rs"]
mod bench;
#[path = "sim/drain.rs"]
mod drain;
#[path = "sim/exhaustive.rs"]
mod exhaustive;
#[path = "sim/hub.rs"]
mod hub;
#[path = "sim/limits.rs"]
mod limits;
mod net;
#[path = "sim/plain.rs"]
mod plain;
#[path = "sim/routes.rs"]
mod routes;
#[path = "sim/services.rs"]
mod services;
#[path = "sim/torture.rs"]
mod torture;

/// Number of seeds per model, each with about forty conversations.
const SEEDS: u64 = 200;

#[test]
fn the_promises_hold_on_the_bare_contract() {
    run_seeds(Model::Bare);
}

#[test]
fn the_promises_hold_with_the_edges_of_epoll() {
    run_seeds(Model::Epoll);
}

fn run_seeds(model: Model) {
    if let Ok(seed) = std::env::var("ONELOOP_SEED") {
        let seed = seed.parse().expect("ONELOOP_SEED is a number");
        println!("{model:?}: {:?}", run(seed, model, true));
        return;
    }
    let many = std::env::var("ONELOOP_SEEDS").ok().and_then(|many| many.parse().ok());
    let (mut talks, mut events) = (0, 0);
    for seed in 0..many.unwrap_or(SEEDS) {
        let prepare = |world: &mut World| {
            world.watch.trace = (seed % 100 == 0).then_some(0);
            world.watch.recorded = Some(Recorded::begin(seed, world.now));
        };
        let replay = format!("ONELOOP_SEED={seed} cargo test --test sim -- --nocapture");
        let (outcome, recorded) = or_name_the_seed(&replay, || run_with(seed, model, prepare));
        if seed % 100 == 0 {
            let (again, _) = run_with(seed, model, prepare);
            assert_eq!(outcome, again, "seed {seed} does not decide its run");
        }
        events += recorded;
        talks += outcome.talks;
    }
    println!("{model:?}: {talks} conversations, {events} events read back");
    assert!(talks >= 5000, "only {talks} conversations");
}

fn run(seed: u64, model: Model, tracing: bool) -> Outcome {
    let run = run_with(seed, model, |world| {
        world.watch.recorded = Some(Recorded::begin(seed, world.now));
        world.watch.tracing = tracing;
        world.net.borrow_mut().tracing = tracing;
        if tracing {
            println!("{:#?}", world.mix);
        }
    });
    run.0
}

/// Returns also how many events were read back from the recording of the run.
fn run_with(seed: u64, model: Model, prepare: impl Fn(&mut World)) -> (Outcome, u64) {
    let mut world = World::new(seed, Mix::draw(seed, model));
    prepare(&mut world);
    let outcome = world.run();
    (outcome, world.watch.recorded.take().map_or(0, Recorded::check))
}

/// A failure tells how to replay it.
fn or_name_the_seed<T>(replay: &str, run: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|failure| {
        println!("replay: {replay}");
        resume_unwind(failure)
    })
}
