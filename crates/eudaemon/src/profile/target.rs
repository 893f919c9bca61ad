//! `--service.cpuprofile PATH[,HZ[,SECONDS]]`: a profile into a file that was opened while it could be.

use super::mapped::Own;
use super::{HZ, HZ_MAX, Profile, ProfileError};
use std::convert::Infallible;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where a profile is to be written, ready for a process that will change its root and its user.
#[derive(Debug)]
pub struct Target {
    path: PathBuf,
    output: File,
    maps: File,
    own: Own,
    hz: u32,
    lasts: Option<Duration>,
}

/// Why there is no target.
#[derive(Debug)]
#[non_exhaustive]
pub enum TargetError {
    /// The words are not `PATH[,HZ[,SECONDS]]`, with 1 to 1000 and at least 1.
    Words(String),
    /// A file could not be opened.
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

impl fmt::Display for TargetError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetError::Words(words) => write!(
                to,
                "{words:?} is not PATH[,HZ[,SECONDS]] with HZ of 1 to {HZ_MAX}"
            ),
            TargetError::Open { path, .. } => write!(to, "unable to open {}", path.display()),
        }
    }
}

impl std::error::Error for TargetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TargetError::Words(_) => None,
            TargetError::Open { error, .. } => Some(error),
        }
    }
}

impl Target {
    /// Opens what `PATH[,HZ[,SECONDS]]` names, and what of `/proc` will be needed: before the process leaves its root or its
    /// user. The file is this user's alone (mode 0600), a file that was there is emptied, and a symbolic link is not followed.
    ///
    /// # Errors
    /// [`TargetError`]
    pub fn open(words: &str) -> Result<Target, TargetError> {
        Target::of_generation(words, 0)
    }

    /// As [`Target::open`], for the how-manieth process of a daemon, the first of which is 0. Each has a file of its own, for two of them live
    /// at once: `PATH`, `PATH.1`, `PATH.2`. What is no plain file, a FIFO say, is the same for all.
    pub(crate) fn of_generation(words: &str, generation: u32) -> Result<Target, TargetError> {
        let (mut path, hz, lasts) =
            parsed(words).ok_or_else(|| TargetError::Words(words.to_owned()))?;
        let is_plain = std::fs::metadata(&path).map_or(true, |about| about.is_file());
        if generation > 0 && is_plain {
            let mut name = path.into_os_string();
            name.push(format!(".{generation}"));
            path = name.into();
        }
        let output = output(&path).map_err(|error| {
            let path = path.clone();
            TargetError::Open { path, error }
        })?;
        let maps = Path::new("/proc/self/maps");
        let maps = File::open(maps).map_err(|error| {
            let path = maps.to_owned();
            TargetError::Open { path, error }
        })?;
        Ok(Target {
            path,
            output,
            maps,
            own: Own::open(),
            hz,
            lasts,
        })
    }

    /// Where it will be.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How long the profile is to last; `None` until the service stops.
    #[must_use]
    pub fn lasts(&self) -> Option<Duration> {
        self.lasts
    }

    /// Begins. After the last change of process id: a child that is forked does not have the timer.
    ///
    /// # Errors
    /// As [`Profile::start`].
    pub fn start(self) -> Result<Recording, ProfileError> {
        let profile = Profile::with(self.hz, self.maps, self.own)?;
        let (end, ended) = channel();
        let (lasts, output) = (self.lasts, self.output);
        let writer = std::thread::Builder::new()
            .name("eud-cpuprofile".to_owned())
            .spawn(move || {
                // Either way it is over: its time, or whoever held the other end.
                match lasts {
                    Some(lasts) => drop(ended.recv_timeout(lasts)),
                    None => drop(ended.recv()),
                }
                write(profile, output)
            })?;
        Ok(Recording {
            end: Some(end),
            writer: Some(writer),
        })
    }
}

/// A profile that goes into a file: when its time is over, when it is stopped, or when this is dropped, whatever comes first.
#[derive(Debug)]
pub struct Recording {
    end: Option<Sender<Infallible>>,
    writer: Option<JoinHandle<Result<(), ProfileError>>>,
}

impl Recording {
    /// Ends the profile, if it has not ended, and waits until the file is written.
    ///
    /// # Errors
    /// As [`Profile::stop`]; or the file could not be written.
    pub fn stop(mut self) -> Result<(), ProfileError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), ProfileError> {
        self.end = None;
        match self.writer.take() {
            Some(writer) => writer.join().map_err(|_| ProfileError::Collector)?,
            None => Ok(()),
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        // Who wants to know calls `stop`.
        let _ = self.finish();
    }
}

fn write(profile: Profile, mut output: File) -> Result<(), ProfileError> {
    let bytes = profile.stop()?;
    output.write_all(&bytes).map_err(ProfileError::System)
}

fn parsed(words: &str) -> Option<(PathBuf, u32, Option<Duration>)> {
    let mut parts = words.split(',');
    let path = parts.next().filter(|path| !path.is_empty())?;
    let hz = match parts.next() {
        None | Some("") => HZ,
        Some(hz) => hz.parse().ok().filter(|hz| (1..=HZ_MAX).contains(hz))?,
    };
    let lasts = match parts.next() {
        None => None,
        Some(secs) => Some(secs.parse().ok().filter(|&secs: &u64| secs > 0)?),
    };
    let whole = parts.next().is_none();
    whole.then(|| (path.into(), hz, lasts.map(Duration::from_secs)))
}

fn output(path: &Path) -> io::Result<File> {
    let file = eudaemon_sys::profile::output(path)?;
    let about = file.metadata()?;
    // One that was there keeps its mode; a FIFO or a device is what somebody asked for.
    if about.is_file() && about.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_a_path_a_rate_and_a_time() {
        let ten = Some(Duration::from_secs(10));
        let rows = [
            ("/p", Some(("/p", HZ, None))),
            ("/p,99", Some(("/p", 99, None))),
            ("/p,99,10", Some(("/p", 99, ten))),
            ("/p,,10", Some(("/p", HZ, ten))),
            ("", None),
            ("/p,0", None),
            ("/p,1001", None),
            ("/p,99,0", None),
            ("/p,99,10,x", None),
        ];
        for (words, wanted) in rows {
            let parsed = parsed(words);
            let parsed = parsed.as_ref();
            let got = parsed.map(|(path, hz, lasts)| (path.to_str().unwrap(), *hz, *lasts));
            assert_eq!(got, wanted, "{words}");
        }
    }
}
