//! A timer that wakes the loop more precisely than `poll` does. epoll sleeps in whole milliseconds,
//! while messages at a rate are due in between.

use std::io;
use std::time::Duration;

use mio::{Registry, Token};

/// A timer descriptor registered with the poll (Linux). Elsewhere the loop polls without
/// sleeping for the last millisecond.
#[derive(Debug, Default)]
pub struct PreciseTimer {
    #[cfg(target_os = "linux")]
    timer: Option<std::os::fd::OwnedFd>,
}

/// Maximum time by which a sleep of the poll itself may be late.
#[cfg(not(target_os = "linux"))]
const POLL_PRECISION: Duration = Duration::from_millis(1);

#[cfg(target_os = "linux")]
impl PreciseTimer {
    pub fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        use std::os::fd::AsRawFd;

        use mio::Interest;
        use mio::unix::SourceFd;
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

        let flags = TimerfdFlags::NONBLOCK.union(TimerfdFlags::CLOEXEC);
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), token, Interest::READABLE)?;
        self.timer = Some(timer);
        Ok(())
    }

    /// Sets the timer to wake the loop after this time. Returns the timeout for the poll.
    pub fn set(&mut self, after: Duration) -> Duration {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

        let Some(timer) = self.timer.as_ref().filter(|_| !after.is_zero()) else { return after };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Timespec {
            tv_sec: after.as_secs().min(i32::MAX as u64) as i64,
            tv_nsec: i64::from(after.subsec_nanos()),
        };
        let once = Itimerspec { it_interval: zero, it_value: value };
        match timerfd_settime(timer, TimerfdTimerFlags::empty(), &once) {
            // The timer fires first; the poll's own timeout is only a fallback.
            Ok(_) => after + Duration::from_millis(2),
            Err(_) => after,
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl PreciseTimer {
    pub fn register(&mut self, _: &Registry, _: Token) -> io::Result<()> {
        Ok(())
    }

    pub fn set(&mut self, after: Duration) -> Duration {
        after.saturating_sub(POLL_PRECISION)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use mio::{Events, Poll};

    use super::*;

    #[test]
    fn the_loop_is_not_woken_before_its_time_and_soon_after_it() {
        let mut poll = Poll::new().unwrap();
        let mut precise_timer = PreciseTimer::default();
        precise_timer.register(poll.registry(), Token(7)).unwrap();
        let after = Duration::from_micros(300);
        let mut soonest = Duration::MAX;
        for _ in 0..20 {
            let began = Instant::now();
            while began.elapsed() < after {
                let sleep = precise_timer.set(after.saturating_sub(began.elapsed()));
                poll.poll(&mut Events::with_capacity(4), Some(sleep)).unwrap();
            }
            soonest = soonest.min(began.elapsed());
        }
        assert!(soonest >= after && soonest < Duration::from_secs(5), "{soonest:?}");
        assert_eq!(precise_timer.set(Duration::ZERO), Duration::ZERO);
    }
}
