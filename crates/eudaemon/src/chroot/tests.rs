use super::*;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

fn inside(root: &str, path: &str) -> Option<String> {
    let root = Root::new(root).expect(root);
    let found = root.path(Path::new(path)).ok()?;
    Some(found.to_string())
}

#[test]
fn a_path_is_named_by_component() {
    for (root, path, wanted) in [
        ("/srv/app", "/srv/app", Some("/")),
        ("/srv/app", "/srv/app/", Some("/")),
        ("/srv/app", "/srv/app/data", Some("/data")),
        ("/srv/app/", "//srv//app///data//x/", Some("/data/x")),
        // The trap of comparing texts.
        ("/srv/app", "/srv/application", None),
        ("/srv/app", "/srv/app.bak/x", None),
        ("/srv/app", "/srv", None),
        ("/srv/app", "/", None),
        ("/srv/app", "/etc/passwd", None),
        // `..` out, in again, and around.
        ("/srv/app", "/srv/app/../secret", None),
        ("/srv/app", "/srv/app/../../srv/app/x", Some("/x")),
        ("/srv/app", "/srv/app/a/../b", Some("/b")),
        ("/srv/app", "/srv/other/../app/b", Some("/b")),
        ("/srv/app", "/srv/app/..", None),
        ("/srv/app", "/srv/app/./.", Some("/")),
        ("/srv/x/../app/.", "/srv/app/b", Some("/b")),
        ("/srv/app", "/srv/app/...", Some("/...")),
        ("/srv/app", "/srv/app/..data", Some("/..data")),
        ("/srv/app", "srv/app/x", None),
        ("/srv/app", "", None),
        ("/srv/app", "/../srv/app/x", None),
        ("/srv/app", "/srv/app/../../../srv/app", None),
        ("/srv/app", "/srv/app/x\0y", None),
        // The whole tree: nothing changes but what is said twice.
        ("/", "/etc/passwd", Some("/etc/passwd")),
        ("/", "/", Some("/")),
        ("//", "/a/../b", Some("/b")),
    ] {
        assert_eq!(inside(root, path).as_deref(), wanted, "{root} {path}");
    }
}

#[test]
fn why_not_is_said() {
    let root = Root::new("/srv/app").expect("it is absolute");
    let why = |path: &str| root.path(Path::new(path)).unwrap_err().to_string();
    assert_eq!(why("data"), "data is not absolute");
    assert_eq!(why("/.."), "/.. goes above the root");
    assert_eq!(
        why("/srv/application"),
        "/srv/application lies outside of the root /srv/app"
    );
    assert!(Root::new("srv").is_err() && Root::new("/..").is_err() && Root::new("").is_err());
    assert!(Root::new("/").expect("absolute").is_whole() && !root.is_whole());
}

#[test]
fn names_are_bytes() {
    let root = Root::new("/srv").expect("it is absolute");
    let strange = Path::new(OsStr::from_bytes(b"/srv/\xff\n"));
    let found = root.path(strange).expect("it lies inside");
    assert_eq!(found.as_path().as_os_str().as_bytes(), b"/\xff\n");
}

/// A small xorshift: the same paths in every run.
fn dice(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).expect("31 bits")
}

/// The plainest reading of the rule, on text: what is found inside leads back, and what is outside is not found.
#[test]
fn random_paths_are_named_as_a_stack_of_words_names_them() {
    const WORDS: [&str; 9] = ["a", "b", "ab", "aa", "..", "..", ".", "", "..."];
    let mut state = 0x9e37_79b9_7f4a_7c15;
    let (mut in_it, mut outside) = (0, 0);
    for _ in 0..20_000 {
        let mut words = |most: usize| -> Vec<&str> {
            let count = dice(&mut state) % most;
            (0..count)
                .map(|_| WORDS[dice(&mut state) % WORDS.len()])
                .collect()
        };
        let (root_words, path_words) = (words(4), words(9));
        let stack = |words: &[&'static str]| -> Option<Vec<&'static str>> {
            let mut stack = Vec::new();
            for &word in words {
                match word {
                    "" | "." => {}
                    ".." => drop(stack.pop()?),
                    name => stack.push(name),
                }
            }
            Some(stack)
        };
        let text = |words: &[&str]| format!("/{}", words.join("/"));
        let root = Root::new(text(&root_words));
        let (Ok(root), Some(below)) = (&root, stack(&root_words)) else {
            assert!(
                root.is_err() && stack(&root_words).is_none(),
                "{root_words:?}"
            );
            continue;
        };
        let path = text(&path_words);
        let found = root.path(Path::new(&path));
        let wanted =
            stack(&path_words).and_then(|full| full.strip_prefix(below.as_slice()).map(text));
        match (found, wanted) {
            (Ok(found), Some(wanted)) => {
                in_it += 1;
                assert_eq!(found.as_path(), Path::new(&wanted), "{path} in {root:?}");
                // Back and forth.
                let out = root.outside(&found);
                assert!(out.starts_with(root.directory()), "{path} in {root:?}");
                assert_eq!(root.path(&out).as_ref(), Ok(&found), "{path} in {root:?}");
            }
            (Err(_), None) => outside += 1,
            (found, wanted) => panic!("{path} in {root:?}: {found:?}, not {wanted:?}"),
        }
    }
    assert!(in_it > 1000 && outside > 1000, "{in_it} {outside}");
}
