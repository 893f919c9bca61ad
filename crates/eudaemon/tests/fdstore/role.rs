//! A service that opens what it is told to and answers orders.

use super::stage;
use eudaemon::fdstore::Poll;
use eudaemon::sockets::Bound;
use eudaemon::{Builder, Error, Handle, Manifest, Result, Running};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

fn words(variable: &str) -> Vec<String> {
    let text = std::env::var(variable).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

type Open = Vec<(String, Bound<OwnedFd>)>;

/// What the service has.
struct Has {
    open: Open,
    /// The other ends of what was stored.
    others: Vec<UnixStream>,
}

pub fn play() -> ExitCode {
    let manifest = Manifest::new("keeper").replacing();
    let manifest = match std::env::var_os(stage::PLAIN) {
        None => manifest.storing(),
        Some(_) => manifest,
    };
    Builder::of(manifest).run(|cx| {
        let mut said = Vec::new();
        let mut open = Vec::new();
        for pair in words(stage::OPEN) {
            let (name, address) = pair.split_once('=').expect("the test says so");
            let want = cx.sockets().get(name).or_bind(address);
            let want = match std::env::var(stage::MODE) {
                Ok(mode) => want.mode(u32::from_str_radix(&mode, 8).expect("octal")),
                Err(_) => want,
            };
            open.push((name.to_owned(), want.owned()?));
        }
        for name in words(stage::TAKE) {
            said.push(format!("{name}:{}", cx.fdstore().take(&name).len()));
        }
        for name in words(stage::STATE) {
            let state = match cx.fdstore().state(&name) {
                Ok(None) => "none".to_owned(),
                Ok(Some(state)) => String::from_utf8_lossy(&state).into_owned(),
                Err(error) => error.to_string(),
            };
            said.push(format!("{name}:{state}"));
        }
        if std::env::var_os(stage::FAIL).is_some() {
            return Err(Error::config("as asked"));
        }
        Ok(move |cx: Running| {
            let orders =
                UnixListener::bind(stage::folder().join(format!("orders.{}", std::process::id())))?;
            cx.status(said.join(" "));
            cx.ready();
            let has = Arc::new(Mutex::new(Has {
                open,
                others: Vec::new(),
            }));
            let ours = Arc::clone(&has);
            cx.handle().spawn("orders", move |cx| {
                for order in orders.incoming() {
                    let mut line = String::new();
                    let order = order?;
                    BufReader::new(&order).read_line(&mut line)?;
                    let line = line.trim_end();
                    let mut has = ours.lock().expect("nobody panics");
                    let answer =
                        obey(&cx, &mut has, line).unwrap_or_else(|error| error.to_string());
                    writeln!(&order, "{answer}")?;
                }
                Ok(())
            })?;
            cx.stop().wait();
            // As every service does it that is told to stop.
            has.lock().expect("nobody panics").open.clear();
            Ok(())
        })
    })
}

fn obey(cx: &Handle, has: &mut Has, line: &str) -> Result<String> {
    let store = cx.fdstore();
    let mut words = line.splitn(3, ' ');
    let (order, name, rest) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    Ok(match order {
        "open" => {
            let socket = cx.sockets().get(name).or_bind(rest).owned()?;
            has.open.push((name.to_owned(), socket));
            "ok".to_owned()
        }
        "close" => {
            has.open.retain(|(there, _)| there != name);
            "ok".to_owned()
        }
        "answer" => {
            let listener = has.open.iter().find(|(there, _)| there == name);
            let (_, listener) = listener.expect("the test opened it");
            let listener = TcpListener::from(listener.try_clone()?);
            let (mut client, _) = listener.accept()?;
            writeln!(client, "{}", std::process::id())?;
            "ok".to_owned()
        }
        "put-state" => store.put_state(name, rest.as_bytes())?.to_string(),
        "state" => format!("{:?}", store.state(name)?.map(String::from_utf8)),
        "put" => {
            let (ours, theirs) = UnixStream::pair()?;
            let poll = if rest == "poll" { Poll::Yes } else { Poll::No };
            let is_kept = store.put(name, &theirs, poll)?;
            has.others.push(ours);
            is_kept.to_string()
        }
        "hang-up" => {
            has.others.clear();
            "ok".to_owned()
        }
        "replace" => cx.replace().run()?.pid().to_string(),
        "remove" => store.remove(name)?.to_string(),
        "capacity" => format!("{:?} {}", store.capacity(), store.keeps()?),
        order => panic!("{order:?}"),
    })
}
