//! System calls by name, systemd's groups of them, and what the words of a `SystemCallFilter=` come to.
//!
//! One vocabulary with two readers: the filter a process puts on itself, and the unit that is written for it.

mod groups;
mod numbers;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use groups::GROUPS;
use numbers::NUMBERS;

/// Whose numbers are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit x86; not x32, and not the 32-bit calls.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Machine {
    /// The machine this is compiled for; `None` if its numbers are not known here.
    #[must_use]
    pub const fn of_this_build() -> Option<Machine> {
        if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
            Some(Machine::X86_64)
        } else if cfg!(all(target_arch = "aarch64", target_pointer_width = "64")) {
            Some(Machine::Aarch64)
        } else {
            None
        }
    }
}

/// Every call the tables know on this machine, by name.
pub fn calls(machine: Machine) -> impl Iterator<Item = (&'static str, u16)> {
    NUMBERS.iter().filter_map(move |&(name, x86, arm)| {
        let number = match machine {
            Machine::X86_64 => x86,
            Machine::Aarch64 => arm,
        };
        (number != numbers::NONE).then_some((name, number))
    })
}

/// The number of a call; `None` if there is no such call, or not on this machine.
#[must_use]
pub fn number(name: &str, machine: Machine) -> Option<u16> {
    let at = NUMBERS.binary_search_by_key(&name, |row| row.0).ok()?;
    let (_, x86, arm) = NUMBERS[at];
    let number = match machine {
        Machine::X86_64 => x86,
        Machine::Aarch64 => arm,
    };
    (number != numbers::NONE).then_some(number)
}

/// The calls of one of systemd's groups, groups within it resolved. `name` begins with `@`.
///
/// Only the groups a preset is made of are known; `None` is any other.
#[must_use]
pub fn group(name: &str) -> Option<BTreeSet<&'static str>> {
    let mut calls = BTreeSet::new();
    let mut open: Vec<&str> = Vec::from([name]);
    while let Some(name) = open.pop() {
        let at = GROUPS.binary_search_by_key(&name, |row| row.0).ok()?;
        for word in GROUPS[at].1.split_ascii_whitespace() {
            if word.starts_with('@') {
                open.push(word);
            } else {
                calls.insert(word);
            }
        }
    }
    Some(calls)
}

/// The names of the groups that are known.
pub fn groups() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().map(|row| row.0)
}

/// What the lines of a `SystemCallFilter=` allow. The first says whether it is a list of what is allowed; `~` takes away.
///
/// Only lists that begin with what is allowed are understood; they have `@default`, without which no program starts. Source: `systemd.exec(5)`,
/// "SystemCallFilter=".
///
/// # Errors
/// The word that is not known.
pub fn allowed<'a>(lines: &[&'a str]) -> Result<BTreeSet<&'static str>, &'a str> {
    let mut allowed = group("@default").unwrap_or_default();
    for (at, line) in lines.iter().enumerate() {
        let (takes, words) = match line.strip_prefix('~') {
            Some(_) if at == 0 => return Err(line),
            Some(words) => (true, words),
            None => (false, *line),
        };
        for word in words.split_ascii_whitespace() {
            let named = if word.starts_with('@') {
                group(word).ok_or(word)?
            } else {
                let at = NUMBERS.binary_search_by_key(&word, |row| row.0);
                BTreeSet::from([NUMBERS[at.map_err(|_| word)?].0])
            };
            if takes {
                allowed.retain(|call| !named.contains(call));
            } else {
                allowed.extend(named);
            }
        }
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_sorted_and_every_word_has_a_meaning() {
        assert!(NUMBERS.is_sorted_by(|a, b| a.0 < b.0));
        assert!(GROUPS.is_sorted_by(|a, b| a.0 < b.0));
        for name in groups() {
            for call in group(name).expect(name) {
                let known = |machine| number(call, machine).is_some();
                assert!(
                    known(Machine::X86_64) || known(Machine::Aarch64),
                    "{name} {call}"
                );
            }
        }
        for machine in [Machine::X86_64, Machine::Aarch64] {
            let numbers: BTreeSet<u16> = calls(machine).map(|(_, number)| number).collect();
            assert_eq!(numbers.len(), calls(machine).count(), "a number is twice");
        }
    }

    #[test]
    fn a_line_adds_or_takes_away() {
        let of = |lines: &[&'static str]| allowed(lines);
        let service = of(&["@system-service"]).expect("known");
        assert!(service.contains("openat") && service.contains("fchown"));
        assert!(!service.contains("mount") && !service.contains("ptrace"));
        let less = of(&["@system-service", "~@privileged sync", "chown"]).expect("known");
        assert!(less.contains("chown") && less.contains("openat"));
        assert!(!less.contains("fchown") && !less.contains("sync"));
        assert!(of(&["read"]).expect("known").contains("execve"));
        assert!(!of(&["read", "~execve"]).expect("known").contains("execve"));
        assert_eq!(of(&["~@privileged"]), Err("~@privileged"));
        assert_eq!(of(&["@nothing"]), Err("@nothing"));
        assert_eq!(of(&["read nothing"]), Err("nothing"));
    }
}
