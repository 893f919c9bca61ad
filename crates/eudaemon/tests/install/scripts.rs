//! The files of the other managers, each read by what is nearest to its manager.

use super::words::{Dice, each, words};
use super::{Place, bytes, hello, installation, need, output, text};
use eudaemon::install::{Contents, Control, InstallError, Installation, Target};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// A program that prints its words, each with a NUL behind it.
fn teller(place: &Place, name: &str) -> PathBuf {
    let path = place.path(name);
    std::fs::write(
        &path,
        "#!/bin/sh\nfor word; do printf '%s\\0' \"$word\"; done\n",
    )
    .expect("a script");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("our own file");
    path
}

fn told(bytes: &[u8]) -> Vec<OsString> {
    let mut words: Vec<&[u8]> = bytes.split(|&byte| byte == 0).collect();
    assert_eq!(
        words.pop(),
        Some(&b""[..]),
        "{:?}",
        String::from_utf8_lossy(bytes)
    );
    words
        .into_iter()
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}

/// Every set of words through a script; `run` says how it is run.
fn round_trips(target: &Target, file: &str, run: impl Fn(&Place, &[u8]) -> Command) {
    let mut dice = Dice(11);
    for count in 0..12 {
        let place = Place::new("script");
        let mut one = installation(hello());
        one.program = teller(
            &place,
            ["plain", "with blank", "quo'te\"$x", "back\\slash=x"][count % 4],
        );
        one.user = Some("daemon".into());
        one.words = if count < 4 { each() } else { words(&mut dice) };
        one.environment = vec![("A".into(), words(&mut dice).pop().unwrap_or_default())];
        let plan = one.plan(target).expect("a plan");
        let script = bytes(&plan, file);
        let path = place.path("script");
        std::fs::write(&path, script).expect("a written script");
        let syntax = output(Command::new("/bin/sh").arg("-n").arg(&path));
        assert_eq!(String::from_utf8_lossy(&syntax.stderr), "");
        let said = output(&mut run(&place, script));
        let mut expected = one.words.clone();
        expected.push("--service.uid=daemon".into());
        let mut words = told(&said.stdout);
        words.retain(|word| !word.as_bytes().starts_with(b"--service.notify-fd="));
        assert_eq!(words, expected, "{}", String::from_utf8_lossy(&said.stderr));
    }
}

fn directory(control: Control) -> Target {
    Target::Daemontools {
        scan: "/service".into(),
        control,
    }
}

#[test]
fn run_passes_its_words() {
    for control in [Control::Svc, Control::Sv, Control::Eudaemon] {
        round_trips(&directory(control), "hello/run", |place, _| {
            let mut command = Command::new("/bin/sh");
            command.arg(place.path("script"));
            command
        });
    }
}

/// What `openrc-run` does with `command` and `command_args`. Source: openrc-run(8): the words are evaluated by the shell.
const OPENRC: &str = "
openrc_start() { eval exec $command $command_args; }
. \"$1\"
openrc_start
";

#[test]
fn openrc_passes_its_words() {
    round_trips(&Target::OpenRc, "hello", |place, _| {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", OPENRC, "openrc-run"])
            .arg(place.path("script"));
        command
    });
    let mut one = installation(hello());
    one.user = Some("daemon".into());
    one.manifest.reloads = true;
    let plan = one.plan(&Target::OpenRc).expect("a plan");
    let place = Place::new("openrc");
    std::fs::write(place.path("script"), bytes(&plan, "hello")).expect("a written script");
    let stub = "ebegin() { :; }; eend() { :; }; need() { echo need $*; }; use() { echo use $*; }; after() { echo after $*; }
supervise-daemon() { echo \"$@\"; }; RC_SVCNAME=hello; . \"$1\"; depend; reload; echo $name $supervisor $respawn_max $retry";
    // A name with `-` is no function in every shell; it is a program then.
    let stub = stub.replace("supervise-daemon() { echo \"$@\"; }; ", "");
    std::fs::write(place.path("supervise-daemon"), "#!/bin/sh\necho \"$@\"\n").expect("a script");
    std::fs::set_permissions(
        place.path("supervise-daemon"),
        std::fs::Permissions::from_mode(0o755),
    )
    .expect("ours");
    let path = format!("{}:/usr/bin:/bin", place.0.display());
    let said = output(
        Command::new("/bin/sh")
            .args(["-c", &stub, "stub"])
            .arg(place.path("script"))
            .env("PATH", path),
    );
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        "use logger dns\nafter firewall\nhello --signal HUP\nhello supervise-daemon 0 TERM/35/KILL/5\n",
        "{}",
        String::from_utf8_lossy(&said.stderr)
    );
}

/// What `rc.subr` does with `command` and `command_args`. Source: rc.subr(8): the line is evaluated. `daemon` itself is the
/// words behind its `--`.
const RC_SUBR: &str = "
daemon() { while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\"; }
load_rc_config() { :; }
run_rc_command() { command=daemon; eval \"$command $command_args\"; }
";

#[test]
fn rc_passes_its_words() {
    round_trips(&Target::RcD, "hello", |place, script| {
        let script = String::from_utf8_lossy(script);
        assert_eq!(script.matches("\n. /etc/rc.subr\n").count(), 1);
        let bytes = std::fs::read(place.path("script")).expect("the script");
        let line = b". /etc/rc.subr\n";
        let at = bytes
            .windows(line.len())
            .position(|part| part == line)
            .expect("the line");
        let stubbed = [&bytes[..at], RC_SUBR.as_bytes(), &bytes[at + line.len()..]].concat();
        std::fs::write(place.path("script"), stubbed).expect("a written script");
        let mut command = Command::new("/bin/sh");
        command.arg(place.path("script")).arg("start");
        command
    });
    let mut one = installation(eudaemon::Manifest::new("3-x"));
    one.user = Some("daemon".into());
    let plan = one.plan(&Target::RcD).expect("a plan");
    assert!(text(&plan, "3-x").contains("\nname=_3_x\nrcvar=_3_x_enable\n"));
}

#[test]
fn nothing_stays_root_unasked() {
    for target in [
        directory(Control::Svc),
        Target::Launchd,
        Target::OpenRc,
        Target::RcD,
    ] {
        let refused = installation(hello()).plan(&target);
        let error = refused.expect_err("nobody named a user").to_string();
        assert!(error.contains("stay root"), "{error}");
    }
    // The manifest's own user is one, and the program knows it.
    let mut manifest = hello();
    manifest.user = Some("daemon".into());
    let plan = installation(manifest)
        .plan(&directory(Control::Svc))
        .expect("a plan");
    assert!(text(&plan, "hello/run").ends_with("\nexec /bin/true\n"));
    for account in [
        "",
        "-x",
        "a b",
        "a%b",
        "a;b",
        "a/b",
        "\u{e9}",
        &"x".repeat(32),
    ] {
        let mut one = installation(hello());
        one.user = Some(account.into());
        assert!(
            one.plan(&Target::Systemd { version: Some(252) }).is_err(),
            "{account}"
        );
    }
}

#[test]
fn a_property_list_is_one() {
    let mut one = installation(hello());
    one.user = Some("daemon".into());
    one.words = vec![
        "a b".into(),
        "<&>\"'".into(),
        "100% $HOME \u{e9}\n\tx".into(),
        "".into(),
        "]]>--".into(),
    ];
    one.environment = vec![("A".into(), "<b>".into())];
    one.manifest.sockets = vec![
        ("web".into(), "[::]:80".into()),
        ("web".into(), "127.0.0.1:81".into()),
        ("ctl".into(), "/var/run/ctl".into()),
    ];
    let plan = one.plan(&Target::Launchd).expect("a plan");
    let list = text(&plan, "hello.plist");
    if need("python3") {
        let place = Place::new("plist");
        std::fs::write(place.path("p"), list).expect("a written list");
        let read = "import plistlib,json,sys; print(json.dumps(plistlib.load(open(sys.argv[1],'rb')), sort_keys=True))";
        let said = output(
            Command::new("python3")
                .args(["-c", read])
                .arg(place.path("p")),
        );
        let expected = concat!(
            r#"{"EnvironmentVariables": {"A": "<b>"}, "ExitTimeOut": 35, "KeepAlive": {"SuccessfulExit": false}, "Label": "hello", "#,
            r#""ProgramArguments": ["/bin/true", "a b", "<&>\"'", "100% $HOME \u00e9\n\tx", "", "]]>--", "--service.uid=daemon"], "RunAtLoad": true, "#,
            r#""Sockets": {"ctl": [{"SockPathMode": 432, "SockPathName": "/var/run/ctl", "SockType": "stream"}], "web": [{"SockServiceName": "80", "SockType": "stream"}, "#,
            r#"{"SockNodeName": "127.0.0.1", "SockServiceName": "81", "SockType": "stream"}]}, "StandardErrorPath": "/var/log/hello.log", "ThrottleInterval": 10, "Umask": 23, "#,
            r#""WorkingDirectory": "/"}"#,
        );
        assert_eq!(
            String::from_utf8_lossy(&said.stdout).trim_end(),
            expected,
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
    }
    for word in [&b"\xff"[..], b"\x01", b"\r", "\u{ffff}".as_bytes()] {
        one.words = vec![OsStr::from_bytes(word).to_owned()];
        assert!(
            matches!(
                one.plan(&Target::Launchd),
                Err(InstallError::Inexpressible { .. })
            ),
            "{word:?}"
        );
    }
    one.words.clear();
    one.manifest.sockets = vec![("x".into(), "unix:@x".into())];
    assert!(one.plan(&Target::Launchd).is_err());
}

/// What `CommandLineToArgvW` makes of a line, by its documented rules.
fn argv_of(line: &str) -> Vec<String> {
    let mut letters = line.chars().peekable();
    let mut words = Vec::new();
    // The first: to the next quote, without escapes.
    assert_eq!(letters.next(), Some('"'));
    words.push(
        letters
            .by_ref()
            .take_while(|letter| *letter != '"')
            .collect(),
    );
    loop {
        while letters.next_if_eq(&' ').is_some() {}
        if letters.peek().is_none() {
            return words;
        }
        let (mut word, mut quoted) = (String::new(), false);
        while let Some(letter) = letters.next_if(|letter| quoted || *letter != ' ') {
            match letter {
                '\\' => {
                    let mut count = 1;
                    while letters.next_if_eq(&'\\').is_some() {
                        count += 1;
                    }
                    if letters.peek() == Some(&'"') {
                        word.push_str(&"\\".repeat(count / 2));
                        if count % 2 == 1 {
                            letters.next();
                            word.push('"');
                        }
                    } else {
                        word.push_str(&"\\".repeat(count));
                    }
                }
                '"' => quoted = !quoted,
                other => word.push(other),
            }
        }
        words.push(word);
    }
}

fn image(of: &Installation) -> Result<String, InstallError> {
    let plan = of.plan(&Target::Windows)?;
    assert_eq!(plan.files().count(), 0);
    let create = plan.commands().next().expect("sc.exe create");
    let at = create
        .argv
        .iter()
        .position(|word| word == "binPath=")
        .expect("the image path");
    Ok(create.argv[at + 1].to_str().expect("Unicode").to_owned())
}

#[test]
fn an_image_path_is_read_as_it_was_meant() {
    let mut one = installation(hello());
    one.program = r"C:\Program Files\Web Co\web.exe".into();
    let mut dice = Dice(3);
    let mut said = 0;
    for _ in 0..3000 {
        one.words = words(&mut dice);
        match image(&one) {
            Ok(line) => {
                let expected: Vec<String> = one
                    .words
                    .iter()
                    .map(|word| word.to_str().expect("Unicode").to_owned())
                    .collect();
                let mut read = argv_of(&line);
                assert_eq!(read.remove(0), r"C:\Program Files\Web Co\web.exe", "{line}");
                assert_eq!(read, expected, "{line}");
                said += 1;
            }
            Err(error) => {
                let odd = |word: &OsString| match word.to_str() {
                    None => true,
                    Some(word) => {
                        word.contains(|letter: char| letter.is_control() || letter == '%')
                    }
                };
                assert!(one.words.iter().any(odd), "{error}");
            }
        }
    }
    assert!(said > 500, "{said}");
    one.words.clear();
    for program in [
        "web.exe",
        "/bin/true",
        r"C:web.exe",
        r"C:\%TEMP%\web.exe",
        "C:\\a\"b.exe",
        r"C:\dir\",
    ] {
        one.program = program.into();
        assert!(image(&one).is_err(), "{program}");
    }
    one.program = r"C:\web.exe".into();
    let plan = one.plan(&Target::Windows).expect("a plan");
    let lines: Vec<String> = plan
        .commands()
        .map(|command| format!("{:?}", command.argv))
        .collect();
    assert!(
        lines[0].contains(r#""obj=", "NT SERVICE\\hello""#),
        "{}",
        lines[0]
    );
    assert!(
        lines
            .iter()
            .any(|line| line.contains("PreshutdownTimeout") && line.contains("35000"))
    );
}

#[test]
fn a_service_directory_is_linked_last() {
    let mut one = installation(hello());
    one.user = Some("daemon".into());
    let plan = one.plan(&directory(Control::Eudaemon)).expect("a plan");
    let files: Vec<_> = plan
        .files()
        .map(|file| (file.path.to_str().unwrap_or_default(), file.mode))
        .collect();
    assert_eq!(
        files,
        [
            ("/etc/sv/hello/notification-fd", 0o644),
            ("/etc/sv/hello/timeout-kill", 0o644),
            ("/etc/sv/hello/finish", 0o755),
            ("/etc/sv/hello/log/run", 0o755),
            ("/etc/sv/hello/run", 0o755),
            ("/service/hello", 0o777),
        ]
    );
    let last = plan.files().last().expect("a link");
    assert_eq!(last.contents, Contents::Link("/etc/sv/hello".into()));
    let removal = one.removal(&directory(Control::Eudaemon)).expect("a plan");
    let first = removal.files().next().expect("a link");
    assert_eq!(first.path, last.path);
}
