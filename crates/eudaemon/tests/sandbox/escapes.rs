//! What is outside stays outside.

use crate::{EACCES, EPERM, OK, Scratch, Test, inside, run, skip, tell};
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::os::unix::process::ExitStatusExt;

pub const ALL: &[Test] = &[
    ("a_path_that_is_not_named_is_closed", paths),
    ("a_link_leads_nowhere", links),
    ("a_program_that_is_not_named_does_not_run", programs),
    ("a_port_that_is_not_named_is_closed", ports),
    ("a_call_that_is_not_needed_is_refused", calls),
    ("a_deadly_call_ends_the_process", deadly),
    ("without_a_need_there_is_no_such_socket", sockets),
    ("a_worker_makes_no_socket", worker),
    ("whom_it_may_signal_and_speak_to", scopes),
    ("capabilities_that_are_not_named_are_gone", capabilities),
];

fn paths() {
    let scratch = Scratch::new("paths");
    let (own, other) = (scratch.dir("own"), scratch.dir("other"));
    let settings = scratch.file("settings", "x");
    scratch.file("other/secret", "x");
    // Every word is tried by the first thread and by one that was started inside.
    for by in ["", "thread:"] {
        let of = |what: &str| format!("{by}{what}");
        let tries = [
            (of(&format!("read={settings}")), OK),
            (of(&format!("write={settings}")), EACCES),
            (of(&format!("append={settings}")), EACCES),
            (of(&format!("remove={settings}")), EACCES),
            (of(&format!("write={own}/new{by}")), OK),
            (of(&format!("read={own}/new{by}")), OK),
            (of(&format!("make-dir={own}/dir{by}")), OK),
            (of(&format!("rename={own}/new{by},{own}/dir{by}/new")), OK),
            (of(&format!("remove={own}/dir{by}/new")), OK),
            (of(&format!("list={own}")), OK),
            (of(&format!("read={other}/secret")), EACCES),
            (of(&format!("list={other}")), EACCES),
            (of(&format!("write={other}/new")), EACCES),
            (of(&format!("read={own}/../other/secret")), EACCES),
            (of("read=/etc/passwd"), EACCES),
            (of("list=/"), EACCES),
            (of("read=/proc/1/environ"), EACCES),
            (of("read=/proc/self/status"), OK),
            (of("read=/proc/self/exe"), OK),
            (of("read=/dev/urandom"), OK),
            (of("write=/dev/null"), OK),
        ];
        let (read, write) = (format!("read={settings}"), format!("write={own}"));
        let mut words = vec![read.as_str(), &write, "server", "--"];
        words.extend(tries.iter().map(|(word, _)| word.as_str()));
        let told = tell(&words);
        for (word, answer) in &tries {
            told.is(word, answer);
        }
    }
}

fn links() {
    let scratch = Scratch::new("links");
    let (own, other) = (scratch.dir("own"), scratch.dir("other"));
    let secret = scratch.file("other/secret", "x");
    let way_out = format!("{own}/out");
    let told = tell(&[
        &format!("write={own}"),
        "server",
        "--",
        &format!("link={secret},{own}/soft"),
        &format!("read={own}/soft"),
        &format!("write={own}/soft"),
        &format!("hard-link={secret},{own}/hard"),
        &format!("rename={secret},{own}/moved"),
        &format!("write={own}/mine"),
        &format!("rename={own}/mine,{other}/mine"),
        &format!("link={other},{way_out}"),
        &format!("list={way_out}"),
    ]);
    told.is(&format!("link={secret},{own}/soft"), OK);
    told.is(&format!("read={own}/soft"), EACCES);
    told.is(&format!("write={own}/soft"), EACCES);
    // EXDEV where the kernel would otherwise widen what may be done with the file. Source: landlock(7), REFER.
    for word in [
        format!("hard-link={secret},{own}/hard"),
        format!("rename={secret},{own}/moved"),
        format!("rename={own}/mine,{other}/mine"),
    ] {
        let line = told.line(&word);
        assert!(
            line.starts_with("13 ") || line.starts_with("18 "),
            "{word}: {line}"
        );
    }
    told.is(&format!("list={way_out}"), EACCES);
}

fn programs() {
    let scratch = Scratch::new("programs");
    let own = scratch.dir("own");
    let here = own.as_str();
    let program = format!("{here}/true");
    std::fs::copy("/bin/true", &program).expect("coreutils");
    let (write, word) = (format!("write={own}"), format!("execute={program}"));
    let memory = format!("memory-program={program}");
    // No program at all is named: the filter says no before Landlock is asked.
    let told = tell(&[&write, "server", "--", &word, "execute=/bin/true", &memory]);
    told.is(&word, EPERM);
    told.is("execute=/bin/true", EPERM);
    told.is(&memory, EPERM);
    // One is: it runs, with its loader and libraries, and what the service wrote itself does not.
    let told = tell(&[
        &write,
        "execute=/bin/true",
        "server",
        "--",
        "execute=/bin/true",
        &word,
    ]);
    told.is("execute=/bin/true", OK);
    told.is(&word, EACCES);
}

fn ports() {
    let listening = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let other = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let of = |listener: &TcpListener| listener.local_addr().expect("bound").port();
    let (named, unnamed) = (of(&listening), of(&other));
    let free = of(&TcpListener::bind("127.0.0.1:0").expect("loopback"));
    let taken = of(&TcpListener::bind("127.0.0.1:0").expect("loopback"));
    let words = [
        (format!("connect={named}"), OK),
        (format!("connect={unnamed}"), EACCES),
        (format!("thread:connect={unnamed}"), EACCES),
        (format!("bind={free}"), OK),
        (format!("bind={taken}"), EACCES),
        ("bind=0".to_owned(), EACCES),
        // The ways around Landlock's rule for TCP.
        (format!("mptcp={unnamed}"), EPERM),
        (format!("fast-open={unnamed}"), "95 "),
    ];
    let (bind, connect) = (format!("bind={free}"), format!("connect={named}"));
    let mut all = vec![bind.as_str(), &connect, "server", "--"];
    all.extend(words.iter().map(|(word, _)| word.as_str()));
    let told = tell(&all);
    for (word, answer) in &words {
        told.is(word, answer);
    }
    // Anywhere is anywhere.
    let word = format!("connect={unnamed}");
    tell(&["connect-any", "server", "--", &word]).is(&word, OK);
}

fn calls() {
    let words = [
        ("mount", EPERM),
        ("user-namespace", EPERM),
        ("clone-namespace", EPERM),
        ("enter-namespace", EPERM),
        ("attach-code", EPERM),
        ("protect-code", EPERM),
        ("io-uring", EPERM),
        ("writable-code", EPERM),
        ("code-made-of-data", EPERM),
        // As if the kernel did not have it, so that a library falls back.
        ("clone3", "38 "),
        ("future", "38 "),
    ];
    let mut all = vec!["server", "--"];
    all.extend(words.iter().map(|(word, _)| *word));
    let told = tell(&all);
    for (word, answer) in words {
        told.is(word, answer);
    }
    let threads: Vec<String> = words
        .iter()
        .map(|(word, _)| format!("thread:{word}"))
        .collect();
    let mut all = vec!["server", "--"];
    // A thread cannot be forked from, and these two fork.
    let forks = |word: &str| word.ends_with("user-namespace") || word.ends_with("clone-namespace");
    all.extend(
        threads
            .iter()
            .map(String::as_str)
            .filter(|word| !forks(word)),
    );
    let told = tell(&all);
    for (word, answer) in words.iter().filter(|(word, _)| !forks(word)) {
        told.is(&format!("thread:{word}"), answer);
    }
    // The same calls outside, to see that it is the sandbox that says no.
    let told = tell(&[
        "best-effort",
        "--",
        "writable-code",
        "code-made-of-data",
        "clone3",
    ]);
    told.is("writable-code", OK);
    told.is("code-made-of-data", OK);
    told.is("clone3", "22 ");
    tell(&["writable-code", "server", "--", "code-made-of-data"]).is("code-made-of-data", OK);
}

fn deadly() {
    for word in ["trace", "load-module", "thread:trace"] {
        let output = inside(&["server", "--", word, "mount"])
            .output()
            .expect("it starts");
        assert_eq!(
            output.status.signal(),
            Some(31),
            "{word}: SIGSYS ends all of it"
        );
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(!out.contains("mount"), "it lived on: {out}");
    }
}

fn sockets() {
    let told = tell(&[
        "server",
        "--",
        "bind=0",
        "bind-udp=0",
        "packet",
        "netlink",
        "vsock",
        "pair",
        "datagram=@nobody",
    ]);
    for word in [
        "bind=0",
        "bind-udp=0",
        "packet",
        "netlink",
        "vsock",
        "datagram=@nobody",
    ] {
        told.is(word, "97 ");
    }
    // What tokio makes for its signals is made without a name and reaches nobody.
    told.is("pair", OK);
    let told = tell(&["bind=1", "server", "--", "bind-udp=0", "raw", "packet"]);
    told.is("bind-udp=0", EPERM);
    told.is("raw", EPERM);
    told.is("packet", "97 ");
    tell(&["udp=53", "server", "--", "bind-udp=0"]).is("bind-udp=0", OK);
    tell(&["capability=CAP_NET_RAW", "server", "--", "raw"]).is("raw", OK);
}

fn worker() {
    let scratch = Scratch::new("worker");
    let path = format!("{}/notify", scratch.dir("own"));
    let manager = UnixDatagram::bind(&path).expect("below our own");
    let told = tell(&[
        "worker",
        "unix",
        &format!("notify={path}"),
        "--",
        "notify=READY=1",
        "pair",
        "datagram=@nobody",
    ]);
    told.is("notify=READY=1", OK);
    told.is("datagram=@nobody", EPERM);
    let mut heard = [0; 16];
    let count = manager.recv(&mut heard).expect("it was sent");
    assert_eq!(&heard[..count], b"READY=1");
}

fn scopes() {
    let name = format!("sandbox-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("short");
    let manager = UnixDatagram::bind_addr(&address).expect("nobody else has it");
    let streams = SocketAddr::from_abstract_name(format!("{name}-stream")).expect("short");
    let _streams = UnixListener::bind_addr(&streams).expect("nobody else has it");
    let (connect, stream) = (
        format!("datagram=@{name}"),
        format!("stream=@{name}-stream"),
    );
    let signal = format!("signal={}", std::process::id());
    let notify = format!("notify=@{name}");
    // No preset: it is Landlock that answers.
    let told = tell(&[
        "best-effort",
        &notify,
        "--",
        "notify=READY=1",
        "thread:notify=WATCHDOG=1",
        &connect,
        &stream,
        &signal,
    ]);
    // A socket that was connected before stays so: this is how a manager is told.
    told.is("notify=READY=1", OK);
    told.is("thread:notify=WATCHDOG=1", OK);
    for word in [&connect, &stream, &signal] {
        told.is(word, EPERM);
    }
    let mut heard = [0; 16];
    for message in ["READY=1", "WATCHDOG=1"] {
        let count = manager.recv(&mut heard).expect("it was sent");
        assert_eq!(&heard[..count], message.as_bytes());
    }
    let told = tell(&["best-effort", "unix", "--", &connect, &stream]);
    told.is(&connect, OK);
    told.is(&stream, OK);
    // UDP is in nobody's rules, which the guide says.
    let udp = UdpSocket::bind("127.0.0.1:0").expect("loopback");
    drop(udp);
}

fn capabilities() {
    if eudaemon_sys::process::effective_uid() != 0 {
        return skip("capabilities are lost by whom has them: not root");
    }
    let told = tell(&["server", "--", "capabilities"]);
    told.is("held", "0");
    let told = tell(&[
        "server",
        "capability=CAP_NET_BIND_SERVICE",
        "--",
        "capabilities",
    ]);
    told.is("held", "400");
    let mut command = inside(&["best-effort", "--", "capabilities"]);
    run(&mut command).is("held", "0");
}
