//! Where a recording of the loop goes, and how large it may become.

use std::fmt;
use std::path::PathBuf;

use super::parse::{ParseError, SpanError, Spanned};
use super::unit::{read_size, show_size};

/// A recording of all events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordPlan {
    /// The newest events, in this much memory.
    Memory { limit: usize },
    /// Numbered files that begin with this path, of this many bytes together.
    Files { path: PathBuf, limit: u64 },
}

/// The smallest limit: less would leave too little when the oldest part is dropped.
const LIMIT_MIN: u64 = 4 << 20;

/// The largest limit, so that sizes can be added without overflow.
const LIMIT_MAX: u64 = 1 << 44;

const ACCEPTED: &str = "16M (in memory); FILE,limit=256M (on disk)";

impl RecordPlan {
    /// Parses the limit of a recording in memory.
    pub fn in_memory(limit: &str) -> Result<RecordPlan, ParseError> {
        let limit_read = read_recording_limit(Spanned::whole(limit));
        let limit_read = limit_read.map_err(|error| ParseError::new("limit", limit, error))?;
        Ok(RecordPlan::Memory { limit: limit_read as usize })
    }
}

/// Reads `16M` or `FILE,limit=256M`.
pub(super) fn read_record(value: Spanned<'_>) -> Result<RecordPlan, SpanError> {
    let (file, option) = value.split(',');
    let Some(option) = option else {
        return match value.text.starts_with(|c: char| c.is_ascii_digit()) {
            true => Ok(RecordPlan::Memory { limit: read_recording_limit(value)? as usize }),
            false if value.is_empty() => {
                Err(value.lacks("missing size or file").or_accepts(ACCEPTED))
            }
            false => Err(value.lacks("missing limit of the file").or_accepts(ACCEPTED)),
        };
    };
    if file.is_empty() {
        return Err(file.wrong("missing file name").or_accepts(ACCEPTED));
    }
    let limit = option.after("limit=");
    let limit = limit.ok_or_else(|| option.wrong("unknown option").or_accepts(ACCEPTED))?;
    Ok(RecordPlan::Files { path: file.text.into(), limit: read_recording_limit(limit)? })
}

/// Reads the limit of a recording.
fn read_recording_limit(value: Spanned<'_>) -> Result<u64, SpanError> {
    let accepts = || format!("{} or more", show_size(LIMIT_MIN as usize));
    match read_size(value)? {
        0..LIMIT_MIN => Err(value.wrong("too small for a recording").or_accepts(&accepts())),
        limit if limit <= LIMIT_MAX => Ok(limit),
        _ => Err(value.wrong("too large").or_accepts(&accepts())),
    }
}

impl fmt::Display for RecordPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordPlan::Memory { limit } => f.write_str(&show_size(*limit)),
            RecordPlan::Files { path, limit } => {
                write!(f, "{},limit={}", path.display(), show_size(*limit as usize))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_has_a_limit_in_memory_or_on_disk() {
        let read = |text| read_record(Spanned::whole(text));
        let memory = RecordPlan::Memory { limit: 16 << 20 };
        let files = RecordPlan::Files { path: "/x/16M".into(), limit: 1 << 30 };
        for (text, plan) in [("16M", &memory), ("/x/16M,limit=1G", &files)] {
            assert_eq!(read(text).as_ref(), Ok(plan));
            assert_eq!(plan.to_string(), text);
        }
        let wrong = [
            ("", "missing size or file"),
            ("x", "missing limit of the file"),
            ("4Mx", "unknown unit"),
            ("1M", "too small for a recording"),
            ("x,limit=1M", "too small for a recording"),
            ("999999G", "too large"),
            (",limit=16M", "missing file name"),
            ("x,size=16M", "unknown option"),
        ];
        for (text, wrong) in wrong {
            assert_eq!(read(text).map_err(|error| error.wrong), Err(wrong.to_owned()), "{text}");
        }
    }
}
