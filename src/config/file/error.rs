//! Errors of configuration files: each with the file, line and column, the line itself, carets
//! under what is wrong, and what is accepted.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use crate::config::parse::{SpanError, window};
use crate::text::count::Count;
use crate::text::escape::escaped;

/// One error of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Position in the text, in bytes. Empty if something is missing there.
    pub span: Range<usize>,
    pub wrong: String,
    /// What is accepted, or what to do. May be empty.
    pub accepted: String,
    /// Other places that are concerned, and how.
    pub also: Vec<(Range<usize>, &'static str)>,
}

/// All errors of a file, in the order of its text. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The name of the file.
    pub file: String,
    pub text: String,
    pub errors: Vec<ConfigError>,
}

/// Maximum number of errors that are shown. A file that is no configuration may have an error in
/// each of its lines.
const SHOWN_MAX: usize = 50;

/// Maximum number of other places that are shown for one error.
const PLACES_MAX: usize = 10;

impl From<SpanError> for ConfigError {
    fn from(error: SpanError) -> ConfigError {
        let SpanError { span, wrong, accepted } = error;
        ConfigError { span, wrong, accepted, also: Vec::new() }
    }
}

impl ConfigError {
    /// An error at this place.
    pub fn at(span: Range<usize>, wrong: impl Into<String>) -> ConfigError {
        ConfigError { span, wrong: wrong.into(), accepted: String::new(), also: Vec::new() }
    }

    /// Sets what is accepted.
    pub fn accepts(mut self, accepted: impl Into<String>) -> ConfigError {
        self.accepted = accepted.into();
        self
    }

    /// Returns the line and the column of a position, both from 1. The column counts characters.
    pub fn line_and_column(text: &str, at: usize) -> (usize, usize) {
        let before = &text.as_bytes()[..at.min(text.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = String::from_utf8_lossy(&before[line_start..]).chars().count() + 1;
        (line, column)
    }
}

impl ConfigErrors {
    /// Returns the errors in one line each, with all that is accepted and all places.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let place = |at: usize| {
            let (line, column) = ConfigError::line_and_column(&self.text, at);
            format!("{}:{line}:{column}", self.file)
        };
        let shown = self.errors.iter().take(SHOWN_MAX).map(move |error| {
            let mut text = format!("{}: {}", place(error.span.start), error.wrong);
            if !error.accepted.is_empty() {
                text += &format!("; accepted: {}", error.accepted.replace('\n', " "));
            }
            for (span, how) in error.also.iter().take(PLACES_MAX) {
                text += &format!("; {how}: {}", place(span.start));
            }
            text
        });
        let more = self.errors.len().saturating_sub(SHOWN_MAX);
        let rest = (more > 0).then(|| format!("{}: and {}", self.file, Count(more, "more error")));
        shown.chain(rest)
    }

    /// Prints a place: its position and a sentence, its line, and carets.
    fn place(
        &self,
        f: &mut fmt::Formatter<'_>,
        span: &Range<usize>,
        sentence: &str,
    ) -> fmt::Result {
        let (line, column) = ConfigError::line_and_column(&self.text, span.start);
        let start = span.start.min(self.text.len());
        let line_start = self.text[..start].rfind('\n').map_or(0, |end| end + 1);
        let rest = &self.text[line_start..];
        let content = rest.split('\n').next().unwrap_or(rest).trim_end_matches('\r');
        // What continues on further lines is marked to the end of the first one.
        let within = |at: usize| at.saturating_sub(line_start).min(content.len());
        let (shown, carets) = window(content, within(span.start)..within(span.end));
        writeln!(f, "{}:{line}:{column}: {}", escaped(&self.file), escaped(&sentence))?;
        let number = line.to_string();
        writeln!(f, "  {number} | {shown}")?;
        let marks = "^".repeat(carets.len().max(1));
        write!(
            f,
            "  {:width$} | {:indent$}{marks}",
            "",
            "",
            width = number.len(),
            indent = carets.start
        )
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().take(SHOWN_MAX).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            self.place(f, &error.span, &error.wrong)?;
            if !error.accepted.is_empty() {
                let accepted = error.accepted.replace('\n', "\n            ");
                write!(f, "\n  accepted: {accepted}")?;
            }
            for (span, how) in error.also.iter().take(PLACES_MAX) {
                f.write_str("\n")?;
                self.place(f, span, how)?;
            }
            if let Some(more) = error.also.len().checked_sub(PLACES_MAX).filter(|more| *more > 0) {
                write!(f, "\n  and {more} more")?;
            }
        }
        match self.errors.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl Error for ConfigErrors {}
