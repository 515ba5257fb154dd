//! Errors of configuration files: each with the file, line and column, the line itself, carets
//! under what is wrong, and what is accepted.

use std::error::Error;
use std::fmt;
use std::ops::Range;

use crate::config::parse::{SpanError, window};
use crate::text::escape::escaped;

/// One error of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Position in the text, in bytes. Empty if something is missing there.
    pub span: Range<usize>,
    pub wrong: String,
    /// What is accepted, or what to do. May be empty.
    pub accepted: String,
    /// Another place that is concerned, and how.
    pub also: Option<(Range<usize>, &'static str)>,
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

impl From<SpanError> for ConfigError {
    fn from(error: SpanError) -> ConfigError {
        let SpanError { span, wrong, accepted } = error;
        ConfigError { span, wrong, accepted, also: None }
    }
}

impl ConfigError {
    /// An error at this place.
    pub fn at(span: Range<usize>, wrong: impl Into<String>) -> ConfigError {
        ConfigError { span, wrong: wrong.into(), accepted: String::new(), also: None }
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
    /// Returns the errors in one line each.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.errors.iter().take(SHOWN_MAX).map(|error| {
            let (line, column) = ConfigError::line_and_column(&self.text, error.span.start);
            let accepted = match error.accepted.lines().next() {
                Some(accepted) => format!("; accepted: {accepted}"),
                None => String::new(),
            };
            format!("{}:{line}:{column}: {}{accepted}", self.file, error.wrong)
        })
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
            if let Some((span, how)) = &error.also {
                f.write_str("\n")?;
                self.place(f, span, how)?;
            }
        }
        match self.errors.len().saturating_sub(SHOWN_MAX) {
            0 => Ok(()),
            more => write!(f, "\nand {more} more"),
        }
    }
}

impl Error for ConfigErrors {}
