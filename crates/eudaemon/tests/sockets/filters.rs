//! Each filter says of each descriptor what the call of `libsystemd` says that it names.

use crate::{Scratch, none, skip, want};
use eudaemon::sockets::{Filter, is};
use eudaemon_sys::hand::{self, Handed};
use std::fs::File;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Asks the real library: a line of ours is an expression, a line of the answer what it returns.
const ASK: &str = r#"
import ctypes, socket, struct, sys
lib = ctypes.CDLL("libsystemd.so.0")
def inet(fd, family, kind, port):
    return lib.sd_is_socket_inet(fd, family, kind, -1, ctypes.c_uint16(port))
def at4(fd, port, ip):
    a = struct.pack("=H", socket.AF_INET) + struct.pack(">H", port) + socket.inet_pton(socket.AF_INET, ip) + bytes(8)
    return lib.sd_is_socket_sockaddr(fd, 0, a, len(a), -1)
def at6(fd, port, ip):
    a = struct.pack("=H", socket.AF_INET6) + struct.pack(">HI", port, 0) + socket.inet_pton(socket.AF_INET6, ip) + bytes(4)
    return lib.sd_is_socket_sockaddr(fd, 0, a, len(a), -1)
def unix(fd, path, length=0):
    return lib.sd_is_socket_unix(fd, 0, -1, path, ctypes.c_size_t(length))
def abstract(fd, name):
    return unix(fd, b"\0" + name, len(name) + 1)
def inet_of(fd, family, kind, listening, port):
    return lib.sd_is_socket_inet(fd, family, kind, listening, ctypes.c_uint16(port))
def unix_of(fd, kind, listening, path):
    return lib.sd_is_socket_unix(fd, kind, listening, path, ctypes.c_size_t(0))
for line in sys.stdin.read().splitlines():
    print(eval(line))
"#;

fn real(fds: Vec<OwnedFd>, lines: &str) -> Option<Vec<i32>> {
    let mut python = Command::new("python3");
    python.args(["-c", ASK]);
    // There are more than fit into one argument.
    let mut asked = std::env::temp_dir();
    asked.push(format!("eud-asked-{}", std::process::id()));
    std::fs::write(&asked, lines).unwrap();
    python.stdin(File::open(&asked).unwrap());
    std::fs::remove_file(&asked).unwrap();
    python.stdout(Stdio::piped()).stderr(Stdio::inherit());
    let environment = ["PATH", "LD_LIBRARY_PATH"].into_iter();
    let environment = environment.filter_map(|name| Some((name.into(), std::env::var_os(name)?)));
    let handed = Handed {
        environment: environment.collect(),
        fds,
        ..Handed::default()
    };
    let child = hand::start(python, handed).ok()?;
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| {
        let numbers = text.lines().map(|line| line.parse().unwrap());
        numbers.collect()
    })
}

/// The file system of message queues: a queue is opened by its file as well as by its name.
struct Queues(PathBuf);

impl Queues {
    fn mount(at: PathBuf) -> Queues {
        std::fs::create_dir(&at).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "mqueue", "none"]).arg(&at);
        match mount.status() {
            Ok(status) if status.success() => Queues(at),
            Ok(_) | Err(_) => Queues("/dev/mqueue".into()),
        }
    }
}

impl Drop for Queues {
    fn drop(&mut self) {
        if self.0.ends_with("queues") {
            let _ = Command::new("umount").arg(&self.0).status();
        }
    }
}

#[test]
fn each_filter_says_what_libsystemd_says() {
    let scratch = Scratch::new();
    let name = format!("eud-filters-{}", std::process::id());
    let tcp4 = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = tcp4.local_addr().unwrap().port();
    let client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let stream = scratch.path("stream");
    let unix = UnixListener::bind(&stream).unwrap();
    let datagram = UnixDatagram::bind(scratch.path("datagram")).unwrap();
    let named = none().get("x").or_bind(format!("unix:@{name}"));
    let named = named.unix_listener().unwrap().keep();
    let packets = want("seqpacket", &scratch.path("packets"));
    let packets = packets.seqpacket().unwrap().keep();
    let (file, fifo) = (scratch.path("file"), scratch.path("fifo"));
    std::fs::write(&file, "").unwrap();
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let (pipe, _writes) = std::io::pipe().unwrap();
    let open = |path: &std::path::Path| {
        let mut options = File::options();
        options.read(true).write(true).open(path).unwrap()
    };
    let mut fds: Vec<OwnedFd> = vec![
        tcp4.into(),
        client.into(),
        UdpSocket::bind("127.0.0.1:0").unwrap().into(),
        unix.into(),
        datagram.into(),
        named.into(),
        packets,
        UnixStream::pair().unwrap().0.into(),
        open(&fifo).into(),
        pipe.into(),
        open(&file).into(),
        open("/dev/null".as_ref()).into(),
        File::open("/").unwrap().into(),
    ];
    for (address, port) in [("tcp:[::]:0", false), ("tcp:0.0.0.0:0", true)] {
        let want = none().get("x").or_bind(address);
        match want.reuse_port(port).tcp_listener() {
            Ok(listener) => fds.push(listener.keep().into()),
            Err(error) => skip(&format!("{address}: {error}")),
        }
    }
    match UdpSocket::bind("[::1]:0") {
        Ok(socket) => fds.push(socket.into()),
        Err(error) => skip(&format!("no IPv6: {error}")),
    }
    let queues = Queues::mount(scratch.path("queues"));
    let queue = queues.0.join(&name);
    match File::create_new(&queue) {
        Ok(queue) => fds.push(queue.into()),
        Err(error) => skip(&format!("no message queues: {error}")),
    }
    for kind in ["vsock", "vsock-seqpacket"] {
        match none()
            .get("x")
            .or_bind(format!("{kind}::{}", u32::MAX))
            .owned()
        {
            Ok(socket) => fds.push(socket.keep()),
            Err(error) => skip(&format!("{kind}: {error}")),
        }
    }
    let (inet, inet6, unspecified) = (2, 10, 0);
    let path = |path: &std::path::Path| format!("b\"{}\"", path.display());
    let mut rows: Vec<(Filter, String)> = vec![
        (is::socket(), "lib.sd_is_socket(fd, 0, 0, -1)".into()),
        (is::listening(), "lib.sd_is_socket(fd, 0, 0, 1)".into()),
        (
            is::socket() & !is::listening(),
            "lib.sd_is_socket(fd, 0, 0, 0)".into(),
        ),
        (is::stream(), "lib.sd_is_socket(fd, 0, 1, -1)".into()),
        (
            is::stream() & is::listening(),
            "lib.sd_is_socket(fd, 0, 1, 1)".into(),
        ),
        (is::datagram(), "lib.sd_is_socket(fd, 0, 2, -1)".into()),
        (is::seqpacket(), "lib.sd_is_socket(fd, 0, 5, -1)".into()),
        (is::vsock(), "lib.sd_is_socket(fd, 40, 0, -1)".into()),
        (is::tcp(), format!("inet(fd, {unspecified}, 1, 0)")),
        (is::udp(), format!("inet(fd, {unspecified}, 2, 0)")),
        (is::inet(), format!("inet(fd, {unspecified}, 0, 0)")),
        (is::ipv4(), format!("inet(fd, {inet}, 0, 0)")),
        (is::ipv6(), format!("inet(fd, {inet6}, 0, 0)")),
        (
            is::port(port),
            format!("inet(fd, {unspecified}, 0, {port})"),
        ),
        (is::port(1), format!("inet(fd, {unspecified}, 0, 1)")),
        (is::port(0), format!("inet(fd, {unspecified}, 0, 0)")),
        (
            is::address(([127, 0, 0, 1], port).into()),
            format!("at4(fd, {port}, '127.0.0.1')"),
        ),
        (
            is::address(([127, 0, 0, 1], 0).into()),
            "at4(fd, 0, '127.0.0.1')".into(),
        ),
        (
            is::address(([0, 0, 0, 0], 0).into()),
            "at4(fd, 0, '0.0.0.0')".into(),
        ),
        (
            is::address("[::]:0".parse().unwrap()),
            "at6(fd, 0, '::')".into(),
        ),
        (
            is::address("[::1]:0".parse().unwrap()),
            "at6(fd, 0, '::1')".into(),
        ),
        (is::unix(), "unix(fd, None)".into()),
        (is::unix_at(&stream), format!("unix(fd, {})", path(&stream))),
        (
            is::unix_at(format!("@{name}")),
            format!("abstract(fd, b\"{name}\")"),
        ),
        (
            is::unix_at(format!("@{name}x")),
            format!("abstract(fd, b\"{name}x\")"),
        ),
        (is::fifo(), "lib.sd_is_fifo(fd, None)".into()),
        (
            is::fifo_at(&fifo),
            format!("lib.sd_is_fifo(fd, {})", path(&fifo)),
        ),
        (
            is::fifo_at(&file),
            format!("lib.sd_is_fifo(fd, {})", path(&file)),
        ),
        (
            is::fifo_at("/nonexistent/x"),
            "lib.sd_is_fifo(fd, b'/nonexistent/x')".into(),
        ),
        (is::special(), "lib.sd_is_special(fd, None)".into()),
        (
            is::special_at(&file),
            format!("lib.sd_is_special(fd, {})", path(&file)),
        ),
        (
            is::special_at("/dev/null"),
            "lib.sd_is_special(fd, b'/dev/null')".into(),
        ),
        (
            is::special_at("/dev/zero"),
            "lib.sd_is_special(fd, b'/dev/zero')".into(),
        ),
        (is::message_queue(), "lib.sd_is_mq(fd, None)".into()),
        (
            is::message_queue_at(&format!("/{name}")),
            format!("lib.sd_is_mq(fd, b'/{name}')"),
        ),
        (
            is::message_queue_at("/eud-no-such-queue"),
            "lib.sd_is_mq(fd, b'/eud-no-such-queue')".into(),
        ),
    ];
    rows.extend(combined(port, &stream));
    let mut ours = Vec::new();
    let mut lines = Vec::new();
    for (filter, call) in &rows {
        for (at, fd) in fds.iter().enumerate() {
            let number = 3 + at;
            let answer = filter.admits(fd).unwrap();
            ours.push((answer, format!("{filter}, of {fd:?} as {number}: {call}")));
            let bare = call.replace("(fd,", &format!("({number},"));
            lines.push(bare);
        }
    }
    let theirs = real(fds, &lines.join("\n"));
    let _ = std::fs::remove_file(&queue);
    let Some(theirs) = theirs else {
        return skip("no python3 with libsystemd.so.0");
    };
    assert_eq!(theirs.len(), ours.len());
    let mut wrong = Vec::new();
    for ((answer, question), theirs) in ours.iter().zip(&theirs) {
        if *answer != (*theirs > 0) {
            wrong.push(format!("{question}: {theirs}, and ours is {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // None is so easy that it tells nothing.
    for (at, (filter, _)) in rows.iter().enumerate() {
        let count = ours.len() / rows.len();
        let answers = &ours[at * count..(at + 1) * count];
        assert!(answers.iter().any(|(yes, _)| !yes), "{filter} admits all");
    }
}

/// Every combination of what the calls take: a family, a kind, whether it listens, a port, a path; each also as what does not matter.
fn combined(port: u16, path: &std::path::Path) -> Vec<(Filter, String)> {
    let all = is::socket;
    let families = [
        (0, all()),
        (1, is::unix()),
        (2, is::ipv4()),
        (10, is::ipv6()),
        (40, is::vsock()),
    ];
    let kinds = [
        (0, all()),
        (1, is::stream()),
        (2, is::datagram()),
        (5, is::seqpacket()),
    ];
    let listening = [(-1, all()), (0, !is::listening()), (1, is::listening())];
    let ports = [(0, is::port(0)), (port, is::port(port))];
    let mut rows = Vec::new();
    for (kind, of_kind) in &kinds {
        for (listens, of_listening) in &listening {
            let both = of_kind.clone() & of_listening.clone();
            for (family, of_family) in &families {
                let call = format!("lib.sd_is_socket(fd, {family}, {kind}, {listens})");
                rows.push((of_family.clone() & both.clone(), call));
                if ![0, 2, 10].contains(family) {
                    continue;
                }
                for (port, at_port) in &ports {
                    let call = format!("inet_of(fd, {family}, {kind}, {listens}, {port})");
                    let filter = of_family.clone() & is::inet() & both.clone() & at_port.clone();
                    rows.push((filter, call));
                }
            }
            let call = format!("unix_of(fd, {kind}, {listens}, None)");
            rows.push((is::unix() & both.clone(), call));
            let call = format!("unix_of(fd, {kind}, {listens}, b\"{}\")", path.display());
            rows.push((is::unix_at(path) & both.clone(), call));
        }
    }
    rows
}

/// What a filter does not ask about does not matter, and an answer of any address is one.
#[test]
fn what_is_not_asked_does_not_matter() {
    let (listening, udp) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        UdpSocket::bind("127.0.0.1:0").unwrap(),
    );
    let client = TcpStream::connect(listening.local_addr().unwrap()).unwrap();
    let admits = |filter: Filter, fd: &dyn std::os::fd::AsFd| filter.admits(fd.as_fd()).unwrap();
    assert!(admits(is::tcp(), &listening) && admits(is::tcp(), &client));
    assert!(admits(is::tcp() & !is::listening(), &client));
    assert!(admits(is::udp(), &udp) && !admits(is::udp() & is::listening(), &udp));
    assert!(admits(is::udp() | is::tcp(), &udp) && !admits(is::unix(), &udp));
    let (one, _other) = UnixStream::pair().unwrap();
    assert!(admits(is::unix(), &one) && !admits(is::unix_at(""), &one));
    assert!(!admits(is::reuse_port(), &one) && admits(is::loopback(), &udp));
    let big = is::that("big", |fd| {
        use std::os::fd::AsRawFd;
        Ok(fd.as_raw_fd() > 1_000_000)
    });
    assert!(!admits(big.clone(), &udp) && admits(!big, &udp));
}
