//! A process for each client, started by the real systemd: `Accept=yes`.

use eudaemon_lab::example;
use eudaemon_lab::pid1::{self, Pid1};

/// What a client of this socket unit is told by a greeter of these settings, twice.
fn told(listen: &str, settings: &str, ask: &str) -> Option<String> {
    if !pid1::need() {
        return None;
    }
    let machine = Pid1::new();
    machine.copy(&example("greeter"), "greeter");
    let greeter = machine.path("greeter").display().to_string();
    machine.unit("greet.socket", &format!("[Socket]\nAccept=yes\n{listen}\n"));
    let unit = format!("[Service]\nType=notify\nExecStart={greeter}\n{settings}\n");
    machine.unit("greet@.service", &unit);
    let seen = machine.judge(&format!(
        "systemctl start greet.socket || exit
        {ask}
        {ask}
        ended() {{ [ -z \"$(systemctl list-units --plain --no-legend --state=running 'greet@*')\" ]; }}
        soon ended || exit
        systemctl list-units --all --failed --plain --no-legend 'greet@*'
        show greet.socket NAccepted"
    ));
    assert_eq!(seen.code, 0, "{seen:?}");
    Some(seen.out)
}

/// Reads to the end: nobody but the greeter has the connection. Its own port is what the kernel and the manager say.
const BY_TCP: &str = "python3 -c '
import socket
s = socket.create_connection((\"127.0.0.1\", 7101)); own = \"127.0.0.1:%d\" % s.getsockname()[1]
print(s.makefile().read().replace(own, \"me\"), end=\"\")'";
const BY_PATH: &str = "python3 -c '
import socket
s = socket.socket(socket.AF_UNIX); s.connect(\"/run/greet\")
print(s.makefile().read(), end=\"\")'";

#[test]
fn each_client_has_a_process_that_knows_it() {
    for (listen, settings, ask, line) in [
        ("ListenStream=127.0.0.1:7101", "", BY_TCP, "hello me me\n"),
        (
            "ListenStream=127.0.0.1:7101\nFileDescriptorName=web",
            "",
            BY_TCP,
            "hello me me\n",
        ),
        // As inetd; what is logged then is the client's no more than what is printed.
        (
            "ListenStream=127.0.0.1:7101",
            "StandardInput=socket\nStandardError=journal",
            BY_TCP,
            "hello me me\n",
        ),
        (
            "ListenStream=/run/greet",
            "",
            BY_PATH,
            "hello a unix socket -\n",
        ),
    ] {
        let Some(said) = told(listen, settings, ask) else {
            return;
        };
        assert_eq!(said, format!("{line}{line}2\n"), "{listen} {settings}");
    }
}
