//! Decodes the record of an event.

use std::time::Duration;

use crate::core::event::Client;
use crate::core::{Close, Event, Moment, Ready, TurnDetail};

use super::fields::Fields;
use super::names;
use super::schema;

/// Decodes a record of this kind and delivers its event. None: it contains something this version
/// does not know.
pub fn decode(
    kind: u8,
    f: &mut Fields<'_, '_>,
    now: Moment,
    deliver: &mut dyn FnMut(&Event<'_>),
) -> Option<()> {
    match kind {
        0..schema::LONG => decode_short(kind, f, now, deliver),
        schema::TURN_BEGINS..=schema::ADMIN_REQUEST
        | schema::RELOADING..=schema::RELOAD_FAILED
        | schema::SLOW_TURN => decode_loop(kind, f, deliver),
        schema::OPENED..=schema::CLOSED => decode_connection(kind, f, deliver),
        _ => decode_step(kind, f, deliver),
    }
}

/// Decodes the steps, and the other events without payload.
fn decode_short(
    kind: u8,
    f: &Fields<'_, '_>,
    turn: Moment,
    deliver: &mut dyn FnMut(&Event<'_>),
) -> Option<()> {
    let value = f.head.value;
    let (low, high) = (f.low(), f.high());
    let event = match kind {
        schema::POLLED_AGAIN => Event::PolledAgain { events: value as usize },
        schema::END_OF_FILE => Event::EndOfFile,
        schema::SHUT_DOWN => Event::ShutDown,
        schema::MISSED => Event::Missed { messages: value },
        schema::CUT_OFF => Event::CutOff { bytes: value as usize },
        schema::MARKED => Event::Marked { ready: Ready::from_bits(u8::try_from(value).ok()?) },
        schema::STALE => Event::Stale,
        schema::READ => Event::Read { bytes: low, room: high, hint: names::hint(f.choice())? },
        schema::WROTE => Event::Wrote { bytes: low, left: high },
        schema::READ_BLOCKED => Event::ReadBlocked,
        schema::WRITE_BLOCKED => Event::WriteBlocked { left: value as usize },
        schema::READ_OFF => Event::ReadOff,
        schema::READ_ON => Event::ReadOn,
        schema::INTERRUPTED => Event::Interrupted,
        schema::YIELDED => Event::Yielded { steps: u32::try_from(value).ok()? },
        schema::ARMED => {
            let now = Moment(turn.0.checked_sub(high as u64)?);
            let deadline = names::deadline(f.choice())?;
            Event::Armed { deadline, due: low as u32, now }
        }
        schema::FIRED => Event::Fired { deadline: names::deadline(f.choice())?, again: f.flag() },
        schema::RECEIVED => {
            deliver(&Event::Received { bytes: low, from: &f.high_peer()? });
            return Some(());
        }
        schema::SENT => {
            deliver(&Event::Sent { bytes: low, to: &f.high_peer()? });
            return Some(());
        }
        _ => return None,
    };
    deliver(&event);
    Some(())
}

/// Decodes the events of the loop.
fn decode_loop(
    kind: u8,
    f: &mut Fields<'_, '_>,
    deliver: &mut dyn FnMut(&Event<'_>),
) -> Option<()> {
    let event = match kind {
        schema::TURN_BEGINS => Event::Turn {
            number: f.unsigned()?,
            slept: f.time_span()?,
            limit: f.optional_time_span()?,
            events: f.number()?,
            queued: f.number()?,
        },
        schema::SLOW_TURN => {
            let (number, took) = (f.unsigned()?, f.time_span()?);
            deliver(&Event::SlowTurn { number, took, detail: &turn_detail(f)? });
            return Some(());
        }
        schema::LISTENING => Event::Listening { address: f.text()?, service: f.service()? },
        schema::ACCEPT_PAUSED | schema::ACCEPT_RESUMED => {
            let (address, name) = (f.text()?, f.text()?);
            let cause = names::cause(name, f.optional_fault()?)?;
            let connections = f.number()?;
            match kind == schema::ACCEPT_PAUSED {
                true => Event::AcceptPaused { address, cause, connections },
                false => Event::AcceptResumed { address, cause, connections },
            }
        }
        schema::ACCEPT_FAILED => Event::AcceptFailed { address: f.text()?, fault: f.fault()? },
        schema::SIGNAL => Event::Signal { signal: names::signal(f.text()?)? },
        schema::DRAINING => Event::Draining { connections: f.number()?, deadline: f.time_span()? },
        schema::RESOLVED => {
            Event::Resolved { name: f.text()?, addresses: f.number()?, error: f.optional_text()? }
        }
        schema::IN_PROGRESS => {
            Event::InProgress { connections: f.number()?, up: f.unsigned()?, down: f.unsigned()? }
        }
        schema::DUMP => Event::Dump { line: f.string()? },
        schema::RELOADING => Event::Reloading { file: f.string()? },
        schema::RELOADED => Event::Reloaded {
            added: f.number()?,
            changed: f.number()?,
            removed: f.number()?,
            unchanged: f.number()?,
        },
        schema::RELOAD_FAILED => Event::ReloadFailed { error: f.string()? },
        schema::ADMIN_REQUEST => {
            let (method, target) = (f.string()?, f.string()?);
            let (status, peer, changes) = (f.number()?, f.peer()?, f.flag());
            deliver(&Event::AdminRequest { method, target, status, peer: &peer, changes });
            return Some(());
        }
        _ => return None,
    };
    deliver(&event);
    Some(())
}

fn turn_detail(f: &mut Fields<'_, '_>) -> Option<TurnDetail> {
    let mut detail = TurnDetail::default();
    for took in &mut detail.phases {
        *took = f.micros()?;
    }
    let (id, took) = (f.optional()?, f.micros()?);
    detail.connection = match id {
        Some(id) => Some((u32::try_from(id).ok()?, took)),
        None => None,
    };
    detail.not_scheduled = f.optional()?.map(Duration::from_micros);
    Some(detail)
}

/// Decodes the events in the life of a connection.
fn decode_connection(
    kind: u8,
    f: &mut Fields<'_, '_>,
    deliver: &mut dyn FnMut(&Event<'_>),
) -> Option<()> {
    let event = match kind {
        schema::OPENED => {
            let (route, service, listen) = (f.number()?, f.service()?, f.text()?);
            let peer = f.peer()?;
            deliver(&Event::Opened { route, service, listen, peer: &peer });
            return Some(());
        }
        schema::DIALING => Event::Dialing { target: f.text()?, attempt: f.number()? },
        schema::DIAL_FAILED => {
            let (target, fault, left) = (f.text()?, f.fault()?, f.number()?);
            let (peer, listen) = (f.optional_peer()?, f.optional_text()?);
            let client = peer.as_ref().zip(listen);
            let client = client.map(|(peer, listen)| Client { peer, listen });
            deliver(&Event::DialFailed { target, fault, left, client });
            return Some(());
        }
        schema::CONNECTED => Event::Connected { after: f.time_span()? },
        schema::MESSAGE => Event::Message { message: f.bytes()? },
        schema::STALLED => {
            Event::Stalled { unsent: f.number()?, since: f.moment()?, now: f.moment()? }
        }
        schema::RESUMED => Event::Resumed { stalled: f.time_span()? },
        schema::CLOSED => {
            let (name, by) = (f.text()?, f.optional_text()?);
            let by = match by {
                Some(by) => Some(names::side(by)?),
                None => None,
            };
            let reason = names::reason(name, by, f.optional_fault()?)?;
            let (first, by) = (names::side(f.text()?)?, names::close_kind(f.text()?)?);
            let ending = Close { reason, first, by };
            let (up, down, lasted) = (f.unsigned()?, f.unsigned()?, f.time_span()?);
            Event::Closed { ending, up, down, lasted }
        }
        _ => return None,
    };
    deliver(&event);
    Some(())
}

/// Decodes the steps whose values do not fit into a head, and the sums of datagrams.
fn decode_step(
    kind: u8,
    f: &mut Fields<'_, '_>,
    deliver: &mut dyn FnMut(&Event<'_>),
) -> Option<()> {
    let event = match kind {
        schema::PAYLOAD => Event::Payload { bytes: f.raw(), sent: f.flag() },
        schema::READ_LONG => {
            let hint = names::hint(f.choice())?;
            Event::Read { bytes: f.number()?, room: f.number()?, hint }
        }
        schema::WROTE_LONG => Event::Wrote { bytes: f.number()?, left: f.number()? },
        schema::ARMED_LONG => {
            let deadline = names::deadline(f.choice())?;
            Event::Armed { deadline, due: f.number()?, now: f.moment()? }
        }
        schema::RECEIVED_LONG => {
            deliver(&Event::Received { bytes: f.number()?, from: &f.peer()? });
            return Some(());
        }
        schema::SENT_LONG => {
            deliver(&Event::Sent { bytes: f.number()?, to: &f.peer()? });
            return Some(());
        }
        schema::PASSED => Event::Passed {
            received: f.unsigned()?,
            received_bytes: f.unsigned()?,
            sent: f.unsigned()?,
            sent_bytes: f.unsigned()?,
        },
        schema::DROPPED => {
            let (bytes, from, name) = (f.optional()?, f.optional_peer()?, f.text()?);
            let why = names::drop_reason(name, f.optional_fault()?)?;
            let bytes = match bytes {
                Some(bytes) => Some(usize::try_from(bytes).ok()?),
                None => None,
            };
            deliver(&Event::Dropped { bytes, from: from.as_ref(), why });
            return Some(());
        }
        _ => return None,
    };
    deliver(&event);
    Some(())
}
