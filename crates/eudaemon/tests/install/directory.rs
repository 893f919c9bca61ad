//! A service directory under the scanners themselves: Debian's daemontools and runit, and ours where it was built
//! (`EUDAEMON_BIN`).

use super::words::each;
use super::{Place, hello, installation, need_file, output};
use eudaemon::install::{Action, Choices, Control, Installation, Target, perform};
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// How long a judge waits for what must happen.
const SOON: Duration = Duration::from_secs(60);

/// A scanner, and how its supervisors are ended.
struct Scanner<'a> {
    child: Child,
    place: &'a Place,
    path: OsString,
    exit: &'static [&'static str],
}

impl Drop for Scanner<'_> {
    fn drop(&mut self) {
        // The link first, so that no supervisor is started again.
        let _ = fs::remove_file(self.place.path("scan/hello"));
        let home = self.place.path("root/etc/sv/hello");
        let _ = Command::new(self.exit[0])
            .args(&self.exit[1..])
            .args([home.clone(), home.join("log")])
            .env("PATH", &self.path)
            .stderr(Stdio::null())
            .status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that is written into a FIFO until it is closed, or nothing in time.
fn heard(fifo: &Path) -> Option<Vec<u8>> {
    let (to, from) = mpsc::channel();
    let fifo = fifo.to_owned();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if fs::File::open(fifo)
            .and_then(|mut file| file.read_to_end(&mut bytes))
            .is_ok()
        {
            let _nobody_waits = to.send(bytes);
        }
    });
    from.recv_timeout(SOON).ok()
}

/// Installs it below the place, and starts a scanner that finds it.
fn scanned<'a>(
    place: &'a Place,
    one: &mut Installation,
    control: Control,
    scanner: &[&str],
    path: &str,
    exit: &'static [&'static str],
) -> Scanner<'a> {
    one.root = place.path("root");
    fs::create_dir(place.path("root")).expect("a root");
    let target = Target::Daemontools {
        scan: "/service".into(),
        control,
    };
    perform(
        Action::Install,
        one,
        &target,
        Choices::default(),
        &mut std::io::sink(),
    )
    .expect("installed");
    assert_eq!(
        fs::read_link(place.path("root/service/hello")).expect("a link"),
        Path::new("/etc/sv/hello")
    );

    // The link leads to the real root; here one leads to the place.
    fs::create_dir(place.path("scan")).expect("a directory");
    symlink(place.path("root/etc/sv/hello"), place.path("scan/hello")).expect("a link");
    let child = Command::new(scanner[0])
        .args(&scanner[1..])
        .arg(place.path("scan"))
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("a scanner");
    Scanner {
        child,
        place,
        path: path.into(),
        exit,
    }
}

fn runs_under(control: Control, scanner: &[&str], path: &str, exit: &'static [&'static str]) {
    let place = Place::new("scanned");
    let fifo = place.path("told");
    assert!(output(Command::new("mkfifo").arg(&fifo)).status.success());
    let program = place.path("a program's \"name\"");
    let ready = if control == Control::Eudaemon {
        "echo >&3 || exit 1\n"
    } else {
        ""
    };
    let script = format!(
        "#!/bin/sh\n{ready}{{ for word; do printf '%s\\0' \"$word\"; done; printf '%s\\0' \"$ODD\" \"$(umask)\"; }} >'{}'\necho it told\nexec sleep 1000000\n",
        fifo.display()
    );
    fs::write(&program, script).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("our own file");

    let mut one = installation(hello());
    one.program = program;
    one.user = Some("root".into());
    one.words = each();
    one.environment = vec![("ODD".into(), "it's \"$HOME\"\n\\".into())];
    let _scanner = scanned(&place, &mut one, control, scanner, path, exit);
    let bytes = heard(&fifo).expect("the service told its words");
    let mut expected = one.words.clone();
    expected.push("--service.uid=root".into());
    if control == Control::Eudaemon {
        expected.push("--service.notify-fd=3".into());
    }
    expected.extend(["it's \"$HOME\"\n\\".into(), "0027".into()]);
    let expected: Vec<u8> = expected
        .iter()
        .flat_map(|word| [word.as_bytes(), b"\0"].concat())
        .collect();
    assert!(
        bytes == expected,
        "{}\n{}",
        String::from_utf8_lossy(&bytes),
        String::from_utf8_lossy(&expected)
    );

    // Asked as an administrator would, by the manager's own program.
    one.search = path.into();
    let target = Target::Daemontools {
        scan: place.path("scan"),
        control,
    };
    let ask = |action| {
        let mut told = Vec::new();
        let done = perform(action, &one, &target, Choices::default(), &mut told);
        (
            done.unwrap_or_else(|error| panic!("{error}")).code(),
            String::from_utf8_lossy(&told).into_owned(),
        )
    };
    // A supervisor may write its status after the service it started has spoken (observed with runsv 2.1.2).
    let begun = std::time::Instant::now();
    while ask(Action::Status).0 != 0 {
        assert!(begun.elapsed() < SOON, "{}", ask(Action::Status).1);
    }
    // Each returns when it is so: the very next look sees it.
    for (action, status) in [
        (Action::Stop, 3),
        (Action::Stop, 3),
        (Action::Start, 0),
        (Action::Start, 0),
        (Action::Restart, 0),
        (Action::Stop, 3),
        (Action::Restart, 0),
    ] {
        assert_eq!(ask(action).0, 0, "{action}");
        let (mut code, mut told) = ask(Action::Status);
        // `sv` waits by itself, and may be satisfied by a moment (observed with runit 2.1.2: a restart, down right after it).
        let begun = std::time::Instant::now();
        while control == Control::Sv && code != status && begun.elapsed() < SOON {
            (code, told) = ask(Action::Status);
        }
        assert_eq!(code, status, "{action}: {told}");
    }
}

/// Our programs by their names; nothing when they were not built.
fn ours(place: &Place) -> Option<String> {
    let Some(binary) = std::env::var_os("EUDAEMON_BIN").map(PathBuf::from) else {
        eprintln!("SKIPPED: EUDAEMON_BIN names no binary of ours");
        assert!(
            std::env::var_os("EUDAEMON_REQUIRE").is_none(),
            "EUDAEMON_BIN is required"
        );
        return None;
    };
    let binary = binary.canonicalize().expect("EUDAEMON_BIN is there");
    for name in [
        "eudaemon",
        "svscan",
        "supervise",
        "svc",
        "svok",
        "svstat",
        "multilog",
    ] {
        symlink(&binary, place.path(name)).expect("a link");
    }
    Some(format!("{}:/usr/bin:/bin", place.0.display()))
}

/// A service that ends with 78 is not started again, and one that ends with 1 is.
fn ends_for_good(control: Control, scanner: &[&str], path: &str, exit: &'static [&'static str]) {
    let place = Place::new("final");
    let program = place.path("program");
    let starts = place.path("starts");
    let script = format!(
        "#!/bin/sh\necho x >>'{0}'\n[ \"$(wc -l <'{0}')\" -lt 2 ] && exit 1\nexit 78\n",
        starts.display()
    );
    fs::write(&program, script).expect("a script");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("our own file");
    let mut one = installation(hello());
    one.program = program;
    one.user = Some("root".into());
    let _scanner = scanned(&place, &mut one, control, scanner, path, exit);
    let lines = || {
        fs::read_to_string(&starts)
            .unwrap_or_default()
            .lines()
            .count()
    };
    let stat: &[&str] = if control == Control::Sv {
        &["sv", "status"]
    } else {
        &["eudaemon", "svstat"]
    };
    // Until it starts again it is wanted up.
    let begun = std::time::Instant::now();
    loop {
        let said = output(
            Command::new(stat[0])
                .args(&stat[1..])
                .arg(place.path("scan/hello"))
                .env("PATH", path),
        );
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let service = said.split(';').next().unwrap_or_default();
        if lines() >= 2 && service.contains("down") && !service.contains("want up") {
            break;
        }
        assert!(
            lines() <= 2 && begun.elapsed() < SOON,
            "{}: {said}",
            lines()
        );
    }
    assert_eq!(lines(), 2);
}

/// Programs of a manager that say and do what this script does.
fn stand_ins(place: &Place, names: &[&str], script: &str) {
    for name in names {
        let path = place.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
    }
}

#[test]
fn who_does_not_stop_in_time_is_told_of() {
    let place = Place::new("late");
    let mut one = installation(hello());
    one.manifest.stop_timeout = Duration::ZERO;
    one.search = place.0.clone().into();
    let asked = |action, control| {
        let scan = "/service".into();
        let target = Target::Daemontools { scan, control };
        let mut told = Vec::new();
        perform(action, &one, &target, Choices::default(), &mut told)
    };
    stand_ins(&place, &["svok", "svc"], "exit 0");
    stand_ins(&place, &["svstat"], "echo \"$1: up (pid 7) 9 seconds\"");
    asked(Action::Start, Control::Svc).expect("it is up");
    let begun = std::time::Instant::now();
    let error = asked(Action::Stop, Control::Svc).expect_err("it never stops");
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert_eq!(
        error.to_string(),
        "unable to stop hello: it still runs after 5s: /service/hello: up (pid 7) 9 seconds"
    );
    assert_eq!(error.exit(), eudaemon::Exit::Failed);
    // Here the manager's own client waits.
    one.manifest.stop_timeout = Duration::from_millis(1500);
    let told = place.path("told").display().to_string();
    stand_ins(&place, &["sv"], &format!("echo \"$*\" >>'{told}'"));
    let asked = |action| {
        let target = Target::Daemontools {
            scan: "/service".into(),
            control: Control::Sv,
        };
        perform(
            action,
            &one,
            &target,
            Choices::default(),
            &mut std::io::sink(),
        )
        .expect("told")
    };
    asked(Action::Start);
    asked(Action::Stop);
    asked(Action::Restart);
    assert_eq!(
        fs::read_to_string(told).expect("its words"),
        "-w 7 start /service/hello\n-w 7 stop /service/hello\n-w 7 restart /service/hello\n-w 7 start /service/hello\n"
    );
}

const HOST: &str = "/usr/bin:/usr/sbin:/bin:/sbin";

/// What daemontools cannot be told is told to the person.
#[test]
fn final_exit_codes_are_written_where_they_can_be() {
    let mut one = installation(hello());
    one.user = Some("daemon".into());
    for (control, line) in [
        (Control::Sv, Some("64|77|78) exec sv down . ;;\n")),
        (Control::Eudaemon, Some("64|77|78) exit 125 ;;\n")),
        (Control::Svc, None),
    ] {
        let scan = "/service".into();
        let plan = one
            .plan(&Target::Daemontools { scan, control })
            .expect("a plan");
        match line {
            Some(line) => assert!(super::text(&plan, "hello/finish").contains(line)),
            None => assert!(!plan.files().any(|file| file.path.ends_with("finish"))),
        }
        let mut notes = plan.notes().iter();
        let told = notes.any(|note| note.contains("64, 77, 78 too"));
        assert_eq!(told, line.is_none(), "{:?}", plan.notes());
    }
}

#[test]
fn it_runs_under_daemontools() {
    if need_file("/usr/bin/svscan") {
        runs_under(
            Control::Svc,
            &["/usr/bin/svscan"],
            HOST,
            &["/usr/bin/svc", "-dx"],
        );
    }
}

#[test]
fn it_runs_under_runit() {
    if need_file("/usr/bin/runsvdir") {
        runs_under(
            Control::Sv,
            &["/usr/bin/runsvdir"],
            HOST,
            &["/usr/bin/sv", "force-shutdown"],
        );
        ends_for_good(
            Control::Sv,
            &["/usr/bin/runsvdir"],
            HOST,
            &["/usr/bin/sv", "force-shutdown"],
        );
    }
}

#[test]
fn it_runs_under_our_own() {
    let place = Place::new("ours");
    if let Some(path) = ours(&place) {
        let svscan = place.path("svscan").display().to_string();
        runs_under(Control::Svc, &[&svscan], &path, &["svc", "-dx"]);
        runs_under(Control::Eudaemon, &[&svscan], &path, &["svc", "-dx"]);
        ends_for_good(Control::Eudaemon, &[&svscan], &path, &["svc", "-dx"]);
    }
}
