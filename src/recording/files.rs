//! The recording on disk: numbered files that a helper thread writes, so that the loop never waits
//! for a disk. Regular files have no non-blocking writes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use super::encoder::Segment;
use super::writer::SEGMENT_MAX;

/// Segments that wait for the helper thread: some seconds of a busy loop on a slow disk. What does
/// not fit is lost, and counted.
const WAITING_MAX: usize = 16;

/// Parts into which the limit is divided. The oldest is deleted as a whole, so this much of the
/// limit is sometimes unused.
const FILES: u64 = 16;

/// Digits of a file's number. More are used beyond a million files.
const DIGITS: usize = 6;

/// A recording on disk.
pub struct SegmentFiles {
    /// None: the thread is to end.
    segments: Option<SyncSender<Segment>>,
    /// Buffers that were written.
    buffers: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// Events that did not fit into the hand-over.
    lost: u64,
}

/// What the helper thread reports.
#[derive(Default)]
struct Shared {
    /// Events in segments that could not be written.
    lost: AtomicU64,
    /// The last error, until it is taken.
    error: Mutex<Option<io::Error>>,
}

impl SegmentFiles {
    /// Creates the first file, and starts the thread. Files of an earlier recording of this name
    /// stay, and count towards the limit.
    pub fn start(path: &Path, limit: u64) -> io::Result<SegmentFiles> {
        let disk = Disk::open(path, limit)?;
        let (shared, (segments, waiting)) = (Arc::default(), sync_channel(WAITING_MAX));
        let (written, buffers) = channel();
        let helper = Helper { disk, waiting, written, shared: Arc::clone(&shared) };
        let builder = thread::Builder::new().name("oneloop-record".to_string());
        let thread = Some(builder.spawn(move || helper.run())?);
        Ok(SegmentFiles { segments: Some(segments), buffers, shared, thread, lost: 0 })
    }

    /// Hands a segment over to the thread. Returns a buffer for the next one. Never waits.
    pub fn push(&mut self, segment: Segment) -> Vec<u8> {
        let Some(segments) = &self.segments else { return segment.bytes };
        match segments.try_send(segment) {
            Ok(()) => self.buffers.try_recv().unwrap_or_default(),
            Err(TrySendError::Full(segment) | TrySendError::Disconnected(segment)) => {
                self.lost += segment.events;
                segment.bytes
            }
        }
    }

    /// Writes the last segment, and waits until everything is written.
    pub fn finish(&mut self, last: Segment) {
        let events = last.events;
        let sent = self.segments.take().is_some_and(|segments| segments.send(last).is_ok());
        let ended = self.thread.take().is_some_and(|thread| thread.join().is_ok());
        if !sent || !ended {
            self.lost += events;
        }
    }

    /// Lets the thread write what it has, and end. Nobody waits for it.
    pub fn release(&mut self) {
        (self.segments, self.thread) = (None, None);
    }

    /// Returns how many events were lost.
    pub fn lost(&self) -> u64 {
        self.lost + self.shared.lost.load(Ordering::Relaxed)
    }

    /// Returns an error of the disk that was not returned before.
    pub fn take_error(&self) -> Option<io::Error> {
        self.shared.error.lock().ok()?.take()
    }
}

/// The thread that writes.
struct Helper {
    disk: Disk,
    waiting: Receiver<Segment>,
    written: Sender<Vec<u8>>,
    shared: Arc<Shared>,
}

impl Helper {
    fn run(mut self) {
        while let Ok(segment) = self.waiting.recv() {
            if let Err(error) = self.disk.write(&segment.bytes) {
                self.shared.lost.fetch_add(segment.events, Ordering::Relaxed);
                if let Ok(mut last) = self.shared.error.lock() {
                    *last = Some(error);
                }
            }
            // The loop may have ended.
            let _ = self.written.send(segment.bytes);
        }
    }
}

/// The numbered files.
struct Disk {
    path: PathBuf,
    limit: u64,
    /// The present file and its length. None: the next segment begins a file.
    file: Option<(File, u64)>,
    /// All files, oldest first, and their lengths when they were completed.
    files: Vec<(u64, u64)>,
}

impl Disk {
    fn open(path: &Path, limit: u64) -> io::Result<Disk> {
        let files = existing(path)?;
        let mut disk = Disk { path: path.to_owned(), limit, file: None, files };
        disk.begin_file()?;
        Ok(disk)
    }

    /// Creates the next file.
    fn begin_file(&mut self) -> io::Result<()> {
        let number = self.files.last().map_or(1, |(number, _)| number + 1);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        // A recording names clients, and contains messages.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(numbered(&self.path, number))?;
        self.file = Some((file, 0));
        self.files.push((number, 0));
        Ok(())
    }

    /// Writes a segment, and deletes the oldest files until the next one fits too.
    fn write(&mut self, segment: &[u8]) -> io::Result<()> {
        if self.file.is_none() {
            self.begin_file()?;
        }
        let Some((file, length)) = &mut self.file else { return Ok(()) };
        let result = file.write_all(segment);
        match result {
            Ok(()) => *length += segment.len() as u64,
            // Half a segment would make what follows unreadable for who joins the files. If this
            // fails too, the rest of the file is damaged.
            Err(_) => drop(file.set_len(*length)),
        }
        let length = *length;
        if let Some((_, known)) = self.files.last_mut() {
            *known = length;
        }
        if result.is_err() || length >= self.limit / FILES {
            self.file = None;
        }
        if result.is_err() && length == 0 {
            self.delete_empty();
        }
        self.delete_oldest();
        result
    }

    /// Deletes the newest file, which has nothing. If that fails, it stays in the list.
    fn delete_empty(&mut self) {
        if let Some((number, _)) = self.files.last()
            && fs::remove_file(numbered(&self.path, *number)).is_ok()
        {
            self.files.pop();
        }
    }

    fn delete_oldest(&mut self) {
        let used = |files: &[(u64, u64)]| files.iter().map(|(_, length)| length).sum::<u64>();
        while self.files.len() > 1 && used(&self.files) + SEGMENT_MAX as u64 > self.limit {
            let (number, _) = self.files.remove(0);
            // If an operator has deleted it, there is nothing to do.
            let _ = fs::remove_file(numbered(&self.path, number));
        }
    }
}

/// Returns the name of a file: `trace.000001`.
fn numbered(path: &Path, number: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number:0DIGITS$}"));
    PathBuf::from(name)
}

/// Returns the numbers and lengths of the files of this name, oldest first.
fn existing(path: &Path) -> io::Result<Vec<(u64, u64)>> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "not the name of a file");
    let own = path.file_name().ok_or_else(invalid)?.as_encoded_bytes();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut files = Vec::new();
    for entry in fs::read_dir(folder.unwrap_or(Path::new(".")))? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.as_encoded_bytes().strip_prefix(own).and_then(parse_number);
        if let Some(number) = number {
            files.push((number, entry.metadata()?.len()));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Parses what follows the name: `.000001`.
fn parse_number(suffix: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(suffix.strip_prefix(b".")?).ok()?;
    let is_number = digits.len() >= DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Event, Key, Moment};
    use crate::recording::{Encoder, replay};

    /// A directory that is removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let unique = format!("oneloop-record-{name}-{}", std::process::id());
            let folder = std::env::temp_dir().join(unique);
            fs::create_dir_all(&folder).unwrap();
            Folder(folder)
        }

        fn files(&self) -> Vec<PathBuf> {
            let entries = fs::read_dir(&self.0).unwrap();
            let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            files.sort();
            files
        }

        fn bytes(&self) -> Vec<u8> {
            self.files().iter().flat_map(|file| fs::read(file).unwrap()).collect()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// Encodes events until a segment is complete.
    fn segment(encoder: &mut Encoder) -> Segment {
        while !encoder.is_full() {
            encoder.on(Key::new(7, 3), &Event::Wrote { bytes: 5, left: 0 });
        }
        encoder.next_segment(Vec::new())
    }

    #[test]
    fn a_recording_is_what_its_files_contain_in_order() {
        let folder = Folder::new("order");
        let mut files = SegmentFiles::start(&folder.0.join("x"), 1 << 30).unwrap();
        let mut encoder = Encoder::new(Moment(0));
        let mut events = 0;
        for _ in 0..4 {
            let segment = segment(&mut encoder);
            events += segment.events;
            files.push(segment);
        }
        encoder.on(Key::LOOP, &Event::ReadOn);
        files.finish(encoder.next_segment(Vec::new()));
        let report = replay(&folder.bytes(), &mut ());
        assert_eq!((report.records, report.lost, files.lost()), (events + 1, 0, 0));
        assert!(!report.truncated && files.take_error().is_none());
        assert_eq!(folder.files(), [folder.0.join("x.000001")]);
    }

    #[test]
    fn the_oldest_files_are_deleted_and_those_of_an_earlier_run_count() {
        let folder = Folder::new("limit");
        let path = folder.0.join("x");
        for other in ["x", "x.txt", "x.7", "y.000001"] {
            fs::write(folder.0.join(other), "other").unwrap();
        }
        fs::write(folder.0.join("x.000009"), "old").unwrap();
        let (limit, mut encoder) = (8 << 20, Encoder::new(Moment(0)));
        let mut disk = Disk::open(&path, limit).unwrap();
        let mut events = 0;
        for _ in 0..20 {
            let segment = segment(&mut encoder);
            events += segment.events;
            disk.write(&segment.bytes).unwrap();
            let length =
                |number: &(u64, u64)| fs::metadata(numbered(&path, number.0)).unwrap().len();
            assert!(disk.files.iter().map(length).sum::<u64>() <= limit);
        }
        let numbers: Vec<u64> = disk.files.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [24, 25, 26, 27, 28, 29]);
        assert_eq!(folder.files().len(), numbers.len() + 4);
        let own =
            folder.files().into_iter().filter(|file| file.to_str().unwrap().contains("x.0000"));
        let bytes: Vec<u8> = own.flat_map(|file| fs::read(file).unwrap()).collect();
        let report = replay(&bytes, &mut ());
        assert_eq!((report.first + report.records, report.lost), (events, 0));
    }

    #[test]
    fn a_full_hand_over_loses_segments_and_says_how_many_events() {
        let folder = Folder::new("full");
        let (segments, waiting) = sync_channel(2);
        let (written, buffers) = channel();
        let (segments, shared) = (Some(segments), Arc::<Shared>::default());
        let mut files =
            SegmentFiles { segments, buffers, shared: Arc::clone(&shared), thread: None, lost: 0 };
        let mut encoder = Encoder::new(Moment(0));
        let all: Vec<Segment> = (0..5).map(|_| segment(&mut encoder)).collect();
        let total: u64 = all.iter().map(|segment| segment.events).sum();
        all.into_iter().for_each(|segment| drop(files.push(segment)));
        assert!(files.lost() > 0, "the thread has not started yet");
        // The loss is announced by the segment that follows it.
        let disk = Disk::open(&folder.0.join("x"), 1 << 30).unwrap();
        let helper = Helper { disk, waiting, written, shared };
        files.thread = Some(thread::spawn(move || helper.run()));
        files.finish(encoder.next_segment(Vec::new()));
        let report = replay(&folder.bytes(), &mut ());
        assert_eq!((report.lost, report.records), (files.lost(), total - files.lost()));
    }

    /// Fails each write to the present file, as a full disk does.
    #[cfg(target_os = "linux")]
    fn fill(disk: &mut Disk) {
        if disk.file.is_none() {
            disk.begin_file().unwrap();
        }
        let full = File::options().write(true).open("/dev/full").unwrap();
        disk.file.as_mut().unwrap().0 = full;
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_leaves_no_empty_files_however_often_it_fails() {
        let folder = Folder::new("disk-full");
        let mut encoder = Encoder::new(Moment(0));
        let mut disk = Disk::open(&folder.0.join("x"), 1 << 30).unwrap();
        for _ in 0..3 {
            fill(&mut disk);
            let error = disk.write(&segment(&mut encoder).bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert!(folder.files().is_empty() && disk.files.is_empty());
        }
        // What has segments stays, and is not continued.
        let before = segment(&mut encoder).bytes;
        disk.write(&before).unwrap();
        for _ in 0..3 {
            fill(&mut disk);
            disk.write(&segment(&mut encoder).bytes).unwrap_err();
            assert_eq!(folder.files(), [folder.0.join("x.000001")]);
        }
        let after = segment(&mut encoder).bytes;
        disk.write(&after).unwrap();
        assert_eq!(folder.files(), ["x.000001", "x.000002"].map(|name| folder.0.join(name)));
        assert_eq!(folder.bytes(), [before, after].concat());
    }

    #[test]
    fn a_disk_that_fails_is_reported_and_the_events_are_counted_as_lost() {
        let folder = Folder::new("fails");
        let mut files = SegmentFiles::start(&folder.0.join("x"), 4 << 20).unwrap();
        fs::remove_dir_all(&folder.0).unwrap();
        let mut encoder = Encoder::new(Moment(0));
        for _ in 0..2 {
            files.push(segment(&mut encoder));
        }
        let last = segment(&mut encoder);
        let events = last.events;
        files.finish(last);
        // The first segment went into the file that was open, which is deleted.
        assert!(files.lost() >= events, "{}", files.lost());
        assert_eq!(files.take_error().unwrap().kind(), io::ErrorKind::NotFound);
        assert!(files.take_error().is_none());
        assert!(SegmentFiles::start(&folder.0.join("x"), 4 << 20).is_err());
        assert!(SegmentFiles::start(Path::new(".."), 4 << 20).is_err());
    }
}
