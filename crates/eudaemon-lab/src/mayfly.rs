//! The mayfly: a service that lives between 1 and 200 ms, watches that it is alone, and leaves a record of its life;
//! with its `finish` and its logger. One program, told apart by the name it is called under and where.
//!
//! The record is the file `lives` in the service directory, one line per event, each by one `write` with O_APPEND:
//! `start ID`, `end ID CODE LINES`, `finish CODE STATUS`.

use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::time::{Duration, SystemTime};

/// How many lines a logged service that lives forever says, one in 5 ms, before it falls silent.
pub const TALK: u64 = 400;

/// The exit code of the service with this number. Never one with a meaning of its own: 100, 111 and 125.
#[must_use]
pub fn code_of(number: u32) -> i32 {
    let code = i32::try_from(number * 7 % 97).unwrap_or_default();
    code + 1
}

/// The number in a service's name: `s017` is 17.
#[must_use]
pub fn number_of(name: &str) -> u32 {
    name.trim_start_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .unwrap_or_default()
}

/// Plays the part this program was called for; `None` if it was called under a name that is no part.
#[must_use]
pub fn part() -> Option<i32> {
    let mut args = std::env::args();
    let name = args.next()?;
    let name = name.rsplit('/').next()?.to_owned();
    let here = std::env::current_dir().ok()?;
    let dir = here.file_name()?.to_str()?.to_owned();
    let played = match (name.as_str(), dir.as_str()) {
        ("run", "log") => log(),
        ("run", _) => live(number_of(&dir)),
        ("finish", _) => finish(&args.collect::<Vec<_>>()),
        _ => return None,
    };
    // 99 is no service's code, so trouble of the mayfly's own shows as a wrong exit status.
    Some(played.unwrap_or(99))
}

fn append(file: &str, line: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().append(true).create(true).open(file)?;
    file.write_all(line.as_bytes())
}

fn live(number: u32) -> std::io::Result<i32> {
    let lock = File::create("alone")?;
    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
        append("DOUBLE", &format!("{}\n", std::process::id()))?;
        return Ok(98);
    }
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |now| now.as_nanos());
    // A pid comes back within minutes under this load; with the moment of its start it is one life's own.
    let id = format!("{}.{}", std::process::id(), started()?);
    append("lives", &format!("start {id}\n"))?;
    if fs::exists("forever")? {
        if fs::exists("log")? {
            for line in 0..TALK {
                std::io::stdout().write_all(format!("{id} {line}\n").as_bytes())?;
                nap(Duration::from_millis(5));
            }
            append("lives", &format!("said {id}\n"))?;
        }
        loop {
            nap(Duration::from_secs(3600));
        }
    }
    let random =
        u64::try_from(now & 0xffff_ffff).unwrap_or_default() ^ u64::from(std::process::id()) << 20;
    let random = scrambled(random);
    let life = Duration::from_micros(1000 + random % 199_000);
    let mut lines = 0;
    if fs::exists("log")? {
        lines = 1 + random % 7;
        for line in 0..lines {
            // One write each and shorter than PIPE_BUF, so whole or not at all.
            std::io::stdout().write_all(format!("{id} {line}\n").as_bytes())?;
            nap(life / u32::try_from(lines).unwrap_or(1));
        }
    } else {
        nap(life);
    }
    let code = code_of(number);
    append("lives", &format!("end {id} {code} {lines}\n"))?;
    Ok(code)
}

/// When the kernel made this process, in nanoseconds since the boot, to a hundredth of a second. What a busy machine adds
/// before our first instruction is not in it.
fn started() -> std::io::Result<u64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Field 22 of proc(5), counted from the end of the name, which is field 2. A tick is a hundredth of a second (USER_HZ).
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Option<u64> = after
        .split_whitespace()
        .nth(19)
        .and_then(|t| t.parse().ok());
    ticks
        .map(|ticks| ticks * 10_000_000)
        .ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

fn finish(args: &[String]) -> std::io::Result<i32> {
    append("lives", &format!("finish {}\n", args.join(" ")))?;
    Ok(0)
}

/// Writes down all it reads; ends now and then, between a write and the next read, where nothing is in its hands.
fn log() -> std::io::Result<i32> {
    let mut all = OpenOptions::new().append(true).create(true).open("all")?;
    let mut buffer = vec![0; 65536];
    let mut turns = 100 + scrambled(u64::from(std::process::id())) % 400;
    loop {
        let n = std::io::stdin().read(&mut buffer)?;
        if n == 0 || turns == 0 {
            all.write_all(&buffer[..n])?;
            return Ok(0);
        }
        turns -= 1;
        all.write_all(&buffer[..n])?;
    }
}

/// SplitMix64's last step: neighbouring seeds give unrelated numbers. Source: Steele, Lea, Flood, OOPSLA 2014.
#[must_use]
pub fn scrambled(seed: u64) -> u64 {
    let z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn nap(time: Duration) {
    let time = rustix::event::Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    let _timeout_or_signal = rustix::event::poll(&mut [], Some(&time));
}
