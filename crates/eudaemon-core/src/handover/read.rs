//! The fields of a frame, one behind the other.

use super::{TEXT_MOST, Wrong};
use alloc::string::String;
use alloc::vec::Vec;

/// What is left of a frame.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub fn of(frame: &'a [u8]) -> Fields<'a> {
        Fields(frame)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Wrong> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Wrong::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        self.take(N)?.try_into().map_err(|_| Wrong::Short)
    }

    pub fn byte(&mut self) -> Result<u8, Wrong> {
        self.array().map(|[byte]| byte)
    }

    pub fn flag(&mut self) -> Result<bool, Wrong> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Wrong::Value),
        }
    }

    pub fn number(&mut self) -> Result<u32, Wrong> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn long(&mut self) -> Result<u64, Wrong> {
        self.array().map(u64::from_le_bytes)
    }

    pub fn bytes(&mut self) -> Result<Vec<u8>, Wrong> {
        let length = usize::from(self.array().map(u16::from_le_bytes)?);
        if length > TEXT_MOST {
            return Err(Wrong::TooLong);
        }
        self.take(length).map(<[u8]>::to_vec)
    }

    /// A text that means something.
    pub fn text(&mut self) -> Result<String, Wrong> {
        String::from_utf8(self.bytes()?).map_err(|_| Wrong::Value)
    }

    /// A text for people: what is no text in it is replaced.
    pub fn words(&mut self) -> Result<String, Wrong> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    pub fn end(self) -> Result<(), Wrong> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Wrong::Long)
        }
    }
}
