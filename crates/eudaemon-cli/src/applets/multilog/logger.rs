//! The loop: look, write, take.

use super::super::logging::{Ears, Safe, Stop};
use super::REPORT;
use super::aside::Aside;
use super::directory::{Locked, LogDirectory, ODOMETER_MAX, id};
use super::settle::{Legacy, settle};
use eudaemon_core::exit::Exit;
use eudaemon_core::log::{
    Action, Evidence, INTENT_SIZE, Input, Intent, Memory, Script, Sorter, hash, last_newline,
};
use eudaemon_core::scan::Id;
use eudaemon_sys::clock;
use eudaemon_sys::file;
use eudaemon_sys::input::{Kind, PEEK_SIZE_MAX, Source};
use std::io;

/// All that a running `multilog` has.
#[derive(Debug)]
pub struct Logger<'a> {
    script: &'a Script,
    ears: Ears,
    source: Source,
    sorter: Sorter,
    directories: Vec<LogDirectory>,
    aside: Aside,
    safe: Safe,
    input: Input,
    /// Which file the odometer is the end of, and where that is; `None` if there is none.
    odometer: Option<(Id, u64)>,
    /// Counts pieces.
    sequence: u64,
    /// What tells the last piece, if only its content does, and whether the piece before it was the same.
    content: Option<(u64, bool)>,
}

/// Which input this is, in this boot.
pub fn input_of(source: &Source) -> io::Result<Input> {
    let identity = source.identity()?;
    Ok(Input {
        boot: boot(),
        id: Id {
            dev: identity.device,
            ino: identity.inode,
        },
    })
}

/// The name of this boot. Source: `random(4)`, `/proc/sys/kernel/random/boot_id`. Where it is not told, all are one.
fn boot() -> [u8; 16] {
    let text = std::fs::read("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let mut digits = text
        .iter()
        .filter_map(|&byte| char::from(byte).to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok());
    std::array::from_fn(|_| digits.next().unwrap_or(0) << 4 | digits.next().unwrap_or(0))
}

impl<'a> Logger<'a> {
    /// Opens all, in the script's order; gives an exit code if something is refused. No input is taken before all is open.
    pub fn open(script: &'a Script, mut ears: Ears) -> Result<Logger<'a>, u8> {
        let mut aside = Aside::default();
        let mut locked = Vec::new();
        for action in &script.actions {
            match action {
                Action::Log(at) => locked.push(Locked::open(&script.directories[*at])?),
                Action::Keep(at) => aside.open(&script.files[*at])?,
                Action::Send(at) => aside.connect(&script.receivers[*at]),
                Action::Select(_) | Action::Deselect(_) | Action::Tell => {}
            }
        }
        let mut source = stdin();
        let legacy = settle(&locked, source.as_mut());
        let directories = locked
            .into_iter()
            .map(|one| one.repair(&mut ears))
            .collect::<Result<Vec<_>, u8>>()?;
        let Some(source) = source else {
            // As a read error: there is no input, and the files are in order.
            let mut directories = directories;
            for one in &mut directories {
                let _ = one.complete(&mut ears);
                one.forget();
            }
            return Err(Exit::Done.code());
        };
        let input = input_of(&source).unwrap_or(Input {
            boot: [0; 16],
            id: Id { dev: 0, ino: 0 },
        });
        let odometer = directories.first().and_then(|first| {
            let about = file::about(first.lock()).ok()?;
            (source.kind() == Kind::Pipe).then_some((id(&about), INTENT_SIZE as u64))
        });
        let Legacy {
            sequence,
            memory,
            foreign,
        } = legacy;
        let fills = || directories.iter().map(LogDirectory::fill);
        let mut sorter = Sorter::new(script, fills());
        sorter.remember(&memory, fills());
        let mut logger = Logger {
            script,
            ears,
            source,
            sorter,
            aside,
            safe: Safe::new(REPORT),
            input,
            odometer,
            sequence,
            content: None,
            directories,
        };
        if foreign {
            // The rest of the line went with its input.
            let _ = logger.end();
        }
        Ok(logger)
    }

    /// Copies lines until the input ends or fails, or TERM comes and the line is whole.
    pub fn run(mut self) -> u8 {
        let ended = self.copy().and_then(|()| self.end());
        self.close(ended.is_err())
    }

    fn copy(&mut self) -> Result<(), Stop> {
        let mut buffer = vec![0; PEEK_SIZE_MAX];
        // What cannot be looked at is waited for before, so that signals are heard meanwhile.
        let waits = self.source.kind() == Kind::Other;
        loop {
            self.ears.hear();
            self.heed()?;
            if self.ears.term && !self.sorter.in_line() {
                return Ok(());
            }
            if waits && !self.wait() {
                continue;
            }
            // Byte by byte to the end of the line: what lies behind it is the next reader's.
            let most = if waits && self.ears.term {
                1
            } else {
                buffer.len()
            };
            match self.source.peek(&mut buffer[..most]) {
                Ok(0) => return Ok(()),
                Ok(length) => self.pieces(&mut buffer, length)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.rest()?;
                    self.wait();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Ok(()),
            }
        }
    }

    /// Waits for input or a signal; whether there is input. A failed wait is a failed read, which tells itself.
    fn wait(&mut self) -> bool {
        let due = self
            .directories
            .iter()
            .filter_map(LogDirectory::due_at)
            .min();
        let most = due.map(|at| at.since(clock::mono()));
        self.ears.wait_beside(&self.source, most).unwrap_or(true)
    }

    /// Does what ALRM, HUP and the age of a file ask for.
    fn heed(&mut self) -> Result<(), Stop> {
        for at in 0..self.directories.len() {
            let due = self.directories[at].due_at();
            if due.is_some_and(|due| due <= clock::mono()) {
                self.rotate(at)?;
            }
        }
        if std::mem::take(&mut self.ears.alrm) {
            for at in 0..self.directories.len() {
                if self.directories[at].size_bytes > 0 {
                    self.rotate(at)?;
                }
            }
        }
        if std::mem::take(&mut self.ears.hup) {
            for (at, one) in self.directories.iter_mut().enumerate() {
                if one.reopen(&mut self.ears) {
                    self.sorter.begins(at, one.fill());
                }
            }
            if let (Some((file, end)), Some(first)) = (&mut self.odometer, self.directories.first())
                && let Ok(about) = file::about(first.lock())
                && id(&about) != *file
            {
                (*file, *end) = (id(&about), INTENT_SIZE as u64);
            }
        }
        Ok(())
    }

    fn rotate(&mut self, at: usize) -> Result<(), Stop> {
        self.directories[at].rotate(&mut self.ears, &mut self.safe)?;
        self.sorter.begins(at, self.directories[at].fill());
        Ok(())
    }

    fn rotate_due(&mut self) -> Result<(), Stop> {
        for at in 0..self.directories.len() {
            if self.sorter.is_due(at) {
                self.rotate(at)?;
            }
        }
        Ok(())
    }

    /// Takes what was seen, piece by piece.
    fn pieces(&mut self, buffer: &mut [u8], length: usize) -> Result<(), Stop> {
        let mut length = length;
        // A line whose end is still to be seen is better seen whole.
        if length == buffer.len() {
            length = last_newline(buffer).map_or(length, |at| at + 1);
        }
        let stamp = self.script.stamp.text(clock::wall());
        let mut rest = &mut buffer[..length];
        while !rest.is_empty() {
            self.rotate_due()?;
            self.tell_dropped()?;
            let mut most = rest.len();
            if self.ears.term {
                let end = rest.iter().position(|&byte| byte == b'\n');
                most = end.map_or(most, |at| at + 1);
            }
            let before = self.sorter.memory();
            let taken = self.sorter.take(&rest[..most], &stamp, &mut self.aside);
            let (piece, later) = rest.split_at_mut(taken);
            self.commit(piece, before)?;
            for at in 0..self.directories.len() {
                if self.sorter.is_finished(at) {
                    self.rotate(at)?;
                }
            }
            if self.ears.term && !self.sorter.in_line() {
                return Ok(());
            }
            rest = later;
        }
        Ok(())
    }

    /// Ends the input: an unfinished line gets the newline it lacks.
    fn end(&mut self) -> Result<(), Stop> {
        if !self.sorter.in_line() {
            return Ok(());
        }
        self.rotate_due()?;
        self.tell_dropped()?;
        let before = self.sorter.memory();
        self.sorter.end(&mut self.aside);
        self.commit(&mut [], before)
    }

    /// Writes what the sorter made of a piece, and takes the piece; see core's `intent`. On TERM all is as before.
    fn commit(&mut self, piece: &mut [u8], before: Memory) -> Result<(), Stop> {
        let sizes: Vec<u64> = self.directories.iter().map(|one| one.size_bytes).collect();
        let done = self.try_commit(piece, &before, &sizes);
        if done.is_err() {
            for (one, size_bytes) in self.directories.iter_mut().zip(&sizes) {
                one.undo(*size_bytes);
            }
            self.aside.clear();
            let fills: Vec<_> = self.directories.iter().map(LogDirectory::fill).collect();
            self.sorter.remember(&before, fills);
            let _ = self.note(0, &before, &before, &sizes);
        }
        done
    }

    /// Tells of what was dropped, where there is room again. It is no part of a piece.
    fn tell_dropped(&mut self) -> Result<(), Stop> {
        for (at, one) in self.directories.iter_mut().enumerate() {
            let stamp = self.script.stamp.text(clock::wall());
            if one.tell_dropped(&stamp, &mut self.ears, &mut self.safe)? {
                self.sorter.begins(at, one.fill());
            }
        }
        Ok(())
    }

    fn try_commit(&mut self, piece: &mut [u8], before: &Memory, sizes: &[u64]) -> Result<(), Stop> {
        self.sequence += 1;
        let after = self.sorter.memory();
        if self.odometer.is_none() && self.source.kind() != Kind::File {
            self.content_of(piece);
        }
        self.note(piece.len(), before, &after, sizes)?;
        for (one, lane) in self.directories.iter_mut().zip(self.sorter.lanes()) {
            let as_is = &piece[..self.sorter.as_is()];
            one.append([as_is, lane.bytes()], &mut self.ears, &mut self.safe)?;
        }
        self.aside.write(&mut self.ears)?;
        self.take(piece, before, &after, sizes)?;
        self.sorter.written();
        for (at, one) in self.directories.iter().enumerate() {
            if one.has_dropped() {
                self.sorter.begins(at, one.fill());
            }
        }
        Ok(())
    }

    fn content_of(&mut self, piece: &[u8]) {
        let hash = hash(piece);
        self.content = Some((hash, self.content.is_some_and(|(last, _)| last == hash)));
    }

    /// Has every directory write down what is in work.
    fn note(
        &mut self,
        length: usize,
        before: &Memory,
        after: &Memory,
        sizes: &[u64],
    ) -> Result<(), Stop> {
        let evidence = match (self.source.kind(), self.odometer) {
            (Kind::File, _) => Evidence::Position(self.source.position().unwrap_or(0)),
            (_, Some((file, end))) => Evidence::Odometer(file, end),
            (_, None) => {
                let (hash, repeated) = self.content.unwrap_or_default();
                Evidence::Content { hash, repeated }
            }
        };
        for (at, one) in self.directories.iter_mut().enumerate() {
            let intent = Intent {
                sequence: self.sequence,
                input: self.input,
                length: u32::try_from(length).unwrap_or(u32::MAX),
                evidence,
                current: one.id,
                size_bytes: sizes[at],
                adds_bytes: (self.sorter.as_is() + self.sorter.lanes()[at].bytes().len()) as u64,
                before: before.of(at),
                after: after.of(at),
            };
            one.note(&intent, &mut self.ears)?;
        }
        Ok(())
    }

    /// Takes the piece.
    fn take(
        &mut self,
        piece: &mut [u8],
        before: &Memory,
        after: &Memory,
        sizes: &[u64],
    ) -> Result<(), Stop> {
        let mut taken = 0;
        while let (Some((_, end)), true) = (&mut self.odometer, taken < piece.len()) {
            let lock = self.directories[0].lock();
            match self.source.move_to(lock, *end, piece.len() - taken) {
                // Somebody else took it.
                Ok(0) => return Ok(()),
                Ok(moved) => {
                    taken += moved;
                    *end += moved as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if taken == 0 => {
                    // The file system cannot, or is full.
                    self.odometer = None;
                    self.content_of(piece);
                    self.note(piece.len(), before, after, sizes)?;
                }
                Err(_) => break,
            }
        }
        if taken < piece.len() {
            // A failure is met again by the next look.
            let _ = self.source.take(&mut piece[taken..]);
        }
        if self.odometer.is_some_and(|(_, end)| end > ODOMETER_MAX) {
            self.set_back()?;
        }
        Ok(())
    }

    /// Sets the odometer back, when no intent looks at it.
    fn set_back(&mut self) -> Result<(), Stop> {
        self.nothing_in_work()?;
        if let (Some((_, end)), Some(first)) = (&mut self.odometer, self.directories.first())
            && first.lock().set_len(INTENT_SIZE as u64).is_ok()
        {
            *end = INTENT_SIZE as u64;
        }
        Ok(())
    }

    fn nothing_in_work(&mut self) -> Result<(), Stop> {
        let sizes: Vec<u64> = self.directories.iter().map(|one| one.size_bytes).collect();
        let memory = self.sorter.memory();
        self.sorter.written();
        self.note(0, &memory, &memory, &sizes)
    }

    /// Nothing is to be had for now: what can be told only by its content must not wait for more of the same.
    fn rest(&mut self) -> Result<(), Stop> {
        if self.content.take().is_some() {
            self.nothing_in_work()?;
        }
        Ok(())
    }

    fn close(mut self, stopped: bool) -> u8 {
        let _ = self.tell_dropped();
        self.directories.iter().for_each(LogDirectory::tell_lost);
        for one in &mut self.directories {
            // Before: a start that finds `current` complete looks for nothing else.
            one.finish_works(&mut self.ears);
            let _ = one.complete(&mut self.ears);
        }
        self.safe.end();
        // An unfinished line that was taken is told of by the intents.
        if !(stopped && self.sorter.in_line()) {
            self.directories.iter().for_each(LogDirectory::forget);
        }
        Exit::Done.code()
    }
}

fn stdin() -> Option<Source> {
    use std::os::fd::AsFd;
    let input = io::stdin().as_fd().try_clone_to_owned().ok()?;
    Source::new(input).ok()
}
