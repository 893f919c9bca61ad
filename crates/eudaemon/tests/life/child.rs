//! What a child does not inherit. T22-T25, T50.

use crate::Test;
use crate::stage::{Scratch, code, skipped};
use eudaemon_core::addressed::{For, VARIABLES};
use std::collections::BTreeSet;
use std::process::Command;

pub const TESTS: &[Test] = &[
    ("child::it_begins_as_a_shell_s_child_would", scrubbed),
    (
        "child::systemd_s_own_manual_knows_no_other_variable",
        manual,
    ),
];

fn scrubbed() {
    let scratch = Scratch::new("child");
    // A parent that was given everything, that ignores and blocks, and that has descriptors open.
    let mut command = Command::new("bash");
    scratch.put_on(&mut command, "child");
    for (name, _) in VARIABLES {
        if *name != "PATH" {
            command.env(name, "given");
        }
    }
    let output = command
        .args(["-c", r#"trap '' TERM USR1 PIPE; exec 5<. ; exec "$0""#])
        .arg(crate::stage::own())
        .output()
        .expect("a shell");
    assert_eq!(code(output.status), 0, "{output:?}");
    let text = String::from_utf8(output.stdout).expect("our own words");
    let (plain, clean) = text.split_once("CLEAN\n").expect("both children spoke");
    // First the same without: the judge sees what it is about to miss.
    assert!(plain.contains("NOTIFY_SOCKET=given"), "{plain}");
    assert!(plain.contains("fd 5"), "{plain}");
    assert!(!plain.contains("SigIgn:\t0000000000000000"), "{plain}");
    for (name, whom) in VARIABLES.iter().filter(|row| row.0 != "PATH") {
        let given = format!("\n{name}=given\n");
        let is_there = format!("\n{clean}").contains(&given);
        assert_eq!(is_there, *whom == For::Everyone, "{name}: {clean}");
    }
    assert!(clean.contains("\nPATH=/"), "{clean}");
    assert!(clean.contains("SigBlk:\t0000000000000000"), "{clean}");
    assert!(clean.contains("SigIgn:\t0000000000000000"), "{clean}");
    let open: Vec<&str> = clean
        .lines()
        .filter(|line| line.starts_with("fd "))
        .collect();
    assert_eq!(open, ["fd 0", "fd 1", "fd 2"], "{clean}");
}

fn manual() {
    let page = "/usr/share/man/man5/systemd.exec.5.gz";
    let output = Command::new("zcat").arg(page).output().expect("gzip");
    if !output.status.success() {
        return skipped("systemd.exec(5) is not installed");
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let section = text.find("ENVIRONMENT VARIABLES IN SPAWNED PROCESSES");
    let section = &text[section.expect("the section")..];
    // Each is a term of the list: its name with a dollar at the start of a line.
    let terms = section
        .lines()
        .take_while(|line| !line.starts_with(".SH \"PROCESS EXIT"));
    let terms = terms.filter(|line| line.starts_with("\\fI$"));
    let names = terms.flat_map(|line| line.split("\\fI$").skip(1));
    let name = |text: &str| {
        let end = text.find(|byte: char| !(byte.is_ascii_uppercase() || byte == '_'));
        text[..end.unwrap_or(text.len())].to_string()
    };
    let names: BTreeSet<String> = names.map(name).collect();
    assert!(names.len() > 30, "{names:?}");
    let known = |name: &String| VARIABLES.iter().any(|row| row.0 == name);
    let unknown: Vec<&String> = names.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}
