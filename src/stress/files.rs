//! The report files of a run. They are opened before the run, so that a path that cannot be opened
//! is reported before anything is measured, and written after it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The destination of a report.
pub struct ReportFile {
    pub path: PathBuf,
    /// `None`: standard output.
    file: Option<File>,
}

impl ReportFile {
    /// Opens or creates the file. Its old contents stay until the report is written.
    pub fn open(path: &Path) -> io::Result<ReportFile> {
        let file = match is_stdout(path) {
            true => None,
            false => Some(OpenOptions::new().write(true).create(true).truncate(false).open(path)?),
        };
        Ok(ReportFile { path: path.to_path_buf(), file })
    }

    pub fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Replaces the contents of the file with the report.
    pub fn write(&mut self, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            out.write_all(text.as_bytes())?;
            return out.flush();
        };
        // A pipe or a device cannot be truncated.
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        file.write_all(text.as_bytes())
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}
