//! What /proc says about processes (proc(5)), and how those we started are ended.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// A process as /proc/PID/stat shows it.
#[derive(Clone, Debug)]
pub struct Process {
    /// Its pid.
    pub pid: i32,
    /// Its parent's.
    pub parent: i32,
    /// Its name, at most 15 bytes.
    pub comm: String,
    /// Whether it is dead and not yet waited for.
    pub zombie: bool,
}

/// One process; `None` when it has gone.
pub fn look(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // A name may hold blanks and parentheses: it ends at the last one.
    let (before, after) = stat.rsplit_once(')')?;
    let comm = before.split_once('(')?.1.to_owned();
    let mut fields = after.split_whitespace();
    let zombie = matches!(fields.next()?, "Z" | "X");
    Some(Process {
        pid,
        parent: fields.next()?.parse().ok()?,
        comm,
        zombie,
    })
}

/// Whether `pid` lives, a zombie not counted.
pub fn lives(pid: i32) -> bool {
    look(pid).is_some_and(|process| !process.zombie)
}

/// All below us, orphans too: we are their subreaper. Zombies not counted.
pub fn descendants() -> Vec<Process> {
    let mut children: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(process) = look(pid) {
            children.entry(process.parent).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![rustix::process::getpid().as_raw_nonzero().get()];
    while let Some(parent) = open.pop() {
        for process in children.remove(&parent).unwrap_or_default() {
            open.push(process.pid);
            if !process.zombie {
                found.push(process);
            }
        }
    }
    found
}

/// Sends a signal. A process that has gone in the meantime is no error.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Takes the statuses of the dead, ours and adopted.
pub fn reap() {
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
}

/// A field of a `NAME: NUMBER` file; 0 when the process or the field has gone.
fn field(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Proportional set size, in KiB: memory shared by n processes counts 1/n for each.
pub fn pss_kib(pid: i32) -> u64 {
    field(&format!("/proc/{pid}/smaps_rollup"), "Pss")
}

/// Page tables, in KiB.
pub fn page_tables_kib(pid: i32) -> u64 {
    field(&format!("/proc/{pid}/status"), "VmPTE")
}

/// Times any thread of a process gave up or lost the processor.
pub fn switches(pid: i32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten();
    tasks
        .filter_map(|task| {
            task.file_name()
                .to_str()
                .map(|tid| format!("/proc/{pid}/task/{tid}/status"))
        })
        .map(|status| {
            field(&status, "voluntary_ctxt_switches") + field(&status, "nonvoluntary_ctxt_switches")
        })
        .sum()
}

/// What the kernel keeps for processes, in KiB: stacks, page tables, and slabs it cannot give back. Of the whole machine.
pub fn kernel_kib() -> u64 {
    ["KernelStack", "PageTables", "SUnreclaim"]
        .iter()
        .map(|name| field("/proc/meminfo", name))
        .sum()
}

/// How busy the machine is, as /proc/loadavg says it: a reader may then doubt a figure.
pub fn load() -> String {
    let told = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// The pids below us that are no service's.
pub fn supervisors(services: &BTreeSet<i32>) -> Vec<i32> {
    descendants()
        .into_iter()
        .map(|process| process.pid)
        .filter(|pid| !services.contains(pid))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn we_live_and_have_a_parent() {
        let us = i32::try_from(std::process::id()).unwrap();
        let process = look(us).unwrap();
        assert!(process.parent > 0 && !process.zombie && process.comm.starts_with("xtask"));
        assert!(lives(us) && pss_kib(us) > 0 && page_tables_kib(us) > 0 && kernel_kib() > 0);
        assert!(look(0).is_none());
    }
}
