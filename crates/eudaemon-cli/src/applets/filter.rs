//! What a filter does with its input and output: reads much at once, and writes what came of it before it reads again.

use eudaemon_core::exit::Exit;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

/// How much is read at once: all that a pipe holds by default (pipe(7)).
const READ_SIZE: usize = 64 * 1024;

/// Copies standard input to standard output through `each`, which is given a piece of input, or `None` at its end, and
/// appends what is to be written. Gives the exit code; says nothing, as the originals (observed with tai64n 0.76-8.1).
pub fn filter(mut each: impl FnMut(Option<&[u8]>, &mut Vec<u8>)) -> u8 {
    // Who reads no more has heard enough: that is no failure to speak of.
    eudaemon_sys::exec::let_broken_pipes_kill();
    match copy(&mut each) {
        Ok(()) => Exit::Done.code(),
        Err(_) => Exit::Temporary.code(),
    }
}

fn copy(each: &mut impl FnMut(Option<&[u8]>, &mut Vec<u8>)) -> io::Result<()> {
    // Not std's own streams: their buffers keep a line back.
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut output = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut buffer = vec![0; READ_SIZE];
    let mut out = Vec::with_capacity(2 * READ_SIZE);
    loop {
        let length = match input.read(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        each((length > 0).then_some(&buffer[..length]), &mut out);
        output.write_all(&out)?;
        out.clear();
        if length == 0 {
            return Ok(());
        }
    }
}
