//! Rules that the compiler does not check, as an ordinary test: rules for the Rust files of src/
//! and tests/, and the retired words in all texts.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use source::Source;

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

/// A file that may break one rule, and why. An exemption that is not needed fails the test too.
struct Exemption {
    path: &'static str,
    rule: &'static str,
    reason: &'static str,
}

const EXEMPTIONS: &[Exemption] = &[];

#[test]
fn the_rules_are_kept() {
    let files = files();
    assert!(files.len() > 10, "only {} files found: is this the right directory?", files.len());
    let wrong = violations(&files, EXEMPTIONS);
    assert!(wrong.is_empty(), "rules are broken:\n{}\n", wrong.join("\n"));
}

#[test]
fn no_text_contains_a_retired_word() {
    let texts = texts();
    assert!(texts.iter().any(|(path, _)| path == words::EXEMPT), "the exempt file was renamed");
    let mut wrong = Vec::new();
    for (path, text) in texts.iter().filter(|(path, _)| path != words::EXEMPT) {
        let mut found = words::check_text(text);
        if path.ends_with(".rs") {
            found.extend(words::check_identifiers(&Source::new(path, text)));
        }
        let line = |found: &rules::Violation| format!("{path}:{}: {}", found.line, found.text);
        wrong.extend(found.iter().map(line));
    }
    assert!(wrong.is_empty(), "retired words are used:\n{}\n", wrong.join("\n"));
}

#[test]
fn no_help_text_contains_a_retired_word() {
    let overview = help(&["--help"]);
    let mut commands = 0;
    for name in overview.lines().filter_map(command_name) {
        assert_eq!(words::check_text(&help(&[name, "--help"])), [], "oneloop {name} --help");
        commands += 1;
    }
    assert!(commands > 10, "only {commands} commands found in:\n{overview}");
    assert_eq!(words::check_text(&overview), [], "oneloop --help");
}

#[test]
fn unsafe_code_is_forbidden_at_both_roots() {
    for (path, text) in files().iter().filter(|(path, _)| is_root(path)) {
        assert!(text.contains("#![forbid(unsafe_code)]"), "{path} does not forbid unsafe code");
    }
}

#[test]
fn a_violation_is_reported_with_file_line_and_rule() {
    let files = [("src/x.rs".to_string(), "//! A file with a fault in it.\nunsafe".to_string())];
    assert_eq!(violations(&files, &[]), ["src/x.rs:2: `unsafe` (rule: unsafe)"]);
    let exemption = [Exemption { path: "src/x.rs", rule: "unsafe", reason: "a test" }];
    assert_eq!(violations(&files, &exemption), Vec::<String>::new());
    let exemption = [Exemption { path: "src/x.rs", rule: "print", reason: "a test" }];
    assert_eq!(violations(&files, &exemption).len(), 2, "a needless exemption is reported");
}

/// Returns a line for each broken rule without an exemption, and for each needless exemption.
fn violations(files: &[(String, String)], exemptions: &[Exemption]) -> Vec<String> {
    let mut used = vec![false; exemptions.len()];
    let mut lines = Vec::new();
    for (path, text) in files {
        for found in rules::check(&Source::new(path, text)) {
            match exemptions.iter().position(|e| e.path == path && e.rule == found.rule) {
                Some(at) => used[at] = true,
                None => {
                    let place = format!("{path}:{}", found.line);
                    lines.push(format!("{place}: {} (rule: {})", found.text, found.rule));
                }
            }
        }
    }
    for (exemption, _) in exemptions.iter().zip(used).filter(|(_, used)| !used) {
        let Exemption { path, rule, reason } = exemption;
        lines.push(format!("{path}: does not need its exemption from {rule} ({reason})"));
    }
    lines
}

fn is_root(path: &str) -> bool {
    matches!(path, "src/main.rs" | "src/lib.rs")
}

/// The Rust files of src/ and tests/, by path, in order.
fn files() -> Vec<(String, String)> {
    let texts = texts().into_iter();
    let is_ours = |path: &str| path.starts_with("src/") || path.starts_with("tests/");
    texts.filter(|(path, _)| path.ends_with(".rs") && is_ours(path)).collect()
}

/// The text files of src/, tests/, benches/ and docs/, and the README, by path, in order. Binary
/// files and build output are left out.
fn texts() -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts =
        vec![("README.md".to_string(), fs::read_to_string(top.join("README.md")).unwrap())];
    let mut folders: Vec<_> = ["src", "tests", "benches", "docs"].map(|name| top.join(name)).into();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                let is_output = ["target", "__pycache__"].iter().any(|name| path.ends_with(name));
                folders.extend((!is_output).then_some(path));
            } else if let Ok(text) = fs::read_to_string(&path) {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().replace('\\', "/");
                texts.push((name, text));
            }
        }
    }
    texts.sort();
    texts
}

fn help(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_oneloop")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns the command of a line of the overview: `  echo     send back …`.
fn command_name(line: &str) -> Option<&str> {
    let (name, text) = line.strip_prefix("  ")?.split_once("  ")?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase());
    (is_name && !text.is_empty()).then_some(name)
}
