//! Runs trace: finds the recording, replays it into a converter, and writes the result.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    ConnectionSteps, ExplainConverter, FlagsConverter, JsonlConverter, PcapngConverter,
    PerfettoConverter, RecordingGaps,
};
use crate::config::{Address, Explain, TraceKind, TracePlan};
use crate::core::{Moment, SysError};
use crate::observe::replayed_log;
use crate::recording::{ReplayReport, SegmentHead, read_files, replay_files};
use crate::text::count::Count;
use crate::text::escape::{escaped, plain};
use crate::tools::ctl::CtlError;
use crate::tools::ctl::endpoint::Endpoint;

/// Maximum bytes of a recording that a daemon sends: more than any ring in memory has.
const DOWNLOAD_BYTES: u64 = 4 << 30;

/// Bytes of a recording in which the header of its first segment is found.
const HEAD_BYTES: usize = 64 * 1024;

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
    let parts = read_source(plan)?;
    let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
    let Some(head) = first_head(&parts) else {
        return Err(CtlError::Failed(format!("{} is not a recording", plain(&plan.source))));
    };
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
        return convert(plan, &parts, &head, &mut BufWriter::new(out)).map_err(CtlError::Output);
    };
    let failed = |error: io::Error| {
        let path = escaped(&path.display());
        CtlError::Failed(format!("cannot write {path}: {}", SysError::from(&error)))
    };
    let mut file = BufWriter::new(File::create(path).map_err(failed)?);
    let outcome = convert(plan, &parts, &head, &mut file).map_err(failed)?;
    file.flush().map_err(failed)?;
    Ok(outcome)
}

/// Replays the recording into the converter of the plan.
fn convert(
    plan: &TracePlan,
    parts: &[&[u8]],
    head: &SegmentHead,
    out: &mut dyn Write,
) -> io::Result<TraceOutcome> {
    let mut is_found = true;
    let start = start_of(head);
    let report = match plan.what {
        TraceKind::Log => {
            let log = replayed_log(&mut *out, &plan.level, Explain::Off, start);
            let mut log = log.map_err(|invalid| io::Error::other(invalid.to_string()))?;
            let report = replay_files(parts, &mut log);
            log.finish()?;
            report
        }
        TraceKind::Explain(id) => {
            let mut explain = ExplainConverter::new(id);
            let report = replay_files(parts, &mut explain);
            is_found = explain.is_found();
            explain.finish(out)?;
            report
        }
        TraceKind::Flags => {
            let mut flags = FlagsConverter::default();
            let report = replay_files(parts, &mut flags);
            let is_truncated = report.truncated || report.damaged > 0;
            let ReplayReport { lost, unknown, first: before, .. } = report;
            let gaps = RecordingGaps { lost, unknown, is_truncated, before };
            flags.finish(&plan.source, &gaps, out)?;
            report
        }
        TraceKind::Jsonl => {
            let mut jsonl = JsonlConverter::new(&mut *out);
            let report = replay_files(parts, &mut jsonl);
            jsonl.finish()?;
            report
        }
        TraceKind::Pcapng => {
            let mut pcapng = PcapngConverter::new(&mut *out, start);
            let report = replay_files(parts, &mut pcapng);
            pcapng.finish()?;
            report
        }
        TraceKind::Perfetto => {
            let mut steps = ConnectionSteps::default();
            replay_files(parts, &mut steps);
            let mut perfetto = PerfettoConverter::new(&mut *out, head, steps);
            let report = replay_files(parts, &mut perfetto);
            perfetto.finish()?;
            report
        }
    };
    out.flush()?;
    Ok(TraceOutcome { is_found, warning: warning(&report) })
}

/// Says what is missing in a recording. None: nothing.
fn warning(report: &ReplayReport) -> Option<String> {
    let mut missing = Vec::new();
    if report.lost > 0 {
        missing.push(format!("{} lost", Count(report.lost as usize, "event: was")));
    }
    if report.unknown > 0 {
        missing.push(format!("{} unknown", Count(report.unknown as usize, "record: is")));
    }
    if report.damaged > 0 {
        missing.push(format!("{} damaged", Count(report.damaged as usize, "byte: is")));
    }
    if report.truncated {
        missing.push("it ends within a record".to_owned());
    }
    (!missing.is_empty()).then(|| format!("the recording is incomplete: {}", missing.join(", ")))
}

/// Returns the head of the first segment. None: it is no recording.
fn first_head(parts: &[&[u8]]) -> Option<SegmentHead> {
    let heads = parts.iter().filter_map(|part| {
        let beginning = &part[..part.len().min(HEAD_BYTES)];
        read_files(&[beginning], &mut |_| {}).head
    });
    heads.into_iter().next()
}

/// When the loop was created whose events the recording has.
fn start_of(head: &SegmentHead) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(head.wall_micros_of(Moment(0)))
}

/// Reads the files of a recording, or has a daemon send it.
fn read_source(plan: &TracePlan) -> Result<Vec<Vec<u8>>, CtlError> {
    let path = Path::new(&plan.source);
    let files = match path.is_file() {
        true => vec![path.to_path_buf()],
        false => numbered(path),
    };
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
