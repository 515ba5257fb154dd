//! Files of /proc. Names in them are chosen by others, and need not be UTF-8.

use std::fs;

/// The text of such a file; bytes that are no text become U+FFFD. None, if it cannot be read.
pub fn text(path: &str) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
