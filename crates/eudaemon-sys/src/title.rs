//! The text `ps` shows for this process, changed where the kernel keeps it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The place of the last argument in this process's memory.
#[derive(Debug)]
pub struct LastArgument {
    memory: File,
    start: u64,
}

impl LastArgument {
    /// Finds the last argument, which must be `length` bytes long without its closing NUL.
    ///
    /// Source: proc(5), `/proc/pid/stat` field 49 `arg_end`: the arguments end there, one behind the NUL of the last.
    /// The bytes are changed through `/proc/self/mem`, which needs no `unsafe`: the copy Rust keeps of the arguments
    /// points elsewhere, and nothing in this process reads the original again.
    pub fn find(length: usize) -> io::Result<LastArgument> {
        let stat = std::fs::read("/proc/self/stat")?;
        // The name in the second field may hold anything, so the fields are counted behind its closing parenthesis.
        let after = stat
            .iter()
            .rposition(|&byte| byte == b')')
            .ok_or(io::ErrorKind::InvalidData)?;
        let text = str::from_utf8(&stat[after..]).map_err(|_| io::ErrorKind::InvalidData)?;
        // The parenthesis stands where field 2 ends.
        let end: u64 = text
            .split_ascii_whitespace()
            .nth(49 - 2)
            .and_then(|field| field.parse().ok())
            .ok_or(io::ErrorKind::InvalidData)?;
        let start = end
            .checked_sub(1 + length as u64)
            .ok_or(io::ErrorKind::InvalidData)?;
        let memory = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/self/mem")?;
        Ok(LastArgument { memory, start })
    }

    /// Reads the argument back as it stands.
    pub fn read(&self, into: &mut [u8]) -> io::Result<()> {
        self.memory.read_exact_at(into, self.start)
    }

    /// Overwrites the argument; `text` must be as long as it was found to be.
    pub fn write(&self, text: &[u8]) -> io::Result<()> {
        self.memory.write_all_at(text, self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_argument_is_found_and_changed_where_ps_reads_it() {
        let shown = || {
            let line = std::fs::read("/proc/self/cmdline").expect("our own");
            let line = line.strip_suffix(b"\0").unwrap_or(&line).to_vec();
            line.rsplit(|&byte| byte == 0)
                .next()
                .map(<[u8]>::to_vec)
                .expect("there is always one")
        };
        let before = shown();
        let place = LastArgument::find(before.len()).expect("procfs is mounted");
        let mut read = vec![0; before.len()];
        place.read(&mut read).expect("our own memory");
        assert_eq!(read, before);
        place
            .write(&vec![b'.'; before.len()])
            .expect("our own memory");
        assert_eq!(shown(), vec![b'.'; before.len()]);
        place.write(&before).expect("our own memory");
    }
}
