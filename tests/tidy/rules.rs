//! The rules for Rust files, one function each: takes a source, returns its violations.

use crate::source::{Source, Token, item_end};

/// Maximum lines of a file: a longer one may have two subjects.
pub const FILE_LINES: usize = 600;
/// Maximum lines of a function of logic. Tests, and functions that are one match or one table, may
/// be longer.
pub const FUNCTION_LINES: usize = 60;
/// Maximum columns of a line.
pub const COLUMNS: usize = 100;

/// A broken rule and its line. An exemption names the rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Violation {
    pub line: usize,
    pub rule: &'static str,
    pub text: String,
}

/// Checks one file against every rule.
pub fn check(source: &Source) -> Vec<Violation> {
    let rules = [
        opening,
        length,
        columns,
        functions,
        leftovers,
        never,
        shipped_only,
        logging,
        core,
        imports,
    ];
    rules.iter().flat_map(|rule| rule(source)).collect()
}

fn opening(source: &Source) -> Vec<Violation> {
    let first = source.text.lines().next().unwrap_or_default();
    let has_subject = first.strip_prefix("//! ").is_some_and(|rest| !rest.trim().is_empty());
    violation_if(
        !has_subject,
        1,
        "opening",
        "does not begin with a line of //! that states its subject",
    )
}

fn length(source: &Source) -> Vec<Violation> {
    let lines = source.text.lines().count();
    let text = format!("file of {lines} lines (under {FILE_LINES})");
    violation_if(lines >= FILE_LINES, lines, "length", &text)
}

fn columns(source: &Source) -> Vec<Violation> {
    let wide = |(at, line): (usize, &str)| {
        let columns = line.chars().count();
        let text = format!("line of {columns} columns (at most {COLUMNS})");
        violation_if(columns > COLUMNS, at + 1, "columns", &text)
    };
    source.text.lines().enumerate().flat_map(wide).collect()
}

fn functions(source: &Source) -> Vec<Violation> {
    let tokens = &source.shipped;
    let mut found = Vec::new();
    for at in words(tokens, &["fn"]) {
        let Some(name) = tokens.get(at + 1).filter(|name| is_word(name)) else { continue };
        let end = item_end(tokens, at);
        let body = tokens[at..end].iter().position(|token| token.text == "{").map(|to| at + to + 1);
        if body.is_some_and(|body| ["match", "[", "&"].contains(&tokens[body].text)) {
            continue;
        }
        let lines = tokens[end].line - tokens[at].line + 1;
        let text = format!("function {} of {lines} lines (under {FUNCTION_LINES})", name.text);
        found.extend(violation_if(lines >= FUNCTION_LINES, tokens[at].line, "function", &text));
    }
    found
}

/// Rejects notes to ourselves, which belong in an issue. The words are concatenated so that this
/// file passes.
fn leftovers(source: &Source) -> Vec<Violation> {
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let is_note = |word: &str| notes.contains(&word);
    let mut found = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        for word in line.split(|c: char| !c.is_alphanumeric()).filter(|word| is_note(word)) {
            found.extend(violation_if(true, at + 1, "leftover", &format!("a leftover {word}")));
        }
    }
    found.extend(macros(&source.tokens, &["dbg", "todo", "unimplemented"], "leftover"));
    found
}

/// Rejects what is not allowed even in a test.
fn never(source: &Source) -> Vec<Violation> {
    let mut found = forbidden(&source.tokens, &["unsafe"], "unsafe");
    found.extend(forbidden(&source.tokens, &["macro_rules"], "macro"));
    found.extend(forbidden(&source.tokens, &["thread_local", "lazy_static"], "global"));
    found.extend(forbidden_row(&source.tokens, &["static", "mut"], "global"));
    found
}

/// Rejects what only a test may do.
fn shipped_only(source: &Source) -> Vec<Violation> {
    let mut found = macros(&source.shipped, &["print", "println", "eprint", "eprintln"], "print");
    found.extend(forbidden(&source.shipped, &["static"], "global"));
    found.extend(forbidden_row(&source.shipped, &["Rc", "<", "RefCell"], "shared"));
    found
}

/// Rejects logging outside of observers and `main`: everything else emits events.
fn logging(source: &Source) -> Vec<Violation> {
    if source.path == "src/main.rs" || source.path.starts_with("src/observe/") {
        return Vec::new();
    }
    let names = ["error", "warn", "info", "debug", "trace", "log"];
    let mut found = macros(&source.shipped, &names, "log");
    // A module of ours may have that name: then the word means the module.
    if !rows(&source.shipped, &["mod", "log"]).is_empty() {
        return found;
    }
    found.extend(forbidden_row(&source.shipped, &["log", ":", ":"], "log"));
    found.extend(forbidden_row(&source.shipped, &["use", "log"], "log"));
    found
}

/// Keeps the core deterministic: no socket, no poll, no clock, no log.
fn core(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/core/") {
        return Vec::new();
    }
    let world = ["mio", "socket2", "rustix", "nix", "libc", "env_logger", "signal_hook"];
    let mut found = forbidden(&source.tokens, &world, "core");
    found.extend(forbidden(&source.tokens, &["Instant", "SystemTime", "TcpStream"], "core"));
    found.extend(forbidden_row(&source.tokens, &["log", ":", ":"], "core"));
    found
}

/// Dependencies point one way: the modules that each module may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("text", &[]),
    ("config", &["core", "text"]),
    ("cli", &["config", "text"]),
    ("service", &["core", "config"]),
    ("net", &["core", "config", "text"]),
    ("runtime", &["core", "config", "net", "service", "text"]),
    ("recording", &["core", "text"]),
    ("observe", &["core", "config", "recording", "text"]),
    ("admin", &["core", "config", "net", "runtime", "observe", "recording", "text"]),
    ("tools", &["core", "config", "net", "admin", "observe", "recording", "text"]),
    ("doctor", &["config", "net", "text"]),
    ("talk", &["core", "config", "net", "runtime", "text"]),
    ("stress", &["core", "config", "net", "runtime", "text"]),
];

fn imports(source: &Source) -> Vec<Violation> {
    let Some(place) = source.path.strip_prefix("src/").and_then(|rest| rest.split_once('/')) else {
        return Vec::new();
    };
    let Some((own, others)) = MAY_IMPORT.iter().find(|(own, _)| *own == place.0) else {
        return Vec::new();
    };
    let tokens = &source.shipped;
    let mut found = Vec::new();
    for at in rows(tokens, &["crate", ":", ":"]) {
        for name in named(&tokens[at + 3..]) {
            let known = MAY_IMPORT.iter().any(|(module, _)| *module == name.text);
            let allowed = name.text == *own || others.contains(&name.text);
            let text = format!("{own} may not import crate::{}", name.text);
            found.extend(violation_if(known && !allowed, name.line, "import", &text));
        }
    }
    found
}

/// Returns the modules after `crate::`: one, or the first words of a group in braces.
fn named<'a, 'b>(tokens: &'b [Token<'a>]) -> Vec<&'b Token<'a>> {
    if tokens.first().is_none_or(|first| first.text != "{") {
        return tokens.iter().take(1).collect();
    }
    let mut depth = 0;
    let mut found = Vec::new();
    for pair in tokens.windows(2) {
        match pair[0].text {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        match (depth, pair[0].text) {
            (0, _) => break,
            (1, "{" | ",") if is_word(&pair[1]) => found.push(&pair[1]),
            _ => {}
        }
    }
    found
}

fn violation_if(wrong: bool, line: usize, rule: &'static str, text: &str) -> Vec<Violation> {
    let violation = || Violation { line, rule, text: text.to_string() };
    wrong.then(violation).into_iter().collect()
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn words(tokens: &[Token], wanted: &[&str]) -> Vec<usize> {
    (0..tokens.len()).filter(|at| wanted.contains(&tokens[*at].text)).collect()
}

/// Returns the positions where these tokens follow one another.
fn rows(tokens: &[Token], wanted: &[&str]) -> Vec<usize> {
    let matches = |at: &usize| {
        tokens[*at..].iter().map(|t| t.text).take(wanted.len()).eq(wanted.iter().copied())
    };
    (0..tokens.len()).filter(matches).collect()
}

fn forbidden(tokens: &[Token], wanted: &[&str], rule: &'static str) -> Vec<Violation> {
    let report =
        |at: usize| violation_if(true, tokens[at].line, rule, &format!("`{}`", tokens[at].text));
    words(tokens, wanted).into_iter().flat_map(report).collect()
}

fn forbidden_row(tokens: &[Token], wanted: &[&str], rule: &'static str) -> Vec<Violation> {
    let text = format!("`{}`", wanted.join(" "));
    let report = |at: usize| violation_if(true, tokens[at].line, rule, &text);
    rows(tokens, wanted).into_iter().flat_map(report).collect()
}

/// Rejects uses of these macros: a name, `!`, and a bracket (so not `!=`).
fn macros(tokens: &[Token], names: &[&str], rule: &'static str) -> Vec<Violation> {
    let is_use = |at: &usize| {
        let after = |n: usize| tokens.get(at + n).map_or("", |token| token.text);
        after(1) == "!" && matches!(after(2), "(" | "[" | "{")
    };
    let report =
        |at: usize| violation_if(true, tokens[at].line, rule, &format!("`{}!`", tokens[at].text));
    words(tokens, names).into_iter().filter(is_use).flat_map(report).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: &str = "//! A file for a test of the rules.\n";

    /// Returns the rules broken by this text at this path, with the line.
    fn broken(path: &str, text: &str) -> Vec<(&'static str, usize)> {
        let text = format!("{OPENING}{text}");
        check(&Source::new(path, &text)).iter().map(|c| (c.rule, c.line)).collect()
    }

    #[test]
    fn a_clean_file_passes() {
        let text = "fn f<'a>(x: &'a str) -> bool { x != \"unsafe\" } // static text is no global";
        assert_eq!(broken("src/core/x.rs", text), []);
        assert_eq!(broken("src/core/x.rs", "fn f(x: &'static str) { debug_assert!(true) }"), []);
    }

    #[test]
    fn a_file_without_a_subject_is_reported() {
        for text in ["fn f() {}\n", "//!\n", "// no\n", ""] {
            let found = check(&Source::new("src/x.rs", text));
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!((found[0].rule, found[0].line), ("opening", 1));
        }
    }

    #[test]
    fn too_long_is_reported() {
        assert_eq!(broken("src/x.rs", &"\n".repeat(FILE_LINES - 2)), []);
        assert_eq!(broken("src/x.rs", &"\n".repeat(FILE_LINES - 1)), [("length", FILE_LINES)]);
        assert_eq!(broken("src/x.rs", &"é".repeat(COLUMNS)), []);
        assert_eq!(broken("src/x.rs", &"é".repeat(COLUMNS + 1)), [("columns", 2)]);
        let body = |lines: usize| format!("fn f(x: [u8; 4]) {{{}}}", "\n".repeat(lines - 1));
        assert_eq!(broken("src/x.rs", &body(FUNCTION_LINES - 1)), []);
        assert_eq!(broken("src/x.rs", &body(FUNCTION_LINES)), [("function", 2)]);
        assert_eq!(broken("tests/x.rs", &body(FUNCTION_LINES)), [], "a test may be longer");
        let one_match = body(FUNCTION_LINES).replacen('{', "{ match x {", 1) + "}";
        assert_eq!(broken("src/x.rs", &one_match), [], "so may one match");
    }

    #[test]
    fn what_is_never_allowed_is_found_in_tests_too() {
        let note = concat!("// TO", "DO: later");
        let bad = [
            (note, "leftover"),
            ("fn f() { dbg!(1); }", "leftover"),
            ("fn f() { unsafe { g() } }", "unsafe"),
            ("macro_rules! m { () => {} }", "macro"),
            ("thread_local! { }", "global"),
            ("static mut X: u8 = 0;", "global"),
        ];
        for (text, rule) in bad {
            assert_eq!(broken("tests/x.rs", text), [(rule, 2)], "{text}");
        }
    }

    #[test]
    fn what_only_a_test_may_do_is_found_in_the_program() {
        let bad = [
            ("fn f() { println!(\"x\") }", "print"),
            ("fn f() { eprint!{\"x\"} }", "print"),
            ("static X: u8 = 0;", "global"),
            ("type T = Rc<RefCell<u8>>;", "shared"),
            ("fn f() { info!(\"x\") }", "log"),
            ("fn f() { log::warn!(\"x\") }", "log"),
            ("use log::Level;", "log"),
        ];
        for (text, rule) in bad {
            let found = broken("src/net/x.rs", text);
            assert!(found.contains(&(rule, 2)), "{text}: {found:?}");
            assert_eq!(broken("tests/x.rs", text), [], "{text}");
            assert_eq!(broken("src/x.rs", &format!("#[cfg(test)] mod tests {{ {text} }}")), []);
        }
        assert_eq!(broken("src/observe/x.rs", "fn f() { info!(\"x\") }"), []);
        assert_eq!(broken("src/config/mod.rs", "mod log; pub use log::Level;"), []);
    }

    #[test]
    fn the_core_uses_no_system() {
        for text in ["use mio::Token;", "use std::time::Instant;", "use socket2::Socket;"] {
            assert_eq!(broken("src/core/x.rs", text), [("core", 2)], "{text}");
            assert_eq!(broken("src/net/x.rs", text), [], "{text}");
        }
    }

    #[test]
    fn dependencies_point_one_way() {
        assert_eq!(broken("src/core/x.rs", "use crate::net::X;"), [("import", 2)]);
        let group = "use crate::{core::{a, cli}, config::B,\n observe::C};";
        assert_eq!(broken("src/net/x.rs", group), [("import", 3)]);
        assert_eq!(broken("src/net/x.rs", "use crate::core::X;"), []);
        assert_eq!(broken("src/main.rs", group), []);
    }
}
