//! svscanboot: svscan into readproctitle, in a bare environment.

use eudaemon_lab::{Subject, both, need, skipped};
use std::fs;
use std::path::Path;

/// The original's scan directory is fixed, so ours is put over it, in a mount namespace of its own; the pid namespace
/// makes sure that nothing outlives the judge, for svscanboot clears the environment by which we find our processes.
const ALONE: &str = "unshare --mount --pid --fork --kill-child";

#[test]
fn runs_svscan_into_readproctitle() {
    if !need(&["/usr/bin/unshare", "/usr/bin/mount"]) {
        return;
    }
    if !rustix::process::geteuid().is_root()
        || !Path::new("/etc/service").exists()
        || Path::new("/service").exists()
    {
        skipped("svscanboot needs root, an /etc/service to cover and no /service");
        return;
    }
    both("svscanboot", |s| {
        s.script("sv/a/run", "env | grep -v -e ^PWD= -e ^_= -e ^OLDPWD= -e ^SHLVL= > env; echo a word >&2; exec sleep 1000");
        let script = format!(
            "mount --bind {} /etc/service && exec {}",
            s.path("sv").display(),
            s.service.program("svscanboot".as_ref()).display()
        );
        let argv: Vec<_> = ALONE.split(' ').chain(["sh", "-c", &script]).collect();
        s.start(s.service, &argv);
        s.until_status("sv/a", "up (pid");
        s.play("svstat sv/a");
        let title = || {
            s.named("readproctitle")
                .iter()
                .map(|pid| fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default())
                .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
                .collect::<String>()
        };
        s.soon(&format!("the word in the title, not {:?}", title()), || {
            title().contains("a word\n")
        });
        s.note(&title());
        let names: Vec<_> = s
            .read("sv/a/env")
            .lines()
            .filter_map(|l| l.split_once('=').map(|(n, _)| n.to_owned()))
            .collect();
        assert_eq!(
            names,
            ["PATH"],
            "{:?} gave {:?}",
            s.service.subject(),
            s.read("sv/a/env")
        );
        if s.service.subject() == Subject::Djb {
            assert!(
                s.read("sv/a/env")
                    .starts_with("PATH=/command:/usr/local/bin:")
            );
        }
        s.note(&s.read("sv/a/env"));
    });
}
