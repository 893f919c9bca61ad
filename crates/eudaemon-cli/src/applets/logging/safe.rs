//! A thread that makes files safe: the input waits for no disk.
//!
//! A file that was finished has its final stamp at once, and the ending that says "not known to be on the disk". The
//! thread syncs it and then gives it the ending that says it is. A file that must go before its turn comes is never synced
//! at all. `current` is synced too, so long after it was written to.

use crate::report::Report;
use eudaemon_core::log::Shelf;
use eudaemon_core::time::Mono;
use eudaemon_sys::clock;
use eudaemon_sys::errno;
use eudaemon_sys::file::{self, Folder};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How long a finished file waits for others, to be synced with them, or to be removed and never synced.
const GATHER: Duration = Duration::from_millis(200);
/// How long to wait before what could not be synced is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// How many files are open at once to be synced.
const BATCH: usize = 32;
/// Complete, and on the disk. Source: specification §8.4.
const COMPLETE: u32 = 0o744;
/// The thread calls the kernel and formats a message.
const STACK_SIZE: usize = 128 * 1024;

/// A finished file that is not known to be on the disk.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Where it is.
    pub folder: Arc<Folder>,
    /// What that is called.
    pub path: OsString,
    /// The names there, so that nobody renames what another removes.
    pub shelf: Arc<Mutex<Shelf>>,
    /// Its name.
    pub name: Vec<u8>,
    /// Its name once it is on the disk.
    pub safe_name: Vec<u8>,
}

/// A file that is written to, and whether that was since its last sync.
#[derive(Debug)]
pub struct Dirt {
    file: Mutex<Arc<File>>,
    path: OsString,
    dirty: AtomicBool,
    /// A sync failed: what was written before may be gone, and no later sync would say so.
    doubtful: AtomicBool,
}

impl Dirt {
    /// Of this file, told of by this path.
    pub fn new(file: Arc<File>, path: OsString) -> Arc<Dirt> {
        Arc::new(Dirt {
            file: Mutex::new(file),
            path,
            dirty: AtomicBool::new(false),
            doubtful: AtomicBool::new(false),
        })
    }

    /// Another file took its place.
    pub fn replace(&self, file: Arc<File>) {
        *lock(&self.file) = file;
        self.doubtful.store(false, Ordering::Relaxed);
    }

    /// Whether a sync failed since the file took its place.
    pub fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct State {
    finished: VecDeque<(Mono, Finished)>,
    dirty: Vec<(Mono, Arc<Dirt>)>,
    ending: bool,
    /// When the thread looks again by itself; what is due later need not wake it.
    looks_at: Option<Mono>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

/// The thread and what it has to do.
#[derive(Debug)]
pub struct Safe {
    report: Report,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Safe {
    /// No thread is made before there is work.
    pub fn new(report: Report) -> Safe {
        Safe {
            report,
            shared: Arc::default(),
            thread: None,
        }
    }

    /// Has a finished file made safe, soon.
    pub fn finish(&mut self, finished: Finished) {
        let at = clock::mono() + GATHER;
        self.give(at, |state| state.finished.push_back((at, finished)));
    }

    /// A finished file is no longer there.
    pub fn forget(&mut self, name: &[u8], folder: &Arc<Folder>) {
        let finished = &mut lock(&self.shared.state).finished;
        let is_it =
            |(_, one): &(Mono, Finished)| one.name == name && Arc::ptr_eq(&one.folder, folder);
        if let Some(at) = finished.iter().position(is_it) {
            finished.remove(at);
        }
    }

    /// Takes note that a file was written to; it is to be synced within this time, or never. It costs nothing if it is known
    /// to be dirty.
    pub fn wrote(&mut self, dirt: &Arc<Dirt>, interval: Option<Duration>) {
        let Some(interval) = interval else {
            return;
        };
        if !dirt.dirty.load(Ordering::Relaxed) && !dirt.dirty.swap(true, Ordering::AcqRel) {
            let dirt = Arc::clone(dirt);
            let at = clock::mono() + interval;
            self.give(at, |state| state.dirty.push((at, dirt)));
        }
    }

    fn give(&mut self, at: Mono, add: impl FnOnce(&mut State)) {
        let mut state = lock(&self.shared.state);
        add(&mut state);
        let wake = state.looks_at.is_none_or(|looks_at| at < looks_at);
        drop(state);
        if self.thread.is_none() {
            let (shared, report) = (Arc::clone(&self.shared), self.report);
            let builder = Builder::new().name("sync".into()).stack_size(STACK_SIZE);
            // Without a thread the work waits for the end, which does it.
            self.thread = builder.spawn(move || work(&shared, report)).ok();
        }
        if wake {
            self.shared.work.notify_one();
        }
    }

    /// Does what is to be done, now, and ends the thread.
    pub fn end(&mut self) {
        lock(&self.shared.state).ending = true;
        self.shared.work.notify_one();
        match self.thread.take() {
            Some(thread) => {
                // A thread that panicked has aborted the process.
                let _ = thread.join();
            }
            None => work(&self.shared, self.report),
        }
    }
}

fn work(shared: &Shared, report: Report) {
    let mut state = lock(&shared.state);
    loop {
        let now = clock::mono();
        let ending = state.ending;
        let due = |at: Mono| ending || at <= now;
        let mut finished = Vec::new();
        while state.finished.front().is_some_and(|(at, _)| due(*at)) {
            finished.extend(state.finished.pop_front().map(|(_, finished)| finished));
        }
        // One that can wait is better done with those that cannot.
        if !finished.is_empty() {
            finished.extend(state.finished.drain(..).map(|(_, finished)| finished));
        }
        let (dirty, later) = std::mem::take(&mut state.dirty)
            .into_iter()
            .partition::<Vec<_>, _>(|(at, _)| due(*at));
        state.dirty = later;
        if finished.is_empty() && dirty.is_empty() {
            if ending {
                return;
            }
            let moments = state.finished.front().map(|(at, _)| *at);
            let next = moments
                .into_iter()
                .chain(state.dirty.iter().map(|(at, _)| *at));
            let next = next.min();
            state.looks_at = next;
            state = match next {
                None => wait(&shared.work, state),
                Some(at) => {
                    let length = at.since(clock::mono());
                    let waited = shared.work.wait_timeout(state, length);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            continue;
        }
        // Whatever comes meanwhile is seen after.
        state.looks_at = Some(Mono(0));
        drop(state);
        for (_, dirt) in dirty {
            sync_dirt(report, &dirt);
        }
        let mut again = Vec::new();
        for batch in finished.chunks(BATCH) {
            again.extend(make_safe(report, batch));
        }
        state = lock(&shared.state);
        if !state.ending {
            let at = clock::mono() + AGAIN;
            state
                .finished
                .extend(again.into_iter().map(|finished| (at, finished)));
        }
    }
}

fn sync_dirt(report: Report, dirt: &Dirt) {
    // What is written from here on is dirt again.
    dirt.dirty.store(false, Ordering::Release);
    let file = Arc::clone(&lock(&dirt.file));
    if let Err(error) = file.sync_data() {
        dirt.doubtful.store(true, Ordering::Relaxed);
        let text = [
            OsStr::new("unable to write "),
            &dirt.path,
            OsStr::new(" to disk"),
        ];
        report.warn(&text, Some(&error));
    }
}

/// Syncs these files and gives them their final names; those that are to be tried again.
fn make_safe(report: Report, finished: &[Finished]) -> Vec<Finished> {
    let mut again = Vec::new();
    let mut open = Vec::new();
    for one in finished.iter().cloned() {
        if !lock(&one.shelf).holds(&one.name) {
            continue;
        }
        match one.folder.read(one.name.as_slice()) {
            Ok(file) => {
                // All of them are on their way before the first is waited for.
                file::begin_sync(&file);
                open.push((one, file));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tell(report, &one, "unable to read ", "", &error);
                again.push(one);
            }
        }
    }
    let mut folders: Vec<(Arc<Folder>, OsString)> = Vec::new();
    for (one, file) in open {
        if let Err(error) = file.sync_all() {
            tell(report, &one, "unable to write ", " to disk", &error);
            // After EIO the kernel has given up on these pages, and the next sync would say that all is well.
            if error.raw_os_error() != Some(errno::EIO) {
                again.push(one);
            }
            continue;
        }
        let mut shelf = lock(&one.shelf);
        if !shelf.holds(&one.name) {
            continue;
        }
        if let Err(error) = file::set_mode(&file, COMPLETE) {
            tell(report, &one, "unable to set mode of ", "", &error);
        }
        let (from, to) = (one.name.as_slice(), one.safe_name.as_slice());
        match one.folder.rename_to_new(from, to) {
            Ok(()) => {
                shelf.rename(from, to, None);
                if !folders
                    .iter()
                    .any(|(folder, _)| Arc::ptr_eq(folder, &one.folder))
                {
                    folders.push((Arc::clone(&one.folder), one.path.clone()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                tell(report, &one, "unable to link to ", "", &error);
                drop(shelf);
                again.push(one);
            }
        }
    }
    // Differs: the original never does this, and a power cut may bring back the names of before.
    for (folder, path) in folders {
        if let Err(error) = folder.sync() {
            let text = [
                OsStr::new("unable to write directory "),
                &path,
                OsStr::new(" to disk"),
            ];
            report.warn(&text, Some(&error));
        }
    }
    again
}

fn tell(report: Report, one: &Finished, before: &str, after: &str, error: &io::Error) {
    let name = OsStr::from_bytes(&one.name);
    report.warn(
        &[
            OsStr::new(before),
            &one.path,
            OsStr::new("/"),
            name,
            OsStr::new(after),
        ],
        Some(error),
    );
}

fn wait<'a>(work: &Condvar, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
    work.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// A panic aborts this program, so nobody leaves a lock behind half done.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
