//! A counter that loses neither a client nor its count over `systemctl restart`: its sockets and its count are kept by systemd.
//!
//! In the unit: `Type=notify` and `FileDescriptorStoreMax=16`; `keeper --service.do=install` writes one. Each client is told how
//! many there were, and by which process.

use eudaemon::fdstore::FdStore;
use eudaemon::needs::{Needs, Preset};
use eudaemon::sockets::Bound;
use eudaemon::{Init, Manifest, Result, Running, Service};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

#[derive(clap::Args)]
struct Config {
    /// Where clients come.
    #[arg(long, default_value = "tcp:127.0.0.1:8081")]
    listen: String,
    /// Where they come too: the path of a unix socket.
    #[arg(long)]
    path: Option<PathBuf>,
}

struct Keeper {
    web: Bound<TcpListener>,
    local: Option<Bound<UnixListener>>,
    count: u64,
}

impl Service for Keeper {
    type Config = Config;
    const NAME: &'static str = "keeper";

    fn manifest() -> Manifest {
        let needs = Needs::serving(8081, Preset::NetworkServer);
        Manifest::new(Self::NAME).needing(needs).storing()
    }

    fn init(config: Config, cx: &mut Init<'_>) -> Result<Keeper> {
        let sockets = cx.sockets();
        let local = config.path.map(|path| {
            let address = format!("unix:{}", path.display());
            sockets.get("local").or_bind(address).unix_listener()
        });
        let count = match cx.fdstore().state("count")? {
            Some(text) => String::from_utf8_lossy(&text).parse()?,
            None => 0,
        };
        Ok(Keeper {
            web: sockets.get("web").or_bind(config.listen).tcp_listener()?,
            local: local.transpose()?,
            count,
        })
    }

    fn run(self, cx: Running) -> Result<()> {
        let Keeper { web, local, count } = self;
        let count = Mutex::new(count);
        cx.status(format_args!("serving {}", web.local_addr()?));
        cx.ready();
        std::thread::scope(|threads| {
            if let Some(local) = &local {
                threads.spawn(|| {
                    let served = cx.serve(local, |client, _peer| told(&cx, &count, client));
                    served.unwrap_or_else(|error| cx.fail(error));
                });
            }
            cx.serve(&web, |client, _peer| told(&cx, &count, client))
        })
    }
}

/// Tells a client its number. It is stored first: who was told a number is never told it again.
fn told(cx: &Running, count: &Mutex<u64>, mut client: impl Write) {
    let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
    *count += 1;
    if let Err(error) = keep(cx.fdstore(), *count) {
        cx.log().warning(error);
    }
    // A client that is gone is no concern of ours.
    let _ = writeln!(client, "{count} {}", std::process::id());
}

fn keep(store: &FdStore, count: u64) -> Result<()> {
    store.put_state("count", count.to_string().as_bytes())?;
    Ok(())
}

fn main() -> std::process::ExitCode {
    eudaemon::main::<Keeper>()
}
