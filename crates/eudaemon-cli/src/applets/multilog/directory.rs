//! One log directory: `current`, its rotation, and what an earlier run left.

use super::{REPORT, persist};
use eudaemon_core::log::{
    Code, Directory, Fill, Found, Name, Next, Repair, next_stamp, recover, surplus,
};
use eudaemon_sys::clock;
use eudaemon_sys::file::{self, Folder};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;

/// `current` while it is written, and once it is complete.
const OPEN: u32 = 0o644;
const COMPLETE: u32 = 0o744;
/// How much may wait before it is written without waiting for the end of the input's piece: a short line with a stamp is
/// many times as long as without.
const WAITING_MAX: usize = 256 * 1024;

/// A directory that is locked and can be written to.
#[derive(Debug)]
pub struct LogDirectory {
    plan: Directory,
    folder: Folder,
    /// Held for as long as the directory is in use, and released by its closing.
    _lock: File,
    current: File,
    fill: Fill,
    waiting: Vec<u8>,
}

/// What is at hand for talking about the files of a directory.
#[derive(Clone, Copy, Debug)]
struct Speaker<'a>(&'a OsStr);

impl Speaker<'_> {
    fn fatal(self, before: &str, after: &str, error: &io::Error) -> u8 {
        REPORT.fatal(&[OsStr::new(before), self.0, OsStr::new(after)], error)
    }

    fn persist<T>(self, before: &str, after: &str, attempt: impl FnMut() -> io::Result<T>) -> T {
        persist(&[OsStr::new(before), self.0, OsStr::new(after)], attempt)
    }

    fn persist_on<T>(self, before: &str, name: &[u8], attempt: impl FnMut() -> io::Result<T>) -> T {
        let parts = [
            OsStr::new(before),
            self.0,
            OsStr::new("/"),
            OsStr::from_bytes(name),
        ];
        persist(&parts, attempt)
    }
}

impl LogDirectory {
    /// Opens, locks and repairs the directory; gives an exit code if it cannot be used.
    pub fn open(plan: &Directory) -> Result<LogDirectory, u8> {
        let path = OsStr::from_bytes(&plan.path).to_owned();
        let speaker = Speaker(&path);
        // If it cannot be made, it cannot be opened either, and that has a message.
        let _ = file::make_directory(&path, 0o700);
        let folder = Folder::open(&path)
            .map_err(|error| speaker.fatal("unable to open directory ", "", &error))?;
        let lock = folder
            .append("lock", 0o600)
            .and_then(|lock| file::lock(&lock).map(|()| lock))
            .map_err(|error| speaker.fatal("unable to lock directory ", "", &error))?;
        let (current, fill) = repair(plan, &folder)?;
        Ok(LogDirectory {
            plan: plan.clone(),
            folder,
            _lock: lock,
            current,
            fill,
            waiting: Vec::new(),
        })
    }

    fn path(&self) -> OsString {
        OsStr::from_bytes(&self.plan.path).to_owned()
    }

    /// Takes bytes to be written.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= WAITING_MAX {
            self.write();
        }
    }

    /// Writes what waits, rotating as often as it takes.
    pub fn write(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.as_slice();
        while let Some(next) = self.fill.next(rest) {
            match next {
                Next::Rotate => self.rotate(),
                Next::Write(most) => {
                    let path = self.path();
                    let written = Speaker(&path).persist("unable to write to ", "/current", || {
                        match self.current.write(&rest[..most]) {
                            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
                            other => other,
                        }
                    });
                    let (done, left) = rest.split_at(written);
                    self.fill.wrote(done);
                    rest = left;
                }
            }
        }
        self.waiting = waiting;
        self.waiting.clear();
    }

    /// Rotates unless `current` is empty: what ALRM asks for.
    pub fn rotate_now(&mut self) {
        if self.fill.bytes() > 0 {
            self.rotate();
        }
    }

    /// Gives `current` its final name and begins another.
    ///
    /// Killed between any two steps, the next start finishes the work ([`recover`]).
    fn rotate(&mut self) {
        let path = self.path();
        let speaker = Speaker(&path);
        sync(&self.current, speaker);
        // The renaming would destroy a `previous` that somebody left, and with it lines.
        finish(&self.folder, &self.plan, Name::Previous, Code::Unfinished);
        let (from, to) = (Name::Current.text(), Name::Previous.text());
        speaker.persist(
            "unable to rename current to previous in directory ",
            "",
            || self.folder.rename(from, to),
        );
        let new = speaker.persist("unable to create ", "/current", || {
            self.folder.append(from, 0o600)
        });
        speaker.persist("unable to set mode of ", "/current", || {
            file::set_mode(&new, OPEN)
        });
        let previous = std::mem::replace(&mut self.current, new);
        speaker.persist("unable to set mode of ", "/previous", || {
            file::set_mode(&previous, COMPLETE)
        });
        finish(&self.folder, &self.plan, Name::Previous, Code::Safe);
        self.fill.rotated();
    }

    /// Marks `current` as complete.
    pub fn complete(&mut self) {
        let path = self.path();
        let speaker = Speaker(&path);
        sync(&self.current, speaker);
        speaker.persist("unable to set mode of ", "/current", || {
            file::set_mode(&self.current, COMPLETE)
        });
    }

    /// Looks again at what the path names: what HUP asks for.
    ///
    /// If the directory or its `current` was moved away, the old ones are completed and the new ones used from here on. The
    /// original dies of HUP; a logger that dies loses nothing by not dying.
    pub fn reopen(&mut self) {
        let path = self.path();
        let speaker = Speaker(&path);
        let there = Folder::open(&path).and_then(|folder| folder.identity());
        let same =
            matches!((&there, self.folder.identity()), (Ok(there), Ok(here)) if *there == here);
        if !same {
            // A directory that cannot be used has been told of, and the old one stays in use.
            if let Ok(mut new) = LogDirectory::open(&self.plan) {
                self.complete();
                std::mem::swap(&mut new.waiting, &mut self.waiting);
                *self = new;
            }
            return;
        }
        let named = self
            .folder
            .look(Name::Current.text())
            .ok()
            .flatten()
            .map(|about| about.identity);
        let held = file::about(&self.current).ok().map(|about| about.identity);
        if named.is_some() && named == held {
            return;
        }
        // If that fails it has been told of, and what is open stays in use.
        if let Ok((current, fill)) = begin(&self.plan, &self.folder, speaker) {
            self.complete();
            self.current = current;
            self.fill = fill;
        }
    }
}

fn sync(current: &File, speaker: Speaker<'_>) {
    speaker.persist("unable to write ", "/current to disk", || {
        current.sync_all()
    });
}

/// Does what core says is to be done with what an earlier run left, and opens `current`.
fn repair(plan: &Directory, folder: &Folder) -> Result<(File, Fill), u8> {
    let path = OsStr::from_bytes(&plan.path);
    let speaker = Speaker(path);
    let look = |name: Name, told: &str| {
        let about = folder
            .look(name.text())
            .map_err(|error| speaker.fatal("unable to stat ", told, &error))?;
        Ok::<Found, u8>(Found::from_mode(about.map(|about| about.mode)))
    };
    let current = look(Name::Current, "/current")?;
    let processed = look(Name::Processed, "/processed")?;
    for step in recover(current, processed) {
        match *step {
            // As the original: one that cannot be removed will be overwritten or is met again at the next start.
            Repair::Remove(name) => {
                let _ = folder.remove(name.text());
            }
            Repair::Finish(name, code) => finish(folder, plan, name, code),
            Repair::Make(name) => {
                let made = folder.create(name.text(), OPEN);
                made.map_err(|error| speaker.fatal("unable to write to ", "/state", &error))?;
            }
            Repair::Append => return begin(plan, folder, speaker),
        }
    }
    begin(plan, folder, speaker)
}

/// Opens `current`, which may be there, and marks it as open.
fn begin(plan: &Directory, folder: &Folder, speaker: Speaker<'_>) -> Result<(File, Fill), u8> {
    let open = folder.append(Name::Current.text(), 0o600);
    let current =
        open.map_err(|error| speaker.fatal("unable to append to ", "/current", &error))?;
    let mode = file::set_mode(&current, OPEN);
    mode.map_err(|error| speaker.fatal("unable to set mode of ", "/current", &error))?;
    let about = file::about(&current)
        .map_err(|error| speaker.fatal("unable to stat ", "/current", &error))?;
    Ok((current, Fill::new(plan.size_bytes, about.size_bytes)))
}

/// Gives a file its final name, if it is there, and lets surplus files go.
///
/// A second name first, the old one removed after: killed between the two, a start finds two names and removes one.
fn finish(folder: &Folder, plan: &Directory, name: Name, code: Code) {
    let path = OsStr::from_bytes(&plan.path);
    let speaker = Speaker(path);
    let file = name.text();
    let Some(about) = speaker.persist_on("unable to stat ", file.as_bytes(), || folder.look(file))
    else {
        return;
    };
    let mut names = speaker.persist("unable to read ", "", || folder.names());
    let mut newest = Vec::new();
    if about.links == 1 {
        newest = speaker.persist_on("unable to link to ", file.as_bytes(), || {
            names = folder.names()?;
            let stamp = next_stamp(names.iter().map(Vec::as_slice), clock::wall());
            let mut new = stamp.external().to_vec();
            new.extend_from_slice(&[b'.', code.letter()]);
            match folder.link(file, new.as_slice()) {
                // Without second names (vfat) there is the renaming; the stamp says that nothing is overwritten.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    folder.rename(file, new.as_slice())?
                }
                other => other?,
            }
            Ok(new)
        });
        names.push(newest.clone());
    }
    speaker.persist_on("unable to remove ", file.as_bytes(), || folder.remove(file));
    // Differs: the original never does this, and a power cut may bring back the names of before.
    speaker.persist("unable to write directory ", " to disk", || folder.sync());
    for old in surplus(names.iter().map(Vec::as_slice), &newest, plan.number) {
        speaker.persist_on("unable to remove ", old, || folder.remove(old));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    /// A log directory that is gone with the test.
    struct Scratch(PathBuf, Directory);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path =
                std::env::temp_dir().join(format!("eudaemon-log-{name}-{}", std::process::id()));
            let plan = Directory {
                path: path.as_os_str().as_bytes().to_vec(),
                size_bytes: 4096,
                number: 3,
            };
            Scratch(path, plan)
        }

        fn put(&self, name: &str, mode: u32) {
            std::fs::create_dir_all(&self.0).expect("the temporary directory");
            std::fs::write(self.0.join(name), name).expect("our own directory");
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(self.0.join(name), mode).expect("our own file");
        }

        /// What holds what, with `@.s` for finished files; `lock` aside.
        fn files(&self) -> BTreeMap<String, Vec<String>> {
            let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for entry in std::fs::read_dir(&self.0).expect("our own directory") {
                let entry = entry.expect("our own directory");
                let name = entry.file_name().into_string().expect("our own names");
                let text = std::fs::read_to_string(entry.path()).expect("our own file");
                let mode = entry.metadata().expect("our own file").permissions().mode() & 0o777;
                let code = name.get(25..).filter(|_| name.starts_with('@'));
                let short = code.map_or(name.clone(), |code| format!("@{code}"));
                if short != "lock" {
                    files
                        .entry(short)
                        .or_default()
                        .push(format!("{mode:o} {text}"));
                }
            }
            files
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn what_a_crash_left_is_put_in_order() {
        // Source: specification §8.6, the table; each row: what is found, what it becomes.
        type Row = (
            &'static [(&'static str, u32)],
            &'static [(&'static str, &'static [&'static str])],
        );
        let rows: &[Row] = &[
            (
                &[("previous", 0o744), ("current", 0o644)],
                &[("@.u", &["644 current", "744 previous"])],
            ),
            (
                &[
                    ("processed", 0o744),
                    ("previous", 0o744),
                    ("current", 0o644),
                    ("newstate", 0o644),
                ],
                &[("@.s", &["744 processed"]), ("@.u", &["644 current"])],
            ),
            (
                &[
                    ("processed", 0o644),
                    ("previous", 0o744),
                    ("current", 0o644),
                ],
                &[("@.u", &["644 current", "744 previous"])],
            ),
            (&[("previous", 0o644)], &[("@.u", &["644 previous"])]),
        ];
        for (at, (found, becomes)) in rows.iter().enumerate() {
            let scratch = Scratch::new(&format!("crash-{at}"));
            found
                .iter()
                .for_each(|(name, mode)| scratch.put(name, *mode));
            drop(LogDirectory::open(&scratch.1).expect("it can be repaired"));
            let mut files = scratch.files();
            files.values_mut().for_each(|texts| texts.sort());
            let mut expected: BTreeMap<String, Vec<String>> = becomes
                .iter()
                .map(|(name, texts)| {
                    (
                        (*name).into(),
                        texts.iter().map(|&text| text.into()).collect(),
                    )
                })
                .collect();
            expected.insert("current".into(), vec!["644 ".into()]);
            expected.insert("state".into(), vec!["644 ".into()]);
            assert_eq!(files, expected, "{found:?}");
        }
    }

    #[test]
    fn a_complete_current_is_continued_and_all_else_left_alone() {
        let scratch = Scratch::new("clean");
        scratch.put("current", 0o744);
        scratch.put("previous", 0o744);
        let mut log = LogDirectory::open(&scratch.1).expect("it is in order");
        assert_eq!(scratch.files()["current"], ["644 current"]);
        assert!(LogDirectory::open(&scratch.1).is_err(), "it is locked");
        log.push(b"!");
        log.write();
        log.complete();
        assert_eq!(scratch.files()["current"], ["744 current!"]);
        assert_eq!(scratch.files()["previous"], ["744 previous"]);
        // A rotation would have destroyed the stale `previous`.
        log.rotate_now();
        let files = scratch.files();
        assert_eq!(files["@.u"], ["744 previous"]);
        assert_eq!(files["@.s"], ["744 current!"]);
    }

    #[test]
    fn old_files_go_and_the_newest_stays_though_the_clock_went_back() {
        let scratch = Scratch::new("clock");
        let ahead = "@4fffffff000000000000000a.s";
        scratch.put(ahead, 0o744);
        let mut log = LogDirectory::open(&scratch.1).expect("it is new");
        for letter in [b'a', b'b', b'c'] {
            log.push(&[letter; 4096]);
            log.write();
        }
        let files = scratch.files();
        let starts: Vec<&str> = files["@.s"].iter().map(|text| &text[..5]).collect();
        assert_eq!(starts.len(), 2);
        assert!(
            starts.contains(&"744 b") && starts.contains(&"744 c"),
            "{starts:?}"
        );
    }

    #[test]
    fn a_second_name_that_is_there_already_is_enough() {
        let scratch = Scratch::new("linked");
        scratch.put("previous", 0o744);
        let there = scratch.0.join("@400000000000000000000000.s");
        std::fs::hard_link(scratch.0.join("previous"), there).expect("our own directory");
        drop(LogDirectory::open(&scratch.1).expect("it can be repaired"));
        let files = scratch.files();
        assert_eq!(files["@.s"], ["744 previous"]);
        assert!(!files.contains_key("previous") && !files.contains_key("@.u"));
    }
}
