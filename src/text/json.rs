//! Writes JSON strings.

use std::fmt::{self, Write};

use super::escape::{Form, escape};

/// Writes text as a JSON string without control characters, which a terminal would obey.
pub fn quote(out: &mut dyn Write, text: &str) -> fmt::Result {
    out.write_char('"')?;
    escape(out, text.as_bytes(), Form::Json, usize::MAX)?;
    out.write_char('"')
}
