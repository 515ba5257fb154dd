//! The times of the drain, which the first TERM or INT starts: how long connections in progress may
//! take to finish, and after which idle time they count as finished. Closes nothing.

use std::time::Duration;

use crate::config::Plan;
use crate::core::Moment;

#[derive(Debug)]
pub(super) struct Drain {
    timeout: Duration,
    idle: Duration,
    /// The end of the drain. None: it was not started.
    deadline: Option<Moment>,
}

impl Drain {
    /// A drain with the default times.
    pub fn new() -> Drain {
        let plan = Plan::default();
        Drain { timeout: plan.drain_timeout, idle: plan.drain_idle(), deadline: None }
    }

    /// Sets the times of a drain that has not been started.
    pub fn set_times(&mut self, plan: &Plan) {
        (self.timeout, self.idle) = (plan.drain_timeout, plan.drain_idle());
    }

    pub fn start(&mut self, now: Moment) {
        self.deadline = Some(now.after(self.timeout));
    }

    pub fn is_started(&self) -> bool {
        self.deadline.is_some()
    }

    /// Time from the start to the deadline.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The idle time after which a connection counts as finished.
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// Whether the deadline has passed. None: the drain was not started.
    pub fn is_over(&self, now: Moment) -> Option<bool> {
        self.deadline.map(|deadline| deadline <= now)
    }

    /// Returns how long the loop may sleep. None is no limit.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_ends_at_its_timeout_after_it_was_started() {
        let mut drain = Drain::new();
        let plan = Plan { drain_timeout: Duration::from_micros(100), ..Plan::default() };
        drain.set_times(&plan);
        assert_eq!((drain.is_started(), drain.is_over(Moment(999))), (false, None));
        assert_eq!(drain.sleep(Moment(999)), None);
        drain.start(Moment(50));
        assert!(drain.is_started());
        assert_eq!(drain.sleep(Moment(60)), Some(Duration::from_micros(90)));
        assert_eq!(drain.is_over(Moment(149)), Some(false));
        assert_eq!(drain.is_over(Moment(150)), Some(true));
        assert_eq!(drain.sleep(Moment(160)), Some(Duration::ZERO));
    }
}
