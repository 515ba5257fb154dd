//! RUST_LOG, sorted into what can be read and what cannot. The reader behind it would print its
//! complaints with `eprintln!`, which panics when nobody listens.

use log::LevelFilter;

/// The directives that are well formed, put together again, and those that are not.
pub fn readable(spec: &str) -> (String, Vec<&str>) {
    // What follows a slash is a text to look for in messages; there can be one.
    let (directives, text) = match spec.split_once('/') {
        Some((directives, text)) if !text.contains('/') => (directives, Some(text)),
        Some(_) => return (String::new(), vec![spec]),
        None => (spec, None),
    };
    let parts = directives.split(',').map(str::trim).filter(|part| !part.is_empty());
    let (good, bad): (Vec<&str>, Vec<&str>) = parts.partition(|part| is_directive(part));
    let mut filters = good.join(",");
    if let Some(text) = text {
        filters += "/";
        filters += text;
    }
    (filters, bad)
}

/// `level`, `target`, or `target=level`.
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
    fn what_is_well_formed_is_passed_on_as_it_is() {
        for spec in ["", "trace", "oneloop::loop=trace", "info,access=off", "debug/#12"] {
            assert_eq!(readable(spec), (spec.to_string(), vec![]), "{spec:?}");
        }
    }

    #[test]
    fn what_is_not_is_named_and_left_out() {
        assert_eq!(readable("info,a=b,c=d=e"), ("info".to_string(), vec!["a=b", "c=d=e"]));
        assert_eq!(readable("a/b/c"), (String::new(), vec!["a/b/c"]));
    }
}
