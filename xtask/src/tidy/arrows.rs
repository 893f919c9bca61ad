//! The arrows between crates, the licences and the sources: `deny.toml` held against what cargo says of the workspace.

use super::Finding;
use serde_json::Value;

/// What deny.toml says, as far as we read it.
#[derive(Debug, Default)]
pub struct Deny {
    rows: Vec<Row>,
    licences: Vec<String>,
}

/// Who may depend on a crate, and why nobody else may.
#[derive(Debug)]
struct Row {
    name: String,
    wrappers: Vec<String>,
    reason: String,
}

fn finding(path: &str, line: usize, what: String) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        what,
    }
}

/// The strings between double quotes; names of crates and licences hold no escapes.
fn quoted(text: &str) -> Vec<String> {
    text.split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

impl Deny {
    /// Reads rows of `deny` and the `allow` of licences, each on one line; a row it cannot read is a finding, not a gap.
    pub fn parse(text: &str) -> Result<Deny, Finding> {
        let mut deny = Deny::default();
        let mut licences = false;
        for (at, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('[') {
                licences = line == "[licenses]";
            } else if let Some(row) = line.strip_prefix("{ crate = ") {
                let read = || {
                    let (name, rest) = row.split_once(", wrappers = [")?;
                    let (wrappers, rest) = rest.split_once("], reason = ")?;
                    let [name] = quoted(name).try_into().ok()?;
                    let [reason] = quoted(rest).try_into().ok()?;
                    Some(Row {
                        name,
                        wrappers: quoted(wrappers),
                        reason,
                    })
                };
                let row = read().ok_or_else(|| {
                    finding(
                        "deny.toml",
                        at + 1,
                        "not `{ crate = …, wrappers = […], reason = … }` on one line".to_owned(),
                    )
                })?;
                deny.rows.push(row);
            } else if line.starts_with('{') {
                return Err(finding(
                    "deny.toml",
                    at + 1,
                    "a row begins with `{ crate = `".to_owned(),
                ));
            } else if licences && line.starts_with("allow = [") {
                deny.licences = quoted(line);
            }
        }
        if deny.rows.is_empty() || deny.licences.is_empty() {
            return Err(finding(
                "deny.toml",
                0,
                "no arrows, or no licences: then nothing would be checked".to_owned(),
            ));
        }
        Ok(deny)
    }
}

/// Every arrow that has no permission, every licence and every source we have not agreed to.
pub fn check(deny: &Deny, metadata: &Value) -> Vec<Finding> {
    let mut found = Vec::new();
    let none = Vec::new();
    let packages = metadata["packages"].as_array().unwrap_or(&none);
    // Ours are those without a source: they lie in the workspace.
    let ours: Vec<&str> = packages
        .iter()
        .filter(|package| package["source"].is_null())
        .filter_map(|package| package["name"].as_str())
        .collect();
    if ours.is_empty() {
        return vec![finding(
            "Cargo.toml",
            0,
            "cargo names no crate of ours".to_owned(),
        )];
    }
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        match package["source"].as_str() {
            None => {
                let manifest = format!(
                    "{name} ({})",
                    package["manifest_path"].as_str().unwrap_or_default()
                );
                for dependency in package["dependencies"].as_array().unwrap_or(&none) {
                    let on = dependency["name"].as_str().unwrap_or_default();
                    if let Some(why) = refused(deny, &ours, name, on) {
                        found.push(finding(
                            "deny.toml",
                            0,
                            format!("{manifest} may not depend on {on}: {why}"),
                        ));
                    }
                }
            }
            Some(source) => {
                if !source.starts_with("registry+https://github.com/rust-lang/crates") {
                    found.push(finding(
                        "deny.toml",
                        0,
                        format!("{name} comes from {source}, which is not the registry"),
                    ));
                }
                let licence = package["license"].as_str().unwrap_or("no licence");
                if !permitted(licence, &deny.licences) {
                    found.push(finding(
                        "deny.toml",
                        0,
                        format!(
                            "{name} is under {licence:?}, which is not among those we agreed to"
                        ),
                    ));
                }
            }
        }
    }
    found
}

/// Why `from` may not depend on `on`; `None` if it may.
fn refused<'a>(deny: &'a Deny, ours: &[&str], from: &str, on: &str) -> Option<&'a str> {
    match deny.rows.iter().find(|row| row.name == on) {
        Some(row) if row.wrappers.iter().any(|wrapper| wrapper == from) => None,
        Some(row) => Some(&row.reason),
        None if ours.contains(&on) => Some("it has no row in deny.toml, so nobody may import it"),
        None => None,
    }
}

/// Whether an SPDX expression is satisfied: one allowed licence of each OR, all of each AND. The older `MIT/Apache-2.0` means OR.
/// Precedence: AND binds tighter than OR (SPDX specification, annex on licence expressions).
fn permitted(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let verdict = any(&words, &mut at, allowed);
    verdict && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut verdict = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        verdict |= all(words, at, allowed);
    }
    verdict
}

fn all(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut verdict = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        verdict &= one(words, at, allowed);
    }
    verdict
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(&word) = words.get(*at) else {
        return false;
    };
    *at += 1;
    if word == "(" {
        let verdict = any(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return verdict && closed;
    }
    let mut licence = word.to_owned();
    if let (Some(&"WITH"), Some(exception)) = (words.get(*at), words.get(*at + 1)) {
        licence = format!("{word} WITH {exception}");
        *at += 2;
    }
    allowed.contains(&licence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DENY: &str = "[bans]\ndeny = [\n  { crate = \"laws\", wrappers = [\"door\"], reason = \"pure\" },\n]\n[licenses]\nallow = [\"MIT\", \"ISC\"]\n";

    fn world(from: &str, on: &str) -> Value {
        let package = |name: &str, on: &[&str]| {
            let on: Vec<Value> = on.iter().map(|on| json!({ "name": on })).collect();
            json!({ "name": name, "source": null, "manifest_path": format!("crates/{name}/Cargo.toml"), "dependencies": on })
        };
        let mut packages: Vec<Value> = ["laws", "door", "judge"]
            .iter()
            .filter(|name| **name != from)
            .map(|name| package(name, &[]))
            .collect();
        packages.push(package(from, &[on]));
        json!({ "packages": packages })
    }

    #[test]
    fn an_arrow_without_permission_is_named_with_its_reason() {
        let deny = Deny::parse(DENY).unwrap();
        assert_eq!(check(&deny, &world("door", "laws")), []);
        let found = check(&deny, &world("judge", "laws"));
        assert_eq!(
            found[0].what,
            "judge (crates/judge/Cargo.toml) may not depend on laws: pure"
        );
        let found = check(&deny, &world("laws", "judge"));
        assert!(
            found[0]
                .what
                .contains("laws (crates/laws/Cargo.toml) may not depend on judge: it has no row")
        );
        assert_eq!(check(&deny, &json!({ "packages": [] })).len(), 1);
    }

    #[test]
    fn a_strange_licence_or_source() {
        let deny = Deny::parse(DENY).unwrap();
        let mut world = world("door", "laws");
        let registry = "registry+https://github.com/rust-lang/crates-index";
        let stranger = |licence: &str, source: &str| json!({ "name": "stranger", "source": source, "license": licence, "dependencies": [] });
        world["packages"].as_array_mut().unwrap().extend([
            stranger("MIT OR GPL-3.0", registry),
            stranger("GPL-3.0", registry),
            stranger("ISC", "git+https://example.org"),
        ]);
        let found = check(&deny, &world);
        assert_eq!(found.len(), 2);
        assert!(found[0].what.contains("under \"GPL-3.0\""));
        assert!(found[1].what.contains("comes from git+"));
    }

    #[test]
    fn licence_expressions() {
        let allowed = [
            "MIT".to_owned(),
            "Unicode-3.0".to_owned(),
            "Apache-2.0 WITH LLVM-exception".to_owned(),
        ];
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "(MIT OR GPL-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
        ] {
            assert!(permitted(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "Apache-2.0",
            "MIT AND GPL-2.0",
            "(MIT OR GPL-2.0) AND GPL-2.0",
            "(MIT",
            "MIT MIT",
        ] {
            assert!(!permitted(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn rows_that_cannot_be_read_are_not_skipped() {
        assert_eq!(
            Deny::parse("deny = [\n { name = \"x\" },\n]")
                .unwrap_err()
                .line,
            2
        );
        assert_eq!(
            Deny::parse("deny = [\n { crate = \"x\", reason = \"y\" },\n]")
                .unwrap_err()
                .line,
            2
        );
        assert_eq!(Deny::parse("").unwrap_err().line, 0);
    }
}
