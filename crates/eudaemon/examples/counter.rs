//! Two sockets and a number that outlive the process: over a reload, a replacement, and a restart by systemd.
//!
//! Whoever connects is told how many have, and by which process. `--web` is a file with an address.

use eudaemon::sockets::{Bound, Sockets};
use eudaemon::{Context, Error, Event, Handle, Init, Manifest, Result, Running, Service};
use std::io::{PipeWriter, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

#[derive(clap::Args)]
struct Words {
    /// The file with the address of the one socket, as `tcp:127.0.0.1:8080`.
    #[arg(long)]
    web: PathBuf,
    /// The address of the other.
    #[arg(long, default_value = "unix:/run/counter.sock")]
    admin: String,
}

struct Doors {
    web: Bound<TcpListener>,
    admin: Bound<UnixListener>,
}

/// Those that were handed over, by whomever; what is not among them is bound.
fn open(words: &Words, sockets: &Sockets) -> Result<Doors> {
    let address = std::fs::read_to_string(&words.web)
        .during(|| format!("unable to read {}", words.web.display()))?;
    Ok(Doors {
        web: sockets.get("web").or_bind(address.trim()).tcp_listener()?,
        admin: sockets.get("admin").or_bind(&words.admin).unix_listener()?,
    })
}

/// Two threads that accept. They end, and close their sockets, when this is dropped.
struct Serving {
    end: Option<PipeWriter>,
    threads: Vec<JoinHandle<()>>,
}

fn serve(doors: Doors, handle: &Handle, count: &Arc<AtomicU64>) -> Result<Serving> {
    let answer = |client: &mut dyn Write, count: &AtomicU64| {
        let next = count.fetch_add(1, Ordering::Relaxed) + 1;
        // A client that is gone is no concern of ours.
        let _ = writeln!(client, "{next} {}", std::process::id());
    };
    let (ends, end) = std::io::pipe()?;
    let Doors { web, admin } = doors;
    let (its, its_count) = (ends.try_clone()?, Arc::clone(count));
    let web = handle.spawn("web", move |cx| {
        cx.serve_until(&web, &its, |mut client, _| answer(&mut client, &its_count))
    })?;
    let its_count = Arc::clone(count);
    let admin = handle.spawn("admin", move |cx| {
        cx.serve_until(&admin, &ends, |mut client, _| {
            answer(&mut client, &its_count)
        })
    })?;
    Ok(Serving {
        end: Some(end),
        threads: vec![web, admin],
    })
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end = None;
        for thread in self.threads.drain(..) {
            // How it ended has been told.
            let _ = thread.join();
        }
    }
}

struct Counter {
    words: Words,
    doors: Doors,
    count: u64,
}

impl Service for Counter {
    type Config = Words;
    const NAME: &'static str = "counter";

    fn manifest() -> Manifest {
        Manifest::new(Self::NAME).reloading().replacing().storing()
    }

    fn init(words: Words, cx: &mut Init<'_>) -> Result<Counter> {
        // From the process whose place this one takes, or from the one before a restart.
        let known = match cx.handover() {
            Some(handover) => handover.state().map(<[u8]>::to_vec),
            None => cx.fdstore().state("count")?,
        };
        let count = match known {
            Some(known) => String::from_utf8_lossy(&known)
                .parse()
                .map_err(|_| Error::config("the count that was kept is no number"))?,
            None => 0,
        };
        Ok(Counter {
            doors: open(&words, cx.sockets())?,
            words,
            count,
        })
    }

    fn run(self, mut cx: Running) -> Result<()> {
        let count = Arc::new(AtomicU64::new(self.count));
        let known = Arc::clone(&count);
        cx.on_replace(move || Ok(known.load(Ordering::Relaxed).to_string().into()));
        let mut serving = serve(self.doors, &cx, &count)?;
        cx.ready();
        while let Event::Reload(reload) = cx.wait() {
            // All of the new is there before anything of the old is touched.
            let renew = || -> Result<Serving> {
                let generation = cx.sockets().reset()?;
                let doors = open(&self.words, &generation)?;
                let serving = serve(doors, &cx, &count)?;
                generation.keep();
                Ok(serving)
            };
            match renew() {
                Ok(renewed) => {
                    serving = renewed;
                    reload.done();
                }
                Err(error) => reload.failed(error),
            }
        }
        drop(serving);
        // For the process that a restart starts. Whoever was replaced has nobody to tell it to.
        let count = count.load(Ordering::Relaxed).to_string();
        cx.fdstore().put_state("count", count.as_bytes())?;
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    eudaemon::main::<Counter>()
}
