//! The quick start: two services and a logger made of this very program, so that a newcomer has something to kill.

use super::{Stop, talk};
use eudaemon_core::exit::Exit;
use eudaemon_sys::socket::{is_noexec, own_uid};
use eudaemon_sys::watch::Watch;
use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PORT: u16 = 8080;
/// How many ports are tried, one after the other.
const PORTS: u16 = 100;
/// What our page says of itself; `up` knows its page by it.
const SERVER: &str = "eudaemon-quick-start";
/// Most visitors at a time.
const VISITORS_MAX: usize = 64;
/// Longest request, and how long it may take.
const REQUEST_BYTES_MAX: u64 = 16 * 1024;
const VISIT: Duration = Duration::from_secs(5);

/// A directory that is ready to be run.
pub struct Quick {
    pub dir: PathBuf,
    pub banner: String,
}

/// Where the quick start's directory is, if there is one: below `$XDG_RUNTIME_DIR`, or in `/tmp`, for each user.
pub fn places() -> Vec<PathBuf> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
    let runtime = runtime.map(|dir| PathBuf::from(dir).join("eudaemon-quick"));
    let temporary = PathBuf::from(format!("/tmp/eudaemon-quick-{}", own_uid()));
    // A relative one must be ignored. Source: XDG Base Directory Specification.
    let runtime = runtime.filter(|dir| dir.is_absolute());
    runtime.into_iter().chain([temporary]).collect()
}

/// Makes the directory, or finds it as it was, and writes its services anew.
pub fn prepare() -> Result<Quick, Stop> {
    let program = std::env::current_exe().map_err(|error| unable("find this program", &error))?;
    let mut refused = None;
    for dir in places() {
        let made = usable(&dir).and_then(|()| {
            let port = choose_port(&dir);
            fill(&dir, &program, port).map_err(|error| unable(&say("fill", &dir), &error))?;
            Ok(port)
        });
        match made {
            Ok(port) => {
                let banner = banner(&dir, port);
                return Ok(Quick { dir, banner });
            }
            Err(why) => refused = refused.or(Some(why)),
        }
    }
    Err(refused.unwrap_or_else(|| Stop::new(Exit::Temporary, "unable to find a place")))
}

fn unable(what: &str, error: &io::Error) -> Stop {
    Stop::new(
        Exit::Temporary,
        format!("unable to {what}: {}", super::reason(error)),
    )
}

fn say(verb: &str, dir: &Path) -> String {
    format!("{verb} {}", dir.display())
}

/// Makes the directory, for this user alone, or makes sure that it is ours.
///
/// In `/tmp` anybody may have made it before us: a link, or a directory of theirs, would let them choose what we run.
fn usable(dir: &Path) -> Result<(), Stop> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(unable(&say("create", dir), &error)),
    }
    let is = std::fs::symlink_metadata(dir).map_err(|error| unable(&say("use", dir), &error))?;
    let why = if !is.is_dir() {
        "it is not a directory"
    } else if is.uid() != own_uid() {
        "it belongs to somebody else"
    } else if is.mode() & 0o077 != 0 {
        "others have access to it (mode 0700 is needed)"
    } else if is_noexec(dir).unwrap_or(false) {
        "programs cannot be executed there (noexec)"
    } else {
        return Ok(());
    };
    Err(Stop::new(
        Exit::Permanent,
        format!("unable to use {}: {why}", dir.display()),
    ))
}

fn fill(dir: &Path, program: &Path, port: u16) -> io::Result<()> {
    let program = quoted(program);
    let script = |rest: &str| {
        [
            b"#!/bin/sh\nexec ",
            &program[..],
            b" ",
            rest.as_bytes(),
            b"\n",
        ]
        .concat()
    };
    for (service, words) in [
        ("web", "quick-web"),
        ("worker/log", "multilog t ./main"),
        ("worker", "quick-worker"),
    ] {
        let service = dir.join(service);
        std::fs::create_dir_all(&service)?;
        if service.ends_with("web") {
            replace(&service.join("port"), format!("{port}\n").as_bytes(), 0o644)?;
        }
        replace(&service.join("run"), &script(words), 0o755)?;
    }
    Ok(())
}

/// A file that is there as a whole or not at all: a tree may be running on it.
fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|there| there == text)
        && std::fs::metadata(path)?.permissions().mode() & 0o777 == mode
    {
        return Ok(());
    }
    let new = path.with_extension("new");
    let _ = std::fs::remove_file(&new);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&new)?;
    file.write_all(text)?;
    // The umask may have taken some of it.
    file.set_permissions(PermissionsExt::from_mode(mode))?;
    drop(file);
    std::fs::rename(&new, path)
}

/// A path as one word of the shell.
fn quoted(path: &Path) -> Vec<u8> {
    let mut out = vec![b'\''];
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => out.extend_from_slice(br"'\''"),
            byte => out.push(byte),
        }
    }
    out.push(b'\'');
    out
}

fn banner(dir: &Path, port: u16) -> String {
    let mut out = String::new();
    let dir = dir.display();
    let me = called();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "This is the quick start: the services in {dir}, supervised by eudaemon.\n\
         \x20 web      http://127.0.0.1:{port}/  says how often it was started\n\
         \x20 worker   does small jobs, and crashes every now and then\n\
         In another terminal:\n\
         \x20 {me} status\n\
         \x20 {me} logs -f worker\n\
         Ctrl-C stops everything.  Your own services: {me} up DIR, with DIR/NAME/run\n\n"
    );
    out
}

/// How this program is called from a shell here: by its name where the shell would find it, else by its path.
fn called() -> String {
    let Ok(program) = std::env::current_exe() else {
        return "eudaemon".to_owned();
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .any(|dir| std::fs::canonicalize(dir.join("eudaemon")).is_ok_and(|file| file == program));
    if found {
        return "eudaemon".to_owned();
    }
    let here = std::env::current_dir().unwrap_or_default();
    let told = program.strip_prefix(&here).unwrap_or(&program);
    told.display().to_string()
}

/// The page's port: that of the page which is still running, or one that is free.
fn choose_port(dir: &Path) -> u16 {
    if let Some(port) = port_of(&dir.join("web/port"))
        && is_our_page(port)
    {
        return port;
    }
    match listen(wished_port(None)) {
        Ok((_, port)) => port,
        // The service will say so itself, each time it tries.
        Err(_) => PORT,
    }
}

fn port_of(file: &Path) -> Option<u16> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn wished_port(file: Option<&Path>) -> u16 {
    let told = std::env::var("PORT")
        .ok()
        .and_then(|port| port.parse().ok());
    told.or_else(|| port_of(file?)).unwrap_or(PORT)
}

fn is_our_page(port: u16) -> bool {
    let visit = || -> io::Result<bool> {
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(300))?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"HEAD / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
        let mut head = Vec::new();
        stream.take(1024).read_to_end(&mut head)?;
        Ok(String::from_utf8_lossy(&head).contains(SERVER))
    };
    visit().unwrap_or(false)
}

/// Listens on loopback, at the port or the next free one.
fn listen(port: u16) -> io::Result<(TcpListener, u16)> {
    let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
    for port in port..=port.saturating_add(PORTS) {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(listener) => {
                let port = listener.local_addr()?.port();
                return Ok((listener, port));
            }
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// `quick-web`: the page. Its directory is the service's.
pub fn web() -> Result<Exit, Stop> {
    let (listener, port) = listen(wished_port(Some(Path::new("port"))))
        .map_err(|error| unable("listen on 127.0.0.1", &error))?;
    let page = Page {
        began: Instant::now(),
        starts: count_starts(Path::new("starts")),
    };
    say_line(&format!(
        "listening on http://127.0.0.1:{port}/ (pid {}, start number {})",
        std::process::id(),
        page.starts
    ))?;
    let visitors = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let mut pause = Watch::new();
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, for one: it must not become a busy loop.
                    talk(
                        "warning",
                        &format!("unable to accept: {}", super::reason(&error)),
                    );
                    let _ = pause.wait(Some(Duration::from_millis(100)));
                    continue;
                }
            };
            if visitors.fetch_add(1, Ordering::Relaxed) >= VISITORS_MAX {
                visitors.fetch_sub(1, Ordering::Relaxed);
                continue;
            }
            let (page, visitors) = (&page, &visitors);
            let visit = move || {
                // A visitor who hangs up is no concern of the page.
                let _ = page.serve(&stream);
                visitors.fetch_sub(1, Ordering::Relaxed);
            };
            let started = std::thread::Builder::new().spawn_scoped(scope, visit);
            if let Err(error) = started {
                visitors.fetch_sub(1, Ordering::Relaxed);
                talk(
                    "warning",
                    &format!("unable to start a thread: {}", super::reason(&error)),
                );
            }
        }
    })
}

/// How often this service was started, this time included.
fn count_starts(file: &Path) -> u64 {
    let before = std::fs::read_to_string(file).ok();
    let starts = before
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0u64);
    let starts = starts.saturating_add(1);
    if let Err(error) = replace(file, format!("{starts}\n").as_bytes(), 0o644) {
        talk(
            "warning",
            &format!("unable to count starts: {}", super::reason(&error)),
        );
    }
    starts
}

/// A line for the logger. When nobody takes it any more, the service ends.
fn say_line(text: &str) -> Result<(), Stop> {
    super::print(format!("{text}\n").as_bytes())
}

struct Page {
    began: Instant,
    starts: u64,
}

impl Page {
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(VISIT))?;
        stream.set_write_timeout(Some(VISIT))?;
        let until = Instant::now() + VISIT;
        let mut lines = BufReader::new(stream).take(REQUEST_BYTES_MAX);
        let mut first = Vec::new();
        lines.read_until(b'\n', &mut first)?;
        let mut line = Vec::new();
        // The rest of the head says nothing we need, but must be read: closing over unread bytes resets the connection.
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line)?;
            if line.trim_ascii().is_empty() || Instant::now() > until {
                break;
            }
        }
        let first = String::from_utf8_lossy(&first);
        let first = first.trim_end();
        let mut words = first.split(' ');
        let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let (status, kind, body) = match (method, path) {
            ("GET" | "HEAD", "/") => ("200 OK", "text/html; charset=utf-8", self.html()),
            ("GET" | "HEAD", "/healthz") => ("200 OK", "text/plain", "ok\n".to_owned()),
            ("GET" | "HEAD", _) => ("404 Not Found", "text/plain", "not found\n".to_owned()),
            _ => (
                "405 Method Not Allowed",
                "text/plain",
                "only GET\n".to_owned(),
            ),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nServer: {SERVER}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        stream.write_all(head.as_bytes())?;
        if method != "HEAD" {
            stream.write_all(body.as_bytes())?;
        }
        let shown: String = first.chars().take(200).collect();
        let line = format!("{} {}", super::screen::plain(&shown), &status[..3]);
        if let Err(stop) = say_line(&line) {
            // The logger is gone for good: its pipe has no reader. Start again with a new one.
            std::process::exit(i32::from(stop.exit.code()));
        }
        Ok(())
    }

    fn html(&self) -> String {
        let pid = std::process::id();
        let starts = self.starts;
        let seconds = self.began.elapsed().as_secs();
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"1\">\
             <title>eudaemon: web</title>\
             <style>body{{font:18px/1.6 system-ui,sans-serif;max-width:34em;margin:12vh auto;padding:0 1em;\
             color:#223;background:#fbfaf7}}b{{font-size:2.4em;line-height:1.2}}code{{background:#eee8dc;\
             padding:.15em .4em;border-radius:4px}}</style>\
             <h1>It runs.</h1><p><b>{seconds} s</b><br>since I was started, as process <b>{pid}</b>,\
             <br>for the <b>{starts}.</b> time.</p>\
             <p>Kill me: <code>kill -9 {pid}</code>. I shall be back before this page is drawn again.</p>\
             <p>Ask for me: <code>eudaemon status web</code>, <code>eudaemon logs -f web</code></p></html>\n"
        )
    }
}

/// `quick-worker`: a line each second, and a crash now and then.
pub fn worker() -> Result<Exit, Stop> {
    let pid = std::process::id();
    say_line(&format!("worker {pid} begins"))?;
    let mut pause = Watch::new();
    for job in 1..=20u64 {
        let began = Instant::now();
        // Something to do that takes a little longer each time: counts primes.
        let below = 5_000 * job;
        let primes = (2..below).filter(|&n| is_prime(n)).count();
        say_line(&format!(
            "job {job}: {primes} primes below {below}, in {:.1} ms",
            began.elapsed().as_secs_f64() * 1000.0
        ))?;
        // Nothing is watched, so this only waits.
        pause
            .wait(Some(Duration::from_secs(1)))
            .map_err(|error| unable("wait", &error))?;
    }
    say_line("job 21: this one is too much for me (a crash on purpose)")?;
    Ok(Exit::Failed)
}

fn is_prime(n: u64) -> bool {
    (2..)
        .take_while(|d| d * d <= n)
        .all(|d| !n.is_multiple_of(d))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("eud-quick-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let _ = std::fs::remove_file(&dir);
        dir
    }

    #[test]
    fn what_others_may_write_to_is_not_used() {
        let dir = fresh("foreign");
        assert!(usable(&dir).is_ok());
        assert_eq!(std::fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        assert!(usable(&dir).is_ok(), "a second time");
        std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o770)).unwrap();
        assert!(usable(&dir).unwrap_err().why.unwrap().contains("0700"));
        std::fs::remove_dir(&dir).unwrap();
        let target = fresh("target");
        DirBuilder::new().mode(0o700).create(&target).unwrap();
        std::os::unix::fs::symlink(&target, &dir).unwrap();
        let why = usable(&dir).unwrap_err().why.unwrap();
        assert!(why.contains("not a directory"), "{why}");
        std::fs::remove_file(&dir).unwrap();
        std::fs::remove_dir(&target).unwrap();
    }

    #[test]
    fn the_services_are_complete_and_written_once() {
        let dir = fresh("fill");
        usable(&dir).unwrap();
        let program = Path::new("/opt/it's/eudaemon");
        fill(&dir, program, 8081).unwrap();
        let run = std::fs::read_to_string(dir.join("web/run")).unwrap();
        assert_eq!(run, "#!/bin/sh\nexec '/opt/it'\\''s/eudaemon' quick-web\n");
        for file in ["web/run", "worker/run", "worker/log/run"] {
            let mode = std::fs::metadata(dir.join(file)).unwrap().mode();
            assert_eq!(mode & 0o777, 0o755, "{file}");
        }
        assert_eq!(port_of(&dir.join("web/port")), Some(8081));
        let before = std::fs::metadata(dir.join("web/run")).unwrap().ino();
        fill(&dir, program, 8082).unwrap();
        let after = std::fs::metadata(dir.join("web/run")).unwrap().ino();
        assert_eq!(before, after, "a running service is left alone");
        assert_eq!(port_of(&dir.join("web/port")), Some(8082));
        assert!(banner(&dir, 8082).lines().count() <= 8);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn starts_are_counted() {
        let dir = fresh("starts");
        usable(&dir).unwrap();
        let file = dir.join("starts");
        assert_eq!([count_starts(&file), count_starts(&file)], [1, 2]);
        std::fs::write(&file, "nonsense").unwrap();
        assert_eq!(count_starts(&file), 1);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn the_page_answers_and_refuses() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let page = Page {
            began: Instant::now(),
            starts: 7,
        };
        for (request, status, body) in [
            (
                "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
                "200 OK",
                "<b>7.</b> time",
            ),
            ("HEAD / HTTP/1.1\r\n\r\n", "200 OK", SERVER),
            ("GET /etc/passwd HTTP/1.1\r\n\r\n", "404", "not found"),
            ("POST / HTTP/1.1\r\n\r\n", "405", "only GET"),
            ("\r\n\r\n", "405", ""),
        ] {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            let (stream, _) = listener.accept().unwrap();
            page.serve(&stream).unwrap();
            drop(stream);
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status}")),
                "{answer}"
            );
            assert!(answer.contains(body), "{answer}");
            let empty = answer.ends_with("\r\n\r\n");
            assert_eq!(empty, request.starts_with("HEAD"), "{answer}");
        }
    }

    #[test]
    fn a_taken_port_is_passed_over() {
        let (first, taken) = listen(18_080).unwrap();
        let (_second, next) = listen(taken).unwrap();
        assert!(next > taken);
        drop(first);
    }

    #[test]
    fn primes() {
        let primes: Vec<u64> = (2..30).filter(|&n| is_prime(n)).collect();
        assert_eq!(primes, [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
    }
}
