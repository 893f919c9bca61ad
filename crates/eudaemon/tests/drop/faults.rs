//! Each call fails once, and each call lies once: it answers 0 and has done nothing. Whoever says `ready` then is what the
//! plan says; everybody else has ended with a reason.

use crate::room::{Room, is_possible, set};
use std::fs;

const CALLS: [&str; 9] = [
    "prctl",
    "chroot",
    "chdir",
    "setgroups",
    "setresgid",
    "setresuid",
    "capset",
    "umask",
    "prlimit64",
];
/// Those only the proof makes, and wants to fail.
const TRIES: [&str; 2] = ["setuid", "setgid"];

/// A call of the drop: which one of its name, and the line of the trace.
struct Traced {
    call: &'static str,
    when: usize,
    line: String,
}

/// Every call from the first step to the last try, as strace tells it.
fn traced(room: &Room, options: &str) -> Vec<Traced> {
    let log = room.path("trace");
    let names = [CALLS.as_slice(), &TRIES].concat().join(",");
    let before = format!("setpriv --groups 0,4 strace -o {log} -e trace={names}");
    let ended = room.run(&before, options);
    assert!(ended.is_ready, "{ended:?}");
    let text = fs::read_to_string(log).expect("strace wrote it");
    let mut seen: Vec<Traced> = Vec::new();
    for line in text.lines() {
        let Some(&call) = CALLS
            .iter()
            .chain(&TRIES)
            .find(|call| line.starts_with(&format!("{call}(")))
        else {
            continue;
        };
        let when = 1 + seen.iter().filter(|traced| traced.call == call).count();
        seen.push(Traced {
            call,
            when,
            line: line.to_string(),
        });
    }
    // What else prctl is for: names, and what glibc's switch asks while it looks accounts up.
    let others = ["PR_SET_NAME", "PR_SET_VMA", "PR_CAPBSET_READ"];
    seen.retain(|traced| {
        let is_other = others.iter().any(|other| traced.line.contains(other));
        // A limit is set where one stands between braces; everywhere else it is asked.
        let is_asked = traced.call == "prlimit64" && !traced.line.contains("RLIMIT_NPROC, {");
        !is_other && !is_asked
    });
    seen
}

/// What the kernel refuses anyway: the tries of the proof, behind the last step.
fn is_try(traced: &Traced) -> bool {
    traced.line.contains("= -1 EPERM")
}

fn options(room: &Room) -> String {
    let root = room.path("root");
    format!(
        "--user web --chroot {root} --keep net_raw --ambient net_bind_service --dumpable true --umask 027 --processes 900"
    )
}

#[test]
fn the_order_is_the_law() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let words = [
        "umask(",
        "PR_CAPBSET_DROP",
        "chroot(",
        "chdir(\"/\")",
        "setgroups(",
        "setresgid(",
        "PR_SET_KEEPCAPS, 1",
        "setresuid(",
        "capset(",
        "PR_SET_KEEPCAPS, 0",
        "PR_CAP_AMBIENT_CLEAR_ALL",
        "PR_CAP_AMBIENT_RAISE",
        "PR_SET_SECUREBITS",
        "capset(",
        "PR_SET_NO_NEW_PRIVS",
        "PR_SET_DUMPABLE",
        "setuid(0)",
        "setgid(0)",
        "setgroups(",
        "capset(",
    ];
    let mut calls = traced(&room, &options(&room)).into_iter();
    for word in words {
        assert!(
            calls.any(|traced| traced.line.contains(word)),
            "no {word} in its place"
        );
    }
}

#[test]
fn a_call_that_fails_ends_it_with_its_name() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let options = options(&room);
    let calls = traced(&room, &options);
    let mut failed = 0;
    // umask cannot fail; what the proof tries must.
    for traced in calls
        .iter()
        .filter(|one| one.call != "umask" && !is_try(one))
    {
        if is_one_of_many(traced) {
            continue;
        }
        let Traced { call, when, line } = traced;
        let inject = format!(
            "setpriv --groups 0,4 strace -o /dev/null -e inject={call}:error=EPERM:when={when}"
        );
        let ended = room.run(&inject, &options);
        assert!(!ended.is_ready, "{line}: {ended:?}");
        assert!(!ended.said.contains("\nthread"), "{line}: {ended:?}");
        assert_eq!(ended.errors.lines().count(), 1, "{line}: {ended:?}");
        let is_question = line.contains("PR_GET_");
        if is_question {
            assert!(matches!(ended.code, Some(71 | 77)), "{line}: {ended:?}");
        } else {
            assert_eq!(ended.code, Some(77), "{line}: {ended:?}");
            let step = step_words(line);
            assert!(ended.errors.contains(step), "{line}, {step}: {ended:?}");
        }
        failed += 1;
    }
    assert!(failed >= 15, "{failed}");
}

/// Forty capabilities are dropped the same way: some of them are enough.
fn is_one_of_many(traced: &Traced) -> bool {
    traced.line.contains("PR_CAPBSET_DROP") && !traced.when.is_multiple_of(13)
}

fn step_words(line: &str) -> &'static str {
    for (call, words) in [
        ("prlimit64", "set the limit Processes to 900"),
        ("PR_CAPBSET_DROP", "from the bounding set"),
        ("chroot(", "change root to"),
        ("chdir(", "change directory to the new root"),
        ("setgroups(", "set the supplementary groups"),
        ("setresgid(", "set the group to 3001"),
        ("PR_SET_KEEPCAPS, 1", "keep capabilities across"),
        ("setresuid(", "set the user to 3001"),
        ("PR_SET_KEEPCAPS, 0", "end keeping capabilities"),
        ("capset(", "unable to give up"),
        ("PR_CAP_AMBIENT", "set the ambient capabilities"),
        ("PR_SET_SECUREBITS", "lock the securebits"),
        ("PR_SET_NO_NEW_PRIVS", "forbid new privileges"),
        ("PR_SET_DUMPABLE", "make the process dumpable"),
    ] {
        if line.contains(call) {
            return words;
        }
    }
    panic!("a call that is no step: {line}")
}

#[test]
fn a_call_that_lies_is_found_out() {
    if !is_possible() {
        return;
    }
    let room = Room::new();
    let options = options(&room);
    let (mut caught, mut harmless) = (0, Vec::new());
    for traced in traced(&room, &options) {
        // What is asked of the kernel is believed: a lie there is a lie about the question, not a step left out.
        let is_question = traced.line.contains("PR_GET_");
        if is_question || is_one_of_many(&traced) {
            continue;
        }
        let Traced { call, when, line } = &traced;
        let inject = format!(
            "setpriv --groups 0,4 strace -o /dev/null -e inject={call}:retval=0:when={when}"
        );
        let running = room.start(&inject, &options);
        if running.is_ready {
            // The lie made no difference: all is as planned.
            running.all_threads_have(&[
                ("Uid", "3001"),
                ("Gid", "3001"),
                ("Groups", "3001 3010 3011"),
                ("CapInh", &set(1 << 10)),
                ("CapPrm", &set(1 << 10 | 1 << 13)),
                ("CapEff", &set(1 << 10 | 1 << 13)),
                ("CapBnd", &set(1 << 10 | 1 << 13)),
                ("CapAmb", &set(1 << 10)),
                ("NoNewPrivs", "1"),
                ("Umask", "0027"),
            ]);
            assert_eq!(
                running.link("root"),
                std::path::PathBuf::from(room.path("root"))
            );
            assert_eq!(
                running.link("cwd"),
                std::path::PathBuf::from(room.path("root"))
            );
            assert_eq!(running.proc_owner(), 3001);
            harmless.push(line.clone());
            running.end();
            continue;
        }
        let ended = running.end();
        assert_eq!(ended.code, Some(77), "{line}: {ended:?}");
        assert_eq!(ended.errors.lines().count(), 1, "{line}: {ended:?}");
        if *call == "chroot" {
            let words = "the root is not the planned directory";
            assert!(ended.errors.contains(words), "{line}: {ended:?}");
        }
        caught += 1;
    }
    assert!(caught >= 14, "{caught}");
    // The bit that is cleared twice, and an ambient set that was empty before.
    let known = |line: &String| {
        line.contains("PR_SET_KEEPCAPS, 0") || line.contains("PR_CAP_AMBIENT_CLEAR_ALL")
    };
    assert!(harmless.iter().all(known), "{harmless:#?}");
}
