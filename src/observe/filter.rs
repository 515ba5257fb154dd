//! Splits RUST_LOG into valid and invalid directives. env_filter would report invalid ones with
//! `eprintln!`, which panics when standard error is closed.

use log::LevelFilter;

/// Returns the valid directives as one specification, and the invalid ones.
pub fn partition(spec: &str) -> (String, Vec<&str>) {
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
    use super::*;

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
}
