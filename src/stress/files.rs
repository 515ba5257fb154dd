//! The files that a run reports to. They are opened before the run and written after it, so that
//! one that cannot be opened costs no measurement.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where a report goes.
pub struct ReportFile {
    pub path: PathBuf,
    /// None: standard output.
    file: Option<File>,
}

impl ReportFile {
    /// Opens the file, or creates it. What it holds stays until the report is written.
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

    /// Writes the report in place of what the file held.
    pub fn write(&mut self, text: &str, out: &mut dyn Write) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            out.write_all(text.as_bytes())?;
            return out.flush();
        };
        // A pipe or a device has no length.
        if file.metadata()?.is_file() {
            file.set_len(0)?;
        }
        file.write_all(text.as_bytes())
    }
}

fn is_stdout(path: &Path) -> bool {
    path == Path::new("-")
}
