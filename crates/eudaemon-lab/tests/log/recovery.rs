//! What a crash left, with a processor and with its state: the table of the specification, 8.6.

use crate::listing;
use eudaemon_lab::both;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

#[test]
fn what_a_crash_left_under_a_processor() {
    both("log-crash", |s| {
        // The modes of current, previous, processed, state and newstate; 0 is absent.
        for (dir, modes) in [
            ("clean", [0o744, 0, 0, 0o644, 0]),
            ("cleanstale", [0o744, 0o744, 0o744, 0o644, 0o644]),
            ("working", [0o644, 0o744, 0o644, 0o644, 0o644]),
            ("done", [0o644, 0o744, 0o744, 0o644, 0o644]),
            ("moved", [0o644, 0, 0o744, 0o644, 0]),
            ("renamed", [0, 0o644, 0, 0o644, 0]),
            ("fresh", [0o644, 0o644, 0, 0o644, 0]),
            ("stateless", [0o644, 0o744, 0o644, 0, 0o644]),
            ("onlystate", [0, 0, 0, 0o644, 0o644]),
            ("odd", [0o600, 0o755, 0o100, 0o600, 0]),
        ] {
            let names = ["current", "previous", "processed", "state", "newstate"];
            for (name, mode) in names.iter().zip(modes) {
                if mode != 0 {
                    let path = format!("{dir}/{name}");
                    s.write(&path, format!("{name} of {dir}\n"));
                    let mode = fs::Permissions::from_mode(mode);
                    fs::set_permissions(s.path(&path), mode).expect("chmod of our file");
                }
            }
            for turn in 0..2 {
                let here = format!("./{dir}");
                let argv = ["multilog", "!tr a-z A-Z", &here];
                let said = s.run_with(
                    s.service,
                    &argv,
                    "",
                    &[],
                    format!("new {turn}\n").as_bytes(),
                );
                s.note(&format!(
                    "{dir} {turn}: {}> {}\n{}",
                    said.err,
                    said.code,
                    listing(&s.path(dir))
                ));
            }
        }
    });
}

/// Surplus files go when something is finished, not at each start; names that are no stamps are nobody's.
#[test]
fn what_else_is_in_the_directory() {
    both("log-else", |s| {
        for n in 0..6 {
            s.write(format!("d/@4000000068d0a0a00000000{n}.s"), format!("{n}\n"));
        }
        s.write("d/@short", "mine\n");
        s.write("d/notes", "mine\n");
        s.write("d/x@4000000068d0a0a000000000", "mine\n");
        s.play_with("multilog n3 ./d", "", &[], b"one\n");
        s.note(&listing(&s.path("d")));
        // Dirty now: `current` is finished, and the surplus goes.
        fs::set_permissions(s.path("d/current"), fs::Permissions::from_mode(0o644)).expect("chmod");
        s.play_with("multilog n3 ./d", "", &[], b"two\n");
        s.note(&listing(&s.path("d")));
    });
}
