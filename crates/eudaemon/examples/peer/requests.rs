//! The requests, and what is answered. A request that has no answer is one that ends the peer.

use crate::wires::{Listener, Wire};
use crate::{Asker, Life, Peer};
use eudaemon::Result;
use eudaemon::child::Scrubbed as _;
use eudaemon::inherited::{Kind, Passed};
use eudaemon::notify::Sent;
use eudaemon::successor::Start;
use eudaemon_core::notify::Address;
use eudaemon_sys::clock::mono;
use eudaemon_sys::process::{Held, fork, pidfs_is_unique};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

/// How long a manager may take to read what it is told, and a successor to serve.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the old process serves who is connected to it.
const DRAIN: Duration = Duration::from_secs(5);
/// The name under which a socket that was bound here is passed on.
const BOUND: &str = "bound";

impl Peer {
    /// Does what is asked, and says what to answer.
    pub(crate) fn answer(&mut self, request: &str) -> Result<Option<String>> {
        let (verb, rest) = request.split_once(' ').unwrap_or((request, ""));
        let answer = match verb {
            "ping" => "pong".to_owned(),
            "pid" => std::process::id().to_string(),
            "fds" => each(&self.passed, |passed| {
                let listening = u8::from(passed.is_listening());
                Ok(format!(
                    "{}:{}:{listening}",
                    passed.name(),
                    passed.kind().name()
                ))
            })?,
            "cloexec" => each(&self.passed, |passed| {
                Ok(u8::from(passed.is_close_on_exec()?).to_string())
            })?,
            "env" => std::env::var(rest).unwrap_or_else(|_| "(unset)".to_owned()),
            "child-env" => child_variable(rest)?,
            "child-fds" => child_descriptors()?,
            "notify" => told(self.raw(rest)),
            "status" => told(self.notify.status(rest)),
            "reload" => {
                self.reload()?;
                "ok".to_owned()
            }
            "watchdog" => match self.activation.watchdog() {
                Some(interval) => interval.as_micros().to_string(),
                None => "off".to_owned(),
            },
            "hang" => {
                self.feed = None;
                "ok".to_owned()
            }
            "trigger" => told(self.notify.trigger_watchdog()),
            "store" => {
                let (name, text) = rest.split_once(' ').unwrap_or((rest, ""));
                let memory = eudaemon_sys::sealed::make(name, text.as_bytes())?;
                told(self.notify.store(name, &[memory.as_fd()], true))
            }
            "stored" => self.stored(rest)?,
            "unstore" => told(self.notify.unstore(rest)),
            "barrier" => match self.notify.barrier(PATIENCE) {
                Ok(Sent::Sent) => "ok".to_owned(),
                other => told(other),
            },
            "generation" => self.generation.to_string(),
            "replace" => self.replace(rest == "broken")?,
            "reexec" => "ok".to_owned(),
            "log" => {
                let (level, text) = rest.split_once(' ').unwrap_or((rest, ""));
                eprintln!("<{level}>{text}");
                "ok".to_owned()
            }
            "ids" => ids()?,
            "exit" => {
                self.life = Life::Over(rest.parse().unwrap_or(1));
                return Ok(None);
            }
            "stop" => {
                self.stop();
                return Ok(None);
            }
            _ => "error unknown".to_owned(),
        };
        Ok(Some(answer))
    }

    /// What is done once the answer is on its way.
    pub(crate) fn after_the_answer(&mut self, request: &str) -> Result<()> {
        if request == "reexec" {
            let failed = self.start_again().replace();
            eprintln!("peer: {}", eudaemon::Error::from(failed));
        }
        Ok(())
    }

    /// Sends what it was asked to, as it is: the library would not.
    fn raw(&self, text: &str) -> io::Result<Sent> {
        let Some(address) = self.activation.notify_socket() else {
            return Ok(Sent::NoManager);
        };
        let address = Address::parse(address).map_err(io::Error::other)?;
        let sender = eudaemon_sys::notify::Sender::connect(&address)?;
        sender.send(text.replace("\\n", "\n").as_bytes())?;
        Ok(Sent::Sent)
    }

    fn stored(&self, name: &str) -> io::Result<String> {
        let Some(passed) = self.passed.iter().find(|passed| passed.name() == name) else {
            return Ok("(none)".to_owned());
        };
        let file = File::from(passed.as_fd().try_clone_to_owned()?);
        // Read by place: the position is shared with whoever else has it.
        let mut text = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(0)];
        file.read_exact_at(&mut text, 0)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Forks: the child goes on from here, and the parent says so and leaves.
    pub(crate) fn hand_to_a_child(&mut self, asker: &Asker) -> Result<()> {
        let (mut parent, held) = io::pipe()?;
        let mut held = Some(held);
        let child = fork(|| {
            drop(held.take());
            // Its end: the parent has told the manager, and has left.
            let _end = parent.read(&mut [0]);
            self.say(&format!("ok {}", std::process::id()), asker);
            self.serve()
        })?;
        let inode = Held::open(child).ok().filter(pidfs_is_unique);
        let inode = inode.and_then(|held| held.inode().ok());
        self.notify.main_pid(child.get(), inode)?;
        self.notify.barrier(PATIENCE)?;
        // Everything here is the child's now: nothing is said, nothing is removed.
        self.life = Life::Over(0);
        Ok(())
    }

    fn replace(&mut self, broken: bool) -> Result<String> {
        let start = self.start_again();
        let begun = if broken {
            start.variable("PEER_BROKEN", "1").begin(PATIENCE)
        } else {
            start.begin(PATIENCE)
        };
        let successor = match begun {
            Ok(successor) => successor,
            Err(error) => {
                eprintln!("peer: {}", eudaemon::Error::from(error));
                return Ok("failed".to_owned());
            }
        };
        // From here on only the successor speaks for the service.
        self.notify
            .main_pid(successor.pid(), successor.pidfd_inode())?;
        self.notify.barrier(PATIENCE)?;
        self.feed = None;
        self.life = Life::Draining(mono() + DRAIN);
        Ok(format!("ok {}", successor.pid()))
    }

    /// The same program with the same sockets, and FIFOs, which are bound to a path as those are.
    fn start_again(&self) -> Start<'_> {
        let mut start = Start::new(&self.activation);
        let mut any = false;
        for passed in &self.passed {
            if passed.kind() == Kind::Fifo || matches!(Wire::of(passed), Ok(Some(_))) {
                start = start.pass(passed.name(), passed.as_fd());
                any = true;
            }
        }
        for wire in self.wires.iter().filter(|_| !any) {
            if let Wire::Listener(Listener::Unix(listener)) = wire {
                start = start.pass(BOUND, listener.as_fd());
            }
        }
        start
    }
}

/// One word for each descriptor.
fn each(passed: &[Passed], word: impl Fn(&Passed) -> io::Result<String>) -> io::Result<String> {
    let words = passed.iter().map(word).collect::<io::Result<Vec<_>>>()?;
    Ok(if words.is_empty() {
        "(none)".to_owned()
    } else {
        words.join(" ")
    })
}

/// What became of a message, in a word.
fn told(sent: io::Result<Sent>) -> String {
    match sent {
        Ok(Sent::Sent) => "sent".to_owned(),
        Ok(Sent::NoManager) => "not-sent".to_owned(),
        Err(error) => match error.raw_os_error() {
            Some(number) => format!("error {number}"),
            None => format!("error {error}"),
        },
    }
}

/// A program as any daemon starts one.
#[expect(
    clippy::disallowed_methods,
    reason = "it looks like any program a daemon starts"
)]
fn program(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

fn child_variable(name: &str) -> io::Result<String> {
    let said = program(&["printenv", "--", name]).scrubbed().output()?;
    Ok(if said.status.success() {
        String::from_utf8_lossy(&said.stdout).trim_end().to_owned()
    } else {
        "(unset)".to_owned()
    })
}

/// Not scrubbed, which would close what leaks.
fn child_descriptors() -> io::Result<String> {
    let said = program(&["find", "/proc/self/fd/", "-printf", "%f %l\n"]).output()?;
    let said = String::from_utf8_lossy(&said.stdout);
    let leaked = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(number, to)| {
            let kinds = ["socket:", "pipe:", "/memfd:"];
            number.parse::<u32>().is_ok_and(|number| number > 2)
                && kinds.iter().any(|kind| to.starts_with(kind))
        });
    Ok(leaked.count().to_string())
}

/// Who this process is, by the kernel's word, and whether it can be root again.
fn ids() -> Result<String> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    let mut words = String::new();
    let (uids, gids) = (field("Uid:").join(","), field("Gid:").join(","));
    let groups = field("Groups:").join(",");
    let capabilities = u64::from_str_radix(&field("CapEff:").concat(), 16);
    let capabilities = capabilities.map_err(io::Error::other)?;
    // Writing into a string cannot fail.
    let _ = write!(
        words,
        "uid={uids} gid={gids} groups={groups} capeff={capabilities} "
    );
    // A child tries, between fork and exec, so that whoever succeeds is still as he was.
    #[expect(clippy::disallowed_methods, reason = "nothing is served by it")]
    let tried = Command::new("true").uid(0).status();
    words.push_str(if tried.is_err() {
        "no-way-back"
    } else {
        "way-back"
    });
    Ok(words)
}
