//! Splits Rust source into tokens: enough to check rules without mistaking comments or text for
//! code.

/// A word (`fn`, `unsafe`, `x1`, `'a`) or a single mark (`{`, `!`); a literal is the one mark `"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub text: &'a str,
    pub line: usize,
}

/// One file. `tokens` holds all of its code, `shipped` only what is compiled outside tests.
pub struct Source<'a> {
    pub path: &'a str,
    pub text: &'a str,
    pub tokens: Vec<Token<'a>>,
    pub shipped: Vec<Token<'a>>,
}

impl<'a> Source<'a> {
    pub fn new(path: &'a str, text: &'a str) -> Source<'a> {
        let tokens = tokens(text);
        let shipped = if is_test_file(path) { Vec::new() } else { without_tests(&tokens) };
        Source { path, text, tokens, shipped }
    }
}

/// Returns the position of the brace that closes the one at `open`, or of the last token.
pub fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len().saturating_sub(1)
}

/// Returns the end of the item that begins at `start`: its `;`, or its closing brace.
pub fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" => depth += 1,
            ")" | "]" => depth -= 1,
            "{" if depth == 0 => return closing(tokens, at),
            ";" if depth == 0 => return at,
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

fn is_test_file(path: &str) -> bool {
    path.starts_with("tests/") || path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// Returns the tokens outside of items marked `#[cfg(test)]`.
fn without_tests<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match test_attribute_end(&tokens[at..]) {
            Some(length) => at = item_end(tokens, at + length) + 1,
            None => {
                kept.push(tokens[at]);
                at += 1;
            }
        }
    }
    kept
}

/// Returns the length of a `#[cfg(…test…)]` that begins here.
fn test_attribute_end(tokens: &[Token]) -> Option<usize> {
    let opens = ["#", "[", "cfg", "("];
    let begins = tokens.len() > 4 && opens.iter().zip(tokens).all(|(mark, t)| *mark == t.text);
    let end = tokens.iter().position(|token| token.text == "]").filter(|_| begins)?;
    let says = |word| tokens[..end].iter().any(|token| token.text == word);
    (says("test") && !says("not")).then_some(end + 1)
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < text.len() {
        let (kind, length) = piece(&text[at..]);
        let whole = &text[at..at + length];
        match kind {
            Kind::Gap => {}
            Kind::Literal => found.push(Token { text: "\"", line }),
            Kind::Word => found.push(Token { text: whole, line }),
        }
        line += whole.matches('\n').count();
        at += length;
    }
    found
}

enum Kind {
    Gap,
    Literal,
    Word,
}

/// Returns the kind and the length in bytes (at least one) of the first piece of a text.
fn piece(text: &str) -> (Kind, usize) {
    let first = text.chars().next().unwrap_or(' ');
    if first.is_whitespace() {
        return (Kind::Gap, first.len_utf8());
    }
    if text.starts_with("//") {
        return (Kind::Gap, text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return (Kind::Gap, block_comment(text));
    }
    if let Some(length) = raw_string(text).or_else(|| string(text)).or_else(|| character(text)) {
        return (Kind::Literal, length);
    }
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let start = first.len_utf8();
    let rest = text[start..].find(|c| !is_word(c)).unwrap_or(text.len() - start);
    let length = if is_word(first) || first == '\'' { start + rest } else { start };
    (Kind::Word, length)
}

/// Returns the length of a block comment; they nest.
fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < text.len() {
        let rest = &text[at..];
        match () {
            _ if rest.starts_with("/*") => (at, depth) = (at + 2, depth + 1),
            _ if rest.starts_with("*/") => (at, depth) = (at + 2, depth - 1),
            _ => at += rest.chars().next().map_or(1, char::len_utf8),
        }
        if depth == 0 {
            return at;
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let hashes_at = ["r", "br", "cr"].into_iter().find(|p| {
        text.strip_prefix(p).is_some_and(|rest| rest.trim_start_matches('#').starts_with('"'))
    })?;
    let rest = &text[hashes_at.len()..];
    let hashes = rest.find('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let body = hashes_at.len() + hashes + 1;
    Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()))
}

fn string(text: &str) -> Option<usize> {
    let body = ["\"", "b\"", "c\""].into_iter().find(|p| text.starts_with(p))?.len();
    Some(body + until_quote(&text[body..], b'"'))
}

/// Returns the length of a character, not of a lifetime: `'a'` and `'\n'`, but not `'a`.
fn character(text: &str) -> Option<usize> {
    let body = ["'", "b'"].into_iter().find(|p| text.starts_with(p))?.len();
    let mut chars = text[body..].chars();
    let (first, second) = (chars.next()?, chars.next()?);
    (first == '\\' || second == '\'').then(|| body + until_quote(&text[body..], b'\''))
}

/// Returns the length up to and including the next quote without a backslash before it.
fn until_quote(text: &str, quote: u8) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        tokens(text).iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_text_are_not_code() {
        assert_eq!(words("a // unsafe\nb /* x /* y */ unsafe */ c"), ["a", "b", "c"]);
        assert_eq!(words(r#"f("unsafe \" fn", b"{")"#), ["f", "(", "\"", ",", "\"", ")"]);
        assert_eq!(words("x(r#\"unsafe \" {\"#) y"), ["x", "(", "\"", ")", "y"]);
    }

    #[test]
    fn a_lifetime_is_not_a_character() {
        assert_eq!(
            words("&'a str 'x' '\\'' '\"' b'{'"),
            ["&", "'a", "str", "\"", "\"", "\"", "\""]
        );
        assert_eq!(words("'static 'é'"), ["'static", "\""]);
    }

    #[test]
    fn tokens_know_their_lines() {
        let found = tokens("a\n\"two\nthree\"\nb");
        assert_eq!(found.last(), Some(&Token { text: "b", line: 4 }));
    }

    #[test]
    fn what_only_tests_compile_is_not_shipped() {
        let text = "a; #[cfg(test)] mod tests { fn x() { b } } #[cfg(not(test))] c;";
        let source = Source::new("src/x.rs", text);
        let shipped: Vec<_> = source.shipped.iter().map(|token| token.text).collect();
        assert_eq!(&shipped[..2], ["a", ";"]);
        assert!(!shipped.contains(&"b") && shipped.contains(&"c"));
        assert!(Source::new("src/core/tests.rs", text).shipped.is_empty());
    }
}
