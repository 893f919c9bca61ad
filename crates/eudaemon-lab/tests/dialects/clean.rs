//! A service starts clean, whatever svscan's parent was like: specification §0.6.

use crate::House;
use eudaemon_lab::{SOON, until};
use std::collections::BTreeSet;
use std::fs;

fn descriptors(pid: i32) -> BTreeSet<String> {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("a living process")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_service_inherits_nothing_it_was_not_given() {
    for spawn in ["", "clone", "clone-without-pidfd"] {
        let Some(h) = House::new("clean") else {
            return;
        };
        let h = h.with("EUDAEMON_SPAWN", spawn);
        // Handlers never outlive an exec, so what is blocked and what is ignored is all there is to inherit.
        h.script(
            "sv/a/run",
            "test -e signals && exec sleep 1000\necho \"$0 $#\" > name\npwd > cwd\necho \"$(ulimit -S -n) $(ulimit -H -n)\" > limits\n\
             exec grep -E '^Sig(Blk|Ign)' /proc/self/status > signals",
        );
        h.script("sv/b/run", "exec sleep 1000");
        h.script("sv/b/log/run", "exec sleep 1000");
        let script = "trap '' HUP PIPE TERM; exec 9</dev/null; exec 7>/dev/null; ulimit -S -n 700; ulimit -H -n 4000\n\
                      exec svscan sv";
        let svscan = h.begin_words(&["/bin/sh", "-c", script]);
        h.supervised(&["a", "b", "b/log"]);
        h.soon("the second run", || {
            h.read("sv/a/supervise/state").contains("\"starts\":2")
        });
        assert_eq!(h.read("sv/a/name"), "./run 0\n");
        let here = fs::canonicalize(h.path("sv/a")).expect("a real path");
        assert_eq!(h.read("sv/a/cwd"), format!("{}\n", here.display()));
        assert_eq!(h.read("sv/a/limits"), "700 4000\n");
        for line in h.read("sv/a/signals").lines() {
            assert!(line.ends_with("\t0000000000000000"), "{line}");
        }
        assert_eq!(h.read("sv/a/signals").lines().count(), 2);

        let three: BTreeSet<String> = ["0", "1", "2"].map(str::to_owned).into();
        for dir in ["sv/a", "sv/b", "sv/b/log"] {
            let pid = h.pid(dir);
            h.until_it_is(pid, "sleep");
            // The loader and the locale open files of their own, and close them.
            let came = until(SOON, || descriptors(pid) == three);
            assert!(came, "{dir} with {spawn:?}: {:?}", descriptors(pid));
        }
        // What it was given: svscan's own three, and the pipe.
        let target = |pid: i32, fd: u32| {
            fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("a descriptor")
        };
        for fd in [0, 1, 2] {
            assert_eq!(target(h.pid("sv/a"), fd), target(svscan.pid, fd));
        }
        assert_eq!(target(h.pid("sv/b"), 1), target(h.pid("sv/b/log"), 0));
        let input =
            fs::read_to_string(format!("/proc/{}/fdinfo/0", h.pid("sv/b/log"))).expect("fdinfo");
        assert!(
            input.contains("flags:\t0100000\n") || input.contains("flags:\t00\n"),
            "{input}"
        );
    }
}

#[test]
fn what_svscan_was_given_closed_is_null_to_its_services() {
    let Some(h) = House::new("clean-closed") else {
        return;
    };
    h.script("sv/a/run", "exec sleep 1000");
    let _svscan = h.begin_words(&["/bin/sh", "-c", "exec svscan sv 0<&- 1>&- 2>&-"]);
    h.supervised(&["a"]);
    let pid = h.pid("sv/a");
    for fd in [0, 1, 2] {
        let target = fs::read_link(format!("/proc/{pid}/fd/{fd}")).expect("a descriptor");
        assert_eq!(target.to_string_lossy(), "/dev/null");
    }
}
