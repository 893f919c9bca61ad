//! The daemon of the guide's first chapter, which shows it from the next line on.

use eudaemon::needs::{Needs, Preset};
use eudaemon::sockets::Bound;
use eudaemon::{Init, Manifest, Result, Running, Service};
use std::io::Write;
use std::net::TcpListener;

#[derive(clap::Args)]
struct Config {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
}

struct First(Bound<TcpListener>);

impl Service for First {
    type Config = Config;
    const NAME: &'static str = "first";

    fn manifest() -> Manifest {
        let needs = Needs::serving(8080, Preset::NetworkServer);
        let first = Manifest::new(Self::NAME).needing(needs);
        first.described("Says hello to whoever connects")
    }

    // With the rights of whoever started it, and one thread: open and bind here.
    fn init(config: Config, cx: &mut Init<'_>) -> Result<First> {
        Ok(First(cx.tcp_listener("first", config.listen)?))
    }

    // With the rights that are left. `serve` returns when the service is to stop.
    fn run(self, cx: Running) -> Result<()> {
        cx.ready();
        cx.serve(&self.0, |mut client, _address| {
            let _ = client.write_all(b"hello\n");
        })
    }
}

fn main() -> std::process::ExitCode {
    eudaemon::main::<First>()
}
