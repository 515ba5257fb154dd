//! Pseudoterminals.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// Opens a pseudoterminal: the keyboard side, and the input of a program. Returns None, and prints
/// why, if this machine has none.
pub fn open_terminal() -> Option<(File, OwnedFd)> {
    let made = || {
        // A keyboard side inherited by a program would never be closed.
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&keyboard)?;
        unlockpt(&keyboard)?;
        let name = ptsname(&keyboard, Vec::new())?;
        let input = open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        Ok::<_, rustix::io::Errno>((File::from(keyboard), input))
    };
    match made() {
        Ok(terminal) => Some(terminal),
        Err(error) => {
            println!("skipped: no terminal is to be had here: {error}");
            None
        }
    }
}
