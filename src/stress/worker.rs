//! Being one process of several: it says when it is ready, waits for the word, says how it stands,
//! and hands in its share.

use std::io::{self, Write};
use std::time::Duration;

use super::phase::Phase;
use super::protocol::{Message, WorkerResult};
use super::runner::Runner;

/// So often it is told how it stands.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the load of one process and tells of it on `out`.
pub fn run(mut runner: Runner, out: &mut dyn Write) -> io::Result<WorkerResult> {
    let (mut ready, mut next_progress) = (false, Duration::ZERO);
    runner.connect_parent()?;
    while runner.turn()? {
        if !ready && runner.phase != Phase::Ramp {
            ready = true;
            // How many connections there are is to be known by then.
            tell(out, &Message::Progress(runner.snapshot()))?;
            tell(out, &Message::Ready)?;
        }
        let now = runner.now();
        if now >= next_progress {
            next_progress = now + PROGRESS_INTERVAL;
            tell(out, &Message::Progress(runner.snapshot()))?;
        }
    }
    let share = WorkerResult {
        load_stats: runner.groups.into_iter().map(|group| group.stats).collect(),
        timeline: runner.timeline,
        busy: runner.busy,
        ramp: runner.ramp,
        ramp_curve: runner.ramp_curve,
        measured: runner.measured,
        interrupted: runner.interrupted,
    };
    tell(out, &Message::Done(Box::new(share.clone())))?;
    Ok(share)
}

fn tell(out: &mut dyn Write, told: &Message) -> io::Result<()> {
    out.write_all(told.line().as_bytes())?;
    out.flush()
}
