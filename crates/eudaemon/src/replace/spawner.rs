//! The process that starts the program when the service itself no longer may. What it is and is not allowed is told in
//! [`replace`](crate::replace).

use super::Program;
use eudaemon_core::spawner::{LENGTH, Order, Report};
use eudaemon_core::words::Pid;
use eudaemon_sys::clock::mono;
use eudaemon_sys::passing::{Came, Channel};
use eudaemon_sys::poll::{Interest, Poll};
use eudaemon_sys::process::{self, Held};
use eudaemon_sys::title::Title;
use eudaemon_sys::{errno, exec};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::panic::AssertUnwindSafe;
use std::process::Child;
use std::time::Duration;

/// How long one that was told to leave may take.
const LEAVING: Duration = Duration::from_secs(5);

/// The line to the spawner. It ends when this is dropped, and then there is none any more.
#[derive(Debug)]
pub(crate) struct Spawner {
    line: Channel,
    pid: Pid,
}

/// What a spawner says.
#[derive(Debug)]
pub(super) enum Heard {
    /// Something, and a pidfd if it is a start.
    Report(Report, Option<OwnedFd>),
    Nothing,
    /// It has gone, or says what it never would.
    Gone,
}

impl Spawner {
    /// Forks it off. To be called while there is one thread, and before rights are given up.
    ///
    /// # Errors
    /// There is no room for a process; `Unsupported`: there is a second thread.
    pub fn fork(name: &str, program: &Program, is_detached: bool) -> io::Result<Spawner> {
        let (ours, its) = Channel::pair()?;
        let tend = move || {
            let tended = std::panic::catch_unwind(AssertUnwindSafe(|| {
                settle(name, &its, is_detached)?;
                report(&its, Report::Apart, None)?;
                tend(&its, program)
            }));
            // Nobody waits for this code but who looks for what went wrong.
            match tended {
                Ok(Ok(())) => 0,
                Ok(Err(_)) | Err(_) => 1,
            }
        };
        let pid = process::fork(tend)?;
        let spawner = Spawner { line: ours, pid };
        // Until it says so it has copies of all that is open, and a port that is given up would still be taken. Its end of the line is
        // closed here by now, so its death is heard.
        match spawner.hear(true) {
            Heard::Report(Report::Apart, _) => Ok(spawner),
            Heard::Report(_, _) | Heard::Nothing | Heard::Gone => {
                Err(io::Error::other("it did not come to stand apart"))
            }
        }
    }

    /// Has it start the program.
    pub(super) fn start(&self, line: &impl AsFd, stderr: &impl AsFd) -> io::Result<()> {
        let fds = [line.as_fd(), stderr.as_fd()];
        self.line.send_now(&Order::Start.encode(), &fds)
    }

    /// Has it end and leave what it started to whoever takes orphans. Whether that has happened when this returns.
    pub(super) fn leave(&self) -> io::Result<bool> {
        self.line.send_now(&Order::Leave.encode(), &[])?;
        // Its children have another parent by the time its pidfd can be read. Source: Linux `kernel/exit.c`, `exit_notify`.
        let held = Held::open(self.pid)?;
        let end = mono() + LEAVING;
        let mut poll = Poll::new()?;
        poll.add(&held, 0, Interest::Read)?;
        let mut ready = Vec::new();
        while ready.is_empty() && mono() < end {
            poll.wait(mono(), Some(end), &mut ready)?;
        }
        Ok(!ready.is_empty())
    }

    /// Has it kill what it started.
    pub(super) fn kill(&self) -> io::Result<()> {
        self.line.send_now(&Order::Kill.encode(), &[])
    }

    /// What it says; waits for it if so asked.
    pub(super) fn hear(&self, wait: bool) -> Heard {
        let mut bytes = [0; LENGTH + 1];
        let mut pidfd = None;
        match self.line.receive(&mut bytes, wait, |fd| pidfd = Some(fd)) {
            Ok(Came::Message(length)) => match bytes.get(..length).and_then(Report::decode) {
                Some(report) => Heard::Report(report, pidfd),
                None => Heard::Gone,
            },
            Ok(Came::Nothing) => Heard::Nothing,
            Ok(Came::Closed) | Err(_) => Heard::Gone,
        }
    }
}

impl AsFd for Spawner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.as_fd()
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // One that has ended already: the others are reaped by whoever reaps us.
        process::reap(self.pid);
    }
}

/// The forked process becomes what it is.
fn settle(name: &str, line: &Channel, is_detached: bool) -> io::Result<()> {
    // For people.
    if let Ok(title) = Title::take() {
        let _ = title.set(format!("{name}: spawner").as_bytes());
    }
    process::set_name("eud-spawner");
    // A terminal that it held open would not be given back.
    if is_detached {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        exec::replace_streams(&null)?;
    }
    eudaemon_sys::spawner::stand_apart(line)
}

/// Does as it is told, until its line ends.
fn tend(line: &Channel, program: &Program) -> io::Result<()> {
    const LINE: u64 = 0;
    const CHILD: u64 = 1;
    let mut child: Option<(Child, Held)> = None;
    loop {
        let mut poll = Poll::new()?;
        poll.add(line, LINE, Interest::Read)?;
        if let Some((_, held)) = &child {
            poll.add(held, CHILD, Interest::Read)?;
        }
        let mut ready = Vec::new();
        poll.wait(mono(), None, &mut ready)?;
        if ready.iter().any(|one| one.token == CHILD)
            && let Some((mut child, _)) = child.take()
        {
            let status = child.wait()?.into_raw().cast_unsigned();
            report(line, Report::Ended(status), None)?;
        }
        if !ready.iter().any(|one| one.token == LINE) {
            continue;
        }
        let mut bytes = [0; LENGTH + 1];
        let mut fds = Vec::new();
        let order = match line.receive(&mut bytes, false, |fd| fds.push(fd))? {
            Came::Message(length) => bytes.get(..length).and_then(Order::decode),
            Came::Nothing => continue,
            Came::Closed => return Ok(()),
        };
        match (order, &mut child) {
            (Some(Order::Start), None) => {
                child = start(line, program, fds)?;
            }
            (Some(Order::Start), Some(_)) => {
                report(line, Report::NotStarted(errno::EALREADY), None)?;
            }
            (Some(Order::Kill), Some((child, _))) => child.kill()?,
            // It has ended meanwhile, which is told already.
            (Some(Order::Kill), None) => {}
            (Some(Order::Leave), _) => return Ok(()),
            (None, _) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn start(
    line: &Channel,
    program: &Program,
    fds: Vec<OwnedFd>,
) -> io::Result<Option<(Child, Held)>> {
    let started = match <[OwnedFd; 2]>::try_from(fds) {
        Ok([its_line, stderr]) => program.start(its_line, stderr),
        // There was no room for them.
        Err(_) => Err(io::Error::from_raw_os_error(errno::EMFILE)),
    };
    let held = started.and_then(|mut child| {
        let held = Pid::new(child.id())
            .map_or_else(|| Err(io::ErrorKind::InvalidInput.into()), Held::open);
        if held.is_err() {
            // What cannot be waited for is not left alone.
            child.kill().and_then(|()| child.wait())?;
        }
        held.map(|held| (child, held))
    });
    match held {
        Ok((child, held)) => {
            report(line, Report::Started(child.id()), Some(held.as_fd()))?;
            Ok(Some((child, held)))
        }
        Err(error) => {
            let number = error.raw_os_error().unwrap_or(0);
            report(line, Report::NotStarted(number), None)?;
            Ok(None)
        }
    }
}

fn report(line: &Channel, report: Report, pidfd: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = pidfd.into_iter().collect();
    line.send(&report.encode(), &fds)
}
