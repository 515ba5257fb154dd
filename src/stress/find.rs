//! Finds the silence that kills a connection: many are silent for different times, then asked;
//! between the longest that survived and the shortest that did not, it is searched again.
//!
//! A server or a middlebox that says its end betrays its timer by the moment of that end. One that
//! forgets in silence, as NAT does, is found by asking only.

use std::time::Duration;

use crate::core::Key;

use super::tally::How;

/// The search.
#[derive(Clone, Debug)]
pub struct Finder {
    max: Duration,
    timeout: Duration,
    /// There was a first round.
    begun: bool,
    trials: Vec<Trial>,
    pub found: Found,
}

/// What is known so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The longest silence after which a connection still answered.
    pub survived: Option<Duration>,
    /// The shortest that one did not survive, and how it died.
    pub died: Option<(Duration, How)>,
    /// Every trial that came to an end: its silence, and how it died if it did.
    pub trials: Vec<(Duration, Option<How>)>,
}

/// One connection that is silent for a while.
#[derive(Clone, Copy, Debug)]
struct Trial {
    key: Key,
    silence: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// It is being made, or waits for its first answer.
    Begins {
        since: Duration,
    },
    Silent {
        since: Duration,
    },
    Asked {
        at: Duration,
        since: Duration,
    },
    Over,
}

/// What is to be done for a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Ask(Key),
    GiveUp(Key),
}

/// The first round doubles the silence so often; each further one cuts what is left into so many.
const DOUBLINGS: u32 = 8;
const CUTS: u32 = 6;

/// It is known well enough when what is left is this part of the whole, or so short.
const PRECISE_PART: u32 = 50;
const PRECISE: Duration = Duration::from_millis(200);

impl Found {
    /// The trials, the shortest silence first.
    pub fn by_silence(&self) -> Vec<(Duration, Option<How>)> {
        let mut trials = self.trials.clone();
        trials.sort_by_key(|(silence, _)| *silence);
        trials
    }
}

impl Finder {
    pub fn new(max: Duration, timeout: Duration) -> Finder {
        Finder { max, timeout, begun: false, trials: Vec::new(), found: Found::default() }
    }

    /// The silences of the next round, whose trials are to begin; none, if the search is over.
    pub(super) fn next_round(&mut self) -> Vec<Duration> {
        self.trials.clear();
        let first = !std::mem::replace(&mut self.begun, true);
        let low = self.found.survived.unwrap_or_default();
        match self.found.died {
            None if low >= self.max => Vec::new(),
            None if !first => Vec::new(),
            None => (0..=DOUBLINGS).rev().map(|times| self.max / (1 << times)).collect(),
            // It said its end: the moment is known.
            Some((_, How::Fin | How::Rst)) => Vec::new(),
            Some((high, _)) if high.saturating_sub(low) <= PRECISE.max(high / PRECISE_PART) => {
                Vec::new()
            }
            Some((high, _)) => {
                let part = high.saturating_sub(low) / (CUTS + 1);
                (1..=CUTS).map(|count| low + part * count).collect()
            }
        }
    }

    /// This connection is to be silent for so long.
    pub(super) fn begin(&mut self, key: Key, silence: Duration, now: Duration) {
        self.trials.push(Trial { key, silence, state: State::Begins { since: now } });
    }

    pub(super) fn is_round_over(&self) -> bool {
        self.trials.iter().all(|trial| trial.state == State::Over)
    }

    fn trial(&mut self, key: Key) -> Option<&mut Trial> {
        self.trials.iter_mut().find(|trial| trial.key.at(0) == key.at(0))
    }

    /// A connection answered. True, if it has nothing more to do.
    pub(super) fn answered(&mut self, key: Key, now: Duration) -> bool {
        let Some(trial) = self.trial(key) else { return true };
        let silence = trial.silence;
        match trial.state {
            State::Begins { .. } => {
                trial.state = State::Silent { since: now };
                false
            }
            _ => {
                trial.state = State::Over;
                self.found.trials.push((silence, None));
                self.found.survived = self.found.survived.max(Some(silence));
                true
            }
        }
    }

    /// A connection is gone. False, if it never answered at all: that tells nothing of a timer.
    pub(super) fn closed(&mut self, key: Key, how: Option<How>, now: Duration) -> bool {
        let Some(trial) = self.trial(key) else { return true };
        let (state, wanted) = (trial.state, trial.silence);
        trial.state = State::Over;
        let (silence, how) = match (state, how) {
            (State::Silent { since }, Some(how)) => (now.saturating_sub(since), how),
            // An end that comes as the answer tells that it had died before.
            (State::Asked { .. }, Some(how)) => (wanted, how),
            (State::Asked { .. }, None) => (wanted, How::BlackHole),
            (state, _) => return !matches!(state, State::Begins { .. }),
        };
        self.found.trials.push((silence, Some(how)));
        if self.found.died.is_none_or(|(known, _)| silence < known) {
            self.found.died = Some((silence, how));
        }
        true
    }

    /// A connection was never made.
    pub(super) fn failed(&mut self, key: Key) {
        if let Some(trial) = self.trial(key) {
            trial.state = State::Over;
        }
    }

    /// What is due now.
    pub(super) fn steps(&mut self, now: Duration) -> Vec<Step> {
        let mut steps = Vec::new();
        let dead = self.found.died.map(|(silence, _)| silence);
        for trial in &mut self.trials {
            match trial.state {
                // What kills a shorter silence need not be waited for.
                State::Silent { .. } if dead.is_some_and(|dead| trial.silence > dead) => {
                    trial.state = State::Over;
                    steps.push(Step::GiveUp(trial.key));
                }
                State::Silent { since } if now >= since + trial.silence => {
                    trial.state = State::Asked { at: now, since };
                    steps.push(Step::Ask(trial.key));
                }
                State::Asked { at: since, .. } | State::Begins { since }
                    if now >= since + self.timeout =>
                {
                    steps.push(Step::GiveUp(trial.key));
                }
                _ => {}
            }
        }
        steps
    }

    /// When the next step is due.
    pub(super) fn due(&self) -> Option<Duration> {
        let due = |trial: &Trial| match trial.state {
            State::Silent { since } => Some(since + trial.silence),
            State::Asked { at: since, .. } | State::Begins { since } => Some(since + self.timeout),
            State::Over => None,
        };
        self.trials.iter().filter_map(due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(value: f64) -> Duration {
        Duration::from_secs_f64(value)
    }

    /// Runs a search against one who kills after `limit` of silence, in this way; how many rounds.
    fn search(finder: &mut Finder, limit: Duration, how: How) -> usize {
        let mut now = Duration::ZERO;
        for round in 0.. {
            let silences = finder.next_round();
            if silences.is_empty() || round > 20 {
                return round;
            }
            let trial = |(number, silence): (u32, &Duration)| Trial {
                key: Key::new(1 + number, 0),
                silence: *silence,
                state: State::Begins { since: Duration::ZERO },
            };
            finder.trials = (0..).zip(&silences).map(trial).collect();
            let keys: Vec<Key> = finder.trials.iter().map(|trial| trial.key).collect();
            let began = now;
            keys.iter().for_each(|key| assert!(!finder.answered(*key, began)));
            while !finder.is_round_over() {
                let dies = how != How::BlackHole && now >= began + limit;
                for key in keys.iter().filter(|_| dies) {
                    assert!(finder.closed(*key, Some(how), began + limit));
                }
                for step in finder.steps(now) {
                    match step {
                        Step::Ask(key) if now < began + limit => drop(finder.answered(key, now)),
                        Step::Ask(_) => {}
                        Step::GiveUp(key) => drop(finder.closed(key, None, now)),
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
            let mut finder = Finder::new(seconds(60.0), seconds(1.0));
            let rounds = search(&mut finder, seconds(limit), How::BlackHole);
            let (low, (high, how)) = (finder.found.survived.unwrap(), finder.found.died.unwrap());
            assert!(low <= seconds(limit) && seconds(limit) <= high, "{low:?} {high:?}");
            assert!(high - low <= PRECISE.max(high / PRECISE_PART), "{low:?} {high:?}");
            assert!(how == How::BlackHole && rounds <= 5, "{rounds}");
        }
    }

    #[test]
    fn one_who_says_the_end_is_known_at_once() {
        let mut finder = Finder::new(seconds(60.0), seconds(1.0));
        assert_eq!(search(&mut finder, seconds(10.0), How::Fin), 1);
        let (died, how) = finder.found.died.unwrap();
        assert_eq!((died, how), (seconds(10.0), How::Fin));
        assert_eq!(finder.found.survived, Some(seconds(7.5)));
    }

    #[test]
    fn where_nobody_can_be_connected_to_the_search_is_over() {
        let mut finder = Finder::new(seconds(4.0), seconds(1.0));
        let silences = finder.next_round();
        let state = State::Begins { since: Duration::ZERO };
        let trial = |silence: &Duration| Trial { key: Key::new(1, 0), silence: *silence, state };
        finder.trials = silences.iter().take(1).map(trial).collect();
        finder.failed(Key::new(1, 0));
        assert!(finder.is_round_over() && finder.next_round().is_empty());
    }

    #[test]
    fn where_nothing_kills_the_longest_silence_is_told() {
        let mut finder = Finder::new(seconds(4.0), seconds(1.0));
        assert_eq!(search(&mut finder, seconds(1e6), How::BlackHole), 1);
        assert_eq!(finder.found.survived, Some(seconds(4.0)));
        assert_eq!(finder.found.died, None);
    }
}
