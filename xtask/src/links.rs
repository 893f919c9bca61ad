//! `cargo xtask links DIR`: every historic name as a hard link to the binary, so that any suite can be pointed at DIR.

use crate::{Outcome, build};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The names under which the binary answers to people rather than to scripts.
const OWN_NAMES: [&str; 2] = ["eudaemon", "eud"];

/// Reads the words after `links`, builds if no `--bin` is given, links, and says how many.
pub fn run(args: &[String]) -> Outcome {
    let (mut dir, mut target, mut bin) = (None, None, None);
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--target" => target = Some(words.next().ok_or("--target needs a target triple")?),
            "--bin" => bin = Some(words.next().ok_or("--bin needs a path")?),
            _ if word.starts_with('-') => return Err(format!("links: unknown option {word}")),
            _ if dir.is_none() => dir = Some(PathBuf::from(word)),
            _ => return Err(format!("links: one DIR, not also {word}")),
        }
    }
    let dir = dir.ok_or("links: which DIR?")?;
    let bin = match bin {
        Some(path) => PathBuf::from(path),
        None => build::release(target.map(String::as_str))?,
    };
    let names = names(&bin)?;
    fill(&dir, &bin, &names)?;
    eprintln!(
        "xtask: {}: {} names of {}",
        dir.display(),
        names.len(),
        bin.display()
    );
    Ok(())
}

/// Asks the binary which names it answers to; a list kept here would be a second table.
pub fn names(bin: &Path) -> Result<Vec<String>, String> {
    let out = Command::new(bin)
        .arg("applets")
        .output()
        .map_err(|why| format!("unable to run {}: {why}", bin.display()))?;
    if !out.status.success() {
        return Err(format!("{} applets: {}", bin.display(), out.status));
    }
    read_names(&String::from_utf8_lossy(&out.stdout))
        .map_err(|why| format!("{} applets: {why}", bin.display()))
}

fn read_names(text: &str) -> Result<Vec<String>, String> {
    let mut names: Vec<String> = text.lines().map(str::to_owned).collect();
    if names.is_empty() {
        return Err("no names".to_owned());
    }
    if let Some(odd) = names
        .iter()
        .find(|name| name.is_empty() || name.contains(['/', ' ', '\t']))
    {
        return Err(format!("{odd:?} is no name of a program"));
    }
    names.extend(OWN_NAMES.map(str::to_owned));
    names.sort();
    names.dedup();
    Ok(names)
}

/// Links every name. Across file systems the binary is copied once and the names are links to that copy. Each name is made beside
/// its place and renamed into it, so a running suite never misses one.
fn fill(dir: &Path, bin: &Path, names: &[String]) -> Outcome {
    let say = |verb: &str, path: &Path, why: std::io::Error| {
        format!("unable to {verb} {}: {why}", path.display())
    };
    fs::create_dir_all(dir).map_err(|why| say("create", dir, why))?;
    let fresh = dir.join(".new");
    let remove = |path: &Path| match fs::remove_file(path) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(say("remove", path, why)),
        Ok(()) | Err(_) => Ok(()),
    };
    let mut source = bin.to_path_buf();
    for name in names {
        remove(&fresh)?;
        match fs::hard_link(&source, &fresh) {
            Ok(()) => {}
            // Also refused where somebody else owns the binary: fs.protected_hardlinks, proc_sys_fs(5).
            Err(why)
                if matches!(
                    why.kind(),
                    ErrorKind::CrossesDevices | ErrorKind::PermissionDenied
                ) =>
            {
                fs::copy(&source, &fresh).map_err(|why| say("copy to", &fresh, why))?;
                source = dir.join(name);
            }
            Err(why) => return Err(say("link", &source, why)),
        }
        let place = dir.join(name);
        fs::rename(&fresh, &place).map_err(|why| say("rename to", &place, why))?;
        // Renaming one link of a file onto another does nothing and leaves both: rename(2).
        remove(&fresh)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("xtask-links-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir); // There is none, unless a run with this pid was killed.
        fs::create_dir_all(&dir).unwrap();
        dir
    }

    // `echo applets` prints one name, so echo can stand for the binary; a script written here could be "text busy" while
    // another test forks.
    #[test]
    fn every_name_is_the_same_file_also_the_second_time() {
        let out = scratch("same");
        let args = [
            out.display().to_string(),
            "--bin".to_owned(),
            "/bin/echo".to_owned(),
        ];
        run(&args).unwrap();
        run(&args).unwrap();
        let mut found: Vec<_> = fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        found.sort();
        assert_eq!(found, ["applets", "eud", "eudaemon"]);
        let inode = |name: &str| fs::metadata(out.join(name)).unwrap().ino();
        assert_eq!(
            (inode("eud"), inode("eudaemon")),
            (inode("applets"), inode("applets"))
        );
        fs::remove_dir_all(&out).unwrap();
    }

    #[test]
    fn a_binary_that_names_nothing_is_refused() {
        assert!(
            names(Path::new("/bin/true"))
                .unwrap_err()
                .contains("no names")
        );
        assert!(
            names(Path::new("/bin/false"))
                .unwrap_err()
                .contains("exit status")
        );
        assert!(
            read_names("svc\n../svok\n")
                .unwrap_err()
                .contains("no name of a program")
        );
        assert_eq!(
            read_names("svok\nsvc\n").unwrap(),
            ["eud", "eudaemon", "svc", "svok"]
        );
    }

    #[test]
    fn words_it_does_not_know_are_refused() {
        let run = |words: &[&str]| {
            run(&words
                .iter()
                .map(|word| (*word).to_owned())
                .collect::<Vec<_>>())
            .unwrap_err()
        };
        assert!(run(&[]).contains("which DIR"));
        assert!(run(&["a", "b"]).contains("one DIR"));
        assert!(run(&["a", "--bim", "b"]).contains("unknown option"));
        assert!(run(&["a", "--bin"]).contains("needs a path"));
    }
}
