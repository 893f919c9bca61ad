//! What is said in both directions while a service runs.

use super::{Who, machine, seen};

const BOTH: [Who; 2] = [Who::Peer, Who::Control];

#[test]
fn what_is_handed_over_has_its_name_and_its_kind() {
    for who in BOTH {
        let Some(machine) = machine(who, "Sockets=peer.socket all.socket") else {
            return;
        };
        let at = machine.path("");
        let at = at.display();
        let all = format!(
            "[Socket]\nFileDescriptorName=all\nService=peer.service\nListenStream=[::1]:7002\nListenDatagram=127.0.0.1:7003\n\
             ListenDatagram=[::1]:7004\nListenStream={at}/stream\nListenDatagram={at}/dgram\n\
             ListenSequentialPacket={at}/packets\nListenFIFO={at}/fifo\n"
        );
        machine.unit("all.socket", &all);
        let said = seen(
            &machine,
            "systemctl start all.socket peer.socket; systemctl start peer
            ask 7001 fds | tr ' ' '\\n' | LC_ALL=C sort; ask 7001 cloexec; show peer StatusText",
        );
        assert_eq!(
            said,
            "all:fifo:0\nall:tcp6:1\nall:udp4:0\nall:udp6:0\nall:unix-dgram:0\nall:unix-seqpacket:1\nall:unix-stream:1\n\
             web:tcp4:1\n1 1 1 1 1 1 1 1\nserving 8\n"
        );
    }
}

#[test]
fn each_kind_of_socket_is_served() {
    let Some(machine) = machine(Who::Peer, "Sockets=peer.socket all.socket") else {
        return;
    };
    let at = machine.path("");
    let at = at.display();
    let all = format!(
        "[Socket]\nService=peer.service\nListenDatagram=127.0.0.1:7003\nListenDatagram={at}/dgram\n\
         ListenSequentialPacket={at}/packets\nListenStream={at}/stream\n"
    );
    machine.unit("all.socket", &all);
    machine.write(
        "speak.py",
        "import socket, sys
kind, family, to = getattr(socket, sys.argv[1]), getattr(socket, sys.argv[2]), sys.argv[3]
s = socket.socket(family, kind)
s.settimeout(60)
if kind == socket.SOCK_DGRAM and family == socket.AF_UNIX: s.bind(to + '.me')
s.connect((to.split(':')[0], int(to.split(':')[1])) if ':' in to else to)
s.send(b'ping' if kind == socket.SOCK_SEQPACKET else b'ping\\n')
print(s.recv(100))
",
    );
    let said = seen(
        &machine,
        "systemctl start all.socket peer.socket
        python3 speak.py SOCK_DGRAM AF_INET 127.0.0.1:7003
        python3 speak.py SOCK_DGRAM AF_UNIX $PWD/dgram
        python3 speak.py SOCK_SEQPACKET AF_UNIX $PWD/packets
        python3 speak.py SOCK_STREAM AF_UNIX $PWD/stream",
    );
    assert_eq!(said, "b'pong\\n'\n".repeat(4));
}

#[test]
fn words_reach_the_manager() {
    for who in BOTH {
        let Some(machine) = machine(who, "") else {
            return;
        };
        let said = seen(
            &machine,
            "systemctl start peer.socket peer
            ask 7001 'status hello there'; soon is peer StatusText 'hello there'
            ask 7001 'notify X_OWN=1\\nSTATUS=from notify'; soon is peer StatusText 'from notify'
            ask 7001 'notify RELOADING=1'; soon is peer ActiveState reloading
            ask 7001 'notify READY=1'; soon is peer ActiveState active
            ask 7001 watchdog
            ask 7001 'notify ERRNO=5'; soon is peer StatusErrno 5
            ask 7001 'notify STOPPING=1'; soon is peer SubState stop-sigterm || show peer SubState",
        );
        assert_eq!(said, "sent\nsent\nsent\nsent\noff\nsent\nsent\n");
    }
}

#[test]
fn a_reload_is_over_when_it_says_so() {
    let Some(machine) = machine(Who::Peer, "") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer; pid=$(show peer MainPID)
        ask 7001 reload; systemctl reload peer
        ask 7001 barrier; show peer ActiveState; [ \"$(show peer MainPID)\" = $pid ]; show peer StatusText
        show peer Result",
    );
    assert_eq!(said, "ok\nok\nactive\nserving 1\nsuccess\n");
}

#[test]
fn what_is_for_the_service_stays_with_it() {
    let Some(machine) = machine(Who::Peer, "WatchdogSec=60\nEnvironment=ORDINARY=yes") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer
        for name in LISTEN_PID LISTEN_FDS LISTEN_FDNAMES NOTIFY_SOCKET WATCHDOG_USEC WATCHDOG_PID ORDINARY; do
          [ \"$(ask 7001 \"env $name\")\" != '(unset)' ]
          echo \"$name $(ask 7001 \"child-env $name\")\"
        done
        ask 7001 child-fds",
    );
    let scrubbed: String = [
        "LISTEN_PID",
        "LISTEN_FDS",
        "LISTEN_FDNAMES",
        "NOTIFY_SOCKET",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ]
    .map(|name| format!("{name} (unset)\n"))
    .concat();
    assert_eq!(said, format!("{scrubbed}ORDINARY yes\n0\n"));
}

#[test]
fn a_watchdog_is_fed_and_a_hang_is_killed() {
    for who in BOTH {
        let Some(machine) = machine(who, "WatchdogSec=1\nRestart=on-watchdog\nRestartSec=0") else {
            return;
        };
        // It may be killed before it has answered to `trigger`.
        let said = seen(
            &machine,
            "systemctl start peer.socket peer; ask 7001 watchdog
            first=$(show peer MainPID) at=$(show peer WatchdogTimestampMonotonic)
            fed() { [ \"$(show peer WatchdogTimestampMonotonic)\" -gt $((at + 2500000)) ]; }
            soon fed; show peer NRestarts; [ \"$(show peer MainPID)\" = $first ]
            ask 7001 hang; soon is peer NRestarts 1; soon is peer ActiveState active
            ask 7001 trigger >/dev/null || :; soon is peer NRestarts 2; soon answers 7001 ping pong
            journalctl --sync; journalctl -u peer -o cat | grep -c 'Failed with result .watchdog'",
        );
        assert_eq!(said, "1000000\n0\nok\n2\n");
    }
}

#[test]
fn what_was_stored_comes_back() {
    let Some(machine) = machine(Who::Peer, "FileDescriptorStoreMax=4") else {
        return;
    };
    let said = seen(
        &machine,
        "systemctl start peer.socket peer
        ask 7001 'stored state'; ask 7001 'store state seven and nine'; ask 7001 'store other x'; ask 7001 barrier
        show peer NFileDescriptorStore; systemctl restart peer
        ask 7001 'stored state'; ask 7001 fds | tr ' ' '\\n' | LC_ALL=C sort; ask 7001 cloexec
        ask 7001 'unstore state'; ask 7001 barrier; show peer NFileDescriptorStore; systemctl restart peer
        ask 7001 'stored state'; ask 7001 'stored other'",
    );
    assert_eq!(
        said,
        "(none)\nsent\nsent\nok\n2\nseven and nine\nother:file:0\nstate:file:0\nweb:tcp4:1\n1 1 1\nsent\nok\n1\n(none)\nx\n"
    );
}
