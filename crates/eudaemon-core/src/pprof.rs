//! A CPU profile in the form `go tool pprof` reads.
//!
//! Source: google/pprof `proto/profile.proto` for the fields; protobuf.dev, "Encoding", for the bytes; RFC 1952 for the wrapping.
//! Samples with the same stack are to be counted before: one entry each.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

/// A piece of a file mapped into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub from: u64,
    /// The address behind the last.
    pub to: u64,
    /// Where in the file it begins.
    pub offset: u64,
    /// Name of the file.
    pub file: String,
    /// The build id of the file as hexadecimal digits; empty if not known.
    pub build_id: String,
}

/// What there is to tell.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// The pieces of code there were, the program itself first.
    pub mappings: Vec<Mapping>,
    /// Stacks, innermost first, with how often each was seen. Behind the first, addresses are those a call returns to.
    pub stacks: BTreeMap<Vec<usize>, u64>,
    /// Processor time used in the meantime; each sample stands for its share of it.
    pub cpu: Duration,
    /// When it began, since 1970.
    pub began: Duration,
    /// How long it took.
    pub took: Duration,
    /// The processor time between two samples that was asked for.
    pub period: Duration,
    /// Remarks for the reader.
    pub comments: Vec<String>,
}

/// Numbers of the fields of `Profile`.
mod field {
    pub const SAMPLE_TYPE: u32 = 1;
    pub const SAMPLE: u32 = 2;
    pub const MAPPING: u32 = 3;
    pub const LOCATION: u32 = 4;
    pub const FUNCTION: u32 = 5;
    pub const STRINGS: u32 = 6;
    pub const TIME_NANOS: u32 = 9;
    pub const DURATION_NANOS: u32 = 10;
    pub const PERIOD_TYPE: u32 = 11;
    pub const PERIOD: u32 = 12;
    pub const COMMENT: u32 = 13;
    pub const DEFAULT_SAMPLE_TYPE: u32 = 14;
}

/// A message being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value as u8 & 0x7f) | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    /// Zero is what a reader takes for a field that is not there.
    fn number(&mut self, field: u32, value: u64) {
        if value != 0 {
            self.varint(u64::from(field) << 3);
            self.varint(value);
        }
    }

    fn bytes(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn packed(&mut self, field: u32, values: impl IntoIterator<Item = u64>) {
        let mut inner = Message::default();
        values.into_iter().for_each(|value| inner.varint(value));
        self.bytes(field, &inner.0);
    }
}

/// Strings are told once and named by their number; 0 is the empty one.
struct Strings {
    numbers: BTreeMap<String, u64>,
    order: Vec<String>,
}

impl Strings {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.order.len() as u64;
        self.numbers.insert(text.into(), number);
        self.order.push(text.into());
        number
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> Message {
        let mut message = Message::default();
        message.number(1, self.number(kind));
        message.number(2, self.number(unit));
        message
    }
}

fn nanos(length: Duration) -> u64 {
    u64::try_from(length.as_nanos()).unwrap_or(u64::MAX)
}

impl Profile {
    /// The message, not compressed. `name_of` names the function at an address, if it knows.
    pub fn encode(&self, mut name_of: impl FnMut(u64) -> Option<String>) -> Vec<u8> {
        let mut strings = Strings {
            numbers: BTreeMap::new(),
            order: Vec::new(),
        };
        strings.number("");
        let mut out = Message::default();
        let cpu = strings.value_type("cpu", "nanoseconds");
        let samples = strings.value_type("samples", "count");
        out.bytes(field::SAMPLE_TYPE, &samples.0);
        out.bytes(field::SAMPLE_TYPE, &cpu.0);

        let count: u64 = self.stacks.values().sum();
        let mut locations: BTreeMap<u64, u64> = BTreeMap::new();
        for (stack, &seen) in &self.stacks {
            let mut message = Message::default();
            let ids = stack.iter().enumerate().map(|(depth, &address)| {
                // A call returns behind itself, and what is behind the last of a function is another one.
                let address = (address as u64).saturating_sub(u64::from(depth > 0));
                let next = locations.len() as u64 + 1;
                *locations.entry(address).or_insert(next)
            });
            message.packed(1, ids.collect::<Vec<_>>());
            let share = u128::from(nanos(self.cpu)) * u128::from(seen) / u128::from(count.max(1));
            let share = u64::try_from(share).unwrap_or(u64::MAX);
            message.packed(2, [seen, share]);
            out.bytes(field::SAMPLE, &message.0);
        }

        let mut functions: BTreeMap<String, u64> = BTreeMap::new();
        for (&address, &id) in &locations {
            let mut message = Message::default();
            message.number(1, id);
            let within = |mapping: &Mapping| (mapping.from..mapping.to).contains(&address);
            let mapping = self.mappings.iter().position(within);
            message.number(2, mapping.map_or(0, |index| index as u64 + 1));
            message.number(3, address);
            if let Some(name) = name_of(address) {
                let next = functions.len() as u64 + 1;
                let mut line = Message::default();
                line.number(1, *functions.entry(name).or_insert(next));
                message.bytes(4, &line.0);
            }
            out.bytes(field::LOCATION, &message.0);
        }
        for (name, &id) in &functions {
            let mut message = Message::default();
            message.number(1, id);
            // The same twice: pprof then makes a readable name of the linker's.
            message.number(2, strings.number(name));
            message.number(3, strings.number(name));
            out.bytes(field::FUNCTION, &message.0);
        }
        for (index, mapping) in self.mappings.iter().enumerate() {
            let mut message = Message::default();
            message.number(1, index as u64 + 1);
            message.number(2, mapping.from);
            message.number(3, mapping.to);
            message.number(4, mapping.offset);
            message.number(5, strings.number(&mapping.file));
            message.number(6, strings.number(&mapping.build_id));
            // has_functions: nothing is left to look up where there are names. Without, pprof looks in the file itself.
            message.number(7, u64::from(!functions.is_empty()));
            out.bytes(field::MAPPING, &message.0);
        }
        out.number(field::TIME_NANOS, nanos(self.began));
        out.number(field::DURATION_NANOS, nanos(self.took));
        out.bytes(field::PERIOD_TYPE, &cpu.0);
        out.number(field::PERIOD, nanos(self.period));
        let comments = self.comments.iter();
        let comments: Vec<u64> = comments.map(|text| strings.number(text)).collect();
        out.packed(field::COMMENT, comments);
        out.number(field::DEFAULT_SAMPLE_TYPE, strings.number("cpu"));
        for text in &strings.order {
            out.bytes(field::STRINGS, text.as_bytes());
        }
        out.0
    }
}

/// Most bytes in a stored block of deflate. Source: RFC 1951, 3.2.4.
const BLOCK: usize = 65_535;

/// `data` as a gzip file, stored and not made smaller: pprof reads it, and it needs no compressor.
#[must_use]
pub fn gzip(data: &[u8]) -> Vec<u8> {
    // ID, deflate, no flags, no time, nothing about the compressor, unknown system (RFC 1952, 2.3).
    let mut out = alloc::vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = data.chunks(BLOCK).peekable();
    if data.is_empty() {
        out.extend_from_slice(&[1, 0, 0, 0xff, 0xff]);
    }
    while let Some(block) = blocks.next() {
        let length = block.len() as u16;
        out.push(u8::from(blocks.peek().is_none()));
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(block);
    }
    out.extend_from_slice(&crc32(data).to_le_bytes());
    out.extend_from_slice(&(data.len() as u32).to_le_bytes());
    out
}

/// Source: RFC 1952, 8.
fn crc32(data: &[u8]) -> u32 {
    !data.iter().fold(!0, |crc, &byte| {
        let mut rest = (crc ^ u32::from(byte)) & 0xff;
        for _ in 0..8 {
            rest = if rest & 1 == 1 {
                0xedb8_8320 ^ (rest >> 1)
            } else {
                rest >> 1
            };
        }
        rest ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_the_published_one() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_stored_file_has_its_blocks() {
        let empty = gzip(b"");
        assert_eq!(&empty[10..], [1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        let data = alloc::vec![7; BLOCK + 1];
        let file = gzip(&data);
        assert_eq!(&file[10..15], [0, 0xff, 0xff, 0, 0]);
        assert_eq!(&file[15 + BLOCK..][..6], [1, 1, 0, 0xfe, 0xff, 7]);
    }

    #[test]
    fn numbers_are_as_in_the_encoding_guide() {
        // protobuf.dev, "Encoding": field 1 with 150 is 08 96 01.
        let mut message = Message::default();
        message.number(1, 150);
        message.number(2, 0);
        message.bytes(2, b"testing");
        assert_eq!(message.0, b"\x08\x96\x01\x12\x07testing");
    }
}
