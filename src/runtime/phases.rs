//! Measures the phases of a turn, while somebody wants to know: each phase costs a reading of the
//! clock.

use std::time::Duration;

use crate::core::{Moment, Phase, TurnDetail};

use super::loop_stats::SLEEP_MIN;

/// The phases of the present turn, and whether they are watched.
#[derive(Debug, Default)]
pub struct PhaseWatch {
    /// None: nobody watches.
    until: Option<Moment>,
    /// The last turn that was measured: the present one, unless that began before.
    turn: Option<MeasuredTurn>,
    thread: Option<ThreadTime>,
}

#[derive(Debug)]
struct MeasuredTurn {
    number: u64,
    began: Moment,
    /// The end of the last phase.
    since: Moment,
    detail: TurnDetail,
}

/// The processor time of the thread at some time before the present turn.
#[derive(Debug)]
struct ThreadTime {
    at: Moment,
    ran: Duration,
    /// Time asleep since then.
    slept: Duration,
}

/// How long phases are measured after somebody asked for them.
const WATCH_TIME: Duration = Duration::from_secs(60);

/// Maximum age of the processor time when a turn begins. It is a call of the kernel, unlike a
/// reading of the clock, so short turns share one.
const THREAD_TIME_AGE: Duration = Duration::from_millis(1);

/// Turns of this length are asked for their processor time. In shorter ones it does not matter, and
/// they cost no call.
const WORTH_ASKING: Duration = Duration::from_micros(100);

impl PhaseWatch {
    /// Measures for a while from `now` on.
    pub fn start(&mut self, now: Moment) {
        self.until = Some(now.after(WATCH_TIME));
    }

    /// Whether the phases of the next turn are measured because somebody asked for them.
    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.until.is_some()
    }

    /// Begins the turn with this number. `slept`: the time in its poll. `ran`: the processor time
    /// of the thread.
    pub fn begin(
        &mut self,
        number: u64,
        now: Moment,
        slept: Duration,
        ran: impl FnOnce() -> Option<Duration>,
    ) {
        self.until = self.until.filter(|until| now < *until);
        // How long turns in between have slept is not known.
        if self.turn.as_ref().is_none_or(|last| last.number.checked_add(1) != Some(number)) {
            self.thread = None;
        }
        let detail = TurnDetail::default();
        self.turn = Some(MeasuredTurn { number, began: now, since: now, detail });
        match &mut self.thread {
            Some(thread) if now.since(thread.at) < THREAD_TIME_AGE => {
                // A poll that returns at once works like any other call.
                thread.slept += if slept >= SLEEP_MIN { slept } else { Duration::ZERO };
            }
            _ => self.thread = ThreadTime::read(now, ran),
        }
    }

    /// Ends a phase.
    pub fn ended(&mut self, phase: Phase, now: Moment) {
        if let Some(turn) = &mut self.turn {
            turn.detail.phases[phase as usize] += now.since(turn.since);
            turn.since = now;
        }
    }

    /// Records the connection that took most of the phase `run`.
    pub fn set_connection(&mut self, most: Option<(u32, Duration)>) {
        if let Some(turn) = &mut self.turn {
            turn.detail.connection = most;
        }
    }

    /// Ends the turn with this number, and returns what its time was spent on. None: it was not
    /// measured.
    pub fn finish(
        &mut self,
        number: u64,
        now: Moment,
        ran: impl FnOnce() -> Option<Duration>,
    ) -> Option<TurnDetail> {
        let measured = self.turn.as_ref().filter(|turn| turn.number == number);
        let MeasuredTurn { began, mut detail, .. } = *measured?;
        let took = now.since(began);
        if took < WORTH_ASKING {
            detail.not_scheduled = self.thread.as_ref().map(|_| Duration::ZERO);
        } else if let Some(before) = self.thread.take() {
            self.thread = ThreadTime::read(now, ran);
            detail.not_scheduled =
                self.thread.as_ref().map(|thread| thread.waited_since(&before).min(took));
        }
        Some(detail)
    }
}

impl ThreadTime {
    fn read(at: Moment, ran: impl FnOnce() -> Option<Duration>) -> Option<ThreadTime> {
        ran().map(|ran| ThreadTime { at, ran, slept: Duration::ZERO })
    }

    /// Returns the time since then in which the thread neither ran nor slept.
    fn waited_since(&self, before: &ThreadTime) -> Duration {
        let ran = self.ran.saturating_sub(before.ran);
        self.at.since(before.at).saturating_sub(before.slept).saturating_sub(ran)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn ran(time: u64) -> impl FnOnce() -> Option<Duration> {
        move || Some(micros(time))
    }

    fn not_asked() -> Option<Duration> {
        panic!("a call for nothing")
    }

    #[test]
    fn the_time_of_each_phase_is_measured_and_that_of_the_slowest_connection() {
        let mut watch = PhaseWatch::default();
        assert!(!watch.is_on());
        watch.start(Moment(0));
        watch.begin(1, Moment(100), micros(5), ran(50));
        watch.ended(Phase::Mark, Moment(110));
        watch.set_connection(Some((7, micros(700))));
        watch.ended(Phase::Run, Moment(900));
        watch.ended(Phase::Expire, Moment(905));
        watch.ended(Phase::Run, Moment(915));
        let detail = watch.finish(1, Moment(1000), ran(350)).unwrap();
        assert_eq!(detail.phases.map(|took| took.as_micros()), [10, 0, 0, 800, 5, 0, 0]);
        assert_eq!(detail.connection, Some((7, micros(700))));
        assert_eq!(detail.not_scheduled, Some(micros(600)));
        watch.begin(2, Moment(2000), Duration::ZERO, || None);
        watch.ended(Phase::Admin, Moment(2300));
        let detail = watch.finish(2, Moment(2300), || None).unwrap();
        assert_eq!((detail.connection, detail.not_scheduled), (None, None));
        watch.begin(3, Moment(0).after(WATCH_TIME), Duration::ZERO, || None);
        assert!(!watch.is_on(), "nobody asked for a minute");
    }

    #[test]
    fn a_turn_that_began_before_the_watch_is_not_measured() {
        let mut watch = PhaseWatch::default();
        watch.start(Moment(9_000_000));
        watch.ended(Phase::Admin, Moment(9_000_100));
        assert_eq!(watch.finish(1, Moment(9_000_100), not_asked), None);
        // The turn that was measured last is another one.
        watch.begin(7, Moment(9_000_200), Duration::ZERO, ran(10));
        watch.ended(Phase::Admin, Moment(99_000_000));
        assert_eq!(watch.finish(12, Moment(99_000_000), not_asked), None);
        // Nor is it known for how long the turns in between have slept.
        watch.begin(13, Moment(99_000_010), Duration::ZERO, ran(20));
        watch.begin(15, Moment(99_000_910), Duration::ZERO, ran(30));
        let detail = watch.finish(15, Moment(99_001_110), ran(230)).unwrap();
        assert_eq!(detail.not_scheduled, Some(Duration::ZERO));
    }

    #[test]
    fn short_turns_share_a_processor_time_and_what_they_slept_counts_as_no_wait() {
        let mut watch = PhaseWatch::default();
        watch.begin(4, Moment(1000), micros(0), ran(10));
        let detail = watch.finish(4, Moment(1030), not_asked).unwrap();
        assert_eq!(detail.not_scheduled, Some(Duration::ZERO));
        // 400 us asleep, 70 us in turns, all of it at work.
        watch.begin(5, Moment(1430), micros(400), not_asked);
        let detail = watch.finish(5, Moment(1470), not_asked).unwrap();
        assert_eq!(detail.not_scheduled, Some(Duration::ZERO));
        // Two milliseconds, one of them at work.
        watch.begin(6, Moment(1475), micros(5), not_asked);
        let detail = watch.finish(6, Moment(3475), ran(10 + 75 + 1000)).unwrap();
        assert_eq!(detail.not_scheduled, Some(micros(1000)));
        // The processor time of a turn that was asked serves the next one too.
        watch.begin(7, Moment(3500), micros(25), not_asked);
        watch.finish(7, Moment(3510), not_asked).unwrap();
        watch.begin(8, Moment(4475), micros(965), ran(2000));
    }

    #[test]
    fn never_more_time_was_waited_than_the_turn_took() {
        let mut watch = PhaseWatch::default();
        watch.begin(9, Moment(0), micros(0), ran(0));
        watch.finish(9, Moment(90), not_asked);
        watch.begin(10, Moment(900), micros(0), not_asked);
        let detail = watch.finish(10, Moment(1050), ran(1)).unwrap();
        assert_eq!(detail.not_scheduled, Some(micros(150)));
    }
}
