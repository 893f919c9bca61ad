//! The status record, and the sentence `svstat` makes of it.
//!
//! Layouts: specification §2.3. 18 bytes are daemontools 0.76; encore and runit add two each, and mean different things by
//! them ([`Tail`]); encore adds a second record of 20 when the same supervisor runs `log`. We write 20 or 40 bytes: encore's
//! for a directory that uses encore's features, runit's for all others (docs/decisions/0004).

use crate::time::{Tai64n, Wall};
use crate::words::Pid;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// What the operator wants, as byte 17 says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// `u`.
    Up,
    /// `d`.
    Down,
    /// NUL: started with `o`, will not be restarted.
    Once,
}

/// Encore's state byte. Source: specification §2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Phase {
    /// Nothing runs.
    Stopped = 0,
    /// `start` runs.
    Starting = 1,
    /// `start` succeeded and there is no `run`.
    Started = 2,
    /// `run` runs.
    Running = 3,
    /// Asked down; `run` or `stop` still runs.
    Stopping = 4,
    /// It said by its exit code, or by failing to start, that it must not be restarted.
    Failed = 5,
}

impl Phase {
    /// Every phase, in the order of its byte.
    pub const ALL: [Phase; 6] = [
        Phase::Stopped,
        Phase::Starting,
        Phase::Started,
        Phase::Running,
        Phase::Stopping,
        Phase::Failed,
    ];

    /// The phase of a state byte.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Phase> {
        Phase::ALL.get(usize::from(byte)).copied()
    }
    /// Encore's word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Phase::Stopped => "stopped",
            Phase::Starting => "starting",
            Phase::Started => "started",
            Phase::Running => "running",
            Phase::Stopping => "stopping",
            Phase::Failed => "failed",
        }
    }
}

/// What bytes 18 and 19 say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// There are none (0.76).
    Absent,
    /// Encore's state byte, or runit's for a service that is down: both are followed by 0. The byte itself, for it may be one
    /// nobody defined.
    Encore(u8),
    /// Nothing runs, told in our own way: encore's state byte with a mark, to which runit's `sv` does not look.
    Down(u8),
    /// Runit: `run` runs.
    Run {
        /// TERM was sent and has not yet had its effect.
        term: bool,
    },
    /// Runit: `finish` runs.
    Finish {
        /// As above.
        term: bool,
    },
    /// A byte 19 that nobody defined.
    Unknown,
}

/// Set in byte 18 of our own records of what is down. Observed: sv 2.1.2 looks at the byte only beside a pid.
const MARK: u8 = 0x80;

impl Tail {
    fn encode(self) -> [u8; 2] {
        match self {
            Tail::Absent | Tail::Unknown => [0, 0xff],
            Tail::Encore(state) => [state, 0],
            Tail::Down(state) => [MARK | state, 0],
            Tail::Run { term } => [u8::from(term), 1],
            Tail::Finish { term } => [u8::from(term), 2],
        }
    }
    fn decode(bytes: &[u8]) -> Tail {
        match bytes {
            [] | [_] => Tail::Absent,
            [state, 0, ..] if state & MARK != 0 => Tail::Down(state & !MARK),
            [state, 0, ..] => Tail::Encore(*state),
            [term, 1, ..] => Tail::Run { term: *term != 0 },
            [term, 2, ..] => Tail::Finish { term: *term != 0 },
            _ => Tail::Unknown,
        }
    }
}

/// One process as the status file shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When the pid last changed.
    pub since: Tai64n,
    /// The pid it shows; `None` when nothing runs. With [`Tail::Finish`] it is `finish`'s.
    pub pid: Option<Pid>,
    /// Whether it was stopped with `p`.
    pub paused: bool,
    /// What is wanted; `None` for a byte nobody defined.
    pub wanted: Option<Wanted>,
    /// The bytes behind 0.76's.
    pub tail: Tail,
}

/// What a status file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The service.
    pub main: Record,
    /// Its executable `log`, when the same supervisor runs it.
    pub log: Option<Record>,
}

/// Length of 0.76's record.
pub const CLASSIC_SIZE: usize = 18;
/// Length of encore's record, and of ours.
pub const RECORD_SIZE: usize = 20;
/// Length of two of them: a service and its log.
pub const LOGGED_SIZE: usize = 2 * RECORD_SIZE;

impl Record {
    /// Writes the 20-byte form.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD_SIZE] {
        let mut out = [0; RECORD_SIZE];
        out[..12].copy_from_slice(&self.since.pack());
        out[12..16].copy_from_slice(&self.pid.map_or(0, Pid::get).to_le_bytes());
        out[16] = u8::from(self.paused && self.pid.is_some());
        out[17] = match self.wanted {
            Some(Wanted::Up) => b'u',
            Some(Wanted::Down) => b'd',
            Some(Wanted::Once) | None => 0,
        };
        out[18..].copy_from_slice(&self.tail.encode());
        out
    }

    /// The pid of the service itself: `finish` is not the service.
    #[must_use]
    pub fn service_pid(&self) -> Option<Pid> {
        match self.tail {
            Tail::Finish { .. } => None,
            Tail::Absent | Tail::Encore(_) | Tail::Down(_) | Tail::Run { .. } | Tail::Unknown => {
                self.pid
            }
        }
    }

    /// Encore's state, as far as the record tells it.
    #[must_use]
    pub fn phase(&self) -> Option<Phase> {
        match self.tail {
            Tail::Absent | Tail::Unknown => None,
            Tail::Encore(state) | Tail::Down(state) => Phase::from_byte(state),
            Tail::Run { .. } if self.wanted == Some(Wanted::Down) => Some(Phase::Stopping),
            Tail::Run { .. } => Some(Phase::Running),
            Tail::Finish { .. } => Some(Phase::Stopping),
        }
    }

    fn decode(bytes: &[u8]) -> Option<Record> {
        let (stamp, rest) = bytes.split_first_chunk::<12>()?;
        let (pid, rest) = rest.split_first_chunk::<4>()?;
        let [paused, wanted, more @ ..] = rest else {
            return None;
        };
        Some(Record {
            since: Tai64n::unpack(*stamp),
            pid: Pid::new(u32::from_le_bytes(*pid)),
            paused: *paused != 0,
            wanted: match wanted {
                b'u' => Some(Wanted::Up),
                b'd' => Some(Wanted::Down),
                0 => Some(Wanted::Once),
                _ => None,
            },
            tail: Tail::decode(more),
        })
    }
}

impl Status {
    /// Reads a status file of 18, 20 or 40 bytes. Shorter than 18 is no status; bytes beyond are ignored, as the
    /// originals do.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Status> {
        // Only encore's lengths have encore's bytes: others' records go on differently after the 18th.
        let (main, log) = match bytes.len() {
            RECORD_SIZE => (bytes, None),
            LOGGED_SIZE => (bytes.get(..RECORD_SIZE)?, bytes.get(RECORD_SIZE..)),
            _ => (bytes.get(..CLASSIC_SIZE)?, None),
        };
        let main = Record::decode(main)?;
        let log = log.and_then(Record::decode);
        Some(Status { main, log })
    }

    /// Writes 20 bytes, or 40 with a log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 * RECORD_SIZE);
        out.extend_from_slice(&self.main.encode());
        if let Some(log) = &self.log {
            out.extend_from_slice(&log.encode());
        }
        out
    }
}

/// Whose words the sentence uses. `EUDAEMON_DIALECT` chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// 0.76 alone.
    Classic,
    /// Encore's words for every record that has a state byte.
    Encore,
    /// 0.76's words; a supervisor has runit's manners.
    Runit,
    /// 0.76's words, and encore's for directories that use encore's features.
    #[default]
    Auto,
}

impl Dialect {
    /// Reads the value of `EUDAEMON_DIALECT`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Dialect> {
        match text {
            b"classic" => Some(Dialect::Classic),
            b"encore" => Some(Dialect::Encore),
            b"runit" => Some(Dialect::Runit),
            b"auto" | b"" => Some(Dialect::Auto),
            _ => None,
        }
    }
}

/// What `svstat` prints after `DIR: ` (or `DIR log: `).
///
/// `normally_down` is whether the file `down` exists now. Source: specification §5.3; a record whose stamp nobody
/// could have written is told as `status unknown` (the originals print nonsense: reliability §0.8).
#[must_use]
pub fn sentence(record: &Record, now: Wall, normally_down: bool, dialect: Dialect) -> String {
    let mut out = String::new();
    let told = i128::from(Tai64n::from_wall(now).label) - i128::from(record.since.label);
    let seconds = told.max(0);
    // A label from 2^63 on is reserved by TAI64's definition, and a second has 10^9 nanoseconds: nobody wrote such a stamp.
    if record.since.label >= 1 << 63 || record.since.nanos > 999_999_999 {
        out.push_str("status unknown");
        return out;
    }
    match record.service_pid() {
        Some(pid) => {
            let _ = write!(out, "up (pid {}) {seconds} seconds", pid.get());
            if normally_down {
                out.push_str(", normally down");
            }
            if record.paused {
                out.push_str(", paused");
            }
            if record.wanted == Some(Wanted::Down) {
                out.push_str(", want down");
            }
        }
        None => {
            let _ = write!(out, "down {seconds} seconds");
            if !normally_down {
                out.push_str(", normally up");
            }
            if record.wanted == Some(Wanted::Up) {
                out.push_str(", want up");
            }
        }
    }
    let words = match dialect {
        Dialect::Classic | Dialect::Runit => false,
        Dialect::Encore => record.tail != Tail::Absent,
        Dialect::Auto => matches!(record.tail, Tail::Encore(_)),
    };
    if words {
        if record.service_pid().is_some() && record.wanted == Some(Wanted::Once) {
            out.push_str(", once");
        }
        out.push_str(", ");
        out.push_str(record.phase().map_or("status unknown", Phase::word));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            since: Tai64n::from_wall(Wall::new(1000, 0)),
            pid: Pid::new(478),
            paused: false,
            wanted: Some(Wanted::Up),
            tail: Tail::Encore(3),
        }
    }

    fn say(record: Record, normally_down: bool, dialect: Dialect) -> String {
        sentence(&record, Wall::new(1002, 0), normally_down, dialect)
    }

    #[test]
    fn records_round_trip_in_each_length() {
        let status = Status {
            main: record(),
            log: Some(Record {
                pid: None,
                ..record()
            }),
        };
        assert_eq!(Status::decode(&status.encode()), Some(status));
        assert_eq!(status.encode().len(), 40);
        let classic = Status::decode(&status.encode()[..18]).expect("18 bytes are a status");
        assert_eq!(classic.main.tail, Tail::Absent);
        assert_eq!(classic.log, None);
        assert_eq!(Status::decode(&status.encode()[..17]), None);
    }

    #[test]
    fn the_pid_is_little_endian_at_twelve() {
        assert_eq!(record().encode()[12..18], [0xde, 1, 0, 0, 0, b'u']);
    }

    #[test]
    fn encores_examples() {
        // Source: specification §5.3, observed with encore 1.11.
        let auto = Dialect::Auto;
        assert_eq!(
            say(record(), false, auto),
            "up (pid 478) 2 seconds, running"
        );
        let once = Record {
            wanted: Some(Wanted::Once),
            ..record()
        };
        assert_eq!(
            say(once, false, auto),
            "up (pid 478) 2 seconds, once, running"
        );
        let failed = Record {
            pid: None,
            wanted: Some(Wanted::Down),
            tail: Tail::Encore(5),
            ..record()
        };
        assert_eq!(
            say(failed, false, auto),
            "down 2 seconds, normally up, failed"
        );
        let odd = Record {
            tail: Tail::Encore(9),
            ..record()
        };
        assert_eq!(
            say(odd, false, auto),
            "up (pid 478) 2 seconds, status unknown"
        );
    }

    #[test]
    fn a_plain_directory_gets_the_plain_sentence() {
        let plain = Record {
            tail: Tail::Run { term: false },
            ..record()
        };
        assert_eq!(
            say(plain, true, Dialect::Auto),
            "up (pid 478) 2 seconds, normally down"
        );
        assert_eq!(
            say(plain, true, Dialect::Encore),
            "up (pid 478) 2 seconds, normally down, running"
        );
        assert_eq!(
            say(record(), false, Dialect::Classic),
            "up (pid 478) 2 seconds"
        );
        let down = Record {
            pid: None,
            tail: Tail::Down(0),
            ..plain
        };
        assert_eq!(
            say(down, false, Dialect::Auto),
            "down 2 seconds, normally up, want up"
        );
        let paused = Record {
            paused: true,
            wanted: Some(Wanted::Down),
            ..plain
        };
        assert_eq!(
            say(paused, false, Dialect::Auto),
            "up (pid 478) 2 seconds, paused, want down"
        );
    }

    #[test]
    fn every_tail_round_trips_and_finish_is_not_the_service() {
        for tail in [
            Tail::Encore(4),
            Tail::Down(5),
            Tail::Run { term: true },
            Tail::Run { term: false },
            Tail::Finish { term: false },
            Tail::Unknown,
        ] {
            let told = Record { tail, ..record() };
            assert_eq!(Record::decode(&told.encode()), Some(told));
        }
        let finish = Record {
            tail: Tail::Finish { term: false },
            ..record()
        };
        assert_eq!(
            say(finish, false, Dialect::Auto),
            "down 2 seconds, normally up, want up"
        );
        let failed = Record {
            pid: None,
            tail: Tail::Down(5),
            ..record()
        };
        assert_eq!(failed.phase(), Some(Phase::Failed));
    }

    #[test]
    fn garbage_is_unknown_and_time_never_runs_backwards() {
        let garbage = Status::decode(&[0xff; 20]).expect("long enough");
        assert_eq!(
            sentence(&garbage.main, Wall::new(0, 0), false, Dialect::Auto),
            "status unknown"
        );
        let early = sentence(&record(), Wall::new(5, 0), false, Dialect::Classic);
        assert_eq!(early, "up (pid 478) 0 seconds");
    }
}
