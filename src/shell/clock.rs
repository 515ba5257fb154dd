//! The clock of the loop: microseconds since it began.

#[cfg(not(unix))]
use std::time::Instant;

#[cfg(unix)]
use nix::time::{ClockId, clock_gettime};

use crate::core::Moment;

/// Read once a turn, so its price is part of that of each message. The standard clock reckons with
/// seconds and nanoseconds of which nothing is needed here; that costs more than the reading.
#[cfg(unix)]
#[derive(Debug)]
pub struct Clock {
    began_micros: u64,
}

#[cfg(unix)]
impl Clock {
    pub fn start() -> Clock {
        Clock { began_micros: micros() }
    }

    pub fn now(&self) -> Moment {
        Moment(micros().saturating_sub(self.began_micros))
    }
}

#[cfg(unix)]
fn micros() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every system has this clock");
    time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1000
}

#[cfg(not(unix))]
#[derive(Debug)]
pub struct Clock {
    began: Instant,
}

#[cfg(not(unix))]
impl Clock {
    pub fn start() -> Clock {
        Clock { began: Instant::now() }
    }

    pub fn now(&self) -> Moment {
        Moment(0).after(self.began.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn it_goes_as_the_standard_clock_goes() {
        let (outer, clock) = (Instant::now(), Clock::start());
        let inner = Instant::now();
        std::thread::sleep(Duration::from_millis(20));
        let least = inner.elapsed();
        let now = clock.now().since(Moment(0));
        let most = outer.elapsed();
        let micro = Duration::from_micros(1);
        assert!(now + micro >= least && now <= most + micro, "{least:?} {now:?} {most:?}");
    }
}
