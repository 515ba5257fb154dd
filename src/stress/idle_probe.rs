//! Searches for an idle timeout: connections are idle for different times and then must echo; the
//! search continues between the longest time survived and the shortest not survived.
//!
//! A FIN or RST gives the exact timeout. A middlebox that drops its state silently, such as NAT, is
//! only found by sending.
//!
//! If the server does not echo, a few connections are held without sending until it closes them.

use std::time::Duration;

use crate::config::Probe;
use crate::core::{Key, Reason};

use super::conn_result::ConnResult;
use super::conns::Conns;
use super::load_stats::DeathCause;
use super::phases::Phase;

/// The state of the search.
#[derive(Clone, Debug)]
pub struct IdleProbe {
    max: Duration,
    timeout: Duration,
    /// Whether a round of the current mode, or the one that decides the mode, has started.
    started: bool,
    trials: Vec<Trial>,
    pub result: ProbeResult,
}

/// The result of the search so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProbeResult {
    /// `None`: undecided, because no connection was established.
    pub mode: Option<Mode>,
    /// The server's reply to the message that decided the mode. `None`: the plan set the mode.
    pub reply: Option<Reply>,
    /// The longest idle time survived.
    pub survived: Option<Duration>,
    /// The shortest idle time not survived, and how the connection died.
    pub died: Option<(Duration, DeathCause)>,
    /// All completed trials: idle time, and how the connection died, if it did.
    pub trials: Vec<(Duration, Option<DeathCause>)>,
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
    Closed(DeathCause),
}

/// One connection that is idle for some time.
#[derive(Clone, Copy, Debug)]
struct Trial {
    key: Key,
    idle_time: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Connecting. The engine limits the time.
    Dialing,
    /// Connected, waiting for the first answer.
    Connected {
        since: Duration,
    },
    Idle {
        since: Duration,
    },
    Probed {
        at: Duration,
        since: Duration,
    },
    Over,
}

/// An action for a trial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProbeAction {
    Send(Key),
    Close(Key),
}

/// Number of doublings of the idle time in the first round, and of idle times per further round.
const DOUBLINGS: u32 = 8;
const POINTS_PER_ROUND: u32 = 6;

/// Connections held at the same time in silent mode. Several show the precision of the timer.
const HELD_CONNS: usize = 3;

/// Minimum time for which the others are watched after the first was closed.
const WATCH_MIN: Duration = Duration::from_secs(1);

/// Maximum time for the echo of the message that decides the mode.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1);

/// Precision at which the search ends: relative (one part in this many), or absolute.
const PRECISION_PART: u32 = 50;
const PRECISION: Duration = Duration::from_millis(200);

impl ProbeResult {
    /// Returns the trials, shortest idle time first.
    pub fn by_idle_time(&self) -> Vec<(Duration, Option<DeathCause>)> {
        let mut trials = self.trials.clone();
        trials.sort_by_key(|(idle_time, _)| *idle_time);
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
        let result = ProbeResult { mode, ..ProbeResult::default() };
        IdleProbe { max, timeout, started: false, trials: Vec::new(), result }
    }

    /// Executes what is due. Returns false at the end of the search.
    pub fn run(&mut self, conns: &mut Conns, now: Duration) -> bool {
        let is_running = !self.is_round_over();
        for action in self.actions(now) {
            match action {
                ProbeAction::Send(key) => drop(conns.permit(key, now)),
                ProbeAction::Close(key) => conns.end(key, Reason::Drained),
            }
        }
        is_running
    }

    /// Handles the result of a connection. Returns false if it never answered, which does not
    /// reveal a timer.
    pub fn ended(&mut self, key: Key, result: ConnResult, phase: Phase, now: Duration) -> bool {
        let is_searching = phase == Phase::IdleProbe;
        match result {
            ConnResult::Fine if is_searching => return self.closed(key, None, now),
            ConnResult::Died(how) if is_searching => return self.closed(key, Some(how), now),
            ConnResult::Fine | ConnResult::Died(_) => {}
            ConnResult::Failed(_) => self.failed(key),
            // A wrong answer does not reveal a timer.
            ConnResult::Wrong => self.wrong_answer(key),
        }
        true
    }

    /// Returns the idle times of the next round; none if the search is over.
    pub fn next_round(&mut self) -> Vec<Duration> {
        self.trials.clear();
        let first = !std::mem::replace(&mut self.started, true);
        match self.result.mode {
            // One connection decides the mode.
            None if first => vec![Duration::ZERO],
            Some(Mode::Silent) if first => vec![self.max; HELD_CONNS],
            None | Some(Mode::Silent) => Vec::new(),
            Some(Mode::Echo) => self.next_idle_times(first),
        }
    }

    fn next_idle_times(&self, first: bool) -> Vec<Duration> {
        let low = self.result.survived.unwrap_or_default();
        match self.result.died {
            None if low >= self.max => Vec::new(),
            None if !first => Vec::new(),
            None => (0..=DOUBLINGS).rev().map(|times| self.max / (1 << times)).collect(),
            // The FIN or RST gave the exact time.
            Some((_, DeathCause::Fin | DeathCause::Rst)) => Vec::new(),
            Some((high, _)) if high.saturating_sub(low) <= PRECISION.max(high / PRECISION_PART) => {
                Vec::new()
            }
            Some((high, _)) => {
                let part = high.saturating_sub(low) / (POINTS_PER_ROUND + 1);
                (1..=POINTS_PER_ROUND).map(|count| low + part * count).collect()
            }
        }
    }

    /// Adds a trial.
    pub fn begin(&mut self, key: Key, idle_time: Duration) {
        self.trials.push(Trial { key, idle_time, state: State::Dialing });
    }

    /// Whether new connections send a message.
    pub fn sends(&self) -> bool {
        self.result.mode != Some(Mode::Silent)
    }

    /// Whether the mode is undecided, so that a wrong answer is not an error.
    pub fn is_deciding(&self) -> bool {
        self.result.mode.is_none()
    }

    fn decide(&mut self, reply: Reply) {
        let mode = if reply == Reply::Echo { Mode::Echo } else { Mode::Silent };
        (self.result.mode, self.result.reply) = (Some(mode), Some(reply));
        self.started = false;
    }

    fn reply_timeout(&self) -> Duration {
        match self.is_deciding() {
            true => self.timeout.min(REPLY_TIMEOUT),
            false => self.timeout,
        }
    }

    pub fn is_round_over(&self) -> bool {
        self.trials.iter().all(|trial| trial.state == State::Over)
    }

    fn trial(&mut self, key: Key) -> Option<&mut Trial> {
        self.trials.iter_mut().find(|trial| trial.key.at(0) == key.at(0))
    }

    /// Handles an established connection.
    pub fn connected(&mut self, key: Key, now: Duration) {
        let sends = self.sends();
        if let Some(trial) = self.trial(key).filter(|trial| trial.state == State::Dialing) {
            trial.state = match sends {
                true => State::Connected { since: now },
                false => State::Idle { since: now },
            };
        }
    }

    /// Handles an answer. Returns true if the trial is complete.
    pub fn answered(&mut self, key: Key, now: Duration) -> bool {
        let deciding = self.is_deciding();
        let Some(trial) = self.trial(key) else { return true };
        let idle_time = trial.idle_time;
        match trial.state {
            State::Connected { .. } if deciding => {
                trial.state = State::Over;
                self.decide(Reply::Echo);
                true
            }
            State::Connected { .. } => {
                trial.state = State::Idle { since: now };
                false
            }
            _ => {
                trial.state = State::Over;
                self.result.trials.push((idle_time, None));
                self.result.survived = self.result.survived.max(Some(idle_time));
                true
            }
        }
    }

    /// Handles a closed connection. Returns false if it never answered, which does not reveal a
    /// timer.
    pub fn closed(&mut self, key: Key, how: Option<DeathCause>, now: Duration) -> bool {
        let deciding = self.is_deciding();
        let Some(trial) = self.trial(key) else { return true };
        let (state, wanted) = (trial.state, trial.idle_time);
        trial.state = State::Over;
        if deciding && matches!(state, State::Connected { .. }) {
            self.decide(how.map_or(Reply::NoAnswer, Reply::Closed));
            return true;
        }
        let (idle_time, how) = match (state, how) {
            (State::Idle { since }, Some(how)) => (now.saturating_sub(since), how),
            // A FIN or RST in place of the answer: it had died before.
            (State::Probed { .. }, Some(how)) => (wanted, how),
            (State::Probed { .. }, None) => (wanted, DeathCause::BlackHole),
            (state, _) => return !matches!(state, State::Dialing | State::Connected { .. }),
        };
        self.result.trials.push((idle_time, Some(how)));
        if self.result.died.is_none_or(|(known, _)| idle_time < known) {
            self.result.died = Some((idle_time, how));
        }
        if self.result.mode == Some(Mode::Silent) {
            let watched = idle_time + WATCH_MIN.max(idle_time / 4);
            for trial in &mut self.trials {
                trial.idle_time = trial.idle_time.min(watched);
            }
        }
        true
    }

    /// Handles a wrong answer.
    pub fn wrong_answer(&mut self, key: Key) {
        self.failed(key);
        if self.is_deciding() {
            self.decide(Reply::OtherData);
        }
    }

    /// Handles a failed connect.
    pub fn failed(&mut self, key: Key) {
        if let Some(trial) = self.trial(key) {
            trial.state = State::Over;
        }
    }

    /// Returns the actions that are due.
    pub fn actions(&mut self, now: Duration) -> Vec<ProbeAction> {
        let mut actions = Vec::new();
        let dead = self.result.died.map(|(idle_time, _)| idle_time);
        let (is_silent, timeout) = (!self.sends(), self.reply_timeout());
        for trial in &mut self.trials {
            match trial.state {
                State::Idle { since } if is_silent && now >= since + trial.idle_time => {
                    trial.state = State::Over;
                    self.result.trials.push((trial.idle_time, None));
                    self.result.survived = self.result.survived.max(Some(trial.idle_time));
                    actions.push(ProbeAction::Close(trial.key));
                }
                State::Idle { .. } if is_silent => {}
                // A shorter idle time was not survived, so this one need not be awaited.
                State::Idle { .. } if dead.is_some_and(|dead| trial.idle_time > dead) => {
                    trial.state = State::Over;
                    actions.push(ProbeAction::Close(trial.key));
                }
                State::Idle { since } if now >= since + trial.idle_time => {
                    trial.state = State::Probed { at: now, since };
                    actions.push(ProbeAction::Send(trial.key));
                }
                State::Probed { at: since, .. } | State::Connected { since }
                    if now >= since + timeout =>
                {
                    actions.push(ProbeAction::Close(trial.key));
                }
                _ => {}
            }
        }
        actions
    }

    /// Returns when the next action is due.
    pub fn due(&self) -> Option<Duration> {
        let due = |trial: &Trial| match trial.state {
            State::Idle { since } => Some(since + trial.idle_time),
            State::Probed { at: since, .. } | State::Connected { since } => {
                Some(since + self.reply_timeout())
            }
            State::Dialing | State::Over => None,
        };
        self.trials.iter().filter_map(due).min()
    }
}

#[cfg(test)]
mod tests;
