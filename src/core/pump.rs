//! The pump: runs a flow until it rests. The one place where bytes move from end to end.

use std::io;

use super::buffers::{Buffers, Kept, Shelf};
use super::end::{Ends, Io, Stream};
use super::event::{Because, Event, Seen};
use super::flow::{Flow, Step};
use super::key::Key;
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
    key: Key,
    buffers: &mut Buffers<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<(), Broken> {
    let before = flow.moved;
    match ends.next(flow) {
        Step::Rest => return Ok(()),
        next => step(next, flow, ends, key, buffers, seen)?,
    }
    match ends.next(flow) {
        Step::Rest => Ok(()),
        _ => go_on(before + BUDGET_BYTES, flow, ends, key, buffers, seen),
    }
}

/// The steps behind the first, until so many bytes have moved.
#[inline(never)]
fn go_on<S: Stream>(
    enough: u64,
    flow: &mut Flow,
    ends: &mut Ends<S>,
    key: Key,
    buffers: &mut Buffers<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<(), Broken> {
    for _ in 1..BUDGET {
        if flow.moved >= enough {
            break;
        }
        match ends.next(flow) {
            Step::Rest => return Ok(()),
            next => step(next, flow, ends, key, buffers, seen)?,
        }
    }
    if ends.next(flow) != Step::Rest {
        seen.step(key.at(flow.route().0), || Event::Yielded { steps: BUDGET });
    }
    Ok(())
}

#[inline(always)]
fn step<S: Stream>(
    next: Step,
    flow: &mut Flow,
    ends: &mut Ends<S>,
    key: Key,
    buffers: &mut Buffers<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<(), Broken> {
    match next {
        Step::Rest => Ok(()),
        Step::Write => {
            let (_, to) = flow.route();
            write_held(ends, flow, key.at(to), &mut buffers.shelf, seen)
        }
        Step::Read if flow.bulk => splice(ends, flow, key, &mut buffers.shelf, seen),
        Step::Read => pass(ends, flow, key, buffers, seen),
    }
}

/// One read, and the write of what it brought.
#[inline(never)]
fn pass<S: Stream>(
    ends: &mut Ends<S>,
    flow: &mut Flow,
    key: Key,
    buffers: &mut Buffers<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<(), Broken> {
    let (from, to) = flow.route();
    let Buffers { scratch, shelf } = buffers;
    let Some(bytes) = read(ends, key.at(from), scratch, flow.moved, seen)? else { return Ok(()) };
    if bytes == 0 {
        flow.done = true;
        return pass_on_end(ends, key, (from, to), shelf, seen);
    }
    flow.bulk = bytes >= LITTLE.min(scratch.len()) && ends.can_splice(from, to);
    let wrote = write(ends, key.at(to), &scratch[..bytes], shelf, seen)?;
    flow.moved += wrote as u64;
    if wrote < bytes {
        flow.held = Some(shelf.keep(&scratch[wrote..bytes]));
    }
    Ok(())
}

/// Passes on what an end that failed had sent before, as far as the other side takes it now.
#[cold]
pub fn last_words<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    key: Key,
    buffers: &mut Buffers<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<(), Broken> {
    let (from, to) = flow.route();
    let Buffers { scratch, shelf } = buffers;
    // What is known of the ends may be old: each is tried until it says itself that it is enough.
    ends.doubt();
    for _ in 0..LAST_WORDS {
        match ends.next(flow) {
            Step::Rest => break,
            Step::Write => {
                write_held(ends, flow, key.at(to), shelf, seen)?;
            }
            Step::Read => match read(ends, key.at(from), scratch, flow.moved, seen)? {
                Some(0) => break,
                Some(bytes) => flow.held = Some(shelf.keep(&scratch[..bytes])),
                None => {}
            },
        }
    }
    Ok(())
}

/// One read. Some(0) is the end of file; None: nothing now.
#[inline(always)]
fn read<S: Stream>(
    ends: &mut Ends<S>,
    key: Key,
    into: &mut [u8],
    at: u64,
    seen: &mut Seen<'_>,
) -> Result<Option<usize>, Broken> {
    let (end, room) = (key.end(), into.len());
    let (read, because) = ends.read(end, into, at).map_err(|error| Broken { end, error })?;
    match read {
        Io::Moved(0) => return Ok(Some(0)),
        Io::Moved(bytes) => {
            seen.step(key, || Event::Read { bytes, room, because });
            return Ok(Some(bytes));
        }
        Io::Blocked => seen.step(key, || Event::ReadBlocked),
        Io::Interrupted => seen.step(key, || Event::Interrupted),
    }
    Ok(None)
}

/// One write; how many bytes were taken.
#[inline(always)]
fn write<S: Stream>(
    ends: &mut Ends<S>,
    key: Key,
    from: &[u8],
    shelf: &mut Shelf<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<usize, Broken> {
    written(ends.write(key.end(), from, shelf), from.len(), key, seen)
}

/// What became of a write of so many bytes.
#[inline(always)]
fn written(
    wrote: io::Result<Io>,
    bytes: usize,
    key: Key,
    seen: &mut Seen<'_>,
) -> Result<usize, Broken> {
    match wrote.map_err(|error| Broken { end: key.end(), error })? {
        Io::Moved(moved) => {
            seen.step(key, || Event::Wrote { bytes: moved, left: bytes - moved });
            return Ok(moved);
        }
        Io::Blocked => seen.step(key, || Event::WriteBlocked { left: bytes }),
        Io::Interrupted => seen.step(key, || Event::Interrupted),
    }
    Ok(0)
}

/// Writes what a flow holds, as far as it goes.
#[inline(never)]
fn write_held<S: Stream>(
    ends: &mut Ends<S>,
    flow: &mut Flow,
    key: Key,
    shelf: &mut Shelf<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<(), Broken> {
    let Some(loan) = &flow.held else { return Ok(()) };
    let mut kept = shelf.take(loan);
    let wrote = match &mut kept {
        Kept::Pipe { pipe, left } => {
            let moved = ends.splice_out(key.end(), pipe, *left);
            written(moved, *left, key, seen)
        }
        bytes => write(ends, key, bytes.data(), shelf, seen),
    };
    shelf.put(loan, kept);
    let wrote = wrote?;
    flow.moved += wrote as u64;
    shelf.consume(&mut flow.held, wrote);
    Ok(())
}

/// One read into a pipe, and its write. Of little, or of nothing, the flow learns that it is no
/// bulk any more, and the next step is a plain read: it alone tells an end of file.
#[inline(never)]
fn splice<S: Stream>(
    ends: &mut Ends<S>,
    flow: &mut Flow,
    key: Key,
    shelf: &mut Shelf<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<(), Broken> {
    flow.bulk = false;
    let (from, to) = flow.route();
    if !ends.can_splice(from, to) {
        return Ok(());
    }
    let Some(mut pipe) = shelf.pipes.borrow() else { return Ok(()) };
    let (key, room) = (key.at(from), pipe.capacity());
    let moved = ends.splice_in(from, &mut pipe);
    if let Ok(Io::Moved(bytes @ 1..)) = moved {
        flow.bulk = bytes >= LITTLE;
        flow.held = Some(shelf.keep_pipe(pipe, bytes));
        seen.step(key, || Event::Read { bytes, room, because: Because::Spliced });
        return write_held(ends, flow, key.at(to), shelf, seen);
    }
    shelf.pipes.give_back(pipe, true);
    match moved.map_err(|error| Broken { end: from, error })? {
        Io::Moved(_) => return Ok(()),
        Io::Blocked => seen.step(key, || Event::ReadBlocked),
        Io::Interrupted => seen.step(key, || Event::Interrupted),
    }
    // Nothing now says nothing of what comes: a bulk stays one over its pauses.
    flow.bulk = true;
    Ok(())
}

/// Passes an end of file on; a peer that is gone already counts as told.
#[cold]
fn pass_on_end<S: Stream>(
    ends: &mut Ends<S>,
    key: Key,
    (from, to): (usize, usize),
    shelf: &Shelf<S::Pipe>,
    seen: &mut Seen<'_>,
) -> Result<(), Broken> {
    if let Some(message) = ends.heard(from, shelf) {
        seen.on(key.at(from), &Event::Heard { message });
    }
    seen.on(key.at(from), &Event::EndOfFile);
    if ends.shutdown(to).map_err(|error| Broken { end: to, error })? {
        seen.on(key.at(to), &Event::ShutDown);
    }
    Ok(())
}
