//! What is made of finished files before they count as finished, by a thread, so that the input waits only when too many
//! files wait.
//!
//! The file `@STAMP.u` that is in work has a second name, `previous`, and what is made of it goes to `processed`. So what
//! a kill leaves is what the originals leave (specification §8.6):
//!
//! | step | what a start finds | what it does |
//! |---|---|---|
//! | `previous` is linked | a file of two names | removes `previous`; the file stays, unprocessed |
//! | the processor runs | `processed`, 0644 | removes that too |
//! | `processed` is synced, 0744 | `previous` and its other name | gives `processed` that stamp, goes on as below |
//! | `@STAMP.CODE` is linked to it | the same, and `processed` of two names | removes the others |
//! | `@STAMP.u`, then `previous` are removed | `processed` of two names | removes `processed` |
//! | `newstate` becomes `state`, `processed` is removed | nothing of all this | nothing |
//!
//! All of it is done before `current` is marked as complete at the end: a start that finds it complete looks no further.

use super::super::logging::{Ears, lock};
use super::REPORT;
use eudaemon_core::log::{Directory, Name, Processor, STAMP_SIZE, Shelf};
use eudaemon_core::words::{Ended, Signal};
use eudaemon_sys::exec::{self, Helper};
use eudaemon_sys::file::{self, Folder};
use eudaemon_sys::process::Held;
use std::collections::VecDeque;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How long to wait before a processor that failed is run again. Source: specification §8.5.
const AGAIN: Duration = Duration::from_secs(5);
/// How long TERM waits for a command that runs, and then for its end by TERM.
const GRACE: Duration = Duration::from_secs(5);
const LAST: Duration = Duration::from_secs(1);
/// How often to look whether there is room in the backlog, while there is none.
const LOOK: Duration = Duration::from_millis(20);
/// While it is written, and once it is complete.
const OPEN: u32 = 0o644;
const COMPLETE: u32 = 0o744;
/// The compressor's tables are on the heap.
const STACK_SIZE: usize = 256 * 1024;

#[derive(Debug, Default)]
struct State {
    /// The names of files that wait; the first is in work.
    waiting: VecDeque<Vec<u8>>,
    /// The command that runs.
    running: Option<Held>,
    ending: bool,
    /// The thread is done.
    ended: bool,
}

#[derive(Debug)]
struct Shared {
    plan: Directory,
    folder: Arc<Folder>,
    shelf: Arc<Mutex<Shelf>>,
    state: Mutex<State>,
    change: Condvar,
}

/// The processor of one directory.
#[derive(Debug)]
pub struct Works {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    backlog: usize,
}

impl Works {
    /// The one of this directory, if it has one.
    pub fn new(plan: &Directory, folder: &Arc<Folder>, shelf: &Arc<Mutex<Shelf>>) -> Option<Works> {
        plan.processor.as_ref()?;
        // A file that waits must not be removed as surplus.
        let backlog = plan.backlog.min(plan.number.saturating_sub(1)).max(1);
        Some(Works {
            shared: Arc::new(Shared {
                plan: plan.clone(),
                folder: Arc::clone(folder),
                shelf: Arc::clone(shelf),
                state: Mutex::default(),
                change: Condvar::new(),
            }),
            thread: None,
            backlog: usize::try_from(backlog).unwrap_or(usize::MAX),
        })
    }

    /// Waits until one more file may wait, or TERM comes.
    pub fn wait_for_room(&self, ears: &mut Ears) -> Result<(), super::super::logging::Stop> {
        while lock(&self.shared.state).waiting.len() >= self.backlog {
            ears.pause(LOOK)?;
        }
        Ok(())
    }

    /// Has a file processed.
    pub fn add(&mut self, name: Vec<u8>) {
        lock(&self.shared.state).waiting.push_back(name);
        if self.thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let builder = Builder::new()
                .name("processor".into())
                .stack_size(STACK_SIZE);
            // Without a thread the work waits for the end, or for the next file.
            self.thread = builder.spawn(move || work(&shared)).ok();
        }
        self.shared.change.notify_one();
    }

    /// Waits until all is processed. Once TERM came, until the first that fails; one that hangs is told to end, and killed.
    pub fn end(&mut self, ears: &mut Ears) {
        if self.thread.is_some() {
            while !lock(&self.shared.state).waiting.is_empty() && ears.pause(LOOK).is_ok() {}
        }
        lock(&self.shared.state).ending = true;
        self.shared.change.notify_one();
        match self.thread.take() {
            Some(thread) => {
                for (most, signal) in [(GRACE, Signal::Term), (LAST, Signal::Kill)] {
                    let state = lock(&self.shared.state);
                    let waited = self
                        .shared
                        .change
                        .wait_timeout_while(state, most, |state| !state.ended);
                    let state = waited.unwrap_or_else(PoisonError::into_inner).0;
                    if let Some(running) = state.running.as_ref().filter(|_| !state.ended) {
                        // It may have ended just now, which is as well.
                        let _ = running.signal(signal);
                    }
                }
                // A thread that panicked has aborted the process.
                let _ = thread.join();
            }
            None => work(&self.shared),
        }
    }
}

fn work(shared: &Shared) {
    process_all(shared);
    lock(&shared.state).ended = true;
    shared.change.notify_all();
}

fn process_all(shared: &Shared) {
    loop {
        let mut state = lock(&shared.state);
        while state.waiting.is_empty() && !state.ending {
            state = shared
                .change
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let Some(name) = state.waiting.front().cloned() else {
            return;
        };
        drop(state);
        let done = process(shared, &name);
        let mut state = lock(&shared.state);
        if done {
            state.waiting.pop_front();
        } else if state.ending {
            // What waits keeps its name, which says that it is unprocessed.
            abandon(&shared.folder);
            state.waiting.clear();
        } else {
            let waited = shared
                .change
                .wait_timeout_while(state, AGAIN, |state| !state.ending);
            drop(waited);
        }
    }
}

/// Removes what a try left. A failure is met again by the next try.
fn abandon(folder: &Folder) {
    let previous = Name::Previous.text();
    let linked = folder
        .look(previous)
        .ok()
        .flatten()
        .is_some_and(|about| about.links > 1);
    if linked {
        let _ = folder.remove(previous);
    }
    for name in [Name::Processed, Name::NewState] {
        let _ = folder.remove(name.text());
    }
}

fn warn(shared: &Shared, before: &str, after: &str, error: Option<&io::Error>) {
    let path = OsStr::from_bytes(&shared.plan.path);
    REPORT.warn(
        &[
            OsStr::new(before),
            path,
            OsStr::new(after),
            OsStr::new(", pausing"),
        ],
        error,
    );
}

/// Processes one file; whether it is done with.
fn process(shared: &Shared, name: &[u8]) -> bool {
    let folder = &shared.folder;
    // Too much, and removed.
    if !lock(&shared.shelf).holds(name) {
        return true;
    }
    let said = |before: &str, after: &str, error: io::Error| {
        warn(shared, before, after, Some(&error));
    };
    let previous = Name::Previous.text();
    // One of an earlier try. One that somebody else left has no other name, and is not ours to remove.
    let linked = folder
        .look(previous)
        .ok()
        .flatten()
        .is_some_and(|about| about.links > 1);
    if linked && let Err(error) = folder.remove(previous) {
        said("unable to remove ", "/previous", error);
        return false;
    }
    // Without second names (vfat) a kill leaves the file processed and unprocessed, which is better than neither.
    let _ = folder.link(name, previous);
    let opened = open(folder, name);
    let (input, output, state, newstate) = match opened {
        Ok(files) => files,
        Err((what, error)) => {
            said("unable to create ", what, error);
            return false;
        }
    };
    if let Err(error) = input
        .sync_all()
        .and_then(|()| file::set_mode(&input, COMPLETE))
    {
        said("unable to write ", "/previous to disk", error);
        return false;
    }
    let ran = match &shared.plan.processor {
        Some(Processor::Command(command)) => {
            run(shared, command, [&input, &output, &state, &newstate])
        }
        Some(Processor::Gzip) => match compress(&input, &output) {
            Ok(()) => true,
            Err(error) => {
                said("unable to write to ", "/processed", error);
                false
            }
        },
        None => true,
    };
    if !ran {
        return false;
    }
    match keep(shared, name, &output, &newstate) {
        Ok(()) => true,
        Err((what, error)) => {
            said("unable to write ", what, error);
            false
        }
    }
}

type Failure = (&'static str, io::Error);

fn open(folder: &Folder, name: &[u8]) -> Result<(File, File, File, File), Failure> {
    let input = folder.read(name).map_err(|error| ("/previous", error))?;
    let output = folder
        .create(Name::Processed.text(), OPEN)
        .map_err(|error| ("/processed", error))?;
    let state = folder
        .in_place(Name::State.text(), OPEN)
        .map_err(|error| ("/state", error))?;
    let newstate = folder
        .create(Name::NewState.text(), OPEN)
        .map_err(|error| ("/newstate", error))?;
    file::set_mode(&output, OPEN).map_err(|error| ("/processed", error))?;
    Ok((input, output, state, newstate))
}

/// Runs the command; whether it ended well.
fn run(shared: &Shared, command: &[u8], [input, output, state, newstate]: [&File; 4]) -> bool {
    let Ok(command) = CString::new(command) else {
        return false;
    };
    let environment = exec::own_environment();
    let environment: Vec<_> = environment.iter().map(CString::as_c_str).collect();
    let helper = Helper {
        file: c"/bin/sh",
        argv: &[c"sh", c"-c", &command],
        environment: &environment,
        streams: [Some(input.as_fd()), Some(output.as_fd()), None],
        more: &[(state.as_fd(), 4), (newstate.as_fd(), 5)],
        folder: Some(shared.folder.as_fd()),
    };
    let pid = match exec::spawn(&helper) {
        Ok(pid) => pid,
        Err(error) => {
            warn(shared, "unable to fork for processor in ", "", Some(&error));
            return false;
        }
    };
    lock(&shared.state).running = Held::open(pid).ok();
    let ended = exec::wait(pid);
    lock(&shared.state).running = None;
    match ended {
        Ok(Ended::Code(0)) => true,
        Ok(Ended::Code(_)) => {
            warn(shared, "processor failed in ", "", None);
            false
        }
        // Differs: the original adds the phrase of an unrelated error, and says that it failed as well.
        Ok(Ended::Signal { .. } | Ended::Unknown) => {
            warn(shared, "processor crashed in ", "", None);
            false
        }
        Err(error) => {
            warn(shared, "wait failed for processor in ", "", Some(&error));
            false
        }
    }
}

fn compress(mut input: &File, output: &File) -> io::Result<()> {
    let mut encoder = flate2::write::GzEncoder::new(output, flate2::Compression::default());
    io::copy(&mut input, &mut encoder)?;
    encoder.finish()?;
    Ok(())
}

/// Gives what was made the file's final name, in the order that the table above tells.
fn keep(shared: &Shared, name: &[u8], output: &File, newstate: &File) -> Result<(), Failure> {
    let folder = &shared.folder;
    output
        .sync_all()
        .and_then(|()| file::set_mode(output, COMPLETE))
        .map_err(|error| ("/processed to disk", error))?;
    newstate
        .sync_all()
        .map_err(|error| ("/newstate to disk", error))?;
    let mut last = name[..=STAMP_SIZE].to_vec();
    last.extend_from_slice(&shared.plan.code);
    let processed = Name::Processed.text();
    let mut shelf = lock(&shared.shelf);
    let linked = match folder.link(processed, last.as_slice()) {
        Ok(()) => true,
        // Of a try that failed after it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => folder
            .remove(last.as_slice())
            .and_then(|()| folder.link(processed, last.as_slice()))
            .map(|()| true)
            .map_err(|error| ("/processed", error))?,
        // Without second names (vfat).
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => false,
        Err(error) => return Err(("/processed", error)),
    };
    folder
        .remove(name)
        .and_then(|()| folder.remove(Name::Previous.text()))
        .map_err(|error| ("/previous", error))?;
    folder
        .rename(Name::NewState.text(), Name::State.text())
        .map_err(|error| ("/newstate", error))?;
    if linked {
        folder.remove(processed)
    } else {
        folder.rename_to_new(processed, last.as_slice())
    }
    .map_err(|error| ("/processed", error))?;
    let size_bytes = file::about(output).ok().map(|about| about.size_bytes);
    shelf.rename(name, &last, size_bytes);
    drop(shelf);
    // Differs: the original never does this, and a power cut may bring back the names of before.
    folder.sync().map_err(|error| ("", error))
}
