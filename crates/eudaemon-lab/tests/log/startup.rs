//! What keeps it from starting, in its own words; and what does not.

use eudaemon_lab::{Stage, both};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

fn refuses(s: &Stage, line: &str) {
    s.play_with(line, "", &[], b"a line\n");
}

#[test]
fn names_that_are_directories() {
    both("log-start-dir", |s| {
        // Names over which the original begins to pause for ever are left out.
        for name in ["lock", "current", "state"] {
            s.write(format!("{name}/{name}/x"), "");
            refuses(s, &format!("multilog ./{name}"));
            s.write(format!("p{name}/{name}/x"), "");
            refuses(s, &format!("multilog !cat ./p{name}"));
            if name != "current" {
                s.write(format!("c{name}/{name}/x"), "");
                s.write(format!("c{name}/current"), "old\n");
                fs::set_permissions(
                    s.path(format!("c{name}/current")),
                    fs::Permissions::from_mode(0o744),
                )
                .expect("chmod");
                refuses(s, &format!("multilog ./c{name}"));
            }
        }
    });
}

#[test]
fn directories_that_are_none() {
    both("log-start-none", |s| {
        s.write("file", "");
        for path in ["./file", "./file/x", "./no/where", "/", "."] {
            // The root and the current directory can be written to: they are not asked here.
            if path.len() > 1 {
                refuses(s, &format!("multilog {path}"));
            }
        }
        refuses(s, "multilog ./good ./file");
        refuses(s, "multilog =no/where ./never");
        refuses(s, "multilog ./first =no/where");
        let long = format!("multilog ./{}", "x".repeat(300));
        refuses(s, &long);
        let name = "x".repeat(300);
        refuses(s, &format!("multilog ={name}"));
    });
}

#[test]
fn links_that_lead_nowhere() {
    both("log-start-link", |s| {
        std::os::unix::fs::symlink("circle", s.path("circle")).expect("a link");
        refuses(s, "multilog ./circle");
        refuses(s, "multilog =circle");
        // A log directory may well be a link: that one is the administrator's.
        fs::create_dir(s.path("real")).expect("a directory");
        std::os::unix::fs::symlink("real", s.path("link")).expect("a link");
        refuses(s, "multilog ./link");
        s.note(&s.read("real/current"));
    });
}

#[test]
fn descriptors_that_are_closed() {
    both("log-start-closed", |s| {
        let multilog = s.service.program("multilog".as_ref());
        for redirection in ["<&-", ">&-", "2>&-", "<.", "<&- >&- 2>&-"] {
            let script = format!(
                "echo a line | {{ {} e ./d {redirection}; }}; echo $?",
                multilog.display()
            );
            let said = s.run(s.service, &["sh", "-c", &script]);
            s.note(&format!("{redirection}: {}{}", said.out, said.err));
        }
        s.note(&s.read("d/current"));
    });
}

#[test]
fn two_of_them_in_one_directory() {
    both("log-start-lock", |s| {
        let log = crate::Log::start(s, &["./d"]);
        log.put(s, "first\n");
        refuses(s, "multilog ./d");
        refuses(s, "multilog ./other ./d");
        log.put(s, "second\n");
        log.end(s);
        s.note(&s.read("d/current"));
    });
}
