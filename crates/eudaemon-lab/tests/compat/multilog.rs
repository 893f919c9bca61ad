//! multilog: patterns, stamps, status files, directories, rotation, and its end.
//!
//! Not compared here: processors that fail; a full disk (see `bad_input.rs`); at which line a file is cut when many lines
//! come at once (the original's buffer of 1024 bytes decides, which nobody can rely on).

use eudaemon_lab::{Exit, Signal, Stage, asleep, both};
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// The files of a log directory with size, permissions and a fingerprint, stamps masked.
fn listing(s: &Stage, dir: &str) -> String {
    let mut names: Vec<_> = fs::read_dir(s.path(dir))
        .expect("a log directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    // The stamps are hexadecimal and of one length, so by name is by age.
    names.sort();
    let mut all = String::new();
    for name in names {
        let path = s.path(dir).join(&name);
        let mode = fs::metadata(&path)
            .expect("a log file")
            .permissions()
            .mode();
        let bytes = fs::read(&path).expect("a log file");
        let sum = bytes
            .iter()
            .fold(0_u32, |sum, &b| sum.wrapping_mul(31).wrapping_add(b.into()));
        let shown = if name.starts_with('@') && name.len() >= 25 {
            assert!(
                name[1..25]
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)),
                "{name}"
            );
            format!("@STAMP{}", &name[25..])
        } else {
            name
        };
        let _infallible = writeln!(
            all,
            "{shown} {} bytes, mode {mode:o}, sum {sum}",
            bytes.len()
        );
    }
    all
}

fn lines(n: usize) -> Vec<u8> {
    (0..n)
        .flat_map(|i| format!("line {i} {}\n", "x".repeat(i % 70)).into_bytes())
        .collect()
}

/// Stamps become `@STAMP`.
fn unstamped(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_prefix('@') {
            Some(rest) if rest.len() > 24 && rest.as_bytes()[24] == b' ' => {
                assert!(
                    rest[..24]
                        .bytes()
                        .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase()),
                    "{line}"
                );
                format!("@STAMP{}", &rest[24..])
            }
            _ => line.to_owned(),
        })
        .collect()
}

/// Unknown actions are passed over without a word; in our own dialect there is a warning.
const CLASSIC: &[(&str, &str)] = &[("EUDAEMON_DIALECT", "classic")];

#[test]
fn selects_by_pattern() {
    both("multilog-select", |s| {
        let input = b"one\ntwo\n\nonetwo\n one\nx one\n* one\nxy one\na b c\n\0nul\nlast";
        for line in [
            "multilog",
            "multilog e",
            "multilog e e",
            "multilog -* e",
            "multilog -* +one e",
            "multilog -* +one* e",
            "multilog -* +*one e",
            "multilog -* +*_one e",
            "multilog -one e +one e",
            "multilog - e",
            "multilog -* + e",
            "multilog +one e",
            "multilog -one -two e",
            "multilog -** e",
            "multilog -*o* e",
            "multilog -*o*o e",
            "multilog unknown e",
            "multilog x y z",
            "multilog -a*b*c e",
            "multilog __ e",
        ] {
            assert_eq!(s.play_with(line, "", CLASSIC, input).code, 0, "{line}");
        }
        for pattern in ["-* one", "-* * one", "-x *"] {
            let said = s.run_with(s.service, &["multilog", pattern, "e"], "", &[], input);
            s.note(&format!("{pattern}: {}{}", said.err, said.code));
        }
    });
}

#[test]
fn cuts_long_lines_for_stderr() {
    both("multilog-e", |s| {
        for n in [0, 1, 199, 200, 201, 999, 1000, 1001, 5000] {
            let line = "0123456789".repeat(n / 10 + 1)[..n].to_owned() + "\n";
            s.play_with("multilog e", "", &[], line.as_bytes());
            s.play_with("multilog e", "", &[], line.trim_end().as_bytes());
        }
    });
}

#[test]
fn matches_the_first_thousand_bytes() {
    both("multilog-thousand", |s| {
        for n in [998, 999, 1000, 1001, 1002, 2000, 70_000] {
            let mut input = vec![b'x'; n];
            input.push(b'e');
            input.extend(b"\nshort\n");
            s.play_with("multilog -*e +short e", "", &[], &input);
            let last = format!("multilog -{} e", "x".repeat(1000));
            let said = s.run_with(
                s.service,
                &last.split(' ').collect::<Vec<_>>(),
                "",
                &[],
                &input,
            );
            s.note(&format!("{n}: {}", said.err));
            s.play_with("multilog ./all", "", &[], &input);
            s.note(&listing(s, "all"));
            fs::remove_dir_all(s.path("all")).expect("our directory");
        }
    });
}

#[test]
fn writes_status_files() {
    both("multilog-status", |s| {
        for input in [
            "one\n".to_owned(),
            "one\ntwo".to_owned(),
            String::new(),
            "y".repeat(1500) + "\n",
            "y".repeat(1001),
            "y".repeat(1000) + "\n",
        ] {
            s.play_with("multilog =status", "", &[], input.as_bytes());
            let text = s.read("status");
            s.note(&format!(
                "{} bytes, starts {:?}",
                text.len(),
                &text[..text.len().min(12)]
            ));
            s.note(&format!("{} newlines", text.matches('\n').count()));
        }
        s.write("longer", "z".repeat(3000));
        s.play_with("multilog -* +b =longer", "", &[], b"a\nb\nc\n");
        let text = s.read("longer");
        s.note(&format!(
            "{} bytes, starts {:?} ends {:?}",
            text.len(),
            &text[..3],
            &text[text.len() - 3..]
        ));
        assert_eq!(
            s.play_with("multilog =nowhere/status", "", &[], b"a\n")
                .code,
            111
        );
        assert_eq!(s.play_with("multilog =.", "", &[], b"a\n").code, 111);
    });
}

#[test]
fn stamps_lines() {
    both("multilog-t", |s| {
        for line in [
            "multilog t e",
            "multilog tfoo e",
            "multilog t -* +*two e",
            "multilog e t e",
            "multilog t",
        ] {
            let said = s.run_with(
                s.service,
                &line.split(' ').collect::<Vec<_>>(),
                "",
                CLASSIC,
                b"one\ntwo\n\nthree",
            );
            s.note(&format!(
                "{line}\n{}{}> {}",
                said.out,
                unstamped(&said.err),
                said.code
            ));
        }
        let before = now();
        let said = s
            .run_with(s.service, &["multilog", "t", "e"], "", &[], b"x\n")
            .err;
        let label = u64::from_str_radix(&said[1..17], 16).expect("sixteen digits");
        assert!(
            (before..=now()).contains(&(label - 4_611_686_018_427_387_914)),
            "{said}"
        );
        let nano = u32::from_str_radix(&said[17..25], 16).expect("eight digits");
        assert!(nano < 1_000_000_000);
    });
}

fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}

#[test]
fn keeps_a_log_directory() {
    both("multilog-dir", |s| {
        s.play_with("multilog ./log", "", &[], b"one\ntwo\n\nlast");
        s.note(&listing(s, "log"));
        s.note(&s.read("log/current"));
        let mode = fs::metadata(s.path("log"))
            .expect("the directory")
            .permissions()
            .mode();
        s.note(&format!("the directory has mode {mode:o}"));
        s.play_with("multilog ./log", "", &[], b"more\n");
        s.note(&listing(s, "log"));
        s.play_with(
            "multilog -* ./none +one ./one - +* ./rest",
            "",
            &[],
            b"one\ntwo\n",
        );
        s.note(&format!(
            "{}{}{}",
            listing(s, "none"),
            listing(s, "one"),
            listing(s, "rest")
        ));
        s.write("a/x", "");
        assert_eq!(s.play_with("multilog ./a/b/c", "", &[], b"x\n").code, 111);
        s.write("file", "");
        assert_eq!(s.play_with("multilog ./file", "", &[], b"x\n").code, 111);
        let whole = format!("multilog {}", s.path("absolute").display());
        let said = s.run_with(
            s.service,
            &whole.split(' ').collect::<Vec<_>>(),
            "",
            &[],
            b"x\n",
        );
        s.note(&format!("{}{}{}", said.out, said.err, said.code));
        s.note(&listing(s, "absolute"));
    });
}

/// Judges a directory whose exact cuts depend on how the bytes came: all finished files are between `size` - 2000 and
/// `size` bytes and end with a line, and all files together are the end of what was written. Writes down the rest.
fn lawful(s: &Stage, dir: &str, size: usize, input: &[u8]) {
    let mut names: Vec<_> = fs::read_dir(s.path(dir))
        .expect("a log directory")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let mut all = Vec::new();
    for name in names {
        let path = s.path(dir).join(&name);
        let mode = fs::metadata(&path)
            .expect("a log file")
            .permissions()
            .mode();
        let bytes = fs::read(&path).expect("a log file");
        if name.starts_with('@') {
            assert!(
                (size - 2000..=size).contains(&bytes.len()),
                "{dir}/{name}: {} bytes",
                bytes.len()
            );
            assert_eq!(
                bytes.last(),
                Some(&b'\n'),
                "{dir}/{name} ends inside a line"
            );
        }
        if name.starts_with('@') || name == "current" {
            all.extend(bytes);
        }
        s.note(&format!(
            "{} mode {mode:o}",
            if name.starts_with('@') {
                &name[25..]
            } else {
                &name
            }
        ));
    }
    assert!(
        input.ends_with(&all),
        "{dir}: not the end of what was written"
    );
}

#[test]
fn rotates_by_size_and_keeps_so_many() {
    both("multilog-rotate", |s| {
        for (n, (options, size)) in [
            ("s4096 n2", 4096),
            ("s4096 n3", 4096),
            ("s4096", 4096),
            ("s5000 n5", 5000),
            ("s1 n1", 4096),
            ("s8192 n4", 8192),
            ("s n", 4096),
            ("s0 n0", 4096),
            ("s99999999999999999999", 16_777_215),
            ("s4096x n3y", 4096),
            ("s20000 n3 s4096", 4096),
        ]
        .into_iter()
        .enumerate()
        {
            s.play_with(&format!("multilog {options} ./d{n}"), "", &[], &lines(900));
            lawful(s, &format!("d{n}"), size, &lines(900));
        }
    });
}

#[test]
fn rotates_at_the_same_byte_when_lines_come_one_by_one() {
    both("multilog-rotate-exact", |s| {
        let mut log = Piped::start(s, "multilog s4096 n9 ./d");
        for line in String::from_utf8(lines(160))
            .expect("ASCII")
            .split_inclusive('\n')
        {
            log.put(line);
            s.soon("the line", || idle(&log));
        }
        log.end(s, "multilog");
        s.note(&listing(s, "d"));
    });
}

#[test]
fn cuts_a_line_longer_than_a_file() {
    both("multilog-cut", |s| {
        let mut input = vec![b'z'; 10_000];
        s.play_with("multilog s4096 n9 ./a", "", &[], &input);
        s.note(&listing(s, "a"));
        input.extend(b"\nend\n");
        s.play_with("multilog s4096 n9 ./b", "", &[], &input);
        s.note(&listing(s, "b"));
        let odd: Vec<u8> = (0..40)
            .flat_map(|i| {
                let mut line = vec![b'a' + i % 26; usize::from(i) * 137 % 3001];
                line.push(b'\n');
                line
            })
            .collect();
        s.play_with("multilog s4096 n99 ./c", "", &[], &odd);
        let all = |dir: &str| {
            let mut files: Vec<_> = fs::read_dir(s.path(dir))
                .expect("a log directory")
                .flatten()
                .map(|e| e.path())
                .collect();
            files.sort();
            let kept = |path: &&std::path::PathBuf| {
                ["@", "current"].iter().any(|start| {
                    path.file_name()
                        .is_some_and(|n| n.to_string_lossy().starts_with(start))
                })
            };
            files
                .iter()
                .filter(kept)
                .map(|path| fs::read(path).expect("a log file"))
                .collect::<Vec<_>>()
        };
        assert!(all("c").concat() == odd, "not what was written");
        assert!(all("c").iter().all(|file| file.len() <= 4096));
    });
}

#[test]
fn recovers_what_a_crash_left() {
    both("multilog-crash", |s| {
        // Name, then the mode of current, previous and processed; 0 is absent. Source: the spec's table 8.6.
        for (dir, current, previous, processed) in [
            ("clean", 0o744, 0, 0),
            ("cleanstale", 0o744, 0o644, 0),
            ("unclean", 0o644, 0, 0),
            ("both", 0o644, 0o744, 0),
            ("bothopen", 0o644, 0o644, 0),
            ("done", 0o644, 0o744, 0o744),
            ("half", 0o644, 0o744, 0o644),
            ("nocurrent", 0, 0o644, 0),
            ("onlyprocessed", 0, 0, 0o744),
            ("empty", 0, 0, 0),
        ] {
            s.write(format!("{dir}/lock"), "");
            for (name, mode) in [
                ("current", current),
                ("previous", previous),
                ("processed", processed),
            ] {
                if mode != 0 {
                    let path = format!("{dir}/{name}");
                    s.write(&path, format!("{name} of {dir}\n"));
                    fs::set_permissions(s.path(&path), fs::Permissions::from_mode(mode))
                        .expect("chmod");
                }
            }
            s.write(format!("{dir}/state"), "old state");
            s.play_with(&format!("multilog ./{dir}"), "", &[], b"new\n");
            let texts: String = listing(s, dir)
                .lines()
                .map(|line| format!("{line}\n"))
                .collect();
            s.note(&format!("{dir}:\n{texts}"));
            s.note(&s.read(format!("{dir}/current")));
        }
    });
}

#[test]
fn a_linked_previous_is_only_removed() {
    both("multilog-linked", |s| {
        s.write("d/current", "c\n");
        s.write("d/previous", "p\n");
        fs::hard_link(
            s.path("d/previous"),
            s.path("d/@4000000068d0a0a00000000a.s"),
        )
        .expect("a second name");
        s.play_with("multilog ./d", "", &[], b"new\n");
        s.note(&listing(s, "d"));
    });
}

#[test]
fn a_directory_has_one_writer() {
    both("multilog-lock", |s| {
        let first = Piped::start(s, "multilog ./d");
        s.soon("its lock", || s.path("d/current").exists());
        let said = s.play_with("multilog ./d", "", &[], b"x\n");
        assert_eq!(said.code, 111);
        s.play_with("multilog ./e ./e", "", &[], b"x\n");
        first.end(s, "multilog");
        s.note(&listing(s, "d"));
    });
}

/// A multilog that reads from a FIFO we write into.
struct Piped {
    write: Option<fs::File>,
    running: eudaemon_lab::Running,
}

impl Piped {
    fn start(s: &Stage, line: &str) -> Piped {
        assert_eq!(s.run(s.tools, &["mkfifo", "in"]).code, 0);
        let write = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(s.path("in"))
            .expect("a FIFO");
        let program = s.service.program("multilog".as_ref());
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        let script = format!("exec {} {rest} <in", program.display());
        let running = s.start(s.service, &["sh", "-c", &script]);
        s.soon("its exec", || {
            fs::read_to_string(format!("/proc/{}/comm", running.pid))
                .is_ok_and(|comm| comm == "multilog\n")
        });
        Piped {
            write: Some(write),
            running,
        }
    }

    fn put(&mut self, text: &str) {
        let write = self.write.as_mut().expect("not ended yet");
        write
            .write_all(text.as_bytes())
            .expect("a FIFO takes bytes");
    }

    /// Closes our end (the only writer), and writes down the end.
    fn end(mut self, s: &Stage, what: &str) {
        self.write = None;
        s.ending(what, &self.running);
    }
}

#[test]
fn holds_nothing_back() {
    both("multilog-flush", |s| {
        let mut log = Piped::start(s, "multilog ./d");
        log.put("one\n");
        s.soon("the line", || s.read("d/current") == "one\n");
        let mode = fs::metadata(s.path("d/current"))
            .expect("current")
            .permissions()
            .mode();
        s.note(&format!("while open: {mode:o}"));
        log.put("tw");
        log.put("o\n");
        s.soon("the second line", || s.read("d/current") == "one\ntwo\n");
        log.put("part");
        log.end(s, "multilog");
        s.note(&s.read("d/current"));
        s.note(&listing(s, "d"));
    });
}

#[test]
fn term_finishes_the_line_it_is_in() {
    both("multilog-term", |s| {
        let mut log = Piped::start(s, "multilog ./d");
        log.put("one\n");
        s.soon("the line", || s.read("d/current") == "one\n");
        log.put("in the mid");
        s.soon("the part", || idle(&log));
        assert!(s.signal(log.running.pid, Signal::TERM));
        assert_eq!(
            log.running.exit(Duration::from_millis(700)),
            None,
            "it ended inside a line"
        );
        log.put("dle\nleft for the next\n");
        s.ending("multilog", &log.running);
        s.note(&s.read("d/current"));
        s.note(&listing(s, "d"));
        // What it did not read is still in the FIFO.
        let mut left = [0; 64];
        let n =
            std::io::Read::read(log.write.as_mut().expect("open"), &mut left).expect("the rest");
        s.note(&String::from_utf8_lossy(&left[..n]));
    });
}

#[test]
fn term_between_lines_ends_at_once() {
    both("multilog-term-idle", |s| {
        let mut log = Piped::start(s, "multilog t ./d");
        log.put("one\n");
        s.soon("the line", || {
            s.read("d/current").ends_with(" one\n") && idle(&log)
        });
        assert!(s.signal(log.running.pid, Signal::TERM));
        s.ending("multilog", &log.running);
        let mode = fs::metadata(s.path("d/current"))
            .expect("current")
            .permissions()
            .mode();
        s.note(&format!(
            "{} mode {mode:o}",
            unstamped(&s.read("d/current"))
        ));
    });
}

#[test]
fn a_processor_has_its_descriptors_and_its_state() {
    both("multilog-processor", |s| {
        let script =
            "tr x y; n=$(cat <&4); echo $((n+1)) >&5; test . -ef ../d && echo there >../seen";
        let word = format!("!{script}");
        let mut input = Vec::new();
        for _ in 0..2 {
            input.extend([b'x'; 4096]);
        }
        input.extend(b"x\n");
        let said = s.run_with(
            s.service,
            &["multilog", "s4096", "n5", &word, "./d"],
            "",
            &[],
            &input,
        );
        s.note(&format!("{}{}{}", said.out, said.err, said.code));
        s.note(&listing(s, "d"));
        s.note(&s.read("d/state"));
        s.note(&s.read("seen"));
    });
}

#[test]
fn alrm_rotates_what_is_not_empty() {
    both("multilog-alrm", |s| {
        let mut log = Piped::start(s, "multilog ./d");
        let rotated = || {
            fs::read_dir(s.path("d"))
                .expect("d")
                .flatten()
                .filter(|e| e.file_name().to_string_lossy().starts_with('@'))
                .count()
        };
        log.put("one\n");
        s.soon("the line", || s.read("d/current") == "one\n" && idle(&log));
        assert!(s.signal(log.running.pid, Signal::ALARM));
        s.soon("a rotated file", || {
            rotated() == 1 && s.read("d/current").is_empty() && idle(&log)
        });
        // Nothing new: nothing to rotate.
        assert!(s.signal(log.running.pid, Signal::ALARM));
        s.soon("it to hear", || idle(&log));
        log.put("two\npart");
        s.soon("the second line", || {
            s.read("d/current").starts_with("two\n") && idle(&log)
        });
        assert!(s.signal(log.running.pid, Signal::ALARM));
        s.soon("a second rotated file", || rotated() == 2);
        log.put("ial\nthree\n");
        s.soon("the third line", || s.read("d/current").contains("three"));
        assert_eq!(log.running.exit(Duration::ZERO), None::<Exit>);
        log.end(s, "multilog");
        s.note(&s.read("d/current"));
        s.note(&listing(s, "d"));
    });
}

/// Whether the reader has taken everything: nothing is ready to read on the FIFO.
fn queue_empty(log: &Piped) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let file = log.write.as_ref().expect("open");
    let mut fds = [PollFd::new(file, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)) == Ok(0)
}

/// Whether it has taken everything and waits for more. Before it waits, a signal is one that came while it wrote, and the
/// original hears of that only with its next line.
fn idle(log: &Piped) -> bool {
    queue_empty(log) && asleep(log.running.pid)
}
