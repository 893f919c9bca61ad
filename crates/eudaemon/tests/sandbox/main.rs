//! The sandbox, from inside: this program starts itself as a child that enters a sandbox and tries to leave it.
//!
//! Not tested: kernels older than this one, but for what strace can make this one say; aarch64.

#![allow(
    clippy::disallowed_methods,
    reason = "it judges: it starts itself, and strace, as outsiders do"
)]

mod child;
mod escapes;
#[path = "../harness/mod.rs"]
mod harness;
mod kernels;
mod life;
mod tables;

use harness::Test;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.first().is_some_and(|word| word == "inside") {
        return child::main(&words[1..]);
    }
    harness::run(&[escapes::ALL, life::ALL, kernels::ALL, tables::ALL])
}

/// Says aloud that a test could not run; with `EUDAEMON_REQUIRE=1` that is a failure.
fn skip(why: &str) {
    println!("SKIPPED: {why}");
    assert!(
        std::env::var_os("EUDAEMON_REQUIRE").is_none_or(|word| word != "1"),
        "{why}"
    );
}

/// A directory of this test's own, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("sandbox-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Scratch(path)
    }

    /// A path below it, made as a directory.
    fn dir(&self, name: &str) -> String {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path).expect("below our own");
        path.to_str().expect("ours").to_owned()
    }

    /// A file below it with these bytes.
    fn file(&self, name: &str, bytes: &str) -> String {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("below our own");
        path.to_str().expect("ours").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is below /tmp.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What the child printed: a line `word: answer` for each word, `Ok` or the system's error.
struct Told {
    out: String,
    code: Option<i32>,
}

impl Told {
    #[track_caller]
    fn is(&self, word: &str, answer: &str) {
        let line = self.line(word);
        assert!(
            line.starts_with(answer),
            "{word}: {line}, not {answer}\n{}",
            self.out
        );
    }

    #[track_caller]
    fn line(&self, word: &str) -> &str {
        let mut lines = self.out.lines();
        lines
            .find_map(|line| line.strip_prefix(word)?.strip_prefix(": "))
            .unwrap_or_else(|| panic!("nothing about {word} in\n{}", self.out))
    }
}

const OK: &str = "Ok";
const EPERM: &str = "1 ";
const EACCES: &str = "13 ";

/// This program, as the child that is told `words`.
fn inside(words: &[&str]) -> Command {
    let mut command = Command::new(own_path());
    command.arg("inside").args(words);
    command
}

fn own_path() -> PathBuf {
    std::env::current_exe().expect("/proc is mounted")
}

fn run(command: &mut Command) -> Told {
    let output = command.output().expect("it starts");
    let mut out = String::from_utf8_lossy(&output.stdout).into_owned();
    let _ = write!(out, "{}", String::from_utf8_lossy(&output.stderr));
    let code = output.status.code();
    Told { out, code }
}

fn tell(words: &[&str]) -> Told {
    run(&mut inside(words))
}

fn has_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| Path::new(&dir).join(name).exists())
}
