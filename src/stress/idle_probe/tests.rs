//! Searches for an idle timeout, in simulated time.

use super::*;

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value)
}

/// Runs a search against a server that closes connections this way after being idle for `limit`.
/// Returns the number of rounds.
fn search(idle_probe: &mut IdleProbe, limit: Duration, how: DeathCause) -> usize {
    let mut now = Duration::ZERO;
    for round in 0.. {
        let idle_times = idle_probe.next_round();
        if idle_times.is_empty() || round > 20 {
            return round;
        }
        let trial = |(number, idle_time): (u32, &Duration)| Trial {
            key: Key::new(1 + number, 0),
            idle_time: *idle_time,
            state: State::Connected { since: Duration::ZERO },
        };
        idle_probe.trials = (0..).zip(&idle_times).map(trial).collect();
        let keys: Vec<Key> = idle_probe.trials.iter().map(|trial| trial.key).collect();
        let began = now;
        keys.iter().for_each(|key| assert!(!idle_probe.answered(*key, began)));
        while !idle_probe.is_round_over() {
            let dies = how != DeathCause::BlackHole && now >= began + limit;
            for key in keys.iter().filter(|_| dies) {
                assert!(idle_probe.closed(*key, Some(how), began + limit));
            }
            for action in idle_probe.actions(now) {
                match action {
                    ProbeAction::Send(key) if now < began + limit => {
                        let _ = idle_probe.answered(key, now);
                    }
                    ProbeAction::Send(_) => {}
                    ProbeAction::Close(key) => drop(idle_probe.closed(key, None, now)),
                }
            }
            now += Duration::from_millis(50);
        }
    }
    0
}

#[test]
fn a_timer_that_drops_state_silently_is_narrowed_down() {
    for limit in [1.3, 17.0, 59.0] {
        let mut idle_probe = IdleProbe::new(seconds(60.0), seconds(1.0), Probe::Echo);
        let rounds = search(&mut idle_probe, seconds(limit), DeathCause::BlackHole);
        let (low, (high, how)) =
            (idle_probe.result.survived.unwrap(), idle_probe.result.died.unwrap());
        assert!(low <= seconds(limit) && seconds(limit) <= high, "{low:?} {high:?}");
        assert!(high - low <= PRECISION.max(high / PRECISION_PART), "{low:?} {high:?}");
        assert!(how == DeathCause::BlackHole && rounds <= 5, "{rounds}");
    }
}

#[test]
fn a_fin_gives_the_timeout_in_one_round() {
    let mut idle_probe = IdleProbe::new(seconds(60.0), seconds(1.0), Probe::Echo);
    assert_eq!(search(&mut idle_probe, seconds(10.0), DeathCause::Fin), 1);
    let (died, how) = idle_probe.result.died.unwrap();
    assert_eq!((died, how), (seconds(10.0), DeathCause::Fin));
    assert_eq!(idle_probe.result.survived, Some(seconds(7.5)));
}

#[test]
fn the_search_ends_if_no_connection_is_established() {
    let mut idle_probe = IdleProbe::new(seconds(4.0), seconds(1.0), Probe::Echo);
    let idle_times = idle_probe.next_round();
    let state = State::Connected { since: Duration::ZERO };
    let trial = |idle_time: &Duration| Trial { key: Key::new(1, 0), idle_time: *idle_time, state };
    idle_probe.trials = idle_times.iter().take(1).map(trial).collect();
    idle_probe.failed(Key::new(1, 0));
    assert!(idle_probe.is_round_over() && idle_probe.next_round().is_empty());
}

#[test]
fn without_a_timeout_the_longest_idle_time_is_reported() {
    let mut idle_probe = IdleProbe::new(seconds(4.0), seconds(1.0), Probe::Echo);
    assert_eq!(search(&mut idle_probe, seconds(1e6), DeathCause::BlackHole), 1);
    assert_eq!(idle_probe.result.survived, Some(seconds(4.0)));
    assert_eq!(idle_probe.result.died, None);
}

/// A search in its first round, with all connections established at the start.
fn started(probe: Probe) -> (IdleProbe, Vec<Key>) {
    let mut idle_probe = IdleProbe::new(seconds(60.0), seconds(10.0), probe);
    let keys = next_keys(&mut idle_probe, Duration::ZERO);
    (idle_probe, keys)
}

fn next_keys(idle_probe: &mut IdleProbe, now: Duration) -> Vec<Key> {
    let idle_times = idle_probe.next_round();
    let keys: Vec<Key> = (1..).zip(&idle_times).map(|(slot, _)| Key::new(slot, 0)).collect();
    for (key, idle_time) in keys.iter().zip(idle_times) {
        idle_probe.begin(*key, idle_time);
        idle_probe.connected(*key, now);
    }
    keys
}

#[test]
fn the_reply_to_one_message_decides_the_mode() {
    let (mut idle_probe, keys) = started(Probe::Auto);
    assert!(idle_probe.is_deciding() && idle_probe.sends() && keys.len() == 1);
    assert!(idle_probe.answered(keys[0], seconds(0.1)) && idle_probe.is_round_over());
    assert_eq!(
        (idle_probe.result.mode, idle_probe.result.reply),
        (Some(Mode::Echo), Some(Reply::Echo))
    );
    assert_eq!(next_keys(&mut idle_probe, seconds(0.1)).len(), DOUBLINGS as usize + 1);
    let silent = |reply: fn(&mut IdleProbe, Key)| {
        let (mut idle_probe, keys) = started(Probe::Auto);
        reply(&mut idle_probe, keys[0]);
        assert!(idle_probe.is_round_over() && idle_probe.result.trials.is_empty());
        assert_eq!(idle_probe.result.mode, Some(Mode::Silent));
        assert!(!idle_probe.sends());
        assert_eq!(next_keys(&mut idle_probe, seconds(1.0)).len(), HELD_CONNS);
        idle_probe.result.reply.unwrap()
    };
    assert_eq!(silent(|idle_probe, key| idle_probe.wrong_answer(key)), Reply::OtherData);
    let closes = |idle_probe: &mut IdleProbe, key| {
        assert!(idle_probe.closed(key, Some(DeathCause::Rst), seconds(0.5)));
    };
    assert_eq!(silent(closes), Reply::Closed(DeathCause::Rst));
    let is_mute = |idle_probe: &mut IdleProbe, key| {
        assert_eq!(idle_probe.due(), Some(REPLY_TIMEOUT));
        assert_eq!(idle_probe.actions(seconds(0.9)), []);
        assert_eq!(idle_probe.actions(seconds(1.0)), [ProbeAction::Close(key)]);
        assert!(idle_probe.closed(key, None, seconds(1.0)));
    };
    assert_eq!(silent(is_mute), Reply::NoAnswer);
}

#[test]
fn in_silent_mode_connections_are_only_watched() {
    let (mut idle_probe, keys) = started(Probe::None);
    assert_eq!((keys.len(), idle_probe.sends()), (HELD_CONNS, false));
    assert_eq!(idle_probe.due(), Some(seconds(60.0)));
    // After one is closed, the others are watched for a quarter of that time longer.
    assert!(idle_probe.closed(keys[1], Some(DeathCause::Fin), seconds(20.0)));
    assert_eq!(idle_probe.due(), Some(seconds(25.0)));
    assert!(idle_probe.closed(keys[0], Some(DeathCause::Rst), seconds(20.5)));
    assert_eq!(idle_probe.actions(seconds(24.9)), []);
    assert_eq!(idle_probe.actions(seconds(25.0)), [ProbeAction::Close(keys[2])]);
    assert!(idle_probe.closed(keys[2], None, seconds(25.0)));
    assert!(idle_probe.is_round_over() && idle_probe.next_round().is_empty());
    assert_eq!(idle_probe.result.died, Some((seconds(20.0), DeathCause::Fin)));
    let (fin, rst) = (Some(DeathCause::Fin), Some(DeathCause::Rst));
    let trials = [(seconds(20.0), fin), (seconds(20.5), rst), (seconds(25.0), None)];
    assert_eq!(idle_probe.result.by_idle_time(), trials);
}

#[test]
fn a_failed_connect_decides_nothing() {
    let mut idle_probe = IdleProbe::new(seconds(4.0), seconds(1.0), Probe::Auto);
    idle_probe.next_round();
    idle_probe.begin(Key::new(1, 0), Duration::ZERO);
    assert_eq!((idle_probe.due(), idle_probe.actions(seconds(9.0))), (None, Vec::new()));
    idle_probe.failed(Key::new(1, 0));
    assert!(idle_probe.is_round_over() && idle_probe.next_round().is_empty());
    assert_eq!((idle_probe.result.mode, idle_probe.result.reply), (None, None));
}
