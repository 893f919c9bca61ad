//! What belongs to a record.

use std::borrow::Cow;
use std::fmt;

/// The value of a field.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum Value<'a> {
    /// Text.
    Text(&'a str),
    /// Any bytes; the journal keeps them as they are.
    Bytes(&'a [u8]),
    /// A number.
    Signed(i64),
    /// A number.
    Unsigned(u64),
    /// What is shown only if the record is written.
    Shown(&'a dyn fmt::Display),
}

impl Value<'_> {
    pub(super) fn bytes(&self) -> Cow<'_, [u8]> {
        match self {
            Value::Text(text) => Cow::Borrowed(text.as_bytes()),
            Value::Bytes(bytes) => Cow::Borrowed(bytes),
            Value::Signed(number) => Cow::Owned(number.to_string().into_bytes()),
            Value::Unsigned(number) => Cow::Owned(number.to_string().into_bytes()),
            Value::Shown(shown) => Cow::Owned(shown.to_string().into_bytes()),
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}", self.bytes().escape_ascii())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Value<'a> {
        Value::Text(text)
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Value<'a> {
        Value::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Value<'a> {
        Value::Bytes(bytes)
    }
}

impl From<i32> for Value<'_> {
    fn from(number: i32) -> Self {
        Value::Signed(number.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Value::Signed(number)
    }
}

impl From<u32> for Value<'_> {
    fn from(number: u32) -> Self {
        Value::Unsigned(number.into())
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Value::Unsigned(number)
    }
}

impl From<usize> for Value<'_> {
    fn from(number: usize) -> Self {
        Value::Unsigned(number as u64)
    }
}

impl From<bool> for Value<'_> {
    fn from(truth: bool) -> Self {
        Value::Text(if truth { "true" } else { "false" })
    }
}
