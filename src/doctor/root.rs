//! The directory tree that facts are read from, and lookups of numbers in its files.

use std::io;
use std::path::{Path, PathBuf};

use super::facts::Fact;
use crate::net::proc;

/// The directory used as `/`: tests provide their own.
pub struct Root(PathBuf);

impl Root {
    pub fn new(folder: impl Into<PathBuf>) -> Root {
        Root(folder.into())
    }

    /// Returns the text of a file, or why it cannot be read. `path` may begin with `/`.
    pub fn text(&self, path: &str) -> Result<String, String> {
        let read = proc::read(self.0.join(bare(path)));
        read.map_err(|error| format!("/{}: {}", bare(path), message(&error)))
    }

    pub fn has(&self, path: &str) -> bool {
        self.0.join(bare(path)).exists()
    }

    /// Whether this is the real `/` and not the tree of a test.
    pub fn is_real(&self) -> bool {
        self.0 == Path::new("/")
    }
}

/// Applies `find` to a file. Unknown if the file cannot be read or contains no `what`.
pub fn found<T>(
    root: &Root,
    path: &str,
    what: &str,
    find: impl FnOnce(&str) -> Option<Fact<T>>,
) -> Fact<T> {
    match root.text(path) {
        Ok(text) => {
            find(&text).unwrap_or_else(|| Fact::Unknown(format!("/{}: no {what}", bare(path))))
        }
        Err(why) => Fact::Unknown(why),
    }
}

/// Returns the number in a column, counted from 0, of a file with one line.
pub fn column(root: &Root, path: &str, column: usize) -> Fact {
    let word = |text: &str| text.split_whitespace().nth(column).map(Fact::number);
    found(root, path, &format!("column {}", column + 1), word)
}

/// Returns the number in a column after a label at the start of a line.
pub fn labelled(root: &Root, path: &str, label: &str, column: usize) -> Fact {
    let word = |text: &str| proc::word(text, label, column).map(Fact::number);
    found(root, path, label.trim_end_matches(':'), word)
}

fn bare(path: &str) -> &str {
    path.trim_start_matches('/')
}

/// Returns the error message of the system without the error number.
pub fn message(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}
