//! What a program's own file tells of its addresses: names of functions, and which build it is.
//!
//! Source: `elf(5)`; only 64-bit files of this machine's byte order are read. Whoever calls reads the file, a piece at a time, as it
//! may be hundreds of megabytes of which little is wanted here.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Most bytes of one table; a larger one is not read.
const TABLE_MAX: u64 = 256 << 20;

/// What was found. Anything that cannot be read is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elf {
    segments: Vec<Segment>,
    /// By address.
    functions: Vec<Function>,
    names: Vec<u8>,
    /// The build id as hexadecimal digits; empty if the linker left none.
    pub build_id: String,
}

/// Bytes of the file, and where they are in the program's own reckoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Segment {
    offset: u64,
    address: u64,
    size: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Function {
    address: u64,
    size: u64,
    name: u32,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at.checked_add(2)?)?;
    two.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    four.try_into().ok().map(u32::from_ne_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let eight = bytes.get(at..at.checked_add(8)?)?;
    eight.try_into().ok().map(u64::from_ne_bytes)
}

const SEGMENT_LOADED: u32 = 1;
const SECTION_SYMBOLS: u32 = 2;
const SECTION_NOTE: u32 = 7;
const NOTE_BUILD_ID: u32 = 3;
const SYMBOL_FUNCTION: u8 = 2;

impl Elf {
    /// Reads a file through `read`, which answers with so many bytes from an offset. `None`: this is no such file.
    pub fn read(mut read: impl FnMut(u64, u64) -> Option<Vec<u8>>) -> Option<Elf> {
        let head = read(0, 64)?;
        let order = if cfg!(target_endian = "little") { 1 } else { 2 };
        if !head.starts_with(b"\x7fELF") || head.get(4) != Some(&2) || head.get(5) != Some(&order) {
            return None;
        }
        let mut elf = Elf::default();
        let segments = table(&mut read, &head, [0x20, 0x36, 0x38])?;
        for segment in segments {
            if u32_at(&segment, 0)? == SEGMENT_LOADED {
                elf.segments.push(Segment {
                    offset: u64_at(&segment, 0x08)?,
                    address: u64_at(&segment, 0x10)?,
                    size: u64_at(&segment, 0x20)?,
                });
            }
        }
        // A stripped program may have no sections at all.
        let sections = table(&mut read, &head, [0x28, 0x3a, 0x3c]).unwrap_or_default();
        for section in &sections {
            match u32_at(section, 4)? {
                SECTION_SYMBOLS => elf.symbols(&mut read, &sections, section).unwrap_or(()),
                SECTION_NOTE => elf.note(&mut read, section).unwrap_or(()),
                _ => {}
            }
        }
        elf.functions.sort_by_key(|function| function.address);
        Some(elf)
    }

    fn symbols(
        &mut self,
        read: &mut impl FnMut(u64, u64) -> Option<Vec<u8>>,
        sections: &[Vec<u8>],
        section: &[u8],
    ) -> Option<()> {
        let symbols = content(read, section)?;
        let names = sections.get(usize::try_from(u32_at(section, 0x28)?).ok()?)?;
        self.names = content(read, names)?;
        for symbol in symbols.chunks_exact(24) {
            let function = Function {
                name: u32_at(symbol, 0)?,
                address: u64_at(symbol, 8)?,
                size: u64_at(symbol, 16)?,
            };
            if symbol[4] & 15 == SYMBOL_FUNCTION && function.address != 0 {
                self.functions.push(function);
            }
        }
        Some(())
    }

    fn note(
        &mut self,
        read: &mut impl FnMut(u64, u64) -> Option<Vec<u8>>,
        section: &[u8],
    ) -> Option<()> {
        let note = content(read, section)?;
        let is_id = u32_at(&note, 0)? == 4
            && u32_at(&note, 8)? == NOTE_BUILD_ID
            && note.get(12..16)? == b"GNU\0";
        if is_id {
            let size = usize::try_from(u32_at(&note, 4)?).ok()?;
            self.build_id.clear();
            for byte in note.get(16..16usize.checked_add(size)?)? {
                let _ = write!(self.build_id, "{byte:02x}");
            }
        }
        Some(())
    }

    /// The linker's name of the function whose code is at this offset of the file.
    #[must_use]
    pub fn name_at(&self, offset: u64) -> Option<&str> {
        let inside =
            |segment: &&Segment| offset >= segment.offset && offset - segment.offset < segment.size;
        let segment = self.segments.iter().find(inside)?;
        let address = segment.address.checked_add(offset - segment.offset)?;
        let behind = self
            .functions
            .partition_point(|function| function.address <= address);
        let function = self.functions.get(behind.checked_sub(1)?)?;
        // Functions written in assembly may have no size; what lies behind one is taken for its own then.
        if function.size != 0 && address - function.address >= function.size {
            return None;
        }
        let name = self.names.get(usize::try_from(function.name).ok()?..)?;
        let end = name.iter().position(|&byte| byte == 0)?;
        core::str::from_utf8(&name[..end]).ok()
    }
}

/// The rows of a table whose place, row size and count are at these offsets of the file's head.
fn table(
    read: &mut impl FnMut(u64, u64) -> Option<Vec<u8>>,
    head: &[u8],
    [place, size, count]: [usize; 3],
) -> Option<Vec<Vec<u8>>> {
    let (place, size) = (u64_at(head, place)?, u16_at(head, size)?);
    let count = u16_at(head, count)?;
    if size < 56 {
        return None;
    }
    let rows = read(place, u64::from(size) * u64::from(count))?;
    Some(rows.chunks_exact(size.into()).map(Vec::from).collect())
}

fn content(read: &mut impl FnMut(u64, u64) -> Option<Vec<u8>>, section: &[u8]) -> Option<Vec<u8>> {
    let size = u64_at(section, 0x20)?;
    (size <= TABLE_MAX).then(|| read(u64_at(section, 0x18)?, size))?
}
