//! One log directory: `current`, its rotation, its intent, and what an earlier run left.
//!
//! Killed at any step of a rotation, nothing is lost:
//!
//! | step | what a start finds | what it does |
//! |---|---|---|
//! | `current` gets its final name, ending in `.u` | no `current` | begins one |
//! | surplus files are removed | the same, fewer of them | the same |
//! | a new `current` is made | it, empty | as after any crash: it becomes an empty `.u` file |
//! | the thread syncs the finished file and renames it to `.s` | either name | nothing: both are final |

use super::super::logging::{Dirt, Ears, Finished, Safe, Stop, lock, persist};
use super::REPORT;
use super::works::Works;
use eudaemon_core::log::{
    Code, Directory, Dropped, Fill, Found, INTENT_SIZE, Intent, Name, Repair, STAMP_SIZE, Shelf,
    Volume, recover,
};
use eudaemon_core::scan::Id;
use eudaemon_core::time::Mono;
use eudaemon_sys::clock;
use eudaemon_sys::errno;
use eudaemon_sys::file::{self, About, Folder};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// `current` while it is written, and once it is complete.
const OPEN: u32 = 0o644;
const COMPLETE: u32 = 0o744;
/// How far the odometer runs before it is set back.
pub const ODOMETER_MAX: u64 = 256 * 1024;

/// A directory that is ours, and in which nothing was changed yet.
#[derive(Debug)]
pub struct Locked {
    pub plan: Directory,
    pub folder: Arc<Folder>,
    /// Held for as long as the directory is in use, and released by its closing. Its first page holds the intent; what is
    /// behind it is the odometer.
    pub lock: File,
    /// What the last run was at.
    pub intent: Option<Intent>,
}

/// A directory that can be written to.
#[derive(Debug)]
pub struct LogDirectory {
    pub plan: Directory,
    folder: Arc<Folder>,
    lock: File,
    current: Arc<File>,
    /// Which file `current` is.
    pub id: Id,
    /// How long it is.
    pub size_bytes: u64,
    shelf: Arc<Mutex<Shelf>>,
    dirt: Arc<Dirt>,
    works: Option<Works>,
    /// When the first byte of `current` was written, as far as is known; told only if its age counts.
    born: Option<Mono>,
    /// The encoded intent.
    record: Vec<u8>,
    /// What there was no room for.
    dropped: Dropped,
    /// `current` ends with a line's end, as far as is known.
    ended: bool,
}

pub fn id(about: &About) -> Id {
    Id {
        dev: about.identity.device,
        ino: about.identity.inode,
    }
}

fn path(plan: &Directory) -> &OsStr {
    OsStr::from_bytes(&plan.path)
}

fn fatal(plan: &Directory, before: &str, after: &str, error: &io::Error) -> u8 {
    REPORT.fatal(&[OsStr::new(before), path(plan), OsStr::new(after)], error)
}

fn try_on<T>(
    plan: &Directory,
    ears: &mut Ears,
    before: &str,
    after: &[&str],
    attempt: impl FnMut() -> io::Result<T>,
) -> Result<T, Stop> {
    let mut text = vec![OsStr::new(before), path(plan)];
    text.extend(after.iter().map(OsStr::new));
    persist(REPORT, ears, &text, attempt)
}

impl Locked {
    /// Opens and locks the directory, and reads what the last run was at; gives an exit code if it cannot be used.
    pub fn open(plan: &Directory) -> Result<Locked, u8> {
        // If it cannot be made, it cannot be opened either, and that has a message.
        let _ = file::make_directory(path(plan), 0o700);
        let folder = Folder::open(path(plan))
            .map_err(|error| fatal(plan, "unable to open directory ", "", &error))?;
        let lock = folder
            .in_place("lock", 0o600)
            .and_then(|lock| take(&lock).map(|()| lock))
            .map_err(|error| fatal(plan, "unable to lock directory ", "", &error))?;
        let mut page = [0; INTENT_SIZE];
        let length = lock.read_at(&mut page, 0).unwrap_or(0);
        Ok(Locked {
            plan: plan.clone(),
            folder: Arc::new(folder),
            lock,
            intent: Intent::decode(&page[..length]),
        })
    }

    /// How long the file of this identity is, if it is `current`.
    pub fn current_bytes(&self, file: Id) -> Option<u64> {
        let about = self.folder.look(Name::Current.text()).ok().flatten()?;
        (about.regular && id(&about) == file).then_some(about.size_bytes)
    }

    /// Cuts `current` to this length, if it is longer.
    pub fn cut(&self, file: Id, size_bytes: u64) -> io::Result<()> {
        match self.current_bytes(file) {
            Some(now) if now > size_bytes => self
                .folder
                .append(Name::Current.text(), OPEN)?
                .set_len(size_bytes),
            Some(_) | None => Ok(()),
        }
    }

    /// Writes down what is in work. One page, which the kernel writes as a whole.
    pub fn note(&self, intent: &Intent) -> io::Result<()> {
        let mut record = Vec::with_capacity(INTENT_SIZE);
        intent.encode(&mut record);
        self.lock.write_all_at(&record, 0)
    }

    /// Does what core says is to be done with what an earlier run left, and opens `current`.
    pub fn repair(self, ears: &mut Ears) -> Result<LogDirectory, u8> {
        let Locked {
            plan, folder, lock, ..
        } = self;
        // An overwrite needs no room: a full disk must not refuse it later. On one that is full now it is asked again.
        let _ = reserve(&lock);
        let look = |name: Name, told: &str| {
            let about = folder
                .look(name.text())
                .map_err(|error| fatal(&plan, "unable to stat ", told, &error))?;
            Ok::<Found, u8>(Found::from_mode(about.map(|about| about.mode)))
        };
        let current = look(Name::Current, "/current")?;
        let processed = look(Name::Processed, "/processed")?;
        let stopped = |_: Stop| eudaemon_core::exit::Exit::Temporary.code();
        let mut shelf = read_shelf(&plan, &folder, ears).map_err(stopped)?;
        let mut renamed = false;
        if current != Found::Complete && processed == Found::Complete {
            renamed = finish_processed(&plan, &folder, &mut shelf);
        }
        for step in recover(current, processed) {
            match *step {
                // As the original: one that cannot be removed will be overwritten or is met again at the next start.
                Repair::Remove(name) => {
                    let _ = folder.remove(name.text());
                }
                Repair::Finish(name, code) => {
                    renamed |=
                        finish(&plan, &folder, &mut shelf, ears, name, code).map_err(stopped)?;
                }
                Repair::Make(name) => {
                    folder
                        .create(name.text(), OPEN)
                        .map_err(|error| fatal(&plan, "unable to write to ", "/state", &error))?;
                }
                Repair::Append => {}
            }
        }
        if renamed {
            // Differs: the original never does this, and a power cut may bring back the names of before.
            let _ = folder.sync();
        }
        let (current, about) = begin(&plan, &folder)?;
        let current = Arc::new(current);
        let shelf = Arc::new(Mutex::new(shelf));
        Ok(LogDirectory {
            works: Works::new(&plan, &folder, &shelf),
            born: None,
            dirt: Dirt::new(Arc::clone(&current), join(&plan, "/current")),
            plan,
            folder,
            lock,
            current,
            id: id(&about),
            size_bytes: about.size_bytes,
            shelf,
            record: Vec::with_capacity(INTENT_SIZE),
            dropped: Dropped::default(),
            ended: true,
        })
    }
}

/// A processor of ours had done its work on a file that has its stamp already: what it made gets the same one.
fn finish_processed(plan: &Directory, folder: &Folder, shelf: &mut Shelf) -> bool {
    let look = |name: &[u8]| folder.look(name).ok().flatten();
    let previous = look(Name::Previous.text().as_bytes()).filter(|about| about.links > 1);
    let names = folder.names().unwrap_or_default();
    let twin = names.into_iter().find(|name| {
        let same =
            |previous: &About| look(name).is_some_and(|about| about.identity == previous.identity);
        name.starts_with(b"@") && shelf.holds(name) && previous.as_ref().is_some_and(same)
    });
    let Some(twin) = twin else {
        return false;
    };
    let mut last = twin.get(..=STAMP_SIZE).unwrap_or_default().to_vec();
    last.extend_from_slice(&plan.code);
    let processed = Name::Processed.text();
    // It may have the name already. Killed after this, the next start comes here again, or finds that it has two names.
    let linked = match folder.link(processed, last.as_slice()) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::AlreadyExists,
    };
    if linked && folder.remove(twin.as_slice()).is_ok() {
        shelf.rename(&twin, &last, None);
    }
    true
}

fn join(plan: &Directory, name: &str) -> std::ffi::OsString {
    let mut whole = path(plan).to_owned();
    whole.push(name);
    whole
}

/// Whether a write found no room, or none that its owner may use.
fn is_full(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(errno::ENOSPC | errno::EDQUOT))
}

/// Takes the lock. A logger that was killed while it started a processor has it until that has its program, so it is
/// waited for a little.
fn take(lock: &File) -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_millis(500);
    const LOOK: Duration = Duration::from_millis(10);
    let until = clock::mono() + PATIENCE;
    loop {
        match file::lock(lock) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && clock::mono() < until => {
                clock::pause(LOOK);
            }
            other => return other,
        }
    }
}

/// Makes room for the intent.
fn reserve(lock: &File) -> io::Result<()> {
    let length = file::about(lock)?.size_bytes;
    let page = INTENT_SIZE as u64;
    if length < page {
        let missing = usize::try_from(page - length).unwrap_or(INTENT_SIZE);
        lock.write_all_at(&[0; INTENT_SIZE][..missing], length)?;
    } else if length > page {
        lock.set_len(page)?;
    }
    Ok(())
}

/// Opens `current`, which may be there, and marks it as open.
fn begin(plan: &Directory, folder: &Folder) -> Result<(File, About), u8> {
    let open = folder.append(Name::Current.text(), 0o600);
    let current = open.map_err(|error| fatal(plan, "unable to append to ", "/current", &error))?;
    let mode = file::set_mode(&current, OPEN);
    mode.map_err(|error| fatal(plan, "unable to set mode of ", "/current", &error))?;
    let about = file::about(&current)
        .map_err(|error| fatal(plan, "unable to stat ", "/current", &error))?;
    Ok((current, about))
}

fn read_shelf(plan: &Directory, folder: &Folder, ears: &mut Ears) -> Result<Shelf, Stop> {
    let names = try_on(plan, ears, "unable to read ", &[], || folder.names())?;
    Ok(Shelf::new(names.into_iter().map(|name| {
        let about = plan
            .total_bytes
            .and_then(|_| folder.look(name.as_slice()).ok().flatten());
        let size_bytes = about.map_or(0, |about| about.size_bytes);
        Volume { name, size_bytes }
    })))
}

/// Gives a file its final name, if it is there, and lets surplus files go; whether a name changed.
///
/// A file that has two names has its final one already: an original was killed between giving it and removing the other.
fn finish(
    plan: &Directory,
    folder: &Folder,
    shelf: &mut Shelf,
    ears: &mut Ears,
    name: Name,
    code: Code,
) -> Result<bool, Stop> {
    let file = name.text();
    let Some(about) = try_on(plan, ears, "unable to stat ", &["/", file], || {
        folder.look(file)
    })?
    else {
        return Ok(false);
    };
    if about.links > 1 {
        try_on(plan, ears, "unable to remove ", &["/", file], || {
            folder.remove(file)
        })?;
        return Ok(true);
    }
    let code = match code {
        Code::Safe => plan.code.as_slice(),
        Code::Unfinished => b"u",
    };
    let name = try_on(plan, ears, "unable to link to ", &["/", file], || {
        retire(folder, shelf, file, code)
    })?;
    shelf.push(Volume {
        name,
        size_bytes: about.size_bytes,
    });
    clear(plan, folder, shelf, ears)?;
    Ok(true)
}

/// Renames a file to a stamp that nothing has.
fn retire(folder: &Folder, shelf: &mut Shelf, file: &str, code: &[u8]) -> io::Result<Vec<u8>> {
    loop {
        let mut name = shelf.stamp(clock::wall()).external().to_vec();
        name.push(b'.');
        name.extend_from_slice(code);
        match folder.rename_to_new(file, name.as_slice()) {
            Ok(()) => return Ok(name),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes what is too much; the names.
fn clear(
    plan: &Directory,
    folder: &Folder,
    shelf: &mut Shelf,
    ears: &mut Ears,
) -> Result<Vec<Vec<u8>>, Stop> {
    let mut gone = Vec::new();
    while let Some(old) = shelf.surplus(plan.number, plan.total_bytes) {
        let name = String::from_utf8_lossy(&old.name).into_owned();
        try_on(plan, ears, "unable to remove ", &["/", &name], || {
            folder.remove(old.name.as_slice())
        })?;
        gone.push(old.name);
    }
    Ok(gone)
}

impl LogDirectory {
    /// How full `current` is.
    pub fn fill(&self) -> Fill {
        Fill::new(self.plan.size_bytes, self.size_bytes)
    }

    /// The file whose first page is the intent and whose rest is the odometer.
    pub fn lock(&self) -> &File {
        &self.lock
    }

    /// Writes down what is in work.
    pub fn note(&mut self, intent: &Intent, ears: &mut Ears) -> Result<(), Stop> {
        let (lock, record) = (&self.lock, &mut self.record);
        intent.encode(record);
        try_on(
            &self.plan,
            ears,
            "unable to write to ",
            &["/current"],
            || lock.write_all_at(record, 0),
        )
    }

    /// Appends to `current` what a piece gives it. What finds no room is dropped and counted, if that was asked for.
    pub fn append(
        &mut self,
        parts: [&[u8]; 2],
        ears: &mut Ears,
        safe: &mut Safe,
    ) -> Result<(), Stop> {
        let begun = (self.size_bytes, self.ended);
        for part in parts {
            // There was no room for the line that tells of what was dropped before.
            if self.dropped.is_any() || !self.write(part, ears, safe)? {
                self.undo(begun.0);
                self.ended = begun.1;
                self.dropped.take(parts);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Whether there is something that was dropped and not told of.
    pub fn has_dropped(&self) -> bool {
        self.dropped.is_any()
    }

    /// Tells of what was dropped, as soon as there is room; whether `current` grew.
    pub fn tell_dropped(
        &mut self,
        stamp: &[u8],
        ears: &mut Ears,
        safe: &mut Safe,
    ) -> Result<bool, Stop> {
        if !self.dropped.is_any() {
            return Ok(false);
        }
        let begun = (self.size_bytes, self.ended);
        let line = self.dropped.marker(stamp, self.ended);
        if self.write(&line, ears, safe)? {
            self.dropped.told();
        } else {
            self.undo(begun.0);
            self.ended = begun.1;
        }
        Ok(!self.dropped.is_any())
    }

    /// Tells those who hear stderr what the directory could not be told.
    pub fn tell_lost(&self) {
        if self.dropped.is_any() {
            let told = self.dropped.to_string();
            REPORT.warn(&[path(&self.plan), ": ".as_ref(), told.as_ref()], None);
        }
    }

    /// Writes to the end of `current`; false if there is no room and what finds none is dropped.
    fn write(&mut self, bytes: &[u8], ears: &mut Ears, safe: &mut Safe) -> Result<bool, Stop> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut current = &*self.current;
            let drops = self.plan.drops;
            let written = try_on(
                &self.plan,
                ears,
                "unable to write to ",
                &["/current"],
                || match current.write(rest) {
                    Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                    Err(error) if drops && is_full(&error) => Ok(None),
                    other => other.map(Some),
                },
            )?;
            let Some(written) = written else {
                if !self.dropped.is_any() {
                    let full = io::Error::from_raw_os_error(errno::ENOSPC);
                    let text = ["unable to write to ".as_ref(), path(&self.plan)];
                    let text = [text[0], text[1], "/current, dropping".as_ref()];
                    REPORT.warn(&text, Some(&full));
                }
                return Ok(false);
            };
            self.size_bytes += written as u64;
            self.ended = rest[written - 1] == b'\n';
            rest = &rest[written..];
        }
        if !bytes.is_empty() {
            safe.wrote(&self.dirt, self.plan.sync);
            if self.plan.age.is_some() && self.born.is_none() {
                self.born = Some(clock::mono());
            }
        }
        Ok(true)
    }

    /// Takes back what was appended.
    pub fn undo(&mut self, size_bytes: u64) {
        if self.size_bytes > size_bytes && self.current.set_len(size_bytes).is_ok() {
            self.size_bytes = size_bytes;
        }
    }

    /// Gives `current` its final name and begins another.
    pub fn rotate(&mut self, ears: &mut Ears, safe: &mut Safe) -> Result<(), Stop> {
        if let Some(works) = &self.works {
            works.wait_for_room(ears)?;
        }
        let (plan, folder) = (&self.plan, &self.folder);
        let mut shelf = lock(&self.shelf);
        let text = "unable to rename current to previous in directory ";
        let name = try_on(plan, ears, text, &[], || {
            match retire(folder, &mut shelf, Name::Current.text(), b"u") {
                Ok(name) => Ok(Some(name)),
                // Somebody took it away: then it has a place already.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            }
        })?;
        if let Some(name) = &name {
            shelf.push(Volume {
                name: name.clone(),
                size_bytes: self.size_bytes,
            });
            for old in clear(plan, folder, &mut shelf, ears)? {
                safe.forget(&old, folder);
            }
        }
        drop(shelf);
        let new = try_on(plan, ears, "unable to create ", &["/current"], || {
            folder.append(Name::Current.text(), OPEN)
        })?;
        let about = try_on(plan, ears, "unable to stat ", &["/current"], || {
            file::about(&new)
        })?;
        // What a sync failed for is never called safe.
        let doubtful = self.dirt.is_doubtful();
        self.born = None;
        self.current = Arc::new(new);
        self.id = id(&about);
        self.size_bytes = about.size_bytes;
        self.dirt.replace(Arc::clone(&self.current));
        if let (Some(works), Some(name)) = (&mut self.works, &name) {
            works.add(name.clone());
        } else if let Some(name) = name.filter(|_| !doubtful) {
            let mut safe_name = name[..=STAMP_SIZE].to_vec();
            safe_name.extend_from_slice(&self.plan.code);
            safe.finish(Finished {
                folder: Arc::clone(&self.folder),
                path: path(&self.plan).to_owned(),
                shelf: Arc::clone(&self.shelf),
                name,
                safe_name,
            });
        }
        Ok(())
    }

    /// When `current` is too old; `None` if it never is.
    pub fn due_at(&self) -> Option<Mono> {
        Some(self.born? + self.plan.age?)
    }

    /// Has all that waits for a processor processed.
    pub fn finish_works(&mut self, ears: &mut Ears) {
        if let Some(works) = &mut self.works {
            works.end(ears);
        }
    }

    /// Marks `current` as complete.
    pub fn complete(&mut self, ears: &mut Ears) -> Result<(), Stop> {
        if self.dirt.is_doubtful() {
            return Ok(());
        }
        let (plan, current) = (&self.plan, &self.current);
        let mut gone = None;
        let text = "/current to disk";
        try_on(plan, ears, "unable to write ", &[text], || {
            match current.sync_all() {
                // The kernel has given up on these pages: the next sync would say that all is well.
                Err(error) if error.raw_os_error() == Some(errno::EIO) => gone = Some(error),
                other => return other,
            }
            Ok(())
        })?;
        if let Some(error) = gone {
            // It stays open, and becomes `.u`.
            let words = [OsStr::new("unable to write "), path(plan), OsStr::new(text)];
            REPORT.warn(&words, Some(&error));
            return Ok(());
        }
        try_on(plan, ears, "unable to set mode of ", &["/current"], || {
            file::set_mode(current, COMPLETE)
        })
    }

    /// Forgets what was in work: nothing is.
    pub fn forget(&self) {
        // A record that stays tells of a piece that was taken, which changes nothing.
        let _ = self.lock.set_len(0);
    }

    /// Looks again at what the path names: what HUP asks for. Whether `current` is another file now.
    ///
    /// If the directory or its `current` was moved away, the old ones are completed and the new ones used from here on. The
    /// original dies of HUP; a logger that dies loses nothing by not dying.
    pub fn reopen(&mut self, ears: &mut Ears) -> bool {
        let there = Folder::open(path(&self.plan)).and_then(|folder| folder.identity());
        let same =
            matches!((&there, self.folder.identity()), (Ok(there), Ok(here)) if *there == here);
        if !same {
            // A directory that cannot be used has been told of, and the old one stays in use.
            let Ok(new) = Locked::open(&self.plan).and_then(|new| new.repair(ears)) else {
                return false;
            };
            self.finish_works(ears);
            let _ = self.complete(ears);
            self.forget();
            *self = new;
            return true;
        }
        let named = self.folder.look(Name::Current.text()).ok().flatten();
        if named.is_some_and(|about| id(&about) == self.id) {
            return false;
        }
        // If that fails it has been told of, and what is open stays in use.
        let Ok((current, about)) = begin(&self.plan, &self.folder) else {
            return false;
        };
        let _ = self.complete(ears);
        self.current = Arc::new(current);
        self.id = id(&about);
        self.size_bytes = about.size_bytes;
        self.dirt.replace(Arc::clone(&self.current));
        true
    }
}
