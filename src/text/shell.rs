//! Quotes arguments of shell commands that a user may paste into a terminal.

use std::fmt::Write;

use super::escape::{is_hidden, plain};

/// Quotes an argument for a POSIX shell. Control and invisible characters are escaped in `$'…'`.
pub fn quoted(argument: &str) -> String {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+[]".contains(c);
    if argument.chars().any(is_hidden) {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = write!(text, "{}", plain(argument).within(usize::MAX));
        return format!("$'{}'", text.replace('\'', "\\'"));
    }
    match !argument.is_empty() && argument.chars().all(is_safe) {
        true => argument.to_string(),
        false => format!("'{}'", argument.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_argument_is_quoted_where_a_shell_would_change_it() {
        assert_eq!(quoted("tcp://127.0.0.1:7"), "tcp://127.0.0.1:7");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn an_argument_with_control_characters_is_shown_and_can_be_pasted() {
        assert_eq!(quoted("a\x1b[2J\n"), "$'a\\x1b[2J\\n'");
        assert_eq!(quoted("it's\\\u{202e}"), "$'it\\'s\\\\\\xe2\\x80\\xae'");
    }
}
