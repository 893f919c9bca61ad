//! What the public interface does not show.

use super::action::status;
use super::target::version_in;
use super::{Control, InstallError, Target};
use crate::Exit;
use std::fs;

#[test]
fn versions_are_read_as_systemd_tells_them() {
    for (text, version) in [
        ("systemd 252 (252.39-1~deb12u2)\n+PAM +AUDIT", Some(252)),
        ("systemd 262~devel", Some(262)),
        ("systemd 257.7", Some(257)),
        ("systemctl: not found", None),
        ("systemd", None),
        ("", None),
    ] {
        assert_eq!(version_in(text), version, "{text}");
    }
}

#[test]
fn a_manager_is_found_by_its_mark_or_not_at_all() {
    let root = std::env::temp_dir().join(format!("eudaemon-detect-{}", std::process::id()));
    let bin = root.join("bin");
    fs::create_dir_all(&bin).expect("a directory");
    let search = bin.as_os_str();
    let found = || Target::detect_below(&root, search);
    assert!(matches!(found(), Err(InstallError::NoManager)));
    let told = InstallError::NoManager.to_string();
    assert!(
        told.contains("--service.target") && told.contains("systemd, systemd-user, daemontools")
    );
    // A directory that nobody can scan is no mark.
    fs::create_dir_all(root.join("etc/service")).expect("a directory");
    assert!(matches!(found(), Err(InstallError::NoManager)));
    for (program, control) in [
        ("eudaemon", Control::Eudaemon),
        ("sv", Control::Sv),
        ("svc", Control::Svc),
    ] {
        fs::copy("/bin/true", bin.join(program)).expect("a program");
        let scan = "/etc/service".into();
        assert_eq!(
            found().expect("a scanner"),
            Target::Daemontools { scan, control }
        );
    }
    fs::create_dir_all(root.join("run/openrc")).expect("a directory");
    assert_eq!(found().expect("OpenRC"), Target::OpenRc);
    fs::create_dir_all(root.join("run/systemd/system")).expect("a directory");
    assert_eq!(found().expect("systemd"), Target::Systemd { version: None });
    fs::remove_dir_all(&root).expect("our own");
}

#[test]
fn each_managers_answer_has_one_meaning() {
    let scanned = |control| Target::Daemontools {
        scan: "/service".into(),
        control,
    };
    let (up, down, unknown) = (Exit::Done, Exit::NotRunning, Exit::Unknown);
    for (target, code, text, exit) in [
        (
            scanned(Control::Svc),
            0,
            "/service/x: up (pid 7) 3 seconds",
            up,
        ),
        (
            scanned(Control::Svc),
            0,
            "/service/x: down 3 seconds, normally up",
            down,
        ),
        (
            scanned(Control::Svc),
            0,
            "/service/x: supervise not running",
            unknown,
        ),
        (scanned(Control::Sv), 0, "run: x: (pid 7) 3s", up),
        (scanned(Control::Sv), 0, "down: x: 3s, normally up", down),
        (
            scanned(Control::Sv),
            1,
            "fail: x: unable to change to service directory",
            unknown,
        ),
        (Target::OpenRc, 0, "", up),
        (Target::OpenRc, 3, "", down),
        (Target::OpenRc, 32, "", down),
        (Target::OpenRc, 1, "", unknown),
        (Target::RcD, 1, "x is not running.", down),
        (Target::Launchd, 0, "\tstate = running", up),
        (Target::Launchd, 0, "\tstate = not running", down),
        (Target::Launchd, 113, "Could not find service", unknown),
        (
            Target::Windows,
            0,
            "        STATE              : 4  RUNNING",
            up,
        ),
        (
            Target::Windows,
            0,
            "        STATE              : 1  STOPPED",
            down,
        ),
        (Target::Windows, 1060, "", unknown),
    ] {
        assert_eq!(
            status(&target, Some(code), text),
            exit,
            "{target}: {code} {text}"
        );
    }
}
