//! Reads files of /proc. Names in them come from other programs and may not be UTF-8.

use std::fs;

/// Reads a file as text; invalid bytes become U+FFFD. `None`: it cannot be read.
pub fn text(path: &str) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
