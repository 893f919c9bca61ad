//! `chpst`: runit's as Debian has it, and ours.
//!
//! **Not compared, on purpose:** the version that `-V` tells; an empty group or number, `00` and numbers beyond 32 bits,
//! which the original takes for root or for another number (`dialects/privilege.rs`); an empty limit or increment, which
//! it takes for 0; `-C`, which it does not have.

use eudaemon_lab::{Stage, both, need, need_root};

fn chpst(name: &str, scene: impl Fn(&Stage) + Sync) {
    // Both are in /usr/bin on Debian, so the original daemontools' directory is runit's too.
    if need(&["/usr/bin/chpst"]) {
        both(name, scene);
    }
}

fn lines(s: &Stage, lines: &[&str]) {
    for line in lines {
        s.play_shell(line);
    }
}

#[test]
fn usage_and_exit_codes() {
    chpst("chpst-usage", |s| {
        lines(
            s,
            &[
                "chpst",
                "chpst -v",
                "chpst -z true",
                "chpst -P- true",
                "chpst -u",
                "chpst -o",
                "chpst -Po",
                "chpst -s 5 true",
                "chpst -a 5 true",
                "chpst -m xx true",
                "chpst -o = true",
                "chpst -o -1 true",
                "chpst -n x true",
                "chpst -n 1.5 true",
                "chpst -n +-3 true",
                "chpst -n ' 3' true",
                "chpst -L a -l a true",
                "chpst -L a -L a true",
                "chpst nosuch",
                "chpst ./no/such",
                "chpst -- true",
                "chpst - true",
                "chpst --foo true",
                "chpst sh -c 'exit 42'",
                "chpst -0 -1 -2 nosuch",
                "chpst -V 2>/dev/null",
            ],
        );
    });
}

#[test]
fn users() {
    if !need_root() {
        return;
    }
    chpst("chpst-users", |s| {
        let status = "grep -E '^(Uid|Gid|Groups|CapEff|CapPrm):' /proc/self/status";
        for user in [
            "nobody",
            "nobody:daemon",
            "nobody:daemon:adm",
            "nobody:adm:adm",
            "root",
            ":5:6",
            ":12:34:56",
            ":5:5:5",
            ":0:0",
            "root:adm",
            "nosuch",
            "root:nosuch",
            "root:0",
            "",
            "nobody:",
            "nobody::",
            "nobody:daemon:",
            ":",
            ":0",
            ":12",
            ":x",
            ":1x:5",
            ":5:6x",
            ":-1:5",
            ":+5:6",
            ": 5:6",
            ":4294967296",
        ] {
            lines(
                s,
                &[
                    &format!("chpst -u '{user}' {status}"),
                    &format!(
                        "P=$(command -v chpst); env -i UID=9 A=1 GID=8 $P -U '{user}' /usr/bin/env"
                    ),
                ],
            );
        }
        lines(
            s,
            &[
                "chpst -u nobody -u daemon id",
                "chpst -U nobody -u daemon sh -c 'echo $UID $GID; id -u'",
                "chpst -u nobody chpst -u root true",
                "chpst -u nobody chpst -u nobody true",
                "chpst -u nobody -l lock true",
                "touch plain; chpst -u nobody chpst -l plain true",
                "chpst -u nobody chpst -n -1 true",
                "chpst -u nobody chpst -/ / true",
            ],
        );
    });
}

#[test]
fn environment_and_name() {
    chpst("chpst-environment", |s| {
        s.write("e/A", "v1 \t\nrest");
        s.write("f/F", "1\n");
        s.write("f/PATH", "/nonexistent\n");
        s.write("sub/dir/x", "");
        s.write("sub/X", "x");
        lines(
            s,
            &[
                "P=$(command -v chpst); env -i B=1 A=old C=2 $P -e e /usr/bin/env",
                "P=$(command -v chpst); env -i B=1 $P -e e -e f /usr/bin/env",
                "chpst -e f true",
                "chpst -e nowhere true",
                "chpst -e e/A true",
                "chpst -e '' true",
                "P=$(command -v chpst); env -i $P -e sub /usr/bin/env",
                "chpst -v -e sub true",
                "mkdir loop; ln -s l loop/l; chpst -e loop true",
                "chpst -b foo sh -c 'echo $0'",
                "chpst -b -sh sh -c 'echo $0'",
                "chpst -b '' cat /proc/self/cmdline | tr '\\0' '|'",
            ],
        );
    });
}

#[test]
fn limits_and_niceness() {
    if !need_root() {
        return;
    }
    chpst("chpst-limits", |s| {
        lines(
            s,
            &[
                "chpst -m 500000000 cat /proc/self/limits",
                "chpst -m 500000000 -d 7777777 cat /proc/self/limits",
                "chpst -d 7777777 -m 500000000 cat /proc/self/limits",
                "chpst -r 3 -t 9 -c 5 -f 600000 -p 700 -o 8 -d 9999999 cat /proc/self/limits",
                "chpst -o 10 -o 11 sh -c 'ulimit -n; ulimit -Hn'",
                "chpst -o 99999999999999999999 sh -c 'ulimit -n'",
                "chpst -a",
                "chpst -m 1 nosuch",
                "chpst -o 0 nosuch",
                "chpst -n 5 nice",
                "chpst -n +5 nice",
                "chpst -n -5 nice",
                "chpst -n 99 nice",
                "chpst -n -99 nice",
                "chpst -n 99999999999999999999 nice",
                "chpst -n 1 chpst -n 2 nice",
                "chpst -n 1 -n 2 nice",
            ],
        );
    });
}

#[test]
fn roots_sessions_locks_and_streams() {
    if !need_root() {
        return;
    }
    chpst("chpst-rest", |s| {
        s.write("root/etc/passwd", "inside:x:77:78::/:/bin/sh\n");
        s.write("root/lib/x", "");
        lines(
            s,
            &[
                "chpst -/ nowhere true",
                "chpst -/ '' true",
                "chpst -/ / pwd",
                "chpst -/ / -/ /tmp true",
                "chpst -/ root -u inside nosuch",
                "chpst -/ root -u nobody nosuch",
                "chpst -P sh -c 'set -- $(cat /proc/$$/stat); test $6 = $$ && echo leads'",
                "chpst -P chpst -P true",
                "chpst -L a chpst -L a true",
                "chpst -L a sh -c 'ls -l /proc/$$/fd' | grep -c /a$",
                "chpst -l b true; stat -c %a b",
                "chpst -l no/x true",
                "chpst -L /tmp true",
                "chpst -l '' true",
                "chpst -0 sh -c 'test -e /proc/$$/fd/0 && echo open || echo closed'",
                "chpst -2 sh -c 'test -e /proc/$$/fd/2 && echo open || echo closed'",
                "chpst -1 sh -c 'test -e /proc/$$/fd/1 && echo open >&2 || echo closed >&2'",
                "chpst -0 chpst -P sh -c 'test -e /proc/$$/fd/0 && echo open || echo closed'",
                "chpst grep -E '^Sig(Ign|Blk|Cgt)' /proc/self/status",
                "trap '' PIPE; chpst grep -E '^SigIgn' /proc/self/status",
                "chpst yes | head -n 1",
            ],
        );
    });
}
