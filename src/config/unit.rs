//! Parses durations, counts, sizes and rates.

use std::time::Duration;

use super::parse::{ParseError, SpanError, Spanned};

/// A count per period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u64,
    pub per: Duration,
}

impl Rate {
    pub fn per_second(self) -> f64 {
        self.count as f64 / self.per.as_secs_f64()
    }
}

/// Unit names and their factors.
type Units = [(&'static str, u64)];

const DURATIONS: &str = "100us, 500ms, 5s, 2m, 1h, 1d";
const COUNTS: &str = "a whole number, 10k (thousands), 1m (millions)";
const SIZES: &str = "a whole number of bytes, 64k (of 1024), 1M, 1G";
/// The accepted forms of a rate.
pub const RATES: &str = "2k/s, 600/m, 50/h (a bare number means per second)";

/// A unit is required: a bare number means seconds to some programs and milliseconds to others.
const MICROS: &Units = &[
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];
const THOUSANDS: &Units = &[("", 1), ("k", 1_000), ("m", 1_000_000), ("g", 1_000_000_000)];
const KIBI: &Units = &[
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gib", 1 << 30),
];
/// Maximum duration: ten years. The loop counts tenths of a second in 32 bits.
const LONGEST_MICROS: u64 = 3_650 * 86_400_000_000;

/// Parses `500ms`, `5s`, `2m`, `1h`, `1d`, `1.5s`. Only `0` needs no unit.
pub fn duration(text: &str) -> Result<Duration, ParseError> {
    read_duration(Spanned::whole(text))
        .map_err(|span_error| ParseError::new("duration", text, span_error))
}

/// Parses a duration greater than zero, or `off`.
pub fn timeout(text: &str) -> Result<Option<Duration>, ParseError> {
    read_timeout(Spanned::whole(text))
        .map_err(|span_error| ParseError::new("duration", text, span_error))
}

/// Parses `10`, `10k`, `1m`: thousands and millions.
pub fn count(text: &str) -> Result<u64, ParseError> {
    read_count(Spanned::whole(text))
        .map_err(|span_error| ParseError::new("number", text, span_error))
}

/// Parses `512`, `64k`, `1M`, `1GiB`: bytes, with powers of 1024.
pub fn size(text: &str) -> Result<u64, ParseError> {
    read_size(Spanned::whole(text)).map_err(|span_error| ParseError::new("size", text, span_error))
}

/// Parses `2k/s`, `600/m`, `2k`: a count per period.
pub fn rate(text: &str) -> Result<Rate, ParseError> {
    let read = read_rate(Spanned::whole(text)).map_err(|span_error| span_error.or_accepts(RATES));
    read.map_err(|span_error| ParseError::new("rate", text, span_error))
}

/// Prints a duration in the largest unit that gives a whole number.
pub fn show_duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    let whole = |(_, scale): &&(&str, u64)| micros.is_multiple_of(u128::from(*scale));
    match MICROS.iter().rev().find(whole) {
        Some(_) if micros == 0 => "0s".to_string(),
        Some((unit, scale)) => format!("{}{unit}", micros / u128::from(*scale)),
        None => format!("{micros}us"),
    }
}

/// Prints a timeout, which may be off.
pub fn show_timeout(timeout: Option<Duration>) -> String {
    timeout.map_or_else(|| "off".to_string(), show_duration)
}

/// Prints a size with the largest unit in which it is whole.
pub fn show_size(bytes: usize) -> String {
    let units = [("G", 1 << 30), ("M", 1 << 20), ("k", 1 << 10)];
    let whole = units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Returns a size with its unit, which files need: `512` is `512b`.
pub fn with_unit(size: String) -> String {
    match size.ends_with(|last: char| last.is_ascii_digit()) {
        true => size + "b",
        false => size,
    }
}

pub fn read_duration(input: Spanned<'_>) -> Result<Duration, SpanError> {
    if input.text == "0" {
        return Ok(Duration::ZERO);
    }
    if input.text.ends_with(|last: char| last.is_ascii_digit()) && input.text.parse::<f64>().is_ok()
    {
        let wrong = format!("a duration needs a unit; did you mean {}s?", input.text);
        return Err(input.lacks(wrong).or_accepts(DURATIONS));
    }
    let micros = scaled(input, MICROS).map_err(|span_error| span_error.or_accepts(DURATIONS))?;
    match micros <= LONGEST_MICROS {
        true => Ok(Duration::from_micros(micros)),
        false => Err(input.wrong("longer than ten years").or_accepts("at most 3650d")),
    }
}

/// Reads a duration that may be zero but not off.
pub fn read_bounded(input: Spanned<'_>) -> Result<Duration, SpanError> {
    match is_off(input) {
        true => {
            Err(input.wrong("cannot be off").or_accepts("0 (immediately), 10s, 1h, up to 3650d"))
        }
        false => read_duration(input),
    }
}

/// Reads a duration that may be neither zero nor off.
pub fn read_wait(input: Spanned<'_>) -> Result<Duration, SpanError> {
    if is_off(input) {
        return Err(input.wrong("cannot be off").or_accepts(DURATIONS));
    }
    match read_duration(input)? {
        Duration::ZERO => Err(input.wrong("must be greater than 0").or_accepts(DURATIONS)),
        duration => Ok(duration),
    }
}

/// Reads the same, and gives the reason why it cannot be off.
pub fn read_wait_because(input: Spanned<'_>, reason: &str) -> Result<Duration, SpanError> {
    read_wait(input).map_err(|span_error| match is_off(input) {
        true => SpanError { wrong: format!("{}: {reason}", span_error.wrong), ..span_error },
        false => span_error,
    })
}

pub fn read_timeout(input: Spanned<'_>) -> Result<Option<Duration>, SpanError> {
    if is_off(input) {
        return Ok(None);
    }
    match read_wait(input) {
        Ok(duration) => Ok(Some(duration)),
        Err(span_error) => Err(SpanError { accepted: format!("{DURATIONS}, off"), ..span_error }),
    }
}

fn is_off(input: Spanned<'_>) -> bool {
    matches!(input.text, "off" | "none")
}

pub fn read_count(input: Spanned<'_>) -> Result<u64, SpanError> {
    scaled(input, THOUSANDS).map_err(|span_error| span_error.or_accepts(COUNTS))
}

pub fn read_size(input: Spanned<'_>) -> Result<u64, SpanError> {
    scaled(input, KIBI).map_err(|span_error| span_error.or_accepts(SIZES))
}

/// Reads a size from 1 to `max` bytes.
pub fn read_size_up_to(max: usize, input: Spanned<'_>) -> Result<usize, SpanError> {
    let accepts = || format!("1 to {}", show_size(max));
    match usize::try_from(read_size(input)?) {
        Ok(0) => Err(input.wrong("must be at least 1").or_accepts(&accepts())),
        Ok(size) if size <= max => Ok(size),
        _ => Err(input.wrong("too large").or_accepts(&accepts())),
    }
}

/// Reads the number of a connection: `7`, or `#7` as the log shows it.
pub fn read_id(input: Spanned<'_>) -> Result<u32, SpanError> {
    let digits = input.after("#").unwrap_or(input);
    let is_number = !digits.is_empty() && digits.text.bytes().all(|byte| byte.is_ascii_digit());
    let id = is_number.then(|| digits.text.parse().ok()).flatten();
    id.ok_or_else(|| digits.wrong("not the number of a connection").or_accepts("7, #7"))
}

/// Reads a count of at least 1.
pub fn read_limit(input: Spanned<'_>) -> Result<usize, SpanError> {
    match usize::try_from(read_count(input)?) {
        Ok(0) => Err(input.wrong("must be at least 1").or_accepts("1 or more")),
        Ok(count) => Ok(count),
        Err(_) => Err(input.wrong("too large").or_accepts(COUNTS)),
    }
}

pub fn read_rate(input: Spanned<'_>) -> Result<Rate, SpanError> {
    let (amount, unit) = input.split('/');
    let seconds = match unit {
        None => 1,
        Some(Spanned { text: "s", .. }) => 1,
        Some(Spanned { text: "m", .. }) => 60,
        Some(Spanned { text: "h", .. }) => 3_600,
        Some(unit) => return Err(unit.wrong("unknown unit of time")),
    };
    Ok(Rate { count: scaled(amount, THOUSANDS)?, per: Duration::from_secs(seconds) })
}

/// Reads digits, an optional fraction, and a unit in upper or lower case.
fn scaled(input: Spanned<'_>, scale: &Units) -> Result<u64, SpanError> {
    let is_number = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    let length = input.text.bytes().take_while(|byte| is_number(*byte)).count();
    let (number, unit) = (input.to(length), input.from(length));
    let (whole, fraction) = number.split('.');
    if whole.is_empty() || fraction.is_some_and(Spanned::is_empty) {
        return Err(if input.is_empty() {
            input.lacks("missing number")
        } else {
            input.wrong("not a number")
        });
    }
    let known = |(name, _): &&(&str, u64)| unit.text.eq_ignore_ascii_case(name);
    let Some((_, factor)) = scale.iter().find(known) else {
        return Err(unit.wrong("unknown unit"));
    };
    let whole = whole.text.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
    match whole {
        None => Err(input.wrong("too large")),
        Some(whole) => match fraction {
            None => Ok(whole),
            Some(digits) => {
                let part = part(digits, *factor)?;
                whole.checked_add(part).ok_or_else(|| input.wrong("too large"))
            }
        },
    }
}

/// Multiplies a decimal fraction by `factor`. A result that is not whole is refused, not rounded.
fn part(digits: Spanned<'_>, factor: u64) -> Result<u64, SpanError> {
    const DIGITS_MAX: usize = 9;
    let text = digits.text;
    if text.len() > DIGITS_MAX || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(digits.wrong("not a fraction"));
    }
    let number = text.parse::<u128>().unwrap_or(0) * u128::from(factor);
    let divisor = 10u128.pow(text.len() as u32);
    match number % divisor {
        0 => Ok((number / divisor) as u64),
        _ => Err(digits.wrong("fraction too small for this unit")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let cases = [
            ("500ms", 500),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1D", 86_400_000),
            ("1.5s", 1_500),
            ("0.25s", 250),
            ("0", 0),
            ("3650d", 315_360_000_000),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("100us"), Ok(Duration::from_micros(100)));
    }

    #[test]
    fn a_timeout_may_be_off_but_not_zero() {
        assert_eq!(timeout("off"), Ok(None));
        assert_eq!(timeout("none"), Ok(None));
        assert_eq!(timeout("90s"), Ok(Some(Duration::from_secs(90))));
        let error = timeout("0ms").unwrap_err();
        assert_eq!(error.wrong, "must be greater than 0");
        assert!(error.accepted.ends_with(", off"), "{error}");
        assert!(timeout("never").unwrap_err().accepted.ends_with(", off"));
    }

    #[test]
    fn counts_go_by_thousands_and_sizes_by_1024() {
        assert_eq!(count("10"), Ok(10));
        assert_eq!(count("10k"), Ok(10_000));
        assert_eq!(count("1.5M"), Ok(1_500_000));
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("64k"), Ok(65_536));
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1M"), Ok(1_048_576));
        assert_eq!(size("0.5g"), Ok(536_870_912));
    }

    #[test]
    fn rates_are_counts_in_a_time() {
        let per = |count, seconds| Ok(Rate { count, per: Duration::from_secs(seconds) });
        assert_eq!(rate("2k/s"), per(2_000, 1));
        assert_eq!(rate("50"), per(50, 1));
        assert_eq!(rate("600/m"), per(600, 60));
        assert_eq!(rate("600/m").map(Rate::per_second), Ok(10.0));
        assert_eq!(rate("2k/x").unwrap_err().span, 3..4);
    }

    #[test]
    fn a_wrong_number_or_unit_is_shown_at_its_place() {
        type Refuse = fn(&str) -> Option<ParseError>;
        let durations: Refuse = |text| duration(text).err();
        let counts: Refuse = |text| count(text).err();
        let cases = [
            (durations, "", "", "missing number"),
            (durations, "s", "s", "not a number"),
            (durations, "-5s", "-5s", "not a number"),
            (durations, "5x", "x", "unknown unit"),
            (durations, "5 s", " s", "unknown unit"),
            (durations, "1h30m", "h30m", "unknown unit"),
            (durations, "5.s", "5.s", "not a number"),
            (durations, "5.1.1s", "1.1", "not a fraction"),
            (durations, "0.0000001s", "0000001", "fraction too small for this unit"),
            (durations, "4000d", "4000d", "longer than ten years"),
            (durations, "99999999999999999999s", "99999999999999999999s", "too large"),
            (durations, "10", "", "a duration needs a unit; did you mean 10s?"),
            (durations, "0.25", "", "a duration needs a unit; did you mean 0.25s?"),
            (counts, "1.5", "5", "fraction too small for this unit"),
            (counts, "10q", "q", "unknown unit"),
            (counts, "99999999999g", "99999999999g", "too large"),
            (counts, "1e3", "e3", "unknown unit"),
        ];
        for (parser, text, place, wrong) in cases {
            let error = parser(text).expect(text);
            assert_eq!((&text[error.span.clone()], error.wrong.as_str()), (place, wrong), "{text}");
            assert!(!error.accepted.is_empty(), "{text}");
        }
        let shown = duration("5x").unwrap_err().to_string();
        let lines =
            ["bad duration: 5x", "  5x", "   ^ unknown unit", "  accepted: 100us, 500ms, 5s, 2m"];
        assert!(shown.starts_with(&lines.join("\n")), "{shown}");
    }

    #[test]
    fn a_duration_prints_in_its_largest_whole_unit() {
        for text in ["0s", "1us", "1500us", "500ms", "90s", "2m", "1h", "36h", "1d"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
    }
}
