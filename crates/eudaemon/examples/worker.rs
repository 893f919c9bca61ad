//! A service without a network: it works through a directory, is started and stopped, and shows that it lives.
//!
//! `worker SPOOL`: each file in the directory is "done" by being removed.

use eudaemon::{Builder, Handle, Result, Runnable, ServiceArgs};
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[derive(clap::Parser)]
struct Cli {
    /// Where the work is.
    spool: PathBuf,
    #[command(flatten)]
    service: ServiceArgs,
}

struct Worker {
    spool: PathBuf,
    thread: Option<JoinHandle<()>>,
}

impl Runnable for Worker {
    fn start(&mut self, cx: &Handle) -> Result<()> {
        let spool = self.spool.clone();
        // Its error, or its panic, ends the service.
        self.thread = Some(cx.spawn("work", move |cx| work(&spool, &cx))?);
        Ok(())
    }

    fn stop(&mut self, _deadline: Instant) -> Result<()> {
        if let Some(thread) = self.thread.take() {
            // How it ended was told already.
            let _ = thread.join();
        }
        Ok(())
    }
}

fn work(spool: &std::path::Path, cx: &Handle) -> Result<()> {
    let lease = cx.health().lease("work", Duration::from_secs(10));
    let mut done = 0;
    while !cx.stop().wait_timeout(Duration::from_secs(1)) {
        lease.beat();
        for file in std::fs::read_dir(spool)? {
            std::fs::remove_file(file?.path())?;
            done += 1;
        }
        cx.status(format_args!("{done} done"));
    }
    Ok(())
}

fn main() -> ExitCode {
    let cli: Cli = match ServiceArgs::parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    Builder::new("worker").args(cli.service).start(|_cx| {
        Ok(Worker {
            spool: cli.spool,
            thread: None,
        })
    })
}
