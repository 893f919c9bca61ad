//! `tai64n`, `tai64nlocal`, `tai64nfrac`: stamps put before lines, and stamps shown for people and programs.
//! Source: specification §9. Words behind the name are not looked at, as the originals do.

use super::filter::filter;
use super::{Applet, Call};
use crate::zone::Place;
use eudaemon_core::time::{Fraction, Local, Restamper, Stamper, Style};
use eudaemon_sys::clock;

/// How they end.
const EXITS: &[(&str, &str)] = &[
    ("0", "the input ended"),
    (
        "111",
        "the input cannot be read or the output not be written",
    ),
];

/// `tai64n` in the table.
pub const TAI64N: Applet = Applet {
    name: "tai64n",
    main: tai64n,
    synopsis: "",
    purpose: "puts a TAI64N stamp before each line",
    options: &[],
    exits: EXITS,
};

/// `tai64nlocal` in the table.
pub const TAI64NLOCAL: Applet = Applet {
    name: "tai64nlocal",
    main: tai64nlocal,
    synopsis: "",
    purpose: "shows TAI64N stamps at the starts of lines as local time",
    options: &[],
    exits: EXITS,
};

/// `tai64nfrac` in the table.
pub const TAI64NFRAC: Applet = Applet {
    name: "tai64nfrac",
    main: tai64nfrac,
    synopsis: "",
    purpose: "shows TAI64N stamps at the starts of lines as seconds since 1970",
    options: &[],
    exits: EXITS,
};

fn tai64n(_: &Call) -> u8 {
    let mut stamper = Stamper::default();
    filter(|input, out| {
        if let Some(input) = input {
            stamper.take(input, clock::wall(), out);
        }
    })
}

fn tai64nlocal(_: &Call) -> u8 {
    restamp(Local::new(Place::here()))
}

fn tai64nfrac(_: &Call) -> u8 {
    restamp(Fraction::default())
}

fn restamp(style: impl Style) -> u8 {
    let mut restamper = Restamper::new(style);
    filter(|input, out| match input {
        Some(input) => restamper.take(input, out),
        None => restamper.end(out),
    })
}
