//! Searches for an idle timeout: connections are idle for different times and then must echo; the
//! search continues between the longest time survived and the shortest not survived.
//!
//! A FIN or RST gives the exact timeout. A middlebox that drops its state silently, such as NAT, is
//! only found by sending.
//!
//! If the server does not echo, a few connections are held without sending until it closes them.

mod drive;

use std::time::Duration;

use crate::config::Probe;
use crate::core::Key;

use super::load_stats::How;

/// The state of the search.
#[derive(Clone, Debug)]
pub struct IdleProbe {
    max: Duration,
    timeout: Duration,
    /// Whether a round of the current mode, or the one that decides the mode, has started.
    begun: bool,
    trials: Vec<Trial>,
    pub found: Found,
}

/// The result so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// `None`: undecided, because no connection was established.
    pub mode: Option<Mode>,
    /// The server's reply to the message that decided the mode. `None`: the plan set the mode.
    pub reply: Option<Reply>,
    /// The longest idle time survived.
    pub survived: Option<Duration>,
    /// The shortest idle time not survived, and how the connection died.
    pub died: Option<(Duration, How)>,
    /// All completed trials: idle time, and how the connection died, if it did.
    pub trials: Vec<(Duration, Option<How>)>,
}

/// How connections are tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// After its idle time each connection must echo a message.
    Echo,
    /// Nothing is sent. Only a FIN or RST is detected.
    Silent,
}

/// The server's reply to the message that decides the mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Echo,
    OtherData,
    /// No echo, or an incomplete one, in time.
    NoAnswer,
    Closed(How),
}

/// One connection that is idle for some time.
#[derive(Clone, Copy, Debug)]
struct Trial {
    key: Key,
    silence: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Connecting. The engine limits the time.
    Dialing,
    /// Connected, waiting for the first answer.
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

/// An action for a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Ask(Key),
    GiveUp(Key),
}

/// Number of doublings of the idle time in the first round, and of new values per further round.
const DOUBLINGS: u32 = 8;
const CUTS: u32 = 6;

/// Connections held at the same time in silent mode. Several show the precision of the timer.
const HELD: usize = 3;

/// Minimum time for which the others are watched after the first was closed.
const WATCH_MIN: Duration = Duration::from_secs(1);

/// Maximum time for the echo of the message that decides the mode.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// Precision at which the search ends: relative (one part in this many), or absolute.
const PRECISE_PART: u32 = 50;
const PRECISE: Duration = Duration::from_millis(200);

impl Found {
    /// Returns the trials, shortest idle time first.
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

impl IdleProbe {
    pub fn new(max: Duration, timeout: Duration, probe: Probe) -> IdleProbe {
        let mode = match probe {
            Probe::Auto => None,
            Probe::Echo => Some(Mode::Echo),
            Probe::None => Some(Mode::Silent),
        };
        let found = Found { mode, ..Found::default() };
        IdleProbe { max, timeout, begun: false, trials: Vec::new(), found }
    }

    /// Returns the idle times of the next round; none if the search is over.
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
            // The FIN or RST gave the exact time.
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

    /// Adds a trial.
    pub(super) fn begin(&mut self, key: Key, silence: Duration) {
        self.trials.push(Trial { key, silence, state: State::Dialing });
    }

    /// Whether new connections send a message.
    pub(super) fn sends(&self) -> bool {
        self.found.mode != Some(Mode::Silent)
    }

    /// Whether the mode is undecided, so that a wrong answer is not an error.
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

    /// Handles an established connection.
    pub(super) fn connected(&mut self, key: Key, now: Duration) {
        let sends = self.sends();
        if let Some(trial) = self.trial(key).filter(|trial| trial.state == State::Dialing) {
            trial.state = match sends {
                true => State::Begins { since: now },
                false => State::Silent { since: now },
            };
        }
    }

    /// Handles an answer. Returns true if the trial is complete.
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

    /// Handles a closed connection. Returns false if it never answered, which says nothing about a
    /// timer.
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
            // A FIN or RST in place of the answer: it had died before.
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

    /// Handles a wrong answer.
    pub(super) fn wrong_answer(&mut self, key: Key) {
        self.failed(key);
        if self.is_deciding() {
            self.decide(Reply::OtherData);
        }
    }

    /// Handles a failed connect.
    pub(super) fn failed(&mut self, key: Key) {
        if let Some(trial) = self.trial(key) {
            trial.state = State::Over;
        }
    }

    /// Returns the actions that are due.
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
                // A shorter idle time was not survived, so this one need not be awaited.
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

    /// Returns when the next action is due.
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
