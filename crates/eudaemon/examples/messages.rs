//! What a message to the manager costs, beside a bare `send(2)` of the same bytes on a connected datagram socket.
//!
//! Prints nanoseconds for one message: `bare READY=1`, `ready`, `bare WATCHDOG=1`, `watchdog`; medians of the batches that fit
//! into a receiver's queue. `cargo xtask bench --only messages` reads this.

use eudaemon::notify::{Notify, Sent};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::time::Instant;

/// Messages in a batch: less than the ten a queue has room for by default. Source: `unix(7)`; `net.unix.max_dgram_qlen`.
const BATCH: u32 = 8;
const ROUNDS: usize = 20_000;

fn main() -> eudaemon::Result<()> {
    let folder = std::env::temp_dir().join(format!("eudaemon-messages-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let told = measure(&folder.join("notify"));
    std::fs::remove_dir_all(&folder)?;
    for (name, nanos) in told? {
        println!("{name}\t{nanos:.1}");
    }
    Ok(())
}

fn measure(path: &std::path::Path) -> eudaemon::Result<Vec<(&'static str, f64)>> {
    let reader = UnixDatagram::bind(path)?;
    let bare = UnixDatagram::unbound()?;
    bare.connect(path)?;
    let notify = Notify::to(path.as_os_str().as_bytes())?;
    type Send<'a> = Box<dyn Fn() -> bool + 'a>;
    let said = |sent: std::io::Result<Sent>| matches!(sent, Ok(Sent::Sent));
    let ways: [(&str, Send<'_>); 4] = [
        ("bare READY=1", Box::new(|| bare.send(b"READY=1").is_ok())),
        ("ready", Box::new(|| said(notify.ready()))),
        (
            "bare WATCHDOG=1",
            Box::new(|| bare.send(b"WATCHDOG=1").is_ok()),
        ),
        ("watchdog", Box::new(|| said(notify.watchdog()))),
    ];
    let mut batches = [const { Vec::new() }; 4];
    for round in 0..ROUNDS {
        // Each round in another order.
        for at in 0..ways.len() {
            let which = (at + round) % ways.len();
            let begun = Instant::now();
            for _ in 0..BATCH {
                assert!(ways[which].1(), "the reader is there");
            }
            batches[which].push(begun.elapsed());
            let mut bytes = [0; 64];
            for _ in 0..BATCH {
                reader.recv(&mut bytes)?;
            }
        }
    }
    let median = |mut list: Vec<std::time::Duration>| {
        list.sort_unstable();
        list[list.len() / 2].as_secs_f64() * 1e9 / f64::from(BATCH)
    };
    let names = ways.iter().map(|(name, _)| *name);
    Ok(names.zip(batches.map(median)).collect())
}
