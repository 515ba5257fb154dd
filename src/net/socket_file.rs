//! The file of a Unix socket. It replaces only a stale socket, and only the process that created it
//! removes it.
//!
//! Two processes that start at once could both find the same stale file, and the slower one would
//! remove the file that the faster one has just created. A lock on the directory prevents that. The
//! kernel releases it with its holder, so nothing is left behind. The alternative, renaming a
//! temporary file into place, would make `getsockname` return the temporary name for ever. Any user
//! who may read the directory can hold the lock, so the wait for it is short: the start then goes
//! on without it, with a warning.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, RawMode, flock};
use rustix::io::Errno;
use rustix::process::umask;

/// A socket file that this process has created. Dropping this removes the file.
///
/// Drop it before its socket: while the socket is open, no other process takes the file for stale.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Another process held the lock on the directory until the wait was over.
    unlocked: bool,
    device: u64,
    inode: u64,
    creator: u32,
}

impl SocketFile {
    /// Creates the file by calling `bind`. With a mode, the file has exactly these permissions from
    /// the start. Without one, they follow from the umask.
    pub fn create(
        path: &Path,
        mode: Option<u32>,
        bind: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<SocketFile> {
        let lock = lock_directory(path);
        remove_stale(path)?;
        bind_with_mode(mode, bind)?;
        let created = fs::symlink_metadata(path)?;
        Ok(SocketFile {
            path: path.to_path_buf(),
            unlocked: matches!(lock, Lock::Busy),
            device: created.dev(),
            inode: created.ino(),
            creator: std::process::id(),
        })
    }

    /// A warning for the operator about how the file was created.
    pub fn warning(&self) -> Option<String> {
        self.unlocked.then(|| {
            format!(
                "bound unix:{} without locking its directory, which another process holds locked: \
                 two processes starting at once could replace each other's socket",
                self.path.display()
            )
        })
    }

    /// Removes the file if it is still the one that was created, and this process created it.
    fn remove(&self) -> io::Result<()> {
        let found = fs::symlink_metadata(&self.path)?;
        let is_same = (found.dev(), found.ino()) == (self.device, self.inode);
        match is_same && std::process::id() == self.creator {
            true => fs::remove_file(&self.path),
            false => Ok(()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If this fails, the next start finds a stale socket and replaces it.
        let _ = self.remove();
    }
}

/// Attempts to lock the directory, and the pause between them. A starting oneloop holds the lock
/// for a few system calls only.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The lock on a directory. It is released when the file is closed.
enum Lock {
    Held {
        _directory: File,
    },
    /// Another process holds it.
    Busy,
    /// The directory cannot be opened, or its file system has no locks.
    Unavailable,
}

fn lock_directory(path: &Path) -> Lock {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(directory) = File::open(directory.unwrap_or(Path::new("."))) else {
        return Lock::Unavailable;
    };
    for _ in 0..LOCK_TRIES {
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Lock::Held { _directory: directory },
            Err(Errno::WOULDBLOCK) => thread::sleep(LOCK_PAUSE),
            Err(_) => return Lock::Unavailable,
        }
    }
    Lock::Busy
}

/// Removes a stale socket at the path. Fails if there is anything else.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !found.is_socket() {
        let reason = format!("the path exists and is {}, not a socket", kind(found));
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
    }
    match probe(path) {
        SocketProbe::Stale => fs::remove_file(path),
        SocketProbe::InUse => {
            let reason = "a process is listening on it";
            Err(io::Error::new(io::ErrorKind::AddrInUse, reason))
        }
        SocketProbe::Unknown(error) => Err(error),
    }
}

/// The state of a socket file.
enum SocketProbe {
    InUse,
    Stale,
    Unknown(io::Error),
}

/// Checks whether a socket is bound to the file, by connecting a datagram socket to it. A stream
/// socket refuses that with EPROTOTYPE, whether it listens yet or not, and its owner is not
/// notified. A file that no socket is bound to refuses the connection.
fn probe(path: &Path) -> SocketProbe {
    let error = match UnixDatagram::unbound().and_then(|socket| socket.connect(path)) {
        Ok(()) => return SocketProbe::InUse,
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => SocketProbe::Stale,
        _ if error.raw_os_error() == Some(libc::EPROTOTYPE) => SocketProbe::InUse,
        _ => SocketProbe::Unknown(error),
    }
}

fn kind(found: fs::FileType) -> &'static str {
    match () {
        () if found.is_symlink() => "a symbolic link",
        () if found.is_dir() => "a directory",
        () if found.is_file() => "a regular file",
        () if found.is_fifo() => "a named pipe",
        () => "a device",
    }
}

/// Calls `bind` with a umask that yields `mode`. So the permissions are exact, and never wider for
/// a moment, as they would be with chmod(2). The umask belongs to the process: bind before threads
/// start that create files.
fn bind_with_mode(mode: Option<u32>, bind: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let Some(mode) = mode else { return bind() };
    let before = umask(Mode::from_raw_mode((0o777 & !mode) as RawMode));
    let bound = bind();
    umask(before);
    bound
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::sync::Barrier;

    use super::*;
    use crate::net::scratch::Scratch;

    /// Creates a listener at the path.
    fn create(path: &Path, mode: Option<u32>) -> io::Result<(SocketFile, UnixListener)> {
        let mut listener = None;
        let file = SocketFile::create(path, mode, || {
            listener = Some(UnixListener::bind(path)?);
            Ok(())
        })?;
        Ok((file, listener.unwrap()))
    }

    fn refusal(path: &Path) -> String {
        create(path, None).unwrap_err().to_string()
    }

    #[test]
    fn the_file_is_removed_by_its_creator_and_by_no_other_process() {
        let scratch = Scratch::new("creator");
        let path = scratch.path("x.sock");
        let (mut file, listener) = create(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
        drop(listener);

        (file, _) = create(&path, None).unwrap();
        file.creator += 1;
        drop(file);
        assert!(path.exists(), "removed by a process that did not create it");
    }

    #[test]
    fn a_file_that_replaced_ours_is_not_removed() {
        let scratch = Scratch::new("place");
        let path = scratch.path("x.sock");
        let (file, _listener) = create(&path, None).unwrap();
        fs::rename(&path, scratch.path("away")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let scratch = Scratch::new("dead");
        let path = scratch.path("x.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _created = create(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
        let path = scratch.path("x.dgram");
        drop(UnixDatagram::bind(&path).unwrap());
        let _created = create(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_socket_in_use_is_left_alone_and_its_owner_is_not_notified() {
        let scratch = Scratch::new("live");
        let path = scratch.path("x.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(refusal(&path), "a process is listening on it");
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        UnixStream::connect(&path).unwrap();

        let path = scratch.path("x.dgram");
        let _datagrams = UnixDatagram::bind(&path).unwrap();
        assert_eq!(refusal(&path), "a process is listening on it");

        let path = scratch.path("not-yet");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        assert_eq!(refusal(&path), "a process is listening on it");
        socket.listen(1).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_never_touched() {
        let scratch = Scratch::new("foreign");
        let file = scratch.path("file");
        fs::write(&file, "precious").unwrap();
        assert_eq!(refusal(&file), "the path exists and is a regular file, not a socket");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let directory = scratch.path("directory");
        fs::create_dir(&directory).unwrap();
        assert_eq!(refusal(&directory), "the path exists and is a directory, not a socket");
        assert!(directory.is_dir());
        for target in ["file", "nothing", "dead.sock"] {
            drop(UnixListener::bind(scratch.path("dead.sock")));
            let link = scratch.path(&format!("link-to-{target}"));
            symlink(target, &link).unwrap();
            assert_eq!(refusal(&link), "the path exists and is a symbolic link, not a socket");
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert!(scratch.path("dead.sock").exists());
        let text = create(&scratch.path("no/such/directory"), None).unwrap_err();
        assert_eq!(text.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn of_many_starts_at_once_over_a_stale_socket_one_wins_and_stays_reachable() {
        const STARTS: usize = 8;
        let scratch = Scratch::new("race");
        let path = scratch.path("x.sock");
        for _ in 0..20 {
            drop(UnixListener::bind(&path));
            let barrier = Barrier::new(STARTS);
            let start = || {
                barrier.wait();
                create(&path, None)
            };
            let created: Vec<_> = thread::scope(|scope| {
                let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
                starts.into_iter().filter_map(|start| start.join().unwrap().ok()).collect()
            });
            assert_eq!(created.len(), 1, "number of winners");
            UnixStream::connect(&path).unwrap();
        }
    }

    #[test]
    fn a_mode_is_exact_and_the_umask_is_restored() {
        // All owner bits are set, because other tests create files at the same time.
        let scratch = Scratch::new("mode");
        let before = current_umask();
        for mode in [0o700, 0o770, 0o707, 0o777] {
            let path = scratch.path(&format!("{mode:o}.sock"));
            let _created = create(&path, Some(mode)).unwrap();
            let found = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{found:o}");
        }
        let failed = SocketFile::create(&scratch.path("none"), Some(0o700), || {
            Err(io::Error::from(io::ErrorKind::AddrInUse))
        });
        assert_eq!(failed.unwrap_err().kind(), io::ErrorKind::AddrInUse);
        assert_eq!(current_umask(), before);
    }

    fn current_umask() -> Mode {
        let mask = umask(Mode::from_raw_mode(0o022));
        umask(mask);
        mask
    }

    #[test]
    fn a_start_waits_for_the_lock_of_another_start() {
        let scratch = Scratch::new("lock");
        let path = scratch.path("x.sock");
        let lock = lock_directory(&path);
        assert!(matches!(lock, Lock::Held { .. }));
        let other = thread::spawn(move || create(&path, None).map(drop));
        thread::sleep(5 * LOCK_PAUSE);
        assert!(!other.is_finished());
        drop(lock);
        other.join().unwrap().unwrap();
    }
    #[test]
    fn a_directory_that_stays_locked_by_another_process_prevents_no_start() {
        let scratch = Scratch::new("foreign-lock");
        let path = scratch.path("x.sock");
        // A user who may only read the directory can do the same.
        let directory = File::open(scratch.path("")).unwrap();
        flock(&directory, FlockOperation::LockExclusive).unwrap();
        let (file, _listener) = create(&path, None).unwrap();
        let warning = file.warning().unwrap();
        assert!(warning.contains("x.sock without locking its directory"), "{warning}");
        UnixStream::connect(&path).unwrap();
        drop(directory);
        let (file, _listener) = create(&scratch.path("y.sock"), None).unwrap();
        assert_eq!(file.warning(), None);
    }
}
