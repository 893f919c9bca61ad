//! A daemon that does what it is asked, line by line: the subject of the judges in `eudaemon-lab/tests/systemd`.
//!
//! It serves the sockets it is given, or `PEER_BIND`, in one loop with one thread, so that it may fork and execute itself.
//! Signals: TERM stops it, HUP makes it reload. Environment: `PEER_BIND`, `PEER_READY_DELAY`, `PEER_EXTEND`, `PEER_USER`,
//! `PEER_DAEMONIZE`, `PEER_PIDFILE`, `PEER_BROKEN`.

mod requests;
mod wires;

use eudaemon::detach::{Detached, Way, detach};
use eudaemon::inherited::{Inherited, Passed};
use eudaemon::notify::{Message, Notify};
use eudaemon::pidfile::Pidfile;
use eudaemon::privileges::PrivPlan;
use eudaemon::successor::Predecessor;
use eudaemon::{Activation, Context as _, Error, Result};
use eudaemon_core::time::Mono;
use eudaemon_core::words::Signal;
use eudaemon_sys::clock::mono;
use eudaemon_sys::poll::{Interest, Poll};
use eudaemon_sys::signal::Signals;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use wires::{Client, Datagrams, Sender, Wire};

/// How the loop goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Serving,
    /// Another process has the sockets: only who is connected is served, until then.
    Draining(Mono),
    /// Only this one connection, until its end.
    OneConnection,
    Over(u8),
}

/// Who asks, and is answered.
enum Asker {
    /// The one at this place.
    Client(usize),
    /// Whoever sent this to the socket.
    Datagram(Datagrams, Sender),
}

/// Everything the peer has.
struct Peer {
    activation: Activation,
    notify: Notify,
    /// What was handed over, in its order.
    passed: Vec<Passed>,
    /// What it serves: passed, or bound by itself.
    wires: Vec<Wire>,
    clients: Vec<Client>,
    signals: Signals,
    generation: u32,
    /// When the watchdog is fed next, if there is one.
    feed: Option<Mono>,
    pidfile: Option<Pidfile>,
    life: Life,
}

fn main() -> ExitCode {
    let ended = Peer::start().map(|mut peer| peer.serve());
    match ended {
        Ok(code) => code.into(),
        Err(error) => {
            eprintln!("peer: {error}");
            error.exit().into()
        }
    }
}

impl Peer {
    fn start() -> Result<Peer> {
        let activation = Activation::of_this_process();
        let signals = Signals::only(&[Signal::Term, Signal::Hup])?;
        let mut inherited = Inherited::take(&activation)?;
        let predecessor = Predecessor::of(&activation, &mut inherited);
        let away = leave_the_shell(&activation)?;
        let passed = inherited.take_all();
        if activation.text("PEER_BROKEN").is_some() {
            return Err(Error::config("asked to be broken"));
        }
        let mut wires = Vec::new();
        for passed in &passed {
            wires.extend(Wire::of(passed)?);
        }
        if let (true, Some(path)) = (wires.is_empty(), activation.text("PEER_BIND")) {
            wires.push(Wire::bound(bind(Path::new(path))?)?);
        }
        let mut clients = Vec::new();
        for passed in &passed {
            clients.extend(Client::passed(passed)?);
        }
        let pidfile = activation.text("PEER_PIDFILE");
        let pidfile = pidfile.filter(|_| away.is_some()).map(Path::new);
        let pidfile = pidfile.map(Pidfile::acquire).transpose()?;
        let mut peer = Peer {
            notify: Notify::connect(&activation)?,
            life: if clients.is_empty() {
                Life::Serving
            } else {
                Life::OneConnection
            },
            generation: predecessor.generation(),
            feed: activation.watchdog().map(|_| mono()),
            activation,
            passed,
            wires,
            clients,
            signals,
            pidfile,
        };
        if peer.delay()? {
            return Ok(peer);
        }
        if let Some(user) = peer.activation.text("PEER_USER") {
            let _proof = PrivPlan::new().user(user).resolve()?.apply()?;
        }
        let status = format!("serving {}", peer.passed.len());
        let ready = Message::new().ready().status(&status);
        peer.notify.send(&ready).during(|| "unable to say ready")?;
        predecessor.ready()?;
        away.map(Detached::ready).transpose()?;
        Ok(peer)
    }

    /// Is slow to begin, if it was asked to be; whether it was told to stop meanwhile.
    fn delay(&mut self) -> Result<bool> {
        let Some(delay) = self.activation.text("PEER_READY_DELAY") else {
            return Ok(false);
        };
        let delay: f64 = delay
            .parse()
            .map_err(|_| Error::config("PEER_READY_DELAY is no number"))?;
        let delay = Duration::try_from_secs_f64(delay)
            .map_err(|_| Error::config("PEER_READY_DELAY is no length of time"))?;
        if self.activation.text("PEER_EXTEND").is_some() {
            self.notify.extend(delay + Duration::from_secs(10))?;
        }
        let end = mono() + delay;
        let mut poll = Poll::new()?;
        poll.add(&self.signals, 0, Interest::Read)?;
        while mono() < end {
            poll.wait(mono(), Some(end), &mut Vec::new())?;
            while let Some(signal) = self.signals.next() {
                if signal == Signal::Term {
                    self.stop();
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Serves until the end, and says with which code.
    fn serve(&mut self) -> u8 {
        loop {
            if let Life::Over(code) = self.life {
                return code;
            }
            if let Err(error) = self.turn() {
                eprintln!("peer: {error}");
                return error.exit().code();
            }
        }
    }

    /// Waits once, and deals with what there is. The set is made anew each time: it is small, and it must be this process's
    /// own after a fork.
    fn turn(&mut self) -> Result<()> {
        const SIGNALS: u64 = 0;
        const CLIENTS: u64 = 1000;
        let mut poll = Poll::new()?;
        poll.add(&self.signals, SIGNALS, Interest::Read)?;
        if self.life == Life::Serving {
            for (token, wire) in (1..).zip(&self.wires) {
                poll.add(wire.as_fd(), token, Interest::Read)?;
            }
        }
        for (token, client) in (CLIENTS..).zip(&self.clients) {
            poll.add(client.as_fd(), token, Interest::Read)?;
        }
        let drained = match self.life {
            Life::Draining(until) => Some(until),
            Life::Serving | Life::OneConnection | Life::Over(_) => None,
        };
        let next = [self.feed, drained].into_iter().flatten().min();
        let mut ready = Vec::new();
        poll.wait(mono(), next, &mut ready)?;
        for token in ready.iter().map(|ready| ready.token) {
            if token == SIGNALS {
                self.hear_signals()?;
            } else if token < CLIENTS {
                self.attend(token)?;
            } else if let Ok(at) = usize::try_from(token - CLIENTS) {
                self.hear(at)?;
            }
        }
        self.clients.retain(Client::is_open);
        self.look_at_the_clock()
    }

    fn hear_signals(&mut self) -> Result<()> {
        while let Some(signal) = self.signals.next() {
            if signal == Signal::Hup {
                self.reload()?;
            } else {
                self.stop();
            }
        }
        Ok(())
    }

    /// A socket of ours has a connection or a datagram.
    fn attend(&mut self, token: u64) -> Result<()> {
        let at = usize::try_from(token - 1).unwrap_or(usize::MAX);
        let Some(wire) = self.wires.get(at) else {
            return Ok(());
        };
        match wire {
            Wire::Datagrams(socket) => {
                let Some((request, sender)) = socket.receive()? else {
                    return Ok(());
                };
                let asker = Asker::Datagram(socket.another()?, sender);
                self.attend_to(&request, &asker)?;
            }
            Wire::Listener(listener) => self.clients.extend(listener.accept()?),
        }
        Ok(())
    }

    /// A client has said something.
    fn hear(&mut self, at: usize) -> Result<()> {
        let Some(client) = self.clients.get_mut(at) else {
            return Ok(());
        };
        for request in client.requests() {
            self.attend_to(&request, &Asker::Client(at))?;
            if matches!(self.life, Life::Over(_)) {
                break;
            }
        }
        Ok(())
    }

    /// Does what is asked, and answers whoever asks.
    fn attend_to(&mut self, request: &str, asker: &Asker) -> Result<()> {
        if request == "mainpid" {
            return self.hand_to_a_child(asker);
        }
        if let Some(answer) = self.answer(request)? {
            self.say(&answer, asker);
        }
        self.after_the_answer(request)
    }

    fn say(&mut self, words: &str, to: &Asker) {
        match to {
            Asker::Client(at) => {
                if let Some(client) = self.clients.get_mut(*at) {
                    client.say(words);
                }
            }
            Asker::Datagram(socket, sender) => socket.answer(words, sender),
        }
    }

    fn look_at_the_clock(&mut self) -> Result<()> {
        let now = mono();
        if let (Some(at), Some(interval)) = (self.feed, self.activation.watchdog())
            && at <= now
        {
            self.notify.watchdog()?;
            self.feed = Some(now + interval / 2);
        }
        match self.life {
            Life::Draining(until) if self.clients.is_empty() || until <= now => {
                self.life = Life::Over(0);
            }
            Life::OneConnection if self.clients.is_empty() => self.life = Life::Over(0),
            Life::Draining(_) | Life::Serving | Life::OneConnection | Life::Over(_) => {}
        }
        Ok(())
    }

    fn reload(&mut self) -> Result<()> {
        // Nothing to do between its beginning and its end.
        self.notify.reloading().done()?;
        Ok(())
    }

    fn stop(&mut self) {
        // One that has handed its sockets on does not speak for the service any more.
        if !matches!(self.life, Life::Draining(_)) {
            let _nobody_hears = self.notify.stopping();
            if let Some(pidfile) = self.pidfile.take() {
                let _at_worst_it_is_stale = pidfile.remove();
            }
        }
        self.life = Life::Over(0);
    }
}

/// Leaves the shell if `PEER_DAEMONIZE` says so.
fn leave_the_shell(activation: &Activation) -> Result<Option<Detached>> {
    if activation.text("PEER_DAEMONIZE") != Some("1") {
        return Ok(None);
    }
    // A unit of Type=forking wants what a unit otherwise must not do, and looks the same from inside.
    let known = activation.environment();
    let unseen = known.filter(|(name, _)| *name != "SYSTEMD_EXEC_PID");
    let unseen = Activation::made(activation.pid(), unseen);
    Ok(Some(detach(Way::Fork, &unseen)?))
}

/// Listens at a path, where perhaps an earlier one has listened.
fn bind(path: &Path) -> Result<UnixListener> {
    let _none = std::fs::remove_file(path);
    UnixListener::bind(path).during(|| format!("unable to listen at {}", path.display()))
}
