//! The loggers that are compared: what each is told for the same task, and where it leaves the lines.

use crate::Bins;
use std::fs;
use std::path::{Path, PathBuf};

/// Whose options and files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// The original multilog and ours.
    Multilog,
    /// runit's.
    Svlogd,
    /// s6's.
    S6Log,
}

/// What is asked of a logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// All lines into one directory.
    Plain,
    /// Stamped lines: all into one directory, the odd ones into another.
    Stamped,
    /// All lines into one directory through a processor that copies.
    Processed,
}

/// A program and how to speak to it.
#[derive(Clone, Debug)]
pub struct Logger {
    /// Whose words it knows.
    pub family: Family,
    /// The program.
    pub program: PathBuf,
}

impl Logger {
    /// A multilog of one of the judged.
    #[must_use]
    pub fn multilog(bins: &Bins) -> Logger {
        Logger {
            family: Family::Multilog,
            program: bins.program("multilog".as_ref()),
        }
    }

    /// The directories it writes for this task, below the one it is started in.
    #[must_use]
    pub fn dirs(shape: Shape) -> &'static [&'static str] {
        match shape {
            Shape::Plain | Shape::Processed => &["a"],
            Shape::Stamped => &["a", "b"],
        }
    }

    /// Makes what it does not make itself.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn prepare(&self, at: &Path, shape: Shape, size: u32) {
        if self.family == Family::Svlogd {
            for dir in Logger::dirs(shape) {
                fs::create_dir_all(at.join(dir)).expect("a log directory");
                let only = if *dir == "b" { "-*\n+*odd*\n" } else { "" };
                let through = if shape == Shape::Processed {
                    "!cat\n"
                } else {
                    ""
                };
                let config = format!("s{size}\nn0\n{through}{only}");
                fs::write(at.join(dir).join("config"), config).expect("a config file");
            }
        }
    }

    /// Its arguments, program not included. Nothing is deleted: `n` is large, or without end.
    #[must_use]
    pub fn arguments(&self, shape: Shape, size: u32) -> Vec<String> {
        let words = match (self.family, shape) {
            (Family::Multilog, Shape::Plain) => format!("s{size} n100000 ./a"),
            (Family::Multilog, Shape::Stamped) => {
                format!("t s{size} n100000 ./a -* +*_*_odd* ./b")
            }
            (Family::Multilog, Shape::Processed) => format!("s{size} n100000 !cat ./a"),
            (Family::Svlogd, Shape::Plain | Shape::Processed) => "./a".to_owned(),
            (Family::Svlogd, Shape::Stamped) => "-t ./a ./b".to_owned(),
            (Family::S6Log, Shape::Plain) => format!("s{size} n100000 ./a"),
            (Family::S6Log, Shape::Stamped) => {
                format!("t s{size} n100000 ./a -.* +_odd_ t s{size} n100000 ./b")
            }
            (Family::S6Log, Shape::Processed) => format!("s{size} n100000 !cat ./a"),
        };
        let spaced = |word: &str| word.replace('_', " ");
        words.split(' ').map(spaced).collect()
    }

    /// Its finished files of this directory, oldest first.
    #[must_use]
    pub fn finished(&self, dir: &Path) -> Vec<PathBuf> {
        let mut files: Vec<_> = fs::read_dir(dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(b"@"))
            .map(|entry| entry.path())
            .collect();
        // A stamp is hexadecimal and of one length: by name is by age.
        files.sort();
        files
    }

    /// All files that hold lines, oldest first. What has no final name yet stands between the finished and `current`.
    #[must_use]
    pub fn files(&self, dir: &Path) -> Vec<PathBuf> {
        let mut files = self.finished(dir);
        for name in ["previous", "current"] {
            let file = dir.join(name);
            // A `previous` that has its final name already is the same file once more.
            let linked = fs::metadata(&file).is_ok_and(|m| {
                use std::os::unix::fs::MetadataExt as _;
                m.nlink() > 1
            });
            if file.exists() && !linked {
                files.push(file);
            }
        }
        files
    }
}
