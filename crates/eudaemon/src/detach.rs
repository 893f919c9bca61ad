//! Leaving the shell, with an answer to it.
//!
//! `detach` is for who starts a daemon by hand or from an old init script. Under a supervisor it is refused: systemd,
//! launchd, runit and their family want a daemon that stays (`daemon(7)`, "New-Style Daemons").
//!
//! The shell gets its prompt back when the daemon is *ready*, not when it was forked: `web --daemon && curl …` works, and
//! `$?` says why it did not. Until then stdin, stdout and stderr are the shell's, and whoever interrupts the waiting command
//! interrupts the daemon.

use crate::Activation;
use eudaemon_core::detach::{self as words, Send, Verdict, Waiting};
use eudaemon_core::words::Signal;
use eudaemon_sys::detach::{self as sys, Again, Channel, Side, Waits};
use eudaemon_sys::poll::{Interest, Poll};
use eudaemon_sys::signal::Signals;
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// How the daemon's process comes to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// A copy of this process goes on. Only for a process with one thread: a copy has no others, and the locks they held
    /// stay locked in it (`fork(2)`, "NOTES").
    #[default]
    Fork,
    /// The program is executed once more, with the same words, environment, directory and descriptors, and `detach`
    /// returns in that one. For a program that has threads by the time it detaches: what it did before is done again.
    Reexec,
}

/// The daemon's side: away from the shell, and not ready yet.
///
/// It is to end in [`ready`](Detached::ready) or [`failed`](Detached::failed): the shell waits. If the process ends
/// before, by a panic or by a signal, the shell is told that.
#[must_use = "the shell waits until it is told something"]
#[derive(Debug)]
pub struct Detached {
    channel: Channel,
    null: File,
    keep_stderr: bool,
}

/// Why this process is not away from its shell. It is as it was before.
#[derive(Debug)]
#[non_exhaustive]
pub enum DetachError {
    /// A service manager started this process, waits for what it says, and would take its end for the daemon's.
    Supervised,
    /// This is the first process of a system or a container, which ends with it.
    FirstProcess,
    /// It has threads, so it cannot be copied. [`Way::Reexec`] can, and so can detaching earlier.
    Threads,
    /// It is away already.
    Already,
    /// `EUDAEMON_DETACH` names this process, but the descriptor in it is not open: something between the start of the
    /// program and this call closed it.
    ChannelLost,
    /// Nobody knows any more where the program is: it has no words, or no path.
    NoProgram,
    /// Who waited for the daemon to be ready is gone: killed, most likely. The daemon is not wanted, and should end.
    NobodyWaits,
    /// The system refused.
    System {
        /// What was attempted.
        attempt: &'static str,
        /// Why not.
        error: io::Error,
    },
}

impl fmt::Display for DetachError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            DetachError::Supervised => {
                "unable to leave the shell: a service manager started this process and keeps it in the background itself"
            }
            DetachError::FirstProcess => {
                "unable to leave the shell: everything would end with this process, which is the first one"
            }
            DetachError::Threads => "unable to leave the shell: there is more than one thread",
            DetachError::Already => "unable to leave the shell: it has been left already",
            DetachError::ChannelLost => {
                "unable to answer the shell: the descriptor for it has been closed"
            }
            DetachError::NoProgram => "unable to leave the shell: the program's own path is unknown",
            DetachError::NobodyWaits => {
                "unable to answer the shell: the process that waited is gone"
            }
            DetachError::System { attempt, .. } => return write!(to, "unable to {attempt}"),
        })
    }
}

impl std::error::Error for DetachError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DetachError::System { error, .. } => Some(error),
            DetachError::Supervised
            | DetachError::FirstProcess
            | DetachError::Threads
            | DetachError::Already
            | DetachError::ChannelLost
            | DetachError::NoProgram
            | DetachError::NobodyWaits => None,
        }
    }
}

fn system(attempt: &'static str) -> impl FnOnce(io::Error) -> DetachError {
    move |error| DetachError::System { attempt, error }
}

/// Whether this process is away already.
static AWAY: AtomicBool = AtomicBool::new(false);

/// Leaves the shell. Returns in the daemon alone: a child of a child, in a session of its own which it does not lead, so that
/// no terminal it opens becomes its controlling one (`credentials(7)`, "Sessions").
///
/// The process the shell started stays in this call and ends there, without running anything of the program's any more
/// (`_exit(2)`): with code 0 once the daemon is [`ready`](Detached::ready); with the code and the message of
/// [`failed`](Detached::failed); with the daemon's own code, or 128 and the number of its signal, if it ended without a
/// word. TERM, INT, HUP and QUIT sent to it end the daemon first, and then it by the same signal; the second one kills.
///
/// The process id is another one in the daemon; the activation keeps the first. Descriptors stay open: those of socket
/// activation too. Only stdin, stdout and stderr change, and only in [`ready`](Detached::ready).
///
/// ```no_run
/// use eudaemon::{Activation, Error, detach::{Way, detach}};
/// let activation = Activation::of_this_process();
/// let away = detach(Way::Fork, &activation)?;
/// match std::net::TcpListener::bind("[::]:80") {
///     Ok(_listener) => away.ready()?,
///     Err(error) => {
///         let error = Error::from(error).during("unable to listen at [::]:80");
///         away.failed(error.exit().code(), &error.to_string())?;
///         std::process::exit(error.exit().code().into());
///     }
/// }
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As [`DetachError`] says; nothing has happened then.
pub fn detach(way: Way, activation: &Activation) -> Result<Detached, DetachError> {
    if activation.is_supervised() {
        return Err(DetachError::Supervised);
    }
    if std::process::id() == 1 {
        return Err(DetachError::FirstProcess);
    }
    if AWAY.swap(true, Ordering::SeqCst) {
        return Err(DetachError::Already);
    }
    let left = leave(way, activation);
    if left.is_err() {
        AWAY.store(false, Ordering::SeqCst);
    }
    left
}

fn leave(way: Way, activation: &Activation) -> Result<Detached, DetachError> {
    // Opened now: after a chroot there may be none.
    let null = File::options().read(true).write(true).open("/dev/null");
    let null = null.map_err(system("open /dev/null"))?;
    let name = activation.words().first().map(OsStr::new);
    let name = name.and_then(|word| Path::new(word).file_name());
    let name = name.map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let mine = activation.variable(words::VARIABLE);
    let mine =
        mine.and_then(|value| words::descriptor(value.as_encoded_bytes(), std::process::id()));
    if let Some(number) = mine {
        let channel = Channel::inherited(number).ok_or(DetachError::ChannelLost)?;
        return Ok(Detached::new(channel, null));
    }
    // What is buffered would be written by nobody, or twice.
    let _ = io::stdout().flush();
    match way {
        Way::Fork => {
            let single = sys::is_single_threaded();
            if !single.map_err(system("count this process's threads"))? {
                return Err(DetachError::Threads);
            }
            match sys::fork_away().map_err(system("fork"))? {
                Side::Daemon(channel) => Ok(Detached::new(channel, null)),
                Side::Waits(waits) => wait(&waits, &name, None),
            }
        }
        Way::Reexec => {
            let program = activation.program().ok_or(DetachError::NoProgram)?;
            if activation.words().is_empty() {
                return Err(DetachError::NoProgram);
            }
            let waits = sys::execute_away(|channel| again(program, activation, channel));
            let waits = waits.map_err(system("fork"))?;
            wait(&waits, &name, Some(program))
        }
    }
}

/// The same program once more. What names this process names the other one there.
fn again(program: &Path, activation: &Activation, channel: i32) -> io::Result<Again> {
    let own = activation.pid().to_string();
    let ours = |name: &str| activation.text(name) == Some(own.as_str());
    let listens = ours("LISTEN_PID");
    let count = activation.text("LISTEN_FDS").filter(|_| listens);
    let count = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    let stays = |name: &OsStr| {
        // The pidfd of a process that will be another one by then; LISTEN_PID alone is enough (sd_listen_fds(3)).
        let goes: &[&str] = if listens {
            &["LISTEN_PID", "LISTEN_PIDFDID", words::VARIABLE]
        } else {
            &[words::VARIABLE]
        };
        !goes.iter().any(|gone| name == OsStr::new(gone))
    };
    let mut with_pid = Vec::new();
    let channel = format!("{channel}:");
    with_pid.push((words::VARIABLE, channel.as_str()));
    if listens {
        with_pid.push(("LISTEN_PID", ""));
    }
    Again::new(
        program.as_os_str(),
        activation.words().iter().map(|word| word.as_os_str()),
        activation.environment().filter(|(name, _)| stays(name)),
        &with_pid,
        count,
    )
}

/// The signals that end the command in the shell.
const REQUESTS: [Signal; 4] = [Signal::Term, Signal::Int, Signal::Hup, Signal::Quit];

/// The life of the process that the shell started, from here to its end.
fn wait(waits: &Waits, name: &str, program: Option<&Path>) -> ! {
    let verdict = listen(waits).unwrap_or(Verdict::Silent(1, None));
    let say = |message: &str| {
        // Nobody is left to be told that stderr is closed.
        let _ = writeln!(io::stderr(), "{}", message.trim_end_matches('\n'));
    };
    match verdict {
        Verdict::Ready => {
            let _ = waits.dismiss();
            sys::leave(0)
        }
        Verdict::Failed(code, message) => {
            say(&message);
            sys::leave(code)
        }
        Verdict::Silent(code, how) => {
            say(&format!("{name}: {}", words::silent(how)));
            sys::leave(code)
        }
        Verdict::NotExecuted(errno) => {
            let program = program.map_or_else(PathBuf::new, Path::to_path_buf);
            let error = io::Error::from_raw_os_error(errno);
            say(&format!(
                "{name}: unable to execute {}: {error}",
                program.display()
            ));
            sys::leave(crate::Exit::System.code())
        }
        Verdict::Killed(signal) => {
            let _ = waits.dismiss();
            sys::die_of(signal)
        }
    }
}

fn listen(waits: &Waits) -> io::Result<Verdict> {
    const WORDS: u64 = 0;
    const SIGNALS: u64 = 1;
    let mut waiting = Waiting::default();
    let send = |what: Option<Send>| {
        let signal = match what {
            None => return,
            Some(Send::Term) => Signal::Term,
            Some(Send::Int) => Signal::Int,
            Some(Send::Kill) => Signal::Kill,
        };
        // ESRCH: nobody is left, which the channel is about to say.
        let _ = waits.signal(signal);
    };
    // What came before the fork, and would be forgotten here.
    let (signals, early) = eudaemon_sys::early::hand_over(&REQUESTS)?;
    if let Some(signal) = early {
        send(waiting.ask(signal));
    }
    let mut poll = Poll::new()?;
    poll.add(waits, WORDS, Interest::Read)?;
    poll.add(&signals, SIGNALS, Interest::Read)?;
    let mut ready = Vec::new();
    loop {
        ready.clear();
        poll.wait(eudaemon_sys::clock::mono(), None, &mut ready)?;
        for token in ready.iter().map(|ready| ready.token) {
            if token == SIGNALS {
                while let Some(signal) = Signals::next(&signals) {
                    send(waiting.ask(signal));
                }
                continue;
            }
            let Some(word) = waits.hear()? else {
                return Ok(waiting.gone());
            };
            let (verdict, on) = waiting.hear(word);
            send(on);
            if let Some(verdict) = verdict {
                return Ok(verdict);
            }
        }
    }
}

impl Detached {
    fn new(channel: Channel, null: File) -> Detached {
        Detached {
            channel,
            null,
            keep_stderr: false,
        }
    }

    /// Leaves stderr as it is when the daemon is ready, whatever it is. For a daemon whose log goes there.
    ///
    /// Whoever reads the other end of it waits until the daemon ends: `ssh host web --daemon` would hang.
    pub fn keep_stderr(mut self, keep: bool) -> Detached {
        self.keep_stderr = keep;
        self
    }

    /// Tells the shell that all is well, and lets go of it: stdin, stdout and stderr become `/dev/null`, in this order, so
    /// that nothing that is written in between is lost.
    ///
    /// Stdout and stderr stay if they are regular files: `web --daemon 2>>web.log` means the file. None is ever closed, for
    /// the next socket would take its number, and somebody's `println!` would go to a client.
    ///
    /// # Errors
    /// [`DetachError::NobodyWaits`], and the descriptors are as they were. [`DetachError::System`] if they could not be
    /// replaced, which `dup2(2)` knows no reason for.
    pub fn ready(self) -> Result<(), DetachError> {
        // What was printed by now stands before the shell's prompt.
        let _ = io::stdout().flush();
        say(&self.channel, &words::ready())?;
        let _ = io::stdout().flush();
        use eudaemon_sys::exec::{replace_stderr, replace_stdin, replace_stdout};
        replace_stdin(&self.null)
            .and_then(|()| {
                if is_file(io::stdout()) {
                    Ok(())
                } else {
                    replace_stdout(&self.null)
                }
            })
            .and_then(|()| {
                if self.keep_stderr || is_file(io::stderr()) {
                    Ok(())
                } else {
                    replace_stderr(&self.null)
                }
            })
            .map_err(system("let go of the shell's descriptors"))
    }

    /// Tells the shell that it did not work: this message is written to its stderr, of at most 4000 bytes, and the waiting
    /// command ends with this exit code once this process has ended. A code of 0 counts as 1.
    ///
    /// The daemon need not print the message itself, and must end now.
    ///
    /// # Errors
    /// [`DetachError::NobodyWaits`].
    pub fn failed(self, exit_code: u8, message: &str) -> Result<(), DetachError> {
        say(&self.channel, &words::failed(exit_code, message))
    }
}

fn say(channel: &Channel, word: &[u8]) -> Result<(), DetachError> {
    channel.say(word).map_err(|error| {
        // One that was killed with something unread resets the connection. Source: Linux net/unix/af_unix.c, unix_release_sock.
        let gone = [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset];
        if gone.contains(&error.kind()) {
            return DetachError::NobodyWaits;
        }
        system("answer the shell")(error)
    })
}

fn is_file(stream: impl AsFd) -> bool {
    eudaemon_sys::file::about(stream).is_ok_and(|about| about.regular)
}
