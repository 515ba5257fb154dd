//! The house rules, checked as an ordinary test: every Rust file of src/ and tests/ keeps them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use source::Source;

#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/source.rs"]
mod source;

/// A place that may break one rule, and why. An excuse that is no longer needed fails the test too.
struct Excuse {
    path: &'static str,
    rule: &'static str,
    reason: &'static str,
}

const EXCUSED: &[Excuse] = &[];

#[test]
fn the_house_rules_are_kept() {
    let files = files();
    assert!(files.len() > 10, "only {} files found: is the test looking elsewhere?", files.len());
    let wrong = complaints(&files, EXCUSED);
    assert!(wrong.is_empty(), "the house rules are broken:\n{}\n", wrong.join("\n"));
}

#[test]
fn unsafe_code_is_forbidden_at_both_roots() {
    for (path, text) in files().iter().filter(|(path, _)| is_root(path)) {
        assert!(text.contains("#![forbid(unsafe_code)]"), "{path} does not forbid unsafe code");
    }
}

#[test]
fn a_complaint_names_file_line_and_rule() {
    let files = [("src/x.rs".to_string(), "//! A file with a fault in it.\nunsafe".to_string())];
    assert_eq!(complaints(&files, &[]), ["src/x.rs:2: `unsafe` (rule: unsafe)"]);
    let excuse = [Excuse { path: "src/x.rs", rule: "unsafe", reason: "a test" }];
    assert_eq!(complaints(&files, &excuse), Vec::<String>::new());
    let excuse = [Excuse { path: "src/x.rs", rule: "print", reason: "a test" }];
    assert_eq!(complaints(&files, &excuse).len(), 2, "a needless excuse is a complaint");
}

/// One line for each broken rule without an excuse, and for each excuse without a broken rule.
fn complaints(files: &[(String, String)], excused: &[Excuse]) -> Vec<String> {
    let mut used = vec![false; excused.len()];
    let mut lines = Vec::new();
    for (path, text) in files {
        for found in rules::check(&Source::new(path, text)) {
            match excused.iter().position(|e| e.path == path && e.rule == found.rule) {
                Some(at) => used[at] = true,
                None => {
                    let place = format!("{path}:{}", found.line);
                    lines.push(format!("{place}: {} (rule: {})", found.text, found.rule));
                }
            }
        }
    }
    for (excuse, _) in excused.iter().zip(used).filter(|(_, used)| !used) {
        let Excuse { path, rule, reason } = excuse;
        lines.push(format!("{path}: needs no excuse from {rule} any more ({reason})"));
    }
    lines
}

fn is_root(path: &str) -> bool {
    matches!(path, "src/main.rs" | "src/lib.rs")
}

/// Every Rust file of the house, by its path from the top, in order.
fn files() -> Vec<(String, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![top.join("src"), top.join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(top).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}
