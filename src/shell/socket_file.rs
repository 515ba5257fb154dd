//! The file of a Unix socket: ours replaces only what nobody answers on, and only ours is removed.
//!
//! Two starts at once could both find the same dead file, and the slower one would remove what the
//! faster one has just made. A lock on the directory keeps them apart. It vanishes with its
//! holder, leaves nothing behind, and the socket is bound to its true name: with a temporary name
//! renamed into place, all who ask the system for the name of the socket would be told the
//! temporary one. Anybody who may read the directory may hold that lock too, so it is waited for
//! only briefly: a start then goes on without it, with a warning.

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

/// A socket's file that this process has made. It is removed when this is dropped.
///
/// Drop it before its socket: as long as the socket is bound, no other start takes the file for
/// dead.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// The lock on the directory was held by another process all the time.
    unlocked: bool,
    device: u64,
    inode: u64,
    maker: u32,
}

impl SocketFile {
    /// Lets `bind` make the file. With a mode, the file has exactly these permissions from its
    /// first moment on; without one, those that the umask leaves.
    pub fn make(
        path: &Path,
        mode: Option<u32>,
        bind: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<SocketFile> {
        let lock = lock_directory(path);
        clear(path)?;
        bind_with_mode(mode, bind)?;
        let made = fs::symlink_metadata(path)?;
        Ok(SocketFile {
            path: path.to_path_buf(),
            unlocked: matches!(lock, Lock::LoopUsage),
            device: made.dev(),
            inode: made.ino(),
            maker: std::process::id(),
        })
    }

    /// What an operator should know about how the file was made.
    pub fn warning(&self) -> Option<String> {
        self.unlocked.then(|| {
            format!(
                "bound unix:{} without locking its directory, which another process keeps locked: \
                 two starts at the same time could replace each other's socket",
                self.path.display()
            )
        })
    }

    /// Removes the file, if it is still the one that was made, and we are the process that made it.
    fn remove(&self) -> io::Result<()> {
        let found = fs::symlink_metadata(&self.path)?;
        let is_ours = (found.dev(), found.ino()) == (self.device, self.inode);
        match is_ours && std::process::id() == self.maker {
            true => fs::remove_file(&self.path),
            false => Ok(()),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it cannot be removed, the next start finds that nobody answers on it, and replaces it.
        let _ = self.remove();
    }
}

/// How long to wait for the lock on the directory. Another start holds it for the time of a few
/// system calls; a process that holds it longer is no start of ours.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The lock on a directory. It is released when the file is closed.
enum Lock {
    Held {
        _directory: File,
    },
    /// Another process keeps it.
    LoopUsage,
    /// The directory cannot be read, or its file system has no locks.
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
    Lock::LoopUsage
}

/// Makes way for a new socket: removes a socket on which nobody answers, and touches nothing else.
fn clear(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?.file_type(),
    };
    if !found.is_socket() {
        let reason = format!("{} is in the way, and is left alone", kind(found));
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, reason));
    }
    match knock(path) {
        Knock::Nobody => fs::remove_file(path),
        Knock::Answered => {
            let reason = "another process listens on it";
            Err(io::Error::new(io::ErrorKind::AddrInUse, reason))
        }
        Knock::Unknown(error) => Err(error),
    }
}

enum Knock {
    Answered,
    Nobody,
    Unknown(io::Error),
}

/// Asks whether a socket is bound to the file. The question is put by a datagram socket: one that
/// is bound for streams refuses it as of the wrong type, and its owner never hears of us; nor does
/// it matter whether he listens yet. What nobody has bound refuses the connection.
fn knock(path: &Path) -> Knock {
    let error = match UnixDatagram::unbound().and_then(|socket| socket.connect(path)) {
        Ok(()) => return Knock::Answered,
        Err(error) => error,
    };
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Knock::Nobody,
        _ if error.raw_os_error() == Some(libc::EPROTOTYPE) => Knock::Answered,
        _ => Knock::Unknown(error),
    }
}

fn kind(found: fs::FileType) -> &'static str {
    match () {
        () if found.is_symlink() => "a symbolic link",
        () if found.is_dir() => "a directory",
        () if found.is_file() => "a file",
        () if found.is_fifo() => "a named pipe",
        () => "a device",
    }
}

/// The permissions of a new socket are what the umask leaves of 0777. To set the umask for the
/// call is exact, and there is no moment in which they are wider. It is the process's umask: bind
/// before threads are started that make files.
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
    use crate::shell::scratch::Scratch;

    /// A listener at the path, made by the rules.
    fn make(path: &Path, mode: Option<u32>) -> io::Result<(SocketFile, UnixListener)> {
        let mut listener = None;
        let file = SocketFile::make(path, mode, || {
            listener = Some(UnixListener::bind(path)?);
            Ok(())
        })?;
        Ok((file, listener.unwrap()))
    }

    fn refusal(path: &Path) -> String {
        make(path, None).unwrap_err().to_string()
    }

    #[test]
    fn the_file_is_removed_by_its_maker_and_by_nobody_else() {
        let scratch = Scratch::new("maker");
        let path = scratch.path("x.sock");
        let (mut file, listener) = make(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert!(!path.exists());
        drop(listener);

        (file, _) = make(&path, None).unwrap();
        file.maker += 1;
        drop(file);
        assert!(path.exists(), "removed by a process that did not make it");
    }

    #[test]
    fn a_file_that_took_the_place_of_ours_is_not_removed() {
        let scratch = Scratch::new("place");
        let path = scratch.path("x.sock");
        let (file, _listener) = make(&path, None).unwrap();
        fs::rename(&path, scratch.path("away")).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(file);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_socket_on_which_nobody_answers_is_replaced() {
        let scratch = Scratch::new("dead");
        let path = scratch.path("x.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _made = make(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
        let path = scratch.path("x.dgram");
        drop(UnixDatagram::bind(&path).unwrap());
        let _made = make(&path, None).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_live_socket_is_left_alone_and_its_owner_hears_nothing() {
        let scratch = Scratch::new("live");
        let path = scratch.path("x.sock");
        let listener = UnixListener::bind(&path).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(refusal(&path), "another process listens on it");
        assert_eq!(listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        UnixStream::connect(&path).unwrap();

        let path = scratch.path("x.dgram");
        let _datagrams = UnixDatagram::bind(&path).unwrap();
        assert_eq!(refusal(&path), "another process listens on it");

        let path = scratch.path("not-yet");
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.bind(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        assert_eq!(refusal(&path), "another process listens on it");
        socket.listen(1).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_never_touched() {
        let scratch = Scratch::new("foreign");
        let file = scratch.path("file");
        fs::write(&file, "precious").unwrap();
        assert_eq!(refusal(&file), "a file is in the way, and is left alone");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let directory = scratch.path("directory");
        fs::create_dir(&directory).unwrap();
        assert_eq!(refusal(&directory), "a directory is in the way, and is left alone");
        assert!(directory.is_dir());
        for target in ["file", "nothing", "dead.sock"] {
            drop(UnixListener::bind(scratch.path("dead.sock")));
            let link = scratch.path(&format!("link-to-{target}"));
            symlink(target, &link).unwrap();
            assert_eq!(refusal(&link), "a symbolic link is in the way, and is left alone");
            assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        }
        assert!(scratch.path("dead.sock").exists());
        let text = make(&scratch.path("no/such/directory"), None).unwrap_err();
        assert_eq!(text.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn of_many_starts_at_once_over_a_dead_socket_one_wins_and_stays_reachable() {
        const STARTS: usize = 8;
        let scratch = Scratch::new("race");
        let path = scratch.path("x.sock");
        for _ in 0..20 {
            drop(UnixListener::bind(&path));
            let barrier = Barrier::new(STARTS);
            let start = || {
                barrier.wait();
                make(&path, None)
            };
            let made: Vec<_> = thread::scope(|scope| {
                let starts: Vec<_> = (0..STARTS).map(|_| scope.spawn(start)).collect();
                starts.into_iter().filter_map(|start| start.join().unwrap().ok()).collect()
            });
            assert_eq!(made.len(), 1, "so many think that the socket is theirs");
            UnixStream::connect(&path).unwrap();
        }
    }

    #[test]
    fn a_mode_is_exact_and_the_umask_is_put_back() {
        // The owner's bits are all set: other tests make files while the umask is ours.
        let scratch = Scratch::new("mode");
        let before = current_umask();
        for mode in [0o700, 0o770, 0o707, 0o777] {
            let path = scratch.path(&format!("{mode:o}.sock"));
            let _made = make(&path, Some(mode)).unwrap();
            let found = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(found & 0o777, mode, "{found:o}");
        }
        let failed = SocketFile::make(&scratch.path("none"), Some(0o700), || {
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
    fn a_start_waits_for_another_that_is_at_work_in_the_directory() {
        let scratch = Scratch::new("lock");
        let path = scratch.path("x.sock");
        let lock = lock_directory(&path);
        assert!(matches!(lock, Lock::Held { .. }));
        let other = thread::spawn(move || make(&path, None).map(drop));
        thread::sleep(5 * LOCK_PAUSE);
        assert!(!other.is_finished());
        drop(lock);
        other.join().unwrap().unwrap();
    }
    #[test]
    fn a_directory_that_stays_locked_by_another_process_prevents_no_start() {
        let scratch = Scratch::new("foreign-lock");
        let path = scratch.path("x.sock");
        // As another user who may only read the directory would do it.
        let directory = File::open(scratch.path("")).unwrap();
        flock(&directory, FlockOperation::LockExclusive).unwrap();
        let (file, _listener) = make(&path, None).unwrap();
        let warning = file.warning().unwrap();
        assert!(warning.contains("x.sock without locking its directory"), "{warning}");
        UnixStream::connect(&path).unwrap();
        drop(directory);
        let (file, _listener) = make(&scratch.path("y.sock"), None).unwrap();
        assert_eq!(file.warning(), None);
    }
}
