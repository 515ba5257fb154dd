//! Finds the silence that kills a connection: many are silent for different times, then asked;
//! between the longest that survived and the shortest that did not, it is searched again.
//!
//! A server or a middlebox that says its end betrays its timer by the moment of that end. One that
//! forgets in silence, as NAT does, is found by asking only.
//!
//! A server that does not echo cannot be asked: a few connections are held without sending anything
//! until it closes them.

use std::time::Duration;

use crate::core::Key;
use crate::plan::Probe;

use super::load_stats::How;

/// The search.
#[derive(Clone, Debug)]
pub struct Finder {
    max: Duration,
    timeout: Duration,
    /// A round of the present mode, or the one that decides the mode, has begun.
    begun: bool,
    trials: Vec<Trial>,
    pub found: Found,
}

/// What is known so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// None: not decided, because no connection could be made.
    pub mode: Option<Mode>,
    /// What the server did with the message that decided the mode. None: the plan said the mode.
    pub reply: Option<Reply>,
    /// The longest silence after which a connection still answered.
    pub survived: Option<Duration>,
    /// The shortest that one did not survive, and how it died.
    pub died: Option<(Duration, How)>,
    /// Every trial that came to an end: its silence, and how it died if it did.
    pub trials: Vec<(Duration, Option<How>)>,
}

/// How connections are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// After its silence each connection must echo a message.
    Echo,
    /// Nothing is sent. Only the FIN or RST of the server is seen.
    Silent,
}

/// What the server did with the message that decides the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Echo,
    OtherData,
    /// No echo, or only a part of it, came in time.
    NoAnswer,
    Closed(How),
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
    /// The engine limits how long it takes.
    Dialing,
    /// It is connected and waits for its first answer.
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

/// Connections held at the same time in silent mode; they show how exact the timer is.
const HELD: usize = 3;

/// After the first was closed, the others are watched for a quarter longer, and at least this long.
const WATCH_MIN: Duration = Duration::from_secs(1);

/// How long the echo of the message that decides the mode may take.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

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

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Echo => "echo",
            Mode::Silent => "silent",
        }
    }
}

impl Reply {
    pub fn name(self) -> &'static str {
        match self {
            Reply::Echo => "echo",
            Reply::OtherData => "other data",
            Reply::NoAnswer => "no answer",
            Reply::Closed(how) => how.name(),
        }
    }
}

impl Finder {
    pub fn new(max: Duration, timeout: Duration, probe: Probe) -> Finder {
        let mode = match probe {
            Probe::Auto => None,
            Probe::Echo => Some(Mode::Echo),
            Probe::None => Some(Mode::Silent),
        };
        let found = Found { mode, ..Found::default() };
        Finder { max, timeout, begun: false, trials: Vec::new(), found }
    }

    /// The silences of the next round, whose trials are to begin; none, if the search is over.
    pub(super) fn next_round(&mut self) -> Vec<Duration> {
        self.trials.clear();
        let first = !std::mem::replace(&mut self.begun, true);
        match self.found.mode {
            // One connection decides the mode.
            None if first => vec![Duration::ZERO],
            Some(Mode::Silent) if first => vec![self.max; HELD],
            None | Some(Mode::Silent) => Vec::new(),
            Some(Mode::Echo) => self.next_silences(first),
        }
    }

    fn next_silences(&self, first: bool) -> Vec<Duration> {
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
    pub(super) fn begin(&mut self, key: Key, silence: Duration) {
        self.trials.push(Trial { key, silence, state: State::Dialing });
    }

    /// Whether new connections send a message.
    pub(super) fn sends(&self) -> bool {
        self.found.mode != Some(Mode::Silent)
    }

    /// Whether the mode is not decided yet, so that a wrong answer is no error.
    pub(super) fn is_deciding(&self) -> bool {
        self.found.mode.is_none()
    }

    fn decide(&mut self, reply: Reply) {
        let mode = if reply == Reply::Echo { Mode::Echo } else { Mode::Silent };
        (self.found.mode, self.found.reply) = (Some(mode), Some(reply));
        self.begun = false;
    }

    fn reply_timeout(&self) -> Duration {
        match self.is_deciding() {
            true => self.timeout.min(REPLY_TIMEOUT),
            false => self.timeout,
        }
    }

    pub(super) fn is_round_over(&self) -> bool {
        self.trials.iter().all(|trial| trial.state == State::Over)
    }

    fn trial(&mut self, key: Key) -> Option<&mut Trial> {
        self.trials.iter_mut().find(|trial| trial.key.at(0) == key.at(0))
    }

    /// A connection was made.
    pub(super) fn connected(&mut self, key: Key, now: Duration) {
        let sends = self.sends();
        if let Some(trial) = self.trial(key).filter(|trial| trial.state == State::Dialing) {
            trial.state = match sends {
                true => State::Begins { since: now },
                false => State::Silent { since: now },
            };
        }
    }

    /// A connection answered. True, if it has nothing more to do.
    pub(super) fn answered(&mut self, key: Key, now: Duration) -> bool {
        let deciding = self.is_deciding();
        let Some(trial) = self.trial(key) else { return true };
        let silence = trial.silence;
        match trial.state {
            State::Begins { .. } if deciding => {
                trial.state = State::Over;
                self.decide(Reply::Echo);
                true
            }
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
        let deciding = self.is_deciding();
        let Some(trial) = self.trial(key) else { return true };
        let (state, wanted) = (trial.state, trial.silence);
        trial.state = State::Over;
        if deciding && matches!(state, State::Begins { .. }) {
            self.decide(how.map_or(Reply::NoAnswer, Reply::Closed));
            return true;
        }
        let (silence, how) = match (state, how) {
            (State::Silent { since }, Some(how)) => (now.saturating_sub(since), how),
            // An end that comes as the answer tells that it had died before.
            (State::Asked { .. }, Some(how)) => (wanted, how),
            (State::Asked { .. }, None) => (wanted, How::BlackHole),
            (state, _) => return !matches!(state, State::Dialing | State::Begins { .. }),
        };
        self.found.trials.push((silence, Some(how)));
        if self.found.died.is_none_or(|(known, _)| silence < known) {
            self.found.died = Some((silence, how));
        }
        if self.found.mode == Some(Mode::Silent) {
            let watched = silence + WATCH_MIN.max(silence / 4);
            for trial in &mut self.trials {
                trial.silence = trial.silence.min(watched);
            }
        }
        true
    }

    /// A connection brought something else than an echo.
    pub(super) fn garbled(&mut self, key: Key) {
        self.failed(key);
        if self.is_deciding() {
            self.decide(Reply::OtherData);
        }
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
        let (silent, timeout) = (!self.sends(), self.reply_timeout());
        for trial in &mut self.trials {
            match trial.state {
                State::Silent { since } if silent && now >= since + trial.silence => {
                    trial.state = State::Over;
                    self.found.trials.push((trial.silence, None));
                    self.found.survived = self.found.survived.max(Some(trial.silence));
                    steps.push(Step::GiveUp(trial.key));
                }
                State::Silent { .. } if silent => {}
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
                    if now >= since + timeout =>
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
            State::Asked { at: since, .. } | State::Begins { since } => {
                Some(since + self.reply_timeout())
            }
            State::Dialing | State::Over => None,
        };
        self.trials.iter().filter_map(due).min()
    }
}

#[cfg(test)]
mod tests;
