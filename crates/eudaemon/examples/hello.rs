//! A web server that says hello, with the whole life of a daemon: try `hello --help`, `hello --service.explain`.
//!
//! `GET /hang` hangs it, to see what a watchdog does about it.

use eudaemon::needs::{Needs, Preset};
use eudaemon::sockets::Bound;
use eudaemon::{Init, Manifest, Result, Running, Service};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

#[derive(clap::Args)]
struct Config {
    /// Where to serve when no manager passes a socket.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
}

struct Hello(Bound<TcpListener>);

impl Service for Hello {
    type Config = Config;
    const NAME: &'static str = "hello";

    fn manifest() -> Manifest {
        let needs = Needs::serving(8080, Preset::NetworkServer);
        let hello = Manifest::new(Self::NAME).needing(needs).reloading();
        hello.watched(Duration::from_secs(10))
    }

    fn init(config: Config, cx: &mut Init<'_>) -> Result<Hello> {
        Ok(Hello(cx.tcp_listener("hello", config.listen)?))
    }

    fn run(self, cx: Running) -> Result<()> {
        cx.on_reload(|| Ok(()))?;
        cx.status(format_args!("serving {}", self.0.local_addr()?));
        cx.ready();
        // A client that is gone is no concern of ours.
        cx.serve(&self.0, |client, _peer| drop(answer(client)))
    }
}

fn answer(mut client: TcpStream) -> std::io::Result<()> {
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    // To the empty line: what is left unread when a connection is closed resets it, and takes the answer along.
    for line in BufReader::new(&client).lines() {
        match line?.as_str() {
            line if line.starts_with("GET /hang ") => std::thread::park(),
            "" => break,
            _header => {}
        }
    }
    client.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello\n")
}

fn main() -> std::process::ExitCode {
    eudaemon::main::<Hello>()
}
