//! A temporary directory for one test, removed when it is dropped.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

pub struct Scratch(PathBuf);

impl Scratch {
    /// The name must be unique among the tests of one process.
    pub fn new(name: &str) -> Scratch {
        let directory = std::env::temp_dir().join(format!("oneloop-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        // Another test may have set a narrower umask at the same time.
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        Scratch(directory)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
