//! What the system tells of this process, under the names every client library uses. Source: Prometheus, "Writing client
//! libraries", "Process metrics".

use eudaemon_core::limits::Resource;
use eudaemon_core::openmetrics::{Kind, Writer};

/// Appends what can be read. `/proc/self/stat` stays readable for a process that changed its user and is not dumpable.
pub(super) fn tell(to: &mut Writer) {
    let cpu = eudaemon_sys::clock::process_cpu().as_secs_f64();
    let seconds = Some("seconds");
    let help = "Processor time used, in the kernel and out of it.";
    to.family("process_cpu_seconds", Kind::Counter, seconds, help);
    to.counter([], cpu);

    let mut gauge = |name, unit, help, value: Option<f64>| {
        if let Some(value) = value {
            to.family(name, Kind::Gauge, unit, help);
            to.gauge([], value);
        }
    };
    let limit = eudaemon_sys::limits::get(Resource::OpenFiles);
    let open = std::fs::read_dir("/proc/self/fd");
    // The listing has one open itself.
    let open = open.map(|names| names.count().saturating_sub(1));
    gauge(
        "process_open_fds",
        None,
        "Open file descriptors.",
        open.ok().map(|count| count as f64),
    );
    gauge(
        "process_max_fds",
        None,
        "Most file descriptors that may be open.",
        limit.ok().map(|limit| limit.soft as f64),
    );
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    let stat = stat.as_deref().and_then(Stat::read);
    gauge(
        "process_threads",
        None,
        "Threads.",
        stat.map(|stat| stat.threads),
    );
    gauge(
        "process_virtual_memory_bytes",
        Some("bytes"),
        "Size of the address space.",
        stat.map(|stat| stat.virtual_bytes),
    );
    gauge(
        "process_resident_memory_bytes",
        Some("bytes"),
        "Memory in use that is not swapped out.",
        stat.map(|stat| stat.resident_pages * eudaemon_sys::clock::page_size() as f64),
    );
    gauge(
        "process_start_time_seconds",
        seconds,
        "When the process started, in seconds since 1970.",
        stat.and_then(|stat| {
            let ticks = eudaemon_sys::clock::ticks_per_second() as f64;
            let now = eudaemon_sys::clock::wall().0 as f64 / 1e9;
            let up = eudaemon_sys::clock::since_boot().as_secs_f64();
            (ticks > 0.0).then(|| now - up + stat.start_ticks / ticks)
        }),
    );
}

/// Columns of `/proc/self/stat`. Source: `proc_pid_stat(5)`, which counts them from 1.
#[derive(Clone, Copy)]
struct Stat {
    threads: f64,
    start_ticks: f64,
    virtual_bytes: f64,
    resident_pages: f64,
}

impl Stat {
    fn read(text: &str) -> Option<Stat> {
        // The name of the program is in parentheses and may hold any character; the third column comes behind the last one.
        let (_, rest) = text.rsplit_once(')')?;
        let columns: Vec<&str> = rest.split_ascii_whitespace().collect();
        let column = |number: usize| columns.get(number - 3)?.parse().ok();
        Some(Stat {
            threads: column(20)?,
            start_ticks: column(22)?,
            virtual_bytes: column(23)?,
            resident_pages: column(24)?,
        })
    }
}
