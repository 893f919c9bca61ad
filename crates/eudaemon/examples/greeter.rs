//! Greets one client and ends: for a socket unit with `Accept=yes`, which starts one for each, or for inetd.

use eudaemon::{Builder, Error, Running};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

fn main() -> ExitCode {
    Builder::new("greeter").run(|cx| {
        let Some(client) = cx.sockets().connection_or_stdin()? else {
            return Err(Error::config(
                "nobody is connected: see Accept= of systemd.socket(5)",
            ));
        };
        let peer = client.peer().map(ToString::to_string).unwrap_or_default();
        let told = cx.activation().remote();
        let told = told.map_or("-".to_owned(), |at| at.to_string());
        Ok(move |cx: Running| {
            cx.ready();
            // Of whatever kind it is.
            let mut client = File::from(OwnedFd::from(client));
            client.write_all(format!("hello {peer} {told}\n").as_bytes())?;
            Ok(())
        })
    })
}
