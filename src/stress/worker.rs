//! Runs the load as a worker process: reports that it is ready, waits for the start message, and
//! sends progress and its result to the coordinator.

use std::io::{self, Write};
use std::time::Duration;

use super::phase::Phase;
use super::protocol::{Message, WorkerResult};
use super::runner::Runner;

/// Interval between two progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the load, and writes messages for the coordinator to `out`.
pub fn run(mut runner: Runner, out: &mut dyn Write) -> io::Result<WorkerResult> {
    let (mut ready, mut next_progress) = (false, Duration::ZERO);
    runner.connect_parent()?;
    while runner.turn()? {
        if !ready && runner.phase != Phase::Ramp {
            ready = true;
            // The coordinator needs the number of connections when it starts the loads.
            send(out, &Message::Progress(runner.snapshot()))?;
            send(out, &Message::Ready)?;
        }
        let now = runner.now();
        if now >= next_progress {
            next_progress = now + PROGRESS_INTERVAL;
            send(out, &Message::Progress(runner.snapshot()))?;
        }
    }
    let result = WorkerResult {
        load_stats: runner.groups.into_iter().map(|group| group.stats).collect(),
        timeline: runner.timeline,
        busy: runner.busy,
        ramp: runner.ramp,
        ramp_curve: runner.ramp_curve,
        measured: runner.measured,
        interrupted: runner.interrupted,
    };
    send(out, &Message::Done(Box::new(result.clone())))?;
    Ok(result)
}

fn send(out: &mut dyn Write, message: &Message) -> io::Result<()> {
    out.write_all(message.line().as_bytes())?;
    out.flush()
}
