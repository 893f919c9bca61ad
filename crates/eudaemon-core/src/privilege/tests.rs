use super::*;
use alloc::string::{String, ToString};
use alloc::vec;

/// What Linux 6.18 writes for a root shell; what is between the lines that count is shortened.
const TEXT: &str = "Name:\tsh\nUmask:\t0022\nState:\tR (running)\nTgid:\t70\nNgid:\t0\nPid:\t71\nPPid:\t1\n\
Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t0 4 27 \nThreads:\t1\nCapInh:\t0000000000000000\n\
CapPrm:\t000001ffffffffff\nCapEff:\t000001ffffffffff\nCapBnd:\t000001ffffffffff\nCapAmb:\t0000000000000000\n\
NoNewPrivs:\t0\nSeccomp:\t0\nSeccomp_filters:\t0\n";
const ALL: Set = Set(0x1ff_ffff_ffff);
const RAW: Set = Set::EMPTY.with(Capability::NetRaw);
const BIND: Set = Set::EMPTY.with(Capability::NetBindService);

fn root() -> Start {
    Start {
        status: Status::parse(TEXT.as_bytes()).expect("Linux wrote it"),
        securebits: 0,
        setgroups_denied: false,
    }
}

/// A service as a manager starts it for user 33, with these capabilities.
fn service(granted: Set) -> Start {
    Start {
        status: Status {
            uids: [33; 4],
            gids: [33; 4],
            groups: vec![33],
            inheritable: granted,
            permitted: granted,
            effective: granted,
            ambient: granted,
            ..root().status
        },
        ..root()
    }
}

fn web() -> Wish {
    Wish {
        identity: Some(Identity {
            uid: 33,
            gid: 33,
            groups: vec![33, 50],
        }),
        ..Wish::default()
    }
}

fn steps(wish: &Wish, start: &Start) -> Vec<String> {
    match Plan::new(wish, start) {
        Ok(plan) => plan.steps().iter().map(ToString::to_string).collect(),
        Err(refusal) => vec![refusal.to_string()],
    }
}

#[test]
fn a_status_is_read_whole_or_not_at_all() {
    let status = root().status;
    assert_eq!((status.process, status.thread, status.threads), (70, 71, 1));
    assert_eq!((status.umask, status.groups), (0o022, vec![0, 4, 27]));
    assert_eq!((status.permitted, status.ambient), (ALL, Set::EMPTY));
    assert!(!status.no_new_privs && status.seccomp == 0);
    for field in [
        "Tgid",
        "Pid",
        "Umask",
        "Uid",
        "Gid",
        "Groups",
        "Threads",
        "CapInh",
        "CapPrm",
        "CapEff",
        "CapBnd",
        "CapAmb",
        "NoNewPrivs",
        "Seccomp",
    ] {
        let start = alloc::format!("\n{field}:");
        let without = TEXT.replace(&start, "\nX:");
        assert_eq!(
            Status::parse(without.as_bytes()),
            Err(StatusError { field })
        );
        // Twice is a riddle.
        let twice = alloc::format!("{TEXT}{field}:\t0\n");
        assert_eq!(Status::parse(twice.as_bytes()), Err(StatusError { field }));
        if field != "Groups" {
            let broken = TEXT.replace(&start, &alloc::format!("\n{field}:\t-1 "));
            assert_eq!(Status::parse(broken.as_bytes()), Err(StatusError { field }));
        }
    }
    // A process may call itself what it wants; the kernel writes a newline in it as two characters.
    let named = TEXT.replace("Name:\tsh", "Name:\tUid:\\n1");
    assert_eq!(Status::parse(named.as_bytes()), Ok(root().status));
}

#[test]
fn root_becomes_an_account_in_this_order() {
    let wish = Wish {
        root: Some(b"/srv/web".to_vec()),
        keep: Some(RAW),
        ambient: BIND,
        dumpable: Some(true),
        umask: Some(0o27),
        limits: vec![(
            Resource::OpenFiles,
            Limit {
                soft: 9,
                hard: u64::MAX,
            },
        )],
        ..web()
    };
    assert_eq!(
        steps(&wish, &root()),
        [
            "set the limit OpenFiles to 9 (hard unlimited)",
            "set the umask to 0027",
            "take 000001ffffffdbff from the bounding set",
            "change root to /srv/web",
            "change directory to the new root",
            "set the supplementary groups to 33 50",
            "set the group to 33",
            "keep capabilities across the change of user",
            "set the user to 33",
            "give up all capabilities but CAP_SETPCAP CAP_NET_BIND_SERVICE CAP_NET_RAW",
            "end keeping capabilities across a change of user",
            "set the ambient capabilities to CAP_NET_BIND_SERVICE",
            "lock the securebits at 0xef",
            "give up CAP_SETPCAP, which the lock needed, leaving CAP_NET_BIND_SERVICE CAP_NET_RAW",
            "forbid new privileges",
            "make the process dumpable",
            "prove that the privileges are gone",
        ]
    );
    let plan = Plan::new(&wish, &root()).expect("root may");
    let expected = plan.expected();
    assert_eq!((expected.uids, expected.gids), ([33; 4], [33; 4]));
    assert_eq!(expected.groups, [33, 50]);
    let kept = RAW.and(BIND);
    assert_eq!((expected.permitted, expected.bounding), (kept, kept));
    assert_eq!((expected.inheritable, expected.ambient), (BIND, BIND));
    assert!(expected.no_new_privs && expected.in_root && expected.securebits == LOCKED);
}

/// Every wish, from every start, in small: the order never goes down, a chroot is followed by its chdir, groups go before
/// gid before uid, the proof is last; and whoever is not allowed root is not root.
#[test]
fn the_order_holds_for_every_wish() {
    let identities = [None, Some(33), Some(0), Some(44)];
    let keeps = [
        None,
        Some(Set::EMPTY),
        Some(RAW),
        Some(Set(1 << 7)),
        Some(ALL),
    ];
    let less = Start {
        status: Status {
            effective: ALL.without(Set::EMPTY.with(Capability::Setpcap)),
            ..root().status
        },
        ..root()
    };
    let denied = Start {
        setgroups_denied: true,
        ..root()
    };
    let starts = [
        root(),
        less,
        denied,
        service(Set::EMPTY),
        service(RAW),
        service(ALL),
    ];
    let (mut plans, mut refusals) = (0, 0);
    for bits in 0..1u32 << 6 {
        let is = |bit: u32| bits & 1 << bit != 0;
        for (identity, keep) in identities
            .iter()
            .flat_map(|identity| keeps.iter().map(move |keep| (identity, keep)))
        {
            let wish = Wish {
                identity: identity.map(|uid| Identity {
                    uid,
                    gid: uid,
                    groups: vec![uid],
                }),
                groups_may_stay: is(0),
                root: is(1).then(|| b"/srv".to_vec()),
                keep: *keep,
                ambient: if is(2) { RAW } else { Set::EMPTY },
                for_good: is(3),
                no_new_privs: is(4),
                dumpable: None,
                umask: Some(0),
                limits: Vec::new(),
                allow_root: is(5),
            };
            for start in &starts {
                let Ok(plan) = Plan::new(&wish, start) else {
                    refusals += 1;
                    continue;
                };
                plans += 1;
                check_plan(&wish, start, &plan);
            }
        }
    }
    assert!(plans > 500 && refusals > 500, "{plans} {refusals}");
}

fn check_plan(wish: &Wish, start: &Start, plan: &Plan) {
    let places: Vec<u8> = plan.steps().iter().map(Step::place).collect();
    assert!(
        places.is_sorted_by(|before, after| before < after),
        "{wish:?} {plan:?}"
    );
    assert_eq!(plan.steps().last(), Some(&Step::Proof));
    let has = |wanted: u8| places.contains(&wanted);
    assert_eq!(has(3), has(4), "chroot and chdir: {plan:?}");
    assert_eq!(has(7), has(10), "what is begun is ended: {plan:?}");
    let expected = plan.expected();
    if let Some(identity) = &wish.identity {
        assert_eq!(
            (expected.uids, expected.gids),
            ([identity.uid; 4], [identity.gid; 4])
        );
    }
    if !wish.allow_root {
        assert!(!expected.uids.contains(&0));
        let moved = wish.identity.is_some() && start.status.uids != expected.uids;
        assert!(
            !moved || expected.permitted.only(Tries::WAYS_BACK).is_empty(),
            "{plan:?}"
        );
        assert!(!moved || !expected.groups.contains(&0), "{plan:?}");
    }
    if wish.root.is_some() {
        assert!(!expected.uids.contains(&0) && !expected.permitted.has(Capability::SysChroot));
    }
    // Capabilities given up do not come back with a program.
    if wish.for_good && expected.permitted != start.status.permitted {
        assert!(
            expected.no_new_privs || expected.securebits == LOCKED,
            "{plan:?}"
        );
    }
    // Nobody gets what was not there.
    assert!(
        expected
            .permitted
            .without(start.status.permitted)
            .is_empty()
    );
    assert!(expected.bounding.without(start.status.bounding).is_empty());
}

#[test]
fn who_is_it_already_makes_no_call() {
    let wish = Wish {
        no_new_privs: false,
        ..web()
    };
    let mut already = service(Set::EMPTY);
    already.status.groups = vec![50];
    assert_eq!(
        steps(&wish, &already),
        ["prove that the privileges are gone"]
    );
    let plan = Plan::new(&wish, &already).expect("nothing to do");
    assert!(plan.tries().user && plan.tries().capability.is_some());
    // Under a filter of system calls a try may be the end.
    already.status.seccomp = 2;
    let plan = Plan::new(&wish, &already).expect("nothing to do");
    assert_eq!(plan.tries(), Tries::default());
    // But not where the filter let the changes through.
    let mut filtered = root();
    filtered.status.seccomp = 2;
    assert!(Plan::new(&web(), &filtered).expect("root may").tries().user);
}

#[test]
fn what_was_granted_stays_unless_asked() {
    let granted = service(BIND.and(RAW));
    let plan = |wish: &Wish| Plan::new(wish, &granted).expect("it is there");
    let kept = plan(&Wish::default());
    assert_eq!(kept.expected().permitted, BIND.and(RAW));
    assert_eq!(kept.expected().ambient, BIND.and(RAW));
    let fewer = Wish {
        keep: Some(BIND),
        ..Wish::default()
    };
    assert_eq!(plan(&fewer).expected().permitted, BIND);
    assert_eq!(plan(&fewer).expected().ambient, Set::EMPTY);
    // Without CAP_SETPCAP it comes back with the next program, unless that is forbidden.
    let open = Wish {
        no_new_privs: false,
        ..fewer
    };
    assert_eq!(Plan::new(&open, &granted), Err(Refusal::ComesBack));
    let loose = Wish {
        for_good: false,
        ..open
    };
    assert_eq!(plan(&loose).expected().permitted, BIND);
}

#[test]
fn every_difference_has_its_words() {
    let wish = Wish {
        umask: Some(0o27),
        ..web()
    };
    let plan = Plan::new(&wish, &root()).expect("root may");
    let good = Status {
        thread: 71,
        umask: 0o27,
        uids: [33; 4],
        gids: [33; 4],
        groups: vec![50, 33, 33],
        permitted: Set::EMPTY,
        effective: Set::EMPTY,
        bounding: Set::EMPTY,
        no_new_privs: true,
        ..root().status
    };
    let proof = |seen: &[Status]| Proof::new(plan.expected(), seen.to_vec());
    assert_eq!(proof(&[good.clone(), good.clone()]).differences(), []);
    type Change = fn(&mut Status);
    let mutants: [(&str, Change); 14] = [
        ("Uid is 0 33 33 33, planned 33 33 33 33", |s| s.uids[0] = 0),
        ("Uid is 33 0 33 33, planned 33 33 33 33", |s| s.uids[1] = 0),
        ("Uid is 33 33 0 33, planned 33 33 33 33", |s| s.uids[2] = 0),
        ("Uid is 33 33 33 0, planned 33 33 33 33", |s| s.uids[3] = 0),
        ("Gid is 33 33 0 33, planned 33 33 33 33", |s| s.gids[2] = 0),
        ("Groups is 0 33 50, planned 33 50", |s| s.groups.push(0)),
        ("Groups is 50, planned 33 50", |s| s.groups = vec![50]),
        ("CapInh is CAP_NET_RAW, planned none", |s| {
            s.inheritable = RAW
        }),
        ("CapPrm is CAP_SETPCAP, planned none", |s| {
            s.permitted = Set(1 << 8)
        }),
        ("CapEff is 63, planned none", |s| s.effective = Set(1 << 63)),
        ("CapBnd is 000001ffffffffff, planned none", |s| {
            s.bounding = ALL
        }),
        ("CapAmb is CAP_NET_RAW, planned none", |s| s.ambient = RAW),
        ("NoNewPrivs is 0, planned 1", |s| s.no_new_privs = false),
        ("Umask is 0000, planned 0027", |s| s.umask = 0),
    ];
    for (words, change) in mutants {
        let mut bad = good.clone();
        bad.thread = 72;
        change(&mut bad);
        // One thread of many is enough.
        let proof = proof(&[good.clone(), bad]);
        let told: Vec<String> = proof
            .differences()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(told, [alloc::format!("thread 72: {words}")]);
        assert!(proof.to_string().contains("WRONG"));
    }
    assert!(!proof(&[good]).to_string().contains("WRONG"));
}

#[test]
fn what_is_missing_is_named() {
    let other = Wish {
        identity: Some(Identity::alone(44, 44)),
        ..Wish::default()
    };
    assert_eq!(
        steps(&other, &service(Set::EMPTY)),
        [
            "unable to set the supplementary groups to 44: this process runs as user 33 without CAP_SETGID; \
          start it as root, or as who it is to be"
        ]
    );
    let denied = Start {
        setgroups_denied: true,
        ..root()
    };
    assert_eq!(Plan::new(&web(), &denied), Err(Refusal::GroupsDenied));
    assert!(Refusal::GroupsDenied.is_missing_privilege());
    assert_eq!(
        Plan::new(&Wish::default(), &root()),
        Err(Refusal::StaysRoot)
    );
    let rooted = |keep| Wish {
        root: Some(b"/srv".to_vec()),
        keep: Some(keep),
        ..web()
    };
    let way_out = Set::EMPTY.with(Capability::SysChroot);
    assert_eq!(
        Plan::new(&rooted(way_out), &root()),
        Err(Refusal::LeavesChroot)
    );
    assert!(Plan::new(&rooted(RAW), &root()).is_ok());
}
