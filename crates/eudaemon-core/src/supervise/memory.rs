//! A supervisor as words, for a place that outlives its shell.

use super::hook::{Errand, Hook, Pending, byte_of, command_of};
use super::{Hold, Script, Side, State, Supervisor};
use crate::control::Control;
use crate::definition::{Definition, FinishStyle, Layout, Manners};
use crate::status::Wanted;
use crate::time::{Mono, Wall};
use crate::words::{Ended, Pid, SIGNALS, Signal};
use core::time::Duration;

/// Words of one saved supervisor.
pub const WORDS: usize = 24;

/// First word's upper half: what this is, and in which version.
const TAG: u64 = 0xe0da_0002;

struct Flags(u64);
impl Flags {
    fn put(&mut self, bit: u32, value: bool) {
        self.0 |= u64::from(value) << bit;
    }
    fn get(&self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}
fn low(word: u64) -> u32 {
    u32::try_from(word & 0xffff_ffff).unwrap_or(0)
}
fn high(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or(0)
}
fn byte(word: u64, at: u32) -> u8 {
    word.to_le_bytes().get(at as usize).copied().unwrap_or(0)
}

/// FNV-1a over the words: a torn or foreign record is not mistaken for one of ours.
fn sum(words: &[u64]) -> u64 {
    words
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
}

fn want_byte(want: Wanted) -> u64 {
    match want {
        Wanted::Up => 0,
        Wanted::Down => 1,
        Wanted::Once => 2,
    }
}
fn want_from(byte: u8) -> Option<Wanted> {
    [Wanted::Up, Wanted::Down, Wanted::Once]
        .get(usize::from(byte))
        .copied()
}

/// Kind, pid, moment, and whether there is a moment.
fn side_parts(side: Side) -> (u64, u32, Option<Mono>) {
    match side {
        Side::Off => (0, 0, None),
        Side::Waiting { at } => (1, 0, Some(at)),
        Side::Launching => (2, 0, None),
        Side::Alive { pid, kill_at } => (3, pid.get(), kill_at),
        Side::Doomed { pid } => (4, pid.get(), None),
    }
}
fn side_from(kind: u8, pid: u32, at: Option<Mono>) -> Option<Side> {
    Some(match kind {
        0 => Side::Off,
        1 => Side::Waiting { at: at? },
        2 => Side::Launching,
        3 => Side::Alive {
            pid: Pid::new(pid)?,
            kill_at: at,
        },
        4 => Side::Doomed {
            pid: Pid::new(pid)?,
        },
        _ => return None,
    })
}

fn hook_parts(hook: Hook) -> (u64, u32) {
    match hook {
        Hook::Off => (0, 0),
        Hook::Sought => (1, 0),
        Hook::Launching => (2, 0),
        Hook::Alive { pid } => (3, pid.get()),
        Hook::Doomed { pid } => (4, pid.get()),
    }
}
fn hook_from(kind: u8, pid: u32) -> Option<Hook> {
    Some(match kind {
        0 => Hook::Off,
        1 => Hook::Sought,
        2 => Hook::Launching,
        3 => Hook::Alive {
            pid: Pid::new(pid)?,
        },
        4 => Hook::Doomed {
            pid: Pid::new(pid)?,
        },
        _ => return None,
    })
}

fn errand_parts(errand: Errand) -> (u64, u64) {
    match errand {
        Errand::Raise => (0, 0),
        Errand::Before(command) => (1, byte_of(command).into()),
        Errand::After(control) => (2, byte_of(crate::control::Command::plain(control)).into()),
    }
}
fn errand_from(kind: u8, byte: u8) -> Option<Errand> {
    Some(match kind {
        0 => Errand::Raise,
        1 => Errand::Before(command_of(byte)?),
        2 => Errand::After(Control::from_byte(byte)?),
        _ => return None,
    })
}

fn optional(number: Option<u32>) -> u32 {
    number.map_or(0, |number| number.saturating_add(1))
}
fn after(word: u64) -> Option<Duration> {
    word.checked_sub(1).map(Duration::from_nanos)
}
fn until(duration: Option<Duration>) -> u64 {
    duration.map_or(0, |d| {
        u64::try_from(d.as_nanos())
            .unwrap_or(u64::MAX - 1)
            .saturating_add(1)
    })
}
fn signal_byte(signal: Signal) -> u64 {
    SIGNALS
        .iter()
        .position(|known| *known == signal)
        .unwrap_or(0) as u64
}

impl Supervisor {
    /// Everything it knows, as words. See [`Supervisor::restore`].
    #[must_use]
    pub fn save(&self) -> [u64; WORDS] {
        let mut flags = Flags(0);
        let (kind, script, hold, pid, at) = match self.state {
            State::Down => (0, None, None, 0, None),
            State::Waiting { at } => (1, None, None, 0, Some(at)),
            State::Looking => (2, None, None, 0, None),
            State::Held { at, why } => (3, None, Some(why), 0, Some(at)),
            State::Launching { script } => (4, Some(script), None, 0, None),
            State::Retrying { script, at } => (5, Some(script), None, 0, Some(at)),
            State::Alive {
                script,
                pid,
                kill_at,
            } => (6, Some(script), None, pid.get(), kill_at),
            State::Doomed { script, pid } => (7, Some(script), None, pid.get(), None),
            State::Started => (8, None, None, 0, None),
            State::Gone => (9, None, None, 0, None),
        };
        let (log_kind, log_pid, log_at) = side_parts(self.log);
        let (check_kind, check_pid, check_at) = side_parts(self.check);
        let (last_pid, last) = match self.last {
            None => (0, 0),
            Some((pid, Ended::Code(code))) => (pid.get(), 1 | u64::from(code) << 8),
            Some((pid, Ended::Signal { number, core })) => (
                pid.get(),
                (if core { 3 } else { 2 }) | u64::from(number) << 8,
            ),
            Some((pid, Ended::Unknown)) => (pid.get(), 4),
        };
        let (hook_kind, hook_pid) = hook_parts(self.hook);
        let (errand_kind, errand_byte) = errand_parts(self.errand);
        let pending = self.pending.0.as_chunks::<8>().0;
        let d = &self.definition;
        let m = &d.manners;
        for (bit, value) in [
            self.leaving,
            self.failed,
            self.fresh,
            self.owes_stop,
            self.paused,
            self.ready,
            self.log_paused,
            at.is_some(),
            log_at.is_some(),
            check_at.is_some(),
            d.run,
            d.start,
            d.stop,
            d.finish,
            d.check,
            d.notify,
            d.log,
            d.session,
            d.encore,
            d.finish_style == FinishStyle::S6,
            self.log_failed,
            self.termed,
            self.raise,
            d.hooks,
            m.exit_stops,
            m.hooks,
            m.finish_shown,
            m.finish_deaf,
            m.permanent,
            m.sweep,
            m.layout == Layout::Runit,
        ]
        .into_iter()
        .enumerate()
        {
            flags.put(bit as u32, value);
        }
        let mut words = [
            TAG << 32
                | kind
                | (script.map_or(0, |s| s as u64)) << 8
                | (hold.map_or(0, |h| h as u64)) << 16,
            flags.0,
            pair(pid, last_pid),
            at.map_or(0, |at| at.0),
            self.not_before.0,
            self.since.0,
            self.up_since.0,
            last | want_byte(self.want) << 16
                | want_byte(self.log_want) << 24
                | log_kind << 32
                | check_kind << 40
                | u64::from(self.refusals) << 48
                | signal_byte(d.down_signal) << 56,
            pair(self.generations[0], self.generations[1]),
            pair(self.generations[2], self.starts),
            pair(log_pid, check_pid),
            log_at.map_or(0, |at| at.0),
            check_at.map_or(0, |at| at.0),
            self.log_not_before.0,
            self.log_since.0,
            pair(optional(d.notification_fd), optional(d.lock_fd)),
            pair(optional(d.max_death_tally.map(u32::from)), self.check_for),
            until(d.timeout_kill),
            until(d.timeout_finish),
            pair(hook_pid, self.generations[3]),
            pair(0, self.hook_for)
                | hook_kind
                | errand_kind << 8
                | errand_byte << 16
                | u64::from(self.delivered) << 24,
            u64::from_le_bytes(pending[0]),
            u64::from_le_bytes(pending[1]),
            0,
        ];
        words[WORDS - 1] = sum(&words[..WORDS - 1]);
        words
    }

    /// Reads what [`Supervisor::save`] wrote. `None` if it is damaged, empty, or of another version.
    #[must_use]
    pub fn restore(words: &[u64; WORDS]) -> Option<Supervisor> {
        if words[WORDS - 1] != sum(&words[..WORDS - 1]) || words[0] >> 32 != TAG {
            return None;
        }
        let flags = Flags(words[1]);
        let script = Script::ALL.get(usize::from(byte(words[0], 1))).copied();
        let pid = Pid::new(low(words[2]));
        let at = flags.get(7).then_some(Mono(words[3]));
        let state = match byte(words[0], 0) {
            0 => State::Down,
            1 => State::Waiting { at: at? },
            2 => State::Looking,
            3 => State::Held {
                at: at?,
                why: Hold::ALL.get(usize::from(byte(words[0], 2))).copied()?,
            },
            4 => State::Launching { script: script? },
            5 => State::Retrying {
                script: script?,
                at: at?,
            },
            6 => State::Alive {
                script: script?,
                pid: pid?,
                kill_at: at,
            },
            7 => State::Doomed {
                script: script?,
                pid: pid?,
            },
            8 => State::Started,
            9 => State::Gone,
            _ => return None,
        };
        let number = byte(words[7], 1);
        let ended = match byte(words[7], 0) {
            0 => None,
            1 => Some(Ended::Code(number)),
            2 => Some(Ended::Signal {
                number,
                core: false,
            }),
            3 => Some(Ended::Signal { number, core: true }),
            4 => Some(Ended::Unknown),
            _ => return None,
        };
        Some(Supervisor {
            state,
            want: want_from(byte(words[7], 2))?,
            leaving: flags.get(0),
            failed: flags.get(1),
            fresh: flags.get(2),
            owes_stop: flags.get(3),
            paused: flags.get(4),
            ready: flags.get(5),
            not_before: Mono(words[4]),
            since: Wall(words[5]),
            up_since: Mono(words[6]),
            refusals: byte(words[7], 6),
            generations: [
                low(words[8]),
                high(words[8]),
                low(words[9]),
                high(words[19]),
            ],
            starts: high(words[9]),
            last: Pid::new(high(words[2])).zip(ended),
            log: side_from(
                byte(words[7], 4),
                low(words[10]),
                flags.get(8).then_some(Mono(words[11])),
            )?,
            log_want: want_from(byte(words[7], 3))?,
            log_not_before: Mono(words[13]),
            log_since: Wall(words[14]),
            log_paused: flags.get(6),
            log_failed: flags.get(20),
            check: side_from(
                byte(words[7], 5),
                high(words[10]),
                flags.get(9).then_some(Mono(words[12])),
            )?,
            check_for: high(words[16]),
            termed: flags.get(21),
            raise: flags.get(22),
            hook: hook_from(byte(words[20], 0), low(words[19]))?,
            errand: errand_from(byte(words[20], 1), byte(words[20], 2))?,
            hook_for: high(words[20]),
            delivered: byte(words[20], 3),
            pending: Pending(core::array::from_fn(|at| {
                let word = if at < 8 { words[21] } else { words[22] };
                byte(word, (at % 8) as u32)
            })),
            definition: Definition {
                run: flags.get(10),
                start: flags.get(11),
                stop: flags.get(12),
                finish: flags.get(13),
                hooks: flags.get(23),
                check: flags.get(14),
                notify: flags.get(15),
                log: flags.get(16),
                session: flags.get(17),
                encore: flags.get(18),
                finish_style: if flags.get(19) {
                    FinishStyle::S6
                } else {
                    FinishStyle::Runit
                },
                notification_fd: low(words[15]).checked_sub(1),
                lock_fd: high(words[15]).checked_sub(1),
                timeout_kill: after(words[17]),
                timeout_finish: after(words[18]),
                down_signal: SIGNALS.get(usize::from(byte(words[7], 7))).copied()?,
                max_death_tally: low(words[16])
                    .checked_sub(1)
                    .and_then(|n| u16::try_from(n).ok()),
                manners: Manners {
                    exit_stops: flags.get(24),
                    hooks: flags.get(25),
                    finish_shown: flags.get(26),
                    finish_deaf: flags.get(27),
                    permanent: flags.get(28),
                    sweep: flags.get(29),
                    layout: if flags.get(30) {
                        Layout::Runit
                    } else {
                        Layout::Mixed
                    },
                },
            },
        })
    }
}
