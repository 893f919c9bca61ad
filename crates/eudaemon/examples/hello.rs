//! A web server that says hello, with the whole life of a daemon: try `hello --help`, `hello --service.explain`.
//!
//! `GET /hang` hangs it, to see what a watchdog does about it.

use eudaemon::{
    Init, Manifest, Result, Running, Service,
    needs::{Needs, Preset},
};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

#[derive(clap::Args)]
struct Config {
    /// Where to serve when no manager passes a socket.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
}

struct Hello(TcpListener);

impl Service for Hello {
    type Config = Config;
    const NAME: &'static str = "hello";

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new(Self::NAME);
        manifest.description = "Says hello to whoever asks".into();
        manifest.needs = Needs::new()
            .bind_tcp(8080)
            .system_calls(Preset::NetworkServer);
        manifest.watchdog = Some(Duration::from_secs(10));
        manifest.reloads = true;
        manifest
    }

    fn init(config: Config, cx: &mut Init<'_>) -> Result<Hello> {
        Ok(Hello(cx.tcp_listener("hello", config.listen)?))
    }

    fn run(self, cx: Running) -> Result<()> {
        cx.on_reload(|| Ok(()))?;
        cx.status(format_args!("serving {}", self.0.local_addr()?));
        cx.ready();
        cx.serve(&self.0, |connection, _peer| {
            // A client that is gone is no concern of ours.
            let _ = answer(connection);
        })
    }
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut lines = BufReader::new(&connection).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    // To the empty line: what is left unread when a connection is closed resets it, and takes the answer along.
    while lines
        .next()
        .transpose()?
        .is_some_and(|header| !header.is_empty())
    {}
    while request.starts_with("GET /hang ") {
        std::thread::park();
    }
    let hello = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
    connection.write_all(hello.as_bytes())
}

fn main() -> std::process::ExitCode {
    eudaemon::main::<Hello>()
}
