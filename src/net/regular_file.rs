//! Reads a whole file that a user names: a regular one, of limited length, without waiting for a
//! writer of something else.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use crate::core::SysError;

/// How often a file is read again that changes while it is read.
const ATTEMPTS: usize = 3;

/// Returns the bytes of the file, or what is wrong with it in words. `check` may refuse it by its
/// metadata. Who replaces the file by renaming another one gets the old or the new one whole.
pub fn read(
    path: &Path,
    bytes_max: usize,
    check: impl Fn(&Metadata) -> Result<(), String>,
) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| SysError::from(&error).to_string();
    for _ in 0..ATTEMPTS {
        let file = open(path).map_err(failed)?;
        // Facts of the open file: the path may lead to another one a moment later.
        let before = file.metadata().map_err(failed)?;
        if !before.is_file() {
            return Err("it is not a regular file".into());
        }
        check(&before)?;
        // The length may be zero for a file that has content (/proc), so the bytes are counted.
        let mut bytes = Vec::new();
        (&file).take(bytes_max as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > bytes_max {
            return Err(format!("it is longer than {bytes_max} bytes"));
        }
        let after = file.metadata().map_err(failed)?;
        if before.len() == after.len() && before.modified().ok() == after.modified().ok() {
            return Ok(bytes);
        }
    }
    Err("it is being written; write another file and rename it".into())
}

/// Opens the file without waiting: a FIFO would wait for its writer.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK);
    options.open(path)
}
