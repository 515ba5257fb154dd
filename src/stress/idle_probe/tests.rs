//! Searches for an idle timeout, in simulated time.

use super::*;

fn seconds(value: f64) -> Duration {
    Duration::from_secs_f64(value)
}

/// Runs a search against one who kills after `limit` of silence, in this way; how many rounds.
fn search(idle_probe: &mut IdleProbe, limit: Duration, how: How) -> usize {
    let mut now = Duration::ZERO;
    for round in 0.. {
        let silences = idle_probe.next_round();
        if silences.is_empty() || round > 20 {
            return round;
        }
        let trial = |(number, silence): (u32, &Duration)| Trial {
            key: Key::new(1 + number, 0),
            silence: *silence,
            state: State::Begins { since: Duration::ZERO },
        };
        idle_probe.trials = (0..).zip(&silences).map(trial).collect();
        let keys: Vec<Key> = idle_probe.trials.iter().map(|trial| trial.key).collect();
        let began = now;
        keys.iter().for_each(|key| assert!(!idle_probe.answered(*key, began)));
        while !idle_probe.is_round_over() {
            let dies = how != How::BlackHole && now >= began + limit;
            for key in keys.iter().filter(|_| dies) {
                assert!(idle_probe.closed(*key, Some(how), began + limit));
            }
            for step in idle_probe.steps(now) {
                match step {
                    Step::Ask(key) if now < began + limit => drop(idle_probe.answered(key, now)),
                    Step::Ask(_) => {}
                    Step::GiveUp(key) => drop(idle_probe.closed(key, None, now)),
                }
            }
            now += Duration::from_millis(50);
        }
    }
    0
}

#[test]
fn a_timer_that_forgets_in_silence_is_found_between_two_neighbours() {
    for limit in [1.3, 17.0, 59.0] {
        let mut idle_probe = IdleProbe::new(seconds(60.0), seconds(1.0), Probe::Echo);
        let rounds = search(&mut idle_probe, seconds(limit), How::BlackHole);
        let (low, (high, how)) =
            (idle_probe.found.survived.unwrap(), idle_probe.found.died.unwrap());
        assert!(low <= seconds(limit) && seconds(limit) <= high, "{low:?} {high:?}");
        assert!(high - low <= PRECISE.max(high / PRECISE_PART), "{low:?} {high:?}");
        assert!(how == How::BlackHole && rounds <= 5, "{rounds}");
    }
}

#[test]
fn one_who_says_the_end_is_known_at_once() {
    let mut idle_probe = IdleProbe::new(seconds(60.0), seconds(1.0), Probe::Echo);
    assert_eq!(search(&mut idle_probe, seconds(10.0), How::Fin), 1);
    let (died, how) = idle_probe.found.died.unwrap();
    assert_eq!((died, how), (seconds(10.0), How::Fin));
    assert_eq!(idle_probe.found.survived, Some(seconds(7.5)));
}

#[test]
fn where_nobody_can_be_connected_to_the_search_is_over() {
    let mut idle_probe = IdleProbe::new(seconds(4.0), seconds(1.0), Probe::Echo);
    let silences = idle_probe.next_round();
    let state = State::Begins { since: Duration::ZERO };
    let trial = |silence: &Duration| Trial { key: Key::new(1, 0), silence: *silence, state };
    idle_probe.trials = silences.iter().take(1).map(trial).collect();
    idle_probe.failed(Key::new(1, 0));
    assert!(idle_probe.is_round_over() && idle_probe.next_round().is_empty());
}

#[test]
fn where_nothing_kills_the_longest_silence_is_told() {
    let mut idle_probe = IdleProbe::new(seconds(4.0), seconds(1.0), Probe::Echo);
    assert_eq!(search(&mut idle_probe, seconds(1e6), How::BlackHole), 1);
    assert_eq!(idle_probe.found.survived, Some(seconds(4.0)));
    assert_eq!(idle_probe.found.died, None);
}

/// A idle_probe in its first round, with all connections made at the start.
fn begun(probe: Probe) -> (IdleProbe, Vec<Key>) {
    let mut idle_probe = IdleProbe::new(seconds(60.0), seconds(10.0), probe);
    let keys = next_keys(&mut idle_probe, Duration::ZERO);
    (idle_probe, keys)
}

fn next_keys(idle_probe: &mut IdleProbe, now: Duration) -> Vec<Key> {
    let silences = idle_probe.next_round();
    let keys: Vec<Key> = (1..).zip(&silences).map(|(slot, _)| Key::new(slot, 0)).collect();
    for (key, silence) in keys.iter().zip(silences) {
        idle_probe.begin(*key, silence);
        idle_probe.connected(*key, now);
    }
    keys
}

#[test]
fn the_reply_to_one_message_decides_whether_connections_are_asked() {
    let (mut idle_probe, keys) = begun(Probe::Auto);
    assert!(idle_probe.is_deciding() && idle_probe.sends() && keys.len() == 1);
    assert!(idle_probe.answered(keys[0], seconds(0.1)) && idle_probe.is_round_over());
    assert_eq!(
        (idle_probe.found.mode, idle_probe.found.reply),
        (Some(Mode::Echo), Some(Reply::Echo))
    );
    assert_eq!(next_keys(&mut idle_probe, seconds(0.1)).len(), DOUBLINGS as usize + 1);
    let silent = |reply: fn(&mut IdleProbe, Key)| {
        let (mut idle_probe, keys) = begun(Probe::Auto);
        reply(&mut idle_probe, keys[0]);
        assert!(idle_probe.is_round_over() && idle_probe.found.trials.is_empty());
        assert_eq!(idle_probe.found.mode, Some(Mode::Silent));
        assert!(!idle_probe.sends());
        assert_eq!(next_keys(&mut idle_probe, seconds(1.0)).len(), HELD);
        idle_probe.found.reply.unwrap()
    };
    assert_eq!(silent(|idle_probe, key| idle_probe.wrong_answer(key)), Reply::OtherData);
    let closes = |idle_probe: &mut IdleProbe, key| {
        assert!(idle_probe.closed(key, Some(How::Rst), seconds(0.5)));
    };
    assert_eq!(silent(closes), Reply::Closed(How::Rst));
    let is_mute = |idle_probe: &mut IdleProbe, key| {
        assert_eq!(idle_probe.due(), Some(REPLY_TIMEOUT));
        assert_eq!(idle_probe.steps(seconds(0.9)), []);
        assert_eq!(idle_probe.steps(seconds(1.0)), [Step::GiveUp(key)]);
        assert!(idle_probe.closed(key, None, seconds(1.0)));
    };
    assert_eq!(silent(is_mute), Reply::NoAnswer);
}

#[test]
fn without_an_echo_connections_are_only_watched() {
    let (mut idle_probe, keys) = begun(Probe::None);
    assert_eq!((keys.len(), idle_probe.sends()), (HELD, false));
    assert_eq!(idle_probe.due(), Some(seconds(60.0)));
    // One is closed: the others are watched for a quarter of that time longer.
    assert!(idle_probe.closed(keys[1], Some(How::Fin), seconds(20.0)));
    assert_eq!(idle_probe.due(), Some(seconds(25.0)));
    assert!(idle_probe.closed(keys[0], Some(How::Rst), seconds(20.5)));
    assert_eq!(idle_probe.steps(seconds(24.9)), []);
    assert_eq!(idle_probe.steps(seconds(25.0)), [Step::GiveUp(keys[2])]);
    assert!(idle_probe.closed(keys[2], None, seconds(25.0)));
    assert!(idle_probe.is_round_over() && idle_probe.next_round().is_empty());
    assert_eq!(idle_probe.found.died, Some((seconds(20.0), How::Fin)));
    let (fin, rst) = (Some(How::Fin), Some(How::Rst));
    let trials = [(seconds(20.0), fin), (seconds(20.5), rst), (seconds(25.0), None)];
    assert_eq!(idle_probe.found.by_silence(), trials);
}

#[test]
fn a_connection_that_is_not_made_decides_nothing() {
    let mut idle_probe = IdleProbe::new(seconds(4.0), seconds(1.0), Probe::Auto);
    idle_probe.next_round();
    idle_probe.begin(Key::new(1, 0), Duration::ZERO);
    assert_eq!((idle_probe.due(), idle_probe.steps(seconds(9.0))), (None, Vec::new()));
    idle_probe.failed(Key::new(1, 0));
    assert!(idle_probe.is_round_over() && idle_probe.next_round().is_empty());
    assert_eq!((idle_probe.found.mode, idle_probe.found.reply), (None, None));
}
