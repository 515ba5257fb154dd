//! Programs of the system as clients and servers, where they are installed.

use std::io::{Read, Write};
use std::process::{Command, Stdio};

use crate::kept::Kept;

/// Whether a program can be run here; if not, prints that the test is skipped.
pub fn has(program: &str) -> bool {
    let found =
        Command::new("sh").args(["-c", &format!("command -v {program} >/dev/null")]).status();
    let has = found.unwrap().success();
    if !has {
        println!("skipped: {program} is not installed");
    }
    has
}

/// Runs a program until the result is dropped, and keeps its output.
pub fn spawn(command: &mut Command) -> Kept {
    Kept(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap())
}

/// Runs a program with this input, and returns its output.
pub fn answer(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let stdio = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut process = Kept(stdio.spawn().unwrap());
    let mut stdin = process.0.stdin.take().unwrap();
    let input = input.to_vec();
    let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let mut said = Vec::new();
    process.0.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    writing.join().unwrap();
    said
}
