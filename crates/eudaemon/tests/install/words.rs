//! Words that quoting goes wrong with.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A source of numbers that is the same each time.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % sides
    }
}

/// What words are made of.
const PARTS: &[&[u8]] = &[
    b"a",
    b"Z",
    b"0",
    b"-",
    b"--x=",
    b" ",
    b"  ",
    b"\t",
    b"\n",
    b"\r",
    b"\"",
    b"'",
    b"`",
    b"\\",
    b"\\\\",
    b"\\n",
    b"\\x41",
    b"%",
    b"%%",
    b"%n",
    b"%i",
    b"$",
    b"$$",
    b"$HOME",
    b"${HOME}",
    b"$(id)",
    b";",
    b"\\;",
    b"#",
    b"&",
    b"|",
    b"<",
    b">",
    b"*",
    b"?",
    b"[",
    b"~",
    b"!",
    b"{",
    b"}",
    b"(",
    b")",
    b"=",
    b"@",
    b"+",
    b":",
    b"\x01",
    b"\x07",
    b"\x1b",
    b"\x7f",
    b"\xff",
    b"\xc3",
    b"\x80",
    "\u{e9}".as_bytes(),
    "\u{2028}".as_bytes(),
    "\u{feff}".as_bytes(),
    "\u{fffe}".as_bytes(),
    "\u{fdd0}".as_bytes(),
    "\u{1f600}".as_bytes(),
    "\u{10ffff}".as_bytes(),
];

/// One word, any bytes but NUL.
pub fn word(dice: &mut Dice) -> OsString {
    let count = dice.roll(6);
    let parts: Vec<&[u8]> = (0..count).map(|_| PARTS[dice.roll(PARTS.len())]).collect();
    OsString::from_vec(parts.concat())
}

/// A few of them.
pub fn words(dice: &mut Dice) -> Vec<OsString> {
    (0..dice.roll(6)).map(|_| word(dice)).collect()
}

/// Each part alone and between letters, and nothing at all.
pub fn each() -> Vec<OsString> {
    let alone = PARTS.iter().map(|part| part.to_vec());
    let between = PARTS.iter().map(|part| [b"a", *part, b"b"].concat());
    let all = alone
        .chain(between)
        .chain([Vec::new(), b"\\".to_vec(), b"-".to_vec()]);
    all.map(OsString::from_vec).collect()
}
