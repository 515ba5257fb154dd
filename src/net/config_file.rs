//! Reads the text of a configuration file. What it says is the matter of `config`.

use std::path::{Path, PathBuf};
use std::{error, fmt};

use super::regular_file;
use crate::text::escape::escaped;

/// The file cannot be read: `cannot read /x: No such file or directory`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFileError {
    path: PathBuf,
    wrong: String,
}

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot read {}: {}", escaped(&self.path.display()), self.wrong)
    }
}

impl error::Error for ConfigFileError {}

/// Returns the text of the file, which may have `bytes_max` bytes. It may block: the loop does not
/// call it.
pub fn read(path: &Path, bytes_max: usize) -> Result<String, ConfigFileError> {
    let bytes = regular_file::read(path, bytes_max, |_| Ok(()));
    bytes.and_then(decode).map_err(|wrong| ConfigFileError { path: path.to_path_buf(), wrong })
}

fn decode(bytes: Vec<u8>) -> Result<String, String> {
    let line = |at: usize| bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        return Err(format!("it is not a text: line {} has a zero byte", line(at)));
    }
    match std::str::from_utf8(&bytes) {
        // A byte order mark is no part of the text.
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned()),
        Err(error) => Err(format!("line {} is not valid UTF-8", line(error.valid_up_to()))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::net::scratch::Scratch;

    #[test]
    fn a_text_is_read_whole_and_without_a_byte_order_mark() {
        let scratch = Scratch::new("config-text");
        let path = scratch.path("a.toml");
        for (bytes, text) in [(&b""[..], ""), (b"a = 1\n", "a = 1\n"), (b"\xef\xbb\xbfa", "a")] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(&path, 6).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_text_is_refused_in_one_line() {
        let scratch = Scratch::new("config-wrong");
        let path = scratch.path("a.toml");
        let wrong = |path: &Path| {
            let text = read(path, 8).unwrap_err().to_string();
            let start = format!("cannot read {}: ", path.display());
            text.strip_prefix(&start).unwrap_or_else(|| panic!("{text}")).to_owned()
        };
        assert_eq!(wrong(&path), "No such file or directory");
        for (bytes, expected) in [
            (&b"a\nb\0"[..], "it is not a text: line 2 has a zero byte"),
            (b"\n\n\xff", "line 3 is not valid UTF-8"),
            (b"123456789", "it is longer than 8 bytes"),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(wrong(&path), expected);
        }
        assert_eq!(wrong(&scratch.path("")), "it is not a regular file");
    }
}
