//! The one in the sandbox. Words before `--` say what it needs, those after it what it tries.

use eudaemon::Capability;
use eudaemon::needs::{Needs, Preset};
use eudaemon::sandbox::{Mode, Sandbox};
use eudaemon_core::account::Identity;
use eudaemon_core::limits::{Limit, Resource};
use eudaemon_sys::attempt;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixStream};
use std::process::{Command, ExitCode, Stdio};

/// What it holds from before.
#[derive(Default)]
struct Before {
    notify: Option<UnixDatagram>,
    listener: Option<TcpListener>,
}

pub fn main(words: &[String]) -> ExitCode {
    let middle = words.iter().position(|word| word == "--");
    let (before, after) = words.split_at(middle.unwrap_or(words.len()));
    let mut needs = Needs::new();
    let mut mode = Mode::Require;
    let mut held = Before::default();
    let (mut times, mut early, mut root) = (1, None, None);
    for word in before {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let port = || value.parse::<u16>().expect("a port");
        needs = match name {
            "read" => needs.read(value),
            "write" => needs.write(value),
            "execute" => needs.execute(value),
            "bind" => needs.bind_tcp(port()),
            "udp" => needs.bind_udp(port()),
            "connect" => needs.connect_tcp(port()),
            "connect-any" => needs.connect_any(),
            "unix" => needs.unix_sockets(),
            "writable-code" => needs.writable_code(),
            "server" => needs.system_calls(Preset::NetworkServer),
            "worker" => needs.system_calls(Preset::Worker),
            "capability" => needs.capability(Capability::parse(value).expect("a capability")),
            "open-files" => {
                let (soft, hard) = (port().into(), port().into());
                needs.limit(Resource::OpenFiles, Limit { soft, hard })
            }
            _ => {
                match name {
                    "best-effort" => mode = Mode::BestEffort,
                    "times" => times = port(),
                    "fork" | "go-on" => {}
                    "drop" => root = Some(value),
                    "thread-first" => early = Some(thread_that_waits()),
                    "notify" => held.notify = Some(connected(value).expect("somebody listens")),
                    "listen" => held.listener = Some(TcpListener::bind(at(port())).expect("free")),
                    _ => panic!("{name}?"),
                }
                needs
            }
        };
    }
    let goes_on = before.iter().any(|word| word == "go-on");
    for time in 1..=times {
        let ready = Sandbox::of(&needs).prepare(mode);
        if let Some(root) = root {
            drop_into(root);
        }
        if before.iter().any(|word| word == "fork") {
            let forked = eudaemon_sys::process::fork(|| {
                let ended = ready.and_then(|ready| ready.enforce());
                println!("forked: {ended:?}");
                0
            });
            eudaemon_sys::process::reap(forked.expect("there is one thread"));
            return ExitCode::SUCCESS;
        }
        match ready.and_then(|ready| ready.enforce()) {
            Ok(report) if time == times => print!("{report}"),
            Ok(_) => {}
            Err(error) => {
                println!("refused: {}", eudaemon::Error::from(error));
                if early.is_none() && !goes_on {
                    return ExitCode::from(111);
                }
            }
        }
    }
    for word in after.iter().skip(1) {
        let answer = match word.strip_prefix("thread:") {
            Some(word) => std::thread::scope(|scope| {
                let thread = scope.spawn(|| attempt(word, &held));
                thread.join().expect("it does not panic")
            }),
            None => attempt(word, &held),
        };
        match answer {
            Ok(()) => println!("{word}: Ok"),
            Err(error) => match error.raw_os_error() {
                Some(number) => println!("{word}: {number} {error}"),
                None => println!("{word}: {error}"),
            },
        }
    }
    drop(early);
    ExitCode::SUCCESS
}

/// Becomes nobody, below a directory.
fn drop_into(root: &str) {
    std::os::unix::fs::chroot(root).expect("root may");
    std::env::set_current_dir("/").expect("it is there");
    let nobody = Identity {
        uid: 65534,
        gid: 65534,
        groups: Vec::new(),
    };
    eudaemon_sys::identity::assume(&nobody).expect("root may");
}

fn at(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A thread that is there until the sender is dropped.
fn thread_that_waits() -> std::sync::mpsc::Sender<()> {
    let (sender, receiver) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || receiver.recv());
    sender
}

fn unix(name: &str) -> io::Result<UnixAddr> {
    match name.strip_prefix('@') {
        Some(name) => UnixAddr::from_abstract_name(name),
        None => UnixAddr::from_pathname(name),
    }
}

fn connected(name: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&unix(name)?)?;
    Ok(socket)
}

fn attempt(word: &str, held: &Before) -> io::Result<()> {
    let (name, value) = word.split_once('=').unwrap_or((word, ""));
    let port = || value.parse::<u16>().expect("a port");
    let (one, other) = value.split_once(',').unwrap_or((value, ""));
    match name {
        "read" => std::fs::File::open(value)?.read(&mut [0; 64]).map(drop),
        "list" => std::fs::read_dir(value).map(drop),
        "write" => std::fs::write(value, "written"),
        "append" => std::fs::OpenOptions::new()
            .append(true)
            .open(value)
            .map(drop),
        "remove" => std::fs::remove_file(value),
        "make-dir" => std::fs::create_dir(value),
        "link" => std::os::unix::fs::symlink(one, other),
        "hard-link" => std::fs::hard_link(one, other),
        "rename" => std::fs::rename(one, other),
        "execute" => {
            let mut command = Command::new(value);
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.status().map(drop)
        }
        "again" => {
            let words: Vec<String> = std::env::args().skip(1).collect();
            let middle = words
                .iter()
                .position(|word| word == "--")
                .expect("we are after it");
            let mut again = Command::new(std::env::args_os().next().expect("argv[0]"));
            let output = again.args(&words[..middle]).output()?;
            print!("{}", String::from_utf8_lossy(&output.stdout));
            output
                .status
                .success()
                .then_some(())
                .ok_or_else(|| io::Error::other("it failed"))
        }
        "bind" => TcpListener::bind(at(port())).map(drop),
        "connect" => TcpStream::connect(at(port())).map(drop),
        "bind-udp" => UdpSocket::bind(at(port())).map(drop),
        "name" => std::net::ToSocketAddrs::to_socket_addrs(value).map(drop),
        "stream" => UnixStream::connect_addr(&unix(value)?).map(drop),
        "datagram" => connected(value).map(drop),
        "pair" => UnixStream::pair().map(drop),
        "notify" => held
            .notify
            .as_ref()
            .expect("connected")
            .send(value.as_bytes())
            .map(drop),
        "serve" => serve(held),
        "serve-tokio" => serve_tokio(held),
        "signal" => {
            let pid = eudaemon_core::words::Pid::new(value.parse().expect("a pid"));
            let signal = eudaemon_core::words::Signal::Cont;
            eudaemon_sys::process::signal_pid(pid.expect("not zero"), signal)
        }
        "null-thread" => Ok(()),
        "open-files" => {
            let limit = eudaemon_sys::limits::get(Resource::OpenFiles)?;
            println!("limit: {} {}", limit.soft, limit.hard);
            Ok(())
        }
        "capabilities" => {
            println!("held: {:x}", eudaemon_sys::confine::capabilities()?.0);
            Ok(())
        }
        "mount" => attempt::mount(),
        "load-module" => attempt::load_module(),
        "trace" => attempt::trace(),
        "user-namespace" => attempt::user_namespace(),
        "clone-namespace" => attempt::clone_namespace(),
        "clone3" => attempt::clone3(),
        "future" => attempt::call_of_the_future(),
        "enter-namespace" => attempt::enter_namespace(),
        "attach-code" => attempt::attach_code(),
        "protect-code" => attempt::protect_code(),
        "io-uring" => attempt::io_uring(),
        "writable-code" => attempt::writable_code(),
        "code-made-of-data" => attempt::code_made_of_data(),
        "fast-open" => attempt::send_without_connecting(at(port())),
        "memory-program" => attempt::execute_from_memory(&std::fs::read(value)?),
        "packet" => attempt::socket(17, 3, 0).map(drop),
        "netlink" => attempt::socket(16, 3, 0).map(drop),
        "raw" => attempt::socket(2, 3, 1).map(drop),
        "vsock" => attempt::socket(40, 1, 0).map(drop),
        "mptcp" => {
            attempt::socket(2, 1, 262).and_then(|socket| attempt::connect(&socket, at(port())))
        }
        _ => panic!("{word}?"),
    }
}

/// One request, answered by a thread of its own.
fn serve(held: &Before) -> io::Result<()> {
    let (mut client, _) = held.listener.as_ref().expect("listening").accept()?;
    let served = std::thread::spawn(move || -> io::Result<()> {
        let mut asked = [0; 4];
        client.read_exact(&mut asked)?;
        client.write_all(&asked)
    });
    served.join().expect("it does not panic")
}

/// The same, of a runtime of many threads, and many requests.
fn serve_tokio(held: &Before) -> io::Result<()> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_io()
        .build()?;
    let listener = held.listener.as_ref().expect("listening").try_clone()?;
    listener.set_nonblocking(true)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let mut served = Vec::new();
        for _ in 0..50 {
            let (mut client, _) = listener.accept().await?;
            served.push(tokio::spawn(async move {
                let mut asked = [0; 4];
                client.read_exact(&mut asked).await?;
                client.write_all(&asked).await
            }));
        }
        for one in served {
            one.await.expect("it does not panic")?;
        }
        Ok(())
    })
}
