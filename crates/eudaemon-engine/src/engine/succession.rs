//! What outlives an engine, and becoming a keeper when the keeper is gone.

use super::{EXEC_PAUSE, Engine, KEEPER_WORD};
use crate::vault::{self, Kind, Place, TreeKind};
use eudaemon_core::supervise::Role;
use eudaemon_sys::{clock, passing, process};
use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;

impl Engine<'_> {
    /// Gives copies into the keeper's hands. Without a keeper there is nobody to give them to; the next is given all.
    pub(super) fn keep(&self, things: &[(Place, std::os::fd::BorrowedFd<'_>)]) {
        let _ = vault::put(&self.channel, things);
    }
    pub(super) fn release(&self, places: &[Place]) {
        let _ = vault::forget(&self.channel, places);
    }

    /// Our keeper is gone: this process becomes one. It returns only if it could not.
    pub(super) fn on_keeper_lost(&mut self) {
        let _ = self.poll.remove(&self.channel);
        self.on_signals();
        self.turn();
        self.write_states();
        let error = match self.become_keeper() {
            Ok(error) | Err(error) => error,
        };
        self.warn(
            &["unable to become a keeper, trying again".as_ref()],
            &error,
        );
        self.keeper_lost = Some(clock::mono() + EXEC_PAUSE);
    }

    /// Nothing is copied on the way: with thousands of services there may be no descriptors left for copies.
    pub(super) fn become_keeper(&mut self) -> io::Result<io::Error> {
        let mut things = vec![
            (Place::tree(TreeKind::Dir), self.dir.as_fd()),
            (Place::tree(TreeKind::Lock), self.lock.as_fd()),
            (Place::tree(TreeKind::Table), self.table.file()),
        ];
        let inotify = self.inotify.as_ref().map(AsFd::as_fd);
        things.extend(inotify.map(|fd| (Place::tree(TreeKind::Inotify), fd)));
        let listener = self.server.as_ref().map(AsFd::as_fd);
        things.extend(listener.map(|fd| (Place::tree(TreeKind::Listener), fd)));
        for (record, service) in self.services.iter().enumerate() {
            let Some(service) = service else { continue };
            let files = &service.files;
            let kept = [
                (Kind::Dir, Some(service.dir.as_fd())),
                (Kind::Control, Some(files.control.as_fd())),
                (Kind::Presence, files.presence.as_ref().map(AsFd::as_fd)),
                (Kind::Lock, Some(files.lock.as_fd())),
                (Kind::Notice, service.notice.as_ref().map(AsFd::as_fd)),
                (Kind::Pipe, service.own_pipe.as_ref().map(AsFd::as_fd)),
            ];
            things.extend(
                kept.into_iter()
                    .filter_map(|(kind, fd)| Some((Place::of(record, kind), fd?))),
            );
            for role in Role::ALL {
                let held = service.held[role as usize].as_ref().map(AsFd::as_fd);
                things.extend(held.map(|fd| (Place::held(record, role), fd)));
            }
        }
        for entry in self.entries.values() {
            let pipe = entry.pipe.as_ref().map(AsFd::as_fd);
            things.extend(pipe.map(|fd| (Place::of(entry.main, Kind::Pipe), fd)));
        }
        let note = crate::handover::write(self.options, self.spawner.files(), &things)?;
        let number = passing::number(&note).to_string();
        let mut keep: Vec<std::os::fd::BorrowedFd<'_>> = things.iter().map(|(_, fd)| *fd).collect();
        keep.push(note.as_fd());
        let argv = [
            OsStr::new(self.options.program),
            OsStr::new(KEEPER_WORD),
            OsStr::new(&number),
        ];
        Ok(process::become_self(&argv, &keep))
    }
}
