//! What a service and its spawner say: the process that starts the service's program again when the service itself no longer may.
//!
//! ```text
//! service to spawner   Start, with two descriptors: the end of the line of the new process, and its standard error
//!                      Kill
//!                      Leave: it ends, and what it started goes on as a child of whoever takes orphans
//! spawner to service   Apart, at the beginning
//!                      Started, with a pidfd   or   NotStarted      and once it has ended   Ended
//! ```
//!
//! That is all there is, on purpose: which program, which words and which environment were settled before the service could be
//! taken over by anybody. Each message is five bytes: a letter and a number.

/// The length of every message.
pub const LENGTH: usize = 5;

/// What the service orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start the program.
    Start,
    /// Kill what was started.
    Kill,
    /// End, and leave what was started to itself.
    Leave,
}

/// What the spawner reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It has let go of everything of the service's: said once, at the beginning.
    Apart,
    /// The program runs, as this process.
    Started(u32),
    /// It could not be started: the system's error number, or 0 if it has none.
    NotStarted(i32),
    /// It has ended, with this wait status, and is reaped.
    Ended(u32),
}

impl Order {
    /// The message.
    #[must_use]
    pub const fn encode(self) -> [u8; LENGTH] {
        match self {
            Order::Start => message(b's', 0),
            Order::Kill => message(b'k', 0),
            Order::Leave => message(b'l', 0),
        }
    }

    /// Reads a message; `None` if it is none.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<Order> {
        match parts(message)? {
            (b's', 0) => Some(Order::Start),
            (b'k', 0) => Some(Order::Kill),
            (b'l', 0) => Some(Order::Leave),
            _ => None,
        }
    }
}

impl Report {
    /// The message.
    #[must_use]
    pub const fn encode(self) -> [u8; LENGTH] {
        match self {
            Report::Apart => message(b'A', 0),
            Report::Started(pid) => message(b'S', pid),
            Report::NotStarted(errno) => message(b'N', errno.cast_unsigned()),
            Report::Ended(status) => message(b'E', status),
        }
    }

    /// Reads a message; `None` if it is none.
    #[must_use]
    pub fn decode(message: &[u8]) -> Option<Report> {
        match parts(message)? {
            (b'A', 0) => Some(Report::Apart),
            (b'S', pid @ 1..) => Some(Report::Started(pid)),
            (b'N', errno) => Some(Report::NotStarted(errno.cast_signed())),
            (b'E', status) => Some(Report::Ended(status)),
            _ => None,
        }
    }
}

const fn message(kind: u8, number: u32) -> [u8; LENGTH] {
    let [a, b, c, d] = number.to_le_bytes();
    [kind, a, b, c, d]
}

fn parts(message: &[u8]) -> Option<(u8, u32)> {
    let [kind, number @ ..]: [u8; LENGTH] = message.try_into().ok()?;
    Some((kind, u32::from_le_bytes(number)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard_and_nothing_else_is() {
        let orders = [Order::Start, Order::Kill, Order::Leave];
        let numbers = [1, 2, 4_194_304, u32::MAX];
        let started = numbers.map(Report::Started);
        let not_started = [0, 2, 13, -1].map(Report::NotStarted);
        let ended = [0, 9, 0x100, u32::MAX].map(Report::Ended);
        let numbered = [started, not_started, ended].concat();
        let reports = numbered.into_iter().chain([Report::Apart]);
        for order in orders {
            assert_eq!(Order::decode(&order.encode()), Some(order));
            assert_eq!(Report::decode(&order.encode()), None);
        }
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Some(report));
            assert_eq!(Order::decode(&report.encode()), None);
        }
        // Every first byte, and every length.
        let known = (0..=255).filter(|kind| Order::decode(&[*kind, 0, 0, 0, 0]).is_some());
        assert_eq!(known.count(), orders.len());
        let known =
            (0..=255).filter(|kind| (0..2).any(|n| Report::decode(&[*kind, n, 0, 0, 0]).is_some()));
        assert_eq!(known.count(), 4);
        for wrong in [
            &b""[..],
            b"s",
            b"s\0\0\0",
            b"s\0\0\0\0\0",
            b"s\x01\0\0\0",
            b"S\0\0\0\0",
        ] {
            assert_eq!((Order::decode(wrong), Report::decode(wrong)), (None, None));
        }
    }
}
