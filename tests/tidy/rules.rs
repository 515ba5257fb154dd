//! The house rules, one small function each: a source in, complaints out.

use crate::source::{Source, Token, item_end};

/// At this length the question is asked whether a file has two subjects.
pub const FILE_LINES: usize = 600;
/// Of logic. Tests, and functions that are one match or one table, may be longer.
pub const FUNCTION_LINES: usize = 60;
pub const COLUMNS: usize = 100;

/// What is wrong, where, and the word by which a place can be excused from that rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Complaint {
    pub line: usize,
    pub rule: &'static str,
    pub text: String,
}

/// Every complaint about one file.
pub fn check(source: &Source) -> Vec<Complaint> {
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
        arrows,
    ];
    rules.iter().flat_map(|rule| rule(source)).collect()
}

fn opening(source: &Source) -> Vec<Complaint> {
    let first = source.text.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//! ").is_some_and(|rest| !rest.trim().is_empty());
    complain(
        !says_something,
        1,
        "opening",
        "does not open with a line of //! that says its subject",
    )
}

fn length(source: &Source) -> Vec<Complaint> {
    let lines = source.text.lines().count();
    let text = format!("file of {lines} lines (under {FILE_LINES})");
    complain(lines >= FILE_LINES, lines, "length", &text)
}

fn columns(source: &Source) -> Vec<Complaint> {
    let wide = |(at, line): (usize, &str)| {
        let columns = line.chars().count();
        let text = format!("line of {columns} columns (at most {COLUMNS})");
        complain(columns > COLUMNS, at + 1, "columns", &text)
    };
    source.text.lines().enumerate().flat_map(wide).collect()
}

fn functions(source: &Source) -> Vec<Complaint> {
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
        found.extend(complain(lines >= FUNCTION_LINES, tokens[at].line, "function", &text));
    }
    found
}

/// Notes to ourselves belong in an issue. The words are put together here so that this file passes.
fn leftovers(source: &Source) -> Vec<Complaint> {
    let notes = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let is_note = |word: &str| notes.contains(&word);
    let mut found = Vec::new();
    for (at, line) in source.text.lines().enumerate() {
        for word in line.split(|c: char| !c.is_alphanumeric()).filter(|word| is_note(word)) {
            found.extend(complain(true, at + 1, "leftover", &format!("a leftover {word}")));
        }
    }
    found.extend(macros(&source.tokens, &["dbg", "todo", "unimplemented"], "leftover"));
    found
}

/// What stands nowhere, not even in a test.
fn never(source: &Source) -> Vec<Complaint> {
    let mut found = forbidden(&source.tokens, &["unsafe"], "unsafe");
    found.extend(forbidden(&source.tokens, &["macro_rules"], "macro"));
    found.extend(forbidden(&source.tokens, &["thread_local", "lazy_static"], "global"));
    found.extend(forbidden_row(&source.tokens, &["static", "mut"], "global"));
    found
}

/// What a test may do and the program may not.
fn shipped_only(source: &Source) -> Vec<Complaint> {
    let mut found = macros(&source.shipped, &["print", "println", "eprint", "eprintln"], "print");
    found.extend(forbidden(&source.shipped, &["static"], "global"));
    found.extend(forbidden_row(&source.shipped, &["Rc", "<", "RefCell"], "shared"));
    found
}

/// Only observers and `main` log; everything else emits events.
fn logging(source: &Source) -> Vec<Complaint> {
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

/// The heart is deterministic: no socket, no poll, no clock, no log.
fn core(source: &Source) -> Vec<Complaint> {
    if !source.path.starts_with("src/core/") {
        return Vec::new();
    }
    let world = ["mio", "socket2", "rustix", "nix", "libc", "env_logger", "signal_hook"];
    let mut found = forbidden(&source.tokens, &world, "core");
    found.extend(forbidden(&source.tokens, &["Instant", "SystemTime", "TcpStream"], "core"));
    found.extend(forbidden_row(&source.tokens, &["log", ":", ":"], "core"));
    found
}

/// Dependencies point one way. A module of the list may name these others and no more.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("text", &[]),
    ("config", &["core", "text"]),
    ("cli", &["config", "text"]),
    ("service", &["core", "config"]),
    ("net", &["core", "config", "text"]),
    ("runtime", &["core", "config", "net", "service", "text"]),
    ("observe", &["core", "config", "text"]),
    ("doctor", &["config", "net", "text"]),
    ("talk", &["core", "config", "net", "runtime", "text"]),
    ("stress", &["core", "config", "net", "runtime", "text"]),
];

fn arrows(source: &Source) -> Vec<Complaint> {
    let Some(home) = source.path.strip_prefix("src/").and_then(|rest| rest.split_once('/')) else {
        return Vec::new();
    };
    let Some((own, others)) = MAY_NAME.iter().find(|(own, _)| *own == home.0) else {
        return Vec::new();
    };
    let tokens = &source.shipped;
    let mut found = Vec::new();
    for at in rows(tokens, &["crate", ":", ":"]) {
        for name in named(&tokens[at + 3..]) {
            let known = MAY_NAME.iter().any(|(module, _)| *module == name.text);
            let allowed = name.text == *own || others.contains(&name.text);
            let text = format!("{own} may not name crate::{}", name.text);
            found.extend(complain(known && !allowed, name.line, "arrow", &text));
        }
    }
    found
}

/// The modules named after `crate::`: one, or those that begin the items of a group in braces.
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

fn complain(wrong: bool, line: usize, rule: &'static str, text: &str) -> Vec<Complaint> {
    let complaint = || Complaint { line, rule, text: text.to_string() };
    wrong.then(complaint).into_iter().collect()
}

fn is_word(token: &Token) -> bool {
    token.text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn words(tokens: &[Token], wanted: &[&str]) -> Vec<usize> {
    (0..tokens.len()).filter(|at| wanted.contains(&tokens[*at].text)).collect()
}

/// The places where these tokens stand in a row.
fn rows(tokens: &[Token], wanted: &[&str]) -> Vec<usize> {
    let matches = |at: &usize| {
        tokens[*at..].iter().map(|t| t.text).take(wanted.len()).eq(wanted.iter().copied())
    };
    (0..tokens.len()).filter(matches).collect()
}

fn forbidden(tokens: &[Token], wanted: &[&str], rule: &'static str) -> Vec<Complaint> {
    let say = |at: usize| complain(true, tokens[at].line, rule, &format!("`{}`", tokens[at].text));
    words(tokens, wanted).into_iter().flat_map(say).collect()
}

fn forbidden_row(tokens: &[Token], wanted: &[&str], rule: &'static str) -> Vec<Complaint> {
    let text = format!("`{}`", wanted.join(" "));
    let say = |at: usize| complain(true, tokens[at].line, rule, &text);
    rows(tokens, wanted).into_iter().flat_map(say).collect()
}

/// A use of one of these macros: its name, `!`, and a bracket (so not `!=`).
fn macros(tokens: &[Token], names: &[&str], rule: &'static str) -> Vec<Complaint> {
    let is_use = |at: &usize| {
        let after = |n: usize| tokens.get(at + n).map_or("", |token| token.text);
        after(1) == "!" && matches!(after(2), "(" | "[" | "{")
    };
    let say = |at: usize| complain(true, tokens[at].line, rule, &format!("`{}!`", tokens[at].text));
    words(tokens, names).into_iter().filter(is_use).flat_map(say).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPENING: &str = "//! A file for a test of the rules.\n";

    /// The rules that a file of this text at this path breaks, with the line.
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
    fn a_file_without_a_subject_is_named() {
        for text in ["fn f() {}\n", "//!\n", "// no\n", ""] {
            let found = check(&Source::new("src/x.rs", text));
            assert_eq!(found.len(), 1, "{text:?}");
            assert_eq!((found[0].rule, found[0].line), ("opening", 1));
        }
    }

    #[test]
    fn too_long_is_named() {
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
    fn what_stands_nowhere_is_found_in_tests_too() {
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
    fn the_heart_touches_nothing() {
        for text in ["use mio::Token;", "use std::time::Instant;", "use socket2::Socket;"] {
            assert_eq!(broken("src/core/x.rs", text), [("core", 2)], "{text}");
            assert_eq!(broken("src/net/x.rs", text), [], "{text}");
        }
    }

    #[test]
    fn dependencies_point_one_way() {
        assert_eq!(broken("src/core/x.rs", "use crate::net::X;"), [("arrow", 2)]);
        let group = "use crate::{core::{a, cli}, config::B,\n observe::C};";
        assert_eq!(broken("src/net/x.rs", group), [("arrow", 3)]);
        assert_eq!(broken("src/net/x.rs", "use crate::core::X;"), []);
        assert_eq!(broken("src/main.rs", group), []);
    }
}
