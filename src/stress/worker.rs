//! The worker side of a run in several processes: reports to the coordinator that it is ready,
//! waits for the start message, and sends progress and its result.

use std::io::{self, Write};
use std::time::Duration;

use super::protocol::{Message, WorkerResult};
use super::runner::Runner;

/// Interval between two progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// Runs the load, and writes messages for the coordinator to `out`.
pub fn run(mut runner: Runner, out: &mut dyn Write) -> io::Result<WorkerResult> {
    let (mut ready, mut next_progress) = (false, Duration::ZERO);
    runner.connect_parent()?;
    while runner.turn()? {
        if !ready && !runner.is_ramping() {
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
    let result = runner.finish().into_worker_result();
    send(out, &Message::Done(Box::new(result.clone())))?;
    Ok(result)
}

fn send(out: &mut dyn Write, message: &Message) -> io::Result<()> {
    out.write_all(message.line().as_bytes())?;
    out.flush()
}
