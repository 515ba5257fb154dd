//! The pump: runs a flow until it rests. The one place where bytes move from end to end.

use std::io;
use std::ops::Range;

use super::buffers::{Buffers, Pending};
use super::drive::DriveCx;
use super::end::{Ends, Io, Stream};
use super::event::{Event, ReadHint};
use super::flow::{Flow, Step};
use super::pipes::Pipe;

/// The most steps (a read with its write, or a write of what was held) that one flow takes in a
/// turn. With full buffers this is a mebibyte: a flood delays the others by that and no more.
pub const STEP_BUDGET: u32 = 16;

/// And so many bytes, for steps that move more than a scratch.
const BUDGET_BYTES: u64 = 1024 * 1024;

/// Less than this is not worth the two calls more of a splice: reading is cheaper.
const SPLICE_THRESHOLD: usize = 16 * 1024;

/// When an end has failed, what it sent before is still passed on, in at most so many reads and
/// writes: with full buffers more than the largest receive buffer that Linux allows by default
/// (6 MiB).
const FLUSH_BUDGET: u32 = 256;

/// An end failed.
pub struct EndError {
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
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<(), EndError> {
    let before = flow.moved;
    match ends.next(flow) {
        Step::Rest => return Ok(()),
        next => step(next, flow, ends, cx)?,
    }
    match ends.next(flow) {
        Step::Rest => Ok(()),
        _ => pump_more(before + BUDGET_BYTES, flow, ends, cx),
    }
}

/// The steps behind the first, until so many bytes have moved.
#[inline(never)]
fn pump_more<S: Stream>(
    enough: u64,
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<(), EndError> {
    for _ in 1..STEP_BUDGET {
        if flow.moved >= enough {
            break;
        }
        match ends.next(flow) {
            Step::Rest => return Ok(()),
            next => step(next, flow, ends, cx)?,
        }
    }
    if ends.next(flow) != Step::Rest {
        cx.step(flow.route().0, || Event::Yielded { steps: STEP_BUDGET });
    }
    Ok(())
}

#[inline(always)]
fn step<S: Stream>(
    next: Step,
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<(), EndError> {
    match next {
        Step::Rest => Ok(()),
        Step::Write => write_unsent(flow, ends, cx),
        Step::Read if flow.bulk => splice(flow, ends, cx),
        Step::Read => read_then_write(flow, ends, cx),
    }
}

/// One read, and the write of what it brought.
#[inline(always)]
fn read_then_write<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<(), EndError> {
    let (from, to) = flow.route();
    let Some(bytes) = read(ends, from, flow.moved, cx)? else { return Ok(()) };
    if bytes == 0 {
        flow.done = true;
        return propagate_eof(ends, (from, to), cx);
    }
    let Buffers { scratch, unsent } = &mut *cx.buffers;
    if bytes >= SPLICE_THRESHOLD.min(scratch.len()) {
        flow.bulk = ends.can_splice(from, to);
    }
    let wrote = ends.write(to, &scratch[..bytes], unsent);
    let wrote = written(wrote, bytes, to, cx)?;
    flow.moved += wrote as u64;
    if wrote < bytes {
        store(flow, wrote..bytes, cx);
    }
    Ok(())
}

/// Keeps what was read and not written.
#[cold]
fn store<P: Pipe>(flow: &mut Flow, rest: Range<usize>, cx: &mut DriveCx<'_, P>) {
    let Buffers { scratch, unsent } = &mut *cx.buffers;
    flow.unsent = Some(unsent.store(&scratch[rest]));
}

/// Passes on what an end that failed had sent before, as far as the other side takes it now.
#[cold]
pub fn flush_after_error<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<(), EndError> {
    // What is known of the ends may be old: each is tried until it says itself that it is enough.
    ends.doubt_to_the_end();
    for _ in 0..FLUSH_BUDGET {
        match ends.next(flow) {
            Step::Rest => break,
            Step::Write => write_unsent(flow, ends, cx)?,
            Step::Read => match read(ends, flow.route().0, flow.moved, cx)? {
                Some(0) => break,
                Some(bytes) => store(flow, 0..bytes, cx),
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
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<Option<usize>, EndError> {
    let into = &mut *cx.buffers.scratch;
    let room = into.len();
    let (read, hint) = ends.read(end, into, at).map_err(|error| EndError { end, error })?;
    match read {
        Io::Moved(0) => return Ok(Some(0)),
        Io::Moved(bytes) => {
            cx.step(end, || Event::Read { bytes, room, hint });
            return Ok(Some(bytes));
        }
        Io::Blocked => cx.step(end, || Event::ReadBlocked),
        Io::Interrupted => cx.step(end, || Event::Interrupted),
    }
    Ok(None)
}

/// What became of a write of so many bytes: how many were taken.
#[inline(always)]
fn written<P>(
    wrote: io::Result<Io>,
    bytes: usize,
    end: usize,
    cx: &mut DriveCx<'_, P>,
) -> Result<usize, EndError> {
    match wrote.map_err(|error| EndError { end, error })? {
        Io::Moved(moved) => {
            cx.step(end, || Event::Wrote { bytes: moved, left: bytes - moved });
            return Ok(moved);
        }
        Io::Blocked => cx.step(end, || Event::WriteBlocked { left: bytes }),
        Io::Interrupted => cx.step(end, || Event::Interrupted),
    }
    Ok(0)
}

/// Writes what a flow holds, as far as it goes.
#[inline(never)]
fn write_unsent<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<(), EndError> {
    let Some(unsent_id) = &flow.unsent else { return Ok(()) };
    let ((_, to), unsent) = (flow.route(), &mut cx.buffers.unsent);
    let mut pending = unsent.take(unsent_id);
    let bytes = pending.len();
    let wrote = match &mut pending {
        Pending::Pipe { pipe, left } => ends.splice_out(to, pipe, *left),
        bytes => ends.write(to, bytes.data(), unsent),
    };
    unsent.put(unsent_id, pending);
    let wrote = written(wrote, bytes, to, cx)?;
    flow.moved += wrote as u64;
    cx.buffers.unsent.consume(&mut flow.unsent, wrote);
    Ok(())
}

/// One read into a pipe, and its write. Of little, or of nothing, the flow learns that it is no
/// bulk any more, and the next step is a plain read: it alone tells an end of file.
#[inline(never)]
fn splice<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<(), EndError> {
    flow.bulk = false;
    let (from, to) = flow.route();
    if !ends.can_splice(from, to) {
        return Ok(());
    }
    let unsent = &mut cx.buffers.unsent;
    let Some(mut pipe) = unsent.pipes.borrow() else { return Ok(()) };
    let room = pipe.capacity();
    let moved = ends.splice_in(from, &mut pipe);
    if let Ok(Io::Moved(bytes @ 1..)) = moved {
        flow.bulk = bytes >= SPLICE_THRESHOLD;
        flow.unsent = Some(unsent.store_pipe(pipe, bytes));
        cx.step(from, || Event::Read { bytes, room, hint: ReadHint::Spliced });
        return write_unsent(flow, ends, cx);
    }
    unsent.pipes.release(pipe, true);
    match moved.map_err(|error| EndError { end: from, error })? {
        Io::Moved(_) => return Ok(()),
        Io::Blocked => cx.step(from, || Event::ReadBlocked),
        Io::Interrupted => cx.step(from, || Event::Interrupted),
    }
    // Nothing now says nothing of what comes: a bulk stays one over its pauses.
    flow.bulk = true;
    Ok(())
}

/// Passes an end of file on; a peer that is gone already counts as told.
#[cold]
fn propagate_eof<S: Stream>(
    ends: &mut Ends<S>,
    (from, to): (usize, usize),
    cx: &mut DriveCx<'_, S::Pipe>,
) -> Result<(), EndError> {
    if let Some(message) = ends.heard(from, &cx.buffers.unsent) {
        cx.seen.on(cx.key.at(from), &Event::Message { message });
    }
    cx.on(from, &Event::EndOfFile);
    if ends.shutdown(to).map_err(|error| EndError { end: to, error })? {
        cx.on(to, &Event::ShutDown);
    }
    Ok(())
}
