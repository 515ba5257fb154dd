//! Reads the file with the admin token, and refuses one that other users could read or replace.

use std::path::{Path, PathBuf};
use std::{error, fmt};

use super::regular_file;
use crate::text::escape::escaped;

/// Maximum bytes of a token file.
pub const BYTES_MAX: usize = 4096;

/// The file cannot be used: `cannot use the token file /x: it is readable by others`.
#[derive(Debug)]
pub struct TokenFileError {
    path: PathBuf,
    wrong: String,
}

impl fmt::Display for TokenFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot use the token file {}: {}", escaped(&self.path.display()), self.wrong)
    }
}

impl error::Error for TokenFileError {}

/// Returns the text of a token file, as it is stored.
pub fn read(path: &Path) -> Result<String, TokenFileError> {
    read_checked(path).map_err(|wrong| TokenFileError { path: path.to_path_buf(), wrong })
}

fn read_checked(path: &Path) -> Result<String, String> {
    let bytes = regular_file::read(path, BYTES_MAX, |metadata| {
        #[cfg(unix)]
        owner::check(metadata)?;
        let _ = metadata;
        Ok(())
    })?;
    String::from_utf8(bytes).map_err(|_| "it is not a text in UTF-8".into())
}

#[cfg(unix)]
mod owner {
    use std::fs::Metadata;
    use std::os::unix::fs::MetadataExt;

    /// Permission bits of the group and of others.
    const NOT_OWNER: u32 = 0o077;

    /// Checks that only the owner has access, and that the owner is this user or root.
    pub fn check(metadata: &Metadata) -> Result<(), String> {
        let mode = metadata.mode() & 0o777;
        if mode & NOT_OWNER != 0 {
            return Err(format!("its mode {mode:04o} lets other users in: chmod 600"));
        }
        let (owner, own) = (metadata.uid(), rustix::process::geteuid().as_raw());
        match owner == own || owner == 0 {
            true => Ok(()),
            false => Err(format!("it belongs to user {owner}, not to user {own} or root")),
        }
    }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::net::scratch::Scratch;

    fn file(path: &Path, text: &[u8], mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refused(path: &Path) -> String {
        let text = read(path).unwrap_err().to_string();
        let start = format!("cannot use the token file {}: ", path.display());
        text.strip_prefix(&start).unwrap_or_else(|| panic!("{text}")).to_string()
    }

    #[test]
    fn a_private_file_is_read_as_it_is() {
        let scratch = Scratch::new("token-private");
        let path = scratch.path("token");
        for mode in [0o600, 0o400] {
            file(&path, b"secret\n", 0o600);
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path).unwrap(), "secret\n");
        }
        file(&path, &[b'x'; BYTES_MAX], 0o600);
        assert_eq!(read(&path).unwrap().len(), BYTES_MAX);
    }

    #[test]
    fn a_file_that_others_may_use_is_refused() {
        let scratch = Scratch::new("token-open");
        let path = scratch.path("token");
        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644] {
            file(&path, b"secret", mode);
            let expected = format!("its mode {mode:04o} lets other users in: chmod 600");
            assert_eq!(refused(&path), expected);
        }
    }

    #[test]
    fn what_is_not_a_short_text_file_is_refused() {
        let scratch = Scratch::new("token-wrong");
        let path = scratch.path("token");
        assert_eq!(refused(&path), "No such file or directory");
        file(&path, &[b'x'; BYTES_MAX + 1], 0o600);
        assert_eq!(refused(&path), "it is longer than 4096 bytes");
        file(&path, b"\xff", 0o600);
        assert_eq!(refused(&path), "it is not a text in UTF-8");
        let directory = scratch.path("directory");
        fs::create_dir(&directory).unwrap();
        assert_eq!(refused(&directory), "it is not a regular file");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_is_refused_without_waiting_for_its_writer() {
        use rustix::fs::{CWD, FileType, Mode, mknodat};

        let scratch = Scratch::new("token-fifo");
        let path = scratch.path("fifo");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(refused(&path), "it is not a regular file");
    }
}
