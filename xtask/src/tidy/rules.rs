//! Rules that look at one file.

use super::Finding;
use super::source::{code, line_of, words};

/// Words that tell of the place or the way a text was written, not of the project. Cut in two, so that this file may hold them.
const FORBIDDEN: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/tmp/br", "ief"),
    concat!("agent", " session"),
    concat!("sub", "agent"),
    concat!("crates", ".io"),
    concat!("deb.debian", ".org"),
    concat!("py", "pi.org"),
    concat!("proxy.golang", ".org"),
    concat!("registry.npm", "js"),
];

/// A drawer has no door plate; everything ends up in it.
const DRAWERS: &[&str] = &[
    "util", "utils", "common", "misc", "helper", "helpers", "manager",
];

/// What people write above a block they have not thought about.
const STOCK: &[&str] = &[
    "this is safe",
    "safe because",
    "is a library function",
    "parameters are valid",
    "arguments are valid",
    "pointer is valid",
    "trust me",
    "ffi call",
    "we know",
];

fn finding(path: &str, line: usize, what: impl Into<String>) -> Finding {
    Finding {
        path: path.to_owned(),
        line,
        what: what.into(),
    }
}

/// Rules for any text.
pub fn text(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    for (line, words) in text.lines().enumerate() {
        let words = words.to_lowercase();
        for word in FORBIDDEN {
            if words.contains(word) {
                found.push(finding(
                    path,
                    line + 1,
                    format!("{word:?} tells of one machine or one day, not of the project"),
                ));
            }
        }
    }
    found
}

/// Rules for Rust.
pub fn rust(path: &str, text: &str) -> Vec<Finding> {
    let mut found = Vec::new();
    let code = code(text);
    if path.starts_with("crates/")
        && path.ends_with("/src/lib.rs")
        && !["//! Room: ", "// Room: "]
            .iter()
            .any(|plate| text.starts_with(plate))
    {
        found.push(finding(
            path,
            1,
            "no door plate: a lib.rs begins with `// Room: ` or `//! Room: ` and says what may be done there",
        ));
    }
    let stem = path
        .rsplit('/')
        .next()
        .and_then(|name| name.strip_suffix(".rs"))
        .unwrap_or_default();
    let folder = path.rsplit('/').nth(1).unwrap_or_default();
    for name in [stem, folder] {
        if DRAWERS.contains(&name) {
            found.push(finding(
                path,
                0,
                format!("{name:?} is a drawer, not a name: say what it knows"),
            ));
        }
    }
    for at in words(&code, "mod") {
        let name: String = code[at + 3..]
            .trim_start()
            .chars()
            .take_while(|&c| c == '_' || c.is_alphanumeric())
            .collect();
        if DRAWERS.contains(&name.as_str()) {
            found.push(finding(
                path,
                line_of(text, at),
                format!("module {name:?} is a drawer, not a name: say what it knows"),
            ));
        }
    }
    if !path.starts_with("crates/eudaemon-sys/") {
        for at in words(&code, "unsafe") {
            // Forbidding it is allowed: `unsafe_code` is another word, `unsafe(no_mangle)` and blocks are not.
            found.push(finding(
                path,
                line_of(text, at),
                "unsafe outside eudaemon-sys, the one room for it",
            ));
        }
    }
    for (at, _) in code.match_indices("#[ignore") {
        if !names_an_issue(&text[at..]) {
            found.push(finding(
                path,
                line_of(text, at),
                "an ignored test names its issue: #[ignore = \"#12: why\"]",
            ));
        }
    }
    found.extend(rituals(path, text));
    found
}

fn names_an_issue(attribute: &str) -> bool {
    let reason = attribute
        .strip_prefix("#[ignore")
        .map(|rest| rest.trim_start_matches([' ', '=']));
    reason
        .and_then(|rest| rest.strip_prefix("\"#"))
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// SAFETY comments that would fit anywhere. "As above" is a comment when what it points to is in sight.
fn rituals(path: &str, text: &str) -> Vec<Finding> {
    const IN_SIGHT: usize = 25;
    let mut found = Vec::new();
    let mut last_full = None;
    let mut lines = text.lines().enumerate().peekable();
    while let Some((line, words)) = lines.next() {
        let Some(first) = words.trim_start().strip_prefix("// SAFETY:") else {
            continue;
        };
        let mut said = first.trim().to_lowercase();
        while let Some(more) = lines.next_if(|(_, next)| next.trim_start().starts_with("//")) {
            said.push(' ');
            said.push_str(more.1.trim_start().trim_start_matches('/').trim());
        }
        let count = said.split_whitespace().count();
        let points =
            said.starts_with("as above") && last_full.is_some_and(|last| line - last <= IN_SIGHT);
        let ritual = count < 4 || (count < 12 && STOCK.iter().any(|stock| said.contains(stock)));
        if ritual && !points {
            found.push(finding(
                path,
                line + 1,
                "a SAFETY comment names the contract of the call and what holds it here",
            ));
        } else if !points {
            last_full = Some(line);
        }
    }
    found
}

/// A table in the code and the page that describes it: every entry stands in the page between backquotes.
#[derive(Debug)]
pub struct Page {
    /// Where the table is.
    pub code: &'static str,
    /// How its entries begin: in a row, or one after the other.
    pub entry: Entry,
    /// Where it is described.
    pub page: &'static str,
}

/// How entries of a table are found in its text.
#[derive(Clone, Copy, Debug)]
pub enum Entry {
    /// `row(b'u', …)`.
    ByteRow,
    /// `"run", "start"`, up to the closing bracket of the constant of this name.
    Strings(&'static str),
}

/// Every such pair.
pub const PAGES: &[Page] = &[
    Page {
        code: "crates/eudaemon-core/src/control.rs",
        entry: Entry::ByteRow,
        page: "docs/formats/control-fifo.md",
    },
    Page {
        code: "crates/eudaemon-config/src/service_dir.rs",
        entry: Entry::Strings("pub const NAMES"),
        page: "docs/formats/service-directory.md",
    },
];

/// Entries of a table that its page does not name.
pub fn undescribed(page: &Page, code: &str, told: &str) -> Vec<Finding> {
    let entries: Vec<String> = match page.entry {
        Entry::ByteRow => code
            .split("row(")
            .skip(1)
            .filter_map(|rest| {
                rest.trim_start()
                    .strip_prefix("b'")?
                    .split('\'')
                    .next()
                    .map(str::to_owned)
            })
            .collect(),
        Entry::Strings(name) => code
            .split_once(name)
            .and_then(|(_, rest)| rest.split_once("];"))
            .map(|(list, _)| {
                list.split('"')
                    .skip(1)
                    .step_by(2)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default(),
    };
    if entries.is_empty() {
        return vec![finding(
            page.code,
            0,
            format!("no table was found here, which {} describes", page.page),
        )];
    }
    entries
        .into_iter()
        .filter(|entry| !told.contains(&format!("`{entry}`")))
        .map(|entry| {
            finding(
                page.page,
                0,
                format!(
                    "does not name {entry:?}, which is in the table of {}",
                    page.code
                ),
            )
        })
        .collect()
}

/// Relative links of a Markdown text that lead nowhere. `exists` is asked with the path as written, without its `#part`.
pub fn links(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (line, words) in text.lines().enumerate() {
        if words.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // What stands between backquotes is shown, not linked: every second piece.
        let prose: String = words.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let inline = prose
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let reference = prose
            .starts_with('[')
            .then(|| prose.split_once("]: ").map(|(_, target)| target))
            .flatten();
        for target in inline.chain(reference) {
            let target = target.split(['#', ' ']).next().unwrap_or_default();
            let far = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !far && !exists(target) {
                found.push(finding(
                    path,
                    line + 1,
                    format!("the link to {target} leads nowhere"),
                ));
            }
        }
    }
    found
}

/// The pages whose links to Rust are to tests, called by their names.
pub const PROOFS: [&str; 2] = ["docs/library-traps.md", "docs/gone-sd.md"];

/// Tests that [`PROOFS`] name and that are not in the file it links to. `read` is asked with the path as written; a file that is
/// not there is [`links`]' matter.
pub fn proofs(path: &str, text: &str, read: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut named = 0;
    for (line, words) in text.lines().enumerate() {
        for rest in words.split("[`").skip(1) {
            let Some((name, rest)) = rest.split_once("`](") else {
                continue;
            };
            let target = rest.split(')').next().unwrap_or_default();
            if !target.ends_with(".rs") {
                continue;
            }
            named += 1;
            if read(target).is_some_and(|code| !is_test(&code, name)) {
                let what = format!("{target} has no test {name}");
                found.push(finding(path, line + 1, what));
            }
        }
    }
    if named == 0 {
        found.push(finding(path, 0, "names no test at all"));
    }
    found
}

/// Whether a function of this name is a test: by its attribute, or in a table of a test program with a `main` of its own.
fn is_test(code: &str, name: &str) -> bool {
    // A row of a table, on one line or on several.
    let row = format!("\"{name}\",");
    let begins = |line: &str| line.trim_start().starts_with(&row);
    if code.contains(&format!("({row}")) || code.lines().any(begins) {
        return true;
    }
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let function = format!("fn {name}(");
    let at = lines.iter().position(|line| line.starts_with(&function));
    at.is_some_and(|at| {
        let above = lines[..at].iter().rev();
        above
            .take_while(|line| !line.is_empty() && !line.ends_with('}'))
            .any(|line| *line == "#[test]")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: [usize; 0] = [];

    fn lines(found: &[Finding]) -> Vec<usize> {
        found.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_library_without_a_door_plate() {
        assert_eq!(lines(&rust("crates/x/src/lib.rs", "//! Helps.\n")), [1]);
        assert_eq!(rust("crates/x/src/lib.rs", "//! Room: laws.\n"), []);
        // Where strangers read the documentation first, the plate is for those who work there.
        assert_eq!(
            rust("crates/x/src/lib.rs", "// Room: laws.\n//! Laws.\n"),
            []
        );
        assert_eq!(rust("crates/x/src/main.rs", "//! Helps.\n"), []);
    }

    #[test]
    fn a_drawer() {
        assert_eq!(lines(&rust("crates/x/src/util.rs", "")), [0]);
        assert_eq!(lines(&rust("crates/x/src/helpers/fd.rs", "")), [0]);
        assert_eq!(
            lines(&rust(
                "crates/x/src/fd.rs",
                "\npub mod common;\nmod model; // mod misc\n"
            )),
            [2]
        );
        assert_eq!(rust("crates/x/src/utility_of_life.rs", "mod commons;"), []);
    }

    #[test]
    fn unsafe_outside_its_room() {
        let text = "#![forbid(unsafe_code)]\n// unsafe in words\nfn f() { unsafe { g() } }\n";
        assert_eq!(lines(&rust("crates/eudaemon-engine/src/f.rs", text)), [3]);
        assert_eq!(rust("crates/eudaemon-sys/src/f.rs", text), []);
    }

    #[test]
    fn a_ritual() {
        let ritual = |said: &str| lines(&rust("crates/eudaemon-sys/src/f.rs", said));
        assert_eq!(ritual("// SAFETY: fine\n"), [1]);
        assert_eq!(ritual("// SAFETY: as above.\n"), [1]);
        assert_eq!(
            ritual("// SAFETY: F_GETFD reads no memory.\n\n// SAFETY: as above.\n"),
            NOWHERE
        );
        let far = format!(
            "// SAFETY: F_GETFD reads no memory.\n{}// SAFETY: as above.\n",
            "\n".repeat(30)
        );
        assert_eq!(ritual(&far), [32]);
        assert_eq!(
            ritual("    // SAFETY: safe because it is a library\n    // function.\n"),
            [1]
        );
        assert_eq!(
            ritual(
                "// SAFETY: `fd` is borrowed, so it stays open for the call; F_SETFD reads no memory of ours.\n"
            ),
            NOWHERE
        );
    }

    #[test]
    fn an_ignored_test_without_an_issue() {
        let ignored = |attribute: &str| lines(&rust("crates/x/src/f.rs", attribute));
        assert_eq!(ignored("#[ignore]"), [1]);
        assert_eq!(ignored("\n#[ignore = \"slow\"]"), [2]);
        assert_eq!(ignored("#[ignore = \"#12: not yet\"]"), NOWHERE);
        assert_eq!(ignored("// #[ignore]"), NOWHERE);
    }

    #[test]
    fn a_forbidden_word() {
        let told = format!("fine\nsee {}main\n", FORBIDDEN[0]);
        assert_eq!(lines(&text("README.md", &told)), [2]);
        assert_eq!(lines(&text("README.md", &FORBIDDEN[4].to_uppercase())), [1]);
        assert_eq!(text("README.md", "at work/ we keep crates"), []);
    }

    #[test]
    fn a_link_that_leads_nowhere() {
        let there = |target: &str| target == "a.md";
        let told = "[a](a.md#part) [b](b.md)\n[c](https://example.org) [d](#part)\n```\n[e](e.md)\n```\n`[f](f.md)`\n[g]: g.md\n";
        assert_eq!(lines(&links("README.md", told, &there)), [1, 7]);
    }

    #[test]
    fn a_table_that_has_outgrown_its_page() {
        let [letters, files] = PAGES else {
            panic!("two pages are known")
        };
        let told = "| `u` | up |\n| `run` | the service |";
        let missing = |page, code| {
            undescribed(page, code, told)
                .into_iter()
                .map(|finding| finding.what)
                .collect::<Vec<_>>()
        };
        assert_eq!(missing(letters, "row(b'u', 1)").len(), 0);
        assert!(
            missing(letters, "row(b'u', 1), row(\n b'd', 2)")[0].contains("does not name \"d\"")
        );
        assert!(
            missing(
                files,
                "pub const NAMES: &[&str] = &[\"run\", \"stop\"]; \"other\""
            )[0]
            .contains("\"stop\"")
        );
        assert!(missing(files, "nothing")[0].contains("no table"));
    }

    #[test]
    fn a_proof_that_is_gone() {
        let code = "#[test]\n#[allow(x)]\nfn one() {\n}\nfn two() {\n}\nconst T: &[X] = &[\n    (\"a::three\", two),\n(\n    \"four\",\n    f,\n)];\n";
        let read = |target: &str| (target == "a.rs").then(|| code.to_owned());
        let told = |text: &str| lines(&proofs("page.md", text, &read));
        assert_eq!(
            told("[`one`](a.rs), [`a::three`](a.rs)\n[`four`](a.rs)"),
            NOWHERE
        );
        assert_eq!(told("\n[`one`](a.rs) [`two`](a.rs)"), [2]);
        assert_eq!(told("[`three`](a.rs)\n[`on`](a.rs)"), [1, 2]);
        assert_eq!(told("[`gone`](b.rs) [`x`](b.md)"), NOWHERE);
        assert_eq!(told("[a page](a.rs)"), [0]);
    }
}
