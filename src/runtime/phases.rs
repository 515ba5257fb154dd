//! Measures the phases of a turn, while somebody watches: each phase costs a reading of the clock.

use std::time::Duration;

use crate::core::Moment;

/// A phase of a turn, as docs/turn.md calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Mark,
    Accept,
    Dial,
    Run,
    Expire,
    Datagrams,
    Admin,
}

impl Phase {
    pub fn name(self) -> &'static str {
        match self {
            Phase::Mark => "mark",
            Phase::Accept => "accept",
            Phase::Dial => "dial",
            Phase::Run => "run",
            Phase::Expire => "expire",
            Phase::Datagrams => "datagrams",
            Phase::Admin => "admin",
        }
    }
}

/// What the time of one turn was spent on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnDetail {
    /// The phase that took most of it, and how long.
    pub slowest: Option<(Phase, Duration)>,
    /// The connection that took most of the phase `run`.
    pub connection: Option<u32>,
    /// Time in which the thread did not run, although nothing in a turn waits.
    pub not_scheduled: Option<Duration>,
}

/// The phases of the present turn, and whether they are watched.
#[derive(Debug, Default)]
pub struct PhaseWatch {
    /// None: nobody watches.
    until: Option<Moment>,
    /// The end of the last phase.
    since: Moment,
    /// The beginning of the turn, and the processor time of the thread then.
    began: Moment,
    ran: Option<Duration>,
    detail: TurnDetail,
}

/// How long phases are measured after somebody asked for them.
const WATCH_TIME: Duration = Duration::from_secs(60);

impl PhaseWatch {
    /// Measures for a while from `now` on.
    pub fn start(&mut self, now: Moment) {
        self.until = Some(now.after(WATCH_TIME));
    }

    /// Whether the phases of the next turn are measured.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Begins a turn. `ran`: the processor time of the thread.
    pub fn begin(&mut self, now: Moment, ran: Option<Duration>) {
        self.until = self.until.filter(|until| now < *until);
        (self.since, self.began, self.ran) = (now, now, ran);
        self.detail = TurnDetail::default();
    }

    /// Ends a phase.
    pub fn ended(&mut self, phase: Phase, now: Moment) {
        let took = now.since(self.since);
        self.since = now;
        if self.detail.slowest.is_none_or(|(_, longest)| longest < took) {
            self.detail.slowest = Some((phase, took));
        }
    }

    /// Records the connection that took most of the phase `run`.
    pub fn set_connection(&mut self, id: Option<u32>) {
        self.detail.connection = id;
    }

    /// Ends a turn, and returns what its time was spent on.
    pub fn finish(&mut self, now: Moment, ran: Option<Duration>) -> TurnDetail {
        let run_time = self.ran.zip(ran).map(|(before, after)| after.saturating_sub(before));
        let took = now.since(self.began);
        self.detail.not_scheduled = run_time.map(|run_time| took.saturating_sub(run_time));
        // The connection matters only if its phase does.
        if self.detail.slowest.is_none_or(|(phase, _)| phase != Phase::Run) {
            self.detail.connection = None;
        }
        std::mem::take(&mut self.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_phase_is_found_and_its_connection_if_it_ran_connections() {
        let micros = Duration::from_micros;
        let mut watch = PhaseWatch::default();
        assert!(!watch.is_on());
        watch.start(Moment(0));
        watch.begin(Moment(100), Some(micros(50)));
        watch.ended(Phase::Mark, Moment(110));
        watch.set_connection(Some(7));
        watch.ended(Phase::Run, Moment(900));
        watch.ended(Phase::Expire, Moment(905));
        let detail = watch.finish(Moment(1000), Some(micros(350)));
        let expected = TurnDetail {
            slowest: Some((Phase::Run, micros(790))),
            connection: Some(7),
            not_scheduled: Some(micros(600)),
        };
        assert_eq!(detail, expected);
        watch.begin(Moment(2000), None);
        watch.set_connection(Some(8));
        watch.ended(Phase::Run, Moment(2010));
        watch.ended(Phase::Admin, Moment(2300));
        let detail = watch.finish(Moment(2300), None);
        assert_eq!(detail.slowest, Some((Phase::Admin, micros(290))));
        assert_eq!((detail.connection, detail.not_scheduled), (None, None));
        watch.begin(Moment(0).after(WATCH_TIME), None);
        assert!(!watch.is_on(), "nobody asked for a minute");
    }
}
