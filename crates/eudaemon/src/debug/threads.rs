//! The threads of this process. Source: `proc_pid_task(5)`, `proc_pid_stat(5)`, `proc_pid_wchan(5)`, `proc_pid_syscall(5)`.

use std::fmt::Write;
use std::io;

/// A table of them: id, name, state, processor time in seconds, the processor it was on, where in the kernel it waits, the
/// number of its system call. What the kernel does not tell is `-`.
pub(super) fn table() -> io::Result<String> {
    let mut ids = Vec::new();
    for entry in std::fs::read_dir("/proc/self/task")? {
        let id = entry?.file_name();
        ids.extend(id.to_str().and_then(|id| id.parse::<u32>().ok()));
    }
    ids.sort_unstable();
    let ticks = eudaemon_sys::clock::ticks_per_second().max(1) as f64;
    let mut out = String::from("TID NAME STATE CPU-SECONDS ON-CPU WCHAN SYSCALL\n");
    for id in ids {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/self/task/{id}/{name}"));
        // One that ended since is not told.
        let Ok(stat) = read("stat") else {
            continue;
        };
        let Some((before, rest)) = stat.rsplit_once(')') else {
            continue;
        };
        let name = before.split_once('(').map_or("-", |(_, name)| name);
        let columns: Vec<&str> = rest.split_ascii_whitespace().collect();
        // The manual counts from 1, and the state is the third.
        let column = |number: usize| columns.get(number - 3).copied().unwrap_or("-");
        let time = |number| column(number).parse::<f64>().unwrap_or(0.0) / ticks;
        let wchan = read("wchan").unwrap_or_default();
        let wchan = match wchan.trim() {
            "" | "0" => "-",
            name => name,
        };
        let call = read("syscall").unwrap_or_default();
        let call = call.split_ascii_whitespace().next().unwrap_or("-");
        let _ = writeln!(
            out,
            "{id} {} {} {:.2} {} {wchan} {call}",
            name.replace(char::is_whitespace, "_"),
            column(3),
            time(14) + time(15),
            column(39),
        );
    }
    Ok(out)
}
