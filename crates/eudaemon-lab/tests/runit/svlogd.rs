//! svlogd: what it writes where, as Debian's 2.1.2-54 does; and what that one loses and ours does not.
//!
//! Not compared, for ours differs on purpose: a last line without a newline (dropped there), lines at TERM (dropped there), a
//! `U` whose receiver cannot be read (there the directory's lines are lost), a processor that a signal ends (there its input
//! is lost), `current` that is a symbolic link (followed there), names after the clock was set back. Nor patterns that are
//! empty or end in a plus: there it depends on what follows them in `config`. Nor the moment at which `sigchild received.` is
//! told, and that `-v` tells of closing what was never open. Not tested: a full disk.

use eudaemon_lab::{Bins, Signal, Stage, Subject, World, bins, both, need, until};
use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

/// The originals, if svlogd is among them.
fn original() -> Option<&'static Bins> {
    need(&["/usr/bin/svlogd"]).then(|| bins(Subject::Djb))?
}

/// The text with stamps of files and lines taken out.
fn unstamped(text: &str) -> String {
    let mut all = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('@') {
        let (before, from) = rest.split_at(at);
        let digits = from[1..].bytes().take_while(u8::is_ascii_hexdigit).count();
        all += before;
        all += if digits == 24 {
            "@STAMP"
        } else {
            &from[..=digits]
        };
        rest = &from[1 + digits..];
    }
    all + rest
}

/// The files of a directory: names without their stamps, modes, contents.
fn files(world: &World, dir: &str) -> String {
    let entries = fs::read_dir(world.path(dir)).expect("a log directory");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| name != "config")
        .collect();
    names.sort();
    let mut all = String::new();
    for name in names {
        let path = world.path(dir).join(&name);
        let mode = fs::metadata(&path).expect("a file").permissions().mode() & 0o7777;
        let text = fs::read(&path).expect("a file");
        let _infallible = writeln!(all, "{mode:o} {} {}", unstamped(&name), text.escape_ascii());
    }
    all
}

/// Plays svlogd on a directory `log` with this config, and notes what it said and left.
fn play(s: &Stage, line: &str, config: &str, input: &[u8]) {
    let dir = line.rsplit(' ').next().expect("a word");
    s.write(format!("{dir}/config"), config);
    let said = s.run_with(
        s.service,
        &line.split(' ').collect::<Vec<_>>(),
        "",
        &[],
        input,
    );
    let said_lines = said.err.lines().filter(|line| !line.contains("sigchild"));
    let told: String = said_lines.map(|line| unstamped(line) + "\n").collect();
    s.note(&format!(
        "$ {line}\n{config}\n{told}> {}\n{}",
        said.code,
        files(s, dir)
    ));
}

fn numbered(count: usize) -> Vec<u8> {
    (1..=count)
        .flat_map(|n| format!("{n:020}\n").into_bytes())
        .collect()
}

#[test]
fn words_are_refused_alike() {
    if original().is_none() {
        return;
    }
    both("svlogd-usage", |s| {
        s.write("d/x", "");
        s.write("file", "");
        for line in [
            "svlogd",
            "svlogd -x d",
            "svlogd -r",
            "svlogd -r ab d",
            "svlogd -r __ d",
            "svlogd -R",
            "svlogd -l",
            "svlogd -b 10 d",
            "svlogd -b 1000 d",
            "svlogd -b 1001 d",
            "svlogd -l 2000 d",
            "svlogd -l 2000 -b 3000 d",
            "svlogd -l x d",
            "svlogd -t",
            "svlogd -tttt -- d",
            "svlogd d nowhere",
            "svlogd nowhere",
            "svlogd file",
            "svlogd nowhere file d",
        ] {
            s.play_with(line, "", &[], b"");
        }
    });
}

#[test]
fn a_lock_that_is_held_is_told() {
    if original().is_none() {
        return;
    }
    both("svlogd-lock", |s| {
        s.write("twice/x", "");
        s.play("svlogd twice twice");
        s.write("d/x", "");
        let script = "mkfifo in; svlogd d <in & exec 3>in; until test -e d/current; do :; done; svlogd d </dev/null";
        let said = s.run(s.service, &["sh", "-c", script]);
        s.note(&format!("{}> {}", said.err, said.code));
    });
}

#[test]
fn lines_are_chosen_cut_and_replaced() {
    if original().is_none() {
        return;
    }
    both("svlogd-lines", |s| {
        let long = [&b"x".repeat(2500)[..], b"\nb\n\n"].concat();
        for (at, (options, config, input)) in [
            ("", "", &b"one\n\ntwo\n"[..]),
            ("", "p>> \n", b"one\n\n"),
            ("", "-*\n+b*\nebc*\nE*d\n", b"a\nb1\nbc\nbcd\n"),
            ("", "-a*\n#+a*\n\nbogus\n+ab", b"a\nab\nabc\n"),
            ("", "e*\n", &long),
            ("", "p>> \n-*y\n", &long),
            (
                " -l 5",
                "-12345\nexx*\n",
                b"1234567\n12345\n1234\nxxxxxxxx\n",
            ),
            (" -r x", "", b"a\x01b\xc3\xa4 \t\"~\x7f\n"),
            (" -R ac", "", b"a\x01b\xc3\xa4 \tc\n"),
            (" -r . -R ac", "-b..*\n", b"a\x01b\xc3\xa4 \tc\nbab\n"),
            ("", "u1.2.3\nu10.0.0:5\n", b"a\n"),
        ]
        .into_iter()
        .enumerate()
        {
            play(s, &format!("svlogd -v{options} d{at}"), config, input);
        }
    });
}

#[test]
fn files_are_rotated_and_go_alike() {
    if original().is_none() {
        return;
    }
    both("svlogd-rotate", |s| {
        for (at, (options, config, count)) in [
            (" -l 20 -b 30", "s100\nn3\n", 40),
            ("", "s100\nn2\n", 40),
            ("", "s4000\nn2\n", 1000),
            ("", "s0\n", 300),
            ("", "s3k\nn0\n", 500),
            (" -l 20 -b 30", "s100\nn1\n", 40),
        ]
        .into_iter()
        .enumerate()
        {
            play(
                s,
                &format!("svlogd -v{options} d{at}"),
                config,
                &numbered(count),
            );
        }
        // One old file goes at a time.
        for digit in 1..7 {
            s.write(format!("more/@400000006b01c5791ce4186{digit}.s"), "old\n");
        }
        play(s, "svlogd -v -l 20 -b 30 more", "s100\nn2\n", &numbered(5));
    });
}

#[test]
fn what_an_earlier_run_left_is_kept() {
    if original().is_none() {
        return;
    }
    both("svlogd-leftover", |s| {
        let stamp = "@400000006b01c5791ce41864";
        for (dir, mode, config) in [("a", 0o644, ""), ("b", 0o744, ""), ("c", 0o644, "!cat\n")] {
            s.write(format!("{dir}/current"), "old\n");
            s.write(format!("{dir}/{stamp}.u"), "unprocessed\n");
            s.write(format!("{dir}/{stamp}.t"), "half\n");
            let current = s.path(format!("{dir}/current"));
            fs::set_permissions(current, fs::Permissions::from_mode(mode)).expect("our file");
            play(s, &format!("svlogd -v {dir}"), config, b"new\n");
        }
    });
}

#[test]
fn a_processor_is_fed_and_remembers() {
    if original().is_none() {
        return;
    }
    both("svlogd-processor", |s| {
        let remembers = "s100\nn9\n!cat; cat <&4; echo again >&5\n";
        play(s, "svlogd -v -l 20 -b 30 a", remembers, &numbered(13));
        // Fails once.
        let fails = "s100\n!test -e ok && tr 0 x || { touch ok; exit 3; }\n";
        play(s, "svlogd -v -l 20 -b 30 b", fails, &numbered(6));
    });
}

/// svlogd on a FIFO, and what is put into it.
struct Fed {
    world: World,
    running: eudaemon_lab::Running,
    input: fs::File,
}

fn fed(bins: &'static Bins, name: &str, words: &str, config: &str) -> Fed {
    let world = World::new(name);
    world.write("d/config", config);
    assert_eq!(world.run(bins, &["mkfifo", "in"]).code, 0);
    let input = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(world.path("in"))
        .expect("a FIFO");
    let program = bins.program("svlogd".as_ref());
    let script = format!("exec {} {words} d <in", program.display());
    let running = world.start(bins, &["sh", "-c", &script]);
    Fed {
        world,
        running,
        input,
    }
}

impl Fed {
    fn put(&mut self, text: &str) {
        std::io::Write::write_all(&mut self.input, text.as_bytes()).expect("a FIFO takes bytes");
    }
    fn soon(&self, what: &str, seen: impl FnMut() -> bool) {
        assert!(
            until(Duration::from_secs(15), seen),
            "waited in vain for {what}: {}\n{}",
            files(&self.world, "d"),
            self.running.err()
        );
    }
    fn current(&self) -> String {
        fs::read_to_string(self.world.path("d/current")).unwrap_or_default()
    }
    fn finished(&self) -> Vec<String> {
        let entries = fs::read_dir(self.world.path("d")).expect("a directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = names
            .map(|name| name.to_string_lossy().into_owned())
            .filter(|name| name.starts_with('@'))
            .collect();
        names.sort();
        names
    }
}

#[test]
fn signals_rotate_reopen_and_end() {
    let (Some(theirs), Some(ours)) = (original(), bins(Subject::Ours)) else {
        return;
    };
    let seen: Vec<_> = [theirs, ours]
        .map(|bins| {
            let mut fed = fed(bins, "svlogd-signals", "-v", "");
            let pid = fed.running.pid;
            fed.put("one\n");
            fed.soon("one", || fed.current() == "one\n");
            assert!(fed.world.signal(pid, Signal::ALARM));
            fed.soon("a rotation", || {
                fed.finished().len() == 1 && fed.current().is_empty()
            });
            // An empty file is not rotated; and the config is read again.
            assert!(fed.world.signal(pid, Signal::ALARM));
            fed.soon("two alarms", || {
                fed.running.err().matches("sigalarm").count() == 2
            });
            fed.world.write("d/config", "p>> \n");
            assert!(fed.world.signal(pid, Signal::HUP));
            fed.soon("the config", || {
                fed.running.err().matches("append:").count() == 1
            });
            fed.put("two\n");
            fed.soon("two", || fed.current() == ">> two\n");
            assert!(fed.world.signal(pid, Signal::TERM));
            let ended = fed
                .running
                .outcome(Duration::from_secs(15))
                .expect("TERM ends it");
            format!(
                "{}{}{}",
                ended.code,
                unstamped(&ended.err),
                files(&fed.world, "d")
            )
        })
        .into();
    assert_eq!(seen[0], seen[1]);
}

#[test]
fn a_file_is_finished_at_its_age() {
    let (Some(theirs), Some(ours)) = (original(), bins(Subject::Ours)) else {
        return;
    };
    for bins in [theirs, ours] {
        let mut fed = fed(bins, "svlogd-age", "", "t1\n");
        fed.put("one\n");
        fed.soon("one", || {
            fed.current() == "one\n" || !fed.finished().is_empty()
        });
        if bins.subject() == Subject::Ours {
            // The original looks at the clock when there is input.
            fed.soon("its age", || {
                fed.finished().len() == 1 && fed.current().is_empty()
            });
        }
    }
}

#[test]
fn lines_are_sent_alike() {
    let (Some(theirs), Some(ours)) = (original(), bins(Subject::Ours)) else {
        return;
    };
    let seen: Vec<_> = [theirs, ours]
        .map(|bins| {
            let mut all = String::new();
            for config in ["uHERE\n", "UHERE\np>> \n-no*\ne*\n"] {
                let world = World::new("svlogd-udp");
                let receiver = UdpSocket::bind("127.0.0.1:0").expect("a port");
                let limit = Some(Duration::from_secs(10));
                receiver.set_read_timeout(limit).expect("a socket takes it");
                let here = receiver.local_addr().expect("it is bound").to_string();
                world.write("d/config", config.replace("HERE", &here));
                let input = [&b"a\n\nno\n"[..], &b"x".repeat(2500), b"\nb\n"].concat();
                let said = world.run_with(bins, &["svlogd", "-t", "d"], "", &[], &input);
                let sent =
                    input.split(|&b| b == b'\n').count() - 1 - usize::from(config.contains("-no"));
                let mut buffer = [0; 65536];
                for _ in 0..sent {
                    let length = receiver.recv(&mut buffer).expect("a line");
                    all += &format!("{length} ");
                    all += &unstamped(&String::from_utf8_lossy(&buffer[..length]));
                }
                all += &unstamped(&said.err);
                all += &unstamped(&files(&world, "d"));
            }
            all
        })
        .into();
    assert_eq!(seen[0], seen[1]);
}

/// Numbers that look random and are always the same. Source: G. Steele et al., SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % most as u64).expect("below most")
    }
    fn text(&mut self, letters: &[u8], most: usize) -> Vec<u8> {
        (0..self.below(most))
            .map(|_| letters[self.below(letters.len())])
            .collect()
    }
}

#[test]
fn random_patterns_choose_random_lines_alike() {
    let (Some(theirs), Some(ours)) = (original(), bins(Subject::Ours)) else {
        return;
    };
    let world = World::new("svlogd-random");
    let mut dice = Dice(7);
    for round in 0..60 {
        let mut config = b"s3000\nn0\n".to_vec();
        for _ in 0..1 + dice.below(5) {
            config.push(b"+-eE"[dice.below(4)]);
            config.push(b"ab*"[dice.below(3)]);
            config.extend(dice.text(b"ab*", 6));
            config.push(b'\n');
        }
        let mut input = Vec::new();
        for _ in 0..400 {
            input.extend(dice.text(b"aabb+* ", 9));
            input.push(b'\n');
        }
        let seen = [("theirs", theirs), ("ours", ours)].map(|(who, bins)| {
            let dir = format!("{who}{round}");
            world.write(format!("{dir}/config"), &config);
            let said = world.run_with(bins, &["svlogd", &dir], "", &[], &input);
            (said.out, said.err, said.code, files(&world, &dir))
        });
        let shown = String::from_utf8_lossy(&config).into_owned();
        assert_eq!(seen[0], seen[1], "{shown}");
    }
}

#[test]
fn a_plus_is_read_alike() {
    let (Some(theirs), Some(ours)) = (original(), bins(Subject::Ours)) else {
        return;
    };
    let world = World::new("svlogd-plus");
    let mut dice = Dice(11);
    for round in 0..120 {
        let (from, to) = (dice.text(b"ab*", 3), dice.text(b"ab*", 4));
        let pattern = [
            &from[..],
            b"+",
            b"ab".get(dice.below(2)..).unwrap_or_default(),
            &to,
        ]
        .concat();
        // One line a run: where a plus is at the end of a line, the original looks at what an earlier one left behind it.
        let line = [&dice.text(b"aaabb", 7)[..], b"\n"].concat();
        let config = [b"-*\n+", &pattern[..], b"\n"].concat();
        let seen = [("theirs", theirs), ("ours", ours)].map(|(who, bins)| {
            let dir = format!("{who}{round}");
            world.write(format!("{dir}/config"), &config);
            let said = world.run_with(bins, &["svlogd", &dir], "", &[], &line);
            (said.err, said.code, files(&world, &dir))
        });
        let shown = format!("{} {}", pattern.escape_ascii(), line.escape_ascii());
        assert_eq!(seen[0], seen[1], "{shown}");
    }
}

#[test]
fn term_loses_no_line_and_takes_none_it_does_not_write() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let mut fed = fed(ours, "svlogd-term", "", "");
    fed.put("one\nhal");
    fed.soon("a line", || fed.current().starts_with("one\n"));
    assert!(fed.world.signal(fed.running.pid, Signal::TERM));
    fed.put("f\nnext\n");
    let ended = fed
        .running
        .outcome(Duration::from_secs(15))
        .expect("TERM ends it");
    assert_eq!(ended.code, 0, "{}", ended.err);
    let mut all = fed.current();
    assert!(all.ends_with('\n'), "{all:?}");
    // What it left is there for the next one.
    let program = ours.program("svlogd".as_ref());
    let script = format!("exec {} d <in", program.display());
    let _next = fed.world.start(ours, &["sh", "-c", &script]);
    fed.soon("the rest", || {
        all = fed.current();
        all == "one\nhalf\nnext\n"
    });
}

#[test]
fn the_last_line_is_kept() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("svlogd-last");
    world.write("d/config", "U1.2.3\n");
    let said = world.run_with(ours, &["svlogd", "d"], "", &[], b"one\ntwo");
    assert_eq!(
        said.err,
        "svlogd: warning: unable to scan ip address: 1.2.3\n"
    );
    assert_eq!(world.read("d/current"), "one\ntwo\n");
}

#[test]
fn a_processor_that_is_killed_loses_nothing() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("svlogd-killed");
    world.write(
        "d/config",
        "s100\n!test -e ok && cat || { touch ok; kill -9 $$; }\n",
    );
    let words = ["svlogd", "-l", "20", "-b", "30", "d"];
    let said = world.run_with(ours, &words, "", &[], &numbered(5));
    assert_eq!(said.err, "svlogd: warning: processor failed, restart: d\n");
    let all: String = files(&world, "d");
    assert!(
        all.contains("744 @STAMP.s 00000000000000000001\\n"),
        "{all}"
    );
    assert!(!all.contains(".u") && !all.contains(".t"), "{all}");
}

#[test]
fn nobody_leads_it_elsewhere() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let mut fed = fed(ours, "svlogd-link", "", "");
    fed.put("one\n");
    fed.soon("one", || fed.current() == "one\n");
    let (current, target) = (fed.world.path("d/current"), fed.world.path("theirs"));
    fs::remove_file(&current).expect("our file");
    fed.world.write("theirs", "theirs\n");
    std::os::unix::fs::symlink(&target, &current).expect("our directory");
    assert!(fed.world.signal(fed.running.pid, Signal::HUP));
    fed.put("two\n");
    fed.soon("a refusal", || {
        fed.running
            .err()
            .contains("pausing: unable to open current: d")
    });
    assert_eq!(fed.world.read("theirs"), "theirs\n");
    // Once it is gone, all is well, and nothing was lost meanwhile.
    fs::remove_file(&current).expect("our link");
    fed.soon("two", || fed.current() == "two\n");
}

#[test]
fn the_newest_file_is_not_deleted_as_the_oldest() {
    let Some(ours) = bins(Subject::Ours) else {
        return;
    };
    let world = World::new("svlogd-clock");
    // As if the clock had been set back: a file of the next century is there.
    world.write("d/@4000000100000000000000aa.s", "old\n");
    world.write("d/config", "s100\nn1\n");
    let words = ["svlogd", "-l", "20", "-b", "30", "d"];
    assert_eq!(world.run_with(ours, &words, "", &[], &numbered(6)).code, 0);
    let all = files(&world, "d");
    assert!(all.contains("@STAMP.s 00000000000000000001\\n"), "{all}");
    assert!(!all.contains("old"), "{all}");
}
