//! Runs trace: finds the recording, replays it into a converter, and writes the result.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    ConnectionSteps, ExplainConverter, FlagsConverter, JsonlConverter, PcapngConverter,
    PerfettoConverter, RecordingGaps,
};
use crate::config::{Address, TraceKind, TracePlan};
use crate::core::{Moment, SysError};
use crate::net::self_connect::FileId;
use crate::observe::format::Stamp;
use crate::observe::replayed_log;
use crate::recording::{
    ProcessStart, ReplayObserver, ReplayReport, SegmentHead, read_files, replay_files,
    split_processes,
};
use crate::text::count::Count;
use crate::text::escape::{escaped, plain};
use crate::tools::ctl::CtlError;
use crate::tools::ctl::endpoint::Endpoint;

/// Maximum bytes of a recording that a daemon sends: more than any ring in memory has.
const DOWNLOAD_BYTES: u64 = 4 << 30;

/// How a conversion ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceOutcome {
    /// The recording has what was asked for.
    pub is_found: bool,
    /// What is missing in the recording, in a sentence.
    pub warning: Option<String>,
}

/// Converts a recording. A path is tried before an address of the same text.
pub fn run(plan: &TracePlan, out: &mut dyn Write) -> Result<TraceOutcome, CtlError> {
    let files = source_files(&plan.source);
    check_output(plan, &files)?;
    // Before a file is created, and whatever the recording has.
    if let Err(invalid) = replayed_log(io::sink(), &plan.level, plan.explain, UNIX_EPOCH) {
        return Err(CtlError::Usage(invalid.to_string()));
    }
    let parts = read_source(plan, &files)?;
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let processes = read_files(&parts, &mut |_| {}).processes;
    if processes.is_empty() {
        return Err(CtlError::Failed(format!("{} is not a recording", plain(&plan.source))));
    }
    let parts = RecordingParts { split: split_processes(&parts, &processes), processes };
    let binary = match plan.what {
        TraceKind::Pcapng => Some("pcapng"),
        TraceKind::Perfetto => Some("perfetto"),
        TraceKind::Log | TraceKind::Explain(_) | TraceKind::Flags | TraceKind::Jsonl => None,
    };
    if let Some(name) = binary.filter(|_| plan.output.is_none() && io::stdout().is_terminal()) {
        let text = "is not text; name a file with --output, or redirect the output";
        return Err(CtlError::Usage(format!("{name} {text}")));
    }
    let Some(path) = &plan.output else {
        return convert(plan, &parts, &mut BufWriter::new(out)).map_err(CtlError::Output);
    };
    let failed = |error: io::Error| {
        let path = escaped(&path.display());
        CtlError::Failed(format!("cannot write {path}: {}", SysError::from(&error)))
    };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    let outcome = convert(plan, &parts, &mut file).map_err(failed)?;
    file.flush().map_err(failed)?;
    Ok(outcome)
}

/// A recording, split into the events of each process: what is recorded to the same files after a
/// restart is a part of it.
struct RecordingParts<'a> {
    split: Vec<Vec<&'a [u8]>>,
    processes: Vec<ProcessStart>,
}

fn convert(
    plan: &TracePlan,
    parts: &RecordingParts<'_>,
    out: &mut dyn Write,
) -> io::Result<TraceOutcome> {
    let outcome = match plan.what {
        TraceKind::Jsonl | TraceKind::Pcapng | TraceKind::Perfetto => {
            let reports = [convert_whole(plan.what, parts, out)?];
            TraceOutcome { is_found: true, warning: warning(&reports) }
        }
        TraceKind::Log | TraceKind::Explain(_) | TraceKind::Flags => {
            convert_each(plan, parts, out)?
        }
    };
    out.flush()?;
    Ok(outcome)
}

/// Converts all processes at once. The converter keeps them apart.
fn convert_whole(
    what: TraceKind,
    parts: &RecordingParts<'_>,
    out: &mut dyn Write,
) -> io::Result<ReplayReport> {
    let all: Vec<&[u8]> = parts.split.concat();
    let Some(ProcessStart { head, .. }) = parts.processes.first() else {
        return Ok(ReplayReport::default());
    };
    if what == TraceKind::Jsonl {
        let mut jsonl = JsonlConverter::new(out);
        jsonl.process(head);
        let report = replay_files(&all, &mut jsonl);
        jsonl.finish().map(|()| report)
    } else if what == TraceKind::Pcapng {
        let mut pcapng = PcapngConverter::new(out, start_of(head));
        let report = replay_files(&all, &mut pcapng);
        pcapng.finish().map(|()| report)
    } else {
        let mut steps = ConnectionSteps::default();
        replay_files(&all, &mut steps);
        let mut perfetto = PerfettoConverter::new(out, head, steps);
        let report = replay_files(&all, &mut perfetto);
        perfetto.finish().map(|()| report)
    }
}

/// Converts what each process has recorded, one after another.
fn convert_each(
    plan: &TracePlan,
    parts: &RecordingParts<'_>,
    out: &mut dyn Write,
) -> io::Result<TraceOutcome> {
    let (mut reports, mut is_found) = (Vec::new(), false);
    for (part, ProcessStart { head, .. }) in parts.split.iter().zip(&parts.processes) {
        let heading = match parts.processes.len() {
            1 => String::new(),
            _ => {
                let separator = if is_found { "\n" } else { "" };
                let started = Stamp(start_of(head));
                format!("{separator}Process {}, started {started}:\n\n", head.pid)
            }
        };
        let report = if let TraceKind::Explain(id) = plan.what {
            let mut explain = ExplainConverter::new(id);
            let report = replay_files(part, &mut explain);
            if explain.is_found() {
                is_found = true;
                out.write_all(heading.as_bytes())?;
                explain.finish(out)?;
            }
            report
        } else if plan.what == TraceKind::Flags {
            is_found = true;
            let mut flags = FlagsConverter::default();
            let report = replay_files(part, &mut flags);
            out.write_all(heading.as_bytes())?;
            flags.finish(&plan.source, &RecordingGaps::of(&report), out)?;
            report
        } else {
            is_found = true;
            let log = replayed_log(&mut *out, &plan.level, plan.explain, start_of(head));
            let mut log = log.map_err(|invalid| io::Error::other(invalid.to_string()))?;
            let report = replay_files(part, &mut log);
            log.finish()?;
            report
        };
        reports.push(report);
    }
    if let TraceKind::Explain(id) = plan.what
        && !is_found
    {
        // It says so.
        ExplainConverter::new(id).finish(out)?;
    }
    Ok(TraceOutcome { is_found, warning: warning(&reports) })
}

/// Says what is missing in a recording. None: nothing.
fn warning(reports: &[ReplayReport]) -> Option<String> {
    let sum =
        |count: fn(&ReplayReport) -> u64| reports.iter().map(count).fold(0, u64::saturating_add);
    let missing = [
        (sum(|report| report.lost), "event: was", "lost"),
        (sum(|report| report.unknown), "record: is", "unknown"),
        (sum(|report| report.damaged), "byte: is", "damaged"),
    ];
    let missing = missing.into_iter().filter(|(count, ..)| *count > 0);
    let mut missing: Vec<String> = missing
        .map(|(count, name, what)| format!("{} {what}", Count(count as usize, name)))
        .collect();
    if reports.iter().any(|report| report.truncated) {
        missing.push("it ends within a record".to_owned());
    }
    (!missing.is_empty()).then(|| format!("the recording is incomplete: {}", missing.join(", ")))
}

/// When the loop was created whose events the recording has.
fn start_of(head: &SegmentHead) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(head.wall_micros_of(Moment(0)))
}

/// Returns the files of a recording. There are none if a daemon is to send it.
fn source_files(source: &str) -> Vec<PathBuf> {
    let path = Path::new(source);
    match path.is_file() {
        true => vec![path.to_path_buf()],
        false => numbered(path),
    }
}

/// Refuses an output that is a file of the recording, by whatever name or link: its creation would
/// destroy the recording.
fn check_output(plan: &TracePlan, files: &[PathBuf]) -> Result<(), CtlError> {
    let Some(path) = &plan.output else { return Ok(()) };
    let Some(output) = FileId::at(path) else {
        // A file of that name would hide the numbered ones.
        if path.as_os_str() == plan.source.as_str() && !files.is_empty() {
            let text = "is the name of the recording; name another file with --output";
            return Err(CtlError::Usage(format!("{} {text}", escaped(&path.display()))));
        }
        return Ok(());
    };
    match files.iter().any(|file| FileId::at(file) == Some(output)) {
        false => Ok(()),
        true => {
            let path = escaped(&path.display());
            let text = format!("{path} is a file of the recording; name another one with --output");
            Err(CtlError::Usage(text))
        }
    }
}

/// Reads the files of a recording, or has a daemon send it.
fn read_source(plan: &TracePlan, files: &[PathBuf]) -> Result<Vec<Vec<u8>>, CtlError> {
    if !files.is_empty() {
        return files.iter().map(|path| read_file(path)).collect();
    }
    let address = Address::parse_stream_target(&plan.source).map_err(|_| {
        let source = plain(&plan.source);
        CtlError::Failed(format!("there is no recording {source}, and it is no address"))
    })?;
    let endpoint = Endpoint::new(address, plan.token_file.as_deref())?;
    Ok(vec![endpoint.recording(DOWNLOAD_BYTES)?])
}

fn read_file(path: &Path) -> Result<Vec<u8>, CtlError> {
    fs::read(path).map_err(|error| {
        let path = escaped(&path.display());
        CtlError::Failed(format!("cannot read {path}: {}", SysError::from(&error)))
    })
}

/// The files `PATH.000001` and so on, in the order of their numbers.
fn numbered(path: &Path) -> Vec<PathBuf> {
    let (Some(name), folder) = (path.file_name().and_then(|name| name.to_str()), path.parent())
    else {
        return Vec::new();
    };
    let folder = folder.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let number = |path: &Path| -> Option<u64> {
        let digits = path.file_name()?.to_str()?.strip_prefix(name)?.strip_prefix('.')?;
        let is_number = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| digits.parse().ok())?
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut found: Vec<(u64, PathBuf)> =
        paths.filter_map(|path| Some((number(&path)?, path))).collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}
