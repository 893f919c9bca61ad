//! Logs what its words say, one after the other; to look at a log from outside.
//!
//! ```text
//! cargo run --example log -- auto describe levels lines level=debug say=hello
//! ```
//! The first word is the target. `describe` and `lost` print to standard output; `wait` waits for a line on standard
//! input.
use eudaemon::Activation;
use eudaemon::logging::{LEVELS, Level, Log, LogTarget, panic_hook};
use std::io::Write;
use std::process::ExitCode;

/// Records of each thread of `threads`.
const EACH: u32 = 200;

fn answer(words: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "{words}")
}

fn perform(log: &Log, word: &str) -> Result<(), Box<dyn std::error::Error>> {
    let (verb, object) = word.split_once('=').unwrap_or((word, ""));
    match verb {
        "describe" => answer(&log.describes())?,
        "lost" => answer(&log.lost().to_string())?,
        "wait" => {
            std::io::stdin().read_line(&mut String::new())?;
        }
        "say" => log.info(object),
        "levels" => {
            for level in LEVELS {
                log.record(level, format_args!("at {level}"), &[]);
            }
        }
        "lines" => log.error("one\n<0>two\n\n\tfour\n"),
        "bytes" => {
            let all: Vec<u8> = (0..=255).collect();
            let fields = [
                ("BYTES", all.as_slice().into()),
                ("AGAIN", "a=b".into()),
                ("AGAIN", "c".into()),
                ("EMPTY", "".into()),
                ("http.status-code", 404.into()),
                ("MESSAGE_ID", "7d4958e842da4a758f6c1cdc7b36dcc5".into()),
                ("ERRNO", 13.into()),
            ];
            log.record(Level::Warning, "bytes\u{1b}[31m \u{e9}", &fields);
        }
        "large" => {
            let bytes: usize = object.parse()?;
            log.record(
                Level::Notice,
                "large",
                &[("LARGE", "x".repeat(bytes).as_str().into())],
            );
        }
        "threads" => std::thread::scope(|scope| {
            for thread in 0..8 {
                scope.spawn(move || {
                    for record in 0..EACH {
                        log.info(format_args!(
                            "thread {thread} record {record} {}",
                            "~".repeat(200)
                        ));
                    }
                });
            }
        }),
        "level" => log
            .levels()
            .set(Level::parse(object).ok_or("no such level")?),
        "more" => drop(log.levels().more()),
        "less" => drop(log.levels().less()),
        "retarget" => log.retarget(object.parse()?)?,
        "reopen" => log.reopen()?,
        "chroot" => {
            std::os::unix::fs::chroot(object)?;
            std::env::set_current_dir("/")?;
        }
        "panic" => {
            panic_hook(log.clone());
            let ended = std::thread::spawn(|| panic!("as asked")).join();
            assert!(ended.is_err());
        }
        _ => return Err(format!("no word: {word}").into()),
    }
    Ok(())
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let activation = Activation::of_this_process();
    let words: Vec<_> = activation
        .words()
        .iter()
        .map(|w| w.to_string_lossy())
        .collect();
    let (target, words) = match words.get(1..) {
        Some([target, words @ ..]) => (target.parse::<LogTarget>()?, words),
        Some([]) | None => return Err("usage: log TARGET WORD...".into()),
    };
    let log = Log::open(target, &activation, "eudaemon-log", Level::Info)?;
    for word in words {
        perform(&log, word)?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = answer(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
