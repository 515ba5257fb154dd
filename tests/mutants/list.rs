//! The mutants, one small fault each: a search and a replacement in a file of the core. Here are
//! those of readiness, of bytes and of ends.

pub struct Mutant {
    pub name: &'static str,
    pub file: &'static str,
    pub search: &'static str,
    pub replace: &'static str,
}

pub const fn mutant(
    name: &'static str,
    file: &'static str,
    search: &'static str,
    replace: &'static str,
) -> Mutant {
    Mutant { name, file, search, replace }
}

/// Faults in reading readiness: bits, hints, short reads.
pub const READINESS: &[Mutant] = &[
    mutant("the READ bit is cleared by every read", "end.rs", "&& !because.goes_on();", ";"),
    mutant("the READ bit is kept by a blocked read", "end.rs", "read == Io::Blocked || ", ""),
    mutant("the WRITE bit is kept by a blocked write", "end.rs", "wrote == Io::Blocked", "false"),
    mutant(
        "the LAST hint is ignored",
        "end.rs",
        "bits.any(Ready::LAST.with(Ready::ERROR))",
        "false",
    ),
    mutant("urgent data is ignored", "end.rs", "bits.has(Ready::URGENT)", "false"),
    mutant(
        "a short read of any socket drains it",
        "end.rs",
        "!socket.short_read_drains()",
        "false",
    ),
    mutant(
        "what is not dialled yet may be ready",
        "end.rs",
        "End::Nowhere => Ready::DIALING,",
        "End::Nowhere => Ready::NONE,",
    ),
    mutant(
        "a failed attempt leaves the end ready",
        "end.rs",
        "self.ready[end] = Ready::DIALING;\nmatch",
        "self.ready[end] = Ready::NONE;\nmatch",
    ),
    mutant(
        "what is connecting may be ready",
        "end.rs",
        "if ready.has(Ready::DIALING) { Ready::NONE } else { ready }",
        "ready",
    ),
    mutant(
        "doubt reaches ends that are no sockets",
        "end.rs",
        "if self.ends[end].is_socket() {",
        "{",
    ),
    mutant(
        "a hinted error is not asked for",
        "conn.rs",
        "!self.ends.ready(end).has(Ready::ERROR)",
        "true",
    ),
    mutant(
        "a hinted error is believed",
        "conn.rs",
        "Ok(None) => {}",
        "Ok(None) => return Some(Broken { end, error: io::ErrorKind::Other.into() }),",
    ),
    mutant(
        "the first event means connected",
        "conn.rs",
        "let asked = socket.is_connected();",
        "let asked = socket.is_connected().map(|_| true);",
    ),
    mutant(
        "a target that reset at once was never connected",
        "conn.rs",
        "Err(error) if !was_connected(error) => {}",
        "Err(_) => {}",
    ),
    mutant("an event that came too early stays", "conn.rs", "self.ends.clear(1, hints);", ""),
];

/// Faults in moving bytes and in passing ends on.
pub const BYTES: &[Mutant] = &[
    mutant("the budget is forgotten", "pump.rs", "for _ in 1..BUDGET {", "for _ in 1..1_000_000 {"),
    mutant("backpressure is dropped", "flow.rs", "self.done || !to.has(Ready::WRITE)", "self.done"),
    mutant(
        "bytes are read while others are held",
        "flow.rs",
        "} else if self.held.is_some() {",
        "} else if self.held.is_some() && !from.has(Ready::READ) {",
    ),
    mutant(
        "an end of file overtakes the bytes held",
        "flow.rs",
        "} else if self.held.is_some() {",
        "} else if self.held.is_some() && !from.has(Ready::LAST) {",
    ),
    mutant(
        "the rest of a partial write is dropped",
        "pump.rs",
        "if wrote < bytes {",
        "if wrote == 0 {",
    ),
    mutant(
        "the rest of a partial write is kept whole",
        "pump.rs",
        "keep(flow, wrote..bytes, with);",
        "keep(flow, 0..bytes, with);",
    ),
    mutant(
        "the loan is lost when a write fails",
        "pump.rs",
        "shelf.put(loan, kept);\nlet wrote = written(wrote, bytes, to, with)?;",
        "let wrote = written(wrote, bytes, to, with)?;\nwith.buffers.shelf.put(loan, kept);",
    ),
    mutant(
        "what was held is written again",
        "pump.rs",
        "with.buffers.shelf.consume(&mut flow.held, wrote);",
        "if wrote > 1 { with.buffers.shelf.consume(&mut flow.held, wrote); }",
    ),
    mutant(
        "an end of file is not passed on",
        "pump.rs",
        "if ends.shutdown(to).map_err(|error| Broken { end: to, error })? {",
        "if false {",
    ),
    mutant(
        "a FIN that cannot be passed on is forgotten",
        "end.rs",
        "socket.take_error()?.map_or(Ok(false), Err)",
        "Ok(false)",
    ),
    mutant(
        "chargen begins each read anew",
        "end.rs",
        "chargen::fill(at, into);",
        "chargen::fill(at % 4096, into);",
    ),
    mutant(
        "a line is heard to the end of the read",
        "end.rs",
        "newline.map_or(bytes.len(), |at| at + 1)",
        "bytes.len()",
    ),
    mutant("a line needs no newline", "end.rs", "newline.is_some() || length == room", "true"),
    mutant(
        "a line has no limit",
        "end.rs",
        "newline.is_some() || length == room",
        "newline.is_some()",
    ),
    mutant("a line goes over its limit", "end.rs", "at + 1).min(room)", "at + 1)"),
    mutant("no line is ever whole", "end.rs", "newline.is_some() || length == room", "false"),
    mutant("last words are dropped", "conn.rs", "let _ = pump::last_words(flow, ends, with);", ""),
    mutant(
        "an interruption ends the last words",
        "pump.rs",
        "keep(flow, 0..bytes, with),\nNone => {}",
        "keep(flow, 0..bytes, with),\nNone => break,",
    ),
    mutant("last words trust old readiness", "pump.rs", "ends.doubt();", ""),
    mutant(
        "last words are those of the wrong side",
        "conn.rs",
        "flow.from as usize == end && flow.to as usize != end",
        "flow.from as usize != end && flow.to as usize == end",
    ),
];

/// Faults in splicing.
pub const PIPES: &[Mutant] = &[
    mutant(
        "a pipe with bytes in it is lent again",
        "buffers.rs",
        "give_back(pipe, left == 0);",
        "give_back(pipe, true);",
    ),
    mutant("a partial splice counts as whole", "buffers.rs", "*left -= bytes", "*left = 0"),
    mutant(
        "a pipe is not given back",
        "pump.rs",
        "shelf.pipes.give_back(pipe, true);",
        "drop(pipe);",
    ),
    mutant(
        "a splice of nothing is tried for ever",
        "pump.rs",
        "flow.bulk = false;",
        "flow.bulk = true;",
    ),
    mutant(
        "a splice of nothing is an end of file",
        "pump.rs",
        "Io::Moved(_) => return Ok(()),",
        "Io::Moved(_) => flow.done = true,",
    ),
    mutant(
        "bytes do not count for the budget",
        "pump.rs",
        "if flow.moved >= enough {",
        "if false {",
    ),
    mutant(
        "the WRITE bit is kept by a blocked splice",
        "end.rs",
        "splice_out(pipe, bytes))?;\nif moved == Io::Blocked {",
        "splice_out(pipe, bytes))?;\nif false {",
    ),
];

/// Faults in how a connection ends.
pub const ENDS: &[Mutant] = &[
    mutant(
        "a reset is a clean end",
        "conn.rs",
        "Driven::Ended(Reason::Reset { by: side(&self.ends, end), fault })",
        "Driven::Ended(Reason::Finished)",
    ),
    mutant("a reset is not passed on", "conn.rs", "_ => true,\n", "_ => false,\n"),
    mutant("a timeout ends a relay cleanly", "conn.rs", "relay || self.holds()", "self.holds()"),
    mutant(
        "a service cut short ends cleanly over what was not read",
        "conn.rs",
        "|| self.ends.ready(0).has(Ready::READ)",
        "",
    ),
    mutant("a service cut short ends cleanly", "conn.rs", "relay || self.holds()", "relay"),
    mutant(
        "one end is reset and not the other",
        "conn.rs",
        "for end in 0..2 {\nif let Some(socket) = self.ends.socket(end) {\nsocket.reset_on_drop",
        "for end in 1..2 {\nif let Some(socket) = self.ends.socket(end) {\nsocket.reset_on_drop",
    ),
    mutant("loans are kept at the close", "conn.rs", "shelf.give_back(&mut flow.held);", ""),
    mutant(
        "what an ear has heard is kept at the close",
        "conn.rs",
        "self.ends.release(shelf);",
        "",
    ),
    mutant(
        "the last end of file counts as the first",
        "conn.rs",
        "self.first.get_or_insert(from);",
        "self.first = Some(from);",
    ),
    mutant(
        "an attempt given up ends cleanly",
        "engine.rs",
        "socket.reset_on_drop();\n",
        "let _ = &mut socket;\n",
    ),
    mutant(
        "a client gone while dialling is overlooked",
        "conn.rs",
        "return match self.ask_errors() {",
        "return match None::<Broken> {",
    ),
    mutant(
        "both ends need not have ended",
        "conn.rs",
        "self.flows.iter().all(|flow| flow.done)",
        "self.flows[0].done",
    ),
];
