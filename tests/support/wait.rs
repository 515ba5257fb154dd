//! Waits that poll a condition, with a limit.

use std::thread;
use std::time::{Duration, Instant};

/// Maximum time of a wait: longer than anything takes on the busiest machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Time between two checks of a condition.
pub const PAUSE: Duration = Duration::from_millis(2);

/// Calls `there` until it returns something.
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
