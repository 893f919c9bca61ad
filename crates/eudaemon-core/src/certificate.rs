//! The few facts of an X.509 certificate that a person asks for: its number, and from when to when it counts.
//!
//! Whether it is a good one is not decided here. Source: RFC 5280 §4.1; the encoding: X.690, DER.

use crate::time::Civil;
use alloc::string::String;
use core::fmt;

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version, which has a tag of its own and may be left out.
const VERSION: u8 = 0xa0;

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The serial number, as `openssl x509 -serial` writes it: hexadecimal, in capitals.
    pub serial: String,
    /// First Unix second it counts.
    pub begins: i64,
    /// Last Unix second it counts.
    pub ends: i64,
}

impl Certificate {
    /// Reads one; `None` if it is none.
    #[must_use]
    pub fn parse(der: &[u8]) -> Option<Certificate> {
        let (certificate, []) = element(der, SEQUENCE)? else {
            return None;
        };
        let (signed, _) = element(certificate, SEQUENCE)?;
        let signed = element(signed, VERSION).map_or(signed, |(_, rest)| rest);
        let (serial, rest) = element(signed, INTEGER)?;
        let (_algorithm, rest) = element(rest, SEQUENCE)?;
        let (_issuer, rest) = element(rest, SEQUENCE)?;
        let (validity, _) = element(rest, SEQUENCE)?;
        let (begins, rest) = moment(validity)?;
        let (ends, _) = moment(rest)?;
        Some(Certificate {
            serial: hexadecimal(serial),
            begins,
            ends,
        })
    }
}

/// The bytes of a number, without the zero that keeps a large one from being negative.
fn hexadecimal(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let bytes = match bytes {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    let mut text = String::new();
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

/// The content of the first element, which must have this tag, and what is behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    if found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // More than four bytes of length is more than any certificate has; 0x80 is not allowed in DER.
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0_u32, |length, digit| length << 8 | u32::from(*digit));
            (usize::try_from(length).ok()?, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A time, as Unix seconds. Source: RFC 5280 §4.1.2.5: always in UTC and with seconds; two digits of a year from 50 are 19xx.
fn moment(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (text, rest, long) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => (text, rest, false),
        None => element(bytes, GENERALIZED_TIME).map(|(text, rest)| (text, rest, true))?,
    };
    let (year, text) = match long {
        true => {
            let (century, text) = two_digits(text)?;
            let (year, text) = two_digits(text)?;
            (i64::from(century) * 100 + i64::from(year), text)
        }
        false => {
            let (year, text) = two_digits(text)?;
            (i64::from(year) + if year < 50 { 2000 } else { 1900 }, text)
        }
    };
    let (month, text) = two_digits(text)?;
    let (day, text) = two_digits(text)?;
    let (hour, text) = two_digits(text)?;
    let (minute, text) = two_digits(text)?;
    let (second, text) = two_digits(text)?;
    let civil = Civil {
        year,
        month,
        day,
        hour,
        minute,
        second,
    };
    (text == b"Z").then_some((civil.to_secs()?, rest))
}

fn two_digits(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] => {
            Some(((tens - b'0') * 10 + (ones - b'0'), rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn of(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = content.len();
        let mut all = Vec::from([tag]);
        if length < 0x80 {
            all.push(length as u8);
        } else {
            all.extend([0x82, (length >> 8) as u8, length as u8]);
        }
        all.extend(content);
        all
    }

    fn certificate(serial: &[u8], begins: &[u8], ends: &[u8], is_versioned: bool) -> Vec<u8> {
        let mut signed = Vec::new();
        if is_versioned {
            signed.extend(of(VERSION, &of(INTEGER, &[2])));
        }
        signed.extend(of(INTEGER, serial));
        signed.extend(of(SEQUENCE, &[5, 0]));
        // Long enough for a length of several bytes.
        signed.extend(of(SEQUENCE, &[0x31; 300]));
        signed.extend(of(SEQUENCE, &[begins, ends].concat()));
        signed.extend(of(SEQUENCE, b"a subject and a key"));
        of(SEQUENCE, &[of(SEQUENCE, &signed), of(3, &[0; 64])].concat())
    }

    #[test]
    fn number_and_times_are_read() {
        for is_versioned in [true, false] {
            let der = certificate(
                &[0, 0xA1, 0x0b],
                &of(UTC_TIME, b"991231235959Z"),
                &of(GENERALIZED_TIME, b"20500102030405Z"),
                is_versioned,
            );
            let seen = Certificate::parse(&der).expect("it is one");
            assert_eq!(seen.serial, "A10B");
            // `date -u -d 1999-12-31T23:59:59 +%s`, and of 2050-01-02T03:04:05.
            assert_eq!((seen.begins, seen.ends), (946_684_799, 2_524_705_445));
        }
    }

    #[test]
    fn what_is_none_is_none() {
        let good = of(UTC_TIME, b"200101000000Z");
        let bad: [&[u8]; 5] = [
            b"200101000000",
            b"200101000000+",
            b"200230000000Z",
            b"2001010000Z",
            b"",
        ];
        for bad in bad {
            let bad = of(UTC_TIME, bad);
            assert_eq!(
                Certificate::parse(&certificate(&[1], &good, &bad, true)),
                None
            );
        }
        let whole = certificate(&[1], &good, &good, true);
        assert!(Certificate::parse(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(Certificate::parse(&whole[..end]), None, "{end}");
        }
        // No byte, whatever it becomes, makes it anything but a certificate or none.
        for at in 0..whole.len() {
            for byte in 0..=255 {
                let mut other = whole.clone();
                other[at] = byte;
                let _either = Certificate::parse(&other);
            }
        }
        assert_eq!(Certificate::parse(&[whole, Vec::from([0])].concat()), None);
    }
}
