//! What this process takes over from the one whose place it takes, until it is promoted.
//!
//! The old process has fewer rights than this one at its start, and may be somebody else's by now. So until this one has given up as
//! many, a path that was given is only compared with one that was asked for here; and what is not asked for here waits for the promotion,
//! which is behind that.

use super::doors::Doors;
use super::prepare::Plan;
use crate::handover::{Contents, Handover};
use crate::pidfile::Pidfile;
use crate::promotion::{Predecessor, Promotion, Waits};
use crate::sockets::{Made, Sockets};
use crate::{Context, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// All of it.
#[derive(Debug)]
pub(super) struct Taken {
    pub predecessor: Predecessor,
    pub handover: Handover,
    files: Vec<Arc<Made>>,
    stderr: Option<OwnedFd>,
    pidfile: Option<Pidfile>,
    other_pidfile: Option<(PathBuf, OwnedFd)>,
    ready_file: Option<PathBuf>,
    /// The doors, until they are asked for.
    pub control: Option<(PathBuf, OwnedFd)>,
    pub debug: Option<(Option<PathBuf>, OwnedFd)>,
}

impl Taken {
    /// What was given, apart from the sockets.
    pub fn of(predecessor: Predecessor, mut given: Contents) -> Result<(Taken, Sockets)> {
        let attempt = || "unable to read the state of the process before this one";
        let handover = given.handover().during(attempt)?;
        let (sockets, files) = given.sockets();
        let taken = Taken {
            predecessor,
            handover,
            files,
            stderr: given.stderr.take(),
            pidfile: None,
            other_pidfile: given.pidfile.take(),
            ready_file: given.ready_file.take(),
            control: given.control.take(),
            debug: given.debug.take(),
        };
        Ok((taken, sockets))
    }

    /// What will be standard error. Until then it is a pipe to the old process.
    pub fn stderr(&self) -> Option<BorrowedFd<'_>> {
        self.stderr.as_ref().map(AsFd::as_fd)
    }

    /// Whether the PID file of this path is the one that was handed over: it is this process's from the promotion on then.
    pub fn has_pidfile(&mut self, path: &Path) -> bool {
        let is_it = |given: &mut (PathBuf, OwnedFd)| {
            std::path::absolute(path).is_ok_and(|path| path == given.0)
        };
        if let Some((path, lock)) = self.other_pidfile.take_if(is_it) {
            self.pidfile = Pidfile::adopt(&path, lock);
        }
        self.pidfile.is_some()
    }

    /// Whether the readiness file of this path, from where the service will be locked in, says that the old process is ready.
    pub fn has_ready_file(&self, path: &Path) -> bool {
        self.ready_file.as_deref() == Some(path)
    }

    /// What is done at the promotion.
    pub fn promotion(self, doors: Doors, plan: &Plan, ready_file: Option<&Path>) -> Promotion {
        let other = self.ready_file.filter(|old| ready_file != Some(old));
        let waits = Waits {
            doors,
            pidfile: self.pidfile,
            other_pidfile: self.other_pidfile,
            other_ready_file: other,
            stderr: self.stderr,
            watchdog: plan.watchdog(self.predecessor.pid()),
            files: self.files,
        };
        Promotion::new(self.predecessor, waits)
    }
}
