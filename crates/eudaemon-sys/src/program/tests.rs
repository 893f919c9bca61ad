use super::*;

fn all(variables: &Variables) -> Vec<String> {
    let strings = variables.pointers.iter();
    strings
        .map(|&string| {
            // SAFETY: each string ends with a NUL and outlives this: it is the kernel's, or one of `changed`, which is
            // borrowed with the rest.
            let string = unsafe { CStr::from_ptr(string) };
            string.to_string_lossy().into_owned()
        })
        .collect()
}

fn variables(strings: &[&str]) -> Variables {
    let changed: Vec<_> = strings
        .iter()
        .map(|string| CString::new(*string).expect("no NUL"))
        .collect();
    Variables {
        pointers: changed.iter().map(|string| string.as_ptr()).collect(),
        changed,
    }
}

#[test]
fn variables_change_in_the_originals_order() {
    // Source: observed with envuidgid 0.76 on these four.
    let mut seen = variables(&["PATH=/", "UID=5", "X=1", "GID=4"]);
    seen.set(b"GID", b"9").expect("no NUL");
    seen.set(b"UID", b"8").expect("no NUL");
    assert_eq!(all(&seen), ["PATH=/", "GID=9", "X=1", "UID=8"]);
    seen.remove(b"PATH").expect("no NUL");
    seen.remove(b"NO").expect("no NUL");
    assert_eq!(all(&seen), ["UID=8", "GID=9", "X=1"]);
}

#[test]
fn no_second_string_of_a_name_stays() {
    let mut seen = variables(&["A=1", "AB=2", "A=3", "A", "=x", "A=4"]);
    seen.set(b"A", b"new").expect("no NUL");
    assert_eq!(all(&seen), ["=x", "AB=2", "A", "A=new"]);
    seen.remove(b"A").expect("no NUL");
    assert_eq!(all(&seen), ["=x", "AB=2", "A"]);
    assert!(seen.set(b"B", b"a\0b").is_err());
}

#[test]
fn ours_are_the_environments() {
    let seen = all(&Variables::inherited());
    assert_eq!(seen.len(), std::env::vars_os().count());
}

#[test]
fn a_variable_is_found_by_its_whole_name() {
    for (name, value) in std::env::vars_os() {
        assert_eq!(variable(name.as_bytes()), Some(value.as_os_str()));
    }
    assert_eq!(variable(b"PAT"), None);
    assert_eq!(variable(b"PATH="), None);
    assert_eq!(variable(b""), None);
}
