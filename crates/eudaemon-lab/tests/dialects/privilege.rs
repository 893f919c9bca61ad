//! Privileges never fail open: whatever the kernel or a file answers, no program runs as somebody it should not be.

use crate::House;
use eudaemon_lab::{need, need_root};

fn house(name: &str) -> Option<House> {
    if need_root() && need(&["/usr/bin/strace", "/usr/bin/unshare", "/usr/bin/setpriv"]) {
        House::new(name)
    } else {
        None
    }
}

/// Every system call of the drop and of its proof fails once, or pretends to have succeeded.
#[test]
fn no_program_runs_when_the_drop_or_its_proof_fails() {
    let Some(h) = house("drop") else { return };
    h.script("run", "echo ran >> ran");
    for (call, answer, words) in [
        (
            "setgroups",
            "error=EAGAIN",
            "unable to setgid: temporary failure",
        ),
        (
            "setresgid",
            "error=EAGAIN",
            "unable to setgid: temporary failure",
        ),
        (
            "setresuid",
            "error=EAGAIN",
            "unable to setuid: temporary failure",
        ),
        (
            "setgroups",
            "error=EPERM",
            "unable to setgid: permission denied",
        ),
        ("getresuid", "error=EFAULT", "unable to setuid: bad address"),
        ("getresgid", "error=EFAULT", "unable to setuid: bad address"),
        ("getgroups", "error=EFAULT", "unable to setuid: bad address"),
        (
            "setresuid",
            "retval=0",
            "unable to setuid: the kernel did not give up every privilege",
        ),
        (
            "setresgid",
            "retval=0",
            "unable to setuid: the kernel did not give up every privilege",
        ),
        (
            "setgroups",
            "retval=0",
            "unable to setuid: the kernel did not give up every privilege",
        ),
        (
            "setuid",
            "retval=0",
            "unable to setuid: the kernel did not give up every privilege",
        ),
        (
            "setgid",
            "retval=0",
            "unable to setuid: the kernel did not give up every privilege",
        ),
    ] {
        for link in [
            "setuidgid nobody",
            "setuidgid -s nobody",
            "setuser nobody",
            "chpst -u nobody",
            "chpst -u :5:6:7",
        ] {
            if link == "setuser nobody"
                && h.sh("test -d $(getent passwd nobody | cut -d: -f6)").code != 0
            {
                continue;
            }
            let line = format!(
                "strace -f -o trace -e trace={call} -e inject={call}:{answer} {link} ./run"
            );
            let outcome = h.sh(&line);
            assert_eq!(outcome.code, 111, "{line}: {}", outcome.err);
            if link == "setuidgid nobody" {
                assert_eq!(
                    outcome.err,
                    format!("setuidgid: fatal: {words}\n"),
                    "{line}"
                );
            }
            assert_eq!(h.read("ran"), "", "{line}");
        }
    }
    // The same without an injection runs, so the judge above judges something.
    assert_eq!(h.sh("chmod 777 .; setuidgid nobody ./run").code, 0);
    assert_eq!(h.read("ran"), "ran\n");
}

/// A caller that keeps its capabilities through setuid(2) could take root back.
#[test]
fn capabilities_that_would_stay_are_found() {
    let Some(h) = house("capabilities") else {
        return;
    };
    for link in ["setuidgid nobody", "chpst -u nobody"] {
        let outcome = h.sh(&format!(
            "setpriv --securebits +no_setuid_fixup {link} true"
        ));
        assert_eq!(outcome.code, 111, "{}", outcome.err);
        assert!(
            outcome.err.ends_with("did not give up every privilege\n"),
            "{}",
            outcome.err
        );
    }
}

/// What the C library makes of some of these lines is root.
#[test]
fn a_hostile_file_makes_nobody_root() {
    let Some(h) = house("hostile") else { return };
    for line in [
        "app:x:00:00::/:/bin/sh",
        "app:x::::/:/bin/sh",
        "app:x:0",
        "app:x:0:0",
        "app:::::",
        "app",
        "app:",
        "app::::::",
        "app:x:4294967296:4294967296::/:/bin/sh",
        "app:x:4294967295:4294967295::/:/bin/sh",
        "app:x:-1:-1::/:/bin/sh",
        "app:x: 0:0::/:/bin/sh",
        "app:x:+0:0::/:/bin/sh",
        "app:x:0x0:0::/:/bin/sh",
        "app:x:0day:0::/:/bin/sh",
        "app:x:5:::/:/bin/sh",
        "app:x:5:00::/:/bin/sh",
        "app:x:0:0::/:/bin/sh:",
        "#app:x:0:0::/:/bin/sh",
        "+app:x:0:0::/:/bin/sh",
        "+::::::",
        "app\0:x:0:0::/:/bin/sh",
        "app:x:18446744073709551616:0::/:/bin/sh",
        // The first line of a name decides: a broken one is not passed over for a later one.
        "app:x:00:5::/:/bin/sh\napp:x:0:0::/:/bin/sh",
    ] {
        h.write("passwd", format!("root:x:0:0::/root:/bin/sh\n{line}\n"));
        for (link, words) in [
            ("setuidgid app", "setuidgid: fatal: unknown account app\n"),
            ("setuser app", "setuser: fatal: unknown account app\n"),
            ("envuidgid app", "envuidgid: fatal: unknown account app\n"),
            ("chpst -u app", "chpst: fatal: unknown user/group: app\n"),
            ("chpst -U app", "chpst: fatal: unknown user/group: app\n"),
        ] {
            let outcome = h.sh(&format!(
                "unshare -m sh -c 'mount --bind passwd /etc/passwd && {link} id'"
            ));
            assert_eq!(
                (outcome.out.as_str(), outcome.err.as_str(), outcome.code),
                ("", words, 111),
                "{line:?}"
            );
        }
    }
}

#[test]
fn a_hostile_group_is_no_group() {
    let Some(h) = house("hostile-group") else {
        return;
    };
    for line in [
        "adm:x:00:",
        "adm:x::",
        "adm:x",
        "adm",
        "adm:x:4294967296:",
        "adm:x:4294967295:",
        "adm:x:-1:",
        "adm:x:0:a:b",
    ] {
        h.write("group", format!("root:x:0:\n{line}\n"));
        let outcome =
            h.sh("unshare -m sh -c 'mount --bind group /etc/group && chpst -u nobody:adm id'");
        let words = "chpst: fatal: unknown user/group: nobody:adm\n";
        assert_eq!((outcome.err.as_str(), outcome.code), (words, 111), "{line}");
    }
}

/// runit 2.1.2 takes each of these for some number; several for root (observed).
#[test]
fn a_number_that_is_none_is_refused() {
    let Some(h) = house("numbers") else { return };
    for user in [
        "5:",
        ":",
        "5:6:",
        "5::6",
        "00:00",
        "0:00",
        "4294967297:5",
        "5:4294967297",
        "4294967295:5",
        "5:4294967295",
    ] {
        let outcome = h.sh(&format!("chpst -u :{user} id"));
        let words = format!("chpst: fatal: invalid uid/gids: {user}\n");
        assert_eq!(
            (outcome.out.as_str(), outcome.err.as_str(), outcome.code),
            ("", &*words, 111)
        );
    }
}

#[test]
fn a_long_file_is_read_to_its_end_and_a_longer_line_is_refused() {
    let Some(h) = house("long") else { return };
    let mut passwd = String::new();
    for number in 1000..40_000 {
        passwd += &format!("user{number}:x:{number}:{number}::/:/bin/sh\n");
    }
    h.write("passwd", format!("{passwd}app:x:77:78::/:/bin/sh"));
    let members = (0..20_000).map(|n| format!("user{n},")).collect::<String>();
    h.write("group", format!("big:x:90:{members}app\n"));
    let within = |line: &str| {
        h.sh(&format!(
            "unshare -m sh -c 'mount --bind passwd /etc/passwd && mount --bind group /etc/group && {line}'"
        ))
    };
    let run = within("setuidgid -s app id -G");
    assert_eq!((run.out.as_str(), run.code), ("78 90\n", 0), "{}", run.err);
    h.write("group", format!("big:x:90:{}app\n", members.repeat(10)));
    let run = within("setuidgid -s app id -G");
    let words = "setuidgid: fatal: unable to read /etc/group: a line of over a million bytes\n";
    assert_eq!((run.err.as_str(), run.code), (words, 111));
}
