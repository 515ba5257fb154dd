//! The command of the real binary, alone or behind a shell.

use std::process::{Command, Stdio};

/// Returns the command of the binary with these arguments, which are split at spaces. Environment
/// variables that change the log are removed.
pub fn oneloop(line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.args(line.split_whitespace());
    tidy(&mut command);
    command
}

/// Returns the same command, run by a shell after `words`, such as `ulimit -n 64;`.
pub fn oneloop_after(words: &str, line: &str) -> Command {
    oneloop_redirected(words, line, "")
}

/// Returns the same command with redirections after its arguments, such as `2>&-`.
pub fn oneloop_redirected(words: &str, line: &str, redirections: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    let script = format!("{words} exec \"$@\" {redirections}");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_oneloop")]);
    command.args(line.split_whitespace());
    tidy(&mut command);
    command
}

fn tidy(command: &mut Command) {
    command.env_remove("RUST_LOG").env_remove("NO_COLOR");
    command.stdin(Stdio::null()).stdout(Stdio::null());
}
