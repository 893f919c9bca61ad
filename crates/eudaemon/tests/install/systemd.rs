//! Units, judged by `systemd-analyze`.

use super::words::{Dice, each, words};
use super::{Place, hello, installation, need, output, text};
use eudaemon::install::{Contents, InstallError, Installation, Plan, Target};
use eudaemon::needs::{Needs, Preset};
use eudaemon::{Capability, Manifest};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::Command;
use std::time::Duration;

const V252: Target = Target::Systemd { version: Some(252) };

fn plan(of: &Installation, version: u32) -> Plan {
    of.plan(&Target::Systemd {
        version: Some(version),
    })
    .expect("a plan")
}

/// Writes the units of all plans into one place; their paths.
fn written(place: &Place, plans: &[Plan]) -> Vec<OsString> {
    let mut paths = Vec::new();
    for file in plans.iter().flat_map(Plan::files) {
        let path = place.path(file.path.file_name().expect("a name"));
        let Contents::Bytes(bytes) = &file.contents else {
            panic!("a unit is no link");
        };
        std::fs::write(&path, bytes).expect("a written unit");
        paths.push(path.into_os_string());
    }
    paths
}

/// systemd keeps it, and what its sockets lie in.
#[test]
fn a_service_that_stores_its_sockets_is_kept_for() {
    let unit = |manifest: Manifest, version| {
        let plan = plan(&installation(manifest), version);
        let unit = text(&plan, "web.service").to_owned();
        assert!(
            plan.notes().iter().all(|note| !note.contains("Store")),
            "{:?}",
            plan.notes()
        );
        unit
    };
    let mut web = Manifest::new("web").storing();
    web.runtime = true;
    let kept = [
        "FileDescriptorStoreMax=128\n",
        "RuntimeDirectoryPreserve=restart\n",
    ];
    for version in [239, 252, 254] {
        let unit = unit(web.clone(), version);
        assert!(kept.iter().all(|line| unit.contains(line)), "{unit}");
        let is_said = unit.contains("FileDescriptorStorePreserve=restart\n");
        assert_eq!(is_said, version >= 254, "{unit}");
    }
    web.storing = false;
    let plain = unit(web, 254);
    assert!(
        !plain.contains("Store") && !plain.contains("Preserve"),
        "{plain}"
    );
}

/// What `systemd-analyze verify` has to say.
fn complaints(plans: &[Plan]) -> String {
    let place = Place::new("verify");
    let units = written(&place, plans);
    let said = output(
        Command::new("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .args(units)
            .env("SYSTEMD_LOG_LEVEL", "info")
            .env("SYSTEMD_LOG_TARGET", "console"),
    );
    let told = String::from_utf8_lossy(&said.stderr).into_owned();
    format!(
        "{told}{}",
        if said.status.success() {
            ""
        } else {
            "it failed"
        }
    )
}

/// The number of `systemd-analyze security`.
fn exposure(unit: &[u8]) -> f64 {
    let place = Place::new("security");
    let path = place.path("hello.service");
    std::fs::write(&path, unit).expect("a written unit");
    let said = output(
        Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(&path),
    );
    let told = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = told
        .lines()
        .find(|line| line.contains("Overall exposure level"))
        .unwrap_or_else(|| panic!("{told}"));
    let number = line
        .rsplit(": ")
        .next()
        .and_then(|rest| rest.split(' ').next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

fn everything() -> Manifest {
    let mut manifest = Manifest::new("all-of_it");
    manifest.title = "100% of it, \"quoted\"\\".to_owned();
    manifest.description = "Line one\nExecStartPre=/bin/false\n50% done \\".to_owned();
    manifest.documentation = Some("https://example.org/a%20b".to_owned());
    manifest.needs = Needs::new()
        .read("/etc/hello world")
        .read("/var/lib/data/fixed")
        .write("/var/lib/data")
        .write("/var/lib/all-of_it/db")
        .write("/home/x/100%")
        .read("/root/secret")
        .read("/srv/www")
        .write("/dev/ttyS0")
        .execute("/usr/bin/git")
        .bind_tcp(80)
        .bind_udp(5353)
        .connect_any()
        .unix_sockets()
        .capability(Capability::NetAdmin)
        .system_calls(Preset::NetworkServer)
        .limit(
            eudaemon_core::limits::Resource::OpenFiles,
            eudaemon_core::limits::Limit {
                soft: 1024,
                hard: eudaemon_core::limits::Limit::NONE,
            },
        )
        .writable_code();
    manifest.user = Some("www-data".to_owned());
    manifest.reloads = true;
    manifest.watchdog = Some(Duration::from_millis(1500));
    manifest.sockets = vec![
        ("web".into(), "[::]:443".into()),
        ("web".into(), "tcp:127.0.0.1:8443".into()),
        ("control it".into(), "unix:/run/all-of_it/control%n".into()),
        ("all-of_it".into(), "udp:0.0.0.0:53".into()),
        ("a@b/c".into(), "seqpacket:@abstract".into()),
        ("v".into(), "vsock::77".into()),
    ];
    (
        manifest.state,
        manifest.runtime,
        manifest.cache,
        manifest.logs,
    ) = (true, true, true, true);
    manifest
}

#[test]
fn a_hardened_unit_scores_as_one() {
    if !need("systemd-analyze") {
        return;
    }
    let bare = b"[Service]\nExecStart=/bin/true\n";
    assert!(exposure(bare) > 9.0, "the judge knows a bare unit");
    let hello = plan(&installation(hello()), 252);
    let score = exposure(super::bytes(&hello, "hello.service"));
    assert!(score <= 2.0, "{score}\n{}", text(&hello, "hello.service"));
    let mut strict = super::hello();
    strict.needs = strict.needs.system_calls(Preset::NetworkServer);
    let score = exposure(super::bytes(
        &plan(&installation(strict), 252),
        "hello.service",
    ));
    assert!(score <= 1.5, "{score}");
    let mut alone = Manifest::new("hello");
    alone.needs = Needs::new().system_calls(Preset::Service);
    let score = exposure(super::bytes(
        &plan(&installation(alone), 252),
        "hello.service",
    ));
    assert!(score <= 1.0, "without a network: {score}");
}

#[test]
fn systemd_has_nothing_to_say_about_our_units() {
    if !need("systemd-analyze") {
        return;
    }
    // The judge says something when there is something.
    let mut broken = installation(hello());
    broken.program = "/nowhere/hello".into();
    assert!(complaints(&[plan(&broken, 252)]).contains("not executable"));

    let mut plans = Vec::new();
    for version in [239, 245, 252] {
        plans.clear();
        let mut all = installation(everything());
        all.group = Some("daemon".into());
        all.descriptor_store = Some(64);
        all.environment = vec![
            ("PLAIN".into(), "value".into()),
            (
                "ODD".into(),
                "a \"b\" 'c' \\ %n $HOME ; \t \n \u{e9}".into(),
            ),
            ("EMPTY".into(), "".into()),
        ];
        plans.push(plan(&all, version));
        plans.push(plan(&installation(hello()), version));
        assert_eq!(
            complaints(&plans),
            "",
            "for {version}:\n{}",
            text(&plans[0], "all-of_it.service")
        );
    }

    // Random words, and programs with random names; every one must be a program that is there.
    let place = Place::new("programs");
    let mut dice = Dice(7);
    plans.clear();
    for count in 0..60 {
        let mut one = installation(Manifest::new(format!("random-{count}")));
        one.words = if count == 0 { each() } else { words(&mut dice) };
        plans.push(plan(&one, 252));
    }
    for (count, name) in each().into_iter().enumerate() {
        if name.is_empty() || name.as_bytes().contains(&b'/') || name.as_bytes() == b"." {
            continue;
        }
        let path = place.path(name);
        std::fs::copy("/bin/true", &path).expect("a program");
        let mut one = installation(Manifest::new(format!("named-{count}")));
        one.program = path;
        // A path that the unit's lists of paths cannot say is refused, not approximated.
        match one.plan(&V252) {
            Ok(plan) => plans.push(plan),
            Err(error) => assert!(
                matches!(error, InstallError::Inexpressible { .. }),
                "{error}"
            ),
        }
    }
    assert!(plans.len() > 100, "{}", plans.len());
    assert_eq!(complaints(&plans), "");
}

#[test]
fn what_a_version_does_not_know_is_left_out_and_told() {
    let hello = installation(everything());
    let old = plan(&hello, 239);
    let unit = text(&old, "all-of_it.service");
    for newer in [
        "ProtectClock",
        "ProtectHostname",
        "ProtectProc",
        "SocketBindDeny",
        "RestartSteps",
        "PrivateIPC",
    ] {
        assert!(!unit.contains(newer), "{newer}");
    }
    assert!(
        old.notes()
            .iter()
            .any(|note| note.contains("PrivateIPC=, which systemd knows since 248"))
    );
    // The dangerous one: 252 takes an unknown type for `simple`.
    assert!(text(&plan(&hello, 252), "all-of_it.service").contains("\nType=notify\n"));
    assert!(
        text(&plan(&hello, 252), "all-of_it.service")
            .contains("\nExecReload=/bin/kill -HUP $MAINPID\n")
    );
    let new = plan(&hello, 254);
    assert!(text(&new, "all-of_it.service").contains("\nType=notify-reload\n"));
    assert!(text(&new, "all-of_it.service").contains("\nRestartSteps=8\n"));
    assert!(!text(&new, "all-of_it.service").contains("ExecReload"));
    let too_old = hello.plan(&Target::Systemd { version: Some(238) });
    assert!(matches!(too_old, Err(InstallError::Inexpressible { .. })));
    let unknown = hello
        .plan(&Target::Systemd { version: None })
        .expect("a plan");
    assert_eq!(bytes_of(&unknown), bytes_of(&old));
    assert!(unknown.notes()[0].contains("version of systemd is not known"));
}

fn bytes_of(plan: &Plan) -> &[u8] {
    super::bytes(plan, "all-of_it.service")
}

#[test]
fn needs_become_directives() {
    let all = plan(&installation(everything()), 252);
    let unit = text(&all, "all-of_it.service");
    let has = |line: &str| assert!(unit.lines().any(|known| known == line), "{line}\n{unit}");
    let has_not = |name: &str| assert!(!unit.contains(&format!("\n{name}=")), "{name}\n{unit}");
    has("User=www-data");
    has_not("DynamicUser");
    has("Description=Line one ExecStartPre=/bin/false 50%% done");
    has("CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE");
    has("AmbientCapabilities=CAP_NET_ADMIN CAP_NET_BIND_SERVICE");
    has_not("PrivateUsers");
    has_not("PrivateDevices");
    has("DeviceAllow=/dev/ttyS0 rw");
    has("ProtectHome=tmpfs");
    has("BindPaths=/home/x/100%%");
    has("BindReadOnlyPaths=/root/secret");
    has("ReadWritePaths=/var/lib/data");
    has("ReadOnlyPaths=/var/lib/data/fixed");
    has("InaccessiblePaths=-/boot -/efi -/media -/mnt");
    has("StateDirectory=all-of_it");
    has("LimitNOFILE=1024:infinity");
    has("WatchdogSec=1500ms");
    has("TimeoutStopSec=35s");
    has("RestartPreventExitStatus=64 77 78");
    has("RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX AF_VSOCK");
    has("SystemCallFilter=@system-service");
    has("SystemCallFilter=capset setrlimit prlimit64");
    has_not("MemoryDenyWriteExecute");
    has_not("SocketBindDeny");
    has_not("IPAddressDeny");
    let socket = text(&all, "all-of_it-web.socket");
    assert!(socket.contains("\nListenStream=443\nListenStream=127.0.0.1:8443\nFileDescriptorName=web\nService=all-of_it.service\nNoDelay=yes\n"), "{socket}");
    let socket = text(&all, "all-of_it-control\\x20it.socket");
    assert!(
        socket
            .contains("\nListenStream=/run/all-of_it/control%%n\nFileDescriptorName=control it\n"),
        "{socket}"
    );
    text(&all, "all-of_it.socket");
    text(&all, "all-of_it-a\\x40b-c.socket");

    let mut small = hello();
    small.sockets = vec![("web".into(), "127.0.0.1:8080".into())];
    let small = plan(&installation(small), 252);
    let unit = text(&small, "hello.service");
    let has = |line: &str| assert!(unit.lines().any(|known| known == line), "{line}\n{unit}");
    has("DynamicUser=yes");
    has("CapabilityBoundingSet=");
    has("PrivateUsers=yes");
    has("SocketBindDeny=any");
    has("SocketBindAllow=tcp:8080");
    has("IPAddressDeny=any");
    has("IPAddressAllow=localhost");
    assert!(!unit.contains("PrivateNetwork"));
}

/// A server that never said what it needs would start, and could not listen.
#[test]
fn who_names_no_needs_keeps_the_network() {
    let mut silent = Manifest::new("hello");
    let network = [
        "PrivateNetwork=",
        "RestrictAddressFamilies=",
        "SocketBind",
        "IPAddress",
    ];
    let told = |plan: &Plan| {
        let mut notes = plan.notes().iter();
        notes.any(|note| note.contains("names no needs: the network is not restricted"))
    };
    for sockets in [Vec::new(), vec![("web".into(), "127.0.0.1:8080".into())]] {
        silent.sockets = sockets;
        let plan = plan(&installation(silent.clone()), 252);
        let unit = text(&plan, "hello.service");
        for directive in network {
            assert!(!unit.contains(directive), "{directive}\n{unit}");
        }
        assert!(unit.contains("\nProtectSystem=strict\n"), "{unit}");
        assert!(told(&plan), "{:?}", plan.notes());
    }
    // One need said, and what is not said is not needed.
    let mut frugal = Manifest::new("hello");
    frugal.needs = Needs::new().read("/etc/hello");
    let plan = plan(&installation(frugal), 252);
    let unit = text(&plan, "hello.service");
    for line in [
        "PrivateNetwork=yes",
        "RestrictAddressFamilies=AF_UNIX",
        "SocketBindDeny=any",
        "IPAddressDeny=any",
    ] {
        assert!(unit.lines().any(|known| known == line), "{line}\n{unit}");
    }
    assert!(!told(&plan));
}

/// Our escapes in names are those of systemd's own tool.
#[test]
fn names_are_escaped_as_systemd_does() {
    if !need("systemd-escape") {
        return;
    }
    for name in [
        "web", "a b", "a/b", "a-b", "x!y", "p%q", "t~u", "v\\w", "dots.v2", "q\"'q",
    ] {
        let mut manifest = hello();
        manifest.sockets = vec![(name.into(), "127.0.0.1:8080".into())];
        let plan = plan(&installation(manifest), 252);
        let ours = plan
            .files()
            .nth(1)
            .and_then(|file| file.path.file_name())
            .expect("a socket");
        let theirs = output(
            Command::new("systemd-escape")
                .arg("--mangle")
                .arg(format!("hello-{name}.socket")),
        );
        let theirs = theirs.stdout.strip_suffix(b"\n").expect("a line").to_vec();
        // What is escaped already is not escaped again by theirs.
        if name.contains('\\') {
            assert_eq!(ours, "hello-v\\x5cw.socket");
        } else {
            assert_eq!(ours, OsStr::from_bytes(&theirs), "{name}");
        }
    }
}

/// The unit that the guide shows is the one that is generated. `EUDAEMON_BLESS=1` writes it into the guide.
#[test]
fn the_guide_shows_the_unit_that_is_generated() {
    let mut manifest = Manifest::new("hello");
    manifest.description = "Says hello to whoever connects".into();
    manifest.needs = Needs::new()
        .bind_tcp(8080)
        .system_calls(Preset::NetworkServer);
    let plan = plan(&Installation::new(manifest, "/usr/local/bin/hello"), 252);
    let unit = text(&plan, "hello.service");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/guide/install.md");
    let guide = std::fs::read_to_string(path).expect("the guide");
    let (before, rest) = guide.split_once("```ini\n").expect("the unit");
    let (shown, after) = rest.split_once("```\n").expect("its end");
    if std::env::var_os("EUDAEMON_BLESS").is_some() {
        std::fs::write(path, format!("{before}```ini\n{unit}```\n{after}"))
            .expect("a written guide");
    } else {
        assert_eq!(shown, unit);
    }
    if !need("systemd-analyze") {
        return;
    }
    // Other versions count differently.
    let version = output(Command::new("systemd-analyze").arg("--version"));
    if version.stdout.starts_with(b"systemd 252 ") {
        let score = exposure(unit.as_bytes());
        assert!(guide.contains(&format!("gives it {score:.1}:")), "{score}");
    }
}
