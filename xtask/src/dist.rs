//! `cargo xtask dist`: what a user gets. One file under all its names, the manual pages, the completions; a directory and a
//! `.tar.gz` of it.
//!
//! The same binary makes the same archive, byte for byte: names in order, nobody's ids, and the moment of
//! `SOURCE_DATE_EPOCH`, else of the last commit.

use crate::{Outcome, build, links, workspace};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

mod elf;

/// A form we ship.
#[derive(Debug)]
struct Form {
    target: &'static str,
    /// How its archive is called, behind the version.
    name: &'static str,
    /// Whether one file is the whole program. The dynamic form is for those who need the system's account databases.
    is_static: bool,
    /// Whether its binary runs on the machine this was compiled for.
    is_native: bool,
}

const FORMS: [Form; 3] = [
    Form {
        target: build::SHIPPED,
        name: "x86_64-linux-musl",
        is_static: true,
        is_native: cfg!(target_arch = "x86_64"),
    },
    Form {
        target: "aarch64-unknown-linux-musl",
        name: "aarch64-linux-musl",
        is_static: true,
        is_native: cfg!(target_arch = "aarch64"),
    },
    Form {
        target: "x86_64-unknown-linux-gnu",
        name: "x86_64-linux-gnu",
        is_static: false,
        is_native: cfg!(target_arch = "x86_64"),
    },
];

/// What is shipped beside programs and pages, and where.
const FILES: [(&str, &str); 8] = [
    ("README.md", "README.md"),
    ("CHANGELOG.md", "CHANGELOG.md"),
    ("LICENSE-APACHE", "LICENSE-APACHE"),
    ("LICENSE-MIT", "LICENSE-MIT"),
    (
        "crates/eudaemon-cli/completions/eudaemon.bash",
        "share/bash-completion/completions/eudaemon",
    ),
    (
        "crates/eudaemon-cli/completions/eudaemon.bash",
        "share/bash-completion/completions/eud",
    ),
    (
        "crates/eudaemon-cli/completions/eudaemon.zsh",
        "share/zsh/site-functions/_eudaemon",
    ),
    (
        "crates/eudaemon-cli/completions/eudaemon.fish",
        "share/fish/vendor_completions.d/eudaemon.fish",
    ),
];

/// Reads the words after `dist`, and does it.
pub fn run(args: &[String]) -> Outcome {
    let (mut target, mut bin, mut out) = (build::SHIPPED, None, None);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--target" => target = words.next().ok_or("--target needs a target triple")?,
            "--dynamic" => target = "x86_64-unknown-linux-gnu",
            "--bin" => bin = Some(PathBuf::from(words.next().ok_or("--bin needs a path")?)),
            "--out" => {
                out = Some(PathBuf::from(
                    words.next().ok_or("--out needs a directory")?,
                ))
            }
            _ => return Err(format!("dist: unknown word {word}")),
        }
    }
    let form = FORMS.iter().find(|form| form.target == target);
    let form = form.ok_or_else(|| {
        let known: Vec<_> = FORMS.iter().map(|form| form.target).collect();
        format!(
            "dist: {target} is not shipped; these are: {}",
            known.join(", ")
        )
    })?;
    let bin = match bin {
        Some(bin) => bin,
        None => build(form)?,
    };
    let names = match form.is_native {
        true => links::names(&bin)?,
        // The same source answers with the same names on the machine at hand.
        false => links::names(&build::release(None)?)?,
    };
    let out = out.unwrap_or_else(|| workspace().join("target/dist"));
    let called = format!("eudaemon-{}-{}", env!("CARGO_PKG_VERSION"), form.name);
    let tree = out.join(&called);
    fill(&tree, &bin, &names)?;
    check(&tree, form, &names)?;
    let archive = pack(&out, &called)?;
    let size = |path: &Path| fs::metadata(path).map_or(0, |data| data.len());
    eprintln!(
        "xtask: {}: {} names of one file of {} bytes",
        tree.display(),
        names.len(),
        size(&tree.join("bin/eudaemon"))
    );
    eprintln!("xtask: {}: {} bytes", archive.display(), size(&archive));
    Ok(())
}

/// The binary of a form, without symbols.
fn build(form: &Form) -> Result<PathBuf, String> {
    if !build::has_target(form.target) {
        return Err(format!(
            "dist: the standard library for {0} is not installed: rustup target add {0}",
            form.target
        ));
    }
    let mut settings = vec![("CARGO_PROFILE_RELEASE_STRIP", "symbols")];
    if !form.is_native {
        // The C library for musl comes with Rust, so rustc's own linker is all that linking for another machine needs.
        settings.push(("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld"));
    }
    build::release_with(Some(form.target), &settings)
}

fn say(verb: &str, path: &Path, why: &std::io::Error) -> String {
    format!("unable to {verb} {}: {why}", path.display())
}

/// Fills a new tree.
fn fill(tree: &Path, bin: &Path, names: &[String]) -> Outcome {
    match fs::remove_dir_all(tree) {
        Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
            return Err(say("remove", tree, &why));
        }
        Ok(()) | Err(_) => {}
    }
    let binary = tree.join("bin/eudaemon");
    place(bin, &binary, 0o755)?;
    for name in names.iter().filter(|name| *name != "eudaemon") {
        let link = tree.join("bin").join(name);
        fs::hard_link(&binary, &link).map_err(|why| say("link", &link, &why))?;
    }
    let root = workspace();
    for (from, to) in FILES {
        place(&root.join(from), &tree.join(to), 0o644)?;
    }
    let pages = root.join("docs/man");
    let entries = fs::read_dir(&pages).map_err(|why| say("read", &pages, &why))?;
    for entry in entries {
        let page = entry.map_err(|why| say("read", &pages, &why))?.path();
        let (Some(name), Some(section)) = (page.file_name(), page.extension()) else {
            return Err(format!("{} is no manual page", page.display()));
        };
        let folder = format!("share/man/man{}", section.display());
        place(&page, &tree.join(folder).join(name), 0o644)?;
    }
    // The short name has the long one's page: man(1) follows `.so`.
    let short = tree.join("share/man/man1/eud.1");
    fs::write(&short, ".so man1/eudaemon.1\n").map_err(|why| say("write", &short, &why))?;
    set_mode(&short, 0o644)?;
    // What the maker's umask left out, or let in, is not shipped.
    for folder in folders(tree)? {
        set_mode(&folder, 0o755)?;
    }
    Ok(())
}

fn set_mode(path: &Path, mode: u32) -> Outcome {
    let mode = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, mode).map_err(|why| say("set the mode of", path, &why))
}

fn place(from: &Path, to: &Path, mode: u32) -> Outcome {
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(|why| say("create", folder, &why))?;
    fs::copy(from, to).map_err(|why| say("copy", from, &why))?;
    set_mode(to, mode)
}

fn folders(tree: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![tree.to_path_buf()];
    let mut at = 0;
    while let Some(folder) = found.get(at).cloned() {
        let entries = fs::read_dir(&folder).map_err(|why| say("read", &folder, &why))?;
        found.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
        at += 1;
    }
    Ok(found)
}

/// What a user will rely on: one file under every name, whole in itself if it says so, with a page for every name.
fn check(tree: &Path, form: &Form, names: &[String]) -> Outcome {
    let binary = tree.join("bin/eudaemon");
    let inode = |path: &Path| {
        let data = fs::metadata(path).map_err(|why| say("look at", path, &why))?;
        Ok::<_, String>((data.dev(), data.ino()))
    };
    let own = inode(&binary)?;
    for name in names {
        if inode(&tree.join("bin").join(name))? != own {
            return Err(format!("dist: bin/{name} is not the file eudaemon is"));
        }
        let has_page = |section| {
            let page = format!("share/man/man{section}/{name}.{section}");
            tree.join(page).is_file()
        };
        if !has_page(1) && !has_page(8) {
            return Err(format!(
                "dist: there is no manual page of {name} in docs/man"
            ));
        }
    }
    let bytes = fs::read(&binary).map_err(|why| say("read", &binary, &why))?;
    match (elf::interpreter(&bytes)?, form.is_static) {
        (Some(interpreter), true) => Err(format!(
            "dist: {} is not static: it needs {interpreter}",
            binary.display()
        )),
        (None, false) => Err(format!(
            "dist: {} is static, and {} is the dynamic form",
            binary.display(),
            form.name
        )),
        (Some(_), false) | (None, true) => Ok(()),
    }
}

/// The archive of the tree `called` below `out`.
fn pack(out: &Path, called: &str) -> Result<PathBuf, String> {
    let moment = moment()?;
    let tar = out.join(format!("{called}.tar"));
    let packed = out.join(format!("{called}.tar.gz"));
    finish(
        Command::new("tar")
            .args([
                "--sort=name",
                "--format=ustar",
                "--owner=0",
                "--group=0",
                "--numeric-owner",
            ])
            .arg(format!("--mtime=@{moment}"))
            .arg("--file")
            .arg(&tar)
            .args(["--create", "--directory"])
            .arg(out)
            .arg(called),
    )?;
    finish(
        Command::new("gzip")
            .args(["--best", "--no-name", "--force"])
            .arg(&tar),
    )?;
    Ok(packed)
}

/// The moment every file is dated, in Unix seconds.
fn moment() -> Result<u64, String> {
    let told = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(told) => told,
        Err(_) => finish(
            Command::new("git")
                .args(["log", "-1", "--format=%ct"])
                .current_dir(workspace()),
        )
        .map_err(|why| format!("{why}; without git, set SOURCE_DATE_EPOCH"))?,
    };
    let told = told.trim();
    told.parse()
        .map_err(|_| format!("{told:?} is no moment in Unix seconds"))
}

/// Runs it and gives what it printed; not having succeeded is an error.
fn finish(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().display().to_string();
    let out = command
        .output()
        .map_err(|why| format!("unable to run {name}: {why}"))?;
    if !out.status.success() {
        return Err(format!(
            "{name}: {}: {}",
            out.status,
            String::from_utf8_lossy(&out.stderr).trim()
        ));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        run(&words).unwrap_err()
    }

    #[test]
    fn what_is_not_shipped_is_refused() {
        assert!(
            refused(&["--target", "riscv64gc-unknown-linux-gnu"])
                .contains("riscv64gc-unknown-linux-gnu is not shipped")
        );
        assert!(refused(&["--targe"]).contains("unknown word"));
        assert!(refused(&["--out"]).contains("needs a directory"));
    }

    // `echo applets` prints one name, so echo can stand for a binary.
    #[test]
    fn a_name_without_a_page_and_a_binary_that_is_not_static_are_refused() {
        let tree = std::env::temp_dir().join(format!("xtask-dist-{}", std::process::id()));
        let names =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let unpaged = names(&["eudaemon", "unpaged"]);
        fill(&tree, Path::new("/bin/echo"), &unpaged).unwrap();
        assert!(
            check(&tree, &FORMS[0], &unpaged)
                .unwrap_err()
                .contains("no manual page of unpaged")
        );
        let paged = names(&["eud", "eudaemon", "svc"]);
        fill(&tree, Path::new("/bin/echo"), &paged).unwrap();
        assert!(
            !tree.join("bin/unpaged").exists(),
            "an old tree is no part of a new one"
        );
        assert!(
            check(&tree, &FORMS[0], &paged)
                .unwrap_err()
                .contains("not static")
        );
        assert_eq!(check(&tree, &FORMS[2], &paged), Ok(()));
        fs::remove_file(tree.join("bin/svc")).unwrap();
        fs::copy("/bin/echo", tree.join("bin/svc")).unwrap();
        assert!(
            check(&tree, &FORMS[2], &paged)
                .unwrap_err()
                .contains("bin/svc is not the file")
        );
        fs::remove_dir_all(&tree).unwrap();
    }
}
