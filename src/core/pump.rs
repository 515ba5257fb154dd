//! Moves bytes from one end to another until the flow has to wait. The only place where bytes move.

use std::io;
use std::ops::Range;

use super::buffers::{Buffers, Pending};
use super::drive::DriveCx;
use super::end::{End, Ends, Io, Stream};
use super::event::{Event, ReadHint};
use super::flow::{Flow, Step};
use super::key::Key;
use super::pipes::Pipe;
use super::ready::Ready;
use super::turn::Turn;

/// Maximum steps one flow may take per turn. A step is a read and its write, or a write of unsent
/// bytes. With full buffers this is 1 MiB: the longest delay one connection can impose on others.
pub const STEP_BUDGET: u32 = 16;

/// Bytes after which a flow takes no further step in this turn. One splice moves more than a read.
const BYTE_BUDGET: u64 = 1024 * 1024;

/// Reads shorter than this are copied: a splice would cost two more system calls.
const SPLICE_THRESHOLD: usize = 16 * 1024;

/// Maximum reads and writes that forward what a failed end sent before it failed. With full buffers
/// this is more than the largest receive buffer that Linux allows by default (6 MiB).
const FLUSH_BUDGET: u32 = 256;

/// An error of a socket, and the end it occurred at.
#[derive(Debug)]
pub struct EndError {
    pub end: usize,
    pub error: io::Error,
}

/// Runs `flow` until it has to wait or its budget is used up. Sets `flow.done` at the end of file.
///
/// Most messages need one step, so that path is inlined. Rare cases are separate functions:
/// inlined, they would cost the common path registers.
#[inline(always)]
pub fn pump<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<(), EndError> {
    let before = flow.moved;
    match ends.next(flow) {
        Step::Rest => return Ok(()),
        next => step(next, flow, ends, cx)?,
    }
    match ends.next(flow) {
        Step::Rest => Ok(()),
        _ => pump_more(before + BYTE_BUDGET, flow, ends, cx),
    }
}

/// Takes the steps after the first, until `flow.moved` reaches `limit`.
#[inline(never)]
fn pump_more<S: Stream>(
    limit: u64,
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<(), EndError> {
    let mut steps = 1;
    while steps < STEP_BUDGET && flow.moved < limit {
        match ends.next(flow) {
            Step::Rest => return Ok(()),
            next => step(next, flow, ends, cx)?,
        }
        steps += 1;
    }
    if ends.next(flow) != Step::Rest {
        cx.buffers.counts.budget_exhausted += 1;
        cx.step(flow.route().0, || Event::Yielded { steps });
    }
    Ok(())
}

#[inline(always)]
fn step<S: Stream>(
    next: Step,
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<(), EndError> {
    match next {
        Step::Rest => Ok(()),
        Step::Write => write_unsent(flow, ends, cx),
        Step::Read if flow.bulk => splice(flow, ends, cx),
        Step::Read => read_then_write(flow, ends, cx),
    }
}

/// Reads once and writes what was read. Bytes that cannot be written are stored in `cx.unsent`.
#[inline(always)]
fn read_then_write<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<(), EndError> {
    let (from, to) = flow.route();
    let Some(bytes) = read(ends, from, flow.moved, cx)? else { return Ok(()) };
    if bytes == 0 {
        flow.done = true;
        return propagate_eof(ends, (from, to), cx);
    }
    let Buffers { scratch, locals, .. } = &mut *cx.buffers;
    if bytes >= SPLICE_THRESHOLD.min(scratch.len()) {
        flow.bulk = ends.can_splice(from, to) && !cx.turn.wants_payload(cx.key);
    }
    let wrote = ends.write(to, &scratch[..bytes], locals, cx.key);
    let wrote = report_write(wrote, bytes, to, cx)?;
    flow.moved += wrote as u64;
    if wrote < bytes {
        cx.buffers.counts.short_writes += 1;
        store(flow, wrote..bytes, cx);
    }
    Ok(())
}

/// Stores the bytes of the scratch buffer that could not be written.
#[cold]
fn store<P: Pipe>(flow: &mut Flow, rest: Range<usize>, cx: &mut DriveCx<'_, '_, P>) {
    let Buffers { scratch, unsent, .. } = &mut *cx.buffers;
    flow.unsent = Some(unsent.store(&scratch[rest]));
}

/// Forwards what the failed end sent before it failed, as far as the other end accepts it now.
#[cold]
pub fn flush_after_error<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<(), EndError> {
    // The readiness bits may be out of date, so each socket is tried until a call would block.
    ends.assume_ready_to_eof();
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

/// Reads once into the scratch buffer. Returns Some(0) at the end of file, None if the read would
/// block or was interrupted.
#[inline(always)]
fn read<S: Stream>(
    ends: &mut Ends<S>,
    end: usize,
    at: u64,
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<Option<usize>, EndError> {
    let Buffers { scratch, locals, .. } = &mut *cx.buffers;
    let read = ends.read(end, scratch, at, locals, cx.key);
    let (read, hint) = read.map_err(|error| EndError { end, error })?;
    match read {
        Io::Moved(0) => return Ok(Some(0)),
        Io::Moved(bytes) => {
            if cx.turn.steps {
                report_read(end, bytes, hint, cx);
            }
            return Ok(Some(bytes));
        }
        Io::Blocked => cx.step(end, || Event::ReadBlocked),
        Io::Interrupted => cx.step(end, || Event::Interrupted),
    }
    Ok(None)
}

/// Reports a read into the scratch buffer, while steps are wanted.
#[inline(never)]
fn report_read<P>(end: usize, bytes: usize, hint: ReadHint, cx: &mut DriveCx<'_, '_, P>) {
    let DriveCx { key, buffers, turn } = cx;
    let (key, room) = (key.at(end), buffers.scratch.len());
    turn.payload(key, &buffers.scratch[..bytes], false);
    turn.step(key, || Event::Read { bytes, room, hint });
}

/// Reports the payload of a write that no read has returned: what a service sends.
#[inline(never)]
fn report_made<S: Stream>(
    bytes: &[u8],
    (from, to): (usize, usize),
    ends: &Ends<S>,
    key: Key,
    turn: &mut Turn<'_>,
) {
    if let End::Local(_) | End::Void = ends.end(from) {
        turn.payload(key.at(to), bytes, true);
    }
}

/// Reports a write of `bytes` bytes, and returns how many were written.
#[inline(always)]
fn report_write<P>(
    wrote: io::Result<Io>,
    bytes: usize,
    end: usize,
    cx: &mut DriveCx<'_, '_, P>,
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

/// Writes the unsent bytes of a flow, as far as the socket accepts them.
#[inline(never)]
fn write_unsent<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<(), EndError> {
    let Some(unsent_id) = &flow.unsent else { return Ok(()) };
    let (from, to) = flow.route();
    let Buffers { unsent, locals, .. } = &mut *cx.buffers;
    let pending = unsent.get_mut(unsent_id);
    let bytes = pending.len();
    let wrote = match pending {
        Pending::Pipe { pipe, left } => ends.splice_out(to, pipe, *left),
        Pending::Bytes { .. } => ends.write(to, pending.data(), locals, cx.key),
    };
    if let (true, Ok(Io::Moved(moved))) = (cx.turn.steps, &wrote) {
        let data = pending.data();
        report_made(&data[..data.len().min(*moved)], (from, to), ends, cx.key, cx.turn);
    }
    let wrote = report_write(wrote, bytes, to, cx)?;
    flow.moved += wrote as u64;
    cx.buffers.counts.short_writes += u64::from(wrote < bytes);
    cx.buffers.unsent.consume(&mut flow.unsent, wrote);
    Ok(())
}

/// Writes bytes of the owner of a local end. Returns how many the socket accepted. None are stored.
pub fn write_reply<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    bytes: &[u8],
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<usize, EndError> {
    let (from, to) = flow.route();
    // Earlier bytes are sent first.
    if flow.unsent.is_some() || bytes.is_empty() || !ends.ready(to).has(Ready::WRITE) {
        return Ok(0);
    }
    let wrote = ends.write(to, bytes, &mut cx.buffers.locals, cx.key);
    if let (true, Ok(Io::Moved(moved))) = (cx.turn.steps, &wrote) {
        report_made(&bytes[..*moved], (from, to), ends, cx.key, cx.turn);
    }
    let wrote = report_write(wrote, bytes.len(), to, cx)?;
    flow.moved += wrote as u64;
    cx.buffers.counts.short_writes += u64::from(wrote < bytes.len());
    Ok(wrote)
}

/// Splices once into a pipe, and from the pipe to the other end. A short or empty splice ends bulk
/// mode, so the next step is a plain read: only a read can detect an end of file.
#[inline(never)]
fn splice<S: Stream>(
    flow: &mut Flow,
    ends: &mut Ends<S>,
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<(), EndError> {
    flow.bulk = false;
    let (from, to) = flow.route();
    // A pipe shows no payload.
    if !ends.can_splice(from, to) || cx.turn.wants_payload(cx.key) {
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
    // An empty socket does not predict the next read's size: bulk mode survives pauses.
    flow.bulk = true;
    Ok(())
}

/// Propagates an end of file as a shutdown of the other end. A peer that is already gone needs
/// none.
#[cold]
fn propagate_eof<S: Stream>(
    ends: &mut Ends<S>,
    (from, to): (usize, usize),
    cx: &mut DriveCx<'_, '_, S::Pipe>,
) -> Result<(), EndError> {
    cx.on(from, &Event::EndOfFile);
    let shut = ends.shutdown(to, &mut cx.buffers.locals, cx.key);
    if shut.map_err(|error| EndError { end: to, error })? {
        cx.on(to, &Event::ShutDown);
    }
    Ok(())
}
