//! Kernels that lack something. strace makes this one say so.

use crate::{EACCES, OK, Scratch, Test, Told, has_program, own_path, run, skip, tell};
use std::process::Command;

pub const ALL: &[Test] = &[
    ("a_kernel_without_landlock", landlock),
    ("a_kernel_with_an_old_landlock", old_landlock),
    ("a_kernel_without_seccomp", seccomp),
    ("a_path_that_is_not_there", path),
];

/// The child, whose kernel answers one call otherwise; `None` if there is no strace.
fn lacking(call: &str, answer: &str, words: &[&str]) -> Option<Told> {
    if !has_program("strace") {
        skip("a kernel that lacks something: no strace");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e"]);
    command.arg(format!("inject={call}:{answer}"));
    command.arg(own_path()).arg("inside").args(words);
    Some(run(&mut command))
}

fn landlock() {
    let scratch = Scratch::new("landlock");
    let word = format!("read={}", scratch.file("secret", "x"));
    for (error, words) in [
        ("ENOSYS", "not implemented"),
        ("EOPNOTSUPP", "not supported"),
    ] {
        let Some(told) = lacking(
            "landlock_create_ruleset",
            &format!("error={error}"),
            &["server", "--", &word],
        ) else {
            return;
        };
        assert_eq!(told.code, Some(111), "{}", told.out);
        let refusal = told.line("refused");
        assert!(
            refusal.contains("files: ") && refusal.contains("TCP ports: "),
            "{refusal}"
        );
        assert!(refusal.to_lowercase().contains(words), "{refusal}");
        // The rest holds, and the report says what does not.
        let words = ["best-effort", "server", "--", &word, "mount"];
        let told = lacking("landlock_create_ruleset", &format!("error={error}"), &words)
            .expect("as before");
        told.is(&word, OK);
        told.is("mount", "1 ");
        let line = told.out.lines().find(|line| line.starts_with("files "));
        assert!(
            line.is_some_and(|line| line.contains("missing: ")),
            "{}",
            told.out
        );
    }
    // What is required is asked for before anything is given up.
    let words = ["server", "go-on", "--", "io-uring"];
    let told = lacking("landlock_create_ruleset", "error=ENOSYS", &words).expect("as before");
    told.is("io-uring", "14 ");
    // A kernel that takes it back when it is to be in force.
    let told = lacking(
        "landlock_restrict_self",
        "error=E2BIG",
        &["server", "--", &word],
    )
    .expect("as before");
    assert!(
        told.line("refused").contains("16 Landlock domains"),
        "{}",
        told.out
    );
}

fn old_landlock() {
    let scratch = Scratch::new("old-landlock");
    let own = scratch.dir("own");
    let secret = scratch.file("secret", "x");
    let (write, read) = (format!("write={own}"), format!("read={secret}"));
    let new = format!("write={own}/new");
    let mine = ["server", "bind=1", &write, "--", &read, &new];
    // Both of us ask for the version first; the ruleset then is one of that version.
    let lacking = |words: &[&str]| lacking("landlock_create_ruleset", "retval=2:when=1..2", words);
    let Some(told) = lacking(&mine) else {
        return;
    };
    let refusal = told.line("refused");
    for part in [
        "truncation of files: it needs version 3 of Landlock's interface, this kernel has 2",
        "TCP ports: it needs version 4",
        "commands to devices: it needs version 5",
        "signals to others: it needs version 6",
    ] {
        assert!(refusal.contains(part), "{refusal}");
    }
    let told = lacking(&[&["best-effort"][..], &mine[..]].concat()).expect("as before");
    told.is(&read, EACCES);
    told.is(&new, OK);
    let line = told.out.lines().find(|line| line.starts_with("files "));
    assert!(
        line.is_some_and(|line| line.ends_with(" enforced")),
        "{}",
        told.out
    );
}

fn seccomp() {
    for error in ["ENOSYS", "EINVAL"] {
        let Some(told) = lacking(
            "seccomp",
            &format!("error={error}"),
            &["server", "--", "io-uring"],
        ) else {
            return;
        };
        assert!(
            told.line("refused").contains("system calls: "),
            "{}",
            told.out
        );
        let words = [
            "best-effort",
            "server",
            "--",
            "read=/etc/passwd",
            "io-uring",
        ];
        let told = lacking("seccomp", &format!("error={error}"), &words).expect("as before");
        told.is("read=/etc/passwd", "13 ");
        told.is("io-uring", "14 ");
    }
}

fn path() {
    let told = tell(&["read=/nowhere/at/all", "server"]);
    assert!(
        told.line("refused").contains("/nowhere/at/all"),
        "{}",
        told.out
    );
    assert!(
        told.line("refused").contains("No such file"),
        "{}",
        told.out
    );
    let told = tell(&[
        "best-effort",
        "read=/nowhere/at/all",
        "server",
        "--",
        "read=/etc/passwd",
    ]);
    assert!(told.out.contains("path /nowhere/at/all"), "{}", told.out);
    told.is("read=/etc/passwd", "13 ");
    let told = tell(&["read=etc", "server"]);
    assert!(
        told.line("refused").contains("etc is not absolute"),
        "{}",
        told.out
    );
}
