//! The words every room shares: who, how it ended, which signal.

use core::fmt;
use core::num::NonZeroU32;

/// A process id as the kernel gave it; never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(pub NonZeroU32);

impl Pid {
    /// A pid from a number; `None` for zero.
    #[must_use]
    pub fn new(number: u32) -> Option<Pid> {
        NonZeroU32::new(number).map(Pid)
    }
    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

/// An error number of the running system. Core never interprets it; it carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Errno(pub i32);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ended {
    /// It called `exit` with this code.
    Code(u8),
    /// A signal ended it. The number is the system's own.
    Signal {
        /// The signal's number on this system.
        number: u8,
        /// Whether a core was dumped.
        core: bool,
    },
    /// It is gone and nobody saw how: both its keeper and its engine were dead at the time.
    Unknown,
}

impl Ended {
    /// Reads a wait status. Source: `wait(2)`; Linux and the BSDs agree on these bits.
    #[must_use]
    pub fn from_wait(status: u32) -> Ended {
        let [low, high, ..] = status.to_le_bytes();
        match low & 0x7f {
            0 => Ended::Code(high),
            number => Ended::Signal {
                number,
                core: low & 0x80 != 0,
            },
        }
    }
    /// The wait status again; an unknown end has none.
    #[must_use]
    pub fn to_wait(self) -> Option<u32> {
        match self {
            Ended::Code(code) => Some(u32::from(code) << 8),
            Ended::Signal { number, core } => Some(u32::from(number) | if core { 0x80 } else { 0 }),
            Ended::Unknown => None,
        }
    }
    /// Whether it ended with code 0.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Ended::Code(0))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Code(code) => write!(f, "exit {code}"),
            Ended::Signal { number, core } => match Signal::from_number_linux(*number) {
                Some(signal) => write!(
                    f,
                    "signal {}{}",
                    signal.name(),
                    if *core { " (core dumped)" } else { "" }
                ),
                None => write!(f, "signal {number}"),
            },
            Ended::Unknown => f.write_str("exit status unknown"),
        }
    }
}

macro_rules! signals {
    ($($(#[$doc:meta])* $variant:ident $name:literal $linux:literal,)*) => {
        /// A signal by name. Numbers differ by system; `eudaemon-sys` knows them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Signal { $($(#[$doc])* $variant,)* }

        /// Every signal we can name.
        pub const SIGNALS: &[Signal] = &[$(Signal::$variant,)*];

        impl Signal {
            /// The name without `SIG`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Signal::$variant => $name,)* }
            }
            /// The number on Linux, where x86 and arm agree. Source: signal(7).
            #[must_use]
            pub const fn number_linux(self) -> u8 {
                match self { $(Signal::$variant => $linux,)* }
            }
        }
    };
}
signals! {
    /// Terminal hung up; by custom, reload.
    Hup "HUP" 1,
    /// Interrupt from the keyboard.
    Int "INT" 2,
    /// Quit from the keyboard, with a core.
    Quit "QUIT" 3,
    /// Abort, with a core.
    Abrt "ABRT" 6,
    /// Cannot be caught.
    Kill "KILL" 9,
    /// For the program's own use.
    Usr1 "USR1" 10,
    /// For the program's own use.
    Usr2 "USR2" 12,
    /// A write to a pipe nobody reads.
    Pipe "PIPE" 13,
    /// Alarm; `multilog` rotates.
    Alrm "ALRM" 14,
    /// Please end.
    Term "TERM" 15,
    /// A child changed state.
    Chld "CHLD" 17,
    /// Continue after a stop.
    Cont "CONT" 18,
    /// Stop; cannot be caught.
    Stop "STOP" 19,
    /// Stop from the keyboard.
    Tstp "TSTP" 20,
    /// A read from the terminal in the background; by custom of daemons, more log.
    Ttin "TTIN" 21,
    /// A write to the terminal in the background; by custom of daemons, less log.
    Ttou "TTOU" 22,
    /// The terminal's size changed.
    Winch "WINCH" 28,
}

impl Signal {
    /// The signal with this Linux number, if we name it.
    #[must_use]
    pub fn from_number_linux(number: u8) -> Option<Signal> {
        SIGNALS
            .iter()
            .copied()
            .find(|signal| signal.number_linux() == number)
    }
    /// Reads `TERM`, `SIGTERM` or a Linux number; either case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Signal> {
        if let Ok(number) = text.parse() {
            return Signal::from_number_linux(number);
        }
        let bare = match text.get(..3) {
            Some(prefix) if prefix.eq_ignore_ascii_case("SIG") => &text[3..],
            _ => text,
        };
        SIGNALS
            .iter()
            .copied()
            .find(|signal| signal.name().eq_ignore_ascii_case(bare))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses_round_trip() {
        for status in [0u32, 1 << 8, 111 << 8, 255 << 8, 9, 15, 6 | 0x80] {
            assert_eq!(Ended::from_wait(status).to_wait(), Some(status));
        }
        assert_eq!(Ended::from_wait(100 << 8), Ended::Code(100));
        assert_eq!(
            Ended::from_wait(9),
            Ended::Signal {
                number: 9,
                core: false
            }
        );
    }

    #[test]
    fn signals_are_read_in_each_spelling() {
        for text in ["TERM", "SIGTERM", "sigterm", "15"] {
            assert_eq!(Signal::parse(text), Some(Signal::Term), "{text}");
        }
        for text in ["", "SIG", "TERMX", "0", "99"] {
            assert_eq!(Signal::parse(text), None, "{text}");
        }
        for signal in SIGNALS {
            assert_eq!(Signal::parse(signal.name()), Some(*signal));
        }
    }
}
