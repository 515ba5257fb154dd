//! The clock of the loop: microseconds since its start.

#[cfg(not(unix))]
use std::time::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(unix)]
use nix::time::{ClockId, clock_gettime};

use crate::core::Moment;

/// A monotonic clock. It is read every turn, so its cost counts for each message. It avoids
/// `Instant`, whose arithmetic on seconds and nanoseconds costs more than the reading.
#[cfg(unix)]
#[derive(Debug)]
pub struct Clock {
    started_micros: u64,
}

#[cfg(unix)]
impl Clock {
    pub fn start() -> Clock {
        Clock { started_micros: micros() }
    }

    pub fn now(&self) -> Moment {
        Moment(micros().saturating_sub(self.started_micros))
    }
}

#[cfg(unix)]
fn micros() -> u64 {
    let time =
        clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists on every system");
    time.tv_sec() as u64 * 1_000_000 + time.tv_nsec() as u64 / 1000
}

#[cfg(not(unix))]
#[derive(Debug)]
pub struct Clock {
    started: Instant,
}

#[cfg(not(unix))]
impl Clock {
    pub fn start() -> Clock {
        Clock { started: Instant::now() }
    }

    pub fn now(&self) -> Moment {
        Moment(0).after(self.started.elapsed())
    }
}

/// Returns the time of day, in seconds since 1970.
pub fn unix_seconds() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_1970.as_secs() as i64
}

/// Returns the processor time that this thread has used. None where the system does not measure
/// it.
#[cfg(any(target_os = "linux", target_os = "macos", target_os = "freebsd"))]
pub fn thread_time() -> Option<Duration> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok()?;
    Some(Duration::from(time))
}

#[cfg(not(any(target_os = "linux", target_os = "macos", target_os = "freebsd")))]
pub fn thread_time() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn it_agrees_with_the_standard_clock() {
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
