//! The example `hello`, the smallest daemon of the library: one binary from a shell, out of the shell's sight, under our
//! supervisor, and as a unit of the real systemd.

use eudaemon_lab::pid1::{self, Pid1};
use eudaemon_lab::{Exit, Running, SOON, Signal, Subject, World, bins, example, need_root, until};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

/// A port nobody has at this moment.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its number").port()
}

/// What it answers, if it does.
fn get(port: u16) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut said = String::new();
    stream.read_to_string(&mut said).ok()?;
    Some(said.rsplit("\r\n\r\n").next()?.to_owned())
}

fn greets(port: u16) -> bool {
    get(port).as_deref() == Some("hello\n")
}

/// Starts it in a world, with these words besides its port.
fn start(world: &World, port: u16, words: &[&str]) -> Running {
    let address = format!("127.0.0.1:{port}");
    let words = [&["--listen", &address], words].concat();
    let null = fs::File::open("/dev/null").expect("/dev/null");
    world.start_on(&example("hello"), &words, null.into())
}

fn status_of(pid: i32, field: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn from_a_shell_it_stays_and_stops_when_it_is_told_to() {
    if !need_root() {
        return;
    }
    let world = World::new("hello-shell");
    let port = free_port();
    let hello = start(&world, port, &["--service.uid", "nobody"]);
    assert!(until(SOON, || greets(port)), "{}", hello.err());
    assert_eq!(status_of(hello.pid, "Uid:"), "65534 65534 65534 65534");
    assert!(world.signal(hello.pid, Signal::HUP));
    assert!(greets(port), "{}", hello.err());
    assert!(world.signal(hello.pid, Signal::TERM));
    assert_eq!(hello.exit(SOON), Some(Exit::Code(0)), "{}", hello.err());
    assert!(get(port).is_none());
}

#[test]
fn root_is_refused_with_a_code_that_says_so() {
    if !need_root() {
        return;
    }
    let world = World::new("hello-root");
    let hello = start(
        &world,
        free_port(),
        &["--service.uid", "nobody-of-that-name"],
    );
    assert_eq!(hello.exit(SOON), Some(Exit::Code(78)), "{}", hello.err());
    assert!(
        hello.err().contains("nobody-of-that-name"),
        "{}",
        hello.err()
    );
}

#[test]
fn out_of_sight_it_is_ready_when_the_shell_goes_on() {
    if !need_root() {
        return;
    }
    let world = World::new("hello-daemon");
    let port = free_port();
    fs::create_dir(world.path("root")).expect("a directory");
    let (root, pidfile) = (world.path("root"), world.path("hello.pid"));
    let words = [
        "--service.daemon",
        "--service.uid",
        "nobody",
        "--service.pidfile",
        pidfile.to_str().expect("UTF-8"),
        "--service.chroot",
        root.to_str().expect("UTF-8"),
    ];
    let shell = start(&world, port, &words);
    assert_eq!(shell.exit(SOON), Some(Exit::Code(0)), "{}", shell.err());
    // At once: not one refused connection is allowed after the shell goes on.
    assert!(greets(port), "{}", shell.err());
    let pid: i32 = world.read("hello.pid").trim().parse().expect("a pid");
    assert_ne!(pid, shell.pid);
    assert_eq!(status_of(pid, "Uid:"), "65534 65534 65534 65534");
    assert_eq!(status_of(pid, "CapEff:"), "0000000000000000");
    let its_root = fs::read_link(format!("/proc/{pid}/root")).expect("its root");
    assert_eq!(its_root, fs::canonicalize(&root).expect("a path"));

    // The file is held: a second one is told whose it is, and does not disturb the first.
    let second = start(&world, free_port(), &words);
    assert!(matches!(second.exit(SOON), Some(Exit::Code(1..))));
    assert!(second.err().contains(&pid.to_string()), "{}", second.err());
    assert!(greets(port));

    assert!(world.signal(pid, Signal::TERM));
    assert!(until(SOON, || !Path::new(&format!("/proc/{pid}")).exists()));
    // Locked in, it cannot remove the file, and leaves no number in it.
    assert_eq!(world.read("hello.pid"), "");
}

#[test]
fn an_address_in_use_is_told_to_the_shell() {
    if !need_root() {
        return;
    }
    let world = World::new("hello-in-use");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("its number").port();
    let shell = start(
        &world,
        port,
        &["--service.daemon", "--service.uid", "nobody"],
    );
    assert_eq!(shell.exit(SOON), Some(Exit::Code(69)), "{}", shell.err());
    let why = format!("unable to listen at 127.0.0.1:{port}");
    assert!(shell.err().contains(&why), "{}", shell.err());
    assert!(until(SOON, || world.processes().is_empty()));
}

#[test]
fn a_supervisor_that_says_nothing_is_not_left() {
    for subject in [Subject::Djb, Subject::Ours] {
        let Some(bin) = bins(subject).filter(|_| need_root()) else {
            continue;
        };
        let world = World::new("hello-kept");
        let port = free_port();
        let run = format!(
            "exec {} --listen 127.0.0.1:{port} --service.daemon 2>&1",
            example("hello").display()
        );
        world.script("hello/run", &run);
        let supervise = world.start(bin, &["supervise", "hello"]);
        assert!(until(SOON, || greets(port)), "{}", supervise.out());
        // The one that serves is the one that is kept.
        let said = world.run(bin, &["svstat", "hello"]).out;
        let pid = world.named("hello");
        assert_eq!(pid.len(), 1, "{said}");
        assert!(
            said.contains(&format!("(pid {})", pid[0])),
            "{said} {pid:?}"
        );
        assert_eq!(world.run(bin, &["svc", "-dx", "hello"]).code, 0);
        assert_eq!(supervise.exit(SOON), Some(Exit::Code(0)));
        assert!(get(port).is_none());
    }
}

#[test]
fn our_supervisor_keeps_it() {
    let Some(ours) = bins(Subject::Ours).filter(|_| need_root()) else {
        return;
    };
    let world = World::new("hello-ours");
    let port = free_port();
    let run = format!(
        "exec {} --listen 127.0.0.1:{port} --service.uid nobody --service.notify-fd 3 2>&1",
        example("hello").display()
    );
    world.script("hello/run", &run);
    world.write("hello/notification-fd", "3\n");
    let supervise = world.start(ours, &["supervise", "hello"]);
    let said = || world.run(ours, &["svstat", "hello"]).out;
    assert!(until(SOON, || greets(port)), "{}", supervise.out());
    assert!(until(SOON, || said().contains("up (pid")), "{}", said());
    let ready = || {
        world
            .read("hello/supervise/state")
            .contains("\"ready\":true")
    };
    assert!(until(SOON, ready), "{}", supervise.out());
    let first = world.named("hello");
    assert_eq!(first.len(), 1);
    assert_eq!(world.run(ours, &["svc", "-h", "hello"]).code, 0);
    assert!(greets(port));
    assert_eq!(world.named("hello"), first);
    assert_eq!(world.run(ours, &["svc", "-t", "hello"]).code, 0);
    assert!(until(SOON, || world.named("hello").len() == 1
        && world.named("hello") != first
        && greets(port)));
    assert_eq!(world.run(ours, &["svc", "-dx", "hello"]).code, 0);
    assert_eq!(supervise.exit(SOON), Some(Exit::Code(0)));
    assert!(get(port).is_none());
}

/// What a judge of the unit may say besides: `get PATH`, at most a second.
const GET: &str = r#"
get() {
  local fd
  exec {fd}<>/dev/tcp/127.0.0.1/7010 || return
  printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&"$fd"
  timeout 20 tail -n 1 <&"$fd"
  exec {fd}>&-
}
greets() { [ "$(get / 2>/dev/null)" = hello ]; }
set -e
"#;

/// A machine with `hello.service` as `Type=notify` with a watchdog, with these settings and words besides.
fn unit(settings: &str, words: &str) -> Option<Pid1> {
    if !pid1::need() {
        return None;
    }
    let machine = Pid1::new();
    machine.copy(&example("hello"), "hello");
    let unit = format!(
        "[Service]\nType=notify\nExecStart={} --listen 127.0.0.1:7010 {words}\nExecReload=/bin/kill -HUP $MAINPID\n\
         WatchdogSec=2\nRestart=on-watchdog\nRestartSec=0\n{settings}\n",
        machine.path("hello").display()
    );
    machine.unit("hello.service", &unit);
    Some(machine)
}

fn seen(machine: &Pid1, commands: &str) -> String {
    let seen = machine.judge(&format!("{GET}\n{commands}"));
    assert_eq!(seen.code, 0, "{seen:?}");
    seen.out
}

#[test]
fn a_unit_is_ready_says_what_it_does_reloads_and_stops() {
    let Some(machine) = unit("", "--service.uid nobody") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start hello; show hello ActiveState; show hello StatusText; get /
        pid=$(show hello MainPID); ps -o user= -p $pid
        systemctl reload hello; soon is hello ActiveState active; get /; is hello MainPID $pid
        at=$(show hello WatchdogTimestampMonotonic)
        fed() { [ \"$(show hello WatchdogTimestampMonotonic)\" -gt $((at + 3000000)) ]; }
        soon fed; show hello NRestarts
        systemctl stop hello; show hello ActiveState; show hello Result; show hello ExecMainStatus",
    );
    assert_eq!(
        said,
        "active\nserving 127.0.0.1:7010\nhello\nnobody\nhello\n0\ninactive\nsuccess\n0\n"
    );
}

#[test]
fn a_unit_that_hangs_is_killed_and_comes_back() {
    let Some(machine) = unit("", "--service.uid nobody") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start hello; first=$(show hello MainPID); get /hang || :
        soon is hello NRestarts 1; soon greets; [ $(show hello MainPID) != $first ]; show hello ActiveState
        journalctl --sync; journalctl -u hello -o cat | grep -o 'Failed with result .*'",
    );
    assert_eq!(said, "active\nFailed with result 'watchdog'.\n");
}

#[test]
fn a_unit_whose_manager_did_the_work_needs_no_options() {
    // The manager opens the socket and is no root in the first place.
    let Some(machine) = unit(
        "User=nobody\nNoNewPrivileges=yes\nCapabilityBoundingSet=",
        "",
    ) else {
        return;
    };
    let socket = "[Socket]\nListenStream=127.0.0.1:7010\nFileDescriptorName=hello\n";
    machine.unit("hello.socket", socket);
    let said = seen(
        &machine,
        "systemctl start hello.socket; show hello ActiveState; get /; show hello ActiveState; show hello StatusText
        systemctl restart hello; get /; systemctl stop hello.socket hello; show hello Result",
    );
    assert_eq!(
        said,
        "inactive\nhello\nactive\nserving 127.0.0.1:7010\nhello\nsuccess\n"
    );
}

#[test]
fn a_unit_with_a_wrong_option_is_not_started_again() {
    let settings = "Restart=always\nRestartPreventExitStatus=64 77 78";
    let Some(machine) = unit(settings, "--service.uid nobody-of-that-name") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start hello 2>/dev/null && exit 1; soon is hello ActiveState failed
        show hello ExecMainStatus; show hello NRestarts",
    );
    assert_eq!(said, "78\n0\n");
}

#[test]
fn it_installs_itself_and_lives_in_its_hardened_unit() {
    if !pid1::need() {
        return;
    }
    let machine = Pid1::new();
    machine.copy(&example("hello"), "hello");
    let commands = format!(
        "install -D {} /opt/hello; ask() {{ /opt/hello --service.do $1 >/dev/null; echo $1 $?; }}
        ask install; systemd-analyze verify /etc/systemd/system/hello.service; echo verified $?
        systemd-analyze security --threshold=20 hello >/dev/null; echo exposed $?
        ask start; ask status; show hello StatusText; ask reload; show hello ActiveState
        ps -o user= -p $(show hello MainPID) | grep -c root
        ask stop; ask status; show hello Result; ask remove; ask status; test -e /etc/systemd/system/hello.service",
        machine.path("hello").display()
    );
    let seen = machine.judge(&commands);
    assert_eq!(
        seen.out,
        "install 0\nverified 0\nexposed 0\nstart 0\nstatus 0\nserving 127.0.0.1:8080\nreload 0\nactive\n0\nstop 0\nstatus 3\n\
         success\nremove 0\nstatus 4\n",
        "{seen:?}"
    );
    assert_eq!(seen.code, 1, "the unit is gone: {seen:?}");
}

#[test]
fn a_unit_that_waits_for_a_fork_gets_one() {
    if !pid1::need() {
        return;
    }
    let machine = Pid1::new();
    machine.copy(&example("hello"), "hello");
    let unit = format!(
        "[Service]\nType=forking\nPIDFile=/run/hello.pid\nExecStart={} --service.daemon\n",
        machine.path("hello").display()
    );
    machine.unit("hello.service", &unit);
    let seen = machine.judge(
        "systemctl start hello; echo $?; is hello MainPID $(cat /run/hello.pid); echo $?
        systemctl stop hello; show hello Result; test -e /run/hello.pid || echo gone",
    );
    assert_eq!(seen.out, "0\n0\nsuccess\ngone\n", "{seen:?}");
}
