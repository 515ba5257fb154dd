//! Being one process of several: it says when it is ready, waits for the word, says how it stands,
//! and hands in its share.

use std::io::{self, Write};
use std::time::Duration;

use super::phase::Phase;
use super::runner::Runner;
use super::wire::{Share, Told};

/// So often it is told how it stands.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Runs the load of one process and tells of it on `out`.
pub fn run(mut loader: Runner, out: &mut dyn Write) -> io::Result<Share> {
    let (mut ready, mut tells_at) = (false, Duration::ZERO);
    loader.handle_line()?;
    while loader.turn()? {
        if !ready && loader.phase != Phase::Ramp {
            ready = true;
            // How many connections there are is to be known by then.
            tell(out, &Told::Progress(loader.snapshot()))?;
            tell(out, &Told::Ready)?;
        }
        let now = loader.now();
        if now >= tells_at {
            tells_at = now + TELL_EVERY;
            tell(out, &Told::Progress(loader.snapshot()))?;
        }
    }
    let share = Share {
        tallies: loader.groups.into_iter().map(|group| group.tally).collect(),
        timeline: loader.timeline,
        busy: loader.busy,
        ramp: loader.ramp,
        ramp_curve: loader.ramp_curve,
        measured: loader.measured,
        early: loader.early,
    };
    tell(out, &Told::Done(Box::new(share.clone())))?;
    Ok(share)
}

fn tell(out: &mut dyn Write, told: &Told) -> io::Result<()> {
    out.write_all(told.line().as_bytes())?;
    out.flush()
}
