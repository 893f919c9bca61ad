//! The tables say what the system says.

use crate::{Test, has_program, skip};
use eudaemon::needs::Preset;
use eudaemon_core::syscall::{self, Machine};
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

pub const ALL: &[Test] = &[
    ("groups_are_those_of_systemd", groups),
    ("numbers_are_those_of_the_kernel", numbers),
    ("every_preset_is_made_of_words_that_are_known", presets),
];

fn analyze(argument: &str) -> String {
    let output = Command::new("systemd-analyze")
        .args([argument, "--no-pager"])
        .output();
    String::from_utf8(output.expect("it is there").stdout).expect("text")
}

fn groups() {
    if !has_program("systemd-analyze") {
        return skip("groups of system calls: no systemd-analyze");
    }
    let version = analyze("--version");
    if !version.starts_with("systemd 252 ") {
        return skip(&format!(
            "groups of system calls: they are of 252, here is {version}"
        ));
    }
    let text = analyze("syscall-filter");
    let mut theirs: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut group = None;
    for line in text.lines() {
        match line.strip_prefix("    ") {
            None => group = line.starts_with('@').then_some(line),
            Some(call) => {
                if let Some(group) = group.filter(|_| !call.starts_with('#')) {
                    theirs.entry(group).or_default().push(call);
                }
            }
        }
    }
    let known: BTreeSet<&str> = [Machine::X86_64, Machine::Aarch64]
        .into_iter()
        .flat_map(syscall::calls)
        .map(|(name, _)| name)
        .collect();
    for name in syscall::groups() {
        let mut wanted = BTreeSet::new();
        let mut open = vec![name];
        while let Some(name) = open.pop() {
            for word in &theirs[name] {
                if word.starts_with('@') {
                    open.push(word);
                } else if known.contains(word) {
                    wanted.insert(*word);
                }
            }
        }
        assert_eq!(syscall::group(name), Some(wanted), "{name}");
    }
}

fn numbers() {
    let header = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h";
    let Ok(text) = std::fs::read_to_string(header) else {
        return skip("numbers of system calls: no headers of the kernel for x86-64");
    };
    let mut seen = 0;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace().skip(1);
        let name = words.next().and_then(|name| name.strip_prefix("__NR_"));
        if let (Some(name), Some(number)) = (name, words.next()) {
            let Some(ours) = syscall::number(name, Machine::X86_64) else {
                continue;
            };
            assert_eq!(number.parse(), Ok(ours), "{name}");
            seen += 1;
        }
    }
    assert!(seen > 350, "{seen} of them");
}

fn presets() {
    for preset in [Preset::Service, Preset::NetworkServer, Preset::Worker] {
        let allowed = syscall::allowed(preset.system_call_filter()).expect("known");
        for name in ["mount", "ptrace", "bpf", "setuid", "io_uring_setup"] {
            assert!(!allowed.contains(name), "{preset:?} {name}");
        }
        for name in ["openat", "futex", "sendmsg", "clone", "seccomp"] {
            assert!(allowed.contains(name), "{preset:?} {name}");
        }
        assert!(
            preset
                .refused_once_running()
                .iter()
                .all(|name| allowed.contains(name))
        );
    }
}
