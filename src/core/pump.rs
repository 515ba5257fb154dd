//! The pump: runs a flow until it rests. The one place where bytes move from end to end.

use std::io;
use std::ops::Range;

use super::buffers::{Buffers, Kept};
use super::drive::Drive;
use super::end::{Ends, Io, Stream};
use super::event::{Because, Event};
use super::flow::{Flow, Step};
use super::pipes::Pipe;

/// The most steps (a read with its write, or a write of what was held) that one flow takes in a
/// turn. With full buffers this is a mebibyte: a flood delays the others by that and no more.
pub const BUDGET: u32 = 16;

/// And so many bytes, for steps that move more than a scratch.
const BUDGET_BYTES: u64 = 1024 * 1024;

/// Less than this is not worth the two calls more of a splice: reading is cheaper.
const LITTLE: usize = 16 * 1024;

/// When an end has failed, what it sent before is still passed on, in at most so many reads and
/// writes: with full buffers more than the largest receive buffer that Linux allows by default
/// (6 MiB).
const LAST_WORDS: u32 = 256;

/// An end failed.
pub struct Broken {
    pub end: usize,
    pub error: io::Error,
}

/// Runs one flow until it rests or has had its share. It is done, if it saw the end of file.
///
/// Most messages pass in one step, and then nothing is left to do. That is short enough to be a
/// part of the caller; what happens seldom is kept out of it, or its values would not stay in
/// registers.
#[inline(always)]
pub fn pump<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    with: &mut Drive<'_, S::Pipe>,
) -> Result<(), Broken> {
    let before = flow.moved;
    match ends.next(flow) {
        Step::Rest => return Ok(()),
        next => step(next, flow, ends, with)?,
    }
    match ends.next(flow) {
        Step::Rest => Ok(()),
        _ => go_on(before + BUDGET_BYTES, flow, ends, with),
    }
}

/// The steps behind the first, until so many bytes have moved.
#[inline(never)]
fn go_on<S: Stream>(
    enough: u64,
    flow: &mut Flow,
    ends: &mut Ends<S>,
    with: &mut Drive<'_, S::Pipe>,
) -> Result<(), Broken> {
    for _ in 1..BUDGET {
        if flow.moved >= enough {
            break;
        }
        match ends.next(flow) {
            Step::Rest => return Ok(()),
            next => step(next, flow, ends, with)?,
        }
    }
    if ends.next(flow) != Step::Rest {
        with.step(flow.route().0, || Event::Yielded { steps: BUDGET });
    }
    Ok(())
}

#[inline(always)]
fn step<S: Stream>(
    next: Step,
    flow: &mut Flow,
    ends: &mut Ends<S>,
    with: &mut Drive<'_, S::Pipe>,
) -> Result<(), Broken> {
    match next {
        Step::Rest => Ok(()),
        Step::Write => write_held(flow, ends, with),
        Step::Read if flow.bulk => splice(flow, ends, with),
        Step::Read => pass(flow, ends, with),
    }
}

/// One read, and the write of what it brought.
#[inline(always)]
fn pass<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    with: &mut Drive<'_, S::Pipe>,
) -> Result<(), Broken> {
    let (from, to) = flow.route();
    let Some(bytes) = read(ends, from, flow.moved, with)? else { return Ok(()) };
    if bytes == 0 {
        flow.done = true;
        return pass_on_end(ends, (from, to), with);
    }
    let Buffers { scratch, shelf } = &mut *with.buffers;
    if bytes >= LITTLE.min(scratch.len()) {
        flow.bulk = ends.can_splice(from, to);
    }
    let wrote = ends.write(to, &scratch[..bytes], shelf);
    let wrote = written(wrote, bytes, to, with)?;
    flow.moved += wrote as u64;
    if wrote < bytes {
        keep(flow, wrote..bytes, with);
    }
    Ok(())
}

/// Keeps what was read and not written.
#[cold]
fn keep<P: Pipe>(flow: &mut Flow, unsent: Range<usize>, with: &mut Drive<'_, P>) {
    let Buffers { scratch, shelf } = &mut *with.buffers;
    flow.held = Some(shelf.keep(&scratch[unsent]));
}

/// Passes on what an end that failed had sent before, as far as the other side takes it now.
#[cold]
pub fn last_words<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    with: &mut Drive<'_, S::Pipe>,
) -> Result<(), Broken> {
    // What is known of the ends may be old: each is tried until it says itself that it is enough.
    ends.doubt_to_the_end();
    for _ in 0..LAST_WORDS {
        match ends.next(flow) {
            Step::Rest => break,
            Step::Write => write_held(flow, ends, with)?,
            Step::Read => match read(ends, flow.route().0, flow.moved, with)? {
                Some(0) => break,
                Some(bytes) => keep(flow, 0..bytes, with),
                None => {}
            },
        }
    }
    Ok(())
}

/// One read into the scratch. Some(0) is the end of file; None: nothing now.
#[inline(always)]
fn read<S: Stream>(
    ends: &mut Ends<S>,
    end: usize,
    at: u64,
    with: &mut Drive<'_, S::Pipe>,
) -> Result<Option<usize>, Broken> {
    let into = &mut *with.buffers.scratch;
    let room = into.len();
    let (read, because) = ends.read(end, into, at).map_err(|error| Broken { end, error })?;
    match read {
        Io::Moved(0) => return Ok(Some(0)),
        Io::Moved(bytes) => {
            with.step(end, || Event::Read { bytes, room, because });
            return Ok(Some(bytes));
        }
        Io::Blocked => with.step(end, || Event::ReadBlocked),
        Io::Interrupted => with.step(end, || Event::Interrupted),
    }
    Ok(None)
}

/// What became of a write of so many bytes: how many were taken.
#[inline(always)]
fn written<P>(
    wrote: io::Result<Io>,
    bytes: usize,
    end: usize,
    with: &mut Drive<'_, P>,
) -> Result<usize, Broken> {
    match wrote.map_err(|error| Broken { end, error })? {
        Io::Moved(moved) => {
            with.step(end, || Event::Wrote { bytes: moved, left: bytes - moved });
            return Ok(moved);
        }
        Io::Blocked => with.step(end, || Event::WriteBlocked { left: bytes }),
        Io::Interrupted => with.step(end, || Event::Interrupted),
    }
    Ok(0)
}

/// Writes what a flow holds, as far as it goes.
#[inline(never)]
fn write_held<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    with: &mut Drive<'_, S::Pipe>,
) -> Result<(), Broken> {
    let Some(loan) = &flow.held else { return Ok(()) };
    let ((_, to), shelf) = (flow.route(), &mut with.buffers.shelf);
    let mut kept = shelf.take(loan);
    let bytes = kept.len();
    let wrote = match &mut kept {
        Kept::Pipe { pipe, left } => ends.splice_out(to, pipe, *left),
        bytes => ends.write(to, bytes.data(), shelf),
    };
    shelf.put(loan, kept);
    let wrote = written(wrote, bytes, to, with)?;
    flow.moved += wrote as u64;
    with.buffers.shelf.consume(&mut flow.held, wrote);
    Ok(())
}

/// One read into a pipe, and its write. Of little, or of nothing, the flow learns that it is no
/// bulk any more, and the next step is a plain read: it alone tells an end of file.
#[inline(never)]
fn splice<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    with: &mut Drive<'_, S::Pipe>,
) -> Result<(), Broken> {
    flow.bulk = false;
    let (from, to) = flow.route();
    if !ends.can_splice(from, to) {
        return Ok(());
    }
    let shelf = &mut with.buffers.shelf;
    let Some(mut pipe) = shelf.pipes.borrow() else { return Ok(()) };
    let room = pipe.capacity();
    let moved = ends.splice_in(from, &mut pipe);
    if let Ok(Io::Moved(bytes @ 1..)) = moved {
        flow.bulk = bytes >= LITTLE;
        flow.held = Some(shelf.keep_pipe(pipe, bytes));
        with.step(from, || Event::Read { bytes, room, because: Because::Spliced });
        return write_held(flow, ends, with);
    }
    shelf.pipes.give_back(pipe, true);
    match moved.map_err(|error| Broken { end: from, error })? {
        Io::Moved(_) => return Ok(()),
        Io::Blocked => with.step(from, || Event::ReadBlocked),
        Io::Interrupted => with.step(from, || Event::Interrupted),
    }
    // Nothing now says nothing of what comes: a bulk stays one over its pauses.
    flow.bulk = true;
    Ok(())
}

/// Passes an end of file on; a peer that is gone already counts as told.
#[cold]
fn pass_on_end<S: Stream>(
    ends: &mut Ends<S>,
    (from, to): (usize, usize),
    with: &mut Drive<'_, S::Pipe>,
) -> Result<(), Broken> {
    if let Some(message) = ends.heard(from, &with.buffers.shelf) {
        with.seen.on(with.key.at(from), &Event::Heard { message });
    }
    with.on(from, &Event::EndOfFile);
    if ends.shutdown(to).map_err(|error| Broken { end: to, error })? {
        with.on(to, &Event::ShutDown);
    }
    Ok(())
}
