//! Everyone who wants to know how the service does, told from one place: the manager, a descriptor, a file, the shell that
//! waits, and `ps`.
//!
//! A manager that does not read may keep whoever tells it waiting. So what happened is put in line, which never waits, and is
//! told in that order by one thread at a time: the one that must know that it was told, or else one made for it.

use crate::detach::Detached;
use crate::notify::{Message, Notify};
use crate::pidfile::Pidfile;
use crate::shared::held;
use crate::{Context, Error, Exit, Result, logging::Log};
use eudaemon_core::time::Mono;
use eudaemon_sys::title::Title;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Those who are told.
#[derive(Debug)]
pub(crate) struct Told {
    name: String,
    notify: Notify,
    log: Log,
    status: Mutex<String>,
    waiting: Mutex<Waiting>,
    ready_file: Option<PathBuf>,
    title: Mutex<Option<Title>>,
    left: Arc<Mutex<Left>>,
    line: Mutex<InLine>,
    moved: Condvar,
    /// Another process is the service now, and this one has nothing to say any more.
    is_quiet: AtomicBool,
}

/// What is to be told.
#[derive(Debug)]
pub(crate) enum News {
    /// Ready, for the first time or again after a reload.
    Ready,
    /// A reload began then.
    Reloading(Mono),
    Stopping,
    Status(String),
}

#[derive(Debug, Default)]
struct InLine {
    news: VecDeque<News>,
    put: u64,
    told: u64,
    /// A thread is telling.
    busy: bool,
}

/// A place in the line.
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is told before somebody tells it"]
pub(crate) struct Place(u64);

/// Those who wait for ready alone, until they were told.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// A descriptor for a line, as s6 and dinit want it.
    pub descriptor: Option<File>,
    /// A file that gets its name then.
    pub file: Option<ReadyFile>,
    /// The shell.
    pub shell: Option<Detached>,
}

/// A file whose being there says that the service is ready. It is made under another name as soon as the service is who it
/// will be: whether it can be made is known before anybody waits for it.
#[derive(Debug)]
pub(crate) struct ReadyFile {
    fresh: PathBuf,
    path: PathBuf,
}

impl ReadyFile {
    /// Makes it, with the rights and from the root that are left.
    pub fn make(path: PathBuf) -> Result<ReadyFile> {
        let attempt = || format!("service.ready-file: unable to make {}", path.display());
        let Some(name) = path.file_name() else {
            return Err(Error::config(format!(
                "service.ready-file: {} has no name",
                path.display()
            )));
        };
        let name = format!(".{}.{}", name.display(), std::process::id());
        let fresh = path.with_file_name(name);
        File::create_new(&fresh)
            .map_err(|error| Error::from(error).class(Exit::CannotCreate))
            .during(attempt)?;
        Ok(ReadyFile { fresh, path })
    }
}

/// What must not be there any more when the process is gone.
#[derive(Debug, Default)]
struct Left {
    pidfile: Option<Pidfile>,
    /// The readiness file before it had its name.
    fresh: Option<PathBuf>,
    /// And by its name.
    ready: Option<PathBuf>,
}

/// Removes what must not be left, once. Of use to a thread that ends the process while others hang.
#[derive(Debug)]
pub(crate) struct Cleaner(Arc<Mutex<Left>>);

impl Cleaner {
    pub fn clean(&self) {
        let left = std::mem::take(&mut *held(&self.0));
        for path in left.fresh.into_iter().chain(left.ready) {
            // It has one of the two names.
            let _ = std::fs::remove_file(path);
        }
        if let Some(pidfile) = left.pidfile {
            // The lock is gone with the process; a file without a lock means nothing.
            let _ = pidfile.remove();
        }
    }
}

impl Told {
    pub fn new(
        name: &str,
        notify: Notify,
        log: Log,
        waiting: Waiting,
        title: Option<Title>,
        pidfile: Option<Pidfile>,
    ) -> Told {
        let left = Left {
            pidfile,
            fresh: waiting.file.as_ref().map(|file| file.fresh.clone()),
            ready: None,
        };
        Told {
            name: name.to_owned(),
            notify,
            log,
            status: Mutex::new(String::new()),
            ready_file: waiting.file.as_ref().map(|file| file.path.clone()),
            waiting: Mutex::new(waiting),
            title: Mutex::new(title),
            left: Arc::new(Mutex::new(left)),
            line: Mutex::default(),
            moved: Condvar::new(),
            is_quiet: AtomicBool::new(false),
        }
    }

    /// The PID file of the process before is this one's to remove from now on.
    pub fn own(&self, pidfile: Pidfile) {
        held(&self.left).pidfile = Some(pidfile);
    }

    /// The PID file and its lock, for the next process.
    pub fn pidfile(&self) -> io::Result<Option<(PathBuf, OwnedFd)>> {
        let left = held(&self.left);
        let Some(pidfile) = &left.pidfile else {
            return Ok(None);
        };
        let lock = pidfile.as_fd().try_clone_to_owned()?;
        Ok(Some((pidfile.path().to_owned(), lock)))
    }

    /// Where the readiness file is, or is about to be: a service is replaced as soon as it is ready, and may be telling so still.
    pub fn ready_file(&self) -> Option<PathBuf> {
        self.ready_file.clone()
    }

    /// Another process is the service now: it has the PID file and the readiness file, and it is the one that speaks.
    pub fn hand_on(&self) {
        // Ready too: it makes a file.
        self.tell_all();
        self.is_quiet.store(true, Ordering::SeqCst);
        self.notify.hush(true);
        // Neither is removed. The lock is the other process's too, and so it goes on.
        drop(std::mem::take(&mut *held(&self.left)));
        if let Some(title) = held(&self.title).as_mut() {
            // `ps` is for people: nothing depends on it.
            let _ = title.set(format!("{}: draining", self.name).as_bytes());
        }
    }

    /// Puts it in line. Does not wait.
    pub fn put(&self, news: News) -> Place {
        let mut line = held(&self.line);
        line.news.push_back(news);
        line.put += 1;
        Place(line.put)
    }

    /// Returns when everything up to there was told: by this thread, if no other is at it.
    pub fn tell(&self, place: Place) {
        let mut line = held(&self.line);
        while line.told < place.0 {
            if line.busy {
                let waited = self.moved.wait(line);
                line = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(news) = line.news.pop_front() else {
                return;
            };
            line.busy = true;
            drop(line);
            let turn = Turn(self);
            self.say(news);
            drop(turn);
            line = held(&self.line);
        }
    }

    /// Returns when everything that happened before was told.
    pub fn tell_all(&self) {
        let place = Place(held(&self.line).put);
        self.tell(place);
    }

    /// Has it told soon, without waiting for that.
    pub fn tell_soon(self: &Arc<Told>, place: Place) {
        let told = Arc::clone(self);
        let thread = std::thread::Builder::new().name("eud-teller".to_owned());
        if thread.spawn(move || told.tell(place)).is_err() {
            self.tell(place);
        }
    }

    fn say(&self, news: News) {
        if self.is_quiet.load(Ordering::SeqCst) {
            return;
        }
        match news {
            News::Ready => self.ready(),
            News::Reloading(since) => self.send(&Message::new().reloading(since.0 / 1000)),
            News::Stopping => self.stopping(),
            News::Status(text) => self.new_status(&text),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn notify(&self) -> &Notify {
        &self.notify
    }

    pub fn cleaner(&self) -> Cleaner {
        Cleaner(Arc::clone(&self.left))
    }

    /// The last status.
    pub fn last_status(&self) -> String {
        held(&self.status).clone()
    }

    /// A new status; the same one again is not told again.
    pub fn status(&self, text: String) {
        self.tell(self.put(News::Status(text)));
    }

    fn new_status(&self, text: &str) {
        let line: String = text
            .chars()
            .map(|letter| if letter.is_control() { ' ' } else { letter })
            .collect();
        let line = line.trim();
        let mut status = held(&self.status);
        if *status == line {
            return;
        }
        line.clone_into(&mut status);
        drop(status);
        self.send(&Message::new().status(line));
        self.show(line);
    }

    fn show(&self, line: &str) {
        if self.is_quiet.load(Ordering::SeqCst) {
            return;
        }
        if let Some(title) = held(&self.title).as_mut() {
            // `ps` is for people: nothing depends on it.
            let _ = title.set(format!("{}: {line}", self.name).as_bytes());
        }
    }

    fn send(&self, message: &Message) {
        if let Err(error) = self.notify.send(message) {
            self.log
                .warning(format_args!("unable to tell the manager: {error}"));
        }
    }

    /// Ready, with the status in the same message.
    fn ready(&self) {
        let status = self.last_status();
        let mut message = Message::new().ready();
        if !status.is_empty() {
            message = message.status(&status);
        }
        self.send(&message);
        let waiting = std::mem::take(&mut *held(&self.waiting));
        if let Some(mut descriptor) = waiting.descriptor
            && let Err(error) = descriptor.write_all(b"\n")
        {
            self.log.warning(format_args!(
                "unable to write to the readiness descriptor: {error}"
            ));
        }
        // It takes the place of whatever lies there by now, and follows no link.
        if let Some(file) = waiting.file {
            let mut left = held(&self.left);
            match std::fs::rename(&file.fresh, &file.path) {
                // Only now: before, it is that of the process whose place this one takes.
                Ok(()) => {
                    left.fresh = None;
                    left.ready = Some(file.path);
                }
                Err(error) => self.log.warning(format_args!(
                    "unable to make {}: {error}",
                    file.path.display()
                )),
            }
            drop(left);
        }
        if let Some(shell) = waiting.shell
            && let Err(error) = shell.ready()
        {
            self.log
                .warning(format_args!("unable to let go of the shell: {error}"));
        }
    }

    fn stopping(&self) {
        let status = "stopping";
        status.clone_into(&mut held(&self.status));
        self.send(&Message::new().stopping().status(status));
        self.show(status);
    }

    /// The end by an error.
    pub fn failed(&self, error: &Error) {
        failed(&self.notify, error);
    }

    /// The shell that still waits, if it does.
    pub fn shell(&self) -> Option<Detached> {
        held(&self.waiting).shell.take()
    }
}

/// One thread's turn to tell something, over when this is dropped.
struct Turn<'a>(&'a Told);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut line = held(&self.0.line);
        line.told += 1;
        line.busy = false;
        drop(line);
        self.0.moved.notify_all();
    }
}

/// Tells the manager of an end by an error: its words become the status, so that they stand where a person looks first.
pub(crate) fn failed(notify: &Notify, error: &Error) {
    let mut message = Message::new().status(&error.to_string());
    if let Some(number) = error.errno() {
        message = message.errno(number);
    }
    // Who cannot be told is not told; the log and the exit code are left.
    let _ = notify.send(&message);
}
