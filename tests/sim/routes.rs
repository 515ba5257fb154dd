//! Plans that are applied while connections are open: they keep their bytes, their service and the
//! timeouts that the rules give them, and no index is reused while something belongs to it.
//!
//! `ONELOOP_SEED=n cargo test --test sim routes -- --nocapture` replays one seed in both models.

use oneloop::core::conn::Conn;
use oneloop::core::timers::Timeouts;

use crate::bench::Bench;
use crate::net::reload::{Counts, Reloads};
use crate::net::{Mix, Model, World};
use crate::or_name_the_seed;

/// Number of seeds per model.
const SEEDS: u64 = 150;

#[test]
fn connections_survive_plans_applied_on_the_bare_contract() {
    run_seeds(Model::Bare);
}

#[test]
fn connections_survive_plans_applied_with_the_edges_of_epoll() {
    run_seeds(Model::Epoll);
}

fn run_seeds(model: Model) {
    if let Ok(seed) = std::env::var("ONELOOP_SEED") {
        let seed = seed.parse().expect("ONELOOP_SEED is a number");
        println!("{model:?}: {:?}", run(seed, model, true));
        return;
    }
    let many = std::env::var("ONELOOP_SEEDS").ok().and_then(|many| many.parse().ok());
    let mut total = Counts::default();
    for seed in 0..many.unwrap_or(SEEDS) {
        let replay = format!("ONELOOP_SEED={seed} cargo test --test sim routes -- --nocapture");
        let counts = or_name_the_seed(&replay, || run(seed, model, false));
        if seed % 50 == 0 {
            assert_eq!(counts, run(seed, model, false), "seed {seed} does not decide its run");
        }
        total.plans += counts.plans;
        total.unchanged += counts.unchanged;
        total.changed += counts.changed;
        total.replaced += counts.replaced;
        total.removed += counts.removed;
        total.retired_live += counts.retired_live;
        total.reused += counts.reused;
    }
    println!("{model:?}: {total:?}");
    let Counts { plans, unchanged, changed, replaced, removed, retired_live, reused } = total;
    let least = [plans, unchanged, changed, replaced, removed, retired_live, reused];
    assert!(least.iter().all(|count| *count > 500), "too little happened: {total:?}");
}

fn run(seed: u64, model: Model, tracing: bool) -> Counts {
    let mix = Mix { timeouts: Vec::new(), ..Mix::draw(seed, model) };
    let mut world = World::new(seed, mix);
    world.reloads = Some(Reloads::new());
    world.watch.tracing = tracing;
    world.net.borrow_mut().tracing = tracing;
    world.run();
    world.reloads.map(|reloads| reloads.counts).unwrap_or_default()
}

fn idle(ticks: u32) -> Timeouts {
    Timeouts { idle: Some(ticks), ..Timeouts::default() }
}

#[test]
fn new_timeouts_apply_to_open_connections_of_that_route_alone() {
    let mut bench = Bench::new(Timeouts::default());
    let (changed, _) = bench.open(Conn::echo);
    bench.route = 1;
    bench.engine.set_timeouts(1, idle(1000));
    let (other, _) = bench.open(Conn::echo);
    bench.turn_at(100);
    bench.engine.set_timeouts(0, idle(150));
    bench.turn();
    bench.turn_at(149);
    assert_eq!(bench.engine.len(), 2);
    bench.turn_at(150);
    assert!(bench.ended(changed, "IdleTimeout"), "counted from its last byte");
    assert_eq!((bench.engine.live(0), bench.engine.live(1)), (0, 1));
    bench.turn_at(1000);
    assert!(bench.ended(other, "IdleTimeout"));
}

#[test]
fn a_timeout_that_has_passed_already_closes_at_once() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, _) = bench.open(Conn::echo);
    bench.turn_at(500);
    bench.engine.set_timeouts(0, idle(100));
    bench.turn();
    bench.turn();
    assert!(bench.ended(key, "IdleTimeout"));
    assert_eq!((bench.engine.deadlines(), bench.engine.sleep(bench.now)), (0, None));
}

#[test]
fn a_longer_timeout_and_one_that_is_off_apply_too() {
    for (timeouts, end) in [(idle(300), Some(300)), (Timeouts::default(), None)] {
        let mut bench = Bench::new(idle(100));
        let (key, _) = bench.open(Conn::echo);
        bench.engine.set_timeouts(0, timeouts);
        bench.turn_at(100);
        bench.turn_at(299);
        assert_eq!(bench.engine.len(), 1);
        bench.turn_at(300);
        assert_eq!(bench.ended(key, "IdleTimeout"), end.is_some());
    }
}

#[test]
fn deadlines_of_many_connections_are_armed_in_parts_and_all_fire() {
    let mut bench = Bench::new(Timeouts::default());
    for _ in 0..2500 {
        let _ = bench.insert(Conn::echo);
    }
    // A turn takes 100 events, and one that drives a connection would arm its deadline.
    (0..30).for_each(|_| bench.turn());
    bench.engine.set_timeouts(0, idle(100));
    let before = bench.count("Armed");
    bench.turn();
    assert_eq!(bench.count("Armed") - before, 1024, "a part in each turn");
    // A second change begins again, and arms nothing twice.
    bench.engine.set_timeouts(0, idle(101));
    (0..4).for_each(|_| bench.turn());
    assert_eq!(bench.count("Armed") - before, 2500);
    assert_eq!(bench.engine.deadlines(), 2500);
    (101..105).for_each(|tick| bench.turn_at(tick));
    assert!(bench.engine.is_empty());
}

#[test]
fn unchanged_timeouts_and_routes_without_connections_cost_no_sweep() {
    let mut bench = Bench::new(idle(100));
    let _ = bench.open(Conn::echo);
    bench.engine.set_timeouts(0, idle(100));
    bench.engine.set_timeouts(7, idle(5));
    assert_eq!(bench.engine.deadlines(), 1);
    assert_eq!(bench.engine.live(7), 0);
}
