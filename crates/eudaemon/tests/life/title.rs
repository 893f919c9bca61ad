//! What `ps` shows. T7, library §7.16.

use crate::Test;
use crate::stage::{Scratch, Started, runs, skipped, until};
use std::process::{Command, Stdio};

pub const TESTS: &[Test] = &[
    ("title::ps_shows_it_whole_and_the_environment_stays", shown),
    ("title::until_it_is_set_ps_shows_the_words", taken),
    ("title::after_a_drop_of_privileges", dropped),
    ("title::without_the_kernel_s_help_it_is_cut", cut),
];

fn ps(pid: u32, column: &str) -> String {
    let output = Command::new("ps")
        .args(["-ww", "-o", &format!("{column}="), "-p", &pid.to_string()])
        .output()
        .expect("procps");
    let text = String::from_utf8(output.stdout).expect("our own words");
    text.trim_end_matches('\n').to_string()
}

/// Starts the role, which has a title of that length when this returns.
fn with_title(
    scratch: &Scratch,
    kind: &str,
    length: &str,
    uid: Option<u32>,
) -> (Started, u32, String) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&scratch.0, PermissionsExt::from_mode(0o777)).expect("our own");
    let mut command = scratch.program("title");
    command.args([kind, length]).env("KEEP", "kept");
    if let Some(uid) = uid {
        command.env("DROP", uid.to_string());
    }
    let child = command.stdout(Stdio::null()).spawn();
    let child = Started(child.expect("it is ours"));
    let notes = scratch.notes();
    assert_eq!(notes.get("keep"), "kept");
    assert_eq!(notes.get("word"), length);
    let pid = child.0.id();
    (child, pid, notes.get("title").to_string())
}

fn shown() {
    // Shorter and longer than the words were, and as long as the kernel shows, and longer.
    for length in ["5", "300", "4000", "4094", "9000"] {
        let scratch = Scratch::new("title");
        let (_started, pid, title) = with_title(&scratch, "page", length, None);
        let expected = &title[..title.len().min(4094)];
        assert_eq!(ps(pid, "args"), expected, "{length}");
        // The kernel gives nothing behind it, which would be blanks in a list.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).expect("our own");
        assert_eq!(line, [expected.as_bytes(), b"\0"].concat());
        assert!(ps(pid, "comm").starts_with("life-"));
        let environment = std::fs::read(format!("/proc/{pid}/environ")).expect("our own");
        let mut pairs = environment.split(|&byte| byte == 0);
        assert!(pairs.any(|pair| pair == b"KEEP=kept"));
        assert!(runs(pid));
    }
}

/// A service that says nothing of itself is told from others by its words.
fn taken() {
    let scratch = Scratch::new("title");
    let mut command = scratch.program("title");
    command.args(["taken", "--of=many"]).stdout(Stdio::null());
    let mut child = Started(command.spawn().expect("it is ours"));
    assert!(child.0.wait().expect("our own").success());
    let notes = scratch.notes();
    assert!(notes.get("before").contains("taken --of=many"));
    assert_eq!(notes.get("after"), notes.get("before"));
}

fn dropped() {
    if eudaemon_sys::process::effective_uid() != 0 {
        return skipped("only root can give up root");
    }
    for kind in ["page", "words"] {
        let scratch = Scratch::new("title");
        let (_started, pid, title) = with_title(&scratch, kind, "12", Some(65534));
        assert_eq!(ps(pid, "uid").trim(), "65534");
        assert_eq!(ps(pid, "args"), title, "{kind}");
    }
    // And one that has never had a privilege.
    let scratch = Scratch::new("title");
    let (_started, pid, title) = with_title(&scratch, "late", "200", Some(65534));
    assert_eq!(ps(pid, "args"), title);
}

fn cut() {
    let scratch = Scratch::new("title");
    let words: usize = {
        let path = crate::stage::own();
        let path = path.as_os_str().len();
        [path, "words".len(), "3000".len()]
            .iter()
            .map(|word| word + 1)
            .sum()
    };
    let (_started, pid, title) = with_title(&scratch, "words", "3000", None);
    let shown = until("ps", || Some(ps(pid, "args")));
    assert_eq!(shown, &title[..words - 2]);
    let scratch = Scratch::new("title");
    let (_started, pid, title) = with_title(&scratch, "words", "5", None);
    assert_eq!(ps(pid, "args"), title);
}
