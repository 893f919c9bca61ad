//! The house rules a machine can check. Runs with the tests; each rule has a test below that shows it can fail.
//!
//! Rules read text, not types: they find what tired people and hasty machines write, and do not resist malice.

mod arrows;
mod rules;
mod source;

use crate::{Outcome, build, workspace};
use std::fmt;
use std::path::{Path, PathBuf};

/// One broken rule, with the place and the reason.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file below the workspace.
    pub path: String,
    /// From 1; 0 is the whole file.
    pub line: usize,
    /// What is wrong and why it matters.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(to, "{}: {}", self.path, self.what),
            line => write!(to, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Prints what it finds; an error when it finds anything.
pub fn run() -> Outcome {
    let findings = check(&workspace())?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(format!("tidy: {count} findings")),
    }
}

/// Every rule over every file below `root`, and over what cargo says of the crates.
fn check(root: &Path) -> Result<Vec<Finding>, String> {
    let mut found = Vec::new();
    for file in files(root)? {
        let path = file
            .strip_prefix(root)
            .unwrap_or(&file)
            .display()
            .to_string();
        let bytes = std::fs::read(&file).map_err(|why| format!("unable to read {path}: {why}"))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        found.extend(rules::text(&path, &text));
        if path.ends_with(".rs") {
            found.extend(rules::rust(&path, &text));
        }
        if path.ends_with(".md") {
            let here = file.parent().unwrap_or(root);
            found.extend(rules::links(&path, &text, &|target| {
                here.join(target).exists()
            }));
            if rules::PROOFS.contains(&path.as_str()) {
                found.extend(rules::proofs(&path, &text, &|target| {
                    std::fs::read_to_string(here.join(target)).ok()
                }));
            }
        }
    }
    for page in rules::PAGES {
        let read = |path: &str| {
            std::fs::read_to_string(root.join(path))
                .map_err(|why| format!("unable to read {path}: {why}"))
        };
        found.extend(rules::undescribed(
            page,
            &read(page.code)?,
            &read(page.page)?,
        ));
    }
    let deny = std::fs::read_to_string(root.join("deny.toml"))
        .map_err(|why| format!("unable to read deny.toml: {why}"))?;
    let out = build::cargo()
        .args(["metadata", "--locked", "--format-version", "1"])
        .output()
        .map_err(|why| format!("unable to run cargo metadata: {why}"))?;
    if !out.status.success() {
        return Err(format!(
            "cargo metadata --locked: {}",
            String::from_utf8_lossy(&out.stderr).trim()
        ));
    }
    let metadata =
        serde_json::from_slice(&out.stdout).map_err(|why| format!("cargo metadata: {why}"))?;
    match arrows::Deny::parse(&deny) {
        Ok(deny) => found.extend(arrows::check(&deny, &metadata)),
        Err(finding) => found.push(finding),
    }
    Ok(found)
}

/// Every file of the project, in order; what is built and what git keeps is left out.
fn files(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut open = vec![root.to_path_buf()];
    while let Some(dir) = open.pop() {
        let entries = std::fs::read_dir(&dir)
            .map_err(|why| format!("unable to read {}: {why}", dir.display()))?;
        for entry in entries {
            let entry = entry.map_err(|why| format!("unable to read {}: {why}", dir.display()))?;
            let kind = entry
                .file_type()
                .map_err(|why| format!("unable to look at {}: {why}", entry.path().display()))?;
            let name = entry.file_name();
            if kind.is_dir() && name != "target" && name != ".git" {
                open.push(entry.path());
            } else if kind.is_file() && name != "Cargo.lock" && name != ".git" {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tidy() {
        let findings = check(&workspace()).unwrap();
        let told: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(told.is_empty(), "\n{}\n", told.join("\n"));
    }

    #[test]
    fn the_walk_sees_this_file_and_nothing_built() {
        let files = files(&workspace()).unwrap();
        assert!(files.contains(&workspace().join("xtask/src/tidy.rs")));
        assert!(
            !files
                .iter()
                .any(|file| file.components().any(|part| part.as_os_str() == "target"))
        );
    }
}
