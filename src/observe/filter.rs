//! Which log lines are shown: a filter as in RUST_LOG, which can be changed while the process runs.
//! How lines look and where they go is not decided here.

use std::fmt::{self, Display, Formatter};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use log::{LevelFilter, Log, Metadata, Record};

use super::format::{ACCESS, DUMP, WATCH};
use crate::text::escape;

/// The targets that are shown at info, even with -q, unless the filter names them: the sender of
/// QUIT wants to read the dump, and the access log is on only if it was asked for.
const ALWAYS_SHOWN: [&str; 2] = [DUMP, ACCESS];

/// A logger that asks the current filter before it passes a record on.
pub struct FilteredLog {
    filter: RwLock<Filter>,
    out: env_logger::Logger,
}

impl FilteredLog {
    /// `out` must let every record pass.
    pub fn new(filter: Filter, out: env_logger::Logger) -> FilteredLog {
        FilteredLog { filter: RwLock::new(filter), out }
    }

    /// Replaces the filter.
    pub fn set(&self, filter: Filter) {
        *self.filter.write().unwrap_or_else(PoisonError::into_inner) = filter;
    }

    /// Returns the highest level of the filter, for `log::set_max_level`.
    pub fn max_level(&self) -> LevelFilter {
        self.filter().rules.filter()
    }

    /// Returns the text of the filter.
    pub fn text(&self) -> String {
        self.filter().text.clone()
    }

    fn filter(&self) -> RwLockReadGuard<'_, Filter> {
        self.filter.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for FilteredLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == WATCH || self.filter().is_enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.target() == WATCH || self.filter().matches(record) {
            self.out.log(record);
        }
    }

    fn flush(&self) {
        self.out.flush();
    }
}

/// A parsed filter.
pub struct Filter {
    text: String,
    /// Only its filter is used: it writes nothing.
    rules: env_logger::Logger,
}

impl Filter {
    /// Parses a filter.
    pub fn parse(text: &str) -> Result<Filter, InvalidDirective> {
        match partition(text) {
            (valid, invalid) if invalid.is_empty() => Ok(Filter::of_valid(valid)),
            (_, invalid) => Err(InvalidDirective(invalid[0].to_string())),
        }
    }

    /// Parses what RUST_LOG contains. Returns the invalid directives separately; without a valid
    /// one, `default` is the filter.
    pub fn of_env<'a>(text: &'a str, default: &str) -> (Filter, Vec<&'a str>) {
        let (mut valid, invalid) = partition(text);
        if valid.is_empty() {
            valid = default.to_string();
        }
        (Filter::of_valid(valid), invalid)
    }

    pub fn is_enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.rules.enabled(metadata)
    }

    /// Whether this line is shown: a filter may also ask for a pattern.
    pub fn matches(&self, record: &Record<'_>) -> bool {
        self.rules.matches(record)
    }

    fn of_valid(text: String) -> Filter {
        let mut builder = env_logger::Builder::new();
        for target in ALWAYS_SHOWN {
            builder.filter_module(target, LevelFilter::Info);
        }
        let rules = builder.parse_filters(&text).build();
        Filter { text, rules }
    }
}

/// A part of a filter that is none of `level`, `target` and `target=level`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidDirective(pub String);

impl Display for InvalidDirective {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "invalid directive: {}", escape::plain(&self.0))
    }
}

impl std::error::Error for InvalidDirective {}

/// Returns the valid directives as one specification, and the invalid ones. env_filter would report
/// these with `eprintln!`, which panics when standard error is closed.
fn partition(spec: &str) -> (String, Vec<&str>) {
    // The part after a slash is a pattern for messages. Only one is allowed.
    let (directives, pattern) = match spec.split_once('/') {
        Some((directives, pattern)) if !pattern.contains('/') => (directives, Some(pattern)),
        Some(_) => return (String::new(), vec![spec]),
        None => (spec, None),
    };
    let parts = directives.split(',').map(str::trim).filter(|part| !part.is_empty());
    let (good, bad): (Vec<&str>, Vec<&str>) = parts.partition(|part| is_directive(part));
    let mut filters = good.join(",");
    if let Some(pattern) = pattern {
        filters += "/";
        filters += pattern;
    }
    (filters, bad)
}

/// Returns whether `part` is `level`, `target` or `target=level`.
fn is_directive(part: &str) -> bool {
    match part.split_once('=') {
        None => true,
        Some((_, level)) => level.trim().is_empty() || level.trim().parse::<LevelFilter>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;
    use crate::observe::format::{LIFECYCLE, LOOP};

    #[test]
    fn valid_directives_are_kept_unchanged() {
        for spec in ["", "trace", "oneloop::loop=trace", "info,access=off", "debug/#12"] {
            assert_eq!(partition(spec), (spec.to_string(), vec![]), "{spec:?}");
        }
    }

    #[test]
    fn invalid_directives_are_returned_separately() {
        assert_eq!(partition("info,a=b,c=d=e"), ("info".to_string(), vec!["a=b", "c=d=e"]));
        assert_eq!(partition("a/b/c"), (String::new(), vec!["a/b/c"]));
    }

    #[test]
    fn dumps_and_access_lines_are_shown_unless_the_filter_names_them() {
        let shows = |text: &str, target: &str, level: Level| {
            let metadata = Metadata::builder().target(target).level(level).build();
            Filter::parse(text).expect("a filter").rules.enabled(&metadata)
        };
        for target in ALWAYS_SHOWN {
            assert!(shows("warn", target, Level::Info));
            assert!(!shows(&format!("warn,{target}=off"), target, Level::Info));
        }
        assert!(!shows("warn", LIFECYCLE, Level::Info));
        assert!(!shows("debug", LOOP, Level::Trace));
        assert!(shows("oneloop::loop=trace", LOOP, Level::Trace));
        assert!(!shows("oneloop::loop=trace", LIFECYCLE, Level::Warn));
    }

    #[test]
    fn a_filter_with_an_invalid_directive_is_refused_and_at_start_the_rest_of_it_is_used() {
        let refused = Filter::parse("debug,x=\x1bloud").err().expect("an error");
        assert_eq!(refused.to_string(), "invalid directive: x=\\x1bloud");
        let (filter, invalid) = Filter::of_env("debug,x=loud", "info");
        assert_eq!((filter.text.as_str(), invalid), ("debug", vec!["x=loud"]));
        assert_eq!(Filter::of_env("", "info").0.text, "info");
    }
}
