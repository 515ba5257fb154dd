//! The query of a request: its parameters, and typed readers that name what is wrong.

use std::time::Duration;

use super::problem::Problem;
use crate::config::parse::suggestion;
use crate::config::{ParseError, unit};
use crate::text::escape::{Shown, quoted};

/// Maximum parameters of a query.
const PARAMETERS: usize = 16;
/// Maximum columns of a foreign value in a problem.
const SHOWN_COLUMNS: usize = 72;
/// Maximum characters of an opaque token.
const OPAQUE_CHARS: usize = 64;

/// The values of a parameter that is on or off.
pub const YES_OR_NO: [(&str, bool); 2] = [("yes", true), ("no", false)];

/// The parameters of a query in their order, decoded. No name occurs twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(String, String)>,
}

/// Reads the parameters of a resource. Those that nobody has read are refused by `finish`, so no
/// resource lists its parameters a second time.
pub struct QueryReader<'a> {
    query: &'a Query,
    /// The names that the resource reads.
    known: Vec<&'static str>,
}

impl Query {
    /// Parses `name=value&name=value`, percent-encoded; a plus sign is a space, as in HTML forms:
    /// every encoder escapes a plus sign that means itself. A name without `=` has an empty value.
    pub fn parse(text: &str) -> Result<Query, Problem> {
        let mut query = Query::default();
        if text.is_empty() {
            return Ok(query);
        }
        for (at, parameter) in text.split('&').enumerate() {
            if at == PARAMETERS {
                let wrong = format!("the query has more than {PARAMETERS} parameters");
                return Err(Problem::bad_request(wrong));
            }
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            let decoded = |text: &str| {
                let wrong = |wrong| format!("the query parameter {}: {wrong}", shown(parameter));
                decode(&text.replace('+', " ")).map_err(|error| Problem::bad_request(wrong(error)))
            };
            let (name, value) = (decoded(name)?, decoded(value)?);
            if name.is_empty() {
                return Err(Problem::bad_request("the query has a parameter without a name"));
            }
            if query.value(&name).is_some() {
                let wrong = format!("the query has {} twice", shown(&name));
                return Err(Problem::bad_request(wrong));
            }
            query.pairs.push((name, value));
        }
        Ok(query)
    }

    pub fn reader(&self) -> QueryReader<'_> {
        QueryReader { query: self, known: Vec::new() }
    }

    fn value(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

impl<'a> QueryReader<'a> {
    /// Reads any text.
    pub fn text(&mut self, name: &'static str) -> Option<&'a str> {
        self.known.push(name);
        self.query.value(name)
    }

    /// Reads one of these words.
    pub fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        words: &[(&'static str, T)],
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == value);
        found.map(|(_, meant)| Some(*meant)).ok_or_else(|| {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = suggestion(value, names.iter().copied(), str::to_string);
            refused(name, value, &format!("unknown value{hint}"), &names.join(", "))
        })
    }

    /// Reads a count from 1 to `max`: `50`, `1k`.
    pub fn count(&mut self, name: &'static str, max: u64) -> Result<Option<u64>, Problem> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let accepted = format!("1 to {max}");
        match unit::count(value) {
            Ok(count) if (1..=max).contains(&count) => Ok(Some(count)),
            Ok(_) => Err(refused(name, value, "out of range", &accepted)),
            Err(error) => Err(refused(name, value, &error.wrong, &accepted)),
        }
    }

    /// Reads a number of 64 bits in digits, such as that of a connection.
    pub fn number(&mut self, name: &'static str) -> Result<Option<u64>, Problem> {
        let Some(value) = self.text(name) else { return Ok(None) };
        number(value).map(Some).ok_or_else(|| refused(name, value, "not a number", "digits"))
    }

    /// Reads a duration: `500ms`, `5s`.
    pub fn duration(&mut self, name: &'static str) -> Result<Option<Duration>, Problem> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let wrong = |error: ParseError| refused(name, value, &error.wrong, &error.accepted);
        unit::duration(value).map(Some).map_err(wrong)
    }

    /// Reads a token that an earlier answer contained.
    pub fn opaque(&mut self, name: &'static str) -> Result<Option<&'a str>, Problem> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        match (1..=OPAQUE_CHARS).contains(&value.len()) && value.bytes().all(allowed) {
            true => Ok(Some(value)),
            false => Err(refused(name, value, "not a token", "a token of an earlier answer")),
        }
    }

    /// Refuses the parameters that were not read.
    pub fn finish(self) -> Result<(), Problem> {
        let is_known = |name: &str| self.known.contains(&name);
        match self.query.pairs.iter().find(|(name, _)| !is_known(name)) {
            None => Ok(()),
            Some((name, _)) => {
                let hint = suggestion(name, self.known.iter().copied(), str::to_string);
                let accepted = match self.known.is_empty() {
                    true => "no parameters".to_string(),
                    false => self.known.join(", "),
                };
                let name = shown(name);
                let wrong = format!("unknown query parameter {name}{hint}; accepted: {accepted}");
                Err(Problem::bad_request(wrong))
            }
        }
    }
}

/// Parses a number in digits only: the standard parser would accept a plus sign.
pub fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Returns foreign text in quotes, escaped and cut.
fn shown(text: &str) -> Shown<'_> {
    quoted(text.as_bytes()).within(SHOWN_COLUMNS)
}

/// Returns the problem of a value: which parameter, which value, what is wrong, what is accepted.
pub fn refused(name: &str, value: &str, wrong: &str, accepted: &str) -> Problem {
    let value = shown(value);
    Problem::bad_request(format!("query parameter {name}={value}: {wrong}; accepted: {accepted}"))
}

/// Decodes `%41`. Refuses incomplete escapes, control characters, and bytes that are not UTF-8.
pub(super) fn decode(text: &str) -> Result<String, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        bytes.push(match byte {
            b'%' => match (digit(), digit()) {
                (Some(high), Some(low)) => (high * 16 + low) as u8,
                _ => return Err("a % is followed by two hexadecimal digits"),
            },
            byte => byte,
        });
    }
    match String::from_utf8(bytes) {
        Ok(text) if text.contains(char::is_control) => Err("has a control character"),
        Ok(text) => Ok(text),
        Err(_) => Err("is not UTF-8"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Query {
        Query::parse(text).expect(text)
    }

    /// The detail of a refusal, whose status is always 400.
    fn detail<T>(result: Result<T, Problem>) -> String {
        let Err(problem) = result else { panic!("was accepted") };
        assert_eq!(problem.status.code(), 400);
        problem.detail
    }

    #[test]
    fn parameters_are_decoded_and_keep_their_order() {
        let cases: [(&str, &[(&str, &str)]); 8] = [
            ("", &[]),
            ("a=1", &[("a", "1")]),
            ("b=2&a=1", &[("b", "2"), ("a", "1")]),
            ("listener", &[("listener", "")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a=%5B::1%5d:80&%62=x+y%2B", &[("a", "[::1]:80"), ("b", "x y+")]),
            ("a=%C3%A4", &[("a", "ä")]),
            ("a=?/;", &[("a", "?/;")]),
        ];
        for (text, expected) in cases {
            let query = query(text);
            let pairs: Vec<_> =
                query.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(pairs, expected, "{text}");
        }
    }

    #[test]
    fn a_malformed_query_is_refused() {
        let cases = [
            ("a=%", "hexadecimal"),
            ("a=%4", "hexadecimal"),
            ("a=%4x", "hexadecimal"),
            ("a=%+1", "hexadecimal"),
            ("a=%%41", "hexadecimal"),
            ("%zz=1", "hexadecimal"),
            ("a=%00", "control"),
            ("a=%0d%0a", "control"),
            ("a=%7f", "control"),
            ("a=%C2%85", "control"),
            ("a=%C3", "UTF-8"),
            ("a=%C0%80", "UTF-8"),
            ("a=%ED%A0%80", "UTF-8"),
            ("=1", "without a name"),
            ("a=1&", "without a name"),
            ("a=1&&b=2", "without a name"),
            ("a=1&a=2", "\"a\" twice"),
            ("a=1&%61=1", "\"a\" twice"),
        ];
        for (text, part) in cases {
            let detail = detail(Query::parse(text));
            assert!(detail.contains(part), "{text}: {detail}");
        }
    }

    #[test]
    fn a_query_has_at_most_16_parameters() {
        let text =
            |count: usize| (0..count).map(|at| format!("p{at}=1")).collect::<Vec<_>>().join("&");
        assert_eq!(query(&text(16)).pairs.len(), 16);
        assert!(detail(Query::parse(&text(17))).contains("more than 16"));
    }

    #[test]
    fn values_are_read_by_type() {
        let query = query("sort=age&limit=1k&idle_longer=1.5s&after=f-3.A_~&id=0007&peer=a b");
        let mut reader = query.reader();
        assert_eq!(reader.choice("sort", &[("id", 1), ("age", 2)]), Ok(Some(2)));
        assert_eq!(reader.count("limit", 1_000), Ok(Some(1_000)));
        assert_eq!(reader.duration("idle_longer"), Ok(Some(Duration::from_millis(1_500))));
        assert_eq!(reader.opaque("after"), Ok(Some("f-3.A_~")));
        assert_eq!(reader.number("id"), Ok(Some(7)));
        assert_eq!(reader.text("peer"), Some("a b"));
        assert_eq!(reader.text("route"), None);
        assert_eq!(reader.finish(), Ok(()));
        let empty = Query::default();
        let mut reader = empty.reader();
        assert_eq!(reader.choice("sort", &[("id", 1)]), Ok(None));
        assert_eq!((reader.count("a", 9), reader.duration("b")), (Ok(None), Ok(None)));
        assert_eq!((reader.opaque("c"), reader.number("d")), (Ok(None), Ok(None)));
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn a_refused_value_is_shown_with_its_name_and_what_is_accepted() {
        type Read = fn(&mut QueryReader) -> Option<Problem>;
        let choice: Read = |reader| reader.choice("v", &[("age", 1), ("idle", 2)]).err();
        let count: Read = |reader| reader.count("v", 1_000).err();
        let duration: Read = |reader| reader.duration("v").err();
        let opaque: Read = |reader| reader.opaque("v").err();
        let number: Read = |reader| reader.number("v").err();
        let long = format!("v={}", "x".repeat(OPAQUE_CHARS + 1));
        let cases = [
            (choice, "v=agee", "v=\"agee\": unknown value; did you mean age?; accepted: age, idle"),
            (choice, "v", "v=\"\": unknown value"),
            (choice, "v=AGE", "unknown value"),
            (choice, "v=%E2%80%AE%22", "v=\"\\xe2\\x80\\xae\\\"\": unknown"),
            (count, "v=0", "v=\"0\": out of range; accepted: 1 to 1000"),
            (count, "v=1001", "out of range; accepted: 1 to 1000"),
            (count, "v=99999999999999999999", "too large; accepted: 1 to 1000"),
            (count, "v=-1", "v=\"-1\": not a number; accepted: 1 to 1000"),
            (count, "v=%2B1", "not a number"),
            (
                duration,
                "v=5",
                "v=\"5\": a duration needs a unit; did you mean 5s?; accepted: 100us",
            ),
            (duration, "v=off", "not a number; accepted: 100us"),
            (opaque, "v=", "not a token; accepted: a token of an earlier answer"),
            (opaque, "v=a/b", "not a token"),
            (opaque, &long, "not a token"),
            (number, "v=", "not a number; accepted: digits"),
            (number, "v=%2B1", "not a number"),
            (number, "v=18446744073709551616", "not a number"),
        ];
        for (read, text, part) in cases {
            let problem = read(&mut query(text).reader()).expect(text);
            assert_eq!(problem.status.code(), 400);
            assert!(problem.detail.starts_with("query parameter v="), "{}", problem.detail);
            assert!(problem.detail.contains(part), "{text}: {}", problem.detail);
            assert!(problem.detail.len() < 400, "{}", problem.detail);
        }
    }

    #[test]
    fn a_parameter_that_nobody_reads_is_refused_with_a_suggestion() {
        let query = query("limit=5&rute=x");
        let mut reader = query.reader();
        let _ = (reader.count("limit", 9), reader.text("route"));
        let wrong = "unknown query parameter \"rute\"; did you mean route?; accepted: limit, route";
        assert_eq!(detail(reader.finish()), wrong);
        let none = "unknown query parameter \"limit\"; accepted: no parameters";
        assert_eq!(detail(query.reader().finish()), none);
    }
}
