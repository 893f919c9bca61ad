//! What a service does all day goes on.

use crate::{EACCES, OK, Scratch, Test, inside, own_path, run, skip, tell};
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::Stdio;

pub const ALL: &[Test] = &[
    ("a_server_of_threads_serves", || serves("serve", 1)),
    ("a_server_of_tokio_serves", || serves("serve-tokio", 50)),
    ("a_name_becomes_an_address", || {
        let told = tell(&["connect-any", "server", "--", "name=localhost:80"]);
        told.is("name=localhost:80", OK);
    }),
    ("limits_hold", limits),
    ("it_composes_with_a_chroot_and_a_drop", dropped),
    ("it_is_not_taken_over_a_fork", || {
        tell(&["server", "fork"]).is("forked", "Err(Forked)");
    }),
    ("a_second_thread_refuses_the_sandbox", threads),
    ("a_service_that_replaces_itself_enters_again", again),
    ("the_sixteenth_domain_is_the_last", layers),
];

fn serves(how: &str, times: usize) {
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").expect("loopback");
        free.local_addr().expect("bound").port()
    };
    let words = [
        format!("bind={port}"),
        "server".into(),
        format!("listen={port}"),
        "--".into(),
        how.into(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut server = inside(&words)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    // The first line of the report comes when the sandbox is there, and it listens since before.
    let mut out = server.stdout.take().expect("piped");
    let mut first = [0; 1];
    out.read_exact(&mut first).expect("it reports");
    for _ in 0..times {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        client.write_all(b"ping").expect("it reads");
        let mut answer = [0; 4];
        client.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"ping");
    }
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    server.wait().expect("ours");
    assert!(rest.contains(&format!("{how}: Ok")), "{rest}");
}

fn limits() {
    let told = tell(&["server", "open-files=64", "--", "open-files"]);
    told.is("limit", "64 64");
    assert!(told.out.contains("limit of open files  "), "{}", told.out);
}

fn dropped() {
    if eudaemon_sys::process::effective_uid() != 0 {
        return skip("a chroot and a drop: not root");
    }
    let scratch = Scratch::new("dropped");
    let root = scratch.dir("root");
    let own = scratch.dir("root/own");
    std::fs::set_permissions(&own, Permissions::from_mode(0o777)).expect("ours");
    scratch.file("root/secret", "x");
    let notify = scratch.dir("outside");
    let manager = UnixDatagram::bind(format!("{notify}/notify")).expect("below our own");
    // The path is outside the root it will have, the drop makes `/proc` nobody's, and the new root has none.
    let told = tell(&[
        &format!("write={own}"),
        "server",
        &format!("notify={notify}/notify"),
        &format!("drop={root}"),
        "--",
        "write=/own/new",
        "read=/own/new",
        "read=/secret",
        "list=/",
        "notify=READY=1",
        "capabilities",
        "thread:null-thread",
    ]);
    for word in [
        "write=/own/new",
        "read=/own/new",
        "notify=READY=1",
        "thread:null-thread",
    ] {
        told.is(word, OK);
    }
    told.is("read=/secret", EACCES);
    told.is("list=/", EACCES);
    told.is("held", "0");
    manager.recv(&mut [0; 16]).expect("it was sent");
}

fn threads() {
    let scratch = Scratch::new("threads");
    let secret = scratch.file("secret", "x");
    let word = format!("read={secret}");
    for mode in ["require", "best-effort"] {
        let mut words = vec!["server", "thread-first", "--", word.as_str(), "mount"];
        if mode == "best-effort" {
            words.insert(0, mode);
        }
        let told = tell(&words);
        assert!(
            told.out.contains("there are 2 threads already"),
            "{}",
            told.out
        );
        // And nothing is half done.
        told.is(&word, OK);
    }
}

fn again() {
    let own = own_path();
    let scratch = Scratch::new("again");
    let (dir, execute) = (scratch.dir("own"), format!("execute={}", own.display()));
    let (write, read) = (format!("write={dir}"), format!("read={}", own.display()));
    let told = tell(&[&write, &read, &execute, "server", "--", "again"]);
    told.is("again", OK);
    assert_eq!(told.out.matches("system calls").count(), 2, "{}", told.out);
}

fn layers() {
    let told = run(&mut inside(&["best-effort", "times=16"]));
    assert!(
        told.out.contains("enforced") && !told.out.contains("16 Landlock"),
        "{}",
        told.out
    );
    let told = run(&mut inside(&["best-effort", "times=17"]));
    assert!(
        told.out
            .contains("missing: there are 16 Landlock domains around it already"),
        "{}",
        told.out
    );
    // 17 times with a preset: the filters stack too, and there is room for those.
    let told = tell(&["server", "times=17"]);
    assert_eq!(told.code, Some(111));
    assert!(
        told.out.contains("refused: unable to enter the sandbox"),
        "{}",
        told.out
    );
}
