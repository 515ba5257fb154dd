//! The tests are tested: small faults are planted in the core, one at a time, and each must be
//! caught by a named test.
//!
//! `cargo test --test mutants -- --ignored --nocapture` runs them all in a copy of the crate under
//! target/ and writes the table of docs/mutants.md. It takes some minutes. `ONELOOP_MUTANT=word`
//! runs only those whose name contains the word, and writes their lines.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use list::Mutant;
use rustix::process::{Pid, Signal, kill_process_group};

#[path = "mutants/engine.rs"]
mod engine;
#[path = "mutants/list.rs"]
mod list;

/// Far longer than the tests need when all is well: a mutant that makes them hang is caught too.
const PATIENCE: Duration = Duration::from_secs(150);

#[test]
fn every_mutant_is_one_place_in_the_present_source() {
    for mutant in mutants() {
        let text = unindented(&top().join("src/core").join(mutant.file));
        let places = text.matches(mutant.search).count();
        assert_eq!(places, 1, "{}: {:?} in {}", mutant.name, mutant.search, mutant.file);
        assert_ne!(mutant.search, mutant.replace, "{} changes nothing", mutant.name);
    }
}

#[test]
fn every_mutant_has_its_line_in_the_table() {
    let table = table();
    for mutant in mutants() {
        let line = table.get(mutant.name).map(String::as_str).unwrap_or_default();
        let caught = line.strip_prefix(&beginning(mutant)).is_some_and(|by| by.starts_with('`'));
        assert!(caught, "docs/mutants.md does not say what catches: {}", mutant.name);
    }
    assert_eq!(table.len(), mutants().count(), "docs/mutants.md has lines of old mutants");
}

#[test]
#[ignore = "takes some minutes"]
fn every_mutant_is_caught() {
    let copy = Copy::make();
    let (failed, output) = copy.test();
    assert!(failed.is_empty(), "without any mutant: {failed:?}\n{output}");

    let wanted = std::env::var("ONELOOP_MUTANT").unwrap_or_default();
    let (mut table, mut survivors) = (table(), Vec::new());
    table.retain(|name, _| mutants().any(|mutant| mutant.name == name));
    for mutant in mutants().filter(|mutant| mutant.name.contains(&wanted)) {
        copy.plant(mutant);
        let (failed, output) = copy.test();
        copy.restore(mutant);
        let line = format!("{}{} |\n", beginning(mutant), failed.join(", "));
        print!("{line}");
        table.insert(mutant.name.to_string(), line);
        if failed.is_empty() {
            survivors.push(format!("{}\n{output}", mutant.name));
        }
    }
    let lines: String = mutants().filter_map(|mutant| table.get(mutant.name).cloned()).collect();
    fs::write(page(), format!("{HEAD}{lines}")).unwrap();
    assert!(survivors.is_empty(), "{} live:\n{}", survivors.len(), survivors.join("\n"));
}

/// A crate of the core alone, with the tests that are to catch its faults. It is built in seconds.
struct Copy(PathBuf);

impl Copy {
    fn make() -> Copy {
        let copy = top().join("target/mutants/crate");
        let _ = fs::remove_dir_all(&copy);
        for name in ["src/core", "tests/net", "tests/sim"] {
            copy_folder(&top().join(name), &copy.join(name));
        }
        // The faults are planted in these, whatever happens to the originals meanwhile.
        copy_folder(&top().join("src/core"), &copy.join("pristine"));
        fs::copy(top().join("tests/sim.rs"), copy.join("tests/sim.rs")).unwrap();
        fs::copy(top().join("Cargo.lock"), copy.join("Cargo.lock")).unwrap();
        fs::write(copy.join("Cargo.toml"), MANIFEST).unwrap();
        fs::write(copy.join("src/lib.rs"), "pub mod core;\n").unwrap();
        Copy(copy)
    }

    fn plant(&self, mutant: &Mutant) {
        let text = unindented(&self.0.join("pristine").join(mutant.file));
        let planted = text.replacen(mutant.search, mutant.replace, 1);
        fs::write(self.0.join("src/core").join(mutant.file), planted).unwrap();
    }

    fn restore(&self, mutant: &Mutant) {
        let pristine = self.0.join("pristine").join(mutant.file);
        fs::write(self.0.join("src/core").join(mutant.file), fs::read(pristine).unwrap()).unwrap();
    }

    /// The tests that fail, and what was printed. A mutant that is no Rust is a fault of the list.
    fn test(&self) -> (Vec<String>, String) {
        let log = self.0.join("output");
        let file = File::create(&log).unwrap();
        let mut cargo = Command::new(env!("CARGO"))
            .args(["test", "--tests", "--offline", "--no-fail-fast"])
            .current_dir(&self.0)
            .env("CARGO_TARGET_DIR", top().join("target/mutants/target"))
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap();
        let began = Instant::now();
        let mut hangs = false;
        while cargo.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(50));
            if began.elapsed() > PATIENCE {
                hangs = true;
                let group = Pid::from_child(&cargo);
                kill_process_group(group, Signal::KILL).unwrap();
                cargo.wait().unwrap();
            }
        }
        let output = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
        assert!(!output.contains("could not compile"), "this mutant is no Rust:\n{output}");
        let mut failed: Vec<String> = output.lines().filter_map(failed_test).collect();
        // They run side by side: the page shall not depend on which came first.
        failed.sort();
        if hangs {
            failed.push("(the tests hang)".to_string());
        }
        (failed, output)
    }
}

/// The name of a test, if this line says that it failed.
fn failed_test(line: &str) -> Option<String> {
    let name = line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?;
    Some(format!("`{}`", name.rsplit("::").next().unwrap_or(name)))
}

/// The lines of the page, by the names of their mutants.
fn table() -> BTreeMap<String, String> {
    let page = fs::read_to_string(page()).unwrap_or_default();
    let lines = page.lines().skip_while(|line| *line != RULE).skip(1);
    let named =
        |line: &str| Some((line.split('|').nth(1)?.trim().to_string(), format!("{line}\n")));
    lines.filter_map(named).collect()
}

/// How the line of a mutant begins; the tests that catch it follow.
fn beginning(mutant: &Mutant) -> String {
    format!("| {} | {} | ", mutant.name, mutant.file)
}

fn page() -> PathBuf {
    top().join("docs/mutants.md")
}

fn mutants() -> impl Iterator<Item = &'static Mutant> {
    [list::READINESS, list::BYTES, list::PIPES, list::ENDS, engine::ENGINE, engine::TIME]
        .into_iter()
        .flatten()
}

/// A source without its indentation: a mutant need not know how deep its place is.
fn unindented(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| line.trim_start().to_string() + "\n").collect()
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

const MANIFEST: &str = r#"
[package]
name = "oneloop"
version = "0.1.0"
edition = "2024"

[dependencies]
slab = "0.4"

[profile.test]
opt-level = 1

[workspace]
"#;

const HEAD: &str = "\
# Mutants

Each line is a small fault that was planted in the core (`tests/mutants/` has the exact change), and
the tests that fail because of it. A test is worth what it can catch, so this page is not written by
hand: `cargo test --test mutants -- --ignored --nocapture` plants the faults one by one in a copy of
the crate, runs the tests, and writes it. An ordinary test sees to it that each fault still has its
place in the source and its line here.

| mutant | in src/core | caught by |
|---|---|---|
";

/// Below this line stand the mutants.
const RULE: &str = "|---|---|---|";
