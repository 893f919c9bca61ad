//! Plans carried out below another root, and with a stand-in for `systemctl`.

use super::{Place, hello, installation};
use eudaemon::install::{Action, Choices, Control, InstallError, Installation, Target, perform};
use eudaemon::{Builder, Exit, Manifest, Running, ServiceArgs};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::ExitCode;

const SYSTEMD: Target = Target::Systemd { version: Some(252) };
const SURE: Choices = Choices {
    dry_run: false,
    force: false,
};
const DRY: Choices = Choices {
    dry_run: true,
    force: false,
};
const FORCED: Choices = Choices {
    dry_run: false,
    force: true,
};

fn below(place: &Place) -> Installation {
    let mut manifest = hello();
    manifest.sockets = vec![("web".into(), "127.0.0.1:8080".into())];
    let mut one = installation(manifest);
    one.root = place.0.clone();
    one
}

/// Every path below with what is there.
fn all(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a directory") {
            let path = entry.expect("an entry").path();
            let about = fs::symlink_metadata(&path).expect("an entry");
            let name = path
                .strip_prefix(root)
                .expect("below")
                .display()
                .to_string();
            let mode = about.permissions().mode() & 0o7777;
            if about.is_dir() {
                found.insert(name, format!("{mode:o}/"));
                folders.push(path);
            } else if about.is_symlink() {
                found.insert(
                    name,
                    fs::read_link(&path).expect("a link").display().to_string(),
                );
            } else {
                found.insert(
                    name,
                    format!("{mode:o} {}", fs::read_to_string(&path).expect("text")),
                );
            }
        }
    }
    found
}

fn did(
    action: Action,
    of: &Installation,
    target: &Target,
    choices: Choices,
) -> (Result<Exit, eudaemon::Error>, String) {
    let mut out = Vec::new();
    let done = perform(action, of, target, choices, &mut out);
    (done, String::from_utf8(out).expect("UTF-8"))
}

#[test]
fn a_dry_run_shows_all_and_does_nothing() {
    let place = Place::new("dry");
    let one = below(&place);
    for action in [
        Action::Install,
        Action::Remove,
        Action::Start,
        Action::Stop,
        Action::Reload,
        Action::Status,
    ] {
        let (done, told) = did(action, &one, &SYSTEMD, DRY);
        assert_eq!(done.expect("done"), Exit::Done);
        assert!(told.ends_with("# nothing was changed\n"), "{told}");
        assert!(all(&place.0).is_empty());
    }
    let (_, told) = did(Action::Install, &one, &SYSTEMD, DRY);
    assert!(
        told.contains(&format!(
            "# mode 0644\n--- /dev/null\n+++ {}/etc/systemd/system/hello.service\n@@ -0,0 +1,",
            place.0.display()
        )),
        "{told}"
    );
    assert!(
        told.contains("\n+ExecStart=/bin/true\n")
            && told.contains("\n+ListenStream=127.0.0.1:8080\n")
    );
    assert!(
        told.contains(
            "# not run below another root: systemctl enable hello.service hello-web.socket\n"
        ),
        "{told}"
    );
}

#[test]
fn what_is_installed_is_removed_without_a_trace() {
    let place = Place::new("there-and-back");
    let mut one = below(&place);
    one.user = Some("daemon".into());
    let scanned = Target::Daemontools {
        scan: "/service".into(),
        control: Control::Svc,
    };
    for target in [SYSTEMD, scanned, Target::OpenRc, Target::RcD] {
        fs::create_dir_all(place.path("etc/systemd/system/hello.service.d")).expect("a directory");
        fs::write(
            place.path("etc/systemd/system/hello.service.d/own.conf"),
            "[Service]\n",
        )
        .expect("a drop-in");
        let before = all(&place.0);
        did(Action::Install, &one, &target, SURE)
            .0
            .expect("installed");
        let installed = all(&place.0);
        assert_ne!(installed, before);
        assert!(!installed.keys().any(|name| name.contains("eudaemon-new")));
        let (done, told) = did(Action::Install, &one, &target, SURE);
        done.expect("installed again");
        assert!(told.contains("# unchanged: "), "{told}");
        assert_eq!(all(&place.0), installed);
        did(Action::Remove, &one, &target, SURE).0.expect("removed");
        let files = |all: BTreeMap<String, String>| {
            all.into_iter()
                .filter(|(_, what)| !what.ends_with('/'))
                .collect::<Vec<_>>()
        };
        assert_eq!(files(all(&place.0)), files(before));
    }
}

#[test]
fn removing_takes_no_user_and_names_what_stays() {
    let place = Place::new("no-user");
    let nobody = below(&place);
    let mut somebody = nobody.clone();
    somebody.user = Some("daemon".into());
    for control in [Control::Svc, Control::Sv, Control::Eudaemon] {
        let target = Target::Daemontools {
            scan: "/service".into(),
            control,
        };
        let refused = did(Action::Install, &nobody, &target, SURE).0;
        assert_eq!(
            refused.expect_err("it would stay root").exit(),
            Exit::Config
        );
        did(Action::Install, &somebody, &target, SURE)
            .0
            .expect("installed");
        let (_, told) = did(Action::Remove, &nobody, &target, DRY);
        assert!(!told.contains("stays"), "nobody wrote anything: {told}");
        for path in ["supervise", "log/supervise", "log/main"] {
            fs::create_dir_all(place.path("etc/sv/hello").join(path)).expect("a directory");
        }
        let (done, told) = did(Action::Remove, &nobody, &target, SURE);
        done.expect("removed");
        let home = place.path("etc/sv/hello");
        let home = home.display();
        let note = format!(
            "# note: what was written beside our files stays, and is yours to remove: \
             {home}/log/main, {home}/log/supervise, {home}/supervise\n"
        );
        assert!(told.contains(&note), "{told}");
        let left = all(&place.0);
        assert!(left.values().all(|what| what.ends_with('/')), "{left:?}");
        assert!(left.contains_key("etc/sv/hello/log/main"));
        fs::remove_dir_all(place.path("etc/sv/hello")).expect("our own");
    }
    for target in [Target::OpenRc, Target::RcD, Target::Launchd] {
        did(Action::Install, &somebody, &target, SURE)
            .0
            .expect("installed");
        did(Action::Remove, &nobody, &target, SURE)
            .0
            .expect("removed");
    }
}

#[test]
fn what_somebody_edited_is_left_alone() {
    let place = Place::new("edited");
    let mut one = below(&place);
    did(Action::Install, &one, &SYSTEMD, SURE)
        .0
        .expect("installed");
    let unit = place.path("etc/systemd/system/hello.service");
    // Another version of ours is replaced unasked.
    one.words = vec!["--more".into()];
    let (done, told) = did(Action::Install, &one, &SYSTEMD, SURE);
    done.expect("a newer version");
    assert!(
        told.contains("\n-ExecStart=/bin/true\n+ExecStart=/bin/true --more\n"),
        "{told}"
    );
    let ours = fs::read_to_string(&unit).expect("the unit");
    let edited = ours.replace("UMask=0027", "UMask=0077");
    fs::write(&unit, &edited).expect("an edit");
    let before = all(&place.0);
    for action in [Action::Install, Action::Remove] {
        let error = did(action, &one, &SYSTEMD, SURE)
            .0
            .expect_err("it was edited");
        assert_eq!(error.exit(), Exit::Config);
        assert!(
            error.to_string().contains("not as it was generated")
                && error.to_string().contains("hello.service"),
            "{error}"
        );
        assert_eq!(all(&place.0), before);
    }
    did(Action::Install, &one, &SYSTEMD, FORCED)
        .0
        .expect("forced");
    assert_eq!(fs::read_to_string(&unit).expect("the unit"), ours);
    // A masked unit was masked by somebody.
    fs::remove_file(&unit).expect("ours");
    symlink("/dev/null", &unit).expect("a link");
    let error = one
        .plan(&SYSTEMD)
        .expect("a plan")
        .apply(false)
        .expect_err("masked");
    assert!(matches!(error, InstallError::Changed(paths) if paths == [unit.clone()]));
    did(Action::Remove, &one, &SYSTEMD, FORCED)
        .0
        .expect("forced");
    assert!(fs::symlink_metadata(&unit).is_err());
}

/// A stand-in for `systemctl` that writes its words down, and ends as it is told to.
fn systemctl(place: &Place, script: &str) -> std::ffi::OsString {
    let bin = place.path("bin");
    fs::create_dir_all(&bin).expect("a directory");
    let path = bin.join("systemctl");
    fs::write(
        &path,
        format!(
            "#!/bin/sh\necho \"$*\" >>{}/words\n{script}\n",
            place.0.display()
        ),
    )
    .expect("a script");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
    bin.into_os_string()
}

/// A user's manager at a home of our own: there the programs are run.
fn at_home(place: &Place, script: &str) -> (Installation, Target) {
    let mut one = installation(Manifest::new("hello"));
    one.search = systemctl(place, script);
    fs::create_dir_all(place.path("home")).expect("a home");
    let target = Target::SystemdUser {
        version: Some(252),
        home: place.path("home"),
    };
    (one, target)
}

fn words(place: &Place) -> String {
    fs::read_to_string(place.path("words")).unwrap_or_default()
}

#[test]
fn a_failure_leaves_everything_as_it_was() {
    let place = Place::new("failing");
    let (one, target) = at_home(
        &place,
        "case $* in *enable*) echo no such thing >&2; exit 1;; esac",
    );
    let error = did(Action::Install, &one, &target, SURE)
        .0
        .expect_err("systemctl failed");
    assert_eq!(
        error.to_string(),
        "unable to install hello: systemctl --user enable hello.service ended with 1: no such thing"
    );
    assert!(
        all(&place.path("home")).is_empty(),
        "{:?}",
        all(&place.path("home"))
    );
    // It is told to look again once the files are gone.
    assert_eq!(
        words(&place),
        "--user daemon-reload\n--user enable hello.service\n--user daemon-reload\n"
    );

    // The same over an older version, which comes back.
    let (mut one, target) = at_home(&place, "");
    did(Action::Install, &one, &target, SURE)
        .0
        .expect("installed");
    let before = all(&place.path("home"));
    one.words = vec!["--newer".into()];
    one.search = systemctl(&place, "exit 3");
    did(Action::Install, &one, &target, SURE)
        .0
        .expect_err("systemctl failed");
    assert_eq!(all(&place.path("home")), before);
    // It failed, and so did the way back.
    let error = one
        .plan(&target)
        .expect("a plan")
        .apply(false)
        .expect_err("systemctl failed");
    assert!(matches!(error, InstallError::HalfDone { .. }), "{error}");

    // A program that is not there.
    one.search = place.path("empty").into_os_string();
    let error = did(Action::Install, &one, &target, SURE)
        .0
        .expect_err("no systemctl");
    assert_eq!(error.exit(), Exit::Unavailable);
    assert_eq!(all(&place.path("home")), before);

    // The second file cannot be written: the first is not there either.
    let place = Place::new("half");
    let one = below(&place);
    fs::create_dir_all(place.path("etc/systemd/system/.hello-web.socket.eudaemon-new/x"))
        .expect("in the way");
    let before = all(&place.0);
    let error = did(Action::Install, &one, &SYSTEMD, SURE)
        .0
        .expect_err("in the way");
    assert_eq!(error.exit(), Exit::CannotCreate, "{error}");
    assert_eq!(all(&place.0), before);
}

#[test]
fn a_status_is_that_of_the_lsb() {
    for (code, exit) in [
        (0, Exit::Done),
        (3, Exit::NotRunning),
        (4, Exit::Unknown),
        (1, Exit::Unknown),
    ] {
        let place = Place::new("status");
        let (one, target) = at_home(&place, &format!("echo it is so; exit {code}"));
        let (done, told) = did(Action::Status, &one, &target, SURE);
        assert_eq!(
            (done.expect("an answer"), told.as_str()),
            (exit, "it is so\n")
        );
        assert_eq!(
            words(&place),
            "--user status --no-pager --full hello.service\n"
        );
        let (done, _) = did(Action::Start, &one, &target, SURE);
        assert_eq!(done.is_ok(), code == 0);
    }
    assert_eq!([Exit::NotRunning.code(), Exit::Unknown.code()], [3, 4]);
}

#[test]
fn actions_and_targets_are_named_or_refused() {
    assert_eq!(
        "uninstall".parse::<Action>().expect("an action"),
        Action::Remove
    );
    for action in [
        Action::Install,
        Action::Remove,
        Action::Start,
        Action::Stop,
        Action::Status,
        Action::Reload,
    ] {
        assert_eq!(
            action.to_string().parse::<Action>().expect("an action"),
            action
        );
    }
    for word in ["", "Install", "re-start", "run"] {
        let error = word.parse::<Action>().expect_err("no action");
        assert_eq!(error.exit(), Exit::Usage);
        assert!(error.to_string().contains("uninstall"), "{error}");
    }
    let search = OsStr::new("/nowhere");
    let named = |name: &str| Target::named(name, search, Some(Path::new("/home/x")));
    assert_eq!(
        named("systemd:255").expect("a target"),
        Target::Systemd { version: Some(255) }
    );
    assert_eq!(
        named("systemd").expect("a target"),
        Target::Systemd { version: None }
    );
    let scanned = Target::Daemontools {
        scan: "/srv/sv".into(),
        control: Control::Sv,
    };
    assert_eq!(named("runit:/srv/sv").expect("a target"), scanned);
    for name in ["launchd", "openrc", "rc.d", "windows", "systemd-user"] {
        named(name).expect("a target");
    }
    for name in ["", "upstart", "systemd:new", "runit:sv", "launchd:1"] {
        let error = named(name).expect_err("no target");
        assert!(error.to_string().contains("openrc"), "{error}");
    }
}

#[test]
fn another_systems_files_are_only_written_below_another_root() {
    let place = Place::new("elsewhere");
    let mut one = installation(hello());
    one.user = Some("daemon".into());
    for target in [Target::Launchd, Target::RcD] {
        one.root = "/".into();
        for action in [Action::Install, Action::Remove, Action::Start] {
            let error = did(action, &one, &target, SURE).0.expect_err("not here");
            assert!(error.to_string().contains("below another root"), "{error}");
        }
        one.root = place.0.clone();
        did(Action::Install, &one, &target, SURE)
            .0
            .expect("written");
    }
    assert_eq!(
        all(&place.0)
            .values()
            .filter(|what| !what.ends_with('/'))
            .count(),
        2
    );
    for name in ["", "a b", "a.b", "../x", "-x", "a/b", &"x".repeat(101)] {
        assert!(
            matches!(
                installation(Manifest::new(name)).plan(&SYSTEMD),
                Err(InstallError::Name(_))
            ),
            "{name}"
        );
    }
}

/// A unit that every start refuses is not written.
#[test]
fn what_the_program_was_built_without_is_not_installed() {
    let code = |option: Option<(&str, &str)>| {
        let given = [
            ("do", "install"),
            ("target", "systemd:252"),
            ("dry-run", "true"),
        ];
        let args = given
            .into_iter()
            .chain(option)
            .try_fold(ServiceArgs::default(), |args, (name, value)| {
                args.set(name, value)
            })
            .expect("options");
        Builder::of(hello()).args(args).run(|_| {
            panic!("it is not started");
            #[allow(unreachable_code, reason = "what it would return")]
            Ok(|_: Running| Ok(()))
        })
    };
    let done = ExitCode::from(Exit::Done.code());
    let refused = ExitCode::from(Exit::Config.code());
    assert_eq!(code(None), done);
    for (option, value, is_built) in [
        ("sandbox", "best-effort", cfg!(feature = "sandbox")),
        (
            "debugserveraddr",
            "tcp:127.0.0.1:0",
            cfg!(feature = "debug-server"),
        ),
        (
            "cpuprofile",
            "/nowhere/cpu.pb.gz",
            cfg!(feature = "profile"),
        ),
    ] {
        let expected = if is_built { done } else { refused };
        assert_eq!(code(Some((option, value))), expected, "{option}");
    }
    // Neither is what no build understands or finds.
    assert_ne!(code(Some(("config", "/nowhere/hello.toml"))), done);
    assert_ne!(code(Some(("debugserveraddr", "nowhere"))), done);
}
