use super::*;
use crate::Manifest;
use clap_builder::{Args, FromArgMatches};
use std::time::Duration;

fn command(words: &[&str]) -> Result<ServiceArgs, clap_builder::Error> {
    let command = ServiceArgs::augment_args(Command::new("web"));
    let words = ServiceArgs::words(words.iter().copied());
    ServiceArgs::from_arg_matches(&command.try_get_matches_from(words)?)
}

fn understood(words: &[&str], environment: &[(&str, &str)]) -> Result<Options> {
    let args = command(words).expect("it is understood as a command line");
    let from = Activation::made(1, environment.iter().copied());
    let layers = Layers::gather("no-such-service", &args, &from)?;
    Options::understand(&layers, &Manifest::new("no-such-service"))
}

#[test]
fn one_dash_and_two_are_the_same() {
    let one = command(&[
        "web",
        "-service.uid=nobody",
        "-service.daemon=1",
        "-service.gid",
        "x",
    ]);
    let two = command(&[
        "web",
        "--service.uid",
        "nobody",
        "--service.daemon=1",
        "--service.gid=x",
    ]);
    assert_eq!(one.expect("right"), two.expect("right"));
    assert_eq!(
        ServiceArgs::words(["web", "--", "-service.uid=x"]),
        ["web", "--", "-service.uid=x"]
    );
    assert!(command(&["web", "-service.nothing"]).is_err());
}

#[test]
fn words_for_a_unit_are_those_not_meant_for_this_once() {
    let words = [
        "web",
        "--listen",
        "x",
        "-service.do",
        "install",
        "--service.dry-run",
    ];
    let words = words.into_iter().chain([
        "--service.uid=nobody",
        "--service.log",
        "journal",
        "--",
        "-service.do",
    ]);
    let words: Vec<OsString> = words.map(OsString::from).collect();
    assert_eq!(
        ServiceArgs::without(&words, &["do", "dry-run", "uid"]),
        [
            "web",
            "--listen",
            "x",
            "--service.log",
            "journal",
            "--",
            "-service.do"
        ]
    );
}

#[test]
fn a_switch_needs_no_value_and_takes_one() {
    for (words, is) in [
        (&["web", "--service.daemon"][..], true),
        (&["web", "--service.daemon=yes"], true),
        (&["web", "--service.daemon=0"], false),
        (&["web"], false),
        (&["web", "--service.fork"], true),
    ] {
        assert_eq!(
            understood(words, &[]).expect("right").daemon,
            is,
            "{words:?}"
        );
    }
    assert!(understood(&["web", "--service.daemon=perhaps"], &[]).is_err());
}

#[test]
fn the_command_line_counts_before_the_environment() {
    let variable = "NO_SUCH_SERVICE_SERVICE_UID";
    let of = |words: &[&str]| understood(words, &[(variable, "daemon")]).expect("right");
    assert_eq!(of(&["web"]).user.as_deref(), Some("daemon"));
    assert_eq!(
        of(&["web"]).settings[0].source,
        Source::Environment(variable.into())
    );
    assert_eq!(
        of(&["web", "--service.uid", "nobody"]).user.as_deref(),
        Some("nobody")
    );
}

#[test]
fn a_unit_names_the_pid_file() {
    let of = |words: &[&str]| understood(words, &[("PIDFILE", "/run/unit.pid")]).expect("right");
    let path = |options: Options| options.pidfile.expect("there is one");
    assert_eq!(path(of(&["web"])), std::path::Path::new("/run/unit.pid"));
    assert_eq!(
        path(of(&["web", "--service.pidfile=/x"])),
        std::path::Path::new("/x")
    );
}

#[test]
fn the_manifest_counts_where_nobody_says_otherwise() {
    let mut manifest = Manifest::new("no-such-service");
    manifest.sandbox = SandboxMode::Require;
    manifest.stop_timeout = Duration::from_secs(7);
    let of = |words: &[&str]| {
        let args = command(words).expect("right");
        let from = Activation::made(1, [("HOME", "/dev/null")]);
        let layers = Layers::gather("no-such-service", &args, &from).expect("nothing to read");
        Options::understand(&layers, &manifest).expect("right")
    };
    let options = of(&["web"]);
    assert_eq!(options.sandbox, SandboxMode::Require);
    assert_eq!(options.stop_timeout, Duration::from_secs(7));
    assert_eq!(options.settings[0].source, Source::Manifest);
    let options = of(&["web", "--service.sandbox=off"]);
    assert_eq!(options.sandbox, SandboxMode::Off);
    assert_eq!(options.settings[0].source, Source::CommandLine);
}

#[test]
fn every_problem_is_told_at_once() {
    let error = understood(
        &[
            "web",
            "--service.umask=9",
            "--service.pidfile=web.pid",
            "--service.cpuprofile=cpu.pprof,99",
            "--service.stop-timeout=0",
        ],
        &[("NO_SUCH_SERVICE_SERVICE_NOTIFY_FD", "2")],
    )
    .expect_err("five times");
    assert_eq!(error.exit(), Exit::Config);
    let told = error.to_string();
    assert_eq!(told.lines().count(), 5, "{told}");
    for part in [
        "service.umask = \"9\" (command line): expected an octal number",
        "service.pidfile = \"web.pid\" (command line): expected an absolute path",
        // H14: it is opened after a change of directory.
        "service.cpuprofile = \"cpu.pprof,99\" (command line): expected an absolute path",
        "service.stop-timeout",
        "environment NO_SUCH_SERVICE_SERVICE_NOTIFY_FD",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn root_is_not_locked_in_and_no_group_alone() {
    assert!(understood(&["web", "--service.chroot=/srv"], &[]).is_err());
    assert!(understood(&["web", "--service.gid=daemon"], &[]).is_err());
    let of = |words: &[&str]| understood(words, &[]).expect("right").chroot;
    assert_eq!(of(&["web", "--service.chroot=/"]), None);
    assert!(of(&["web", "--service.chroot=/srv", "--service.uid=nobody"]).is_some());
}

#[test]
fn a_time_has_a_unit() {
    let of = |text: &str| typed::duration(text).ok();
    assert_eq!(of("30s"), Some(Duration::from_secs(30)));
    assert_eq!(of("30"), Some(Duration::from_secs(30)));
    assert_eq!(of("500ms"), Some(Duration::from_millis(500)));
    assert_eq!(of("2m"), Some(Duration::from_secs(120)));
    for text in [
        "",
        "0",
        "0ms",
        "s",
        "-1s",
        "1.5s",
        "1d",
        "99999999999999999999s",
        "9000h",
    ] {
        assert_eq!(of(text), None, "{text}");
    }
}

#[test]
fn every_option_is_understood_somewhere() {
    // A row that nothing reads would be parsed and ignored.
    let source = include_str!("typed.rs");
    for row in ROWS.iter().filter(|row| row.name != "config") {
        assert!(
            source.contains(&format!("\"{}\"", row.name)),
            "{}",
            row.name
        );
    }
}

/// The guide's table is this one. `EUDAEMON_BLESS=1` writes it there.
#[test]
fn the_guide_has_every_option() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/guide/options.md");
    let guide = std::fs::read_to_string(path).expect("the guide");
    let head = "| option | value | what it does |\n|---|---|---|\n";
    let (before, rest) = guide.split_once(head).expect("a table");
    let (shown, after) = rest.split_once("\n\n").expect("its end");
    let rows = ROWS.iter().map(|row| {
        let value = match row.kind {
            Kind::Switch => "yes or no".to_owned(),
            Kind::Once => "–".to_owned(),
            Kind::Value(name) => format!("`{name}`"),
        };
        format!("| `{}` | {value} | {} |", row.name, row.help)
    });
    let table = rows.collect::<Vec<_>>().join("\n");
    if std::env::var_os("EUDAEMON_BLESS").is_some() {
        let text = format!("{before}{head}{table}\n\n{after}");
        std::fs::write(path, text).expect("a written guide");
    } else {
        assert_eq!(shown, table);
    }
}

#[cfg(feature = "toml")]
mod file {
    use super::*;

    struct Scratch(std::path::PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path =
                std::env::temp_dir().join(format!("eud-options-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(path.join("web.conf.d")).expect("a scratch directory");
            Scratch(path)
        }
        fn write(&self, file: &str, text: &str) {
            std::fs::write(self.0.join(file), text).expect("our own directory");
        }
        fn understood(&self) -> Result<Options> {
            let path = self.0.join("web.toml");
            let args = ServiceArgs::default()
                .set("config", path)
                .expect("there is one");
            let layers = Layers::gather("web", &args, &Activation::default())?;
            Options::understand(&layers, &Manifest::new("web"))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_last_drop_in_counts_before_the_file() {
        let scratch = Scratch::new("layers");
        scratch.write(
            "web.toml",
            "[service]\nuid = 'a'\numask = 0o027\nkeep-caps = ['chown', 'kill']\n[web]\nx = 1\n",
        );
        scratch.write(
            "web.conf.d/10-a.toml",
            "[service]\nuid = 'b'\ndaemon = true\n",
        );
        scratch.write("web.conf.d/20-b.toml", "[service]\nuid = 'c'\n");
        scratch.write("web.conf.d/30-no", "not read");
        let options = scratch.understood().expect("right");
        assert_eq!(options.user.as_deref(), Some("c"));
        assert_eq!(options.umask, Some(0o027));
        assert!(options.daemon);
        assert_eq!(options.keep_caps, [Capability::Chown, Capability::Kill]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_file() {
        let scratch = Scratch::new("wrong");
        for (text, part) in [
            ("[service]\nuid = ", "web.toml"),
            ("[service]\nuidd = 'x'", "service.uidd is no option"),
            (
                "[service]\nexplain = true",
                "service.explain is no option that a file can set",
            ),
            ("service = 1", "must be a section"),
            ("[service]\nuid = 1.5", "must be a text"),
            ("[service]\numask = 'x'", "octal"),
        ] {
            scratch.write("web.toml", text);
            let error = scratch.understood().expect_err(text);
            assert!(error.to_string().contains(part), "{error}");
            assert_eq!(error.exit(), Exit::Config, "{text}");
        }
        std::fs::remove_file(scratch.0.join("web.toml")).expect("it was there");
        assert!(scratch.understood().is_err(), "asked for, and not there");
    }
    use crate::Capability;
}
