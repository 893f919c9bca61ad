//! The chain loaders of 0.76, the original and ours.
//!
//! **Not compared:** `softlimit` with an empty value (the original ends by SIGSEGV); a file of `envdir` with `=` in its
//! name, and a variable that is there twice (`dialects/chain.rs`); a FIFO of `envdir` that has a line and no end yet (the
//! original reads on and fails, ours needs no more); which number a link's own file gets when 0, 1 or 2 is closed (the
//! original takes that, ours never does).

use eudaemon_lab::{Stage, both, need_root};
use std::fs;

/// Shows its environment, whose order is part of the contract, whatever the shell's own is.
const CLEAN: &str = "env -i B=1 UID=5 Z=1 GID=4 A=old A2=2";

fn directories(s: &Stage) {
    for (file, text) in [
        ("e/A", "v1  \t\nrest\n"),
        ("e/B", ""),
        ("e/C", "\n"),
        ("e/D", "x\0y \0 \n"),
        ("e/E", " lead and no newline"),
        ("e/.hidden", "no"),
        ("sub/dir/x", "x"),
        ("plain", "x"),
    ] {
        s.write(file, text);
    }
    s.write("long/L", "y".repeat(200_000));
    s.write(
        "full/F",
        format!("{}\n{}", "z".repeat(100_000), "w".repeat(400_000)),
    );
    let made = s.run(
        s.service,
        &[
            "/bin/sh",
            "-c",
            "mkdir loop gone fifo none; ln -s l loop/l; ln -s nowhere gone/A; mkfifo fifo/A",
        ],
    );
    assert_eq!(made.code, 0, "{}", made.err);
}

fn lines(s: &Stage, lines: &[&str]) {
    for line in lines {
        s.play_shell(line);
    }
}

#[test]
fn usage_and_exit_codes() {
    both("chain-usage", |s| {
        lines(
            s,
            &[
                "setuidgid",
                "setuidgid root",
                "envuidgid",
                "envuidgid root",
                "envdir",
                "envdir .",
                "softlimit",
                "softlimit -o 10",
                "softlimit -z true",
                "softlimit -a",
                "softlimit -oa",
                "softlimit -a x true",
                "softlimit -o -5 true",
                "softlimit -o 5x true",
                "softlimit -o 1 -o",
                "setlock",
                "setlock lock",
                "setlock -q lock true",
                "setlock -nz",
                "setlock -n",
                "pgrphack",
                "fghack",
            ],
        );
    });
}

#[test]
fn the_program_is_looked_for_in_our_own_path() {
    both("chain-path", |s| {
        s.script("bin/tool", "echo found \"$0\" \"$@\"");
        s.write("refused/tool", "not executable");
        s.write("env/PATH", "/nonexistent\n");
        s.write("plain", "x");
        s.script("here", "echo here");
        s.write("bad/tool", "\x7fELF nothing");
        lines(
            s,
            &[
                "pgrphack nosuch",
                "pgrphack ./nosuch",
                "pgrphack /",
                "pgrphack ''",
                "pgrphack bin/tool a 'b c' ''",
                "PATH=bin pgrphack nosuch 2>&1; P=$(command -v pgrphack); PATH=bin $P tool 1",
                "P=$(command -v pgrphack); PATH=refused:bin $P tool 2",
                "P=$(command -v pgrphack); PATH=refused $P tool",
                "P=$(command -v pgrphack); PATH=plain:bin $P tool",
                "P=$(command -v pgrphack); PATH= $P here",
                "P=$(command -v pgrphack); PATH=/nonexistent: $P here",
                "P=$(command -v pgrphack); PATH=: $P nosuch",
                "P=$(command -v pgrphack); PATH=refused:/nonexistent $P tool",
                "P=$(command -v pgrphack); env -i $P true",
                "P=$(command -v pgrphack); env -i $P nosuch",
                "P=$(command -v pgrphack); PATH=bad:bin $P tool",
                "P=$(command -v envdir); PATH=$PWD/bin $P env tool | sed s,.*/bin,bin,",
                "pgrphack refused/tool",
                "pgrphack refused",
                "pgrphack sh -c 'exit 42'",
                "pgrphack sh -c 'kill -9 $$'",
            ],
        );
    });
}

#[test]
fn a_directory_becomes_variables() {
    both("chain-envdir", |s| {
        directories(s);
        s.note(&format!(
            "order {}",
            s.run(s.service, &["ls", "-U", "e"]).code
        ));
        lines(
            s,
            &[
                &format!("P=$(command -v envdir); {CLEAN} $P e /usr/bin/env | sort"),
                &format!("P=$(command -v envdir); {CLEAN} $P ./e/. /usr/bin/env | sort"),
                &format!("P=$(command -v envdir); {CLEAN} $P none /usr/bin/env"),
                &format!("P=$(command -v envdir); {CLEAN} $P gone /usr/bin/env"),
                &format!("P=$(command -v envdir); {CLEAN} $P fifo /usr/bin/env"),
                "envdir e sh -c pwd | grep -c at$",
                "envdir sub true",
                "envdir plain true",
                "envdir nowhere true",
                "envdir '' true",
                "envdir loop true",
                "envdir loop/l true",
                "envdir long true",
                "envdir full sh -c 'echo ${#F}'",
                "envdir e nosuch",
                "envdir -- e true",
                "envdir -q e true",
                "exec 3<>fifo/A; envdir fifo true",
                "envdir e envdir none envdir e sh -c 'echo \"$A$B$C\"'",
            ],
        );
    });
}

#[test]
fn one_file_at_a_time_leaves_the_originals_order() {
    both("chain-order", |s| {
        s.write("one/A", "new\n");
        s.write("gone/UID", "");
        s.write("more/NEW", "1\n");
        for dir in ["one", "gone", "more"] {
            s.play_shell(&format!(
                "P=$(command -v envdir); {CLEAN} $P {dir} /usr/bin/env"
            ));
        }
        s.play_shell(&format!(
            "P=$(command -v envuidgid); {CLEAN} $P root /usr/bin/env"
        ));
        s.play_shell("P=$(command -v envuidgid); env -i $P root /usr/bin/env");
    });
}

#[test]
fn what_may_not_be_read_is_said() {
    if !need_root() {
        return;
    }
    both("chain-unreadable", |s| {
        directories(s);
        lines(
            s,
            &[
                "chmod 0 e/A; chmod 711 sub; chmod 744 none; mkdir empty; chmod 644 empty",
                "setuidgid nobody envdir e true",
                "setuidgid nobody envdir sub true",
                "setuidgid nobody envdir none true",
                "setuidgid nobody envdir empty true",
                "setuidgid nobody setlock lock true",
                "setuidgid nobody setlock -x lock true",
                "setuidgid nobody setlock plain true",
            ],
        );
    });
}

#[test]
fn accounts() {
    if !need_root() {
        return;
    }
    both("chain-accounts", |s| {
        let status = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm|NoNewPrivs):' /proc/self/status";
        lines(
            s,
            &[
                &format!("setuidgid nobody {status}"),
                &format!("setuidgid root {status}"),
                &format!("setuidgid daemon {status}"),
                "setuidgid nosuch true",
                "setuidgid '' true",
                "setuidgid root:x true",
                "setuidgid 0 true",
                "setuidgid -q true",
                "setuidgid ' root' true",
                "setuidgid nobody nosuch",
                "setuidgid nobody setuidgid nobody true",
                "setuidgid nobody setuidgid root true",
                "setuidgid nobody envuidgid root sh -c 'echo $UID $GID'",
                "envuidgid nobody sh -c 'echo $UID $GID'",
                "envuidgid nosuch true",
                "envuidgid '' true",
                "envuidgid nobody nosuch",
                "setuidgid nobody sh -c 'kill -9 $$'",
                "setuidgid nobody sh -c 'exit 3'",
            ],
        );
    });
}

#[test]
fn limits() {
    both("chain-limits", |s| {
        lines(
            s,
            &[
                "softlimit -a 500000000 -c 1 -d 300000000 -f 222222 -l 33333 -o 99 -p 98 -r 97 -s 9999999 -t 5 cat /proc/self/limits",
                "softlimit -m 100000000 cat /proc/self/limits",
                "softlimit cat /proc/self/limits",
                "softlimit -o 20 -o=  sh -c 'ulimit -n'",
                "softlimit -o20 -o 30 sh -c 'ulimit -n'",
                "softlimit -o 99999999 sh -c 'ulimit -n'",
                "softlimit -o 999999999999999999999999 sh -c 'ulimit -n'",
                "softlimit -o 20 softlimit -o = sh -c 'ulimit -n'",
                "softlimit -c 0007 sh -c 'ulimit -c'",
                "softlimit -a 1 true",
                "softlimit -a 1 nosuch",
                "softlimit -m 1 nosuch",
                "softlimit -d 0 nosuch",
                "softlimit -s 0 nosuch",
                "softlimit -o 0 nosuch",
                "softlimit -- true",
                "softlimit - true",
                "softlimit nosuch",
                "(ulimit -Hn 50; softlimit -o 100 sh -c 'ulimit -n; ulimit -Hn')",
            ],
        );
    });
}

#[test]
fn locks() {
    both("chain-locks", |s| {
        lines(
            s,
            &[
                "setlock no/lock true",
                "setlock -x no/lock true",
                "setlock -xX no/lock true",
                "setlock -n /tmp true",
                "setlock '' true",
                "setlock a nosuch",
                "setlock -x a nosuch",
                "setlock -- a true",
                "setlock - true; rm ./-",
                "setlock -n b sh -c 'setlock -n b true; echo $?; setlock -nx b true; echo $?; setlock -nxX b true'",
                "setlock -nN b true",
                "echo kept > c; setlock c cat c",
                "umask 0; setlock d stat -c %a d",
                // The holder is found by whichever program looks.
                "setlock e /usr/bin/setlock -n e true",
                "/usr/bin/setlock e setlock -n e true",
                // Whoever inherits the descriptor holds the lock, as long as it lives.
                "setlock f sh -c 'exec 9<>/dev/null; sleep 1000 & echo $! > pid'; setlock -n f true; kill $(cat pid)",
                "setlock g sh -c 'ls -l /proc/$$/fd' | grep -c /g$",
                "setlock h sh -c 'grep -A9 ^flags /proc/$$/fdinfo/3' | head -n 1",
                "mkfifo p; setlock p true",
            ],
        );
    });
}

#[test]
fn a_lock_is_waited_for() {
    both("chain-waiting", |s| {
        s.script("hold", "echo first >> order\ncat end >/dev/null");
        let fifo = s.run(s.service, &["mkfifo", "end"]);
        assert_eq!(fifo.code, 0);
        s.script("after", "echo second >> order");
        let first = s.begin("setlock lock ./hold");
        s.soon("the first to hold it", || s.read("order") == "first\n");
        let second = s.begin("setlock lock ./after");
        let waiting = format!(" {} ", second.pid);
        s.soon("the second to wait", || {
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            locks
                .lines()
                .any(|line| line.contains("-> FLOCK") && line.contains(&waiting))
        });
        s.write("release", "");
        s.play_shell("cat release > end");
        s.ending("first", &first);
        s.ending("second", &second);
        s.note(&s.read("order"));
    });
}

#[test]
fn sessions_and_foregrounds() {
    both("chain-groups", |s| {
        let fifo = s.run(s.service, &["mkfifo", "end"]);
        assert_eq!(fifo.code, 0);
        lines(
            s,
            &[
                "pgrphack sh -c 'set -- $(cat /proc/$$/stat); test $5 = $$ && test $6 = $$ && echo leads'",
                "fghack nosuch",
                "fghack sh -c 'exit 3'",
                "fghack sh -c 'kill -9 $$'",
                "fghack sh -c 'kill -15 $$'",
                "fghack sh -c 'ls -l /proc/$$/fd > fds'; grep -c pipe fds",
                "fghack sh -c 'cat end > said & exit 7' & cat /dev/null > end; wait $!; echo $?",
            ],
        );
        s.script("daemon", "{ cat end; echo late >> said2; } &\nexit 5");
        let kept = s.begin("fghack ./daemon");
        s.play_shell("echo go > end");
        s.ending("fghack", &kept);
        s.note(&s.read("said2"));
    });
}

#[test]
fn signals_and_streams_are_handed_on() {
    both("chain-signals", |s| {
        s.write("env/A", "1\n");
        for link in [
            "setuidgid root",
            "envuidgid root",
            "envdir env",
            "softlimit",
            "setlock lock",
            "pgrphack",
            "fghack",
        ] {
            if link.starts_with("setuidgid") && !need_root() {
                continue;
            }
            lines(
                s,
                &[
                    &format!("{link} grep -E '^Sig(Ign|Blk|Cgt)' /proc/self/status"),
                    &format!("trap '' PIPE; {link} grep -E '^SigIgn' /proc/self/status"),
                    &format!("trap '' TERM HUP USR1; {link} grep -E '^SigIgn' /proc/self/status"),
                    &format!("{link} yes | head -n 1"),
                    &format!("{link} nosuch 2>&-"),
                ],
            );
            if matches!(link, "setlock lock" | "fghack") {
                continue;
            }
            for (closed, to) in [("0<&-", 1), ("1>&-", 2), ("2>&-", 1)] {
                let number = &closed[..1];
                s.play_shell(&format!(
                    "{link} {link} sh -c 'test -e /proc/$$/fd/{number} && echo open >&{to} || echo closed >&{to}' {closed}"
                ));
            }
        }
    });
}

#[test]
fn a_chain_of_all() {
    if !need_root() {
        return;
    }
    both("chain-all", |s| {
        s.write("env/A", "1\n");
        s.play_shell(
            "setlock lock envdir env envuidgid nobody softlimit -o 64 pgrphack fghack setuidgid nobody \
             sh -c 'echo $A $UID $GID $(ulimit -n) $(id -u)'",
        );
    });
}
