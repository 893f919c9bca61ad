//! Builds the one binary in the form we ship.

use crate::workspace;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The form we ship: static, so that one file is a whole program and every process shares its pages.
pub const SHIPPED: &str = "x86_64-unknown-linux-musl";

/// The cargo that runs us, else the one in PATH.
pub fn cargo() -> Command {
    let mut command =
        Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")));
    command.current_dir(workspace());
    command
}

/// Whether the standard library for `target` is installed: a folder of that name stands in the compiler's sysroot.
pub fn has_target(target: &str) -> bool {
    let answer = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(workspace())
        .output();
    answer.is_ok_and(|out| {
        let root = PathBuf::from(String::from_utf8_lossy(&out.stdout).trim());
        root.join("lib/rustlib").join(target).join("lib").is_dir()
    })
}

/// Builds the release binary for `target` (`None`: the shipped form if its standard library is installed, else this host) and
/// answers with its path, as cargo names it.
pub fn release(target: Option<&str>) -> Result<PathBuf, String> {
    release_with(target, &[])
}

/// As [`release`], with these settings in cargo's environment.
pub fn release_with(target: Option<&str>, settings: &[(&str, &str)]) -> Result<PathBuf, String> {
    let target = match target {
        Some(target) => Some(target),
        None if cfg!(target_arch = "x86_64") && has_target(SHIPPED) => Some(SHIPPED),
        None => None,
    };
    let mut build = cargo();
    build.envs(settings.iter().copied());
    build.args([
        "build",
        "--release",
        "--package",
        "eudaemon-cli",
        "--message-format",
        "json-render-diagnostics",
    ]);
    if let Some(target) = target {
        build.args(["--target", target]);
    }
    let out = build
        .stderr(Stdio::inherit())
        .output()
        .map_err(|why| format!("unable to run cargo: {why}"))?;
    if !out.status.success() {
        return Err("unable to build the release binary: see above".to_owned());
    }
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "eudaemon")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| "cargo built no binary called eudaemon".to_owned())
}
