//! The server of the example `hello` without the library: what a start costs at least. `cargo xtask bench --only ready` starts
//! both in turn.
//!
//! It serves the same socket with the same answer, and tells a manager that it is ready, with the status, in one message. It
//! leaves out everything else: signals, privileges, logs, options, the end.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

fn main() -> std::io::Result<()> {
    let mut words = std::env::args().skip(1);
    let listen = match (words.next().as_deref(), words.next()) {
        (Some("--listen"), Some(address)) => address,
        _ => "127.0.0.1:8080".to_owned(),
    };
    let listener = TcpListener::bind(&listen)?;
    if let Some(manager) = std::env::var_os("NOTIFY_SOCKET") {
        let message = format!("READY=1\nSTATUS=serving {}", listener.local_addr()?);
        UnixDatagram::unbound()?.send_to(message.as_bytes(), manager)?;
    }
    loop {
        let (connection, _peer) = listener.accept()?;
        std::thread::spawn(|| answer(connection));
    }
}

fn answer(mut connection: TcpStream) -> std::io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut request = String::new();
    BufReader::new(&connection).read_line(&mut request)?;
    let hello = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
    connection.write_all(hello.as_bytes())
}
