//! Waits that ask again and again, with a limit.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes on the busiest machine: what has not come by then never comes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// So long a condition that is asked for again and again rests in between.
pub const PAUSE: Duration = Duration::from_millis(2);

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "it never comes: {what}");
        thread::sleep(PAUSE);
    }
}
