//! What `cargo xtask dist` ships: unpacked into a root directory with nothing else in it, the programs work; the
//! archive is the same each time; the completions of the archive know the services that run.
//!
//! The kernel's own `/proc` and `/dev/null` are in that root, as in any container: `svscan` needs them.
//!
//! **Not tested:** the dynamic form, and that of another machine.

use eudaemon_lab::{Bins, SOON, Subject, World, bins, need, skipped, until};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How long the chore may take that packs: it may have to be built first.
const A_BUILD: Duration = Duration::from_secs(1800);

/// Packs our binary into the directory `out` of the world; the archive, or nothing if that binary is not what is shipped.
fn dist(w: &World, ours: &Bins, out: &str) -> Option<PathBuf> {
    let binary = ours.dir().join("eudaemon");
    let binary = binary.canonicalize().expect("our binary");
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let words = format!(
        "cd {} && exec {cargo} xtask dist --bin {} --out {}",
        env!("CARGO_MANIFEST_DIR"),
        binary.display(),
        w.path(out).display()
    );
    // Cargo needs what it was called with. The moment is told, so that no history is needed.
    let mut env: Vec<(String, String)> = std::env::vars().collect();
    env.push(("SOURCE_DATE_EPOCH".into(), "1795000000".into()));
    let env: Vec<_> = env
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let packing = w.start_with(ours, &["/bin/sh", "-c", &words], "", &env, b"");
    let packed = packing.outcome(A_BUILD).expect("cargo comes to an end");
    if packed.err.contains("is not static") {
        skipped(&format!(
            "{} is not static: EUDAEMON_BIN names the shipped form",
            binary.display()
        ));
        return None;
    }
    assert_eq!(packed.code, 0, "{}", packed.err);
    let archive = fs::read_dir(w.path(out))
        .expect("what was packed")
        .map(|entry| entry.expect("a name").path())
        .find(|path| path.extension().is_some_and(|ending| ending == "gz"));
    Some(archive.expect("an archive"))
}

/// The unpacked tree, at `at` in the world.
fn unpacked(w: &World, ours: &Bins, at: &str) -> Option<PathBuf> {
    let archive = dist(w, ours, "dist")?;
    let tree = w.path(at);
    fs::create_dir_all(&tree).expect("a directory");
    let words = ["tar", "--strip-components=1", "-xzf"].map(str::to_owned);
    let more = [
        archive.display().to_string(),
        "-C".into(),
        tree.display().to_string(),
    ];
    let outcome = w.run(ours, &[&words[..], &more[..]].concat());
    assert_eq!((outcome.code, outcome.err.as_str()), (0, ""));
    Some(tree)
}

fn shipped_here() -> bool {
    let here = cfg!(target_arch = "x86_64");
    if !here {
        skipped("the archive of this machine's architecture is not judged");
    }
    here && need(&["/usr/bin/tar", "/usr/bin/gzip"])
}

#[test]
fn the_archive_is_the_same_each_time() {
    let Some(ours) = bins(Subject::Ours).filter(|_| shipped_here()) else {
        return;
    };
    let w = World::new("dist-same");
    let Some(first) = dist(&w, ours, "first") else {
        return;
    };
    let second = dist(&w, ours, "second").expect("packed once, packed twice");
    assert_eq!(first.file_name(), second.file_name());
    let [first, second] = [first, second].map(|path| fs::read(path).expect("an archive"));
    assert!(first == second, "two archives of one binary differ");
}

#[test]
fn the_programs_work_where_nothing_is_installed() {
    let Some(ours) = bins(Subject::Ours).filter(|_| shipped_here()) else {
        return;
    };
    if !need(&["/usr/bin/unshare", "/usr/bin/mount", "/usr/sbin/chroot"]) {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        skipped("an empty root needs root");
        return;
    }
    let w = World::new("dist-root");
    let Some(root) = unpacked(&w, ours, "root") else {
        return;
    };
    let at = root.display().to_string();
    for folder in ["proc", "dev"] {
        fs::create_dir(root.join(folder)).expect("a place to mount on");
    }
    w.write("root/dev/null", "");
    // There is no shell in there. `readproctitle` ends when its input does, so svscan's is a FIFO that never does.
    w.script("root/sv/a/run", "");
    w.write("root/sv/a/script", "#!/bin/readproctitle a-service\n");
    fs::set_permissions(
        root.join("sv/a/script"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .expect("our own file");
    fs::rename(root.join("sv/a/script"), root.join("sv/a/run")).expect("our own file");
    let script = format!(
        "mount -t proc proc {at}/proc && mount --bind /dev/null {at}/dev/null && mkfifo fifo && \
         exec chroot {at} /bin/svscan sv <>fifo"
    );
    let alone = "unshare --mount --pid --fork --kill-child sh -c";
    let argv: Vec<&str> = alone.split(' ').chain([script.as_str()]).collect();
    let scanner = w.start(ours, &argv);
    let inside = |words: &[&str], input: &str| {
        let argv = [&["chroot", &at], words].concat();
        w.run_with(ours, &argv, "", &[], input.as_bytes())
    };
    let state = || inside(&["/bin/svstat", "sv/a"], "").out;
    assert!(
        until(SOON, || state().starts_with("sv/a: up (pid ")),
        "{}{}{}",
        state(),
        scanner.out(),
        scanner.err()
    );
    assert_eq!(inside(&["/bin/svok", "sv/a"], "").code, 0);
    let told = inside(&["/bin/svc", "-d", "sv/a"], "");
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert!(
        until(SOON, || state().starts_with("sv/a: down ")),
        "{}",
        state()
    );
    let logged = inside(&["/bin/multilog", "t", "./log"], "one\ntwo\n");
    assert_eq!((logged.code, logged.err.as_str()), (0, ""));
    let lines = w.read("root/log/current");
    let lines: Vec<_> = lines.lines().map(|line| line.split_once(' ')).collect();
    assert!(
        matches!(lines[..], [Some((stamp, "one")), Some((_, "two"))] if stamp.len() == 25),
        "{lines:?}"
    );
    // The mounts end with their namespace, and that with the scanner.
    w.end_all();
}

#[test]
fn the_completions_know_the_services_that_run() {
    let Some(ours) = bins(Subject::Ours).filter(|_| shipped_here()) else {
        return;
    };
    if !need(&["/bin/bash"]) {
        return;
    }
    let w = World::new("dist-bash");
    let Some(tree) = unpacked(&w, ours, "tree") else {
        return;
    };
    let programs = tree.join("bin");
    for service in ["web", "worker", "a $(touch oops) b"] {
        w.script(format!("sv/{service}/run"), "exec sleep 1000");
    }
    let svscan = programs.join("svscan").display().to_string();
    let _scanner = w.start(ours, &[svscan.as_str(), "sv"]);
    let script = tree.join("share/bash-completion/completions/eudaemon");
    let ask = format!(
        "source {}; COMP_WORDS=({}/eudaemon -C sv restart \"$1\"); COMP_CWORD=4; _eudaemon; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script.display(),
        programs.display()
    );
    let offered = |typed: &str| {
        let outcome = w.run(ours, &["bash", "--norc", "-c", &ask, "bash", typed]);
        (outcome.out, outcome.err)
    };
    let wanted = ("web\nworker\n".to_owned(), String::new());
    assert!(until(SOON, || offered("w") == wanted), "{:?}", offered("w"));
    assert_eq!(offered("a").0, "a\\ \\$\\(touch\\ oops\\)\\ b\n");
    assert!(!w.path("oops").exists(), "a name was run");
}
