//! The secret that permits writing, and its comparison with what a client sends.

use std::fmt;
use std::hint::black_box;

/// Minimum characters of a token: 192 bits, if they are random characters of base64.
const TOKEN_CHARS: usize = 32;
/// Maximum characters of a token: it must fit into the head of a request.
const TOKEN_CHARS_MAX: usize = 1024;

/// The token of the file that `--admin-token-file` names. `Debug` does not show it.
#[derive(Clone)]
pub struct AdminToken(String);

/// The value of `Authorization`. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(String);

impl AdminToken {
    /// Parses the content of a token file: one line of visible ASCII, with or without its line
    /// break.
    pub fn parse(text: &str) -> Result<AdminToken, String> {
        let token = text.strip_suffix('\n').unwrap_or(text);
        let token = token.strip_suffix('\r').unwrap_or(token);
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a token is one line of visible ASCII characters, without spaces".into());
        }
        match token.len() {
            TOKEN_CHARS..=TOKEN_CHARS_MAX => Ok(AdminToken(token.to_string())),
            length => {
                let range = format!("from {TOKEN_CHARS} to {TOKEN_CHARS_MAX}");
                Err(format!("a token has {range} characters; this one has {length}"))
            }
        }
    }

    /// Whether the credentials are `Bearer` and this token. The time depends on the length of what
    /// the client sent, never on how much of it is right.
    pub fn admits(&self, credentials: &Credentials) -> bool {
        let Some((scheme, sent)) = credentials.0.split_once(' ') else { return false };
        let sent = sent.trim_matches(' ').as_bytes();
        let token = self.0.as_bytes();
        let mut difference = sent.len() ^ token.len();
        for (at, byte) in sent.iter().enumerate() {
            difference |= usize::from(byte ^ token[at % token.len()]);
        }
        // The compiler may not leave the loop early once the result is decided.
        scheme.eq_ignore_ascii_case("bearer") && black_box(difference) == 0
    }
}

impl Credentials {
    pub fn new(value: &str) -> Credentials {
        Credentials(value.to_string())
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(…)")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789ABCDEF";

    #[test]
    fn a_token_is_one_line_of_at_least_32_visible_characters() {
        for text in [SECRET.to_string(), format!("{SECRET}\n"), format!("{SECRET}\r\n")] {
            assert!(AdminToken::parse(&text).unwrap().admits(&bearer(SECRET)), "{text:?}");
        }
        let long = "x".repeat(TOKEN_CHARS_MAX + 1);
        let refused = [
            ("", "this one has 0"),
            (&SECRET[1..], "this one has 31"),
            (long.as_str(), "this one has 1025"),
            (&format!("{SECRET}\n\n"), "one line"),
            (&format!(" {SECRET}"), "without spaces"),
            (&format!("{SECRET}é"), "ASCII"),
            (&format!("{SECRET}\0"), "visible"),
        ];
        for (text, part) in refused {
            let error = AdminToken::parse(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn only_the_right_token_is_admitted() {
        let token = AdminToken::parse(SECRET).unwrap();
        let twice = format!("{SECRET}{SECRET}");
        let wrong = ["", "x", &SECRET[..31], &SECRET[1..], &twice, &SECRET.to_lowercase()];
        for sent in wrong {
            assert!(!token.admits(&bearer(sent)), "{sent:?}");
        }
        for at in 0..SECRET.len() {
            let mut sent = SECRET.to_string();
            sent.replace_range(at..=at, "!");
            assert!(!token.admits(&bearer(&sent)), "wrong at {at}");
        }
        let shapes = [
            (format!("Bearer {SECRET}"), true),
            (format!("bearer  {SECRET}"), true),
            (format!("Basic {SECRET}"), false),
            (format!("Bearer{SECRET}"), false),
            (format!("Bearer {SECRET} x"), false),
            (SECRET.to_string(), false),
        ];
        for (value, admitted) in shapes {
            assert_eq!(token.admits(&Credentials::new(&value)), admitted, "{value:?}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let token = AdminToken::parse(SECRET).unwrap();
        assert!(!format!("{token:?} {:?}", bearer(SECRET)).contains("0123"));
    }

    fn bearer(token: &str) -> Credentials {
        Credentials::new(&format!("Bearer {token}"))
    }
}
