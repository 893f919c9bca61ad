//! The control socket, asked by clients that behave and by clients that do not.
//!
//! Not tested: a client of another user namespace.
#![allow(clippy::unwrap_used, reason = "a judge that cannot go on has failed")]
use eudaemon::control::{Answer, CLIENTS_MAX, Commands, Control, ControlGuard, LogLevel};
use eudaemon::health::{Health, Phase};
use eudaemon::inherited::Inherited;
use eudaemon::sockets::Sockets;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

struct Level(Mutex<String>);

impl LogLevel for Level {
    fn levels(&self) -> Vec<String> {
        vec!["info".to_owned(), "debug".to_owned()]
    }
    fn level(&self) -> String {
        self.0.lock().unwrap().clone()
    }
    fn set_level(&self, level: &str) -> Result<(), String> {
        if !["info", "debug"].contains(&level) {
            return Err("no level; there are info and debug".to_owned());
        }
        *self.0.lock().unwrap() = level.to_owned();
        Ok(())
    }
}

struct Service {
    level: Arc<Level>,
    /// Reloads that wait to be answered.
    reloads: Mutex<Vec<Answer>>,
    sockets: Sockets,
}

impl Commands for Service {
    fn status(&self) -> Vec<(String, String)> {
        vec![("state".to_owned(), "serving\nok".to_owned())]
    }
    fn reload(&self, answer: Answer) {
        self.reloads.lock().unwrap().push(answer);
    }
    fn stop(&self, answer: Answer) {
        drop(answer);
    }
    fn replace(&self, answer: Answer) {
        let row = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        answer.done_with([row("pid", "7"), row("was", "1\n2")]);
    }
    fn log_level(&self) -> Option<Arc<dyn LogLevel>> {
        Some(self.level.clone())
    }
    fn sockets(&self) -> Option<Sockets> {
        Some(self.sockets.clone())
    }
}

/// One that says no more than it must.
struct Plain;

impl Commands for Plain {
    fn status(&self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn reload(&self, answer: Answer) {
        answer.done("generation 2");
    }
    fn stop(&self, answer: Answer) {
        answer.done("");
    }
    fn log_level(&self) -> Option<Arc<dyn LogLevel>> {
        None
    }
}

struct World {
    path: PathBuf,
    service: Arc<Service>,
    guard: Option<ControlGuard>,
}

impl World {
    fn new() -> World {
        let service = Arc::new(Service {
            level: Arc::new(Level(Mutex::new("info".to_owned()))),
            reloads: Mutex::default(),
            sockets: Sockets::of(Inherited::default()),
        });
        World::serving(service.clone(), service)
    }

    fn serving(service: Arc<Service>, commands: Arc<dyn Commands>) -> World {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("eud-control-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let health = Health::new();
        health.enter(Phase::Running);
        let guard = Control::bind(&path).unwrap();
        let guard = guard.serve(health, commands).unwrap();
        World {
            path,
            service,
            guard: Some(guard),
        }
    }

    fn client(&self) -> UnixStream {
        let client = UnixStream::connect(&self.path).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        client
    }

    /// Asks, says no more, and reads to the end.
    fn ask(&self, lines: &str) -> String {
        let mut client = self.client();
        client.write_all(lines.as_bytes()).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut told = String::new();
        client.read_to_string(&mut told).unwrap();
        told
    }
}

/// T29: both find the remains of an earlier life, or nothing.
#[test]
fn of_two_starters_one_has_the_door() {
    for round in 0..50 {
        let name = format!("eud-doors-{}-{round}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("control");
        if round % 2 == 0 {
            drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        }
        let line = std::sync::Barrier::new(2);
        let start = || {
            line.wait();
            Control::bind(&path)
        };
        let (one, two) = std::thread::scope(|scope| {
            let other = scope.spawn(start);
            (start(), other.join().unwrap())
        });
        let (winner, loser) = match (one, two) {
            (Ok(winner), Err(loser)) | (Err(loser), Ok(winner)) => (winner, loser),
            other => panic!("round {round}: {other:?}"),
        };
        assert_eq!(loser.kind(), std::io::ErrorKind::AddrInUse, "{loser}");
        // The path is the winner's, and is found to be: nobody has the lock any more.
        UnixStream::connect(&path).unwrap();
        let third = Control::bind(&path).unwrap_err();
        assert_eq!(third.kind(), std::io::ErrorKind::AddrInUse, "{third}");
        drop(winner);
        assert!(!path.exists());
        // A child that another test starts has a copy of the lock from its fork to its exec.
        let begun = std::time::Instant::now();
        while let Err(error) = Control::bind(&path) {
            assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse, "{error}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{error}");
            std::thread::yield_now();
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// T35: descriptors that a client sends along with a question are nobody's here, and not kept.
#[test]
fn descriptors_of_a_client_are_not_received() {
    use std::os::fd::AsFd;
    let world = World::new();
    let null = std::fs::File::open("/dev/null").unwrap();
    let gift = [null.as_fd(); 253];
    let strays = || {
        let open = std::fs::read_dir("/proc/self/fd").unwrap();
        let target = |entry: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_link(entry.unwrap().path()).ok()
        };
        let null = |target: &PathBuf| target.as_os_str() == "/dev/null";
        open.filter_map(target).filter(null).count()
    };
    let before = strays();
    let client = world.client();
    let line = eudaemon_sys::passing::Channel::from(std::os::fd::OwnedFd::from(
        client.try_clone().unwrap(),
    ));
    let mut told = [0; 64];
    for _ in 0..8 {
        line.send(b"status\n", &gift).unwrap();
        let length = (&client).read(&mut told).unwrap();
        assert_eq!(&told[..length], b"state: serving ok\nok\n");
    }
    assert_eq!(strays(), before);
}

#[test]
fn questions_are_answered() {
    let world = World::new();
    let mode = std::fs::symlink_metadata(&world.path)
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(world.ask("status\n"), "state: serving ok\nok\n");
    assert_eq!(
        world.ask("json status\n"),
        "{\"ok\":true,\"data\":{\"state\":\"serving\\u000aok\"}}\n"
    );
    assert_eq!(world.ask("health\n"), "live: true\nready: true\nok\n");
    assert_eq!(
        world.ask("log-level\nlog-level debug\nlog-level\n"),
        "level: info\nok\nlevel: debug\nok\nlevel: debug\nok\n"
    );
    assert_eq!(
        world.ask("log-level -\nlog-level -\nlog-level +\nlog-level +\n"),
        "level: info\nok\nlevel: info\nok\nlevel: debug\nok\nlevel: debug\nok\n"
    );
    let wrong = world.ask("json log-level loud\n");
    assert_eq!(
        wrong,
        "{\"ok\":false,\"error\":\"no level; there are info and debug\"}\n"
    );
    assert!(world.ask("fds\n").contains(": socket socket:["));
    assert!(world.ask("help\n").contains("reload: "));
    assert!(
        world
            .ask("dance\n")
            .starts_with("error: unable to \"dance\"")
    );
    assert!(world.ask("\n").starts_with("error: nothing was asked"));
    assert_eq!(world.ask("stop\n"), "error: the service did not answer\n");
}

#[test]
fn a_replacement_is_answered_with_what_there_is_to_say() {
    let world = World::new();
    assert_eq!(world.ask("replace\n"), "pid: 7\nwas: 1 2\nok\n");
    assert_eq!(
        world.ask("json replace\n"),
        "{\"ok\":true,\"data\":{\"pid\":\"7\",\"was\":\"1\\u000a2\"}}\n"
    );
    let plain = World::serving(world.service.clone(), Arc::new(Plain));
    let refused = plain.ask("replace\n");
    assert!(
        refused.starts_with("error: this service is not replaced"),
        "{refused}"
    );
    assert_eq!(plain.ask("reload\n"), "result: generation 2\nok\n");
}

#[test]
fn sockets_that_are_served_have_their_names() {
    let world = World::new();
    let http = world.service.sockets.get("http").or_bind("tcp:127.0.0.1:0");
    let http = http.tcp_listener().unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let named = |told: &str| {
        let lines = told.lines().filter(|line| line.ends_with("] http"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let told = world.ask("fds\n");
    let both = named(&told);
    // Its own, and the copy that a successor is given; the ones that are made for the listing are not in it.
    assert_eq!(both.len(), 2, "{told}");
    let own = format!("{}: socket socket:[", http.as_raw_fd());
    assert!(both.iter().any(|line| line.starts_with(&own)), "{told}");
    let nameless = format!("{}: socket socket:[", other.as_raw_fd());
    let line = told.lines().find(|line| line.starts_with(&nameless));
    assert!(line.unwrap().ends_with(']'), "{told}");
    drop(http);
    assert_eq!(named(&world.ask("fds\n")), [""; 0]);
}

#[test]
fn an_answer_comes_when_it_has_happened_and_others_are_not_kept_waiting() {
    let world = World::new();
    let mut first = BufReader::new(world.client());
    first.get_mut().write_all(b"reload\nlog-level\n").unwrap();
    // Another is answered meanwhile, which also tells that the reload was heard: it was asked before.
    assert_eq!(world.ask("log-level\n"), "level: info\nok\n");
    let answer = loop {
        if let Some(answer) = world.service.reloads.lock().unwrap().pop() {
            break answer;
        }
        std::thread::yield_now();
    };
    answer.failed("line 3: no such option");
    let mut line = String::new();
    first.read_line(&mut line).unwrap();
    assert_eq!(line, "error: line 3: no such option\n");
    line.clear();
    first.read_line(&mut line).unwrap();
    assert_eq!(
        line, "level: info\n",
        "what was asked behind it comes behind it"
    );
}

#[test]
fn one_that_never_reads_and_one_that_never_ends_stop_nobody() {
    let world = World::new();
    let mut deaf = world.client();
    deaf.set_write_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let question = "help\n".repeat(1000);
    while deaf.write_all(question.as_bytes()).is_ok() {}
    assert_eq!(world.ask("log-level\n"), "level: info\nok\n");
    let mut endless = world.client();
    let _ = endless.write_all(&[b'x'; 5000]);
    let mut told = String::new();
    endless.read_to_string(&mut told).unwrap();
    assert_eq!(told, "error: the line is too long\n");
    drop(deaf);
}

#[test]
fn one_that_reads_late_misses_nothing() {
    let world = World::new();
    let mut slow = world.client();
    slow.set_nonblocking(true).unwrap();
    // Until both directions are full: it is told something that it does not take.
    let mut asked = 0;
    while let Ok(count) = slow.write(&b"help\n".repeat(100)) {
        asked += count;
    }
    slow.set_nonblocking(false).unwrap();
    let mut answers = 0;
    let mut lines = BufReader::new(slow);
    while answers < asked / 5 {
        let mut line = String::new();
        assert_ne!(
            lines.read_line(&mut line).unwrap(),
            0,
            "{answers} of {asked} bytes"
        );
        answers += usize::from(line == "ok\n");
    }
}

#[test]
fn there_is_room_for_so_many() {
    let world = World::new();
    let mut all = Vec::new();
    for _ in 0..CLIENTS_MAX {
        let mut client = world.client();
        client.write_all(b"log-level\n").unwrap();
        let mut line = [0; 5];
        client.read_exact(&mut line).unwrap();
        all.push(client);
    }
    let mut told = String::new();
    world.client().read_to_string(&mut told).unwrap();
    assert_eq!(told, "error: too many clients\n");
    drop(all);
}

#[test]
fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
    let mut world = World::new();
    let twice = Control::bind(&world.path).unwrap_err();
    assert_eq!(twice.kind(), std::io::ErrorKind::AddrInUse);
    drop(world.guard.take());
    assert!(!world.path.exists(), "the one who made it removes it");
    drop(std::os::unix::net::UnixListener::bind(&world.path).unwrap());
    drop(Control::bind(&world.path).unwrap());
    std::fs::write(&world.path, "a file").unwrap();
    assert!(Control::bind(&world.path).is_err());
    assert_eq!(std::fs::read(&world.path).unwrap(), b"a file");
    std::fs::remove_file(&world.path).unwrap();
}

/// The mode is taken off the socket's file, so that only the kernel's word on the peer is left to refuse it.
#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "this very program, as another user"
)]
fn another_user_is_told_no() {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    const ROLE: &str = "EUDAEMON_TEST_CONTROL";
    if let Some(path) = std::env::var_os(ROLE) {
        let mut told = String::new();
        let mut client = UnixStream::connect(path).unwrap();
        client.read_to_string(&mut told).unwrap();
        print!("{told}");
        return;
    }
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        let required = std::env::var_os("EUDAEMON_REQUIRE").is_some();
        assert!(!required, "only root can be another user");
        eprintln!("SKIPPED: only root can be another user");
        return;
    }
    let world = World::new();
    std::fs::set_permissions(&world.path, std::fs::Permissions::from_mode(0o666)).unwrap();
    // Where this program was built may be closed to others.
    let program = world.path.with_extension("program");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let asked = std::process::Command::new(&program)
        .args(["--exact", "another_user_is_told_no", "--nocapture"])
        .env(ROLE, &world.path)
        .current_dir("/")
        .uid(65534)
        .gid(65534)
        .output();
    std::fs::remove_file(&program).unwrap();
    let told = String::from_utf8(asked.unwrap().stdout).unwrap();
    assert!(told.contains("error: user 65534 is not let in\n"), "{told}");
}
