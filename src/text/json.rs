//! Strings of JSON.

use std::fmt::{self, Write};

use super::escape::{Form, escape};

/// Writes a text between quotes, so that a reader of JSON has it as it was, and a terminal that it
/// is printed on sees no control character.
pub fn quote(out: &mut dyn Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    escape(out, text.as_bytes(), Form::Json, usize::MAX)?;
    out.write_char('"')
}
