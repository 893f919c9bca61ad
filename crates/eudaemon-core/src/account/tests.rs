use super::*;

const ROOT: &[u8] = b"root:x:0:0:root:/root:/bin/sh";

#[test]
fn a_number_is_plainly_a_number() {
    for (text, number) in [
        ("0", 0),
        ("5", 5),
        ("65534", 65534),
        ("4294967294", u32::MAX - 1),
    ] {
        assert_eq!(id(text.as_bytes()), Some(number), "{text}");
    }
    for text in [
        "",
        "00",
        "000",
        "01",
        "+0",
        "-0",
        "-1",
        " 0",
        "0 ",
        "0x0",
        "0day",
        "4294967295",
        "4294967296",
        "18446744073709551616",
        "4294967297",
        "\0",
        "0\0",
        "٠",
    ] {
        assert_eq!(id(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn a_line_is_its_names_or_nobodys() {
    assert_eq!(
        passwd(ROOT, b"root"),
        Line::Found(Account {
            uid: 0,
            gid: 0,
            home: b"/root",
            shell: b"/bin/sh"
        })
    );
    for name in ["roo", "root:x", "x", "", "Root", "root\0"] {
        assert_eq!(passwd(ROOT, name.as_bytes()), Line::Other, "{name:?}");
    }
    assert_eq!(
        passwd(b"app:x:5:6:::", b"app"),
        Line::Found(Account {
            uid: 5,
            gid: 6,
            home: b"",
            shell: b""
        })
    );
}

#[test]
fn a_hostile_line_is_never_root() {
    for line in [
        "app",
        "app:",
        "app:x",
        "app:x:0",
        "app:x:0:0",
        "app:x:0:0:",
        "app:x:0:0::/",
        "app:x::0::/:/bin/sh",
        "app:x:0:::/:/bin/sh",
        "app:x:::::",
        "app::::::",
        "app:x:00:00::/:",
        "app:x:4294967296:1::/:",
        "app:x:1:4294967296::/:",
        "app:x:4294967295:1::/:",
        "app:x: 0:1::/:",
        "app:x:-1:1::/:",
        "app:x:0x0:0::/:",
        "app:x:0:0::/:/bin/sh:",
        "app:x:0:0::/\0:/bin/sh",
        "app:x:0day:0::/:",
    ] {
        assert_eq!(passwd(line.as_bytes(), b"app"), Line::Unusable, "{line:?}");
    }
}

#[test]
fn names_that_mean_something_else_are_not_looked_for() {
    for name in ["", "#", "#root", "+", "+root", "-", "-s"] {
        assert!(!can_be_a_name(name.as_bytes()), "{name}");
    }
    assert!(can_be_a_name(b"root"));
}

#[test]
fn groups_are_found_by_name_and_by_member() {
    let line = b"adm:x:4:app,other";
    assert_eq!(group(line, b"adm"), Line::Found(4));
    assert_eq!(group(line, b"app"), Line::Other);
    assert_eq!(group_with(line, b"app"), Some(4));
    assert_eq!(group_with(line, b"other"), Some(4));
    for member in ["ap", "app,other", "", "adm", "othe"] {
        assert_eq!(group_with(line, member.as_bytes()), None, "{member}");
    }
    for line in [
        "adm:x:4",
        "adm:x::app",
        "adm:x:00:app",
        "adm:x:4:app:",
        "+:x:4:app",
        "#a:x:4:app",
        ":x:4:app",
    ] {
        assert_eq!(group_with(line.as_bytes(), b"app"), None, "{line}");
        assert_ne!(group(line.as_bytes(), b"adm"), Line::Found(4), "{line}");
    }
}

#[test]
fn only_exactly_this_identity_is_proven() {
    let who = Identity {
        uid: 5,
        gid: 6,
        groups: [6, 7].into(),
    };
    let seen = Seen {
        uids: [5; 3],
        gids: [6; 3],
        groups: [7, 6].into(),
        regained: false,
    };
    assert!(who.is_proven(&seen));
    let wrong = [
        Seen {
            uids: [5, 5, 0],
            ..seen.clone()
        },
        Seen {
            uids: [0, 5, 5],
            ..seen.clone()
        },
        Seen {
            gids: [6, 6, 0],
            ..seen.clone()
        },
        Seen {
            groups: [6].into(),
            ..seen.clone()
        },
        Seen {
            groups: [6, 7, 0].into(),
            ..seen.clone()
        },
        Seen {
            regained: true,
            ..seen
        },
    ];
    for seen in wrong {
        assert!(!who.is_proven(&seen), "{seen:?}");
    }
}

#[test]
fn the_user_goes_last_before_the_proof() {
    assert_eq!(
        Identity::ORDER,
        [Step::Groups, Step::Gid, Step::Uid, Step::Proof]
    );
}

#[test]
fn chpst_reads_numbers_behind_a_colon() {
    assert_eq!(
        User::parse(b":5:6"),
        Some(User::Numbers(Identity {
            uid: 5,
            gid: 6,
            groups: [6].into()
        }))
    );
    assert_eq!(
        User::parse(b":0:0:7"),
        Some(User::Numbers(Identity {
            uid: 0,
            gid: 0,
            groups: [0, 7].into()
        }))
    );
    for text in [
        ":",
        "::",
        ":5",
        ":5:",
        ":5:6:",
        ":5::6",
        "::6",
        ":+5:6",
        ":5:4294967295",
        ":4294967297:5",
        ":00:00",
        ":x:5",
        ":5:6x",
        ": 5:6",
    ] {
        assert_eq!(User::parse(text.as_bytes()), None, "{text}");
    }
}

#[test]
fn chpst_reads_names_and_keeps_empty_ones_to_be_refused() {
    let names = |user: &'static str, groups: &[&'static str]| {
        Some(User::Names {
            user: user.as_bytes(),
            groups: groups.iter().map(|group| group.as_bytes()).collect(),
        })
    };
    assert_eq!(User::parse(b"app"), names("app", &[]));
    assert_eq!(User::parse(b"app:adm:www"), names("app", &["adm", "www"]));
    assert_eq!(User::parse(b"app:"), names("app", &[""]));
    assert_eq!(User::parse(b""), names("", &[]));
    assert_eq!(User::parse(b"5:6"), names("5", &["6"]));
}
