//! What the chain loaders know beyond 0.76: encore's options and programs, and what the originals get wrong.

use crate::House;
use eudaemon_lab::{Outcome, need_root};

fn said(outcome: &Outcome) -> (&str, &str, i32) {
    (&outcome.out, &outcome.err, outcome.code)
}

#[test]
fn envdir_takes_a_prefix() {
    let Some(h) = House::new("chain-prefix") else {
        return;
    };
    h.write("e/A", "1\n");
    let run = h.sh("envdir -p X_ e sh -c 'echo $X_A$A'");
    assert_eq!(said(&run), ("1\n", "", 0));
    let run = h.sh("envdir -pY e sh -c 'echo $YA'");
    assert_eq!(said(&run), ("1\n", "", 0));
    let old = "envdir: usage: envdir dir child\n";
    let new = "envdir: usage: envdir [ -p prefix ] dir child\n";
    assert_eq!(said(&h.ask("envdir e")), ("", old, 111));
    assert_eq!(said(&h.ask("envdir -p X e")), ("", new, 111));
    let no_directory = "envdir: fatal: unable to switch to directory -p: file does not exist\n";
    assert_eq!(said(&h.ask("envdir -p true")), ("", new, 111));
    let h = h.with("EUDAEMON_DIALECT", "classic");
    assert_eq!(said(&h.ask("envdir -p X e true")), ("", no_directory, 111));
    let h = h.with("EUDAEMON_DIALECT", "encore");
    assert_eq!(said(&h.ask("envdir e")), ("", new, 111));
    let illegal = format!("envdir: illegal option -- q\n{new}");
    assert_eq!(said(&h.ask("envdir -q e true")), ("", &*illegal, 111));
    let missing = format!("envdir: option requires an argument -- p\n{new}");
    assert_eq!(said(&h.ask("envdir -p")), ("", &*missing, 111));
}

#[test]
fn a_name_with_an_equals_sign_is_no_variable() {
    let Some(h) = House::new("chain-equals") else {
        return;
    };
    h.write("e/A=B", "v\n");
    h.write("e/C", "1\n");
    let line = "P=$(command -v envdir); env -i EUDAEMON_DIALECT=$EUDAEMON_DIALECT $P e /usr/bin/env | grep -v ^EU";
    let warning = "envdir: warning: e/A=B: no variable has = in its name\n";
    let h = h.with("EUDAEMON_DIALECT", "auto");
    assert_eq!(said(&h.sh(line)), ("C=1\n", warning, 0));
    let chpst = h.sh("P=$(command -v chpst); env -i $P -e e /usr/bin/env");
    assert_eq!(
        said(&chpst),
        ("C=1\n", &*warning.replace("envdir", "chpst"), 0)
    );
    let h = h.with("EUDAEMON_DIALECT", "classic");
    let classic = h.sh(&format!("{line} | sort"));
    assert_eq!(said(&classic), ("A=B=v\nC=1\n", "", 0));
}

#[test]
fn a_variable_that_is_there_twice_is_gone_twice() {
    let Some(h) = House::new("chain-twice") else {
        return;
    };
    h.write("e/A", "new\n");
    h.write("none/A", "");
    // A shell keeps one string of a name.
    for (dir, seen) in [("e", "A=new\n"), ("none", "")] {
        let line = format!("P=$(command -v envdir); ./twice $P {dir} /usr/bin/env | grep ^A=");
        h.write(
            "twice.c",
            "#include <unistd.h>\nint main(int n, char **v) { char *e[] = {\"A=1\", \"B=2\", \"A=3\", 0}; return execve(v[1], v + 1, e), n; }\n",
        );
        if h.sh("cc -o twice twice.c").code != 0 {
            eudaemon_lab::skipped("no C compiler: nothing makes an environment with a name twice");
            return;
        }
        assert_eq!(h.sh(&line).out, seen, "{dir}");
    }
}

#[test]
fn envini_reads_sections() {
    let Some(h) = House::new("chain-envini") else {
        return;
    };
    h.write(
        "x.ini",
        "top = 1\n; no = 1\n[web]\n port=80 \nword\n[db]\nname = a b\n",
    );
    let show = "P=$(command -v envini); env -i $P";
    let plain = h.sh(&format!("{show} x.ini /usr/bin/env"));
    assert_eq!(said(&plain), ("top=1\nweb_port=80\ndb_name=a b\n", "", 0));
    let prefixed = h.sh(&format!("{show} -p P_ x.ini /usr/bin/env"));
    assert_eq!(
        said(&prefixed),
        ("P_top=1\nP_web_port=80\nP_db_name=a b\n", "", 0)
    );
    let usage = "envini: usage: envini [ -p prefix ] file child\n";
    assert_eq!(said(&h.ask("envini")), ("", usage, 111));
    assert_eq!(said(&h.ask("envini x.ini")), ("", usage, 111));
    let none = "envini: fatal: unable to read nowhere: file does not exist\n";
    assert_eq!(said(&h.ask("envini nowhere true")), ("", none, 111));
    let directory = "envini: fatal: unable to read .: is a directory\n";
    assert_eq!(said(&h.ask("envini . true")), ("", directory, 111));
}

#[test]
fn softlimit_reads_variables_and_lifts_limits() {
    let Some(h) = House::new("chain-softlimit") else {
        return;
    };
    let run = h.sh("SOFTLIMIT_OPENFILES=33 softlimit sh -c 'ulimit -n'");
    assert_eq!(said(&run), ("33\n", "", 0));
    let run = h.sh("SOFTLIMIT_OPENFILES=33 softlimit -o 34 sh -c 'ulimit -n'");
    assert_eq!(said(&run), ("34\n", "", 0));
    let run = h.sh("SOFTLIMIT_OPENFILES=x softlimit true");
    let words = "softlimit: fatal: SOFTLIMIT_OPENFILES is neither a number nor = nor -\n";
    assert_eq!(said(&run), ("", words, 100));
    let run = h.sh("softlimit -o '' true");
    assert_eq!(run.code, 100, "{}", run.err);
    let classic = h.sh("EUDAEMON_DIALECT=classic SOFTLIMIT_OPENFILES=x softlimit -c - true");
    assert_eq!(classic.code, 100);
    assert!(
        classic.err.starts_with("softlimit: usage: softlimit [-a"),
        "{}",
        classic.err
    );
    let run = h.sh("ulimit -Sf 5; softlimit -f - sh -c 'ulimit -f; ulimit -Hf'");
    assert_eq!(said(&run), ("unlimited\nunlimited\n", "", 0));
}

/// The descriptor of a lock is never one that was closed: the program would find it as its input.
#[test]
fn a_lock_is_never_somebodys_input() {
    let Some(h) = House::new("chain-closed") else {
        return;
    };
    let line = "setlock lock sh -c 'ls -l /proc/$$/fd > fds; setlock -n lock true' <&-";
    let busy = "setlock: fatal: unable to lock lock: temporary failure\n";
    assert_eq!(said(&h.sh(line)), ("", busy, 111));
    let held = h.read("fds");
    let numbers: Vec<_> = held
        .lines()
        .filter(|line| line.ends_with("/lock"))
        .filter_map(|line| line.split_once(" -> ")?.0.rsplit(' ').next())
        .collect();
    assert_eq!(numbers, ["3"], "{held}");
    assert!(!held.contains(" 0 -> "), "{held}");
}

#[test]
fn setuidgid_takes_all_groups_and_setuser_more() {
    if !need_root() {
        return;
    }
    let Some(h) = House::new("chain-groups") else {
        return;
    };
    h.write(
        "passwd",
        "root:x:0:0::/root:/bin/sh\napp:x:77:78::/tmp:/bin/appsh\nlost:x:79:79::/nowhere:/bin/sh\n",
    );
    h.write("group", "app:x:78:\none:x:81:other,app\ntwo:x:82:app\nthree:x:83:apps\nbad:x:00:app\nagain:x:81:app\n");
    let within = |line: &str| {
        h.sh(&format!(
            "unshare -m sh -c 'mount --bind passwd /etc/passwd && mount --bind group /etc/group && {line}'"
        ))
    };
    let ids = "grep -E ^(Uid|Gid|Groups): /proc/self/status"
        .replace('(', "\\(")
        .replace(')', "\\)")
        .replace('|', "\\|");
    let plain = within(&format!("setuidgid app {ids}"));
    assert_eq!(
        said(&plain),
        (
            "Uid:\t77\t77\t77\t77\nGid:\t78\t78\t78\t78\nGroups:\t78 \n",
            "",
            0
        )
    );
    let all = "Uid:\t77\t77\t77\t77\nGid:\t78\t78\t78\t78\nGroups:\t78 81 82 \n";
    let with_groups = within(&format!("setuidgid -s app {ids}"));
    assert_eq!(said(&with_groups), (all, "", 0));
    let setuser = within(&format!("setuser app {ids}"));
    assert_eq!(said(&setuser), (all, "", 0));
    let variables =
        within("setuser app sh -c \"pwd; echo \\$HOME \\$SHELL \\$USER \\$UID \\$GID\"");
    assert_eq!(
        said(&variables),
        ("/tmp\n/tmp /bin/appsh app 77 78\n", "", 0)
    );
    let lost = "setuser: fatal: unable to chdir to /nowhere: file does not exist\n";
    assert_eq!(said(&within("setuser lost true")), ("", lost, 111));
    let usage = "setuidgid: usage: setuidgid [-s] account child\n";
    assert_eq!(said(&h.ask("setuidgid -s root")), ("", usage, 100));
    assert_eq!(
        said(&h.ask("setuser root")),
        ("", "setuser: usage: setuser account child\n", 100)
    );
    let h = h.with("EUDAEMON_DIALECT", "classic");
    let account = "setuidgid: fatal: unknown account -s\n";
    assert_eq!(said(&h.ask("setuidgid -s root true")), ("", account, 111));
}

/// Source: observed with argv0 of ucspi-tcp 0.88, which Debian's daemontools does not bring.
#[test]
fn argv0_gives_a_name() {
    let Some(h) = House::new("chain-argv0") else {
        return;
    };
    let usage = "argv0: usage: argv0 realname program [ arg ... ]\n";
    assert_eq!(said(&h.ask("argv0")), ("", usage, 100));
    assert_eq!(said(&h.ask("argv0 sh")), ("", usage, 100));
    assert_eq!(
        said(&h.sh("argv0 sh foo -c 'echo $0 $1' a b")),
        ("a b\n", "", 0)
    );
    assert_eq!(said(&h.sh("argv0 sh foo -c 'echo $0'")), ("foo\n", "", 0));
    let none = "argv0: fatal: unable to run nosuch: file does not exist\n";
    assert_eq!(said(&h.ask("argv0 nosuch foo")), ("", none, 111));
}

/// Source: `chpst(8)` of runit 2.2, `-C`.
#[test]
fn chpst_goes_to_a_directory() {
    let Some(h) = House::new("chain-chpst") else {
        return;
    };
    assert_eq!(said(&h.sh("chpst -C /usr pwd")), ("/usr\n", "", 0));
    let none = "chpst: fatal: unable to change directory: nowhere: file does not exist\n";
    assert_eq!(said(&h.ask("chpst -C nowhere true")), ("", none, 111));
    let version = h.ask("chpst -V true");
    assert!(
        version.err.starts_with("eudaemon ") && version.code == 100,
        "{}",
        version.err
    );
    for line in ["chpst -n '' true", "chpst -n - true", "chpst -o '' true"] {
        assert_eq!(h.sh(line).code, 100, "{line}");
    }
}
